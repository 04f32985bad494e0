/* SPDX-License-Identifier: MIT
 *
 * The HTTP side against a buffer that does what the test wants: every row of
 * the common table of the contract, and of POST /events. How listeners start,
 * wait and stop is in check_listener.c.
 */
#include "support/http_client.h"

#include "base/timestamp.h"
#include "support/suite.h"

#include <zlib.h>

static server_t server;

static void start(void) {
  server_prepare(&server);
  server_start(&server);
}

static void stop(void) { server_stop(&server); }

#define GET(path) exchange(&server, "GET", path, "", NULL)
#define INVALID_EVENT                                                          \
  "{\"status\":\"error\",\"message\":\"Invalid event schema\","                \
  "\"error\":\"Bad Request\",\"errorCode\":\"INVALID_EVENT\",\"errors\":"

#define TOO_LARGE                                                              \
  "{\"statusCode\":413,\"message\":\"request entity too large\","              \
  "\"error\":\"Content Too Large\",\"errorCode\":\"BODY_TOO_LARGE\"}"

/* --- the common table ---------------------------------------------------- */

CASE("common", start, stop);

TEST(an_unknown_path_is_404_without_its_query) {
  expect(GET("/nope?secret=1"), 404,
         "{\"statusCode\":404,\"message\":\"Cannot GET /nope\",\"error\":\"Not "
         "Found\",\"errorCode\":\"NOT_FOUND\"}");
  expect(exchange(&server, "DELETE", "/events/7", "", NULL), 404,
         "{\"statusCode\":404,\"message\":\"Cannot DELETE "
         "/events/7\",\"error\":\"Not "
         "Found\",\"errorCode\":\"NOT_FOUND\"}");
  expect_part(GET("//"), 404, "Cannot GET //\"");
  expect_part(GET("/"), 200, "<!DOCTYPE html>");
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_REJECTED, 0), 0);
}

TEST(a_path_is_shown_as_json_and_cut) {
  expect_part(GET("/a%22b%5Cc%0Ad"), 404, "Cannot GET /a\\\"b\\\\c\\nd\"");
  expect_part(GET("/%FF"), 404, "Cannot GET /\xEF\xBF\xBD\"");
  char path[3000] = "/";
  memset(path + 1, 'x', 2500);
  reply_t reply = GET(path);
  ck_assert_uint_lt(reply.body_size, 400);
  expect_part(reply, 404, "Cannot GET /xxx");
}

TEST(a_nul_in_a_path_does_not_end_it) {
  expect_part(GET("/live%00x"), 404, "Cannot GET /live");
  expect_part(GET("/live%00"), 404, "Cannot GET /live");
}

TEST(a_trailing_slash_is_accepted) {
  expect(GET("/live/"), 200, "{\"message\":\"SERVER_IS_NOT_SHUTTING_DOWN\"}");
  expect_part(
      exchange(&server, "POST", "/events/?lenient=false", JSON_TYPE, EVENT),
      202, "accepted");
  expect_part(GET("/live//"), 404, "Cannot GET /live//");
}

TEST(a_wrong_method_is_405_with_allow) {
  static const char *const methods[] = {"PUT", "DELETE", "PATCH", "TRACE",
                                        "FOO"};
  for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
    client_t *client = client_connect(&server);
    send_request(client, methods[i], "/events", "", NULL, 0);
    reply_t reply = read_head(client);
    ck_assert_int_eq(reply.status, 405);
    ck_assert_str_eq(header_of(&reply, "Allow"), "GET, HEAD, POST, OPTIONS");
    check_common(&reply);
    client_close(client);
  }
  reply_t reply = exchange(&server, "POST", "/live", JSON_TYPE, EVENT);
  ck_assert_int_eq(reply.status, 405);
  ck_assert_str_eq(header_of(&reply, "Allow"), "GET, HEAD, OPTIONS");
  reply_fini(&reply);
}

TEST(head_works_wherever_get_does) {
  static const char *const paths[] = {"/live", "/ready", "/health",
                                      "/metrics/prometheus"};
  for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
    client_t *client = client_connect(&server);
    send_request(client, "HEAD", paths[i], "", NULL, 0);
    send_request(client, "GET", "/live", "", NULL, 0);
    reply_t reply = read_head(client);
    ck_assert_int_eq(reply.status, 200);
    check_common(&reply);
    ck_assert_int_gt(atoi(header_of(&reply, "Content-Length")), 0);
    /* and no body: the next reply follows */
    expect(read_reply(client), 200,
           "{\"message\":\"SERVER_IS_NOT_SHUTTING_DOWN\"}");
    client_close(client);
  }
}

TEST(a_correlation_id_is_given_back_when_it_is_good) {
  char longest[129];
  memset(longest, 'i', 128);
  longest[128] = '\0';
  const char *const good[] = {"x", "order-17/~!", longest};
  for (size_t i = 0; i < 3; i++) {
    char header[256];
    snprintf(header, sizeof(header), "x-correlation-ID: %s\r\n", good[i]);
    reply_t reply = exchange(&server, "GET", "/live", header, NULL);
    ck_assert_str_eq(header_of(&reply, "X-Correlation-Id"), good[i]);
    reply_fini(&reply);
  }
}

TEST(a_correlation_id_is_made_when_there_is_no_good_one) {
  char too_long[130];
  memset(too_long, 'i', 129);
  too_long[129] = '\0';
  const char *const bad[] = {"", "two words", "caf\xC3\xA9", "a\tb", too_long};
  char last[64] = "";
  for (size_t i = 0; i < 5; i++) {
    char header[256];
    snprintf(header, sizeof(header), "X-Correlation-Id: %s\r\n", bad[i]);
    reply_t reply = exchange(&server, "GET", "/live", header, NULL);
    const char *id = header_of(&reply, "X-Correlation-Id");
    au_uuid_t uuid;
    ck_assert_msg(au_uuid_parse(id, strlen(id), &uuid), "%s", id);
    ck_assert_str_ne(id, last);
    snprintf(last, sizeof(last), "%.63s", id);
    reply_fini(&reply);
  }
}

TEST(health_tells_what_the_buffer_says) {
  expect(GET("/live"), 200, "{\"message\":\"SERVER_IS_NOT_SHUTTING_DOWN\"}");
  expect(GET("/ready"), 200, "{\"message\":\"SERVER_IS_READY\"}");
  expect(GET("/health"), 200, "{\"message\":\"SERVER_IS_READY\"}");
  fake_buffer_set_trouble("the spool cannot be written");
  expect(GET("/ready"), 503,
         "{\"statusCode\":503,\"message\":\"SERVER_IS_NOT_READY\",\"reason\":"
         "\"the spool cannot be written\"}");
  expect(GET("/live"), 200, "{\"message\":\"SERVER_IS_NOT_SHUTTING_DOWN\"}");
  fake_buffer_set_trouble(NULL);
  fake_buffer_set_usage(999, 1000);
  expect(GET("/health"), 200, "{\"message\":\"SERVER_IS_READY\"}");
  fake_buffer_set_usage(1000, 1000);
  expect_part(GET("/health"), 503, "SERVER_IS_NOT_READY");
}

TEST(quiescing_is_told_and_refused) {
  au_http_quiesce(server.http);
  expect(GET("/live"), 503,
         "{\"statusCode\":503,\"message\":\"SERVER_IS_SHUTTING_DOWN\"}");
  expect_part(GET("/ready"), 503, "\"message\":\"SERVER_IS_SHUTTING_DOWN\"");
  reply_t reply = post(&server, EVENT);
  ck_assert_ptr_nonnull(header_of(&reply, "Retry-After"));
  expect_part(reply, 503, "\"errorCode\":\"SERVICE_UNAVAILABLE\"");
  ck_assert_uint_eq(fake_buffer_calls(), 0);
  ck_assert_uint_eq(rejected(AU_REASON_UNAVAILABLE), 1);
  /* metrics are answered to the end */
  expect_part(GET("/metrics/prometheus"), 200, "buffer_size");
}

TEST(metrics_come_in_the_format_that_is_asked_for) {
  reply_t reply = GET("/metrics/prometheus");
  ck_assert_str_eq(header_of(&reply, "Content-Type"),
                   "text/plain; version=0.0.4; charset=utf-8");
  expect_part(reply, 200, "# TYPE http_request_total counter");
  reply =
      exchange(&server, "GET", "/metrics/prometheus",
               "Accept: application/openmetrics-text; version=1.0.0\r\n", NULL);
  ck_assert_ptr_nonnull(strstr(header_of(&reply, "Content-Type"),
                               "application/openmetrics-text"));
  expect_part(reply, 200, "# EOF");
}

/* --- POST /events: what the header decides ------------------------------- */

CASE("header", start, stop);

TEST(content_types) {
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
      {JSON_TYPE "Content-Encoding: compress\r\n", 415},
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
TEST(a_long_header_is_read) {
  static char headers[16000];
  size_t size = (size_t)snprintf(headers, sizeof(headers), "%s", JSON_TYPE);
  for (int i = 0; i < 96; i++)
    size += (size_t)snprintf(headers + size, sizeof(headers) - size,
                             "X-Line-%04d: %040d\r\n", i, i);
  expect_part(exchange(&server, "POST", "/events", headers, EVENT), 202,
              "event_id");
  snprintf(headers, sizeof(headers), "%sX-Token: %014000d\r\n", JSON_TYPE, 0);
  expect_part(exchange(&server, "POST", "/events", headers, EVENT), 202,
              "event_id");
  snprintf(headers, sizeof(headers), "%sCookie: a=%04096d\r\n", JSON_TYPE, 0);
  expect_part(exchange(&server, "POST", "/events", headers, EVENT), 202,
              "event_id");
}

TEST(a_large_body_is_refused_from_its_header) {
  client_t *client = client_connect(&server);
  send_text(client, "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
                    "Content-Length: 1048577\r\n\r\n");
  expect(read_reply(client), 413, TOO_LARGE);
  client_close(client);
  ck_assert_uint_eq(rejected(AU_REASON_TOO_LARGE), 1);
}

/* A client that does not wait for the answer sees it all the same. */
TEST(a_large_body_that_is_sent_anyway_gets_its_answer) {
  size_t size = (size_t)8 << 20;
  char *body = malloc(size);
  ck_assert_ptr_nonnull(body);
  memset(body, ' ', size);
  for (int i = 0; i < 20; i++) {
    client_t *client = client_connect(&server);
    send_request(client, "POST", "/events", JSON_TYPE, body, size);
    expect_part(read_reply(client), 413, "request entity too large");
    client_close(client);
  }
  free(body);
}

TEST(a_large_chunked_body_is_refused) {
  client_t *client = client_connect(&server);
  send_text(client, "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
                    "Transfer-Encoding: chunked\r\n\r\n");
  char piece[4096];
  memset(piece, ' ', sizeof(piece));
  for (int i = 0; i < 257; i++) {
    send_text(client, "1000\r\n");
    send_bytes(client, piece, sizeof(piece));
    send_text(client, "\r\n");
  }
  send_text(client, "0\r\n\r\n");
  expect(read_reply(client), 413, TOO_LARGE);
  client_close(client);
  ck_assert_uint_eq(rejected(AU_REASON_TOO_LARGE), 1);
}

TEST(expect_continue_is_answered) {
  client_t *client = client_connect(&server);
  char head[256];
  snprintf(head, sizeof(head),
           "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
           "Expect: 100-continue\r\nContent-Length: %zu\r\n\r\n",
           strlen(EVENT));
  send_text(client, head);
  reply_t reply = read_reply(client);
  ck_assert_int_eq(reply.status, 100);
  send_text(client, EVENT);
  expect_part(read_reply(client), 202, "accepted");
  client_close(client);
  /* a refusal comes without it */
  client = client_connect(&server);
  send_text(client, "POST /events HTTP/1.1\r\nHost: t\r\n"
                    "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n");
  expect_part(read_reply(client), 415, "Content-Type");
  client_close(client);
}

/* --- POST /events: the body ---------------------------------------------- */

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

CASE("body", start, stop);

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

TEST(nothing_at_all_is_refused) {
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

TEST(ndjson_lines_are_judged_alone) {
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

static size_t pack(unsigned char *to, size_t room, const char *text,
                   size_t size) {
  z_stream stream;
  memset(&stream, 0, sizeof(stream));
  ck_assert_int_eq(
      deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
      Z_OK);
  char *copy = malloc(size);
  ck_assert_ptr_nonnull(copy);
  memcpy(copy, text, size);
  stream.next_in = (unsigned char *)copy;
  stream.avail_in = (uInt)size;
  stream.next_out = to;
  stream.avail_out = (uInt)room;
  ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
  size_t packed = stream.total_out;
  deflateEnd(&stream);
  free(copy);
  return packed;
}

static reply_t post_gzip(const void *body, size_t size, const char *coding) {
  client_t *client = client_connect(&server);
  char headers[128];
  snprintf(headers, sizeof(headers), "%sContent-Encoding: %s\r\n", JSON_TYPE,
           coding);
  send_request(client, "POST", "/events", headers, body, size);
  reply_t reply = read_reply(client);
  client_close(client);
  return reply;
}

TEST(a_gzip_body_is_read) {
  unsigned char packed[65536];
  size_t size = pack(packed, sizeof(packed), "[" EVENT "," EVENT "]",
                     strlen("[" EVENT "," EVENT "]"));
  expect_part(post_gzip(packed, size, "gzip"), 202, "\"accepted\":2,");
  expect_part(post_gzip(packed, size, "X-GZIP"), 202, "\"accepted\":2,");
  expect_part(post_gzip(packed, size - 1, "gzip"), 400, "Content-Encoding");
  expect_part(post_gzip(EVENT, strlen(EVENT), "gzip"), 400, "Content-Encoding");
  expect_part(post_gzip("", 0, "gzip"), 400, "Content-Encoding");
}

TEST(the_limit_holds_for_the_inflated_body) {
  unsigned char packed[65536];
  size_t large = (1 << 20) + 1;
  char *text = malloc(large);
  ck_assert_ptr_nonnull(text);
  memset(text, ' ', large);
  memcpy(text, EVENT, sizeof(EVENT) - 1);
  size_t size = pack(packed, sizeof(packed), text, large);
  expect(post_gzip(packed, size, "gzip"), 413, TOO_LARGE);
  size = pack(packed, sizeof(packed), text, large - 1);
  expect_part(post_gzip(packed, size, "gzip"), 202, "accepted");
  free(text);
}

/* --- POST /events: what the buffer says ---------------------------------- */

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

/* A request is counted when its answer has been sent, and its connection when
 * it was closed: both a moment after the client has the answer. */
static bool metrics_hold(const char *const *parts, size_t count) {
  reply_t reply = GET("/metrics/prometheus");
  bool all = reply.status == 200;
  for (size_t i = 0; i < count; i++)
    all = all && strstr(reply.body, parts[i]) != NULL;
  reply_fini(&reply);
  return all;
}

CASE("common", start, stop);

TEST(requests_and_their_time_are_counted) {
  static const char *const parts[] = {
      "http_request_total{route=\"events_post\",status=\"202\"} 1\n",
      "http_request_total{route=\"events_post\",status=\"400\"} 1\n",
      "http_request_total{route=\"health\",status=\"200\"} 1\n",
      "http_request_total{route=\"other\",status=\"404\"} 1\n",
      "http_request_duration_ms_count{route=\"events_post\"} 2\n",
      "http_connections 1\n"};
  expect_part(post(&server, EVENT), 202, "accepted");
  expect_part(post(&server, BAD_EVENT), 400, "INVALID");
  expect_part(GET("/live"), 200, "SERVER");
  expect_part(GET("/nope"), 404, "Cannot");
  bool counted = false;
  for (int i = 0; i < 2000 && !counted; i++) {
    counted = metrics_hold(parts, sizeof(parts) / sizeof(parts[0]));
    if (!counted)
      poll(NULL, 0, 5);
  }
  ck_assert_msg(counted, "the figures are not what was asked");
}

int main(void) { return run_tests("http"); }
