/* SPDX-License-Identifier: MIT
 *
 * check_validate - one event in a request: every field, every constraint by its
 * name, every limit at its border.
 */
#include "support/bodies.h"

#include "base/utf8.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>

/* --- what passes ----------------------------------------------------------*/

CASE("passes", set_up_reader, tear_down_reader);

TEST(an_event_becomes_a_row) {
  assert_accepted("{\"timestamp\":\"2026-01-02T12:00:00.123456Z\",\"service\":"
                  "\"auth\",\"message\":\"login\",\"metadata\":{\"a\":1}}");
  ck_assert(intake->is_single);
  ck_assert_uint_eq(intake->total, 1);
  au_event_t event = event_of(0);
  ck_assert_int_eq(event.occurred_at_us, INT64_C(1767355200123456));
  assert_slice(event.service, "auth");
  assert_slice(event.message, "login");
  assert_slice(event.metadata, "{\"a\":1}");
  ck_assert_uint_eq(event.id.byte[6] >> 4, 7);
}

TEST(metadata_may_be_absent_or_null) {
  assert_accepted(with(""));
  ck_assert_ptr_null(event_of(0).metadata.data);
  assert_accepted(with("\"metadata\":null"));
  ck_assert_ptr_null(event_of(0).metadata.data);
  assert_accepted(with("\"metadata\":{}"));
  assert_slice(event_of(0).metadata, "{}");
}

TEST(text_is_stored_as_it_was_sent) {
  assert_accepted("{\"timestamp\":0,\"service\":\" <b>&amp; \\u00e9 \","
                  "\"message\":\" \\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\ud83d"
                  "\\ude00\xF0\x9F\x98\x80\"}");
  assert_slice(event_of(0).service, " <b>&amp; \xC3\xA9 ");
  assert_slice(event_of(0).message,
               " \"\\/\b\f\n\r\t\x01\xF0\x9F\x98\x80\xF0\x9F\x98\x80");
}

TEST(keys_may_be_written_with_escapes) {
  assert_accepted("{\"\\u0074imestamp\":0,\"servic\\u0065\":\"s\","
                  "\"mes\\u0073age\":\"m\",\"meta\\u0064ata\":{}}");
  assert_slice(event_of(0).metadata, "{}");
}

TEST(white_space_around_everything) {
  assert_accepted(" \r\n\t{ \"timestamp\" : 0 , \"service\" : \"s\" ,\n"
                  "\"message\" : \"m\" , \"metadata\" : { \"a\" : [ 1 , 2 ] }"
                  " } \r\n");
  assert_slice(event_of(0).metadata, "{\"a\":[1,2]}");
}

/* The times are tested with au_timestamp_parse; here, that they arrive. */
TEST(timestamps_of_every_type) {
  static const char *const times[] = {"\"2023-11-14T22:13:20Z\"",
                                      "\"1700000000\"",
                                      "1700000000",
                                      "\"1700000000000\"",
                                      "1700000000000",
                                      "1.7e9",
                                      "1700000000.0000009",
                                      "\"2023-11-14T22:13:20+00:00\"",
                                      "\"2023-11-14 22:13\\u003a20\""};
  char json[256];
  for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
    snprintf(json, sizeof(json),
             "{\"service\":\"s\",\"message\":\"m\",\"timestamp\":%s}",
             times[i]);
    assert_accepted(json);
    ck_assert_int_eq(event_of(0).occurred_at_us, INT64_C(1700000000000000));
  }
}

static const struct {
  const char *sent;
  const char *kept; /* NULL: as it was sent */
} metadata[] = {
    {"{\"a\":{},\"b\":[],\"c\":[{},[]],\"d\":\"\",\"\":0}", NULL},
    {"{\"t\":true,\"f\":false,\"n\":null}", NULL},
    {"{\"n\":[0,-0,-1,1.50,1e2,1E+2,2.5e-3,-0.0,12345678901234567890123]}",
     NULL},
    {"{\"\\u00e9\\/\":\"\\u00e9\\/\\u0041\"}",
     "{\"\xC3\xA9/\":\"\xC3\xA9/A\"}"},
    {"{\"e\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u001f\\u007f\"}",
     "{\"e\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u001f\x7F\"}"},
    {"{\"\xF0\x9F\x98\x80\":\"\\ud83d\\ude00\"}",
     "{\"\xF0\x9F\x98\x80\":\"\xF0\x9F\x98\x80\"}"},
    {"{\"a\":1,\"a\":2}", NULL}, /* jsonb keeps the last one */
    {"{\"e\":0e100000000,\"d\":1e399,\"m\":1e-399}", NULL},
    {"{\"x\":\"\\\\ud800\",\"y\":\"\\\\\\\\udc00\"}", NULL},
};

TEST_EACH(metadata_is_kept_as_compact_json, COUNT_OF(metadata)) {
  char fields[256];
  snprintf(fields, sizeof(fields), "\"metadata\":%s", metadata[_i].sent);
  assert_accepted(with(fields));
  assert_slice(event_of(0).metadata, metadata[_i].kept != NULL
                                         ? metadata[_i].kept
                                         : metadata[_i].sent);
}

/* --- what is refused ------------------------------------------------------*/

static const struct {
  const char *json;
  const char *errors;
} refused[] = {
    {"{}", ALL_MISSING},
    {"{\"timestamp\":null,\"service\":null,\"message\":null}", ALL_MISSING},
    /* wrong types */
    {"{\"timestamp\":true,\"service\":1,\"message\":[1],\"metadata\":\"x\"}",
     "[" FIELD("timestamp", UNPARSEABLE) "," FIELD(
         "service",
         IS_STRING(
             "service")) "," FIELD("message",
                                   IS_STRING(
                                       "message")) "," FIELD("metadata",
                                                             "\"isObject\":"
                                                             "\"metadata "
                                                             "must be an "
                                                             "object\"") "]"},
    {"{\"timestamp\":{\"a\":1},\"service\":{\"b\":[2]},\"message\":false,"
     "\"metadata\":[{\"c\":3}]}",
     "[" FIELD("timestamp", UNPARSEABLE) "," FIELD(
         "service",
         IS_STRING("service")) "," FIELD("message",
                                         IS_STRING(
                                             "message")) "," FIELD("metada"
                                                                   "ta",
                                                                   "\"isOb"
                                                                   "ject\""
                                                                   ":\"met"
                                                                   "adata "
                                                                   "must "
                                                                   "be an "
                                                                   "object"
                                                                   "\"") "]"},
    /* empty and blank */
    {"{\"timestamp\":\"\",\"service\":\"\",\"message\":\"\"}",
     "[" FIELD("timestamp", NOT_EMPTY("timestamp") "," UNPARSEABLE) "," FIELD(
         "service", NOT_EMPTY("service")) "," FIELD("message",
                                                    NOT_EMPTY("message")) "]"},
    /* times */
    {"{\"timestamp\":\"yesterday\",\"service\":\"s\",\"message\":\" \"}",
     "[" FIELD("timestamp", UNPARSEABLE) "]"},
    {"{\"timestamp\":-1,\"service\":\"s\",\"message\":\"m\"}",
     "[" FIELD("timestamp", UNPARSEABLE) "]"},
    {"{\"timestamp\":\"2101-01-01T00:00:00Z\",\"service\":\"s\","
     "\"message\":\"m\"}",
     "[" FIELD("timestamp", UNPARSEABLE) "]"},
    {"{\"timestamp\":1e400,\"service\":\"s\",\"message\":\"m\"}",
     "[" FIELD("timestamp", UNPARSEABLE) "]"},
    {"{\"timestamp\":\"2026-01-02\\u0000\",\"service\":\"s\","
     "\"message\":\"m\"}",
     "[" FIELD("timestamp", UNPARSEABLE) "]"},
    /* unknown fields, after the known ones whatever their place */
    {"{\"x\":{\"y\":[1]},\"timestamp\":0,\"service\":\"s\",\"Message\":\"m\"}",
     "[" FIELD("message",
               IS_STRING("message") "," NOT_EMPTY(
                   "message")) "," UNKNOWN("x") "," UNKNOWN("Message") "]"},
    {"{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\",\"x\":1,\"y\":2,"
     "\"x\":null}",
     "[" UNKNOWN("x") "," UNKNOWN("y") "]"},
    {"{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\",\"\":1,"
     "\"a\\\"\\\\\\n\":1,\"\xFF\":1,\"service\\u0000\":1}",
     "[" UNKNOWN("") "," UNKNOWN("a\\\"\\\\\\n") "," UNKNOWN(
         "\xEF\xBF\xBD") "," UNKNOWN("service\\u0000") "]"},
    {"{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\",\"metadat\":1,"
     "\"services\":1,\"timestamps\":1,\"MESSAGE\":1}",
     "[" UNKNOWN("metadat") "," UNKNOWN("services") "," UNKNOWN(
         "timestamps") "," UNKNOWN("MESSAGE") "]"},
    /* what cannot be stored */
    {"{\"timestamp\":0,\"service\":\"a\\u0000\",\"message\":\"\\u0000\","
     "\"metadata\":{\"a\":\"\\u0000\"}}",
     "[" FIELD("service", CHARACTER("service")) "," FIELD(
         "message", CHARACTER("message")) "," FIELD("metadata",
                                                    CHARACTER("metadata")) "]"},
    {"{\"timestamp\":0,\"service\":\"\\ud800\",\"message\":\"a\\uDFFFb\","
     "\"metadata\":{\"\\uDBff\":1}}",
     "[" FIELD("service", CHARACTER("service")) "," FIELD(
         "message", CHARACTER("message")) "," FIELD("metadata",
                                                    CHARACTER("metadata")) "]"},
    {"{\"timestamp\":0,\"service\":\"\\ud800\\ud800\\udc00\","
     "\"message\":\"\\ud83d\\ude00\\ude00\","
     "\"metadata\":{\"a\":[[\"\\ud800\\\\udc00\"]]}}",
     "[" FIELD("service", CHARACTER("service")) "," FIELD(
         "message", CHARACTER("message")) "," FIELD("metadata",
                                                    CHARACTER("metadata")) "]"},
    {"{\"timestamp\":0,\"service\":\"\\ud800\\n\",\"message\":\"\\ud800\\u0041"
     "\",\"metadata\":{\"a\":\"\\ud800\\\\x\",\"b\":\"\\ud800\\\\uzz\"}}",
     "[" FIELD("service", CHARACTER("service")) "," FIELD(
         "message", CHARACTER("message")) "," FIELD("metadata",
                                                    CHARACTER("metadata")) "]"},
    {"{\"timestamp\":0,\"service\":\"\xFF\",\"message\":\"\xC0\x80\","
     "\"metadata\":{\"\xED\xA0\x80\":1}}",
     "[" FIELD("service", ENCODING("service")) "," FIELD(
         "message", ENCODING("message")) "," FIELD("metadata",
                                                   ENCODING("metadata")) "]"},
    {"{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\","
     "\"metadata\":{\"a\":[1e400]}}",
     "[" FIELD("metadata", NUMBER) "]"},
    {"{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\","
     "\"metadata\":{\"a\":1e-400}}",
     "[" FIELD("metadata", NUMBER) "]"},
    {"{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\","
     "\"metadata\":{\"a\":1e99999999999999999999}}",
     "[" FIELD("metadata", NUMBER) "]"},
    /* the first reason is told */
    {"{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\","
     "\"metadata\":{\"a\":\"\xFF\",\"b\":1e400,\"c\":\"\\u0000\"}}",
     "[" FIELD("metadata", ENCODING("metadata")) "]"},
};

CASE("refused", set_up_reader, tear_down_reader);

TEST_EACH(refusals, COUNT_OF(refused)) {
  assert_refused(refused[_i].json, refused[_i].errors);
  ck_assert(intake->is_single);
}

/* The last one wins, with its errors and without those before. */
static const struct {
  const char *fields;
  const char *errors; /* NULL: accepted */
} twice[] = {
    {"\"service\":1,\"service\":\"t\"", NULL},
    {"\"service\":\"\\u0000\",\"service\":\"t\"", NULL},
    {"\"timestamp\":\"x\",\"timestamp\":1", NULL},
    {"\"message\":\"\",\"message\":\"n\"", NULL},
    {"\"metadata\":[],\"metadata\":{\"b\":2}", NULL},
    {"\"metadata\":{\"a\":\"\\u0000\"},\"metadata\":{\"b\":2}", NULL},
    {"\"metadata\":{\"a\":1e999},\"metadata\":null", NULL},
    {"\"metadata\":{\"a\":[[[[[[[1]]]]]]]},\"metadata\":{}", NULL},
    {"\"metadata\":{},\"metadata\":7",
     "[" FIELD("metadata", "\"isObject\":\"metadata must be an object\"") "]"},
    {"\"service\":null",
     "[" FIELD("service", IS_STRING("service") "," NOT_EMPTY("service")) "]"},
    {"\"service\":\"\\u0000\",\"service\":[]",
     "[" FIELD("service", IS_STRING("service")) "]"},
    {"\"message\":\"\xFF\",\"message\":\"\\u0000\"",
     "[" FIELD("message", CHARACTER("message")) "]"},
    {"\"timestamp\":{}", "[" FIELD("timestamp", UNPARSEABLE) "]"},
};

TEST_EACH(the_last_value_of_a_field_counts, COUNT_OF(twice)) {
  if (twice[_i].errors == NULL)
    assert_accepted(with(twice[_i].fields));
  else
    assert_refused(with(twice[_i].fields), twice[_i].errors);
}

TEST(the_last_value_of_a_field_is_stored) {
  assert_accepted(with("\"service\":\"x\\ny\",\"service\":\"t\",\"message\":"
                       "\"\\u0041\",\"message\":\"\\u0042\",\"timestamp\":5,"
                       "\"metadata\":{\"a\":[1]},\"metadata\":{\"b\":2}"));
  au_event_t event = event_of(0);
  assert_slice(event.service, "t");
  assert_slice(event.message, "B");
  ck_assert_int_eq(event.occurred_at_us, 5000000);
  assert_slice(event.metadata, "{\"b\":2}");
}

/* --- limits ---------------------------------------------------------------*/

/* The text of one character, by how many bytes it has and how it is written. */
static const char *const characters[] = {
    "x",       "\xC3\xA9",       "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
    "\\u0041", "\\ud83d\\ude00", "\\n"};

static void put_event(const char *service, size_t service_count,
                      const char *message, size_t message_count) {
  au_bytes_clear(&body, SIZE_MAX);
  au_bytes_put_string(&body, "{\"timestamp\":0,\"service\":\"s");
  for (size_t i = 1; i < service_count; i++)
    au_bytes_put_string(&body, service);
  au_bytes_put_string(&body, "\",\"message\":\"");
  for (size_t i = 0; i < message_count; i++)
    au_bytes_put_string(&body, message);
  au_bytes_put_string(&body, "\"}");
}

CASE("limits", set_up_reader, tear_down_reader);

TEST_EACH(lengths_count_code_points, COUNT_OF(characters)) {
  const char *character = characters[_i];
  put_event(character, 100, character, 2000);
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 1);
  ck_assert_int_eq(
      au_utf8_length(event_of(0).service.data, event_of(0).service.size), 100);
  ck_assert_int_eq(
      au_utf8_length(event_of(0).message.data, event_of(0).message.size), 2000);

  put_event(character, 101, character, 2001);
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_str_eq(errors_of(0), "[" FIELD("service", SERVICE_LENGTH) "," FIELD(
                                     "message", MESSAGE_LENGTH) "]");
}

TEST(lengths_are_those_of_the_options) {
  limits.service_max_length = 3;
  limits.message_max_length = 5;
  put_event("x", 3, "x", 5);
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 1);
  put_event("x", 4, "x", 6);
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_str_eq(
      errors_of(0),
      "[" FIELD("service",
                "\"maxLength\":\"service name must be at most 3 "
                "characters\"") "," FIELD("message",
                                          "\"maxLength\":\"message must be at "
                                          "most 5 characters\"") "]");
}

TEST(several_constraints_of_one_field) {
  limits.service_max_length = 3;
  assert_refused("{\"timestamp\":0,\"service\":\"    \",\"message\":\"m\"}",
                 "[" FIELD("service",
                           NOT_EMPTY("service") ",\"maxLength\":\"service name "
                                                "must be at most 3 "
                                                "characters\"") "]");
  assert_refused("{\"timestamp\":0,\"service\":\"abc\\u0000\","
                 "\"message\":\"m\"}",
                 "[" FIELD("service",
                           "\"maxLength\":\"service name must be at most 3 "
                           "characters\"," CHARACTER("service")) "]");
}

TEST(blank_is_what_javascript_trims) {
  static const char *const spaces[] = {
      "\\t",     "\\n",      "\\u000b",      "\\f",
      "\\r",     " ",        "\\u00a0",      "\\u1680",
      "\\u2000", "\\u2005",  "\\u200a",      "\\u2028",
      "\\u2029", "\\u202f",  "\\u205f",      "\\u3000",
      "\\ufeff", "\xC2\xA0", "\xE3\x80\x80", " \\t\\u3000\xEF\xBB\xBF "};
  static const char *const others[] = {
      "\\u0008", "\\u000e", "\\u001f", "\\u0085", "\\u180e",
      "\\u200b", "\\u2060", "\\ufffe", "  .  ",   "\\u3000x"};
  char fields[64];
  for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
    snprintf(fields, sizeof(fields), "\"service\":\"%s\"", spaces[i]);
    assert_refused(with(fields),
                   "[" FIELD("service", NOT_EMPTY("service")) "]");
    snprintf(fields, sizeof(fields), "\"message\":\"%s\"", spaces[i]);
    assert_accepted(with(fields)); /* a blank message is one */
  }
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
    snprintf(fields, sizeof(fields), "\"service\":\"%s\"", others[i]);
    assert_accepted(with(fields));
  }
}

#define TOO_LARGE                                                              \
  "[" FIELD("metadata", SIZE_VALID("metadata must be at most 16384 bytes as "  \
                                   "compact JSON")) "]"

/* {"k":"xxx"} of so many bytes when compact. */
static void put_metadata(size_t size, const char *character, size_t bytes) {
  au_bytes_clear(&body, SIZE_MAX);
  au_bytes_put_string(&body, "{\"timestamp\":0,\"service\":\"s\",\"message\":"
                             "\"m\",\"metadata\": { \"k\" : \"");
  size_t rest = size - 8;
  for (; rest >= bytes; rest -= bytes)
    au_bytes_put_string(&body, character);
  for (; rest > 0; rest--)
    au_bytes_put_u8(&body, 'x');
  au_bytes_put_string(&body, "\" } }");
}

TEST_EACH(metadata_bytes_are_those_of_compact_json, 9) {
  static const struct {
    const char *written;
    size_t bytes; /* as compact JSON */
  } kinds[] = {{"x", 1},       {"\xC3\xA9", 2}, {"\\u00e9", 2},
               {"\\/", 1},     {"\\u0041", 1},  {"\\n", 2},
               {"\\u001f", 6}, {"\\\"", 2},     {"\\ud83d\\ude00", 4}};
  const char *written = kinds[_i].written;
  put_metadata(16384, written, kinds[_i].bytes);
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 1);
  ck_assert_uint_eq(event_of(0).metadata.size, 16384);
  put_metadata(16385, written, kinds[_i].bytes);
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_str_eq(errors_of(0), TOO_LARGE);
}

/* Whatever token passes the limit, at whatever byte. */
TEST(metadata_of_every_size) {
  const char *json =
      "{\"k\\n\":\"v\\t\",\"a\":[1,true,null,{\"b\":\"\"}],\"c\":2.5e1}";
  char fields[128];
  snprintf(fields, sizeof(fields), "\"metadata\":%s", json);
  for (limits.metadata_max_bytes = 2; limits.metadata_max_bytes < 70;
       limits.metadata_max_bytes++) {
    ck_assert_int_eq(parse(with(fields)), AU_INTAKE_DONE);
    if (strlen(json) <= limits.metadata_max_bytes)
      assert_slice(event_of(0).metadata, json);
    else
      ck_assert_ptr_nonnull(strstr(errors_of(0), "bytes as compact JSON"));
  }
}

TEST(metadata_keys_of_all_levels_count) {
  for (int extra = 0; extra < 2; extra++) {
    au_bytes_clear(&body, SIZE_MAX);
    au_bytes_put_string(&body, "\"metadata\":{\"o\":[{");
    for (int i = 0; i < 49; i++)
      au_bytes_printf(&body, "%s\"k%d\":%d", i > 0 ? "," : "", i, i);
    au_bytes_put_string(&body, "}],\"p\":{");
    for (int i = 0; i < 49 + extra; i++)
      au_bytes_printf(&body, "%s\"k\":%d", i > 0 ? "," : "", i);
    au_bytes_put_string(&body, "}}");
    const char *json = with(au_bytes_text(&body));
    if (extra == 0)
      assert_accepted(json);
    else
      assert_refused(
          json,
          "[" FIELD("metadata",
                    SIZE_VALID("metadata must have at most 100 keys")) "]");
  }
}

TEST(metadata_depth_counts_objects_and_arrays) {
  assert_accepted(with("\"metadata\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}"
                       "}"));
  assert_accepted(with("\"metadata\":{\"a\":[[[[[]]]],[]],\"b\":[[[[[1]]]]]}"));
  static const char *const deep[] = {
      "\"metadata\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}",
      "\"metadata\":{\"a\":[[[[[[]]]]]]}",
      "\"metadata\":{\"a\":[{\"a\":[{\"a\":[{}]}]}]}"};
  for (size_t i = 0; i < sizeof(deep) / sizeof(deep[0]); i++)
    assert_refused(
        with(deep[i]),
        "[" FIELD("metadata",
                  SIZE_VALID("metadata must be at most 5 levels deep")) "]");
  limits.metadata_max_depth = 0;
  assert_accepted(with("\"metadata\":{\"a\":1}"));
  ck_assert_int_eq(parse(with("\"metadata\":{\"a\":[]}")), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->errors_count, 1);
}

TEST(the_first_limit_passed_is_told_and_the_rest_still_read) {
  limits.metadata_max_bytes = 20;
  limits.metadata_max_keys = 2;
  limits.metadata_max_depth = 1;
  assert_refused(
      with("\"metadata\":{\"a\":[[1]],\"b\":1,\"c\":\"xxxxxxxxxxxxxxxxxxxxxx\","
           "\"d\":\"\\u0000\"},\"x\":1"),
      "[" FIELD(
          "metadata",
          SIZE_VALID("metadata must be at most 1 levels deep") "," CHARACTER(
              "metadata")) "," UNKNOWN("x") "]");
}

TEST(twenty_fields_are_listed) {
  au_bytes_put_string(&body, "{\"timestamp\":0,\"service\":\"s\"");
  for (int i = 0; i < 40; i++)
    au_bytes_printf(&body, ",\"u%02d\":[%d],\"u%02d\":0", i, i, i);
  au_bytes_put_string(&body, ",\"message\":7}");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  size_t count = 0;
  for (const char *at = errors_of(0); (at = strstr(at, "\"field\"")) != NULL;
       at++)
    count++;
  ck_assert_uint_eq(count, 20);
  ck_assert_ptr_nonnull(strstr(errors_of(0), "\"u18\""));
  ck_assert_ptr_null(strstr(errors_of(0), "\"u19\""));
  /* u19, and the others as often as they come */
  ck_assert_uint_eq(intake->errors[0].fields_omitted, 1 + 40);
}

TEST(unknown_names_are_cut_to_64_characters) {
  for (int count = 63; count <= 66; count++) {
    au_bytes_clear(&body, SIZE_MAX);
    au_bytes_put_string(&body, "{\"timestamp\":0,\"service\":\"s\","
                               "\"message\":\"m\",\"");
    for (int i = 0; i < count; i++)
      au_bytes_put_string(&body, "\xF0\x9F\x98\x80");
    au_bytes_put_string(&body, "\":1}");
    ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
    size_t shown = 0;
    for (const char *at = errors_of(0);
         (at = strstr(at, "\xF0\x9F\x98\x80")) != NULL; at++)
      shown++;
    ck_assert_uint_eq(shown, 2 * (count < 64 ? 63U : 64U));
  }
}

/* --- the suite ------------------------------------------------------------*/

/* --- the event's own id ----------------------------------------------------*/

static const struct {
  const char *id;
  bool is_one;
} ids[] = {{"\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"", true},
           {"\"6BA7B810-9DAD-11D1-80B4-00C04FD430C8\"", true},
           {"\"6ba7B8109dad11d180b400c04fd430c8\"", true},
           {"\"\\u0036ba7b810-9dad-11d1-80b4-00c04fd430c8\"", true},
           {"\"00000000-0000-0000-0000-000000000001\"", true},
           {"\"ffffffff-ffff-ffff-ffff-ffffffffffff\"", true},
           {"\"00000000-0000-0000-0000-000000000000\"", false},
           {"\"00000000000000000000000000000000\"", false},
           {"\"6ba7b8109-dad-11d1-80b4-00c04fd430c8\"", false},
           {"\"{6ba7b810-9dad-11d1-80b4-00c04fd430c8}\"", false},
           {"\"urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8\"", false},
           {"\"6ba7b810-9dad-11d1-80b4-00c04fd430c\"", false},
           {"\"6ba7b810-9dad-11d1-80b4-00c04fd430c8 \"", false},
           {"\"6ba7b8109dad11d180b400c04fd430c\"", false},
           {"\"6ba7b8109dad11d180b400c04fd430cg\"", false},
           {"\"\"", false},
           {"17", false},
           {"true", false},
           {"[\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"]", false},
           {"{}", false}};

CASE("event_id", set_up_reader, tear_down_reader);

TEST_EACH(event_id_is_a_uuid, COUNT_OF(ids)) {
  char fields[256];
  snprintf(fields, sizeof(fields), "\"event_id\":%s", ids[_i].id);
  if (!ids[_i].is_one) {
    assert_refused(with(fields),
                   "[" FIELD("event_id", "\"isUUID\":\"event_id must be a UUID "
                                         "other than the nil one\"") "]");
    return;
  }
  assert_accepted(with(fields));
  ck_assert_int_eq(intake->rows.row[0].kind, AU_ROW_IDENTIFIED);
}

TEST(event_id_of_null_is_none) {
  assert_accepted(with("\"event_id\":null"));
  ck_assert_int_eq(intake->rows.row[0].kind, AU_ROW_EVENT);
  assert_accepted(with("\"event_id\":\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\","
                       "\"event_id\":null"));
  ck_assert_int_eq(intake->rows.row[0].kind, AU_ROW_EVENT);
  assert_accepted(with("\"event_id\":17,\"event_id\":"
                       "\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\""));
  ck_assert_int_eq(event_of(0).id.byte[0], 0x6b);
}

int main(void) { return run_tests("validate"); }
