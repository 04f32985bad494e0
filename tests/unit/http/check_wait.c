/* SPDX-License-Identifier: MIT
 *
 * Requests that wait for the disk, and what becomes of connections: many
 * requests on one, bodies in pieces, clients that are slow or go away.
 */
#include "support/http_client.h"

#include "base/clock.h"
#include "support/suite.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

static server_t server;

static void setup(void) { server_prepare(&server); }

static void pause_ms(long ms) {
  const struct timespec time = {.tv_sec = ms / 1000,
                                .tv_nsec = ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

static void send_event(client_t *client) {
  send_request(client, "POST", "/events", JSON_TYPE, EVENT, strlen(EVENT));
}

typedef struct answers {
  const char *status;
  uint64_t count;
} answers_t;

static void count_answers(const au_series_t *series, void *context) {
  answers_t *answers = context;
  if (series->metric == AU_M_HTTP_REQUESTS &&
      strcmp(series->label_value[0], "events_post") == 0 &&
      strcmp(series->label_value[1], answers->status) == 0)
    answers->count = series->counter;
}

/* Answers to POST /events with this status; complete once the server has
 * stopped. */
static uint64_t answered(const char *status) {
  answers_t answers = {.status = status};
  au_metrics_visit(NULL, count_answers, &answers);
  return answers.count;
}

/* --- requests that wait -------------------------------------------------- */

CASE("wait", setup, NULL);

TEST(a_request_that_waits_is_answered_when_it_is_told) {
  server_start(&server);
  fake_buffer_answer(FAKE_HOLD);
  client_t *client = client_connect(&server);
  send_event(client);
  fake_buffer_wait_pending(1);
  fake_buffer_release();
  expect_part(read_reply(client), 202, "event_id");
  client_close(client);
  server_stop(&server);
}

TEST(a_request_that_was_told_before_append_returned) {
  server_start(&server);
  fake_buffer_answer(FAKE_BEFORE);
  client_t *client = client_connect(&server);
  for (int i = 0; i < 100; i++) {
    send_event(client);
    expect_part(read_reply(client), 202, "event_id");
  }
  client_close(client);
  server_stop(&server);
}

TEST(a_request_that_the_disk_refused_is_503) {
  server_start(&server);
  static const fake_answer_t answers[] = {FAKE_BEFORE, FAKE_RACE};
  fake_buffer_tell(AU_IO);
  for (size_t i = 0; i < 2; i++) {
    fake_buffer_answer(answers[i]);
    reply_t reply = post(&server, "[" EVENT "," BAD_EVENT "]");
    ck_assert_ptr_nonnull(header_of(&reply, "Retry-After"));
    expect_part(reply, 503, "SERVICE_UNAVAILABLE");
  }
  ck_assert_uint_eq(rejected(AU_REASON_UNAVAILABLE), 2);
  ck_assert_uint_eq(fake_buffer_taken(), 0);
  server_stop(&server);
  ck_assert_uint_eq(answered("503"), 2);
  ck_assert_uint_eq(answered("202") + answered("207"), 0);
  ck_assert_uint_eq(rejected(AU_REASON_INVALID), 0);
}

static void *post_many(void *argument) {
  (void)argument;
  client_t *client = client_connect(&server);
  for (int i = 0; i < 300; i++) {
    send_event(client);
    expect_part(read_reply(client), 202, "event_id");
  }
  client_close(client);
  return NULL;
}

/* The waiter is told at any moment: before, while and after the suspend. */
TEST(told_at_any_moment_every_request_is_answered_once) {
  set_number(&server, "Threads", 2);
  server_start(&server);
  fake_buffer_answer(FAKE_RACE);
  pthread_t thread[8];
  for (int i = 0; i < 8; i++)
    ck_assert_int_eq(pthread_create(&thread[i], NULL, post_many, NULL), 0);
  for (int i = 0; i < 8; i++)
    pthread_join(thread[i], NULL);
  ck_assert_uint_eq(fake_buffer_taken(), 2400);
  server_stop(&server);
  ck_assert_uint_eq(answered("202"), 2400);
}

#define MANY 100

TEST(many_wait_together) {
  server_start(&server);
  fake_buffer_answer(FAKE_HOLD);
  client_t *client[MANY];
  for (int i = 0; i < MANY; i++) {
    client[i] = client_connect(&server);
    send_event(client[i]);
  }
  fake_buffer_wait_pending(MANY);
  /* the request threads are free meanwhile */
  expect_part(exchange(&server, "GET", "/live", "", NULL), 200, "SERVER");
  fake_buffer_release();
  for (int i = 0; i < MANY; i++) {
    expect_part(read_reply(client[i]), 202, "event_id");
    client_close(client[i]);
  }
  server_stop(&server);
}

/* Whether the server has seen the ends of all connections. One that has waited
 * long is suspended meanwhile, and its end is not seen before it is resumed. */
static bool sees_ends(void) {
  for (int ms = 0; ms < 200; ms++) {
    if (au_metrics_gauge(AU_M_HTTP_CONNECTIONS) == 0)
      return true;
    pause_ms(1);
  }
  return false;
}

/* Whether the request is told before the server sees the end, after it, at that
 * moment or while it is suspended: it is told once, and freed once. */
TEST(a_connection_that_ends_while_it_waits) {
  server_start(&server);
  uint64_t ends_seen = 0;
  for (int i = 0; i < 200; i++) {
    fake_buffer_answer(FAKE_HOLD);
    client_t *client = client_connect(&server);
    send_event(client);
    fake_buffer_wait_pending(1);
    if (i % 4 == 0)
      fake_buffer_release();
    client_close(client);
    if (i % 4 == 1 && sees_ends())
      ends_seen++;
    fake_buffer_release();
    while (fake_buffer_pending() > 0)
      pause_ms(0);
  }
  ck_assert_uint_eq(fake_buffer_taken(), 200);
  fake_buffer_answer(FAKE_OK);
  expect_part(post(&server, EVENT), 202, "event_id");
  server_stop(&server);
  ck_assert_uint_le(answered("202"), 201 - ends_seen);
}

/* So long that its connection is suspended, and then resumed. */
TEST(a_request_that_waits_long) {
  server_start(&server);
  for (int i = 0; i < 3; i++) {
    fake_buffer_answer(FAKE_HOLD);
    client_t *client = client_connect(&server);
    send_event(client);
    fake_buffer_wait_pending(1);
    pause_ms(100);
    fake_buffer_release();
    expect_part(read_reply(client), 202, "event_id");
    client_close(client);
  }
  server_stop(&server);
  ck_assert_uint_eq(answered("202"), 3);
}

TEST(a_client_that_goes_away_while_it_waits) {
  server_start(&server);
  fake_buffer_answer(FAKE_HOLD);
  for (int i = 0; i < 10; i++) {
    client_t *client = client_connect(&server);
    send_event(client);
    fake_buffer_wait_pending((unsigned)i + 1);
    client_close(client);
  }
  fake_buffer_release();
  while (fake_buffer_pending() > 0)
    pause_ms(1);
  ck_assert_uint_eq(fake_buffer_taken(), 10); /* they are on disk */
  fake_buffer_answer(FAKE_OK);
  expect_part(post(&server, EVENT), 202, "event_id");
  server_stop(&server);
}

/* What was told before the stop is answered by it. */
TEST(stop_answers_what_is_under_way) {
  server_start(&server);
  fake_buffer_answer(FAKE_HOLD);
  client_t *client[MANY];
  for (int i = 0; i < MANY; i++) {
    client[i] = client_connect(&server);
    send_event(client[i]);
  }
  fake_buffer_wait_pending(MANY);
  au_http_quiesce(server.http);
  fake_buffer_release();
  while (fake_buffer_pending() > 0)
    pause_ms(1);
  server_stop(&server);
  for (int i = 0; i < MANY; i++) {
    expect_part(read_reply(client[i]), 202, "event_id");
    ck_assert(is_closed(client[i]));
    client_close(client[i]);
  }
}

TEST(stop_does_not_wait_for_clients) {
  set_number(&server, "RequestTimeout", 3600);
  server_start(&server);
  client_t *idle = client_connect(&server);
  client_t *kept = client_connect(&server);
  client_t *half = client_connect(&server);
  send_event(kept);
  expect_part(read_reply(kept), 202, "event_id");
  send_text(half, "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
                  "Content-Length: 100\r\n\r\n{");
  send_event(kept);
  expect_part(read_reply(kept), 202, "event_id");
  server_stop(&server);
  ck_assert(is_closed(idle));
  ck_assert(is_closed(kept));
  client_close(idle);
  client_close(kept);
  client_close(half);
}

/* --- requests that wait until their events are stored -------------------- */

CASE("stored", setup, NULL);

static void send_waiting(client_t *client, const char *prefer,
                         const char *body) {
  char headers[256];
  snprintf(headers, sizeof(headers), JSON_TYPE "Prefer: %s\r\n", prefer);
  send_request(client, "POST", "/events", headers, body, strlen(body));
}

static void expect_stored(reply_t reply, const char *part) {
  const char *applied = header_of(&reply, "Preference-Applied");
  ck_assert_ptr_nonnull(applied);
  ck_assert_ptr_nonnull(strstr(applied, "wait"));
  ck_assert_int_eq(strncmp(reply.body, "{\"status\":\"stored\",", 19), 0);
  check_common(&reply);
  expect_part(reply, 201, part);
}

static void expect_not_waited(reply_t reply, int status) {
  ck_assert_ptr_null(header_of(&reply, "Preference-Applied"));
  expect_part(reply, status,
              status == 202 ? "\"status\":\"accepted\"" : "\"status\"");
}

static void post_waiting(const char *prefer, const char *body, int status) {
  client_t *client = client_connect(&server);
  send_waiting(client, prefer, body);
  reply_t reply = read_reply(client);
  if (status == 201)
    expect_stored(reply, "queued_at");
  else
    expect_not_waited(reply, status);
  client_close(client);
}

TEST(the_answer_comes_when_they_are_stored) {
  server_start(&server);
  client_t *client = client_connect(&server);
  for (int i = 0; i < 3; i++) {
    send_waiting(client, "wait=30", EVENT);
    fake_buffer_wait_watched(1);
    fake_buffer_store(AU_OK, false);
    expect_stored(read_reply(client), "\"event_id\":");
    send_waiting(client, "wait=1, return=minimal", "[" EVENT "," EVENT "]");
    fake_buffer_wait_watched(1);
    fake_buffer_store(AU_OK, false);
    reply_t reply = read_reply(client);
    ck_assert_str_eq(header_of(&reply, "Preference-Applied"),
                     "return=minimal, wait");
    ck_assert_ptr_null(strstr(reply.body, "event_id"));
    expect_stored(reply, "\"accepted\":2,\"rejected\":0");
  }
  client_close(client);
  server_stop(&server);
  ck_assert_uint_eq(answered("201"), 6);
}

TEST(what_is_stored_already_is_answered_at_once) {
  server_start(&server);
  fake_buffer_answer_watch(AU_OK);
  fake_buffer_answer(FAKE_RACE);
  for (int i = 0; i < 20; i++)
    post_waiting("wait=30", EVENT, 201);
  server_stop(&server);
}

TEST(who_did_not_ask_does_not_wait) {
  static const char *const prefers[] = {
      "wait",          "wait=0",        "wait=31", "wait=-1",
      "wait=1.5",      "wait=x",        "wait=",   "wait=99999999999999999999",
      "respond-async", "wait=0, wait=5"};
  server_start(&server);
  for (size_t i = 0; i < sizeof(prefers) / sizeof(prefers[0]); i++)
    post_waiting(prefers[i], EVENT, 202);
  server_stop(&server);
}

TEST(where_some_are_refused_nothing_waits) {
  server_start(&server);
  post_waiting("wait=30", "[" EVENT "," BAD_EVENT "]", 207);
  post_waiting("wait=30", "[" BAD_EVENT "]", 400);
  fake_buffer_answer(FAKE_FULL);
  post_waiting("wait=30", EVENT, 429);
  server_stop(&server);
}

/* The database does not answer in time. RequestTimeout is shorter still, and
 * has no say. */
TEST(a_wait_ends_when_its_time_is_over) {
  set_number(&server, "RequestTimeout", 1);
  server_start(&server);
  client_t *slow = client_connect(&server);
  client_t *quick = client_connect(&server);
  int64_t start_ns = au_clock_monotonic_ns();
  send_waiting(slow, "wait=3", EVENT);
  send_waiting(quick, "wait=1", EVENT);
  expect_not_waited(read_reply(quick), 202);
  ck_assert_int_ge(au_clock_monotonic_ns() - start_ns, AU_NS_PER_S);
  expect_not_waited(read_reply(slow), 202);
  ck_assert_int_ge(au_clock_monotonic_ns() - start_ns, 3 * AU_NS_PER_S);
  ck_assert_uint_eq(fake_buffer_watched(), 0);
  /* and the connection goes on */
  send_waiting(slow, "wait=30", EVENT);
  fake_buffer_wait_watched(1);
  fake_buffer_store(AU_OK, false);
  expect_stored(read_reply(slow), "event_id");
  client_close(slow);
  client_close(quick);
  server_stop(&server);
}

TEST(rows_that_are_lost_are_not_said_to_be_stored) {
  static const au_status_t why[] = {AU_IO, AU_CLOSED};
  server_start(&server);
  client_t *client = client_connect(&server);
  for (size_t i = 0; i < 2; i++) {
    send_waiting(client, "wait=30", EVENT);
    fake_buffer_wait_watched(1);
    fake_buffer_store(why[i], false);
    expect_not_waited(read_reply(client), 202);
  }
  fake_buffer_answer_watch(AU_CLOSED);
  send_waiting(client, "wait=30", EVENT);
  expect_not_waited(read_reply(client), 202);
  client_close(client);
  server_stop(&server);
}

/* Their connections are taken from others for so long. */
TEST(a_quarter_of_the_connections_wait) {
  set_number(&server, "MaxConnections", 16);
  server_start(&server);
  client_t *client[4];
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 4; i++) {
      client[i] = client_connect(&server);
      send_waiting(client[i], "wait=30", EVENT);
      fake_buffer_wait_watched((unsigned)i + 1);
    }
    post_waiting("wait=30", EVENT, 202);
    /* a place is free again, however the wait has ended */
    fake_buffer_store(round == 1 ? AU_CLOSED : AU_OK, false);
    for (int i = 0; i < 4; i++) {
      expect_part(read_reply(client[i]), round == 1 ? 202 : 201, "queued_at");
      client_close(client[i]);
    }
  }
  server_stop(&server);
}

TEST(with_three_connections_nobody_waits) {
  set_number(&server, "MaxConnections", 3);
  server_start(&server);
  post_waiting("wait=30", EVENT, 202);
  server_stop(&server);
}

static void *wait_many(void *argument) {
  (void)argument;
  client_t *client = client_connect(&server);
  for (int i = 0; i < 200; i++) {
    send_waiting(client, "wait=30", EVENT);
    expect_stored(read_reply(client), "event_id");
  }
  client_close(client);
  return NULL;
}

TEST(stored_at_any_moment_every_request_is_answered_once) {
  set_number(&server, "Threads", 2);
  server_start(&server);
  fake_buffer_answer(FAKE_RACE);
  fake_buffer_store(AU_OK, true);
  pthread_t thread[8];
  for (int i = 0; i < 8; i++)
    ck_assert_int_eq(pthread_create(&thread[i], NULL, wait_many, NULL), 0);
  for (int i = 0; i < 8; i++)
    pthread_join(thread[i], NULL);
  server_stop(&server);
  ck_assert_uint_eq(answered("201"), 1600);
}

/* The time of some is over while the others are stored. */
TEST(an_end_and_the_storing_at_the_same_moment) {
  server_start(&server);
  client_t *client[40];
  for (int i = 0; i < 40; i++) {
    client[i] = client_connect(&server);
    send_waiting(client[i], "wait=1", EVENT);
  }
  fake_buffer_wait_watched(40);
  while (fake_buffer_watched() == 40)
    sched_yield(); /* until the first one's time is over */
  fake_buffer_store(AU_OK, true);
  for (int i = 0; i < 40; i++) {
    reply_t reply = read_reply(client[i]);
    expect_part(reply, reply.status == 201 ? 201 : 202, "event_id");
    client_close(client[i]);
  }
  server_stop(&server);
  ck_assert_uint_eq(answered("201") + answered("202"), 40);
}

TEST(a_client_that_goes_away_while_it_waits_for_the_database) {
  server_start(&server);
  for (int i = 0; i < 20; i++) {
    client_t *client = client_connect(&server);
    send_waiting(client, i % 2 == 0 ? "wait=30" : "wait=1", EVENT);
    fake_buffer_wait_watched(1);
    client_close(client);
    if (i % 4 == 1)
      while (fake_buffer_watched() > 0)
        pause_ms(10); /* its time is over */
    fake_buffer_store(AU_OK, false);
  }
  fake_buffer_answer_watch(AU_OK);
  post_waiting("wait=30", EVENT, 201);
  server_stop(&server);
}

TEST(a_stop_answers_those_that_wait) {
  server_start(&server);
  client_t *client[MANY];
  for (int i = 0; i < MANY; i++) {
    client[i] = client_connect(&server);
    send_waiting(client[i], "wait=30", EVENT);
  }
  fake_buffer_wait_watched(MANY);
  au_http_quiesce(server.http);
  fake_buffer_store(AU_CLOSED, false);
  server_stop(&server);
  for (int i = 0; i < MANY; i++) {
    expect_not_waited(read_reply(client[i]), 202);
    ck_assert(is_closed(client[i]));
    client_close(client[i]);
  }
}

/* --- one connection, many requests --------------------------------------- */

CASE("connection", setup, NULL);

TEST(requests_in_one_packet_are_answered_in_order) {
  server_start(&server);
  char all[8192];
  int size = 0;
  for (int i = 0; i < 10; i++)
    size += snprintf(all + size, sizeof(all) - (size_t)size,
                     "POST /events HTTP/1.1\r\nHost: t\r\nX-Correlation-Id: "
                     "%d\r\n" JSON_TYPE "Content-Length: %zu\r\n\r\n%s"
                     "GET /live HTTP/1.1\r\nHost: t\r\n\r\n",
                     i, strlen(EVENT), EVENT);
  client_t *client = client_connect(&server);
  send_bytes(client, all, (size_t)size);
  for (int i = 0; i < 10; i++) {
    char id[16];
    snprintf(id, sizeof(id), "%d", i);
    reply_t reply = read_reply(client);
    ck_assert_str_eq(header_of(&reply, "X-Correlation-Id"), id);
    expect_part(reply, 202, "event_id");
    expect_part(read_reply(client), 200, "SERVER");
  }
  client_close(client);
  ck_assert_uint_eq(fake_buffer_taken(), 10);
  server_stop(&server);
}

/* A body in any number of pieces is the same body. */
TEST(a_body_in_pieces) {
  server_start(&server);
  const char *body = "[" EVENT "," EVENT "]";
  for (size_t piece = 1; piece < strlen(body); piece += 7) {
    client_t *client = client_connect(&server);
    char head[256];
    snprintf(head, sizeof(head),
             "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
             "Content-Length: %zu\r\n\r\n",
             strlen(body));
    send_text(client, head);
    for (size_t at = 0; at < strlen(body); at += piece) {
      size_t left = strlen(body) - at;
      send_bytes(client, body + at, left < piece ? left : piece);
      if (piece > 20)
        pause_ms(2); /* so that some come alone */
    }
    expect_part(read_reply(client), 202, "\"accepted\":2,");
    client_close(client);
  }
  server_stop(&server);
}

#define BODY_SIZE 1000000

/* A body that is as long as it may be, but for its last byte. */
static client_t *begin_large_body(void) {
  static char rest[BODY_SIZE];
  char head[256];
  snprintf(head, sizeof(head),
           "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
           "Content-Length: %d\r\n\r\n",
           BODY_SIZE);
  client_t *client = client_connect(&server);
  send_text(client, head);
  send_text(client, EVENT);
  memset(rest, ' ', sizeof(rest));
  send_bytes(client, rest, BODY_SIZE - strlen(EVENT) - 1);
  return client;
}

static int finish_large_body(client_t *client) {
  send_text(client, " ");
  reply_t reply = read_reply(client);
  if (reply.status == 503) {
    ck_assert_ptr_nonnull(header_of(&reply, "Retry-After"));
    ck_assert_ptr_nonnull(strstr(reply.body, "too many large requests"));
    /* The connection goes on. */
    send_event(client);
    expect_part(read_reply(client), 202, "event_id");
  }
  int status = reply.status;
  reply_fini(&reply);
  client_close(client);
  return status;
}

/* All that come together have BodyMemory, and small ones a part of their own.
 */
TEST(large_bodies_share_a_bound) {
  set_number(&server, "RequestTimeout", 100);
  set_option(&server, "BodyMemory", "8MiB");
  server_start(&server);
  client_t *client[12];
  for (int i = 0; i < 12; i++)
    client[i] = begin_large_body();
  while (finish_large_body(begin_large_body()) != 503)
    continue; /* until the server has read what they sent */
  ck_assert_uint_ge(rejected(AU_REASON_UNAVAILABLE), 1);
  ck_assert_uint_le(au_http_memory_held(server.http), 6 << 20);
  ck_assert_uint_ge(au_http_memory_held(server.http), 5 << 20);
  /* Small ones are not concerned. */
  expect_part(post(&server, EVENT), 202, "event_id");
  for (int i = 0; i < 12; i++)
    client_close(client[i]);
  while (finish_large_body(begin_large_body()) != 202)
    continue; /* until it has seen that they are gone */
  server_stop(&server);
}

/* What is announced takes no memory: only what comes does. */
TEST(bodies_that_do_not_come_take_no_memory) {
  set_number(&server, "RequestTimeout", 100);
  set_option(&server, "BodyMemory", "8MiB");
  server_start(&server);
  client_t *client[40];
  char head[256];
  snprintf(head, sizeof(head),
           "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
           "Content-Length: %d\r\n\r\n",
           BODY_SIZE);
  for (int i = 0; i < 40; i++) {
    client[i] = client_connect(&server);
    send_text(client[i], head);
    send_text(client[i], EVENT);
  }
  while (au_http_memory_held(server.http) < 40 * (32 << 10))
    sched_yield(); /* until the server has read what they sent */
  ck_assert_int_eq(finish_large_body(begin_large_body()), 202);
  for (int i = 0; i < 40; i++)
    client_close(client[i]);
  server_stop(&server);
}

TEST(a_chunked_body) {
  server_start(&server);
  client_t *client = client_connect(&server);
  send_text(client, "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
                    "Transfer-Encoding: chunked\r\n\r\n");
  for (const char *at = EVENT; *at != '\0'; at++) {
    char chunk[8];
    snprintf(chunk, sizeof(chunk), "1\r\n%c\r\n", *at);
    send_text(client, chunk);
  }
  send_text(client, "0\r\n\r\n");
  expect_part(read_reply(client), 202, "event_id");
  /* and the connection goes on */
  send_event(client);
  expect_part(read_reply(client), 202, "event_id");
  client_close(client);
  server_stop(&server);
}

/* A refusal of a small request does not cost the connection. */
TEST(a_refused_request_does_not_end_the_connection) {
  server_start(&server);
  client_t *client = client_connect(&server);
  for (int i = 0; i < 3; i++) {
    send_request(client, "POST", "/events", "Content-Type: text/x\r\n", EVENT,
                 strlen(EVENT));
    expect_part(read_reply(client), 415, "Content-Type");
    send_request(client, "PUT", "/events", JSON_TYPE, EVENT, strlen(EVENT));
    expect_part(read_reply(client), 405, "Method");
    send_request(client, "GET", "/nope", "", NULL, 0);
    expect_part(read_reply(client), 404, "Cannot");
    send_event(client);
    expect_part(read_reply(client), 202, "event_id");
  }
  client_close(client);
  server_stop(&server);
}

/* --- slow clients, and what is logged of clients -------------------------- */

static void trickle_until_closed(client_t *client, const char *text) {
  for (;;) {
    struct pollfd fds = {.fd = client->fd, .events = POLLIN};
    if (poll(&fds, 1, 20) == 1) {
      ck_assert(is_closed(client));
      return;
    }
    if (send(client->fd, text, 1, MSG_NOSIGNAL) != 1)
      return;
  }
}

TEST(a_header_that_trickles_is_cut) {
  set_number(&server, "RequestTimeout", 1);
  server_start(&server);
  client_t *client = client_connect(&server);
  send_text(client, "POST /events HTTP/1.1\r\nHost: t\r\nX-Long: ");
  trickle_until_closed(client, "x");
  client_close(client);
  server_stop(&server);
}

TEST(a_refused_body_that_trickles_is_cut) {
  set_number(&server, "RequestTimeout", 1);
  server_start(&server);
  client_t *client = client_connect(&server);
  send_text(client, "POST /nowhere HTTP/1.1\r\nHost: t\r\n"
                    "Content-Length: 60000\r\n\r\n");
  trickle_until_closed(client, " ");
  client_close(client);
  server_stop(&server);
}

TEST(a_body_that_trickles_is_cut) {
  set_number(&server, "RequestTimeout", 1);
  server_start(&server);
  client_t *client = client_connect(&server);
  send_text(client, "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
                    "Content-Length: 100000\r\n\r\n");
  trickle_until_closed(client, " ");
  client_close(client);
  ck_assert_uint_eq(fake_buffer_calls(), 0);
  server_stop(&server);
}

TEST(an_idle_connection_is_closed) {
  set_number(&server, "KeepAliveTimeout", 1);
  server_start(&server);
  client_t *client = client_connect(&server);
  send_event(client);
  expect_part(read_reply(client), 202, "event_id");
  ck_assert(is_closed(client));
  client_close(client);
  server_stop(&server);
}

static _Atomic int loud_lines;

static void count_line(au_log_level_t level, const char *line) {
  (void)line;
  if (level != AU_LOG_INFO)
    atomic_fetch_add(&loud_lines, 1);
}

/* Whatever clients do, the log is the operator's. */
TEST(clients_do_not_write_the_log) {
  au_log_set_sink(count_line);
  server_start(&server);
  static const char *const texts[] = {
      "nonsense\r\n\r\n", "POST /events HTTP/1.1\r\nHost: t\r\n",
      "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
      "Content-Length: 10\r\n\r\n{",
      "POST /events HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n",
      "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
      "Transfer-Encoding: chunked\r\n\r\nzz\r\n"};
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    client_t *client = client_connect(&server);
    send_text(client, texts[i]);
    shutdown(client->fd, SHUT_WR);
    while (read_more(client))
      client->size = 0; /* whatever is said to that */
    client_close(client);
  }
  server_stop(&server);
  au_log_set_sink(NULL);
  ck_assert_int_eq(atomic_load(&loud_lines), 0);
}

int main(void) {
  /* A peer that closes first is an error of the write, as in collectd. */
  signal(SIGPIPE, SIG_IGN);
  return run_tests("wait");
}
