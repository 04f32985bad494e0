/* SPDX-License-Identifier: MIT
 *
 * check_base64 - bytes as base64: the examples of RFC 4648, every byte, and no
 * memory.
 */
#include "base/base64.h"
#include "support/suite.h"

#include <string.h>

static const struct {
  const char *bytes;
  const char *text;
} examples[] = {{"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"},
                {"\xFB\xFF\xFE", "+//+"}};

static au_bytes_t text;

static void tear_down(void) { au_bytes_fini(&text); }

CASE("base64", NULL, tear_down);

TEST_EACH(an_example_is_written_as_the_rfc_says, COUNT_OF(examples)) {
  au_bytes_put_string(&text, "=");
  au_base64_put(&text, examples[_i].bytes, strlen(examples[_i].bytes));
  ck_assert_uint_eq(text.size, strlen(examples[_i].text) + 1);
  ck_assert_mem_eq(text.data + 1, examples[_i].text, text.size - 1);
}

TEST(every_byte_is_written) {
  uint8_t bytes[256];
  for (int i = 0; i < 256; i++)
    bytes[i] = (uint8_t)i;
  au_base64_put(&text, bytes, sizeof(bytes));
  ck_assert_uint_eq(text.size, AU_BASE64_SIZE(sizeof(bytes)));
  ck_assert_mem_eq(text.data, "AAECAwQFBgcICQoL", 16);
  ck_assert_mem_eq(text.data + text.size - 8, "/P3+/w==", 8);
}

TEST(what_there_is_no_memory_for_fails) {
  au_budget_t budget = {.max = 100};
  au_account_t account = {.budget = &budget};
  text = (au_bytes_t){.account = &account};
  uint8_t bytes[200] = {0};
  au_base64_put(&text, bytes, sizeof(bytes));
  ck_assert(text.failed);
  text.failed = false;
  au_base64_put(&text, bytes, SIZE_MAX);
  ck_assert(text.failed);
  au_bytes_fini(&text); /* before its account ends */
  text.account = NULL;
}

int main(void) { return run_tests("base64"); }
