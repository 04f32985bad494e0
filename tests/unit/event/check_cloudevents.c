/* SPDX-License-Identifier: MIT
 *
 * check_cloudevents - CloudEvents in their three modes: attributes, data of
 * every kind, what is no CloudEvent, ids, lenient reading, memory that is
 * short.
 */
#include "support/bodies.h"

#include "event/name.h"
#include "support/short_memory.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>

#define NONE NULL

static au_intake_result_t parse_form(const au_cloudevents_form_t *form,
                                     const char *data, size_t size) {
  au_reader_cloudevents(&reader, form);
  return parse_bytes(AU_FORMAT_CLOUDEVENTS, data, size);
}

static au_intake_result_t parse_mode(au_cloudevents_mode_t mode,
                                     bool is_lenient, const char *json) {
  const au_cloudevents_form_t form = {.mode = mode, .is_lenient = is_lenient};
  return parse_form(&form, json, strlen(json));
}

/* The event of structured mode with these members more. */
static au_event_t event_with(const char *members, bool is_lenient) {
  au_bytes_clear(&body, SIZE_MAX);
  au_bytes_printf(&body,
                  "{\"specversion\":\"1.0\",\"id\":\"i\",\"source\":\"/s\","
                  "\"type\":\"t\"%s%s}",
                  members[0] != '\0' ? "," : "", members);
  const char *text = au_bytes_text(&body);
  ck_assert_msg(parse_mode(AU_CLOUDEVENTS_STRUCTURED, is_lenient, text) ==
                    AU_INTAKE_DONE,
                "%s: %s", text, intake->message);
  ck_assert_msg(intake->rows.count == 1, "%s: %s", text, errors_of(0));
  ck_assert(intake->is_single);
  return event_of(0);
}

static bool has(au_slice_t text, const char *part) {
  return text.data != NULL &&
         memmem(text.data, text.size, part, strlen(part)) != NULL;
}

/* --- structured -----------------------------------------------------------*/

CASE("structured", set_up_reader, tear_down_reader);

TEST(attributes_are_fields) {
  au_event_t event = event_with("\"time\":\"2023-11-14T22:13:20.5Z\"", false);
  assert_slice(event.service, "/s");
  assert_slice(event.message, "t");
  assert_slice(event.metadata, "{\"id\":\"i\"}");
  ck_assert_int_eq(event.occurred_at_us, INT64_C(1700000000500000));
  ck_assert_int_eq(event_with("", false).occurred_at_us, NOW);
  ck_assert_int_eq(event_with("\"time\":null", false).occurred_at_us, NOW);
}

static const struct {
  const char *members;
  const char *metadata;
} datas[] = {
    {"\"data\":{\"a\":[1,null,{}]}",
     "{\"id\":\"i\",\"data\":{\"a\":[1,null,{}]}}"},
    {"\"data\" : [ 1 , 2 ]", "{\"id\":\"i\",\"data\":[1,2]}"},
    {"\"data\":42", "{\"id\":\"i\",\"data\":42}"},
    {"\"data\":true", "{\"id\":\"i\",\"data\":true}"},
    {"\"data\":null", "{\"id\":\"i\"}"},
    {"\"data\":\"a\\n\\\"\"", "{\"id\":\"i\",\"data\":\"a\\n\\\"\"}"},
    {"\"data\":\"\"", "{\"id\":\"i\",\"data\":\"\"}"},
    {"\"data_base64\":\"AAH/\"", "{\"id\":\"i\",\"data_base64\":\"AAH/\"}"},
    {"\"data_base64\":7", "{\"id\":\"i\",\"data_base64\":7}"},
    {"\"data_base64\":null", "{\"id\":\"i\"}"},
    /* Extensions keep their type; null is not there; the last one counts. */
    {"\"seq\":7,\"ok\":false,\"none\":null,\"odd\":[1],\"subject\":\"s\","
     "\"dataschema\":\"u\",\"datacontenttype\":\"text/plain\"",
     "{\"id\":\"i\",\"seq\":7,\"ok\":false,\"odd\":[1],\"subject\":\"s\","
     "\"dataschema\":\"u\",\"datacontenttype\":\"text/plain\"}"},
    {"\"a\":1,\"a\":2,\"data\":1,\"data\":2",
     "{\"id\":\"i\",\"a\":2,\"data\":2}"},
    /* JSON that cannot be stored is kept as text. */
    {"\"data\":{\"a\":\"\\u0000\"}",
     "{\"id\":\"i\",\"data\":\"{\\\"a\\\":\\\"\\\\u0000\\\"}\"}"},
    {"\"data\":\"x\\ud800\"", "{\"id\":\"i\",\"data\":\"\\\"x\\\\ud800\\\"\"}"},
    {"\"data\":1e999999", "{\"id\":\"i\",\"data\":\"1e999999\"}"},
    {"\"data\":{\"\\u0000\":1}",
     "{\"id\":\"i\",\"data\":\"{\\\"\\\\u0000\\\":1}\"}"},
    /* Text that cannot be, as base64: "\xFF" with its quotes. */
    {"\"data\":\"\xFF\"", "{\"id\":\"i\",\"data_base64\":\"Iv8i\"}"},
    /* Other attributes are repaired. */
    {"\"subject\":\"a\\u0000\xFF\"",
     "{\"id\":\"i\",\"subject\":\"a\xEF\xBF\xBD\xEF\xBF\xBD\"}"},
};

TEST_EACH(data_is_never_a_reason_to_refuse, COUNT_OF(datas)) {
  assert_slice(event_with(datas[_i].members, false).metadata,
               datas[_i].metadata);
}

static void put_data(const char *before, const char *filler, size_t count,
                     const char *after) {
  au_bytes_clear(&body, SIZE_MAX);
  au_bytes_printf(&body,
                  "{\"specversion\":\"1.0\",\"id\":\"i\",\"source\":"
                  "\"/s\",\"type\":\"t\",%s",
                  before);
  for (size_t i = 0; i < count; i++)
    au_bytes_put_string(&body, filler);
  au_bytes_printf(&body, "%s}", after);
  const au_cloudevents_form_t form = {.mode = AU_CLOUDEVENTS_STRUCTURED};
  ck_assert_int_eq(parse_form(&form, (const char *)body.data, body.size),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 1);
  ck_assert_uint_le(event_of(0).metadata.size, limits.metadata_max_bytes);
}

#define MARK "\"truncated\":true}"

static const struct {
  const char *before;
  const char *filler;
  size_t count;
  const char *after;
  bool is_cut;
  const char *part;
} sizes[] = {
    {"\"data\":\"", "x", 16364, "\"", false, "xxx\"}"},
    {"\"data\":\"", "x", 16365, "\"", true, "\"data\":\"xxx"},
    {"\"data\":\"", "x", 100000, "\"", true, "\"data\":\"xxx"},
    {"\"data\":\"", "\\u0001", 100000, "\"", true, "\"data\":\"\\u0001\\u0001"},
    {"\"data\":\"", "\xC3\xA9", 100000, "\"", true, "\"data\":\"\xC3\xA9"},
    {"\"data\":\"", "\\ud800", 100000, "\"", true,
     "\"data\":\"\\\"\\\\ud800\\\\ud800"},
    {"\"data\":\"", "\xFF", 100000, "\"", true, "\"data_base64\":\"Iv//"},
    {"\"data_base64\":\"", "AAAA", 10000, "\"", true,
     "\"data_base64\":\"AAAAAAAA"},
    /* An object is cut as its text; one with too many keys, too. */
    {"\"data\":{\"k\":\"", "x", 20000, "\"}", true,
     "\"data\":\"{\\\"k\\\":\\\"xxx"},
    {"\"data\":{\"k\":1", ",\"k\":1", 150, "}", true,
     "\"data\":\"{\\\"k\\\":1,\\\"k"},
    {"\"data\":", "[", 5, "]]]]]", false, "\"data\":[[[[["},
    {"\"data\":", "[", 6, "]]]]]]", true, "\"data\":\"[[[[[[]]]]]]\""},
    {"\"big\":\"", "x", 20000, "\",\"data\":1", true, "\"data\":1"},
};

TEST_EACH(what_is_over_the_limits_is_cut_and_marked, COUNT_OF(sizes)) {
  put_data(sizes[_i].before, sizes[_i].filler, sizes[_i].count,
           sizes[_i].after);
  au_slice_t metadata = event_of(0).metadata;
  ck_assert_int_eq(has(metadata, MARK), sizes[_i].is_cut);
  ck_assert_msg(has(metadata, sizes[_i].part), "%.100s", metadata.data);
  if (sizes[_i].is_cut && sizes[_i].count > 10000)
    ck_assert_uint_gt(metadata.size, sizes[_i].before[1] == 'b' ? 0 : 14000);
}

TEST(limits_that_allow_nothing_refuse_nothing) {
  limits.metadata_max_depth = 0;
  for (size_t bytes = 2; bytes < 80; bytes++) {
    limits.metadata_max_bytes = bytes;
    limits.metadata_max_keys = 1 + bytes / 8;
    put_data("\"data\":{\"a\":\"", "\\n", 40, "\"}");
    put_data("\"x\":1,\"data\":\"", "\xFF", 40, "\"");
  }
}

static const struct {
  const char *source;
  const char *service;
  bool is_cut;
} sources[] = {
    {"/a/b", "/a/b", false},
    {"urn:x", "urn:x", false},
    {"https://example.com/apps/checkout", "/apps/checkout", true},
    {"0123456789abcdefghijklmnop", "6789abcdefghijklmnop", true},
    {"0123456789abcdefghijklmnop/", "789abcdefghijklmnop/", true},
    {"x/0123456789abcdefghij", "23456789abcdefghij", true},
};

TEST_EACH(a_long_source_is_cut_from_the_left, COUNT_OF(sources)) {
  limits.service_max_length = 20;
  au_bytes_clear(&body, SIZE_MAX);
  au_bytes_printf(&body,
                  "{\"specversion\":\"1.0\",\"id\":\"i\",\"source\":"
                  "\"%s\",\"type\":\"t\"}",
                  sources[_i].source);
  ck_assert_int_eq(
      parse_mode(AU_CLOUDEVENTS_STRUCTURED, false, au_bytes_text(&body)),
      AU_INTAKE_DONE);
  au_event_t event = event_of(0);
  if (_i == 5) /* no '/' among the last characters */
    ck_assert_uint_eq(event.service.size, 20);
  else
    assert_slice(event.service, sources[_i].service);
  ck_assert_int_eq(has(event.metadata, MARK), sources[_i].is_cut);
  ck_assert_int_eq(has(event.metadata, "\"source\":"), sources[_i].is_cut);
}

/* --- refused --------------------------------------------------------------*/

CASE("refused", set_up_reader, tear_down_reader);

#define NOT_CLOUDEVENT                                                         \
  "[" FIELD("event", "\"isCloudEvent\":\"event must be a CloudEvent of "       \
                     "specversion 1.x with id, source and type\"") "]"

static const char *const others[] = {
    "{}",
    "{\"specversion\":\"0.3\",\"id\":\"i\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"2.0\",\"id\":\"i\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"10\",\"id\":\"i\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"1.\",\"id\":\"i\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"1.x\",\"id\":\"i\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":null,\"id\":\"i\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"id\":\"i\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"id\":\"i\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"id\":\"i\",\"source\":\"s\",\"type\":{}}",
};

TEST_EACH(what_is_no_cloudevent_is_refused, COUNT_OF(others)) {
  ck_assert_int_eq(parse_mode(AU_CLOUDEVENTS_STRUCTURED, false, others[_i]),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->errors_count, 1);
  ck_assert_str_eq(errors_of(0), NOT_CLOUDEVENT);
}

TEST(other_versions_of_1_are_taken) {
  ck_assert_int_eq(parse_mode(AU_CLOUDEVENTS_STRUCTURED, false,
                              "{\"specversion\":\"1.27\",\"id\":\"i\","
                              "\"source\":\"s\",\"type\":\"t\"}"),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 1);
  ck_assert_int_eq(parse_mode(AU_CLOUDEVENTS_STRUCTURED, false,
                              "{\"specversion\":1.0,\"id\":5,"
                              "\"source\":\"s\",\"type\":\"t\"}"),
                   AU_INTAKE_DONE);
  assert_slice(event_of(0).metadata, "{\"id\":\"5\"}");
}

TEST(fields_are_validated_like_those_of_others) {
  ck_assert_int_eq(parse_mode(AU_CLOUDEVENTS_STRUCTURED, false,
                              "{\"specversion\":\"1.0\",\"id\":\"i\",\"source\""
                              ":\" \",\"type\":\"\\u0000\",\"time\":\"x\"}"),
                   AU_INTAKE_DONE);
  ck_assert_str_eq(
      errors_of(0),
      "[" FIELD("timestamp", UNPARSEABLE) "," FIELD(
          "service", NOT_EMPTY("service")) "," FIELD("message",
                                                     CHARACTER("message")) "]");
}

static const struct {
  const char *json;
  bool is_batch;
} malformed[] = {{"", 0},      {"{", 0},           {"{}x", 0}, {"{}{}", 0},
                 {"[", 1},     {"{}", 1},          {"[{}", 1}, {"[{},]", 1},
                 {"[] []", 1}, {"{\"a\":NaN}", 0}, {"[1}", 1}, {"\"", 0}};

TEST_EACH(what_is_not_json_is_malformed, COUNT_OF(malformed)) {
  ck_assert_int_eq(parse_mode(malformed[_i].is_batch
                                  ? AU_CLOUDEVENTS_BATCHED
                                  : AU_CLOUDEVENTS_STRUCTURED,
                              false, malformed[_i].json),
                   AU_INTAKE_MALFORMED);
  ck_assert_uint_gt(strlen(intake->message), 0);
}

/* --- batched --------------------------------------------------------------*/

CASE("batched", set_up_reader, tear_down_reader);

TEST(each_event_of_a_batch_is_judged_alone) {
  ck_assert_int_eq(
      parse_mode(AU_CLOUDEVENTS_BATCHED, false,
                 "\xEF\xBB\xBF[{\"specversion\":\"1.0\",\"id\":\"1\",\"source\""
                 ":\"s\",\"type\":\"a\"},5,{},[{}],{\"specversion\":\"1.0\","
                 "\"id\":\"2\",\"source\":\"s\",\"type\":\"b\"}]"),
      AU_INTAKE_DONE);
  ck_assert(!intake->is_single);
  ck_assert_uint_eq(intake->total, 5);
  ck_assert_uint_eq(intake->rows.count, 2);
  ck_assert_str_eq(errors_of(0), NOT_OBJECT);
  ck_assert_str_eq(errors_of(1), NOT_CLOUDEVENT);
  assert_slice(event_of(1).message, "b");
}

TEST(an_empty_batch_has_no_events) {
  ck_assert_int_eq(parse_mode(AU_CLOUDEVENTS_BATCHED, false, " [ ] "),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->total, 0);
}

TEST(a_batch_has_as_many_events_as_may_be) {
  limits.max_batch_events = 2;
  ck_assert_int_eq(parse_mode(AU_CLOUDEVENTS_BATCHED, false, "[{},{},{}]"),
                   AU_INTAKE_TOO_MANY);
}

/* --- binary ---------------------------------------------------------------*/

CASE("binary", set_up_reader, tear_down_reader);

static au_event_t binary_event(const char *type, bool is_json,
                               const char *subject, const void *data,
                               size_t size) {
  const au_cloudevents_attribute_t attributes[] = {
      {"SpecVersion", "1.0"}, {"id", "i"},  {"source", "/s"},
      {"type", "t"},          {"Seq", "7"}, {"subject", subject}};
  const au_cloudevents_form_t form = {.mode = AU_CLOUDEVENTS_BINARY,
                                      .content_type = type,
                                      .is_json = is_json,
                                      .attribute = attributes,
                                      .attributes = COUNT_OF(attributes)};
  ck_assert_msg(parse_form(&form, data, size) == AU_INTAKE_DONE, "%s",
                intake->message);
  ck_assert_msg(intake->rows.count == 1, "%s", errors_of(0));
  ck_assert(intake->is_single);
  return event_of(0);
}

static const struct {
  const char *type;
  const char *data;
  const char *metadata;
} bodies[] = {
    {NONE, "", ""},
    {NONE, "{\"a\": 1}", ",\"data\":\"{\\\"a\\\": 1}\""},
    {NONE, "a\xFF", ",\"data_base64\":\"Yf8=\""},
    {"text/plain", "text",
     ",\"datacontenttype\":\"text/plain\",\"data\":"
     "\"text\""},
    {"application/json", "", ",\"datacontenttype\":\"application/json\""},
    {"application/json", "null", ",\"datacontenttype\":\"application/json\""},
    {"application/json", " {\"a\": [1]} ",
     ",\"datacontenttype\":\"application/json\",\"data\":{\"a\":[1]}"},
    {"application/json", "\"x\"",
     ",\"datacontenttype\":\"application/json\",\"data\":\"x\""},
    {"application/json", "just text",
     ",\"datacontenttype\":\"application/json\",\"data\":\"just text\""},
    {"application/json", "{\"a\":NaN}",
     ",\"datacontenttype\":\"application/json\",\"data\":\"{\\\"a\\\":NaN}\""},
    {"application/json", "1 2",
     ",\"datacontenttype\":\"application/json\",\"data\":\"1 2\""},
    {"application/json", "\"\\u0000\"",
     ",\"datacontenttype\":\"application/json\",\"data\":"
     "\"\\\"\\\\u0000\\\"\""},
};

TEST_EACH(data_is_json_or_text_or_base64, COUNT_OF(bodies)) {
  bool is_json = bodies[_i].type != NULL && bodies[_i].type[0] == 'a';
  char expected[512];
  snprintf(expected, sizeof(expected),
           "{\"id\":\"i\",\"seq\":\"7\",\"subject\":\"x\"%s}",
           bodies[_i].metadata);
  assert_slice(binary_event(bodies[_i].type, is_json, "x", bodies[_i].data,
                            strlen(bodies[_i].data))
                   .metadata,
               expected);
}

TEST(text_with_nul_is_base64) {
  au_event_t event = binary_event(NONE, false, "x", "a\0b", 3);
  ck_assert(has(event.metadata, "\"data_base64\":\"YQBi\""));
}

static const struct {
  const char *value;
  const char *text;
} headers[] = {
    {"plain", "plain"},
    {"zo\xC3\xAB 100%", "zo\xC3\xAB 100%"},
    {"zo%C3%AB%20100%25", "zo\xC3\xAB 100%"},
    {"%2541", "%41"},
    {"a%zzb%4", "a%zzb%4"},
    {"%00", "%00"},
    {"\"quoted \\\"x\\\" %41\"", "quoted \\\"x\\\" A"},
    {"\"", "\\\""},
    {"\"a\"b\"", "\\\"a\\\"b\\\""},
    {"\"a\\\"", "\\\"a\\\\\\\""},
    {"%FF", "\xEF\xBF\xBD"},
    {"%22", "\\\""},
    {"", ""},
};

TEST_EACH(a_header_is_decoded_once, COUNT_OF(headers)) {
  char expected[256];
  snprintf(expected, sizeof(expected),
           "{\"id\":\"i\",\"seq\":\"7\",\"subject\":\"%s\"}", headers[_i].text);
  assert_slice(binary_event(NONE, false, headers[_i].value, "", 0).metadata,
               expected);
}

/* --- ids ------------------------------------------------------------------*/

CASE("ids", set_up_reader, tear_down_reader);

TEST(an_event_has_one_id_in_every_mode) {
  au_uuid_t expected;
  ck_assert(au_name_of_text("ce", (au_slice_t){.data = "/s", .size = 2},
                            (au_slice_t){.data = "i", .size = 1}, &expected));
  au_event_t structured = event_with("\"data\":1", false);
  ck_assert_mem_eq(structured.id.byte, expected.byte, 16);
  ck_assert_int_eq(intake->rows.row[0].kind, AU_ROW_IDENTIFIED);
  au_event_t binary = binary_event(NONE, false, "other", "x", 1);
  ck_assert_mem_eq(binary.id.byte, expected.byte, 16);
  ck_assert_int_eq(parse_mode(AU_CLOUDEVENTS_BATCHED, false,
                              "[{\"type\":\"u\",\"source\":\"\\u002fs\",\"id\":"
                              "\"i\",\"specversion\":\"1.0\"}]"),
                   AU_INTAKE_DONE);
  ck_assert_mem_eq(event_of(0).id.byte, expected.byte, 16);
}

/* --- lenient --------------------------------------------------------------*/

CASE("lenient", set_up_reader, tear_down_reader);

TEST(leniently_nan_is_null_and_text_is_repaired) {
  assert_slice(event_with("\"data\":{\"a\":NaN,\"b\":-Infinity,\"c\":\"\\u0000"
                          "\"}",
                          true)
                   .metadata,
               "{\"id\":\"i\",\"data\":{\"a\":null,\"b\":null,\"c\":"
               "\"\xEF\xBF\xBD\"}}");
}

TEST(leniently_a_time_that_is_none_is_kept) {
  au_event_t event = event_with("\"time\":\"soon\"", true);
  ck_assert_int_eq(event.occurred_at_us, NOW);
  assert_slice(event.metadata, "{\"id\":\"i\",\"time\":\"soon\"}");
}

TEST(leniently_only_the_version_is_needed) {
  ck_assert_int_eq(
      parse_mode(AU_CLOUDEVENTS_STRUCTURED, true, "{\"specversion\":\"1.0\"}"),
      AU_INTAKE_DONE);
  au_event_t event = event_of(0);
  assert_slice(event.service, "unknown_service");
  assert_slice(event.message, "(no message)");
  ck_assert_ptr_null(event.metadata.data);
  ck_assert_int_eq(intake->rows.row[0].kind, AU_ROW_EVENT);
  ck_assert_int_eq(parse_mode(AU_CLOUDEVENTS_STRUCTURED, true, "{}"),
                   AU_INTAKE_DONE);
  ck_assert_str_eq(errors_of(0), NOT_CLOUDEVENT);
}

/* --- memory ---------------------------------------------------------------*/

CASE("memory", set_up_reader, tear_down_reader);

TEST(without_memory_nothing_is_taken) {
  const au_cloudevents_attribute_t attributes[] = {
      {"specversion", "1.0"}, {"id", "%41"}, {"source", "/s"}, {"type", "t"}};
  const au_cloudevents_form_t form = {.mode = AU_CLOUDEVENTS_BINARY,
                                      .content_type = "application/json",
                                      .is_json = true,
                                      .attribute = attributes,
                                      .attributes = COUNT_OF(attributes)};
  static const char data[] = "{\"a\":[{\"b\\n\":\"c\\n\"}],\"d\":\"\\u0000\"}";
  au_intake_result_t result = AU_INTAKE_NOMEM;
  long n = 1;
  for (; result != AU_INTAKE_DONE; n++) {
    tear_down_reader();
    set_up_reader();
    au_reader_cloudevents(&reader, &form);
    fail_memory(n, 1);
    result =
        au_reader_read(&reader, AU_FORMAT_CLOUDEVENTS, data, strlen(data), NOW);
    bool has_failed = memory_failed();
    ck_assert_int_eq(result, has_failed ? AU_INTAKE_NOMEM : AU_INTAKE_DONE);
  }
  ck_assert_uint_eq(intake->rows.count, 1);
  ck_assert_int_gt(n, 8);
}

int main(void) { return run_tests("cloudevents"); }
