/* SPDX-License-Identifier: MIT
 *
 * POST /events against a buffer that does what the test wants: what is
 * accepted, what is refused, and how the answer says so.
 */
#include "support/http_client.h"

#include "base/timestamp.h"
#include "base/uuid.h"
#include "support/suite.h"

static server_t server;

static void start(void) {
  server_prepare(&server);
  server_start(&server);
}

static void stop(void) { server_stop(&server); }

#define INVALID_EVENT                                                          \
  "{\"status\":\"error\",\"message\":\"Invalid event schema\","                \
  "\"error\":\"Bad Request\",\"errorCode\":\"INVALID_EVENT\",\"errors\":"

CASE("events", start, stop);

TEST(content_types_and_codings_are_accepted_or_415) {
  static const struct {
    const char *header;
    int status;
  } cases[] = {
      {"Content-Type: application/json\r\n", 202},
      {"content-type: Application/JSON\r\n", 202},
      {"Content-Type: application/json; charset=utf-8\r\n", 202},
      {"Content-Type: application/json;charset=\"UTF-8\"\r\n", 202},
      {"Content-Type: application/json ; profile=x\r\n", 202},
      {"Content-Type: application/x-ndjson\r\n", 202},
      {"Content-Type: application/json; charset=latin1\r\n", 415},
      {"Content-Type: application/json; charset=utf-16\r\n", 415},
      {"Content-Type: application/jsonp\r\n", 415},
      {"Content-Type: text/plain\r\n", 415},
      {"Content-Type: \r\n", 415},
      {"", 415},
      {JSON_TYPE "Content-Encoding: identity\r\n", 202},
      {JSON_TYPE "Content-Encoding: br\r\n", 415},
      {JSON_TYPE "Content-Encoding: deflate\r\n", 415},
      {JSON_TYPE "Content-Encoding: gzip, gzip\r\n", 415},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    reply_t reply =
        exchange(&server, "POST", "/events", cases[i].header, EVENT);
    ck_assert_msg(reply.status == cases[i].status, "%s: %d %s", cases[i].header,
                  reply.status, reply.body);
    check_common(&reply);
    if (reply.status == 415)
      ck_assert_ptr_nonnull(strstr(reply.body, "{\"statusCode\":415,"));
    reply_fini(&reply);
  }
  ck_assert_uint_eq(rejected(AU_REASON_INVALID), 9);
}

/* What proxies, tokens and cookies may bring: many lines, or one long one. */

/* Cuts the first value of a string field out of the body. */
static void field_of(const char *body, const char *name, char *value,
                     size_t size) {
  char key[64];
  snprintf(key, sizeof(key), "\"%s\":\"", name);
  const char *at = strstr(body, key);
  ck_assert_msg(at != NULL, "%s has no %s", body, name);
  at += strlen(key);
  snprintf(value, size, "%.*s", (int)strcspn(at, "\""), at);
}

TEST(one_event_is_accepted) {
  reply_t reply = post(&server, EVENT);
  ck_assert_int_eq(reply.status, 202);
  ck_assert_str_eq(header_of(&reply, "Content-Type"),
                   "application/json; charset=utf-8");
  char id[64];
  char time[64];
  char want[256];
  field_of(reply.body, "event_id", id, sizeof(id));
  field_of(reply.body, "queued_at", time, sizeof(time));
  snprintf(want, sizeof(want),
           "{\"status\":\"accepted\",\"event_id\":\"%s\",\"queued_at\":\"%s\"}",
           id, time);
  ck_assert_str_eq(reply.body, want);
  au_event_t event = fake_buffer_event(0);
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(&event.id, text);
  ck_assert_str_eq(id, text);
  ck_assert_int_eq(id[14], '7');
  char stamp[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(event.ingested_at_us, stamp);
  ck_assert_str_eq(time, stamp);
  ck_assert_mem_eq(event.service.data, "s", 1);
  ck_assert_uint_eq(fake_buffer_taken(), 1);
  reply_fini(&reply);
}

TEST(one_event_that_is_wrong_is_refused) {
  reply_t reply = post(&server, BAD_EVENT);
  expect_part(reply, 400, INVALID_EVENT "[{\"field\":\"service\",");
  ck_assert_uint_eq(fake_buffer_calls(), 0);
  ck_assert_uint_eq(rejected(AU_REASON_INVALID), 1);
}

TEST(an_array_is_accepted) {
  reply_t reply = post(&server, "[" EVENT "," EVENT "," EVENT "]");
  expect_part(reply, 202,
              "{\"status\":\"accepted\",\"accepted\":3,\"rejected\":0,"
              "\"event_ids\":[\"");
  ck_assert_uint_eq(fake_buffer_taken(), 3);
  expect_part(post(&server, "[" EVENT "]"), 202, "\"accepted\":1,");
}

TEST(some_of_an_array_are_refused) {
  reply_t reply =
      post(&server, "[" BAD_EVENT "," EVENT "," BAD_EVENT "," EVENT "]");
  ck_assert_int_eq(reply.status, 207);
  ck_assert_ptr_nonnull(
      strstr(reply.body, "{\"status\":\"partial\",\"accepted\":2,\"rejected\":"
                         "2,\"event_ids\":[null,\""));
  ck_assert_ptr_nonnull(strstr(reply.body, "\",null,\""));
  ck_assert_ptr_nonnull(
      strstr(reply.body, "],\"errors\":[{\"index\":0,\"errors\":[{\"field\":"
                         "\"service\",\"constraints\":{"));
  ck_assert_ptr_nonnull(strstr(reply.body, "},{\"index\":2,\"errors\":["));
  ck_assert_ptr_nonnull(strstr(reply.body, "],\"queued_at\":\"20"));
  reply_fini(&reply);
  ck_assert_uint_eq(fake_buffer_taken(), 2);
  ck_assert_uint_eq(rejected(AU_REASON_INVALID), 2);
}

TEST(all_of_an_array_are_refused) {
  expect_part(post(&server, "[" BAD_EVENT "]"), 400,
              INVALID_EVENT "[{\"index\":0,\"errors\":[");
  expect_part(post(&server, "[" BAD_EVENT ",17]"), 400, "{\"index\":1,");
  ck_assert_uint_eq(rejected(AU_REASON_INVALID), 3);
  ck_assert_uint_eq(fake_buffer_calls(), 0);
}

TEST(a_body_without_events_is_refused) {
  static const char *const errors =
      INVALID_EVENT "[{\"field\":\"events\",\"constraints\":{\"isNotEmpty\":"
                    "\"at least one event is required\"}}]}";
  expect(post(&server, "[]"), 400, errors);
  expect(exchange(&server, "POST", "/events", NDJSON_TYPE, "\n \r\n\n"), 400,
         errors);
  expect(exchange(&server, "POST", "/events", NDJSON_TYPE, ""), 400, errors);
  expect_part(post(&server, ""), 400, "{\"statusCode\":400,");
  ck_assert_uint_eq(rejected(AU_REASON_INVALID), 4);
}

TEST(ndjson_lines_are_validated_one_by_one) {
  expect_part(exchange(&server, "POST", "/events", NDJSON_TYPE,
                       EVENT "\n\n" EVENT "\r\n" EVENT),
              202, "\"accepted\":3,\"rejected\":0,");
  expect_part(exchange(&server, "POST", "/events", NDJSON_TYPE,
                       EVENT "\n" BAD_EVENT "\n"),
              207, "\"errors\":[{\"index\":1,");
}

TEST(what_is_not_json_is_400_and_says_where) {
  static const char *const bodies[] = {"{\"a\":", "nonsense", "[1,",
                                       "{\"a\":1}}", ("[" EVENT "] x")};
  for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
    reply_t reply = post(&server, bodies[i]);
    ck_assert_msg(
        strncmp(reply.body, "{\"statusCode\":400,\"message\":\"", 28) == 0,
        "%s", reply.body);
    expect_part(
        reply, 400,
        "\",\"error\":\"Bad Request\",\"errorCode\":\"MALFORMED_JSON\"}");
  }
  ck_assert_uint_eq(fake_buffer_calls(), 0);
  ck_assert_uint_eq(rejected(AU_REASON_INVALID), 5);
}

TEST(prefer_minimal_leaves_the_ids_out) {
  static const char *const prefers[] = {
      "Prefer: return=minimal\r\n",
      "prefer: respond-async, Return=\"minimal\"\r\n",
      "Prefer: wait=5\r\nPrefer: return=minimal; x=y\r\n"};
  for (size_t i = 0; i < 3; i++) {
    char headers[256];
    snprintf(headers, sizeof(headers), "%s%s", JSON_TYPE, prefers[i]);
    reply_t reply = exchange(&server, "POST", "/events", headers,
                             "[" EVENT "," BAD_EVENT "]");
    ck_assert_msg(header_of(&reply, "Preference-Applied") != NULL, "%s",
                  prefers[i]);
    ck_assert_str_eq(header_of(&reply, "Preference-Applied"), "return=minimal");
    ck_assert_ptr_null(strstr(reply.body, "event_id"));
    expect_part(reply, 207, "\"accepted\":1,\"rejected\":1,\"errors\":[");
  }
  reply_t reply = exchange(&server, "POST", "/events",
                           JSON_TYPE "Prefer: return=minimalistic\r\n", EVENT);
  ck_assert_ptr_null(header_of(&reply, "Preference-Applied"));
  expect_part(reply, 202, "event_id");
}

TEST(too_many_events_are_413) {
  size_t count = 10001;
  size_t size = count * (strlen(EVENT) + 1) + 2;
  char *body = malloc(size);
  ck_assert_ptr_nonnull(body);
  char *at = body;
  for (size_t i = 0; i < count; i++)
    at += sprintf(at, "%s%s", i == 0 ? "[" : ",", EVENT);
  strcpy(at, "]");
  expect_part(post(&server, body), 413, "{\"statusCode\":413,");
  at[-1 - (long)strlen(EVENT)] = ']';
  at[-(long)strlen(EVENT)] = '\0';
  expect_part(post(&server, body), 202, "\"accepted\":10000,");
  ck_assert_uint_eq(rejected(AU_REASON_TOO_LARGE), 1);
  free(body);
}

/* --- what the buffer says ------------------------------------------------ */

CASE("buffer", start, stop);

TEST(a_full_buffer_is_429_with_the_time_to_wait) {
  fake_buffer_answer(FAKE_FULL);
  fake_buffer_set_retry_after(13);
  reply_t reply = post(&server, "[" EVENT "," BAD_EVENT "]");
  ck_assert_str_eq(header_of(&reply, "Retry-After"), "13");
  expect(reply, 429,
         "{\"status\":\"rate_limited\",\"message\":\"Buffer is full. Please "
         "retry in a few seconds.\",\"error\":\"Too Many Requests\","
         "\"errorCode\":\"BUFFER_SATURATED\",\"retry_after\":13}");
}

TEST(a_buffer_that_cannot_take_is_503) {
  static const fake_answer_t answers[] = {FAKE_CLOSED, FAKE_IO, FAKE_NOMEM};
  for (size_t i = 0; i < 3; i++) {
    fake_buffer_answer(answers[i]);
    reply_t reply = post(&server, "[" EVENT "," EVENT "]");
    ck_assert_int_ge(atoi(header_of(&reply, "Retry-After")), 1);
    ck_assert_ptr_nonnull(
        strstr(reply.body, "{\"status\":\"error\",\"message\":\""));
    expect_part(reply, 503, "\",\"errorCode\":\"SERVICE_UNAVAILABLE\"}");
  }
  ck_assert_uint_eq(rejected(AU_REASON_UNAVAILABLE), 6);
}

int main(void) { return run_tests("events_post"); }
