/* SPDX-License-Identifier: MIT
 *
 * Answers that are used again: each client has its own, whoever had it before.
 */
#include "support/http_client.h"

#include "support/suite.h"

/* More than a loop keeps. */
#define MANY 40

static server_t server;

static void start(void) {
  server_prepare(&server);
  set_number(&server, "Threads", 1);
  server_start(&server);
}

static void stop(void) { server_stop(&server); }

static void send_named(client_t *client, const char *id, const char *headers) {
  char text[512];
  snprintf(text, sizeof(text), "X-Correlation-Id: %s\r\n%s" JSON_TYPE, id,
           headers);
  send_request(client, "POST", "/events", text, EVENT, strlen(EVENT));
}

static unsigned count(const reply_t *reply, const char *part) {
  unsigned found = 0;
  for (const char *at = reply->head; (at = strstr(at, part)) != NULL; at++)
    found++;
  return found;
}

/* All that it says is of this request alone. */
static void expect_named(client_t *client, const char *id, int status) {
  reply_t reply = read_reply(client);
  ck_assert_int_eq(reply.status, status);
  ck_assert_uint_eq(count(&reply, "X-Correlation-Id: "), 1);
  ck_assert_uint_eq(count(&reply, "Keep-Alive: "), 1);
  ck_assert_str_eq(header_of(&reply, "X-Correlation-Id"), id);
  ck_assert_uint_eq(count(&reply, "Retry-After: "), status == 429 ? 1 : 0);
  check_common(&reply);
  reply_fini(&reply);
}

static void expect_full(client_t *client, const char *retry_after) {
  char body[256];
  snprintf(body, sizeof(body),
           "{\"status\":\"rate_limited\",\"message\":\"Buffer is full. Please "
           "retry in a few seconds.\",\"error\":\"Too Many Requests\","
           "\"errorCode\":\"BUFFER_SATURATED\",\"retry_after\":%s}",
           retry_after);
  reply_t reply = read_reply(client);
  ck_assert_str_eq(header_of(&reply, "Retry-After"), retry_after);
  expect(reply, 429, body);
}

CASE("reply", start, stop);

TEST(each_has_its_own_correlation_id_and_event_id) {
  static const char *const ids[] = {"a", "longer-than-that", "b", "a"};
  client_t *client = client_connect(&server);
  char last[128] = "";
  for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
    send_named(client, ids[i], "");
    expect_named(client, ids[i], 202);
    send_request(client, "POST", "/events", JSON_TYPE, EVENT, strlen(EVENT));
    reply_t reply = read_reply(client);
    const char *id = header_of(&reply, "X-Correlation-Id");
    au_uuid_t uuid;
    ck_assert_msg(au_uuid_parse(id, strlen(id), &uuid), "%s", id);
    ck_assert_str_ne(reply.body, last);
    snprintf(last, sizeof(last), "%.127s", reply.body);
    reply_fini(&reply);
  }
  client_close(client);
}

TEST(as_many_wait_as_there_are_clients) {
  client_t *client[MANY];
  char id[16];
  for (int round = 0; round < 2; round++) {
    fake_buffer_answer(FAKE_HOLD);
    for (int i = 0; i < MANY; i++) {
      snprintf(id, sizeof(id), "id-%d", i);
      client[i] = client_connect(&server);
      send_named(client[i], id, "");
    }
    fake_buffer_wait_pending(MANY);
    fake_buffer_release();
    for (int i = MANY - 1; i >= 0; i--) {
      snprintf(id, sizeof(id), "id-%d", i);
      expect_named(client[i], id, 202);
      client_close(client[i]);
    }
  }
}

TEST(what_differs_is_not_mixed_up) {
  static const char *const seconds[] = {"13", "7", "42", "13"};
  client_t *client = client_connect(&server);
  for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
    fake_buffer_answer(FAKE_FULL);
    fake_buffer_set_retry_after((unsigned)atoi(seconds[i]));
    send_named(client, "full", "");
    expect_full(client, seconds[i]);
    fake_buffer_answer(FAKE_OK);
    send_named(client, "taken", "");
    expect_named(client, "taken", 202);
  }
  client_close(client);
}

/* More kinds than a loop keeps. */
TEST(of_many_kinds_each_is_right) {
  fake_buffer_answer(FAKE_FULL);
  client_t *client = client_connect(&server);
  for (unsigned round = 0; round < 2; round++)
    for (unsigned i = 1; i <= MANY; i++) {
      char seconds[16];
      snprintf(seconds, sizeof(seconds), "%u", i);
      fake_buffer_set_retry_after(i);
      send_named(client, "full", "");
      expect_full(client, seconds);
    }
  client_close(client);
}

TEST(a_connection_that_ends_is_not_said_to_stay) {
  client_t *client = client_connect(&server);
  send_named(client, "stays", "");
  expect_named(client, "stays", 202);
  send_named(client, "ends", "Connection: close\r\n");
  reply_t reply = read_reply(client);
  ck_assert_int_eq(reply.status, 202);
  ck_assert_uint_eq(count(&reply, "Keep-Alive: "), 0);
  ck_assert_str_eq(header_of(&reply, "Connection"), "close");
  reply_fini(&reply);
  ck_assert(is_closed(client));
  client_close(client);
}

static void wait_dropped(uint64_t events) {
  for (int i = 0;
       i < 6000 && au_metrics_counter(AU_M_EVENTS_DROPPED, 0) < events; i++)
    poll(NULL, 0, 5);
  ck_assert_uint_ge(au_metrics_counter(AU_M_EVENTS_DROPPED, 0), events);
}

static void send_head(client_t *client, const char *id) {
  char text[512];
  snprintf(
      text, sizeof(text),
      "POST /events HTTP/1.1\r\nHost: t\r\nX-Correlation-Id: %s\r\n" JSON_TYPE
      "Content-Length: %zu\r\n\r\n",
      id, strlen(EVENT));
  send_text(client, text);
}

/* Refused from its header; the answer waits for the body. */
TEST(one_that_goes_away_leaves_nothing_to_the_next) {
  fake_buffer_set_usage(1, 1);
  client_t *gone = client_connect(&server);
  send_head(gone, "gone");
  wait_dropped(1);
  client_close(gone);
  for (int i = 0; i < 3; i++) {
    client_t *client = client_connect(&server);
    send_named(client, "next", "");
    expect_named(client, "next", 429);
    client_close(client);
  }
}

TEST(a_server_that_leaves_meanwhile_closes_the_connection) {
  fake_buffer_set_usage(1, 1);
  client_t *client = client_connect(&server);
  send_head(client, "held");
  wait_dropped(1);
  au_http_leave(server.http);
  send_text(client, EVENT);
  reply_t reply = read_reply(client);
  ck_assert_int_eq(reply.status, 429);
  ck_assert_uint_eq(count(&reply, "Keep-Alive: "), 0);
  ck_assert_str_eq(header_of(&reply, "Connection"), "close");
  ck_assert_str_eq(header_of(&reply, "X-Correlation-Id"), "held");
  reply_fini(&reply);
  ck_assert(is_closed(client));
  client_close(client);
}

int main(void) { return run_tests("reply"); }
