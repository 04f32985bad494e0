/* SPDX-License-Identifier: MIT
 *
 * check_otlp - logs of OpenTelemetry: each field of a record, resource and
 * scope wherever they are, every value, texts and times that are out of bounds,
 * metadata and rows beyond their limits, ids; in JSON, and in Protocol Buffers
 * what JSON cannot say; what is malformed, and memory that is short.
 */
#include "support/bodies.h"

#include "base/protobuf.h"
#include "base/utf8.h"
#include "event/name.h"
#include "event/otlp.h"
#include "support/short_memory.h"
#include "support/suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TIME_NS "1700000000987654321"
#define TIME_US INT64_C(1700000000987654)

static au_bytes_t twin; /* a body in Protocol Buffers */

static void set_up(void) {
  set_up_reader();
  twin = (au_bytes_t)AU_BYTES_INIT;
}

static void tear_down(void) {
  au_bytes_fini(&twin);
  tear_down_reader();
}

static au_intake_result_t parse_json(const char *json) {
  return parse_bytes(AU_FORMAT_OTLP_JSON, json, strlen(json));
}

/* A request in JSON, of a record with these members. */
static const char *request_of(const char *members) {
  au_bytes_clear(&body, SIZE_MAX);
  au_bytes_printf(&body,
                  "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{%s}]}]}"
                  "]}",
                  members);
  return au_bytes_text(&body);
}

/* The one event of the record with these members. */
static au_event_t record_of(const char *members) {
  ck_assert_msg(parse_json(request_of(members)) == AU_INTAKE_DONE, "%s: %s",
                members, intake->message);
  ck_assert_uint_eq(intake->errors_count, 0);
  ck_assert_uint_eq(intake->rows.count, 1);
  return event_of(0);
}

static void assert_text(au_slice_t text, const char *expected) {
  if (expected == NULL)
    ck_assert_ptr_null(text.data);
  else
    assert_slice(text, expected);
}

/* --- records --------------------------------------------------------------*/

CASE("records", set_up, tear_down);

static const struct {
  const char *members;
  const char *message;
  const char *metadata;
} records[] = {
    {"\"body\":{\"stringValue\":\"hello\"}", "hello", NULL},
    {"", "(no body)", NULL},
    /* The body: what is not text is its JSON. */
    {"\"body\":{\"intValue\":\"42\"}", "42", NULL},
    {"\"body\":{\"intValue\":42}", "42", NULL},
    {"\"body\":{\"intValue\":12345678901234567890123}",
     "12345678901234567890123", NULL},
    {"\"body\":{\"doubleValue\":1.5}", "1.5", NULL},
    {"\"body\":{\"doubleValue\":\"NaN\"}", "NaN", NULL},
    {"\"body\":{\"boolValue\":false}", "false", NULL},
    {"\"body\":{\"bytesValue\":\"AQID\"}", "AQID", NULL},
    {"\"body\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"a\"},"
     "{\"intValue\":\"1\"},{}]}}",
     "[\"a\",1,null]", NULL},
    {"\"body\":{\"kvlistValue\":{\"values\":[{\"key\":\"a\",\"value\":"
     "{\"arrayValue\":{}}},{\"key\":\"b\"}]}}",
     "{\"a\":[],\"b\":null}", NULL},
    {"\"body\":{\"kvlistValue\":{}}", "{}", NULL},
    /* One that is empty: the name of the event, the severity, or nothing. */
    {"\"body\":{\"stringValue\":\"\"},\"eventName\":\"e\",\"severityText\":"
     "\"INFO\"",
     "e", "{\"severityText\":\"INFO\",\"eventName\":\"e\"}"},
    {"\"body\":{},\"severityText\":\"INFO\"", "INFO",
     "{\"severityText\":\"INFO\"}"},
    {"\"body\":null", "(no body)", NULL},
    {"\"body\":{\"bytesValue\":\"\"}", "(no body)", NULL},
    /* A body that is plain, although the schema has no such thing. */
    {"\"body\":\"plain\"", "plain", NULL},
    {"\"body\":7", "7", NULL},
    {"\"body\":true", "true", NULL},
    /* Each field, only where it is set. */
    {"\"severityNumber\":9", "(no body)", "{\"severityNumber\":9}"},
    {"\"severityNumber\":\"SEVERITY_NUMBER_INFO\"", "(no body)",
     "{\"severityNumber\":9}"},
    {"\"severityNumber\":\"SEVERITY_NUMBER_FATAL4\"", "(no body)",
     "{\"severityNumber\":24}"},
    {"\"severityNumber\":\"SEVERITY_NUMBER_UNSPECIFIED\"", "(no body)", NULL},
    {"\"severityNumber\":0,\"severityText\":\"\",\"traceId\":\"\",\"spanId\":"
     "\"\",\"flags\":0,\"eventName\":\"\",\"droppedAttributesCount\":0,"
     "\"attributes\":[],\"timeUnixNano\":\"0\"",
     "(no body)", NULL},
    {"\"traceId\":\"5B8EFFF798038103D269B633813FC60C\",\"spanId\":"
     "\"eee19b7ec3c1b174\",\"flags\":1",
     "(no body)",
     "{\"traceId\":\"5b8efff798038103d269b633813fc60c\",\"spanId\":"
     "\"eee19b7ec3c1b174\",\"flags\":1}"},
    {"\"traceId\":\"00000000000000000000000000000000\",\"spanId\":"
     "\"0000000000000000\"",
     "(no body)", NULL},
    {"\"droppedAttributesCount\":3,\"flags\":4294967295", "(no body)",
     "{\"flags\":4294967295,\"droppedAttributesCount\":3}"},
    /* Names as the schema has them; unknown ones. */
    {"\"severity_number\":5,\"event_name\":\"e\",\"dropped_attributes_count\":"
     "\"2\"",
     "e",
     "{\"severityNumber\":5,\"droppedAttributesCount\":2,\"eventName\":\"e\"}"},
    {"\"unknown\":{\"a\":[{}]},\"severitynumber\":5,\"x\":[[1]],\"y\":null",
     "(no body)", NULL},
    /* What cannot be read counts as not set, and is marked. */
    {"\"severityNumber\":\"LOUD\"", "(no body)", "{\"truncated\":true}"},
    {"\"traceId\":\"xyz\"", "(no body)", "{\"truncated\":true}"},
    {"\"timeUnixNano\":\"yesterday\"", "(no body)", "{\"truncated\":true}"},
    {"\"timeUnixNano\":-5", "(no body)", "{\"truncated\":true}"},
    {"\"flags\":4294967296", "(no body)", "{\"truncated\":true}"},
    {"\"flags\":{\"a\":1}", "(no body)", "{\"truncated\":true}"},
    {"\"flags\":[1,[2]],\"severityNumber\":1", "(no body)",
     "{\"severityNumber\":1,\"truncated\":true}"},
    /* Text that is a number is its text. */
    {"\"severityText\":5", "5", "{\"severityText\":\"5\"}"},
    /* NUL, half a surrogate pair, bytes that are not UTF-8. */
    {"\"body\":{\"stringValue\":\"a\\u0000b\\ud800c\"}",
     "a\xEF\xBF\xBD"
     "b\xEF\xBF\xBD"
     "c",
     NULL},
    {"\"body\":{\"stringValue\":\"\\ud83d\\ude00\"}", "\xF0\x9F\x98\x80", NULL},
    {"\"body\":{\"stringValue\":\"a\xFF\xC3z\"}", "a\xEF\xBF\xBD\xEF\xBF\xBDz",
     NULL},
    {"\"severityText\":\"\\u0000\"", "\xEF\xBF\xBD",
     "{\"severityText\":\"\xEF\xBF\xBD\"}"},
};

TEST_EACH(a_record_is_an_event, COUNT_OF(records)) {
  au_event_t event = record_of(records[_i].members);
  assert_slice(event.service, "unknown_service");
  assert_slice(event.message, records[_i].message);
  assert_text(event.metadata, records[_i].metadata);
}

/* --- attributes -----------------------------------------------------------*/

CASE("attributes", set_up, tear_down);

static const struct {
  const char *value;
  const char *json;
} values[] = {
    {"{\"stringValue\":\"a\\\"b\\\\\\n\"}", "\"a\\\"b\\\\\\n\""},
    {"{\"boolValue\":true}", "true"},
    {"{\"boolValue\":false}", "false"},
    {"{\"intValue\":\"9223372036854775807\"}", "9223372036854775807"},
    {"{\"intValue\":-9223372036854775808}", "-9223372036854775808"},
    {"{\"intValue\":12345678901234567000}", "12345678901234567000"},
    {"{\"intValue\":\"12345678901234567000\"}", "12345678901234567000"},
    {"{\"intValue\":\"five\"}", "\"five\""},
    {"{\"intValue\":\"007\"}", "\"007\""},
    {"{\"doubleValue\":0.1}", "0.1"},
    {"{\"doubleValue\":\"-1.5e3\"}", "-1.5e3"},
    {"{\"doubleValue\":\"NaN\"}", "\"NaN\""},
    {"{\"doubleValue\":\"Infinity\"}", "\"Infinity\""},
    {"{\"doubleValue\":\"-Infinity\"}", "\"-Infinity\""},
    {"{\"doubleValue\":null}", "null"},
    /* jsonb would not take it. */
    {"{\"doubleValue\":1e999999}", "\"1e999999\""},
    {"{\"bytesValue\":\"AAH/\"}", "\"AAH/\""},
    {"{}", "null"},
    {"null", "null"},
    {"\"bare\"", "\"bare\""},
    {"{\"arrayValue\":{\"values\":[]}}", "[]"},
    {"{\"arrayValue\":{\"values\":[null,{\"intValue\":1}]}}", "[null,1]"},
    {"{\"kvlistValue\":{\"values\":[{\"key\":\"\",\"value\":{\"kvlistValue\":"
     "{\"values\":[{\"key\":\"b\",\"value\":{\"boolValue\":true}}]}}}]}}",
     "{\"\":{\"b\":true}}"},
    {"{\"stringValue\":\"first\",\"intValue\":2}", "2"},
    {"{\"stringValue\":\"\\u0000\\udc00\"}", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
};

/* One of null is as if it were not there. */
TEST_EACH(a_value_is_json, COUNT_OF(values)) {
  char members[1024];
  char expected[1024];
  snprintf(members, sizeof(members),
           "\"attributes\":[{\"key\":\"k\",\"value\":%s}]", values[_i].value);
  snprintf(expected, sizeof(expected), "{\"attributes\":{\"k\":%s}}",
           values[_i].json);
  assert_text(record_of(members).metadata, expected);
}

TEST(keys_are_text_like_any_other) {
  au_event_t event =
      record_of("\"attributes\":[{\"key\":\"a\\u0000\\\"\",\"value\":{}},{},"
                "{\"key\":\"truncated\",\"value\":{\"intValue\":1}}]");
  assert_text(event.metadata, "{\"attributes\":{\"a\xEF\xBF\xBD\\\"\":null,"
                              "\"\":null,\"truncated\":1}}");
}

/* jsonb keeps the last of equal keys. */
TEST(the_last_of_equal_keys_comes_last) {
  au_event_t event =
      record_of("\"attributes\":[{\"key\":\"a\",\"value\":{\"intValue\":1}},"
                "{\"key\":\"a\",\"value\":{\"intValue\":2}}]");
  assert_text(event.metadata, "{\"attributes\":{\"a\":1,\"a\":2}}");
}

/* --- resource and scope ---------------------------------------------------*/

CASE("context", set_up, tear_down);

#define NAMED(name)                                                            \
  "{\"attributes\":[{\"key\":\"service.name\",\"value\":" name "}]}"
#define LOGS                                                                   \
  "\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"m\"}}]}]"

static const struct {
  const char *name;
  const char *service;
} services[] = {
    {"{\"stringValue\":\"checkout\"}", "checkout"},
    {"{\"stringValue\":\"\"}", "given"},
    {"{\"stringValue\":\" \\u00a0\"}", "given"},
    {"{}", "given"},
    {"null", "given"},
    {"{\"intValue\":5}", "5"},
    {"{\"boolValue\":true}", "true"},
    {"{\"arrayValue\":{\"values\":[{\"intValue\":1}]}}", "[1]"},
    {"{\"bytesValue\":\"AAE=\"}", "AAE="},
    {"{\"stringValue\":\"a\\u0000\"}", "a\xEF\xBF\xBD"},
};

TEST_EACH(the_service_is_of_the_resource, COUNT_OF(services)) {
  char json[1024];
  snprintf(json, sizeof(json),
           "{\"resourceLogs\":[{\"resource\":"
           "{\"attributes\":[{\"key\":\"service.name\",\"value\":%s}]}," LOGS
           "}]}",
           services[_i].name);
  au_reader_service(&reader, (au_slice_t){.data = "given", .size = 5});
  ck_assert_int_eq(parse_json(json), AU_INTAKE_DONE);
  assert_slice(event_of(0).service, services[_i].service);
}

TEST(without_any_service_it_is_unknown) {
  ck_assert_int_eq(parse_json("{\"resourceLogs\":[{" LOGS "}]}"),
                   AU_INTAKE_DONE);
  assert_slice(event_of(0).service, "unknown_service");
  /* A service holds for one request. */
  au_reader_service(&reader, (au_slice_t){.data = "given", .size = 5});
  ck_assert_int_eq(parse_json("{}"), AU_INTAKE_DONE);
  ck_assert_int_eq(parse_json("{\"resourceLogs\":[{" LOGS "}]}"),
                   AU_INTAKE_DONE);
  assert_slice(event_of(0).service, "unknown_service");
}

TEST(a_long_service_is_cut_and_marked) {
  char json[1024];
  char name[201];
  char cut[101];
  memset(name, 'n', 200);
  name[200] = '\0';
  snprintf(cut, sizeof(cut), "%.100s", name);
  snprintf(json, sizeof(json),
           "{\"resourceLogs\":[{\"resource\":"
           "{\"attributes\":[{\"key\":\"service.name\",\"value\":"
           "{\"stringValue\":\"%s\"}}]}," LOGS "}]}",
           name);
  ck_assert_int_eq(parse_json(json), AU_INTAKE_DONE);
  assert_slice(event_of(0).service, cut);
  ck_assert_ptr_nonnull(memmem(event_of(0).metadata.data,
                               event_of(0).metadata.size, "\"truncated\":true",
                               16));
}

static const char context[] =
    "{\"resourceSchemaUrl\":\"r\",\"scopeSchemaUrl\":\"s\",\"resource\":"
    "{\"service.name\":\"x\",\"a\":1},\"scope\":{\"name\":\"n\",\"version\":"
    "\"v\",\"attributes\":{\"b\":2}}}";
#define RESOURCE                                                               \
  "\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"         \
  "{\"stringValue\":\"x\"}},{\"key\":\"a\",\"value\":{\"intValue\":1}}]}"
#define SCOPE                                                                  \
  "\"scope\":{\"name\":\"n\",\"version\":\"v\",\"attributes\":[{\"key\":"      \
  "\"b\",\"value\":{\"intValue\":2}}]}"
#define RECORDS "\"logRecords\":[{},{}]"

static const char *const orders[] = {
    RESOURCE ",\"schemaUrl\":\"r\",\"scopeLogs\":[{" SCOPE
             ",\"schemaUrl\":\"s\"," RECORDS "}]",
    "\"scopeLogs\":[{" RECORDS "," SCOPE ",\"schemaUrl\":\"s\"}]," RESOURCE
    ",\"schemaUrl\":\"r\"",
};

TEST_EACH(resource_and_scope_belong_to_records_before_them, COUNT_OF(orders)) {
  char json[2048];
  snprintf(json, sizeof(json), "{\"resourceLogs\":[{%s}]}", orders[_i]);
  ck_assert_int_eq(parse_json(json), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 2);
  for (size_t i = 0; i < 2; i++) {
    assert_slice(event_of(i).service, "x");
    assert_text(event_of(i).metadata, context);
  }
}

TEST(nothing_of_one_resource_is_seen_in_the_next) {
  ck_assert_int_eq(
      parse_json("{\"resourceLogs\":[{" RESOURCE ",\"scopeLogs\":[{" SCOPE
                 ",\"logRecords\":[{\"severityText\":"
                 "\"A\",\"attributes\":[{\"key\":\"k\"}]}]},{\"logRecords\":"
                 "[{}]}]},{\"scopeLogs\":[{},{\"logRecords\":[{}]}]},{}]}"),
      AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 3);
  assert_text(event_of(1).metadata,
              "{\"resource\":{\"service.name\":\"x\",\"a\":1}}");
  assert_slice(event_of(1).message, "(no body)");
  assert_text(event_of(2).metadata, NULL);
  assert_slice(event_of(2).service, "unknown_service");
}

/* A message that is there twice is merged, as Protocol Buffers want it. */
TEST(a_resource_in_two_parts_is_one) {
  ck_assert_int_eq(
      parse_json("{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":"
                 "\"a\",\"value\":{\"intValue\":1}}]}," LOGS
                 ",\"resource\":" NAMED("{\"stringValue\":\"x\"}") "}]}"),
      AU_INTAKE_DONE);
  assert_slice(event_of(0).service, "x");
  assert_text(event_of(0).metadata,
              "{\"resource\":{\"a\":1,\"service.name\":\"x\"}}");
}

/* --- times ----------------------------------------------------------------*/

CASE("times", set_up, tear_down);

static const struct {
  const char *members;
  int64_t us;
  const char *metadata;
} times[] = {
    {"\"timeUnixNano\":\"" TIME_NS "\"", TIME_US, NULL},
    {"\"timeUnixNano\":" TIME_NS, TIME_US, NULL},
    {"\"observedTimeUnixNano\":\"" TIME_NS "\"", TIME_US, NULL},
    {"\"timeUnixNano\":0,\"observedTimeUnixNano\":\"" TIME_NS "\"", TIME_US,
     NULL},
    {"\"timeUnixNano\":\"" TIME_NS "\",\"observedTimeUnixNano\":\"" TIME_NS
     "\"",
     TIME_US, NULL},
    {"\"timeUnixNano\":\"" TIME_NS
     "\",\"observedTimeUnixNano\":\"1700000001000000000\"",
     TIME_US, "{\"observedTimestamp\":\"2023-11-14T22:13:21.000Z\"}"},
    {"", NOW, NULL},
    {"\"timeUnixNano\":\"1000\"", 1, NULL},
    /* The last moment of 2100 is one, the first of 2101 is none. */
    {"\"timeUnixNano\":\"4133980799999999999\"", INT64_C(4133980799999999),
     NULL},
    {"\"timeUnixNano\":\"4133980800000000000\"", NOW,
     "{\"timeUnixNano\":4133980800000000000}"},
    {"\"timeUnixNano\":\"18446744073709551615\",\"observedTimeUnixNano\":"
     "\"" TIME_NS "\"",
     TIME_US, "{\"timeUnixNano\":18446744073709551615}"},
    {"\"observedTimeUnixNano\":\"4133980800000000000\"", NOW,
     "{\"observedTimeUnixNano\":4133980800000000000}"},
    {"\"timeUnixNano\":\"18446744073709551616\"", NOW, "{\"truncated\":true}"},
};

TEST_EACH(a_time_is_the_events_or_now, COUNT_OF(times)) {
  au_event_t event = record_of(times[_i].members);
  ck_assert_int_eq(event.occurred_at_us, times[_i].us);
  assert_text(event.metadata, times[_i].metadata);
}

/* --- limits ---------------------------------------------------------------*/

CASE("limits", set_up, tear_down);

static void put_attributes(size_t count, size_t size) {
  char text[20000];
  ck_assert_uint_lt(size, sizeof(text));
  memset(text, 'x', size);
  text[size] = '\0';
  au_bytes_put_string(&body, "\"attributes\":[");
  for (size_t i = 0; i < count; i++)
    au_bytes_printf(&body,
                    "%s{\"key\":\"a%zu\",\"value\":{\"stringValue\":\"%s"
                    "\"}}",
                    i > 0 ? "," : "", i, text);
  au_bytes_put_string(&body, "]");
}

static au_event_t event_of_body(void) {
  ck_assert_int_eq(parse_bytes(AU_FORMAT_OTLP_JSON, body.data, body.size),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->errors_count, 0);
  return event_of(0);
}

static bool has(au_slice_t text, const char *part) {
  return text.data != NULL &&
         memmem(text.data, text.size, part, strlen(part)) != NULL;
}

#define MARK "\"truncated\":true"

TEST(a_long_message_is_cut_and_marked) {
  for (size_t size = 2000; size <= 2001; size++) {
    au_bytes_clear(&body, SIZE_MAX);
    au_bytes_put_string(&body, "{\"resourceLogs\":[{\"scopeLogs\":[{"
                               "\"logRecords\":[{\"body\":{\"stringValue\":\"");
    for (size_t i = 0; i < size; i++)
      au_bytes_put_string(&body, "\xC3\xA9");
    au_bytes_put_string(&body, "\"}}]}]}]}");
    au_event_t event = event_of_body();
    ck_assert_uint_eq(event.message.size, 4000);
    assert_text(event.metadata, size > 2000 ? "{" MARK "}" : NULL);
  }
}

static const struct {
  size_t count;
  size_t size;
  bool is_cut;
} amounts[] = {
    {99, 1, false},  {100, 1, true},   {3, 5000, false},
    {4, 5000, true}, {1, 17000, true},
};

TEST_EACH(metadata_loses_attributes_from_the_end, COUNT_OF(amounts)) {
  au_bytes_put_string(&body, "{\"resourceLogs\":[{\"scopeLogs\":[{"
                             "\"logRecords\":[{");
  put_attributes(amounts[_i].count, amounts[_i].size);
  au_bytes_put_string(&body, "}]}]}]}");
  au_event_t event = event_of_body();
  char last[16];
  snprintf(last, sizeof(last), "\"a%zu\"", amounts[_i].count - 1);
  ck_assert_uint_le(event.metadata.size, limits.metadata_max_bytes);
  ck_assert_int_eq(has(event.metadata, MARK), amounts[_i].is_cut);
  ck_assert_int_eq(has(event.metadata, last), !amounts[_i].is_cut);
  ck_assert_int_eq(has(event.metadata, "\"a0\""), amounts[_i].size < 17000);
}

/* A resource that is small is kept; a large one leaves half of the room. */
TEST(a_resource_and_attributes_share_the_room) {
  for (int is_large = 0; is_large < 2; is_large++) {
    au_bytes_clear(&body, SIZE_MAX);
    au_bytes_put_string(&body, "{\"resourceLogs\":[{\"resource\":{");
    put_attributes(is_large ? 99 : 10, 2);
    au_bytes_put_string(&body, "},\"scopeLogs\":[{\"logRecords\":[{");
    put_attributes(200, 1);
    au_bytes_put_string(&body, "}]}]}]}");
    au_event_t event = event_of_body();
    ck_assert(has(event.metadata, MARK));
    ck_assert(has(event.metadata, "\"a9\":\"xx\""));
    ck_assert(has(event.metadata, "\"a40\":\"x\""));
    ck_assert(!has(event.metadata, "\"a90\":\"x"));
    ck_assert_int_eq(has(event.metadata, "\"a80\":\"x\""), !is_large);
  }
}

TEST(a_resource_alone_may_fill_all_of_it) {
  au_bytes_put_string(&body, "{\"resourceLogs\":[{\"resource\":{");
  put_attributes(99, 100);
  au_bytes_put_string(&body, "},\"scopeLogs\":[{\"logRecords\":[{}]}]}]}");
  au_event_t event = event_of_body();
  ck_assert(!has(event.metadata, MARK));
  ck_assert(has(event.metadata, "\"a98\""));
}

/* {"k":{"k":...}} as an attribute, "depth" levels of it. */
static void put_deep(size_t depth) {
  au_bytes_put_string(&body, "{\"resourceLogs\":[{\"scopeLogs\":[{"
                             "\"logRecords\":[{\"attributes\":[{\"key\":\"k\","
                             "\"value\":");
  for (size_t i = 0; i < depth; i++)
    au_bytes_put_string(&body, "{\"kvlistValue\":{\"values\":[{\"key\":\"k\","
                               "\"value\":");
  au_bytes_put_string(&body, "{\"intValue\":1}");
  for (size_t i = 0; i < depth; i++)
    au_bytes_put_string(&body, "}]}}");
  au_bytes_put_string(&body, "}]}]}]}]}");
}

/* What is too deep is kept as the text of its JSON. */
TEST(a_value_that_is_too_deep_is_marked) {
  for (size_t depth = 4; depth <= 5; depth++) {
    au_bytes_clear(&body, SIZE_MAX);
    put_deep(depth);
    au_event_t event = event_of_body();
    ck_assert_int_eq(has(event.metadata, MARK), depth == 5);
    ck_assert_int_eq(has(event.metadata, "{\\\"k\\\":1}"), depth == 5);
  }
}

TEST(a_value_of_any_depth_is_taken) {
  for (size_t depth = 100; depth <= 10000; depth *= 10) {
    au_bytes_clear(&body, SIZE_MAX);
    put_deep(depth);
    ck_assert(has(event_of_body().metadata, MARK));
  }
}

TEST(limits_that_allow_nothing_refuse_nothing) {
  limits.service_max_length = 1;
  limits.message_max_length = 1;
  limits.metadata_max_depth = 0;
  for (size_t bytes = 2; bytes < 60; bytes++) {
    limits.metadata_max_bytes = bytes;
    limits.metadata_max_keys = bytes / 4;
    au_bytes_clear(&body, SIZE_MAX);
    au_bytes_put_string(&body, "{\"resourceLogs\":[{" RESOURCE
                               ",\"scopeLogs\":[{" SCOPE ",\"logRecords\":[{"
                               "\"severityText\":\"INFO\",\"flags\":1,");
    put_attributes(3, 3);
    au_bytes_put_string(&body, "}]}]}]}");
    au_event_t event = event_of_body();
    assert_slice(event.message, "I");
    ck_assert_uint_le(event.metadata.size, bytes);
  }
}

TEST(more_records_than_may_be_are_refused) {
  limits.otlp_max_records = 3;
  ck_assert_int_eq(parse_json("{\"resourceLogs\":[{\"scopeLogs\":[{"
                              "\"logRecords\":[{},{}]},{\"logRecords\":[{}]}]}"
                              "]}"),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 3);
  ck_assert_int_eq(parse_json("{\"resourceLogs\":[{\"scopeLogs\":[{"
                              "\"logRecords\":[{},{}]}]},{\"scopeLogs\":[{"
                              "\"logRecords\":[{},{}]}]}]}"),
                   AU_INTAKE_TOO_MANY);
  /* Other formats have their own number. */
  limits.max_batch_events = 2;
  ck_assert_int_eq(parse_json("{\"resourceLogs\":[{\"scopeLogs\":[{"
                              "\"logRecords\":[{},{},{}]}]}]}"),
                   AU_INTAKE_DONE);
}

/* --- room -----------------------------------------------------------------*/

CASE("room", set_up, tear_down);

/* A request of so many records with a message, an attribute and a resource of
 * so many bytes. */
static void put_records(size_t count, size_t message, size_t attribute,
                        size_t resource) {
  static char text[20000];
  memset(text, 'x', sizeof(text));
  size_t logs = au_protobuf_begin(&twin, 1);
  size_t place = au_protobuf_begin(&twin, 1);
  size_t pair = au_protobuf_begin(&twin, 1);
  au_protobuf_put_bytes(&twin, 1, "r", 1);
  size_t value = au_protobuf_begin(&twin, 2);
  au_protobuf_put_bytes(&twin, 1, text, resource);
  au_protobuf_end(&twin, value);
  au_protobuf_end(&twin, pair);
  au_protobuf_end(&twin, place);
  size_t scope = au_protobuf_begin(&twin, 2);
  for (size_t i = 0; i < count; i++) {
    size_t record = au_protobuf_begin(&twin, 2);
    size_t any = au_protobuf_begin(&twin, 5);
    au_protobuf_put_bytes(&twin, 1, text, message);
    au_protobuf_end(&twin, any);
    if (attribute > 0) {
      pair = au_protobuf_begin(&twin, 6);
      au_protobuf_put_bytes(&twin, 1, "a", 1);
      value = au_protobuf_begin(&twin, 2);
      au_protobuf_put_bytes(&twin, 1, text, attribute);
      au_protobuf_end(&twin, value);
      au_protobuf_end(&twin, pair);
    }
    au_protobuf_end(&twin, record);
  }
  au_protobuf_end(&twin, scope);
  au_protobuf_end(&twin, logs);
  ck_assert(!twin.failed);
}

/* How many of the events have this in their metadata. */
static size_t count_with(const char *part) {
  size_t offset = 0;
  size_t count = 0;
  size_t wrong = 0;
  for (size_t i = 0; i < intake->rows.count; i++) {
    au_event_t event;
    const au_row_t row =
        au_row_split(intake->rows.row[i].kind, intake->rows.bytes.data + offset,
                     intake->rows.row[i].size);
    if (au_row_decode(row.tuple, row.size, &event) == AU_OK &&
        au_row_is_sound(&row))
      count += has(event.metadata, part);
    else
      wrong++;
    offset += intake->rows.row[i].size;
  }
  ck_assert_uint_eq(wrong, 0);
  return count;
}

static const struct {
  size_t records;
  size_t message;
  size_t attribute;
  size_t resource;
  int of_resource;  /* kept in all (1), in some (0), in none (-1) */
  int of_attribute; /* the same */
} rooms[] = {
    {1000, 100, 100, 10000, 1, 1},
    /* 1,000 times 16 KiB and some fit; 3,000 times do not. */
    {3000, 100, 100, 15000, 0, 1},
    {50000, 10, 0, 15000, 0, -1},
    {50000, 10, 100, 15000, 0, 1},
    /* Without the resource it is still too much. */
    {3000, 100, 14000, 10000, -1, 0},
};

TEST_EACH(rows_have_an_end, COUNT_OF(rooms)) {
  put_records(rooms[_i].records, rooms[_i].message, rooms[_i].attribute,
              rooms[_i].resource);
  ck_assert_int_eq(parse_bytes(AU_FORMAT_OTLP, twin.data, twin.size),
                   AU_INTAKE_DONE);
  size_t count = intake->rows.count;
  ck_assert_uint_eq(count, rooms[_i].records);
  ck_assert_uint_eq(intake->errors_count, 0);
  ck_assert_uint_le(intake->rows.bytes.size + 4 * count, AU_OTLP_ROWS_MAX);
  size_t with[] = {count_with("\"resource\":{\"r\""), count_with("\"a\":\"x")};
  const int kept[] = {rooms[_i].of_resource, rooms[_i].of_attribute};
  for (int i = 0; i < 2; i++)
    ck_assert_msg(kept[i] == 1    ? with[i] == count
                  : kept[i] == -1 ? with[i] == 0
                                  : with[i] > 0 && with[i] < count,
                  "%zu of %zu (%d)", with[i], count, i);
  size_t marked = count_with(MARK);
  size_t whole = kept[0] < 1 ? with[0] : count;
  ck_assert_uint_ge(marked, count - whole);
}

/* Messages of bytes that are not UTF-8 grow to three times their size. */
TEST(messages_are_cut_when_there_is_no_room_even_for_them) {
  limits.service_max_length = 1000;
  static char bad[400];
  memset(bad, 0xFF, sizeof(bad));
  size_t logs = au_protobuf_begin(&twin, 1);
  size_t scope = au_protobuf_begin(&twin, 2);
  for (size_t i = 0; i < 50000; i++) {
    size_t record = au_protobuf_begin(&twin, 2);
    size_t any = au_protobuf_begin(&twin, 5);
    au_protobuf_put_bytes(&twin, 1, bad, i % 2 == 0 ? 300 : sizeof(bad));
    au_protobuf_end(&twin, any);
    au_protobuf_put_bytes(&twin, 3, "INFO", 4);
    au_protobuf_end(&twin, record);
  }
  au_protobuf_end(&twin, scope);
  size_t place = au_protobuf_begin(&twin, 1);
  size_t pair = au_protobuf_begin(&twin, 1);
  au_protobuf_put_bytes(&twin, 1, "service.name", 12);
  size_t value = au_protobuf_begin(&twin, 2);
  au_protobuf_put_bytes(&twin, 1, bad, sizeof(bad));
  au_protobuf_end(&twin, value);
  au_protobuf_end(&twin, pair);
  au_protobuf_end(&twin, place);
  au_protobuf_end(&twin, logs);
  ck_assert_int_eq(parse_bytes(AU_FORMAT_OTLP, twin.data, twin.size),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 50000);
  ck_assert_uint_le(intake->rows.bytes.size + 4 * 50000, AU_OTLP_ROWS_MAX);
  ck_assert_uint_eq(count_with(MARK), 50000);
  for (size_t i = 0; i < 2; i++) {
    au_event_t event = event_of(i);
    ck_assert_int_gt(au_utf8_length(event.message.data, event.message.size), 0);
    ck_assert_int_gt(au_utf8_length(event.service.data, event.service.size), 0);
  }
}

/* --- ids ------------------------------------------------------------------*/

CASE("ids", set_up, tear_down);

static au_uuid_t id_of(const char *value) {
  char members[512];
  snprintf(members, sizeof(members),
           "\"attributes\":[{\"key\":"
           "\"log.record.uid\",\"value\":%s}]",
           value);
  return record_of(members).id;
}

static const struct {
  const char *value;
  const char *text; /* the id follows from it; NULL: a new one */
} uids[] = {
    {"{\"stringValue\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\"}",
     "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
    {"{\"intValue\":\"17\"}", "17"},
    {"{\"intValue\":17}", "17"},
    {"{\"doubleValue\":1.50}", "1.50"},
    {"{\"bytesValue\":\"AAE=\"}", "AAE="},
    {"{\"stringValue\":\"\"}", NULL},
    {"{\"stringValue\":\"00000000-0000-0000-0000-000000000000\"}", NULL},
    {"{\"stringValue\":\"00000000000000000000000000000000\"}", NULL},
    {"{\"boolValue\":true}", NULL},
    {"{\"arrayValue\":{}}", NULL},
    {"{}", NULL},
};

TEST_EACH(the_id_of_a_record_is_that_of_the_event, COUNT_OF(uids)) {
  au_uuid_t id = id_of(uids[_i].value);
  const au_row_kind_t kind = intake->rows.row[0].kind;
  if (uids[_i].text == NULL) {
    ck_assert_int_eq(kind, AU_ROW_EVENT);
    return;
  }
  const au_slice_t service = {.data = "unknown_service", .size = 15};
  const au_slice_t text = {.data = uids[_i].text,
                           .size = strlen(uids[_i].text)};
  au_uuid_t expected;
  ck_assert(au_name_of_text("id", service, text, &expected));
  ck_assert_int_eq(kind, AU_ROW_IDENTIFIED);
  ck_assert_mem_eq(&id, &expected, sizeof(id));
}

TEST(a_uuid_is_the_id_itself) {
  au_uuid_t id =
      id_of("{\"stringValue\":\"6BA7B810-9DAD-11D1-80B4-00C04FD430C8\"}");
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(&id, text);
  ck_assert_str_eq(text, "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  ck_assert(has(event_of(0).metadata, "6BA7B810"));
}

TEST(records_of_a_named_request_are_numbered) {
  const au_naming_t naming = {.by = AU_NAMED_BY_BYTES,
                              .digest = {.byte = {1, 2, 3}}};
  au_reader_name(&reader, &naming);
  ck_assert_int_eq(
      parse_json("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{},"
                 "{\"observedTimeUnixNano\":\"" TIME_NS "\"}]}]},"
                 "{\"scopeLogs\":[{\"logRecords\":[{}]}]}]}"),
      AU_INTAKE_DONE);
  au_uuid_t name = au_name_of_request(&naming.digest, true, TIME_US);
  for (uint32_t i = 0; i < 3; i++) {
    au_uuid_t id = au_name_number(&name, i);
    ck_assert_mem_eq(event_of(i).id.byte, id.byte, sizeof(id));
  }
  /* Without a time of their own the same bytes are something new. */
  au_reader_name(&reader, &naming);
  ck_assert_int_eq(parse_json("{\"resourceLogs\":[{\"scopeLogs\":[{"
                              "\"logRecords\":[{},{}]}]}]}"),
                   AU_INTAKE_DONE);
  ck_assert_int_eq(intake->rows.row[1].kind, AU_ROW_EVENT);
}

/* --- Protocol Buffers -----------------------------------------------------*/

CASE("protobuf", set_up, tear_down);

/* The one record of a request, whose fields are these bytes. */
static au_event_t record_of_bytes(const void *fields, size_t size) {
  au_bytes_clear(&twin, SIZE_MAX);
  size_t logs = au_protobuf_begin(&twin, 1);
  size_t scope = au_protobuf_begin(&twin, 2);
  au_protobuf_put_bytes(&twin, 2, fields, size);
  au_protobuf_end(&twin, scope);
  au_protobuf_end(&twin, logs);
  ck_assert_msg(parse_bytes(AU_FORMAT_OTLP, twin.data, twin.size) ==
                    AU_INTAKE_DONE,
                "%s", intake->message);
  ck_assert_uint_eq(intake->errors_count, 0);
  return event_of(0);
}

TEST(an_empty_request_has_no_events) {
  ck_assert_int_eq(parse_bytes(AU_FORMAT_OTLP, "", 0), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->total, 0);
  ck_assert_int_eq(parse_json("{}"), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->total, 0);
  ck_assert_int_eq(parse_json("\xEF\xBB\xBF {\"resourceLogs\":null} \n"),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->total, 0);
}

TEST(every_field_of_a_record_is_read) {
  au_protobuf_put_fixed64(&body, 1, UINT64_C(1700000000987654321));
  au_protobuf_put_fixed64(&body, 11, UINT64_C(1700000001000000000));
  au_protobuf_put_varint(&body, 2, 17);
  au_protobuf_put_bytes(&body, 3, "ERR", 3);
  au_protobuf_put_varint(&body, 7, 4);
  au_protobuf_put_fixed32(&body, 8, 257);
  au_protobuf_put_bytes(&body, 9, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17",
                        16);
  au_protobuf_put_bytes(&body, 10, "\xFF\0\0\0\0\0\0\0", 8);
  au_protobuf_put_bytes(&body, 12, "ev", 2);
  /* Unknown ones, and known ones of another type. */
  au_protobuf_put_varint(&body, 99, 4);
  au_protobuf_put_varint(&body, 3, 4);
  au_protobuf_put_varint(&body, 5, 4);
  au_protobuf_put_varint(&body, 6, 4);
  au_protobuf_put_varint(&body, 31, 1);
  au_event_t event = record_of_bytes(body.data, body.size);
  ck_assert_int_eq(event.occurred_at_us, TIME_US);
  assert_slice(event.message, "ev");
  assert_text(event.metadata,
              "{\"severityNumber\":17,\"traceId\":"
              "\"000102030405060708090a0b0c0d0e0f\",\"spanId\":"
              "\"ff00000000000000\",\"flags\":257,\"observedTimestamp\":"
              "\"2023-11-14T22:13:21.000Z\",\"droppedAttributesCount\":4,"
              "\"severityText\":\"ERR\",\"eventName\":\"ev\"}");
}

static const struct {
  const char *any;
  size_t size;
  const char *json;
} anys[] = {
    {"\x0A\x02hi", 4, "\"hi\""},
    {"\x0A\x02h\x00", 4, "\"h\xEF\xBF\xBD\""},
    {"\x0A\x01\xFF", 3, "\"\xEF\xBF\xBD\""},
    {"\x10\x01", 2, "true"},
    {"\x10\x00", 2, "false"},
    {"\x18\x2A", 2, "42"},
    {"\x18\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11, "-1"},
    {"\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11,
     "-9223372036854775808"},
    {"\x21\x00\x00\x00\x00\x00\x00\xF8\x3F", 9, "1.5"},
    {"\x21\x9A\x99\x99\x99\x99\x99\xB9\x3F", 9, "0.1"},
    {"\x21\x00\x00\x00\x00\x00\x00\x00\x80", 9, "-0"},
    {"\x21\x01\x00\x00\x00\x00\x00\x00\x00", 9, "4.94065645841247e-324"},
    /* 1e15 and 2^53 + 2; the largest one has 309 digits. */
    {"\x21\x00\x00\x34\x26\xF5\x6B\x0C\x43", 9, "1e+15"},
    {"\x21\x01\x00\x00\x00\x00\x00\x40\x43", 9, "9007199254740994"},
    {"\x21\x01\x00\x00\x00\x00\x00\x40\xC3", 9, "-9007199254740994"},
    {"\x21\x00\x00\x00\x00\x00\x00\xF0\x7F", 9, "\"Infinity\""},
    {"\x21\x00\x00\x00\x00\x00\x00\xF0\xFF", 9, "\"-Infinity\""},
    {"\x21\x01\x00\x00\x00\x00\x00\xF0\x7F", 9, "\"NaN\""},
    {"\x2A\x00", 2, "[]"},
    {"\x32\x00", 2, "{}"},
    {"\x32\x02\x0A\x00", 4, "{\"\":null}"},
    {"\x32\x04\x0A\x02\x12\x00", 6, "{\"\":null}"},
    {"\x3A\x02\x00\xFF", 4, "\"AP8=\""},
    {"", 0, "null"},
    /* A field that is only ours is unknown from outside. */
    {"\x7A\x01{", 3, "null"},
    {"\x18\x01\x10\x01", 4, "true"},
    {"\x10\x01\xF8\x06\x01", 5, "true"},
};

TEST_EACH(a_value_of_a_message_is_json, COUNT_OF(anys)) {
  size_t pair = au_protobuf_begin(&body, 6);
  au_protobuf_put_bytes(&body, 1, "k", 1);
  au_protobuf_put_bytes(&body, 2, anys[_i].any, anys[_i].size);
  au_protobuf_end(&body, pair);
  char expected[256];
  snprintf(expected, sizeof(expected), "{\"attributes\":{\"k\":%s}}",
           anys[_i].json);
  assert_text(record_of_bytes(body.data, body.size).metadata, expected);
}

TEST(ids_of_any_length_are_shown_unless_absurd) {
  au_protobuf_put_bytes(&body, 9, "\x01\x02", 2);
  assert_text(record_of_bytes(body.data, body.size).metadata,
              "{\"traceId\":\"0102\"}");
  au_bytes_clear(&body, SIZE_MAX);
  char long_id[100];
  memset(long_id, 1, sizeof(long_id));
  au_protobuf_put_bytes(&body, 9, long_id, sizeof(long_id));
  assert_text(record_of_bytes(body.data, body.size).metadata, "{" MARK "}");
  au_bytes_clear(&body, SIZE_MAX);
  memset(long_id, 0, sizeof(long_id));
  au_protobuf_put_bytes(&body, 9, long_id, sizeof(long_id));
  assert_text(record_of_bytes(body.data, body.size).metadata, NULL);
}

static const struct {
  const char *bytes;
  size_t size;
} malformed[] = {
    {"x", 1},
    {"{}", 2},
    {"\x0A\x05", 2},
    {"\x0A\x01\xFF", 3},
    /* ResourceLogs, of which the scope, a record, ... is malformed. */
    {"\x0A\x03\x12\x01\xFF", 5},
    {"\x0A\x05\x12\x03\x12\x01\xFF", 7},
    {"\x0A\x07\x12\x05\x12\x03\x2A\x01\xFF", 9},
    {"\x0A\x07\x12\x05\x12\x03\x32\x01\xFF", 9},
    {"\x0A\x09\x12\x07\x12\x05\x32\x03\x12\x01\xFF", 11},
    {"\x0A\x0B\x12\x09\x12\x07\x32\x05\x12\x03\x2A\x01\xFF", 13},
    /* The resource, its attribute, and the scope of one with a record. */
    {"\x0A\x07\x0A\x01\xFF\x12\x02\x12\x00", 9},
    {"\x0A\x09\x0A\x03\x0A\x01\xFF\x12\x02\x12\x00", 11},
    {"\x0A\x07\x12\x05\x0A\x01\xFF\x12\x00", 9},
};

TEST_EACH(what_is_malformed_is_refused_as_a_whole, COUNT_OF(malformed)) {
  ck_assert_int_eq(
      parse_bytes(AU_FORMAT_OTLP, malformed[_i].bytes, malformed[_i].size),
      AU_INTAKE_MALFORMED);
  ck_assert_ptr_nonnull(strstr(intake->message, "malformed message at byte"));
  ck_assert_int_eq(parse_bytes(AU_FORMAT_OTLP, "", 0), AU_INTAKE_DONE);
}

static const struct {
  const char *json;
  const char *message;
} not_json[] = {
    {"", "unexpected end of JSON at byte 0"},
    {"{", "unexpected end of JSON at byte 1"},
    {"{\"x\":{", "unexpected end of JSON at byte 6"},
    {"nonsense", "unexpected character at byte 1"},
    {"[]", "expected an object at byte 0"},
    {"5", "expected an object at byte 1"},
    {"{}{}", "more than one JSON value at byte 2"},
    {"{\"resourceLogs\":5}", "expected an array at byte 16"},
    {"{\"resourceLogs\":{}}", "expected an array at byte 16"},
    {"{\"resourceLogs\":[5]}", "expected an object at byte 17"},
    {"{\"resourceLogs\":[[]]}", "expected an object at byte 17"},
    {"{\"resourceLogs\":[{\"resource\":[]}]}", "expected an object at byte 29"},
    {"{\"resourceLogs\":[{\"resource\":\"x\"}]}",
     "expected an object at byte 29"},
    {"{\"resourceLogs\":[{\"schemaUrl\":\"\\ud800\\ud801\"}",
     "unexpected end of JSON at byte 45"},
};

TEST_EACH(what_is_not_the_json_of_logs_is_refused, COUNT_OF(not_json)) {
  ck_assert_int_eq(parse_json(not_json[_i].json), AU_INTAKE_MALFORMED);
  ck_assert_str_eq(intake->message, not_json[_i].message);
  ck_assert_int_eq(parse_json("{}"), AU_INTAKE_DONE);
}

TEST(null_among_messages_is_nothing) {
  ck_assert_int_eq(parse_json("{\"resourceLogs\":[null,{\"scopeLogs\":[null,"
                              "{\"logRecords\":[null,{}]}]}]}"),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 1);
}

/* --- memory ---------------------------------------------------------------*/

CASE("memory", set_up, tear_down);

static const char much[] =
    "{\"resourceLogs\":[{" RESOURCE ",\"scopeLogs\":[{" SCOPE
    ",\"logRecords\":[{\"body\":{\"kvlistValue\":{\"values\":[{\"key\":\"a\","
    "\"value\":{\"bytesValue\":\"AAAA\"}}]}},\"attributes\":[{\"key\":"
    "\"log.record.uid\",\"value\":{\"stringValue\":\"u\\n\"}},{\"key\":\"d\","
    "\"value\":{\"doubleValue\":0.5}}]},{\"body\":{\"stringValue\":\"m\"}}]}]}"
    "]}";

TEST(without_memory_nothing_is_taken) {
  au_intake_result_t result = AU_INTAKE_NOMEM;
  long n = 1;
  for (; result != AU_INTAKE_DONE; n++) {
    tear_down_reader();
    set_up_reader();
    fail_memory(n, 1);
    result =
        au_reader_read(&reader, AU_FORMAT_OTLP_JSON, much, strlen(much), NOW);
    bool has_failed = memory_failed();
    if (result == AU_INTAKE_DONE && has_failed)
      result = AU_INTAKE_NOMEM; /* what failed was not needed */
    else
      ck_assert_int_eq(result, has_failed ? AU_INTAKE_NOMEM : AU_INTAKE_DONE);
  }
  ck_assert_uint_eq(intake->rows.count, 2);
  ck_assert_int_gt(n, 8);
}

TEST(what_it_may_not_hold_is_refused) {
  put_records(50000, 10, 100, 15000);
  au_budget_t budget = {.max = (uint64_t)48 << 20};
  reader.account.budget = &budget;
  ck_assert_int_eq(parse_bytes(AU_FORMAT_OTLP, twin.data, twin.size),
                   AU_INTAKE_DONE);
  au_reader_clear(&reader);
  ck_assert_uint_lt(au_budget_held(&budget), 1 << 20);
  budget.max = (uint64_t)16 << 20;
  ck_assert_int_eq(parse_bytes(AU_FORMAT_OTLP, twin.data, twin.size),
                   AU_INTAKE_NOMEM);
  au_reader_clear(&reader);
  tear_down_reader();
  set_up_reader();
}

int main(void) { return run_tests("otlp"); }
