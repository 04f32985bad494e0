/* SPDX-License-Identifier: MIT
 *
 * check_coding - what Accept-Encoding says, and packing a body.
 */
#include "base/gzip.h"
#include "http/coding.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *value; /* a second header after '|' */
  bool is_gzip;
} cases[] = {
    {"gzip", true},
    {"GZip", true},
    {"x-gzip", true},
    {"gzip, deflate, br, zstd", true},
    {"br;q=1.0,gzip;q=0.8,*;q=0.1", true},
    {" , gzip ; q=0.001 ", true},
    {"gzip;Q=1", true},
    {"gzip;q=1.000", true},
    {"gzip;q=0.", false},
    {"gzip;q=1.", true},
    {"*", true},
    {"deflate, *;q=0.5", true},
    {"identity;q=0.5, *;q=0.5", true},
    {"identity, gzip", true},
    {"identity;q=0, gzip;q=0.1", true},
    {"br|gzip", true},
    {"gzip\t;\tq=0.3\t", true},

    {"", false},
    {"identity", false},
    {"br", false},
    {"gzipped", false},
    {"gzi", false},
    {"gzip;q=0", false},
    {"gzip;q=0.000", false},
    {"gzip;q=0, *", false},
    {"*, gzip;q=0", false},
    {"*;q=0", false},
    {"gzip;q=0.5, identity", false},
    {"gzip;q=0.2, identity;q=0.3", false},
    {"*|gzip;q=0", false},
    /* What cannot be read says nothing. */
    {"gzip;q=2", false},
    {"gzip;q=1.001", false},
    {"gzip;q=0.1234", false},
    {"gzip;q=", false},
    {"gzip;q", false},
    {"gzip;", false},
    {"gzip;q=-1", false},
    {"gzip;q=.5", false},
    {"gzip;q=0,5", false},
    {"gzip;q=1x", false},
    {"gzip;q=1;x=2", false},
    {"gzip;level=1", false},
    {"gzip x", false},
    {"gzip;q=one, *;q=0.5", true},
};

CASE("coding", NULL, NULL);

TEST_EACH(what_is_accepted, sizeof(cases) / sizeof(cases[0])) {
  char value[128];
  snprintf(value, sizeof(value), "%s", cases[_i].value);
  au_coding_t coding = AU_CODING_INIT;
  char *second = strchr(value, '|');
  if (second != NULL)
    *second++ = '\0';
  au_coding_read(&coding, value);
  if (second != NULL)
    au_coding_read(&coding, second);
  ck_assert_msg(au_coding_is_gzip(&coding) == cases[_i].is_gzip, "%s",
                cases[_i].value);
}

TEST(without_the_header_nothing_is_packed) {
  au_coding_t coding = AU_CODING_INIT;
  ck_assert(!au_coding_is_gzip(&coding));
}

TEST(a_packed_body_is_the_same_in_gzip) {
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_t again = AU_BYTES_INIT;
  for (int i = 0; i < 1000; i++)
    au_bytes_printf(&body, "{\"number\":%d},", i);
  size_t size = body.size;
  char *text = strdup(au_bytes_text(&body));
  ck_assert(au_coding_pack(&body));
  ck_assert_uint_lt(body.size, size / 2);
  ck_assert_int_eq(au_gzip_inflate(body.data, body.size, size, &again), AU_OK);
  ck_assert_str_eq(au_bytes_text(&again), text);
  au_bytes_fini(&again);
  au_bytes_fini(&body);
  free(text);
}

TEST(what_would_not_be_smaller_stays) {
  au_bytes_t body = AU_BYTES_INIT;
  unsigned random = 1;
  for (int i = 0; i < 5000; i++) {
    random = random * 1103515245U + 12345U;
    au_bytes_put_u8(&body, (uint8_t)(random >> 16));
  }
  uint8_t *before = malloc(body.size);
  ck_assert_ptr_nonnull(before);
  memcpy(before, body.data, body.size);
  ck_assert(!au_coding_pack(&body));
  ck_assert_uint_eq(body.size, 5000);
  ck_assert_mem_eq(body.data, before, body.size);
  free(before);
  au_bytes_fini(&body);
  ck_assert(!au_coding_pack(&body)); /* empty */
  body.failed = true;
  ck_assert(!au_coding_pack(&body));
}

CASE("content", NULL, NULL);

static const struct {
  const char *value;
  au_content_coding_t coding;
} contents[] = {
    {NULL, AU_CONTENT_IDENTITY},       {"identity", AU_CONTENT_IDENTITY},
    {"gzip", AU_CONTENT_GZIP},         {"X-GZip", AU_CONTENT_GZIP},
    {" gzip\t", AU_CONTENT_GZIP},      {"deflate", AU_CONTENT_ZLIB},
    {"Deflate ", AU_CONTENT_ZLIB},     {"zlib", AU_CONTENT_ZLIB},
    {"ZSTD", AU_CONTENT_ZSTD},         {"", AU_CONTENT_UNKNOWN},
    {"br", AU_CONTENT_UNKNOWN},        {"snappy", AU_CONTENT_UNKNOWN},
    {"lz4", AU_CONTENT_UNKNOWN},       {"gzip, gzip", AU_CONTENT_UNKNOWN},
    {"gzip,zstd", AU_CONTENT_UNKNOWN}, {"zstandard", AU_CONTENT_UNKNOWN},
};

TEST_EACH(what_a_request_is_sent_in, sizeof(contents) / sizeof(contents[0])) {
  ck_assert_int_eq(au_content_coding_read(contents[_i].value),
                   contents[_i].coding);
}

TEST(a_body_is_inflated_as_its_coding_says) {
  static const char zlib[] = "\x78\x9c\x4b\x04\x00\x00\x62\x00\x62";
  static const char zstd[] = "\x28\xb5\x2f\xfd\x00\x58\x09\x00\x00\x61";
  au_bytes_t out = AU_BYTES_INIT;
  ck_assert_int_eq(
      au_content_inflate(AU_CONTENT_ZLIB, zlib, sizeof(zlib) - 1, 9, &out),
      AU_OK);
  ck_assert_int_eq(
      au_content_inflate(AU_CONTENT_ZSTD, zstd, sizeof(zstd) - 1, 9, &out),
      AU_OK);
  ck_assert_str_eq(au_bytes_text(&out), "aa");
  ck_assert_int_eq(
      au_content_inflate(AU_CONTENT_GZIP, zstd, sizeof(zstd) - 1, 9, &out),
      AU_INVALID);
  ck_assert_int_eq(au_content_inflate(AU_CONTENT_UNKNOWN, "a", 1, 9, &out),
                   AU_INVALID);
  au_bytes_fini(&out);
}

int main(void) { return run_tests("coding"); }
