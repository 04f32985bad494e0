/* SPDX-License-Identifier: MIT
 *
 * check_json - JSON strings and UTF-8. The validation is compared with the
 * definition of UTF-8, spelt out anew here, over every sequence that can
 * matter.
 */
#include "base/json.h"
#include "base/utf8.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

/* --- UTF-8 ----------------------------------------------------------------*/

/* Encodes as if there were no rules, into "count" bytes. */
static void encode(unsigned code, size_t count, char *to) {
  static const unsigned lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (size_t i = count - 1; i > 0; i--) {
    to[i] = (char)(0x80 | (code & 0x3F));
    code >>= 6;
  }
  to[0] = (char)(lead[count] | code);
}

/* The number of bytes that are right for a code point, 0 for no code point. */
static size_t right_count(unsigned code) {
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
    return 0;
  return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

/* Whether the code in "count" bytes is judged right, and so is every beginning
 * of it that is cut short. */
static bool is_judged_right(unsigned code, size_t count) {
  char text[4];
  encode(code, count, text);
  bool is_valid = right_count(code) == count;
  bool is_right = au_utf8_length(text, count) == (is_valid ? 1 : -1) &&
                  au_utf8_sequence(text, count) == (is_valid ? count : 0);
  for (size_t cut = 1; cut < count && is_valid; cut++)
    is_right = is_right && au_utf8_length(text, cut) == -1;
  return is_right;
}

CASE("utf8", NULL, NULL);

TEST(every_code_has_one_valid_form) {
  static const unsigned end[] = {0, 0x80, 0x800, 0x10000, 0x200000};
  for (size_t count = 1; count <= 4; count++)
    for (unsigned code = 0; code < end[count]; code++)
      if (!is_judged_right(code, count)) /* a check for each is slow */
        ck_abort_msg("U+%04X in %zu bytes", code, count);
}

TEST(no_byte_is_valid_where_it_does_not_belong) {
  for (unsigned byte = 0x80; byte < 0x100; byte++) {
    char text[5] = {(char)byte, 'a', 'a', 'a', 'a'};
    ck_assert_int_eq(au_utf8_length(text, 5), -1); /* alone */
    ck_assert_int_eq(au_utf8_length(text, 1), -1);
  }
  for (unsigned byte = 0; byte < 0x100; byte++) {
    if ((byte & 0xC0) == 0x80)
      continue;
    char text[4] = {'\xF1', '\x80', '\x80', (char)byte};
    ck_assert_int_eq(au_utf8_length(text, 4), -1);
    char three[3] = {'\xE1', '\x80', (char)byte};
    ck_assert_int_eq(au_utf8_length(three, 3), -1);
  }
}

/* ASCII goes eight bytes a step; nothing may be missed at any offset. */
TEST(length_counts_code_points_at_every_offset) {
  char text[64];
  for (size_t size = 0; size <= 40; size++) {
    memset(text, 'a', sizeof(text));
    ck_assert_int_eq(au_utf8_length(text, size), (ptrdiff_t)size);
    for (size_t at = 0; at + 4 <= size; at++) {
      memset(text, 'a', sizeof(text));
      encode(0x1F600, 4, text + at);
      ck_assert_int_eq(au_utf8_length(text, size), (ptrdiff_t)size - 3);
      text[at + 3] = 'a';
      ck_assert_int_eq(au_utf8_length(text, size), -1);
    }
    for (size_t at = 0; at < size; at++) {
      memset(text, 0, sizeof(text)); /* NUL is a character */
      text[at] = '\x80';
      ck_assert_int_eq(au_utf8_length(text, size), -1);
    }
  }
}

/* --- strings --------------------------------------------------------------*/

static const struct {
  const char *text;
  size_t size;
  const char *json;
} strings[] = {
    {"", 0, "\"\""},
    {"plain", 5, "\"plain\""},
    {"a\"b", 3, "\"a\\\"b\""},
    {"a\\b", 3, "\"a\\\\b\""},
    {"a/b", 3, "\"a/b\""},
    {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
    {"\0\x01\x1F\x7F", 4, "\"\\u0000\\u0001\\u001f\x7F\""},
    {"\"", 1, "\"\\\"\""},
    {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9,
     "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
    {"a\xFFz", 3, "\"a\xEF\xBF\xBDz\""},
    {"\xC3", 1, "\"\xEF\xBF\xBD\""},
    {"\xF0\x9F\x98", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    {"\xED\xA0\x80\n", 4, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\\n\""},
    {"\"\xFF\"", 3, "\"\\\"\xEF\xBF\xBD\\\"\""},
};

CASE("strings", NULL, NULL);

TEST_EACH(strings_have_the_fewest_escapes,
          sizeof(strings) / sizeof(strings[0])) {
  au_bytes_t json = AU_BYTES_INIT;
  au_json_put_string(&json, strings[_i].text, strings[_i].size);
  ck_assert_str_eq(au_bytes_text(&json), strings[_i].json);
  ck_assert_uint_eq(json.size, strlen(strings[_i].json));
  au_bytes_fini(&json);
}

TEST(texts_end_at_their_nul) {
  au_bytes_t json = AU_BYTES_INIT;
  au_json_put_text(&json, "a\nb");
  au_json_put_text(&json, NULL);
  au_json_put_text(&json, "");
  au_json_put_escaped(&json, "x\"y", 3);
  ck_assert_str_eq(au_bytes_text(&json), "\"a\\nb\"null\"\"x\\\"y");
  au_bytes_fini(&json);
}

int main(void) { return run_tests("json"); }
