/* SPDX-License-Identifier: MIT
 *
 * How listeners start, wait and stop: requests that wait for the disk, clients
 * that are slow or go away, addresses that are taken, tokens, rate limits, TLS.
 */
#include "http_client.h"

#include "clock.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
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

static void write_file(const char *name, const char *text, char path[128]) {
  snprintf(path, 128, "%s/%s", server.directory, name);
  FILE *file = fopen(path, "w");
  ck_assert_ptr_nonnull(file);
  ck_assert_int_ge(fputs(text, file), 0);
  ck_assert_int_eq(fclose(file), 0);
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

START_TEST(a_request_that_waits_is_answered_when_it_is_told) {
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
END_TEST

START_TEST(a_request_that_was_told_before_append_returned) {
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
END_TEST

START_TEST(a_request_that_the_disk_refused_is_503) {
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
END_TEST

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
START_TEST(told_at_any_moment_every_request_is_answered_once) {
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
END_TEST

#define MANY 100

START_TEST(many_wait_together) {
  server_start(&server);
  fake_buffer_answer(FAKE_HOLD);
  client_t *client[MANY];
  for (int i = 0; i < MANY; i++) {
    client[i] = client_connect(&server);
    send_event(client[i]);
  }
  fake_buffer_wait_pending(MANY);
  /* the request threads are free meanwhile */
  expect_part(ask(&server, "GET", "/live", "", NULL), 200, "SERVER");
  fake_buffer_release();
  for (int i = 0; i < MANY; i++) {
    expect_part(read_reply(client[i]), 202, "event_id");
    client_close(client[i]);
  }
  server_stop(&server);
}
END_TEST

/* The server sees the end of a connection on a Unix socket at once. Whether the
 * request is told before it, after it or at that moment: it is told once, and
 * freed once. */
START_TEST(a_connection_that_ends_while_it_waits) {
  server_start(&server);
  for (int i = 0; i < 200; i++) {
    fake_buffer_answer(FAKE_HOLD);
    client_t *client = client_connect(&server);
    send_event(client);
    fake_buffer_wait_pending(1);
    if (i % 4 == 0)
      fake_buffer_release();
    client_close(client);
    while (i % 4 == 1 && au_metrics_gauge(AU_M_HTTP_CONNECTIONS) > 0)
      pause_ms(1);
    fake_buffer_release();
    while (fake_buffer_pending() > 0)
      pause_ms(0);
  }
  ck_assert_uint_eq(fake_buffer_taken(), 200);
  fake_buffer_answer(FAKE_OK);
  expect_part(post(&server, EVENT), 202, "event_id");
  server_stop(&server);
  ck_assert_uint_le(answered("202"), 151);
}
END_TEST

/* So long that its connection is suspended, and then resumed. */
START_TEST(a_request_that_waits_long) {
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
END_TEST

START_TEST(a_client_that_goes_away_while_it_waits) {
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
END_TEST

/* What was told before the stop is answered by it. */
START_TEST(stop_answers_what_is_under_way) {
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
END_TEST

START_TEST(stop_does_not_wait_for_clients) {
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
END_TEST

/* --- one connection, many requests --------------------------------------- */

START_TEST(requests_in_one_packet_are_answered_in_order) {
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
END_TEST

/* A body in any number of pieces is the same body. */
START_TEST(a_body_in_pieces) {
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
END_TEST

#define BODY_SIZE 1000000

/* The header, and the first bytes of a body that is as long as it may be. */
static client_t *begin_large_body(void) {
  char head[256];
  snprintf(head, sizeof(head),
           "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
           "Content-Length: %d\r\n\r\n",
           BODY_SIZE);
  client_t *client = client_connect(&server);
  send_text(client, head);
  send_text(client, EVENT);
  return client;
}

static int finish_large_body(client_t *client) {
  static char rest[BODY_SIZE];
  memset(rest, ' ', sizeof(rest));
  send_bytes(client, rest, BODY_SIZE - strlen(EVENT));
  reply_t reply = read_reply(client);
  if (reply.status == 503) {
    ck_assert_ptr_nonnull(header_of(&reply, "Retry-After"));
    ck_assert_ptr_nonnull(strstr(reply.body, "too many large requests"));
  }
  int status = reply.status;
  reply_fini(&reply);
  client_close(client);
  return status;
}

/* All that come together are gathered in 64 MiB. */
START_TEST(large_bodies_share_a_bound) {
  set_number(&server, "RequestTimeout", 100);
  server_start(&server);
  client_t *client[80];
  for (int i = 0; i < 80; i++)
    client[i] = begin_large_body();
  while (finish_large_body(begin_large_body()) != 503)
    continue; /* until the server has read what they sent */
  ck_assert_uint_ge(rejected(AU_REASON_UNAVAILABLE), 1);
  /* Small ones are not concerned. */
  expect_part(post(&server, EVENT), 202, "event_id");
  for (int i = 0; i < 80; i++)
    client_close(client[i]);
  while (finish_large_body(begin_large_body()) != 202)
    continue; /* until it has seen that they are gone */
  server_stop(&server);
}
END_TEST

START_TEST(a_chunked_body) {
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
END_TEST

/* A refusal of a small request does not cost the connection. */
START_TEST(a_refused_request_does_not_end_the_connection) {
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
END_TEST

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

START_TEST(a_header_that_trickles_is_cut) {
  set_number(&server, "RequestTimeout", 1);
  server_start(&server);
  client_t *client = client_connect(&server);
  send_text(client, "POST /events HTTP/1.1\r\nHost: t\r\nX-Long: ");
  trickle_until_closed(client, "x");
  client_close(client);
  server_stop(&server);
}
END_TEST

START_TEST(a_refused_body_that_trickles_is_cut) {
  set_number(&server, "RequestTimeout", 1);
  server_start(&server);
  client_t *client = client_connect(&server);
  send_text(client, "POST /nowhere HTTP/1.1\r\nHost: t\r\n"
                    "Content-Length: 60000\r\n\r\n");
  trickle_until_closed(client, " ");
  client_close(client);
  server_stop(&server);
}
END_TEST

START_TEST(a_body_that_trickles_is_cut) {
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
END_TEST

START_TEST(an_idle_connection_is_closed) {
  set_number(&server, "RequestTimeout", 1);
  server_start(&server);
  client_t *client = client_connect(&server);
  send_event(client);
  expect_part(read_reply(client), 202, "event_id");
  ck_assert(is_closed(client));
  client_close(client);
  server_stop(&server);
}
END_TEST

static _Atomic int loud_lines;

static void count_line(au_log_level_t level, const char *line) {
  (void)line;
  if (level != AU_LOG_INFO)
    atomic_fetch_add(&loud_lines, 1);
}

/* Whatever clients do, the log is the operator's. */
START_TEST(clients_do_not_write_the_log) {
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
END_TEST

/* --- addresses ----------------------------------------------------------- */

static int listen_somewhere(char address[64], struct sockaddr_in *in) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  *in = (struct sockaddr_in){.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(*in);
  ck_assert_int_eq(bind(fd, (struct sockaddr *)in, size), 0);
  ck_assert_int_eq(listen(fd, 1), 0);
  ck_assert_int_eq(getsockname(fd, (struct sockaddr *)in, &size), 0);
  snprintf(address, 64, "127.0.0.1:%u", ntohs(in->sin_port));
  return fd;
}

static client_t *connect_to(const struct sockaddr_in *in) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  ck_assert_int_eq(connect(fd, (const struct sockaddr *)in, sizeof(*in)), 0);
  return client_of(fd);
}

START_TEST(a_busy_port_is_tried_again) {
  char address[64];
  struct sockaddr_in in;
  int fd = listen_somewhere(address, &in);
  set_option(&server, "Listen", address);
  server_start(&server);
  ck_assert_uint_eq(au_http_unbound(server.http), 1);
  /* the other address works meanwhile */
  expect_part(post(&server, EVENT), 202, "event_id");
  close(fd);
  while (au_http_unbound(server.http) > 0)
    pause_ms(10);
  client_t *client = connect_to(&in);
  send_event(client);
  expect_part(read_reply(client), 202, "event_id");
  client_close(client);
  server_stop(&server);
}
END_TEST

typedef int (*resolver_t)(const char *, const char *, const struct addrinfo *,
                          struct addrinfo **);

/* The addresses of "localhost", if not the system's. */
static const char *localhost[2];

/* In the place of the library's. */
int getaddrinfo(const char *node, const char *service,
                const struct addrinfo *hints, struct addrinfo **found) {
  union {
    void *symbol;
    resolver_t resolve;
  } real = {.symbol = dlsym(RTLD_NEXT, "getaddrinfo")};
  if (localhost[0] == NULL || node == NULL || strcmp(node, "localhost") != 0)
    return real.resolve(node, service, hints, found);
  int result = real.resolve(localhost[0], service, hints, found);
  return result != 0
             ? result
             : real.resolve(localhost[1], service, hints, &(*found)->ai_next);
}

START_TEST(a_name_may_have_an_address_that_this_machine_has_not) {
  localhost[0] = "192.0.2.1";
  localhost[1] = "127.0.0.1";
  char address[64];
  struct sockaddr_in in;
  close(listen_somewhere(address, &in));
  snprintf(address, sizeof(address), "localhost:%u", ntohs(in.sin_port));
  set_option(&server, "Listen", address);
  server_start(&server);
  ck_assert_uint_eq(au_http_unbound(server.http), 0);
  client_t *client = connect_to(&in);
  send_event(client);
  expect_part(read_reply(client), 202, "event_id");
  client_close(client);
  server_stop(&server);
  localhost[0] = NULL;
}
END_TEST

START_TEST(a_busy_address_is_not_replaced_by_another_of_the_name) {
  localhost[0] = "127.0.0.1";
  localhost[1] = "127.0.0.2";
  char address[64];
  struct sockaddr_in in;
  int fd = listen_somewhere(address, &in);
  snprintf(address, sizeof(address), "localhost:%u", ntohs(in.sin_port));
  set_option(&server, "Listen", address);
  server_start(&server);
  ck_assert_uint_eq(au_http_unbound(server.http), 1);
  close(fd);
  while (au_http_unbound(server.http) > 0)
    pause_ms(10);
  client_close(connect_to(&in));
  server_stop(&server);
  localhost[0] = NULL;
}
END_TEST

START_TEST(a_stop_does_not_wait_for_a_busy_port) {
  char address[64];
  struct sockaddr_in in;
  int fd = listen_somewhere(address, &in);
  set_option(&server, "Listen", address);
  server_start(&server);
  server_stop(&server);
  close(fd);
}
END_TEST

static int listen_on_socket(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, server.socket);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)),
                   0);
  ck_assert_int_eq(listen(fd, 1), 0);
  return fd;
}

START_TEST(a_socket_that_nobody_listens_on_is_replaced) {
  close(listen_on_socket());
  server_start(&server);
  ck_assert_uint_eq(au_http_unbound(server.http), 0);
  struct stat info;
  ck_assert_int_eq(stat(server.socket, &info), 0);
  ck_assert_uint_eq(info.st_mode & 0117, 0); /* nobody but owner and group */
  expect_part(post(&server, EVENT), 202, "event_id");
  server_stop(&server);
}
END_TEST

START_TEST(a_socket_that_somebody_listens_on_is_left) {
  int fd = listen_on_socket();
  server_start(&server);
  ck_assert_uint_eq(au_http_unbound(server.http), 1);
  client_t *client = client_connect(&server); /* to the other one */
  client_close(client);
  au_http_stop(server.http);
  ck_assert_int_eq(access(server.socket, F_OK), 0);
  close(fd);
  server_stop(&server);
}
END_TEST

static _Atomic int unlinked_while_it_listened;

/* In the place of the library's: looks whether the socket still listens. */
int unlink(const char *path) {
  if (strcmp(path, server.socket) == 0) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
      atomic_fetch_add(&unlinked_while_it_listened, 1);
    close(fd);
  }
  return unlinkat(AT_FDCWD, path, 0);
}

/* As long as it listens nobody else has the name. */
START_TEST(a_socket_is_gone_after_the_stop) {
  atomic_store(&unlinked_while_it_listened, 0);
  server_start(&server);
  au_http_stop(server.http);
  ck_assert_int_ne(access(server.socket, F_OK), 0);
  ck_assert_int_eq(atomic_load(&unlinked_while_it_listened), 1);
  server_stop(&server);
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_left) {
  char path[128];
  write_file("socket", "precious", path);
  server_start(&server);
  ck_assert_uint_eq(au_http_unbound(server.http), 1);
  struct stat info;
  ck_assert_int_eq(stat(path, &info), 0);
  ck_assert_int_eq(info.st_size, 8);
  server_stop(&server);
}
END_TEST

/* --- tokens and rate limits ---------------------------------------------- */

/* sha256 of "in", "out" and "all". */
#define TOKEN_FILE                                                             \
  "ingest 582967534d0f909d196b97f9e6921342777aea87b46fa52df165389db1fb8ccf\n"  \
  "read 762069bc07a6e1b5df123a5ae7bd91c10daa04694fbaa17fba0cd6a8dcce8f22\n"    \
  "admin 5ef5ef0364b6939c4ca61f34b393f7b368d1be8619647aaf83d5b395919ab629\n"

static int status_of(const char *method, const char *path, const char *token) {
  char headers[256] = JSON_TYPE;
  if (token != NULL)
    snprintf(headers, sizeof(headers), JSON_TYPE "Authorization: Bearer %s\r\n",
             token);
  bool is_post = strcmp(method, "POST") == 0;
  reply_t reply = ask(&server, method, path, headers, is_post ? EVENT : NULL);
  check_common(&reply);
  if (reply.status == 401)
    ck_assert_str_eq(header_of(&reply, "WWW-Authenticate"), "Bearer");
  reply_fini(&reply);
  return reply.status;
}

START_TEST(tokens_open_what_their_scope_says) {
  char path[128];
  write_file("tokens", TOKEN_FILE, path);
  set_option(&server, "TokenFile", path);
  server_start(&server);
  unlink(path);
  ck_assert_int_eq(status_of("POST", "/events", NULL), 401);
  ck_assert_int_eq(status_of("POST", "/events", "wrong"), 401);
  ck_assert_int_eq(status_of("POST", "/events", "out"), 403);
  ck_assert_int_eq(status_of("POST", "/events", "in"), 202);
  ck_assert_int_eq(status_of("POST", "/events", "all"), 202);
  ck_assert_int_eq(status_of("GET", "/metrics/prometheus", NULL), 401);
  ck_assert_int_eq(status_of("GET", "/metrics/prometheus", "in"), 403);
  ck_assert_int_eq(status_of("GET", "/metrics/prometheus", "out"), 200);
  /* a load balancer has none */
  ck_assert_int_eq(status_of("GET", "/live", NULL), 200);
  ck_assert_int_eq(status_of("GET", "/ready", NULL), 200);
  ck_assert_int_eq(status_of("GET", "/health", NULL), 200);
  ck_assert_uint_eq(rejected(AU_REASON_UNAUTHORIZED), 5);
  server_stop(&server);
}
END_TEST

static void refuse_start(const char *part) {
  char error[512] = "";
  server.buffer = fake_buffer_open();
  au_status_t status = au_http_start(&server.options, server.buffer,
                                     &server.http, error, sizeof(error));
  ck_assert_int_ne(status, AU_OK);
  ck_assert_ptr_null(server.http);
  ck_assert_msg(strstr(error, part) != NULL, "%s has no %s", error, part);
  fake_buffer_close();
  au_options_fini(&server.options);
  unlink(server.socket);
}

START_TEST(a_token_file_that_is_wrong_stops_the_start) {
  char path[128];
  write_file("tokens", "ingest nonsense\n", path);
  set_option(&server, "TokenFile", path);
  refuse_start("line 1");
  unlink(path);
  ck_assert_int_eq(rmdir(server.directory), 0);
}
END_TEST

START_TEST(a_rate_limit_is_429_with_the_time_to_wait) {
  set_number(&server, "RateLimit", 0.01);
  server_start(&server);
  expect_part(post(&server, EVENT), 202, "event_id");
  reply_t reply = post(&server, "[" EVENT "," EVENT "]");
  int wait_s = atoi(header_of(&reply, "Retry-After"));
  ck_assert_int_ge(wait_s, 50);
  ck_assert_int_le(wait_s, 101);
  expect(reply, 429, "{\"statusCode\":429,\"message\":\"Too Many Requests\"}");
  ck_assert_uint_eq(fake_buffer_calls(), 1);
  /* A request, not its events: its body is not parsed, nor read when it is
   * large. */
  ck_assert_uint_eq(rejected(AU_REASON_RATE_LIMITED), 1);
  expect_part(post(&server, "[no json"), 429, "Too Many Requests");
  client_t *client = client_connect(&server);
  send_text(client, "POST /events HTTP/1.1\r\nHost: t\r\n" JSON_TYPE
                    "Content-Length: 1000000\r\n\r\n");
  expect_part(read_reply(client), 429, "Too Many Requests");
  client_close(client);
  for (int i = 0; i < 10; i++) /* nobody limits these, nor do they cost */
    expect_part(ask(&server, "GET", "/live", "", NULL), 200, "SERVER");
  server_stop(&server);
}
END_TEST

START_TEST(a_query_does_not_eat_the_budget) {
  set_number(&server, "RateLimitPerAddress", 0.01);
  server_start(&server);
  for (int i = 0; i < 10; i++)
    expect_part(ask(&server, "GET", "/metrics/prometheus", "", NULL), 200, "#");
  expect_part(post(&server, BAD_EVENT), 400, "INVALID_EVENT");
  expect_part(post(&server, EVENT), 202, "event_id");
  expect_part(post(&server, EVENT), 429, "Too Many Requests");
  server_stop(&server);
}
END_TEST

/* --- TLS ----------------------------------------------------------------- */

static void openssl(const char *arguments) {
  char command[1024];
  snprintf(command, sizeof(command), "cd %s && openssl %s >/dev/null 2>&1",
           server.directory, arguments);
  ck_assert_msg(system(command) == 0, "%s", command);
}

static const char *file_of(const char *name) {
  static char path[4][128];
  static unsigned next;
  char *to = path[next++ % 4];
  snprintf(to, 128, "%s/%s", server.directory, name);
  return to;
}

static void make_certificate(const char *name) {
  char arguments[512];
  snprintf(arguments, sizeof(arguments),
           "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
           "-keyout %s.key -out %s.pem -days 2 -subj /CN=%s",
           name, name, name);
  openssl(arguments);
}

static void remove_certificate(const char *name) {
  char file[64];
  snprintf(file, sizeof(file), "%s.pem", name);
  unlink(file_of(file));
  snprintf(file, sizeof(file), "%s.key", name);
  unlink(file_of(file));
}

/* Asks /live over TLS; the status, or 0 when there was no answer. */
static int ask_tls(const char *certificate, const char *key) {
  client_t *client = client_connect(&server);
  gnutls_certificate_credentials_t credentials;
  gnutls_session_t session;
  ck_assert_int_eq(gnutls_certificate_allocate_credentials(&credentials), 0);
  if (certificate != NULL)
    ck_assert_int_eq(gnutls_certificate_set_x509_key_file(
                         credentials, certificate, key, GNUTLS_X509_FMT_PEM),
                     0);
  ck_assert_int_eq(gnutls_init(&session, GNUTLS_CLIENT), 0);
  ck_assert_int_eq(gnutls_set_default_priority(session), 0);
  ck_assert_int_eq(
      gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials), 0);
  gnutls_transport_set_int(session, client->fd);
  int result = 0;
  do
    result = gnutls_handshake(session);
  while (result < 0 && gnutls_error_is_fatal(result) == 0);
  static const char request[] = "GET /live HTTP/1.1\r\nHost: t\r\n\r\n";
  char reply[1024] = "";
  if (result == 0 &&
      gnutls_record_send(session, request, sizeof(request) - 1) > 0 &&
      gnutls_record_recv(session, reply, sizeof(reply) - 1) <= 0)
    reply[0] = '\0';
  int status = 0;
  (void)sscanf(reply, "HTTP/1.1 %d", &status);
  gnutls_deinit(session);
  gnutls_certificate_free_credentials(credentials);
  client_close(client);
  return status;
}

START_TEST(tls_with_a_certificate) {
  make_certificate("server");
  set_option(&server, "TLSCertificate", file_of("server.pem"));
  set_option(&server, "TLSKey", file_of("server.key"));
  server_start(&server);
  remove_certificate("server");
  ck_assert_int_eq(ask_tls(NULL, NULL), 200);
  ck_assert_int_eq(ask_tls(NULL, NULL), 200);
  server_stop(&server);
}
END_TEST

START_TEST(tls_demands_a_client_s_certificate) {
  make_certificate("server");
  make_certificate("friend");
  make_certificate("stranger");
  set_option(&server, "TLSCertificate", file_of("server.pem"));
  set_option(&server, "TLSKey", file_of("server.key"));
  set_option(&server, "TLSClientCA", file_of("friend.pem"));
  server_start(&server);
  ck_assert_int_eq(ask_tls(file_of("friend.pem"), file_of("friend.key")), 200);
  ck_assert_int_eq(ask_tls(file_of("stranger.pem"), file_of("stranger.key")),
                   0);
  ck_assert_int_eq(ask_tls(NULL, NULL), 0);
  remove_certificate("server");
  remove_certificate("friend");
  remove_certificate("stranger");
  server_stop(&server);
}
END_TEST

START_TEST(a_key_of_another_certificate_stops_the_start) {
  make_certificate("server");
  make_certificate("other");
  set_option(&server, "TLSCertificate", file_of("server.pem"));
  set_option(&server, "TLSKey", file_of("other.key"));
  refuse_start("other.key");
  remove_certificate("server");
  remove_certificate("other");
  ck_assert_int_eq(rmdir(server.directory), 0);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name) {
  TCase *tc = tcase_create(name);
  tcase_add_checked_fixture(tc, setup, NULL);
  tcase_set_timeout(tc, 120);
  suite_add_tcase(suite, tc);
  return tc;
}

static Suite *make_suite(void) {
  Suite *suite = suite_create("listen");
  TCase *tc = add_case(suite, "wait");
  tcase_add_test(tc, a_request_that_waits_is_answered_when_it_is_told);
  tcase_add_test(tc, a_request_that_was_told_before_append_returned);
  tcase_add_test(tc, a_request_that_the_disk_refused_is_503);
  tcase_add_test(tc, told_at_any_moment_every_request_is_answered_once);
  tcase_add_test(tc, many_wait_together);
  tcase_add_test(tc, a_client_that_goes_away_while_it_waits);
  tcase_add_test(tc, a_connection_that_ends_while_it_waits);
  tcase_add_test(tc, a_request_that_waits_long);
  tcase_add_test(tc, stop_answers_what_is_under_way);
  tcase_add_test(tc, stop_does_not_wait_for_clients);
  tc = add_case(suite, "connection");
  tcase_add_test(tc, requests_in_one_packet_are_answered_in_order);
  tcase_add_test(tc, a_body_in_pieces);
  tcase_add_test(tc, large_bodies_share_a_bound);
  tcase_add_test(tc, a_chunked_body);
  tcase_add_test(tc, a_refused_request_does_not_end_the_connection);
  tcase_add_test(tc, a_body_that_trickles_is_cut);
  tcase_add_test(tc, a_header_that_trickles_is_cut);
  tcase_add_test(tc, a_refused_body_that_trickles_is_cut);
  tcase_add_test(tc, an_idle_connection_is_closed);
  tcase_add_test(tc, clients_do_not_write_the_log);
  tc = add_case(suite, "address");
  tcase_add_test(tc, a_busy_port_is_tried_again);
  tcase_add_test(tc, a_name_may_have_an_address_that_this_machine_has_not);
  tcase_add_test(tc, a_busy_address_is_not_replaced_by_another_of_the_name);
  tcase_add_test(tc, a_stop_does_not_wait_for_a_busy_port);
  tcase_add_test(tc, a_socket_that_nobody_listens_on_is_replaced);
  tcase_add_test(tc, a_socket_that_somebody_listens_on_is_left);
  tcase_add_test(tc, a_socket_is_gone_after_the_stop);
  tcase_add_test(tc, a_file_that_is_no_socket_is_left);
  tc = add_case(suite, "limit");
  tcase_add_test(tc, tokens_open_what_their_scope_says);
  tcase_add_test(tc, a_token_file_that_is_wrong_stops_the_start);
  tcase_add_test(tc, a_rate_limit_is_429_with_the_time_to_wait);
  tcase_add_test(tc, a_query_does_not_eat_the_budget);
  tc = add_case(suite, "tls");
  tcase_add_test(tc, tls_with_a_certificate);
  tcase_add_test(tc, tls_demands_a_client_s_certificate);
  tcase_add_test(tc, a_key_of_another_certificate_stops_the_start);
  return suite;
}

int main(void) {
  /* A peer that closes first is an error of the write, as in collectd. */
  signal(SIGPIPE, SIG_IGN);
  SRunner *runner = srunner_create(make_suite());
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
