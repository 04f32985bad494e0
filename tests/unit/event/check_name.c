/* SPDX-License-Identifier: MIT
 *
 * check_name - the ids that follow from what was sent: known ones, made by
 * Python's hashlib from the words of the contract.
 */
#include "event/name.h"
#include "support/suite.h"

#include <string.h>

#define BODY "[{\"timestamp\":\"2024-11-24T08:44:26.123456Z\"}]"
#define TIME_US INT64_C(1732437866123456)

static const struct {
  const char *key;
  const char *query;
  const char *with_time;
  const char *without;
} requests[] = {{"", "", "01935d57-f68b-80cf-85b4-587eee713845",
                 "50cf85b4-587e-8e71-b845-9fcfb0a1f6e3"},
                {"key-1", "once=request&service=a",
                 "01935d57-f68b-876c-a7b3-fb111502d67f",
                 "076c67b3-fb11-8502-967f-27c504fffb7e"},
                {"key-1", "", "01935d57-f68b-87ab-a6d7-acd668bb62cb",
                 "27ab66d7-acd6-88bb-a2cb-a95ead13db2a"},
                {"", "key-1", "01935d57-f68b-86a6-936d-c26e92b1278e",
                 "b6a6136d-c26e-82b1-a78e-85861202f8b6"}};

static void assert_uuid(const au_uuid_t *uuid, const char *expected) {
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(uuid, text);
  ck_assert_str_eq(text, expected);
}

static au_slice_t slice(const char *text) {
  return (au_slice_t){.data = text, .size = strlen(text)};
}

CASE("name", NULL, NULL);

TEST_EACH(of_a_request, COUNT_OF(requests)) {
  au_digest_t digest;
  ck_assert(au_name_digest(requests[_i].key, requests[_i].query, BODY,
                           strlen(BODY), &digest));
  au_uuid_t name = au_name_of_request(&digest, true, TIME_US);
  assert_uuid(&name, requests[_i].with_time);
  name = au_name_of_request(&digest, false, TIME_US);
  assert_uuid(&name, requests[_i].without);
}

/* Years 1970 to 2100, to the millisecond. */
TEST(begins_with_the_time) {
  const au_digest_t digest = {.byte = {0}};
  au_uuid_t name = au_name_of_request(&digest, true, 999);
  assert_uuid(&name, "00000000-0000-8000-8000-000000000000");
  name = au_name_of_request(&digest, true, 1000);
  assert_uuid(&name, "00000000-0001-8000-8000-000000000000");
  name = au_name_of_request(&digest, true, INT64_C(4133980799999999));
  assert_uuid(&name, "03c28475-03ff-8000-8000-000000000000");
}

TEST(of_an_empty_body) {
  au_digest_t digest;
  ck_assert(au_name_digest("", "", "", 0, &digest));
  static const uint8_t begin[] = {0xda, 0xb8, 0xa6, 0x74};
  ck_assert_mem_eq(digest.byte, begin, sizeof(begin));
}

static const struct {
  uint32_t number;
  const char *id;
} numbers[] = {{0, "01935d57-f68b-80cf-85b4-587eee713845"},
               {1, "01935d57-f68b-80cf-85b4-587eee713844"},
               {256, "01935d57-f68b-80cf-85b4-587eee713945"},
               {49999, "01935d57-f68b-80cf-85b4-587eee71fb0a"},
               {UINT32_MAX, "01935d57-f68b-80cf-85b4-587e118ec7ba"}};

TEST_EACH(numbers_are_in_the_last_bytes, COUNT_OF(numbers)) {
  au_uuid_t name;
  ck_assert(au_uuid_parse(numbers[0].id, strlen(numbers[0].id), &name));
  au_uuid_t id = au_name_number(&name, numbers[_i].number);
  assert_uuid(&id, numbers[_i].id);
  id = au_name_number(&id, numbers[_i].number);
  assert_uuid(&id, numbers[0].id); /* and back */
}

TEST(of_a_text) {
  au_uuid_t id;
  ck_assert(au_name_of_text("id", slice("shop"), slice("order-17"), &id));
  assert_uuid(&id, "b3d10ee8-1375-87d3-88df-f3334f9d8d8a");
  ck_assert(au_name_of_text("id", slice("sho"), slice("porder-17"), &id));
  assert_uuid(&id, "607094a6-1a0c-8cdf-9df1-ba4f929b5db1");
  ck_assert(au_name_of_text("ce", slice("/sensors/1"), slice("A234"), &id));
  assert_uuid(&id, "189490cf-5734-89f8-8e85-0fd09d50046e");
}

int main(void) { return run_tests("name"); }
