/* SPDX-License-Identifier: MIT
 *
 * check_intake - request bodies: one event, arrays, NDJSON, what is not JSON,
 * a lot of everything, and memory that is short.
 */
#include "support/bodies.h"

#include "support/short_memory.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>

/* --- arrays ---------------------------------------------------------------*/

CASE("arrays", set_up_reader, tear_down_reader);

TEST(an_empty_array_has_no_events) {
  ck_assert_int_eq(parse(" [ ] "), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->total, 0);
  ck_assert(!intake->is_single);
}

TEST(each_element_is_validated_alone) {
  au_bytes_printf(&body, "[%s", with(""));
  au_bytes_printf(&body, ",{},1,\"x\",null,true,[],[[{}],{}]");
  au_bytes_printf(&body, ",%s", with("\"message\":\"second\""));
  au_bytes_printf(&body, ",%s]", with("\"service\":\"\""));
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert(!intake->is_single);
  ck_assert_uint_eq(intake->total, 10);
  ck_assert_uint_eq(intake->rows.count, 2);
  assert_slice(event_of(0).message, "m");
  assert_slice(event_of(1).message, "second");
  static const size_t index[] = {1, 2, 3, 4, 5, 6, 7, 9};
  ck_assert_uint_eq(intake->errors_count, 8);
  for (size_t i = 0; i < 8; i++) {
    ck_assert_uint_eq(intake->errors[i].index, index[i]);
    if (i > 0 && i < 7)
      ck_assert_str_eq(errors_of(i), NOT_OBJECT);
  }
  ck_assert_str_eq(errors_of(0), ALL_MISSING);
  ck_assert_str_eq(errors_of(7),
                   "[" FIELD("service", NOT_EMPTY("service")) "]");
}

/* Nothing of one event may be seen in the next. */
TEST(an_event_knows_nothing_of_the_one_before) {
  ck_assert_int_eq(
      parse("[{\"timestamp\":0,\"service\":\"a\\n\",\"message\":\"b\\n\","
            "\"metadata\":{\"a\":1},\"x\":1},"
            "{\"timestamp\":1,\"service\":\"c\",\"message\":\"d\"},{}]"),
      AU_INTAKE_DONE);
  ck_assert_str_eq(errors_of(0), "[" UNKNOWN("x") "]");
  ck_assert_str_eq(errors_of(1), ALL_MISSING);
  assert_slice(event_of(0).service, "c");
  ck_assert_ptr_null(event_of(0).metadata.data);
}

TEST(the_ids_of_a_request_rise) {
  au_bytes_printf(&body, "[%s", with(""));
  for (int i = 1; i < 1000; i++)
    au_bytes_printf(&body, ",%s", with(""));
  au_bytes_put_string(&body, "]");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 1000);
  for (size_t i = 1; i < 1000; i++)
    ck_assert_int_lt(memcmp(&intake->ids[i - 1], &intake->ids[i], 8), 0);
}

static const char *const scalars[] = {"1",    "-1.5e3",    "\"x\"", "true",
                                      "null", " \"\\n\" ", "12345"};

TEST_EACH(a_scalar_is_an_event_that_is_not_an_object, COUNT_OF(scalars)) {
  assert_refused(scalars[_i], NOT_OBJECT);
  ck_assert(intake->is_single);
  ck_assert_uint_eq(intake->total, 1);
}

TEST(no_more_than_the_limit_of_events) {
  limits.max_batch_events = 3;
  ck_assert_int_eq(parse("[{},1,{}]"), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->total, 3);
  ck_assert_int_eq(parse("[{},1,{},{}]"), AU_INTAKE_TOO_MANY);
  ck_assert_int_eq(parse("[{},1,{},4]"), AU_INTAKE_TOO_MANY);
  ck_assert_int_eq(parse("[{},1,{},[]]"), AU_INTAKE_TOO_MANY);
  /* At once: what follows is not even looked at. */
  ck_assert_int_eq(parse("[{},1,{},{ nonsense"), AU_INTAKE_TOO_MANY);
  ck_assert_int_eq(parse_lines("{}\n{}\n3\n"), AU_INTAKE_DONE);
  ck_assert_int_eq(parse_lines("{}\n{}\n3\n{}"), AU_INTAKE_TOO_MANY);
  assert_accepted(with(""));
}

/* --- NDJSON ---------------------------------------------------------------*/

CASE("lines", set_up_reader, tear_down_reader);

TEST(lines_are_events) {
  au_bytes_printf(&body, "%s\r\n", with(""));
  au_bytes_printf(&body, "\n \t\r\n\r\n%s\n", with("\"message\":\"\\n\""));
  au_bytes_printf(&body, "  %s  \n", with("\"message\":\"third\""));
  au_bytes_printf(&body, "%s", with("\"message\":\"last\""));
  ck_assert_int_eq(parse_bytes(AU_FORMAT_NDJSON, body.data, body.size),
                   AU_INTAKE_DONE);
  ck_assert(!intake->is_single);
  ck_assert_uint_eq(intake->rows.count, 4);
  assert_slice(event_of(1).message, "\n");
  assert_slice(event_of(2).message, "third");
  assert_slice(event_of(3).message, "last");
}

TEST(a_single_line_is_still_a_batch) {
  ck_assert_int_eq(parse_lines(with("")), AU_INTAKE_DONE);
  ck_assert(!intake->is_single);
  ck_assert_uint_eq(intake->rows.count, 1);
}

TEST(no_lines_are_no_events) {
  static const char *const empty[] = {
      "", "\n", "\r\n", " ", "\n\n \t \r\n", "\xEF\xBB\xBF", "\xEF\xBB\xBF\n"};
  for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
    ck_assert_int_eq(parse_lines(empty[i]), AU_INTAKE_DONE);
    ck_assert_uint_eq(intake->total, 0);
    ck_assert(!intake->is_single);
  }
}

TEST(a_line_that_is_no_object_is_refused_alone) {
  au_bytes_printf(&body, "[{},{}]\n3\n\"x\"\nnull\n%s\n[]", with(""));
  ck_assert_int_eq(parse_bytes(AU_FORMAT_NDJSON, body.data, body.size),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->total, 6);
  ck_assert_uint_eq(intake->rows.count, 1);
  for (size_t i = 0; i < 5; i++) {
    ck_assert_str_eq(errors_of(i), NOT_OBJECT);
    ck_assert_uint_eq(intake->errors[i].index, i < 4 ? i : 5);
  }
}

#define NOT_JSON(text)                                                         \
  "[" FIELD("event", "\"isJson\":\"event must be JSON: " text "\"") "]"

/* The first line that is not JSON, after a good one and before another; the
 * byte is that of the line. */
static const struct {
  const char *line;
  const char *message;
} bad_lines[] = {
    {"{", NOT_JSON("unexpected end of JSON at byte 1")},
    {"[", NOT_JSON("unexpected end of JSON at byte 1")},
    {"  [\r", NOT_JSON("unexpected end of JSON at byte 4")},
    {"x", NOT_JSON("unexpected character at byte 0")},
    {"\"a", NOT_JSON("unexpected end of JSON at byte 2")},
    {"b\"", NOT_JSON("unexpected character at byte 0")},
    {"{}{}", NOT_JSON("more than one JSON value in a line at byte 2")},
    {"{} 7", NOT_JSON("more than one JSON value in a line at byte 4")},
    {"7 {}", NOT_JSON("more than one JSON value in a line at byte 2")},
    {"{},", NOT_JSON("unexpected character at byte 2")},
    {"\f", NOT_JSON("unexpected character at byte 0")},
    {"{\"a\": \v1}", NOT_JSON("unexpected character at byte 6")},
    {"\xEF\xBB\xBF{}", NOT_JSON("unexpected character at byte 0")},
    {"{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\"} x",
     NOT_JSON("unexpected character at byte 44")},
    {"{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\"}{}",
     NOT_JSON("more than one JSON value in a line at byte 43")},
    {"{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\"",
     NOT_JSON("unexpected end of JSON at byte 42")},
};

TEST_EACH(a_line_that_is_not_json_is_refused_alone, COUNT_OF(bad_lines)) {
  for (int has_mark = 0; has_mark < 2; has_mark++) {
    au_bytes_clear(&body, SIZE_MAX);
    au_bytes_put_string(&body, has_mark ? "\xEF\xBB\xBF" : "");
    au_bytes_printf(&body, "%s\n", with("\"message\":\"before\""));
    au_bytes_printf(&body, "%s\n", bad_lines[_i].line);
    au_bytes_put_string(&body, with("\"message\":\"after\""));
    ck_assert_int_eq(parse_bytes(AU_FORMAT_NDJSON, body.data, body.size),
                     AU_INTAKE_DONE);
    ck_assert_uint_eq(intake->total, 3);
    ck_assert_uint_eq(intake->rows.count, 2);
    assert_slice(event_of(0).message, "before");
    assert_slice(event_of(1).message, "after");
    ck_assert_uint_eq(intake->errors_listed, 1);
    ck_assert_uint_eq(intake->errors[0].index, 1);
    ck_assert_str_eq(errors_of(0), bad_lines[_i].message);
  }
}

/* Also where it is the first or the last one, and the only one. */
TEST(lines_of_which_none_is_json) {
  ck_assert_int_eq(parse_lines("\xEF\xBB\xBFx"), AU_INTAKE_DONE);
  ck_assert_str_eq(errors_of(0), NOT_JSON("unexpected character at byte 0"));
  ck_assert_int_eq(parse_lines("{\n}\n"), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->total, 2);
  ck_assert_uint_eq(intake->errors_count, 2);
}

TEST(bad_lines_count_within_the_limit_of_events) {
  limits.max_batch_events = 2;
  ck_assert_int_eq(parse_lines("{\nx\n"), AU_INTAKE_DONE);
  ck_assert_int_eq(parse_lines("{\nx\n+"), AU_INTAKE_TOO_MANY);
}

/* More than can be listed: what is told stays bounded. */
TEST(many_bad_lines) {
  for (int i = 0; i < 5000; i++)
    au_bytes_put_string(&body, "{\"a\"\n");
  ck_assert_int_eq(parse_bytes(AU_FORMAT_NDJSON, body.data, body.size),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->errors_count, 5000);
  ck_assert_uint_eq(intake->errors_listed, AU_ERRORS_LISTED_MAX);
}

/* --- several values -------------------------------------------------------*/

CASE("values", set_up_reader, tear_down_reader);

TEST(values_may_follow_each_other) {
  static const char *const between[] = {"", " ", "\n", "\r\n\t"};
  for (size_t i = 0; i < COUNT_OF(between); i++) {
    au_bytes_clear(&body, SIZE_MAX);
    au_bytes_put_string(&body, with("\"message\":\"0\""));
    au_bytes_printf(&body, "%s%s", between[i], with("\"message\":\"1\""));
    au_bytes_printf(&body, "%s[%s,{}", between[i], with("\"message\":\"2\""));
    au_bytes_printf(&body, "]%s[]%s", between[i], between[i]);
    au_bytes_put_string(&body, with("\"message\":\"4\""));
    ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
    ck_assert(!intake->is_single);
    ck_assert_uint_eq(intake->total, 5);
    ck_assert_uint_eq(intake->rows.count, 4);
    ck_assert_uint_eq(intake->errors[0].index, 3);
    assert_slice(event_of(0).message, "0");
    assert_slice(event_of(1).message, "1");
    assert_slice(event_of(2).message, "2");
    assert_slice(event_of(3).message, "4");
  }
}

static const char *const several[] = {"{}{}", "{}[]", "[]{}", "{}1",
                                      "1 2",  "[{}]", "[]",   "[] []"};

TEST_EACH(several_values_are_a_list, COUNT_OF(several)) {
  ck_assert_int_eq(parse(several[_i]), AU_INTAKE_DONE);
  ck_assert(!intake->is_single);
  ck_assert_int_eq(parse("{}"), AU_INTAKE_DONE);
  ck_assert(intake->is_single);
}

/* --- not JSON -------------------------------------------------------------*/

static const struct {
  const char *body;
  const char *message;
} malformed[] = {
    {"", "unexpected end of JSON at byte 0"},
    {"  \n", "unexpected end of JSON at byte 3"},
    {"\xEF\xBB\xBF", "unexpected end of JSON at byte 3"},
    {"{", "unexpected end of JSON at byte 1"},
    {"{\"a\"", "unexpected end of JSON at byte 4"},
    {"{\"a\":", "unexpected end of JSON at byte 5"},
    {"{\"a\":1", "unexpected end of JSON at byte 6"},
    {"[{},", "unexpected end of JSON at byte 4"},
    {"[1", "unexpected end of JSON at byte 2"},
    {"\"abc", "unexpected end of JSON at byte 4"},
    {"\"abc\\", "unexpected end of JSON at byte 5"},
    {"\"abc\\u12", "unexpected end of JSON at byte 8"},
    {"tru", "unexpected end of JSON at byte 3"},
    {"-", "unexpected end of JSON at byte 1"},
    {"1.", "unexpected end of JSON at byte 2"},
    {"x", "unexpected character at byte 0"},
    {"\xEF\xBB\xBFx", "unexpected character at byte 3"},
    {"\xEF\xBB", "unexpected character at byte 0"},
    {"\xFE\xFF", "unexpected character at byte 0"},
    {"[\x01]", "unexpected character at byte 1"},
    {"['a']", "unexpected character at byte 1"},
    {"]", "unexpected character at byte 0"},
    {"{\"a\":}", "unexpected character at byte 5"},
    {"[1,]", "unexpected character at byte 3"},
    {"[,1]", "unexpected character at byte 1"},
    {"{\"a\":1,}", "expected a key in double quotes at byte 7"},
    {"{a:1}", "unexpected character at byte 1"},
    {"{1:2}", "expected a key in double quotes at byte 1"},
    {"{\"a\" 1}", "expected ':' at byte 5"},
    {"{\"a\",\"b\"}", "expected ':' at byte 4"},
    {"{\"a\":1 \"b\\\"c\":2}", "expected ',' or '}' at byte 7"},
    {"[1 true]", "expected ',' or ']' at byte 3"},
    {"[\"a\" -15.0e3 ]", "expected ',' or ']' at byte 5"},
    {"[1}", "expected ',' or ']' at byte 2"},
    {"[nul]", "unexpected character at byte 4"},
    {"[NaN]", "unexpected character at byte 1"},
    {"[+1]", "unexpected character at byte 1"},
    {"[-x]", "malformed number at byte 2"},
    {"[1.x]", "malformed number at byte 3"},
    {"[1e+]", "malformed number at byte 4"},
    {"[0x10]", "unexpected character at byte 2"},
    {"[\"a\\x\"]", "invalid escape in a string at byte 4"},
    {"[\"\\u12g4\"]", "invalid escape in a string at byte 6"},
    {"[\"\\ud8zz\"]", "invalid escape in a string at byte 6"},
    {"[\"a\tb\"]", "control character in a string at byte 3"},
    {"[1, /* no */ 2]", "unexpected character at byte 4"},
    {"{} x", "unexpected character at byte 3"},
    {"{}\n{", "unexpected end of JSON at byte 4"},
    {"[]{]", "expected a key in double quotes at byte 3"},
    {"1 2 +3", "unexpected character at byte 4"},
    {"{}]", "unexpected character at byte 2"},
    {"{},", "unexpected character at byte 2"},
    {"{}\f", "unexpected character at byte 2"},
    {"[\v\f1]", "unexpected character at byte 1"},
    {"[1\f\v]", "unexpected character at byte 2"},
    {"{\"a\":\"\"1}", "expected ',' or '}' at byte 7"},
    {"{\"a\": \"\" 1}", "expected ',' or '}' at byte 9"},
    {"{\"a\":1\"\"}", "expected ',' or '}' at byte 6"},
    {"{\"a\":1:2}", "expected ',' or '}' at byte 6"},
    {"{\"a\":[1] 25}", "expected ',' or '}' at byte 9"},
};

CASE("malformed", set_up_reader, tear_down_reader);

TEST_EACH(malformed_bodies_are_refused, COUNT_OF(malformed)) {
  const char *text = malformed[_i].body;
  ck_assert_int_eq(parse_bytes(AU_FORMAT_JSON, text, strlen(text)),
                   AU_INTAKE_MALFORMED);
  ck_assert_str_eq(intake->message, malformed[_i].message);
  /* And it is as good as new. */
  assert_accepted(with(""));
  ck_assert_str_eq(intake->message, "");
}

TEST(a_nul_does_not_end_a_body) {
  ck_assert_int_eq(parse_bytes(AU_FORMAT_JSON, "{}\0", 3), AU_INTAKE_MALFORMED);
  ck_assert_str_eq(intake->message, "unexpected character at byte 2");
  ck_assert_int_eq(parse_bytes(AU_FORMAT_JSON, "[\"\0\"]", 5),
                   AU_INTAKE_MALFORMED);
  ck_assert_str_eq(intake->message, "control character in a string at byte 2");
}

TEST(an_empty_body_needs_no_address) {
  ck_assert_int_eq(au_reader_read(&reader, AU_FORMAT_JSON, NULL, 0, NOW),
                   AU_INTAKE_MALFORMED);
  ck_assert_int_eq(au_reader_read(&reader, AU_FORMAT_NDJSON, NULL, 0, NOW),
                   AU_INTAKE_DONE);
}

/* What is found wrong before the end does not count. */
TEST(a_malformed_end_refuses_the_events_before_it) {
  au_bytes_printf(&body, "[%s,{},%s", with(""), "x");
  ck_assert_int_eq(parse_body(), AU_INTAKE_MALFORMED);
  ck_assert_uint_eq(intake->rows.bytes.size, 0);
  ck_assert_uint_eq(intake->errors_json.size, 0);
}

TEST(a_byte_order_mark_is_skipped) {
  au_bytes_printf(&body, "\xEF\xBB\xBF%s", with(""));
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 1);
  ck_assert_int_eq(parse_bytes(AU_FORMAT_NDJSON, body.data, body.size),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 1);
}

/* --- a lot ----------------------------------------------------------------*/

#define MILLION 1000000

static void put_times(size_t count, const char *text) {
  for (size_t i = 0; i < count; i++)
    au_bytes_put_string(&body, text);
}

static void put_million(const char *before, const char *open,
                        const char *middle, const char *close,
                        const char *after) {
  au_bytes_clear(&body, SIZE_MAX);
  au_bytes_put_string(&body, before);
  put_times(MILLION, open);
  au_bytes_put_string(&body, middle);
  put_times(MILLION, close);
  au_bytes_put_string(&body, after);
}

CASE("memory", set_up_reader, tear_down_reader);

TEST(a_million_brackets_are_read_without_recursion) {
  put_million("", "[", "", "", "");
  ck_assert_int_eq(parse_body(), AU_INTAKE_MALFORMED);
  put_million("", "[", "", "]", "");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_str_eq(errors_of(0), NOT_OBJECT);
  put_million("", "{\"a\":", "1", "}", "");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->errors_count, 1);
  put_million("{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\","
              "\"metadata\":{\"a\":",
              "[", "", "]", "}}");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_str_eq(
      errors_of(0),
      "[" FIELD("metadata",
                SIZE_VALID("metadata must be at most 5 levels deep")) "]");
  put_million("{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\","
              "\"metadata\":{\"a\":",
              "{\"a\":", "1", "}", "}}");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->errors_count, 1);
  assert_accepted(with(""));
}

/* What has been refused takes no memory, and what a huge request took is given
 * back with the next one. */
TEST(memory_is_bounded) {
  put_million("{\"timestamp\":0,\"service\":\"", "\\n", "\",\"message\":\"\\n",
              "x", "\",\"metadata\":{\"a\":\"\\n\"}}");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_str_eq(
      errors_of(0),
      "[" FIELD("service", NOT_EMPTY("service") "," SERVICE_LENGTH) "," FIELD(
          "message", MESSAGE_LENGTH) "]");
  put_million("[{\"metadata\":{\"k\":[", "1,", "\"\\n", "y", "\"]}}]");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->errors_count, 1);

  limits.max_batch_events = MILLION;
  au_bytes_clear(&body, 0);
  au_bytes_put_string(&body, "[1");
  for (int i = 0; i < 10000; i++)
    au_bytes_printf(&body, ",%s,2", with("\"metadata\":{\"a\":\"\\ud800\"}"));
  for (int i = 0; i < 10000; i++)
    au_bytes_printf(&body, ",%s", with(""));
  au_bytes_put_string(&body, "]");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 10000);
  ck_assert_uint_eq(intake->errors_count, 20001);
  assert_accepted(with(""));
  ck_assert_uint_le(intake->rows.bytes.capacity +
                        intake->rows.capacity * sizeof(uint32_t) +
                        intake->ids_capacity * sizeof(au_uuid_t) +
                        intake->errors_json.capacity + intake->refused.capacity,
                    256U << 10);
}

/* Every allocation of a request fails once; the next request is taken. */
TEST(without_memory_one_request_is_refused_and_no_other) {
  const char *more =
      "\"metadata\":{\"\\u00e9\":[1,2.5e1,\"\\n\"]},\"x\\n\":\"\\ud800\"";
  au_bytes_printf(&body, "[%s,7,", with(more));
  au_bytes_printf(&body, "%s,", with("\"metadata\":{\"a\":\"\\n\"}"));
  for (int i = 0; i < 100; i++)
    au_bytes_printf(&body, "%s,{},", with("\"service\":\"\\u0041\""));
  put_times(300, "[");
  put_times(300, "]");
  au_bytes_put_string(&body, "]");
  long failures = 0;
  for (long n = 1;; n++) {
    au_reader_fini(&reader);
    ck_assert_int_eq(au_reader_init(&reader, &limits), AU_OK);
    fail_memory(n, 1);
    au_intake_result_t result = au_reader_read(
        &reader, AU_FORMAT_JSON, (const char *)body.data, body.size, NOW);
    if (!memory_failed()) {
      ck_assert_int_eq(result, AU_INTAKE_DONE);
      break;
    }
    /* The pool of random bytes can be done without, and what the scan has no
     * memory for is read again. */
    if (result != AU_INTAKE_DONE) {
      ck_assert_int_eq(result, AU_INTAKE_NOMEM);
      ck_assert_uint_eq(intake->total + intake->rows.count, 0);
      failures++;
    }
    ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
    ck_assert_uint_eq(intake->rows.count, 101);
    ck_assert_uint_eq(intake->errors_count, 103);
  }
  ck_assert_int_gt(failures, 10);
}

TEST(without_memory_there_is_no_reader) {
  au_reader_t other;
  long n = 1;
  for (;; n++) {
    fail_memory(n, 1);
    au_status_t status = au_reader_init(&other, &limits);
    if (!memory_failed()) {
      ck_assert_int_eq(status, AU_OK);
      break;
    }
    ck_assert_int_eq(status, AU_NOMEM);
  }
  ck_assert_int_gt(n, 2);
  au_reader_fini(&other);
}

/* Also the text of an error needs memory; it is short then, and no more. */
TEST(without_memory_an_error_is_shorter) {
  for (long n = 1; n <= 30; n++) {
    fail_memory(n, 1);
    au_intake_result_t result =
        au_reader_read(&reader, AU_FORMAT_JSON, "[1 2]", 5, NOW);
    memory_failed();
    if (result == AU_INTAKE_MALFORMED)
      ck_assert_ptr_nonnull(strstr(intake->message, " at byte 3"));
    else
      ck_assert_int_eq(result, AU_INTAKE_NOMEM);
  }
  ck_assert_int_eq(parse("[1 2]"), AU_INTAKE_MALFORMED);
  ck_assert_str_eq(intake->message, "expected ',' or ']' at byte 3");
}

/* --- names ----------------------------------------------------------------*/

CASE("names", set_up_reader, tear_down_reader);

#define ID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
#define TIMED "{\"timestamp\":1732437866123,\"service\":\"s\",\"message\":\"m\""
/* Of 32 zeros, with and without that time. */
#define WITH_TIME "01935d57-f68b-8000-8000-000000000000"
#define WITHOUT_TIME "00000000-0000-8000-8000-000000000000"

static void name_it(au_named_by_t by) {
  const au_naming_t naming = {.by = by};
  au_reader_name(&reader, &naming);
}

/* The n-th event that was accepted. */
static void assert_stored(size_t n, au_row_kind_t kind, const char *id) {
  ck_assert_int_eq(intake->rows.row[n].kind, kind);
  const au_event_t event = event_of(n);
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(&event.id, text);
  if (id != NULL)
    ck_assert_str_eq(text, id);
  else
    ck_assert_int_eq(text[14], '7');
}

TEST(without_a_name_ids_are_new) {
  ck_assert_int_eq(parse("[" TIMED "}," TIMED ",\"event_id\":\"" ID "\"}]"),
                   AU_INTAKE_DONE);
  assert_stored(0, AU_ROW_EVENT, NULL);
  assert_stored(1, AU_ROW_IDENTIFIED, ID);
}

/* Refused events count, and those with an id of their own. */
TEST_EACH(ids_follow_from_the_name, 2) {
  name_it(_i == 0 ? AU_NAMED_BY_BYTES : AU_NAMED_BY_KEY);
  ck_assert_int_eq(
      parse("[" TIMED "},{}," TIMED ",\"event_id\":\"" ID "\"},7," TIMED "}]"),
      AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 3);
  assert_stored(0, AU_ROW_NUMBERED, WITH_TIME);
  assert_stored(1, AU_ROW_IDENTIFIED, ID);
  assert_stored(2, AU_ROW_NUMBERED, "01935d57-f68b-8000-8000-000000000004");
  /* The next body goes by nothing. */
  ck_assert_int_eq(parse(TIMED "}"), AU_INTAKE_DONE);
  assert_stored(0, AU_ROW_EVENT, NULL);
}

/* The first event that bears one, refused or not, and whatever its id. */
static const char *const first_times[] = {
    "[" TIMED "},{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\"}]",
    "[{},{\"timestamp\":\"x\"},{\"timestamp\":1732437866123}," TIMED "},"
    "{\"timestamp\":0}]",
    "[" TIMED ",\"event_id\":\"" ID "\"},{\"timestamp\":9,\"service\":\"s\","
    "\"message\":\"m\"}]",
    "[{\"timestamp\":5,\"timestamp\":\"soon\"},{\"timestamp\":5,\"timestamp\":"
    "1732437866123},{\"timestamp\":9,\"service\":\"s\",\"message\":\"m\"}]"};

TEST_EACH(the_first_time_is_part_of_the_name, COUNT_OF(first_times)) {
  name_it(AU_NAMED_BY_BYTES);
  ck_assert_int_eq(parse(first_times[_i]), AU_INTAKE_DONE);
  ck_assert_uint_gt(intake->rows.count, 0);
  const au_event_t last = event_of(intake->rows.count - 1);
  static const uint8_t time[] = {0x01, 0x93, 0x5d, 0x57, 0xf6, 0x8b};
  ck_assert_mem_eq(last.id.byte, time, sizeof(time));
}

/* As a grammar does whose events need not bear a time. */
static void push_untimed(const char *service) {
  ck_assert_int_eq(au_intake_begin_event(intake), AU_INTAKE_DONE);
  au_validator_field(&intake->event, AU_FIELD_SERVICE);
  au_validator_string(&intake->event, service, strlen(service), AU_TEXT_PLAIN);
  au_validator_field(&intake->event, AU_FIELD_MESSAGE);
  au_validator_string(&intake->event, "m", 1, AU_TEXT_PLAIN);
  au_validator_assume_time(&intake->event, NOW);
  ck_assert_int_eq(au_intake_end_event(intake), AU_INTAKE_DONE);
}

static void begin_untimed(au_named_by_t by) {
  const au_naming_t naming = {.by = by};
  au_intake_begin(intake, NOW);
  au_intake_name(intake, &naming);
  push_untimed("one");
  push_untimed("two");
}

/* By its bytes, a request whose events bear no time is something new each time;
 * by a key it is not. */
TEST(without_a_time_only_a_key_is_a_name) {
  begin_untimed(AU_NAMED_BY_BYTES);
  au_intake_end(intake);
  assert_stored(0, AU_ROW_EVENT, NULL);
  assert_stored(1, AU_ROW_EVENT, NULL);
  assert_slice(event_of(1).service, "two");
  ck_assert_int_eq(event_of(1).occurred_at_us, NOW);
  begin_untimed(AU_NAMED_BY_KEY);
  au_intake_end(intake);
  assert_stored(0, AU_ROW_NUMBERED, WITHOUT_TIME);
  assert_stored(1, AU_ROW_NUMBERED, "00000000-0000-8000-8000-000000000001");
  assert_slice(event_of(1).service, "two");
}

/* A grammar may find an id elsewhere; the last one counts. */
TEST(a_grammar_identifies_an_event) {
  au_uuid_t id;
  ck_assert(au_uuid_parse(ID, strlen(ID), &id));
  begin_untimed(AU_NAMED_BY_BYTES);
  ck_assert_int_eq(au_intake_begin_event(intake), AU_INTAKE_DONE);
  au_validator_key(&intake->event, "event_id", 8);
  au_validator_string(&intake->event, "none", 4, AU_TEXT_PLAIN);
  au_validator_identify(&intake->event, &id);
  au_validator_field(&intake->event, AU_FIELD_SERVICE);
  au_validator_string(&intake->event, "s", 1, AU_TEXT_PLAIN);
  au_validator_field(&intake->event, AU_FIELD_MESSAGE);
  au_validator_string(&intake->event, "m", 1, AU_TEXT_PLAIN);
  au_validator_field(&intake->event, AU_FIELD_TIMESTAMP);
  au_validator_time(&intake->event, INT64_C(1732437866123000));
  ck_assert_int_eq(au_intake_end_event(intake), AU_INTAKE_DONE);
  au_intake_end(intake);
  assert_stored(0, AU_ROW_NUMBERED, WITH_TIME);
  assert_stored(2, AU_ROW_IDENTIFIED, ID);
}

/* --- reading again --------------------------------------------------------*/

CASE("again", set_up_reader, tear_down_reader);

static void push(const char *service, bool is_good, bool has_time) {
  ck_assert_int_eq(au_intake_begin_event(intake), AU_INTAKE_DONE);
  au_validator_field(&intake->event, AU_FIELD_SERVICE);
  au_validator_string(&intake->event, service, strlen(service), AU_TEXT_PLAIN);
  au_validator_field(&intake->event, AU_FIELD_MESSAGE);
  au_validator_string(&intake->event, "m", is_good ? 1 : 0, AU_TEXT_PLAIN);
  if (has_time) {
    au_validator_field(&intake->event, AU_FIELD_TIMESTAMP);
    au_validator_time(&intake->event, NOW + 1);
  } else {
    au_validator_assume_time(&intake->event, NOW);
  }
  ck_assert_int_eq(au_intake_end_event(intake), AU_INTAKE_DONE);
}

/* What follows the mark may be refused or not, bear a time, or not have ended.
 * The mark is at each place of the byte in which the refused are noted. */
TEST_EACH(what_follows_a_mark_leaves_no_trace, 17) {
  au_intake_begin(intake, NOW);
  for (int i = 0; i < _i; i++)
    push("before", i % 3 != 0, false);
  size_t refused = intake->errors_count;
  au_intake_mark_t mark = au_intake_mark(intake);
  for (int i = 0; i < 20; i++)
    push("forgotten", i % 2 != 0, true);
  ck_assert_int_eq(au_intake_refuse_value(intake), AU_INTAKE_DONE);
  ck_assert_int_eq(au_intake_begin_event(intake), AU_INTAKE_DONE);
  intake->is_single = true;
  au_intake_rewind(intake, &mark);
  ck_assert_uint_eq(intake->total, (size_t)_i);
  ck_assert_uint_eq(intake->attempted, (size_t)_i);
  ck_assert_uint_eq(intake->errors_count, refused);
  ck_assert(!intake->is_single);
  ck_assert(!intake->has_time);
  for (size_t i = 0; i < 40; i++)
    ck_assert_int_eq(au_intake_is_refused(intake, i),
                     i < (size_t)_i && i % 3 == 0);
  /* As if nothing had been: a line that is no event counts as one more. */
  ck_assert_int_eq(au_intake_refuse_text(intake, "wrong", 7), AU_INTAKE_DONE);
  push("after", true, false);
  ck_assert_uint_eq(intake->total, (size_t)_i + 2);
  ck_assert_uint_eq(intake->errors_count, refused + 1);
  ck_assert_str_eq(errors_of(refused),
                   "[" FIELD("event", "\"isJson\":\"event must be JSON: "
                                      "wrong at byte 7\"") "]");
  assert_slice(event_of(intake->rows.count - 1).service, "after");
}

/* --- the suite ------------------------------------------------------------*/

int main(void) { return run_tests("intake"); }
