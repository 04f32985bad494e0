/* SPDX-License-Identifier: MIT
 *
 * check_shaped - events of other shapes: what becomes of each field of an
 * object, strictly and leniently, and where the limits are.
 */
#include "support/bodies.h"

#include "base/utf8.h"
#include "base/uuid.h"
#include "event/name.h"
#include "event/shape.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"
#define OWN_TIME INT64_C(1700000000000000)

static au_shape_t shape;

static void set_up(void) {
  set_up_reader();
  shape = (au_shape_t){.is_lenient = true};
}

static void set_up_strict(void) {
  set_up();
  shape.is_lenient = false;
}

static void tear_down(void) {
  au_shape_fini(&shape);
  tear_down_reader();
}

static void set_field(au_shape_field_t field, const char *text) {
  ck_assert_int_eq(au_shape_set_field(&shape, field, text), AU_OK);
}

static void set_service(const char *name) {
  au_bytes_put_string(&shape.service, name);
}

static au_intake_result_t read_as(au_format_t format, const char *text) {
  au_reader_shape(&reader, &shape);
  return parse_bytes(format, text, strlen(text));
}

/* Exactly one event, which is taken. */
static au_event_t taken(const char *json) {
  ck_assert_int_eq(read_as(AU_FORMAT_JSON, json), AU_INTAKE_DONE);
  ck_assert_msg(intake->total == 1 && intake->rows.count == 1, "%s: %s", json,
                intake->errors_count > 0 ? errors_of(0) : "nothing");
  return event_of(0);
}

static void assert_errors(const char *json, const char *errors) {
  ck_assert_int_eq(read_as(AU_FORMAT_JSON, json), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->errors_count, 1);
  ck_assert_str_eq(errors_of(0), errors);
}

static void assert_metadata(au_event_t event, const char *json) {
  if (json == NULL)
    ck_assert_ptr_null(event.metadata.data);
  else
    assert_slice(event.metadata, json);
}

/* --- leniently ------------------------------------------------------------*/

CASE("lenient", set_up, tear_down);

/* The whole of an event of each kind: "metadata" NULL is none. */
static const struct {
  const char *json;
  const char *service;
  const char *message;
  const char *metadata;
  bool has_time;
} events[] = {
    /* what is missing */
    {"{}", "unknown_service", "(no message)", NULL, false},
    {"{\"timestamp\":null,\"service\":null,\"message\":null,\"metadata\":null,"
     "\"event_id\":null}",
     "unknown_service", "(no message)", NULL, false},
    {"{\"timestamp\":\"\",\"service\":\"\",\"message\":\"\"}",
     "unknown_service", "(no message)", NULL, false},
    {"{\"service\":\" \\t\\u00a0\"}", "unknown_service", "(no message)", NULL,
     false},
    {"{\"message\":\" \"}", "unknown_service", " ", NULL, false},
    /* what is unknown */
    {"{\"level\":\"info\",\"pid\":7,\"message\":\"m\"}", "unknown_service", "m",
     "{\"level\":\"info\",\"pid\":7}", false},
    {"{\"a\":{\"b\":[1,null,true]},\"metadata\":{\"c\":1}}", "unknown_service",
     "(no message)", "{\"c\":1,\"a\":{\"b\":[1,null,true]}}", false},
    {"{\"metadata\":{}}", "unknown_service", "(no message)", "{}", false},
    /* a key that is there already stays */
    {"{\"a\":1,\"metadata\":{\"a\":2}}", "unknown_service", "(no message)",
     "{\"a\":2}", false},
    {"{\"metadata\":{\"a\":2},\"a\":1}", "unknown_service", "(no message)",
     "{\"a\":2}", false},
    {"{\"metadata\":{\"\\u0061\":2},\"a\":1,\"b\":3}", "unknown_service",
     "(no message)", "{\"a\":2,\"b\":3}", false},
    /* of equal keys the last one counts */
    {"{\"a\":1,\"b\":2,\"a\":3}", "unknown_service", "(no message)",
     "{\"b\":2,\"a\":3}", false},
    {"{\"message\":\"1\",\"message\":\"2\"}", "unknown_service", "2", NULL,
     false},
    {"{\"metadata\":{\"a\":1,\"a\":2}}", "unknown_service", "(no message)",
     "{\"a\":2}", false},
    {"{\"metadata\":{\"a\":1},\"metadata\":{\"b\":2}}", "unknown_service",
     "(no message)", "{\"b\":2}", false},
    /* metadata that is none */
    {"{\"metadata\":\"text\"}", "unknown_service", "(no message)",
     "{\"metadata\":\"text\"}", false},
    {"{\"metadata\":[1]}", "unknown_service", "(no message)",
     "{\"metadata\":[1]}", false},
    {"{\"metadata\":0,\"a\":1}", "unknown_service", "(no message)",
     "{\"metadata\":0,\"a\":1}", false},
    /* times */
    {"{\"timestamp\":1700000000}", "unknown_service", "(no message)", NULL,
     true},
    {"{\"timestamp\":\"2023-11-14T23:13:20+0100\"}", "unknown_service",
     "(no message)", NULL, true},
    {"{\"timestamp\":\"yesterday\"}", "unknown_service", "(no message)",
     "{\"timestamp\":\"yesterday\"}", false},
    {"{\"timestamp\":[1],\"metadata\":{\"timestamp\":2}}", "unknown_service",
     "(no message)", "{\"timestamp\":2}", false},
    {"{\"timestamp\":-1}", "unknown_service", "(no message)",
     "{\"timestamp\":-1}", false},
    {"{\"timestamp\":true}", "unknown_service", "(no message)",
     "{\"timestamp\":true}", false},
    /* text that is no text */
    {"{\"service\":5,\"message\":true}", "5", "true", NULL, false},
    {"{\"service\":1.50,\"message\":-1e400}", "1.50", "-1e400", NULL, false},
    {"{\"service\":[1, 2],\"message\":{\"a\" : [ 1, \"\\u00e9\\n\" ]}}",
     "[1,2]", "{\"a\":[1,\"\xC3\xA9\\n\"]}", NULL, false},
    {"{\"message\":{\"n\":1e400,\"f\":NaN}}", "unknown_service",
     "{\"n\":\"1e400\",\"f\":null}", NULL, false},
    {"{\"message\":false,\"service\":{}}", "{}", "false", NULL, false},
    /* what cannot be stored */
    {"{\"message\":\"a\\u0000b\\ud800c\xFF\"}", "unknown_service",
     "a" REPLACEMENT "b" REPLACEMENT "c" REPLACEMENT, NULL, false},
    {"{\"service\":\"\\u0000\"}", REPLACEMENT, "(no message)", NULL, false},
    {"{\"\\u0000\xFE\":\"\\udfff\"}", "unknown_service", "(no message)",
     "{\"" REPLACEMENT REPLACEMENT "\":\"" REPLACEMENT "\"}", false},
    {"{\"metadata\":{\"a\":[\"\\u0000\"]}}", "unknown_service", "(no message)",
     "{\"a\":[\"" REPLACEMENT "\"]}", false},
    {"{\"a\":\"\\ud83d\\ude00\"}", "unknown_service", "(no message)",
     "{\"a\":\"\xF0\x9F\x98\x80\"}", false},
    {"{\"a\":NaN,\"b\":[Infinity,-Infinity],\"message\":NaN}",
     "unknown_service", "(no message)", "{\"a\":null,\"b\":[null,null]}",
     false},
    {"{\"a\":1e400,\"b\":[-1e400,1e399],\"c\":1e-99999999999}",
     "unknown_service", "(no message)",
     "{\"a\":\"1e400\",\"b\":[\"-1e400\",1e399],\"c\":\"1e-99999999999\"}",
     false},
    {"{\"big\":9007199254740993,\"max\":18446744073709551615}",
     "unknown_service", "(no message)",
     "{\"big\":9007199254740993,\"max\":18446744073709551615}", false},
    /* an id that is none */
    {"{\"event_id\":\"42\"}", "unknown_service", "(no message)",
     "{\"event_id\":\"42\"}", false},
    {"{\"event_id\":42}", "unknown_service", "(no message)",
     "{\"event_id\":42}", false},
    {"{\"event_id\":\"\"}", "unknown_service", "(no message)",
     "{\"event_id\":\"\"}", false},
    {"{\"event_id\":\"00000000-0000-0000-0000-000000000000\"}",
     "unknown_service", "(no message)",
     "{\"event_id\":\"00000000-0000-0000-0000-000000000000\"}", false},
    /* a mark that the client has set stays, when nothing is left out */
    {"{\"truncated\":\"no\"}", "unknown_service", "(no message)",
     "{\"truncated\":\"no\"}", false},
};

TEST_EACH(whatever_is_an_object_becomes_an_event, COUNT_OF(events)) {
  au_event_t event = taken(events[_i].json);
  ck_assert(intake->is_single);
  assert_slice(event.service, events[_i].service);
  assert_slice(event.message, events[_i].message);
  assert_metadata(event, events[_i].metadata);
  ck_assert_int_eq(event.occurred_at_us, events[_i].has_time ? OWN_TIME : NOW);
  ck_assert_int_eq(intake->has_time, events[_i].has_time);
  ck_assert_uint_eq(event.id.byte[6] >> 4, 7);
}

TEST(only_what_is_no_object_is_refused) {
  static const char *const others[] = {"1", "\"a\"", "null", "true", "NaN"};
  for (size_t i = 0; i < COUNT_OF(others); i++) {
    assert_errors(others[i], NOT_OBJECT);
    ck_assert(intake->is_single);
  }
  ck_assert_int_eq(read_as(AU_FORMAT_JSON, "[{},1,[{}],{}]"), AU_INTAKE_DONE);
  ck_assert(!intake->is_single);
  ck_assert_uint_eq(intake->rows.count, 2);
  ck_assert_uint_eq(intake->errors[0].index, 1);
  ck_assert_uint_eq(intake->errors[1].index, 2);
}

TEST(a_service_of_those_that_have_none) {
  set_service("web");
  assert_slice(taken("{}").service, "web");
  assert_slice(taken("{\"service\":null}").service, "web");
  assert_slice(taken("{\"service\":\"\"}").service, "web");
  assert_slice(taken("{\"service\":\"own\"}").service, "own");
}

TEST(an_event_id_is_one) {
  static const char text[] = "0190A1B2-c3d4-4567-89ab-cdef01234567";
  char json[200];
  char id[AU_UUID_TEXT_SIZE];
  snprintf(json, sizeof(json), "{\"event_id\":\"%s\",\"a\":1}", text);
  au_event_t event = taken(json);
  au_uuid_format(&event.id, id);
  ck_assert_str_eq(id, "0190a1b2-c3d4-4567-89ab-cdef01234567");
  assert_metadata(event, "{\"a\":1}");
}

/* --- what is too long -----------------------------------------------------*/

CASE("limits", set_up, tear_down);

TEST(text_is_cut_and_that_is_marked) {
  limits.message_max_length = 3;
  limits.service_max_length = 4;
  assert_metadata(taken("{\"message\":\"zo\xC3\xAB\",\"service\":\"1234\"}"),
                  NULL);
  au_event_t event = taken("{\"message\":\"zo\xC3\xAB!\"}");
  assert_slice(event.message, "zo\xC3\xAB");
  assert_metadata(event, "{\"truncated\":true}");
  event = taken("{\"service\":\"1234\xF0\x9F\x98\x80\",\"a\":1,"
                "\"message\":\"m\"}");
  assert_slice(event.service, "1234");
  assert_metadata(event, "{\"a\":1,\"truncated\":true}");
  event = taken("{\"message\":[1,2]}");
  assert_slice(event.message, "[1,");
  assert_metadata(event, "{\"truncated\":true}");
}

/* What we have put there is not the client's loss. */
TEST(words_of_ours_are_cut_without_a_mark) {
  limits.message_max_length = 3;
  limits.service_max_length = 4;
  au_event_t event = taken("{}");
  assert_slice(event.service, "unkn");
  assert_slice(event.message, "(no");
  assert_metadata(event, NULL);
}

TEST(a_long_value_as_a_message_is_cut) {
  limits.message_max_length = 2000;
  au_bytes_put_string(&body, "{\"message\":[");
  for (int i = 0; i < 20000; i++)
    au_bytes_put_string(&body, "\"\xC3\xA9\xF0\x9F\x98\x80\",");
  au_bytes_put_string(&body, "0]}");
  au_event_t event = taken(au_bytes_text(&body));
  ck_assert_int_eq(au_utf8_length(event.message.data, event.message.size),
                   2000);
  assert_metadata(event, "{\"truncated\":true}");
}

TEST(own_keys_come_before_unknown_fields) {
  limits.metadata_max_keys = 3;
  au_event_t event = taken("{\"u\":1,\"v\":2,\"metadata\":{\"a\":1,\"b\":2}}");
  assert_metadata(event, "{\"a\":1,\"b\":2,\"truncated\":true}");
  limits.metadata_max_keys = 4;
  event = taken("{\"u\":1,\"v\":2,\"metadata\":{\"a\":1,\"b\":2}}");
  assert_metadata(event, "{\"a\":1,\"b\":2,\"u\":1,\"v\":2}");
}

TEST(a_key_that_does_not_fit_is_left_out_and_the_next_is_tried) {
  limits.metadata_max_bytes = 40;
  au_event_t event = taken("{\"a\":1,\"b\":\"0123456789012345678901234567890\","
                           "\"c\":{\"d\":1},\"e\":2}");
  assert_metadata(event, "{\"a\":1,\"c\":{\"d\":1},\"truncated\":true}");
}

TEST(a_mark_takes_the_place_of_a_key_of_its_name) {
  limits.metadata_max_keys = 3;
  au_event_t event = taken("{\"truncated\":7,\"a\":1,\"b\":2,\"c\":3}");
  assert_metadata(event, "{\"a\":1,\"b\":2,\"truncated\":true}");
}

TEST(what_is_too_deep_becomes_text_without_a_mark) {
  limits.metadata_max_depth = 1;
  au_event_t event = taken("{\"a\":[1],\"b\":[[\"x\"]],"
                           "\"metadata\":{\"c\":{\"d\":{}},\"e\":{}}}");
  assert_metadata(event, "{\"c\":\"{\\\"d\\\":{}}\",\"e\":{},\"a\":[1],"
                         "\"b\":\"[[\\\"x\\\"]]\"}");
  limits.metadata_max_depth = 0;
  assert_metadata(taken("{\"a\":[]}"), "{\"a\":\"[]\"}");
}

/* More than can be kept: what it costs stays in proportion. */
TEST(an_object_of_very_many_members) {
  au_bytes_put_string(&body, "{\"k\":0");
  for (int i = 0; i < 100000; i++)
    au_bytes_printf(&body, ",\"%x\":1,\"k\":%d", i / 2, i);
  au_bytes_put_string(&body, "}");
  au_event_t event = taken(au_bytes_text(&body));
  char text[64];
  snprintf(text, sizeof(text), "%.39s", event.metadata.data);
  ck_assert_str_eq(text,
                   "{\"0\":1,\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6");
}

TEST(a_value_that_is_very_deep) {
  enum { DEPTH = 400000 };
  au_bytes_put_string(&body, "{\"a\":");
  for (int i = 0; i < DEPTH; i++)
    au_bytes_put_u8(&body, '[');
  for (int i = 0; i < DEPTH; i++)
    au_bytes_put_u8(&body, ']');
  au_bytes_put_string(&body, ",\"b\":1}");
  assert_metadata(taken(au_bytes_text(&body)), "{\"b\":1,\"truncated\":true}");
}

/* --- fields of other names ------------------------------------------------*/

CASE("fields", set_up, tear_down);

TEST(a_name_is_taken_as_it_is) {
  set_field(AU_SHAPE_TIMESTAMP, "@timestamp");
  set_field(AU_SHAPE_SERVICE, "service.name");
  set_field(AU_SHAPE_MESSAGE, "m~1s/g");
  au_event_t event = taken("{\"@timestamp\":1700000000,\"service.name\":\"s\","
                           "\"m~1s/g\":\"m\",\"a\":1}");
  assert_slice(event.service, "s");
  assert_slice(event.message, "m");
  assert_metadata(event, "{\"a\":1}");
  ck_assert_int_eq(event.occurred_at_us, OWN_TIME);
}

TEST(the_first_that_has_something_counts) {
  set_field(AU_SHAPE_MESSAGE, "log,msg,text");
  au_event_t event = taken("{\"text\":\"3\",\"msg\":\"2\",\"log\":\"1\"}");
  assert_slice(event.message, "1");
  assert_metadata(event, "{\"text\":\"3\",\"msg\":\"2\"}");
  event = taken("{\"log\":null,\"msg\":\"\",\"text\":\"3\"}");
  assert_slice(event.message, "3");
  assert_metadata(event, "{\"log\":null,\"msg\":\"\"}");
  event = taken("{\"log\":NaN,\"msg\":0}");
  assert_slice(event.message, "0");
  event = taken("{\"log\":null}");
  assert_slice(event.message, "(no message)");
}

TEST(the_standard_name_is_then_unknown) {
  set_field(AU_SHAPE_MESSAGE, "msg");
  set_field(AU_SHAPE_SERVICE, "app");
  set_field(AU_SHAPE_TIMESTAMP, "time");
  au_event_t event =
      taken("{\"timestamp\":1,\"service\":\"s\",\"message\":\"m\"}");
  assert_slice(event.service, "unknown_service");
  assert_slice(event.message, "(no message)");
  assert_metadata(event,
                  "{\"timestamp\":1,\"service\":\"s\",\"message\":\"m\"}");
}

TEST(what_was_unreadable_keeps_its_name) {
  set_field(AU_SHAPE_TIMESTAMP, "time,timestamp");
  au_event_t event = taken("{\"time\":\"now\",\"timestamp\":1700000000}");
  ck_assert_int_eq(event.occurred_at_us, NOW);
  assert_metadata(event, "{\"time\":\"now\",\"timestamp\":1700000000}");
}

static const struct {
  const char *pointer;
  const char *message; /* NULL: it leads to nothing */
} pointers[] = {
    {"/a/b", "x"},
    {"/a/c/0", "first"},
    {"/a/c/1/d", "d"},
    {"/a~1b", "slash"},
    {"/t~0", "tilde"},
    {"/~01", "both"},
    {"/a/", "empty"},
    {"/top", "top"},
    {"/a/c", "[\"first\",{\"d\":\"d\"}]"},
    {"/a/c/01", NULL},
    {"/a/c/-", NULL},
    {"/a/c/2", NULL},
    {"/a/c/x", NULL},
    {"/a/b/c", NULL},
    {"/none", NULL},
    {"/", NULL},
    {"/a/c/1/e", NULL},
};

/* RFC 6901. What a pointer finds stays where it is. */
TEST_EACH(a_pointer_leads_into_values, COUNT_OF(pointers)) {
  static const char json[] =
      "{\"a\":{\"b\":\"x\",\"c\":[\"first\",{\"d\":\"d\"}],\"\":\"empty\"},"
      "\"a/b\":\"slash\",\"t~\":\"tilde\",\"~1\":\"both\",\"top\":\"top\"}";
  set_field(AU_SHAPE_MESSAGE, pointers[_i].pointer);
  au_event_t event = taken(json);
  assert_slice(event.message, pointers[_i].message != NULL
                                  ? pointers[_i].message
                                  : "(no message)");
  assert_metadata(event, json);
}

TEST(of_equal_names_on_the_way_the_last_one_counts) {
  set_field(AU_SHAPE_MESSAGE, "/a/b");
  assert_slice(taken("{\"a\":{\"b\":1},\"a\":{\"b\":2,\"b\":3}}").message, "3");
  assert_slice(taken("{\"a\":{\"b\":1},\"a\":{\"c\":2}}").message,
               "(no message)");
  assert_slice(taken("{\"a\":{\"b\":1},\"a\":7}").message, "(no message)");
  assert_slice(taken("{\"\\u0061\":{\"\\u0062\":1}}").message, "1");
}

TEST(a_pointer_and_names_in_turn) {
  set_field(AU_SHAPE_MESSAGE, "/annotations/summary,/labels/alertname,type");
  assert_slice(taken("{\"labels\":{\"alertname\":\"A\"},\"type\":\"t\","
                     "\"annotations\":{\"summary\":\"S\"}}")
                   .message,
               "S");
  assert_slice(taken("{\"labels\":{\"alertname\":\"A\"},\"type\":\"t\","
                     "\"annotations\":{}}")
                   .message,
               "A");
  au_event_t event = taken("{\"type\":\"t\"}");
  assert_slice(event.message, "t");
  assert_metadata(event, NULL);
}

static const struct {
  const char *text;
  au_status_t status;
} paths[] = {
    {"a", AU_OK},
    {"/", AU_OK},
    {"//", AU_OK},
    {"a~2", AU_OK}, /* a name */
    {" ", AU_OK},
    {"/a~0~1", AU_OK},
    {"1,2,3,4,5,6,7,8", AU_OK},
    {"/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2", AU_OK},
    {"", AU_INVALID},
    {",", AU_INVALID},
    {"a,", AU_INVALID},
    {",a", AU_INVALID},
    {"a,,b", AU_INVALID},
    {"/a~2", AU_INVALID},
    {"/a~", AU_INVALID},
    {"a,/~", AU_INVALID},
    {"1,2,3,4,5,6,7,8,9", AU_FULL},
    {"/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3",
     AU_FULL},
};

TEST_EACH(what_names_and_pointers_are, COUNT_OF(paths)) {
  ck_assert_int_eq(au_shape_set_field(&shape, AU_SHAPE_MESSAGE, paths[_i].text),
                   paths[_i].status);
}

/* --- ids ------------------------------------------------------------------*/

CASE("ids", set_up, tear_down);

static void assert_text_id(au_event_t event, const char *service,
                           const char *text) {
  au_uuid_t id;
  ck_assert(au_name_of_text(
      "id", (au_slice_t){.data = service, .size = strlen(service)},
      (au_slice_t){.data = text, .size = strlen(text)}, &id));
  ck_assert_mem_eq(&event.id, &id, sizeof(id));
  ck_assert_uint_eq(event.id.byte[6] >> 4, 8);
}

TEST(an_id_is_made_of_text) {
  set_field(AU_SHAPE_ID, "id");
  set_service("web");
  au_event_t event = taken("{\"id\":\"a\\u00e9\"}");
  assert_text_id(event, "web", "a\xC3\xA9");
  assert_metadata(event, "{\"id\":\"a\xC3\xA9\"}");
  event = taken("{\"id\":-1.50e1,\"service\":\"s\"}");
  assert_text_id(event, "s", "-1.50e1");
  assert_metadata(event, "{\"id\":-1.50e1}");
}

/* Of the service as it is stored. */
TEST(an_id_depends_on_the_service) {
  limits.service_max_length = 3;
  set_field(AU_SHAPE_ID, "id");
  assert_text_id(taken("{\"id\":\"a\",\"service\":\"12345\"}"), "123", "a");
  assert_text_id(taken("{\"id\":\"a\",\"service\":[1]}"), "[1]", "a");
}

TEST(an_id_that_is_a_uuid_is_no_unknown_field) {
  static const char *const forms[] = {"0190a1b2-c3d4-4567-89ab-cdef01234567",
                                      "0190A1B2C3D4456789ABCDEF01234567"};
  set_field(AU_SHAPE_ID, "id");
  for (size_t i = 0; i < COUNT_OF(forms); i++) {
    char json[200];
    char id[AU_UUID_TEXT_SIZE];
    snprintf(json, sizeof(json),
             "{\"id\":\"%s\",\"event_id\":"
             "\"11111111-2222-4333-8444-555555555555\"}",
             forms[i]);
    au_event_t event = taken(json);
    au_uuid_format(&event.id, id);
    ck_assert_str_eq(id, forms[0]);
    assert_metadata(event,
                    "{\"event_id\":\"11111111-2222-4333-8444-555555555555\"}");
  }
}

TEST(an_event_id_beside_an_id_of_text_is_unknown) {
  set_field(AU_SHAPE_ID, "id");
  au_event_t event = taken("{\"id\":\"a\",\"event_id\":"
                           "\"11111111-2222-4333-8444-555555555555\"}");
  assert_text_id(event, "unknown_service", "a");
  assert_metadata(event, "{\"id\":\"a\",\"event_id\":"
                         "\"11111111-2222-4333-8444-555555555555\"}");
}

static const char *const no_ids[] = {"null",
                                     "\"\"",
                                     "true",
                                     "false",
                                     "{}",
                                     "[1]",
                                     "\"00000000-0000-0000-0000-000000000000\"",
                                     "\"00000000000000000000000000000000\"",
                                     "NaN"};

TEST_EACH(where_there_is_no_id_event_id_counts, COUNT_OF(no_ids)) {
  set_field(AU_SHAPE_ID, "id");
  char json[200];
  char id[AU_UUID_TEXT_SIZE];
  snprintf(json, sizeof(json),
           "{\"id\":%s,\"event_id\":\"11111111-2222-4333-8444-555555555555\"}",
           no_ids[_i]);
  au_event_t event = taken(json);
  au_uuid_format(&event.id, id);
  ck_assert_str_eq(id, "11111111-2222-4333-8444-555555555555");
  snprintf(json, sizeof(json), "{\"id\":%s}",
           strcmp(no_ids[_i], "NaN") == 0 ? "null" : no_ids[_i]);
  assert_metadata(event, json);
  ck_assert_uint_eq(taken("{}").id.byte[6] >> 4, 7);
}

TEST(an_id_by_a_pointer) {
  set_field(AU_SHAPE_ID, "/meta/id,id");
  set_service("s");
  assert_text_id(taken("{\"meta\":{\"id\":\"x\"},\"id\":\"y\"}"), "s", "x");
  assert_text_id(taken("{\"meta\":{\"id\":null},\"id\":\"y\"}"), "s", "y");
}

/* --- events within an object ----------------------------------------------*/

CASE("envelopes", set_up, tear_down);

TEST(an_array_of_events_within_an_object) {
  set_field(AU_SHAPE_EVENTS, "logs");
  ck_assert_int_eq(
      read_as(AU_FORMAT_JSON,
              "{\"beside\":1,\"logs\":[{\"message\":\"1\"},2,[{}],"
              "{\"message\":\"2\",\"logs\":[{}]}],\"after\":[{}]}"),
      AU_INTAKE_DONE);
  ck_assert(!intake->is_single);
  ck_assert_uint_eq(intake->total, 4);
  ck_assert_uint_eq(intake->rows.count, 2);
  assert_slice(event_of(0).message, "1");
  assert_metadata(event_of(0), NULL);
  assert_slice(event_of(1).message, "2");
  assert_metadata(event_of(1), "{\"logs\":[{}]}");
  ck_assert_str_eq(errors_of(0), NOT_OBJECT);
}

#define NO_ARRAY                                                               \
  "[" FIELD("events", "\"isArray\":\"events must be an array\"") "]"

TEST(an_object_without_an_array_of_events) {
  set_field(AU_SHAPE_EVENTS, "/a/logs,logs");
  assert_errors("{}", NO_ARRAY);
  assert_errors("{\"logs\":{}}", NO_ARRAY);
  assert_errors("{\"logs\":null,\"a\":{\"logs\":\"\"}}", NO_ARRAY);
  assert_errors("{\"logs\":[],\"a\":{\"logs\":7}}", NO_ARRAY);
  ck_assert(!intake->is_single);
  ck_assert_int_eq(read_as(AU_FORMAT_JSON, "{\"logs\":[]}"), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->total, 0);
  ck_assert_int_eq(read_as(AU_FORMAT_JSON, "{\"logs\":[{}],\"a\":{}}"),
                   AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 1);
}

TEST(several_objects_with_events) {
  set_field(AU_SHAPE_EVENTS, "/a/0");
  static const char text[] = "{\"a\":[[{},{}]]}\n{\"a\":[]}\n{\"a\":[[{}]]}";
  ck_assert_int_eq(read_as(AU_FORMAT_JSON, text), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 3);
  ck_assert_uint_eq(intake->errors_count, 1);
  ck_assert_int_eq(read_as(AU_FORMAT_NDJSON, text), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 3);
  ck_assert_uint_eq(intake->errors[0].index, 2);
  ck_assert_int_eq(read_as(AU_FORMAT_JSON, "[{\"a\":[[{}]]}]"), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, 1);
}

TEST(the_limit_of_events_holds_within_an_object) {
  limits.max_batch_events = 2;
  set_field(AU_SHAPE_EVENTS, "a");
  ck_assert_int_eq(read_as(AU_FORMAT_JSON, "{\"a\":[{},{}]}"), AU_INTAKE_DONE);
  ck_assert_int_eq(read_as(AU_FORMAT_JSON, "{\"a\":[{},{},{}]}"),
                   AU_INTAKE_TOO_MANY);
  ck_assert_int_eq(read_as(AU_FORMAT_JSON, "{\"a\":[{},{},3]}"),
                   AU_INTAKE_TOO_MANY);
}

/* --- bodies ---------------------------------------------------------------*/

CASE("bodies", set_up, tear_down);

static const struct {
  const char *text;
  size_t events; /* SIZE_MAX: it is refused as a whole */
  size_t errors;
  bool is_single;
} guessed[] = {
    {"{}", 1, 0, true},
    {"  \n{}\n\n", 1, 0, true},
    {"\xEF\xBB\xBF {}", 1, 0, true},
    {"[{},{}]", 2, 0, false},
    {"[]", 0, 0, false},
    {"{}\n{}", 2, 0, false},
    {"{}\r\n{}\r\n", 2, 0, false},
    {"\n{}\n\n{}\n", 2, 0, false},
    {"{}\nx\n{}", 2, 1, false},    /* NDJSON: a line is refused alone */
    {"{}\n[{}]\n{}", 2, 1, false}, /* the same */
    {"{\n}\n{\n}", 2, 0, false},   /* values, one after the other */
    {"{} {}\n{}", 3, 0, false},    /* the first line is not one object */
    {"[{}]\n[{}]", 2, 0, false},   /* it is no object */
    {"{}{}", 2, 0, false},
    {"", SIZE_MAX, 0, false},
    {" \n ", SIZE_MAX, 0, false},
    {"\xEF\xBB\xBF", SIZE_MAX, 0, false},
    {"a=1&b=2", SIZE_MAX, 0, false},
    {"\"{}\"", SIZE_MAX, 0, false},
    {"1", SIZE_MAX, 0, false},
    {"{}x", SIZE_MAX, 0, false},
    {"{} x\n{}", SIZE_MAX, 0, false},
    {"[{}]\nx", SIZE_MAX, 0, false},
};

TEST_EACH(a_body_without_a_type, COUNT_OF(guessed)) {
  au_intake_result_t result = read_as(AU_FORMAT_GUESS, guessed[_i].text);
  if (guessed[_i].events == SIZE_MAX) {
    ck_assert_int_eq(result, AU_INTAKE_MALFORMED);
    ck_assert_str_ne(intake->message, "");
    return;
  }
  ck_assert_int_eq(result, AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->rows.count, guessed[_i].events);
  ck_assert_uint_eq(intake->errors_count, guessed[_i].errors);
  ck_assert_int_eq(intake->is_single, guessed[_i].is_single);
}

static const struct {
  const char *text;
  const char *message;
} malformed[] = {
    {"", "unexpected end of JSON at byte 0"},
    {"\xEF\xBB\xBF{} x", "unexpected character at byte 6"},
    {"[{},{]", "expected a key in double quotes at byte 5"},
    {"{\"a\":[1}", "expected ',' or ']' at byte 7"},
    {"{}{", "unexpected end of JSON at byte 3"},
};

TEST_EACH(a_body_that_is_not_json_is_refused_with_the_byte,
          COUNT_OF(malformed)) {
  for (int has_events = 0; has_events < 2; has_events++) {
    if (has_events > 0)
      set_field(AU_SHAPE_EVENTS, "a");
    ck_assert_int_eq(read_as(AU_FORMAT_JSON, malformed[_i].text),
                     AU_INTAKE_MALFORMED);
    ck_assert_str_eq(intake->message, malformed[_i].message);
  }
}

TEST(a_line_that_is_not_json_is_refused_alone) {
  for (int has_events = 0; has_events < 2; has_events++) {
    if (has_events > 0)
      set_field(AU_SHAPE_EVENTS, "a");
    ck_assert_int_eq(read_as(AU_FORMAT_NDJSON,
                             "\xEF\xBB\xBF{\"a\":[{}]}\n\n"
                             "{\"a\":[{}]} x\n{\"a\":[{}]}{}\n"
                             "{\"a\":[{}]}"),
                     AU_INTAKE_DONE);
    ck_assert_uint_eq(intake->rows.count, 2);
    ck_assert_uint_eq(intake->errors_count, 2);
    ck_assert_str_eq(errors_of(0),
                     "[" FIELD("event",
                               "\"isJson\":\"event must be JSON: unexpected "
                               "character at byte 11\"") "]");
    ck_assert_str_eq(errors_of(1),
                     "[" FIELD("event",
                               "\"isJson\":\"event must be JSON: more than one "
                               "JSON value in a line at byte 10\"") "]");
  }
}

/* The next request is read as our own. */
TEST(a_shape_holds_for_one_body) {
  (void)taken("{}");
  ck_assert_int_eq(parse("{}"), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->errors_count, 1);
}

/* --- strictly -------------------------------------------------------------*/

CASE("strict", set_up_strict, tear_down);

TEST(fields_of_other_names_are_validated_as_our_own) {
  set_field(AU_SHAPE_TIMESTAMP, "time");
  set_field(AU_SHAPE_MESSAGE, "msg");
  au_event_t event = taken("{\"time\":\"1700000000\",\"service\":\"s\","
                           "\"msg\":\"\\u00e9\",\"metadata\":{\"a\\n\":[1,"
                           "{\"b\":true}],\"c\":\"\\\"\",\"d\":-1.0}}");
  assert_slice(event.message, "\xC3\xA9");
  assert_metadata(event,
                  "{\"a\\n\":[1,{\"b\":true}],\"c\":\"\\\"\",\"d\":-1.0}");
  assert_errors(
      "{\"time\":\"now\",\"service\":\"\",\"msg\":7,\"metadata\":1}",
      "[" FIELD("timestamp", UNPARSEABLE) "," FIELD(
          "service",
          NOT_EMPTY("service")) "," FIELD("message",
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
                                                                    "\"") "]");
}

TEST(what_is_unknown_is_refused) {
  set_field(AU_SHAPE_MESSAGE, "msg,text");
  assert_errors("{\"timestamp\":0,\"service\":\"s\",\"msg\":\"m\","
                "\"text\":\"t\",\"message\":\"x\"}",
                "[" UNKNOWN("text") "," UNKNOWN("message") "]");
}

TEST(text_that_cannot_be_stored_is_refused) {
  set_field(AU_SHAPE_MESSAGE, "msg");
  static const char *const texts[] = {"\\u0000", "\\ud800"};
  char json[100];
  for (size_t i = 0; i < COUNT_OF(texts); i++) {
    snprintf(json, sizeof(json),
             "{\"timestamp\":0,\"service\":\"s\",\"msg\":\"%s\"}", texts[i]);
    assert_errors(json, "[" FIELD("message", CHARACTER("message")) "]");
    snprintf(json, sizeof(json),
             "{\"timestamp\":0,\"service\":\"s\",\"msg\":\"m\","
             "\"metadata\":{\"a\":\"%s\"}}",
             texts[i]);
    assert_errors(json, "[" FIELD("metadata", CHARACTER("metadata")) "]");
  }
  assert_errors("{\"timestamp\":0,\"service\":\"s\",\"msg\":\"\xFF\"}",
                "[" FIELD("message", ENCODING("message")) "]");
  ck_assert_int_eq(read_as(AU_FORMAT_JSON, "{\"msg\":NaN}"),
                   AU_INTAKE_MALFORMED);
}

TEST(a_service_for_those_that_have_none) {
  set_service("web");
  static const char *const without[] = {"", ",\"service\":null",
                                        ",\"service\":\"\""};
  char json[100];
  for (size_t i = 0; i < COUNT_OF(without); i++) {
    snprintf(json, sizeof(json), "{\"timestamp\":0,\"message\":\"m\"%s}",
             without[i]);
    assert_slice(taken(json).service, "web");
  }
  assert_errors("{\"timestamp\":0,\"message\":\"m\",\"service\":7}",
                "[" FIELD("service", IS_STRING("service")) "]");
}

TEST(a_pointer_into_metadata) {
  set_field(AU_SHAPE_MESSAGE, "/metadata/msg");
  au_event_t event = taken("{\"timestamp\":0,\"service\":\"s\","
                           "\"metadata\":{\"msg\":\"m\"}}");
  assert_slice(event.message, "m");
  assert_metadata(event, "{\"msg\":\"m\"}");
}

TEST(an_id_of_text_is_no_unknown_field) {
  set_field(AU_SHAPE_ID, "id");
  au_event_t event = taken(with("\"id\":\"x\""));
  assert_text_id(event, "s", "x");
  assert_metadata(event, NULL);
  assert_errors(with("\"id\":\"x\",\"event_id\":\"y\""),
                "[" UNKNOWN("event_id") "]");
  assert_errors(with("\"id\":true"), "[" UNKNOWN("id") "]");
}

int main(void) { return run_tests("shaped"); }
