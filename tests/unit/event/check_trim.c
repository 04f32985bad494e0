/* SPDX-License-Identifier: MIT
 *
 * check_trim - values that are made storable, and metadata that is never too
 * large: what is left out, what is kept, and when that is marked.
 */
#include "event/trim.h"

#include "event/storable.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

static au_limits_t limits;
static au_trim_t trim;
static au_value_t value;

static void set_up(void) {
  limits = (au_limits_t){.metadata_max_bytes = 16384,
                         .metadata_max_keys = 100,
                         .metadata_max_depth = 5};
  au_trim_init(&trim, &limits, NULL);
  value = (au_value_t){.max = 0};
}

static void tear_down(void) {
  au_trim_fini(&trim);
  au_value_fini(&value);
}

static const char *json_of(au_bytes_t *bytes) {
  const char *text = au_bytes_text(bytes);
  ck_assert_ptr_nonnull(text);
  return text;
}

/* --- text -----------------------------------------------------------------*/

CASE("text", set_up, tear_down);

static void assert_text(const char *text, size_t size, size_t max,
                        const char *expected, bool is_cut) {
  au_bytes_t to = AU_BYTES_INIT;
  au_bytes_put_string(&to, "");
  au_bytes_reserve(&to, 1);
  ck_assert_int_eq(au_storable_put_text(&to, text, size, max), is_cut);
  ck_assert_str_eq(json_of(&to), expected);
  au_bytes_fini(&to);
}

TEST(text_is_cut_between_two_characters) {
  assert_text("zo\xC3\xAB\xF0\x9F\x98\x80", 8, 4, "zo\xC3\xAB\xF0\x9F\x98\x80",
              false);
  assert_text("zo\xC3\xAB\xF0\x9F\x98\x80", 8, 3, "zo\xC3\xAB", true);
  assert_text("zo\xC3\xAB\xF0\x9F\x98\x80", 8, 2, "zo", true);
  assert_text("zo", 2, 0, "", true);
  assert_text("", 0, 0, "", false);
}

TEST(what_cannot_be_stored_is_replaced) {
  assert_text("a\0b", 3, 3, "a" REPLACEMENT "b", false);
  assert_text("a\0b", 3, 2, "a" REPLACEMENT, true);
  assert_text("\xFF\xC3", 2, 9, REPLACEMENT REPLACEMENT, false);
  /* Half a surrogate pair, as three bytes. */
  assert_text("\xED\xA0\x80", 3, 9, REPLACEMENT REPLACEMENT REPLACEMENT, false);
}

TEST(a_string_is_escaped_and_replaced) {
  au_bytes_t to = AU_BYTES_INIT;
  au_storable_put_escaped(&to, "\"\\\n\x01\0\xFFz", 7);
  ck_assert_str_eq(json_of(&to),
                   "\\\"\\\\\\n\\u0001" REPLACEMENT REPLACEMENT "z");
  au_bytes_fini(&to);
}

/* --- values ---------------------------------------------------------------*/

CASE("values", set_up, tear_down);

TEST(a_value_is_counted) {
  au_value_begin(&value, 1000);
  au_value_open(&value, '{');
  au_value_key(&value, "a\0", 2);
  au_value_open(&value, '[');
  au_value_number(&value, "1", 1);
  au_value_literal(&value, "null");
  au_value_open(&value, '{');
  au_value_close(&value, '}');
  au_value_close(&value, ']');
  au_value_key(&value, "b", 1);
  au_value_string(&value, "\xFF", 1);
  au_value_close(&value, '}');
  ck_assert_str_eq(json_of(&value.json),
                   "{\"a" REPLACEMENT "\":[1,null,{}],\"b\":\"" REPLACEMENT
                   "\"}");
  ck_assert_uint_eq(value.keys, 2);
  ck_assert_uint_eq(value.depth, 3);
  ck_assert(!value.is_long);
}

TEST(a_number_that_jsonb_does_not_hold_is_a_string) {
  au_value_begin(&value, 1000);
  au_value_open(&value, '[');
  au_value_number(&value, "1e400", 5);
  au_value_number(&value, "1e399", 5);
  au_value_number(&value, "-1E-99999999999", 15);
  au_value_close(&value, ']');
  ck_assert_str_eq(json_of(&value.json),
                   "[\"1e400\",1e399,\"-1E-99999999999\"]");
}

TEST(what_is_longer_than_asked_for_is_not_kept) {
  au_value_begin(&value, 3);
  au_value_open(&value, '[');
  au_value_string(&value, "", 0);
  ck_assert(!value.is_long);
  au_value_string(&value, "", 0);
  ck_assert(value.is_long);
  size_t size = value.json.size;
  au_value_string(&value, "much more", 9);
  au_value_close(&value, ']');
  ck_assert_uint_eq(value.json.size, size);
  au_value_begin(&value, 3);
  ck_assert(!value.is_long);
}

TEST(a_value_as_long_as_asked_for_is_kept) {
  au_value_begin(&value, 4);
  au_value_string(&value, "ab", 2);
  ck_assert(!value.is_long);
  au_value_begin(&value, 3);
  au_value_string(&value, "ab", 2);
  ck_assert(value.is_long);
}

/* --- metadata -------------------------------------------------------------*/

CASE("metadata", set_up, tear_down);

static bool put(const char *name, const char *text) {
  au_value_begin(&value, limits.metadata_max_bytes);
  au_value_string(&value, text, strlen(text));
  return au_trim_put(&trim, name, strlen(name), &value);
}

/* Of so many brackets. */
static bool put_deep(const char *name, size_t depth) {
  au_value_begin(&value, limits.metadata_max_bytes);
  for (size_t i = 0; i < depth; i++)
    au_value_open(&value, '[');
  for (size_t i = 0; i < depth; i++)
    au_value_close(&value, ']');
  return au_trim_put(&trim, name, strlen(name), &value);
}

#define assert_json(expected) ck_assert_str_eq(json_of(&trim.json), expected)

TEST(what_fits_bears_no_mark) {
  limits.metadata_max_bytes = sizeof("{\"a\":\"1\",\"b\":\"2\"}") - 1;
  limits.metadata_max_keys = 2;
  au_trim_begin(&trim, false);
  ck_assert(put("a", "1"));
  ck_assert(put("b", "2"));
  ck_assert(au_trim_end(&trim));
  assert_json("{\"a\":\"1\",\"b\":\"2\"}");
  ck_assert(!au_trim_is_empty(&trim));
}

TEST(nothing_is_empty) {
  au_trim_begin(&trim, false);
  ck_assert(au_trim_end(&trim));
  assert_json("{}");
  ck_assert(au_trim_is_empty(&trim));
}

TEST(what_does_not_fit_is_left_out_and_the_next_is_tried) {
  limits.metadata_max_bytes = 40;
  for (int pass = 0; pass < 2; pass++) {
    au_trim_begin(&trim, pass > 0);
    ck_assert(put("a", "1"));
    ck_assert(!put("b", "0123456789012345678901234567890123456789"));
    ck_assert(put("c", "3"));
    ck_assert_int_eq(au_trim_end(&trim), pass > 0);
  }
  assert_json("{\"a\":\"1\",\"c\":\"3\",\"truncated\":true}");
}

/* The mark has its place before anything else has one. */
TEST(the_mark_counts_within_the_limits) {
  limits.metadata_max_bytes = sizeof("{\"a\":\"1\",\"truncated\":true}") - 1;
  au_trim_begin(&trim, true);
  ck_assert(put("a", "1"));
  ck_assert(!put("b", ""));
  ck_assert(au_trim_end(&trim));
  assert_json("{\"a\":\"1\",\"truncated\":true}");
  limits.metadata_max_bytes--;
  au_trim_begin(&trim, true);
  ck_assert(!put("a", "1"));
  ck_assert(put("a", ""));
  ck_assert(au_trim_end(&trim));
  assert_json("{\"a\":\"\",\"truncated\":true}");
  limits.metadata_max_keys = 1;
  au_trim_begin(&trim, true);
  ck_assert(!put("a", ""));
  ck_assert(au_trim_end(&trim));
  assert_json("{\"truncated\":true}");
}

TEST(the_mark_replaces_a_member_of_its_name) {
  au_trim_begin(&trim, true);
  ck_assert(put("truncated", "no"));
  ck_assert(put("a", "1"));
  ck_assert(au_trim_end(&trim));
  assert_json("{\"a\":\"1\",\"truncated\":true}");
  au_trim_begin(&trim, false);
  ck_assert(put("truncated", "no"));
  ck_assert(au_trim_end(&trim));
  assert_json("{\"truncated\":\"no\"}");
}

TEST(a_limit_that_has_no_room_for_the_mark) {
  limits.metadata_max_bytes = 2;
  au_trim_begin(&trim, true);
  ck_assert(!put("a", ""));
  ck_assert(au_trim_end(&trim));
  assert_json("{}");
}

TEST(keys_of_all_levels_count) {
  limits.metadata_max_keys = 3;
  au_trim_begin(&trim, false);
  au_value_begin(&value, 100);
  au_value_open(&value, '{');
  au_value_key(&value, "x", 1);
  au_value_literal(&value, "true");
  au_value_key(&value, "y", 1);
  au_value_literal(&value, "true");
  au_value_close(&value, '}');
  ck_assert(au_trim_put(&trim, "a", 1, &value));
  ck_assert(!put("b", ""));
  ck_assert(!au_trim_end(&trim));
}

TEST(what_is_too_deep_becomes_its_json_as_text) {
  limits.metadata_max_depth = 2;
  au_trim_begin(&trim, false);
  ck_assert(put_deep("a", 2));
  ck_assert(put_deep("b", 3));
  ck_assert(au_trim_end(&trim));
  assert_json("{\"a\":[[]],\"b\":\"[[[]]]\"}");
}

TEST(a_name_is_made_storable_too) {
  au_trim_begin(&trim, false);
  au_value_begin(&value, 100);
  au_value_literal(&value, "null");
  ck_assert(au_trim_put(&trim, "\0\"\xFF", 3, &value));
  ck_assert(au_trim_end(&trim));
  assert_json("{\"" REPLACEMENT "\\\"" REPLACEMENT "\":null}");
}

/* --- objects in it --------------------------------------------------------*/

CASE("objects", set_up, tear_down);

TEST(an_object_has_members_of_its_own) {
  au_trim_begin(&trim, false);
  ck_assert(put("a", "1"));
  ck_assert(au_trim_open(&trim, "o", 1));
  ck_assert(put("b", "2"));
  ck_assert(put("c", "3"));
  au_trim_close(&trim);
  ck_assert(put("d", "4"));
  ck_assert(au_trim_end(&trim));
  assert_json("{\"a\":\"1\",\"o\":{\"b\":\"2\",\"c\":\"3\"},\"d\":\"4\"}");
  ck_assert_uint_eq(trim.keys, 5);
}

TEST(an_object_without_a_member_vanishes) {
  for (int is_first = 0; is_first < 2; is_first++) {
    au_trim_begin(&trim, false);
    ck_assert(is_first || put("a", "1"));
    ck_assert(au_trim_open(&trim, "o\"\\", 3));
    ck_assert(au_trim_open(&trim, "p", 1));
    au_trim_close(&trim);
    au_trim_close(&trim);
    ck_assert(put("d", "4"));
    ck_assert(au_trim_end(&trim));
    if (is_first)
      assert_json("{\"d\":\"4\"}");
    else
      assert_json("{\"a\":\"1\",\"d\":\"4\"}");
    ck_assert_uint_eq(trim.keys, is_first ? 1 : 2);
  }
}

/* Members on three levels, as many as fit. */
static void put_some(void) {
  (void)put("a", "1");
  if (au_trim_open(&trim, "o", 1)) {
    (void)put("b", "0123456789");
    (void)put("truncated", "0123456789");
    if (au_trim_open(&trim, "p", 1)) {
      (void)put("c", "0123456789");
      au_trim_close(&trim);
    }
    au_trim_close(&trim);
  }
  (void)put("d", "4");
}

TEST(an_object_loses_members_and_stays_whole) {
  for (size_t max = 2; max < 120; max++) {
    limits.metadata_max_bytes = max;
    bool has_mark = false;
    do {
      au_trim_begin(&trim, has_mark);
      put_some();
      ck_assert(!has_mark || trim.is_short);
      has_mark = !has_mark;
    } while (!au_trim_end(&trim));
    ck_assert_uint_le(trim.json.size, max);
    const char *json = json_of(&trim.json);
    ck_assert_int_eq(json[0], '{');
    ck_assert_int_eq(json[trim.json.size - 1], '}');
    ck_assert_int_eq(strstr(json, "\"truncated\":true") != NULL,
                     max >= 18 && trim.is_short);
  }
}

TEST(a_value_in_an_object_is_deeper_by_one) {
  limits.metadata_max_depth = 2;
  au_trim_begin(&trim, false);
  ck_assert(au_trim_open(&trim, "o", 1));
  ck_assert(put_deep("a", 1));
  ck_assert(put_deep("b", 2));
  ck_assert(au_trim_open(&trim, "p", 1));
  ck_assert(put_deep("c", 1));
  ck_assert(!au_trim_open(&trim, "q", 1));
  au_trim_close(&trim);
  au_trim_close(&trim);
  assert_json("{\"o\":{\"a\":[],\"b\":\"[[]]\",\"p\":{\"c\":\"[]\"}}");
}

int main(void) { return run_tests("trim"); }
