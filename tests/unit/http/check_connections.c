/* SPDX-License-Identifier: MIT
 *
 * How long connections live, over TCP: clients that stop, trickle, pause, send
 * their end early or read slowly; and that a request thread rests meanwhile.
 */
#include "support/http_client.h"

#include "base/clock.h"
#include "http/private.h"
#include "support/suite.h"

#define LARGE ((size_t)6 << 20)
/* Of a loop, in the life of a connection of a second or two. A thread that does
 * not rest has tens of thousands. */
#define RUNS_MAX 600

static au_options_t options;
static au_http_t *http;
static struct sockaddr_in address;

/* --- the server ---------------------------------------------------------- */

static enum MHD_Result run_large(au_request_t *request) {
  au_bytes_t body = AU_BYTES_INIT;
  for (size_t i = 0; i < LARGE / 16; i++)
    au_bytes_put_string(&body, "sixteen bytes ..");
  return au_answer(request, 200, "text/plain", &body, NULL);
}

static void take_body(au_request_t *request, au_status_t status,
                      const char *data, size_t size) {
  (void)data;
  size_t *bytes = au_request_state(request);
  *bytes = status == AU_OK ? size : 0;
}

static enum MHD_Result run_small(au_request_t *request) {
  const size_t *bytes = au_request_state(request);
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_printf(&body, "%zu bytes", *bytes);
  return au_answer(request, 200, "text/plain", &body, NULL);
}

static const au_handler_t large = {.run = run_large};
static const au_handler_t small = {
    .run = run_small, .body = take_body, .state_size = sizeof(size_t)};
static const au_route_t routes[] = {
    {"/large", {[AU_METHOD_GET] = {&large, AU_SCOPE_NONE, AU_ROUTE_OTHER}}},
    {"/small",
     {[AU_METHOD_GET] = {&small, AU_SCOPE_NONE, AU_ROUTE_OTHER},
      [AU_METHOD_POST] = {&small, AU_SCOPE_NONE, AU_ROUTE_OTHER}}}};

static void option(const char *name, double number) {
  char error[512] = "";
  const au_given_t value = {.type = AU_VALUE_NUMBER, .number = number};
  ck_assert_msg(au_options_set(&options, AU_SIDE_BUFFER, name, &value, error,
                               sizeof(error)) == AU_OK,
                "%s", error);
}

static void option_text(const char *name, const char *text) {
  char error[512] = "";
  const au_given_t value = {.type = AU_VALUE_STRING, .string = text};
  ck_assert_msg(au_options_set(&options, AU_SIDE_BUFFER, name, &value, error,
                               sizeof(error)) == AU_OK,
                "%s", error);
}

/* A port that was free a moment ago. */
static void choose_address(void) {
  socklen_t size = sizeof(address);
  address = (struct sockaddr_in){.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
  ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
  close(fd);
}

static void setup(void) {
  au_metrics_reset();
  ck_assert_int_eq(au_options_init(&options), AU_OK);
  option("Threads", 1);
}

static void start(void) {
  char error[512] = "";
  for (;;) {
    char text[64];
    choose_address();
    snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(address.sin_port));
    option_text("Listen", text);
    ck_assert_int_eq(
        au_options_finish(&options, AU_SIDE_BUFFER, error, sizeof(error)),
        AU_OK);
    const au_http_config_t config = {.options = &options,
                                     .routes = routes,
                                     .routes_count = COUNT_OF(routes)};
    ck_assert_msg(au_http_start(&config, &http, error, sizeof(error)) == AU_OK,
                  "%s", error);
    if (au_http_unbound(http) == 0)
      return;
    au_http_stop(http); /* somebody was faster */
    au_http_destroy(http);
    au_options_fini(&options);
    setup();
  }
}

static void stop(void) {
  au_http_stop(http);
  au_http_destroy(http);
  au_options_fini(&options);
}

static uint64_t runs(void) {
  return atomic_load(&http->listener[0].loop[0].runs);
}

static void wait_connections(double count) {
  for (int i = 0; au_metrics_gauge(AU_M_HTTP_CONNECTIONS) != count; i++) {
    ck_assert_int_lt(i, PATIENCE_MS);
    poll(NULL, 0, 1);
  }
}

/* --- the client ---------------------------------------------------------- */

/* From 127.0.0.n, with room for "buffer" bytes that it has not read; 0: as
 * usual. */
static client_t *connect_from(unsigned n, int buffer) {
  const struct sockaddr_in from = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + n)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  ck_assert_int_ge(fd, 0);
  if (buffer > 0)
    ck_assert_int_eq(
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)), 0);
  ck_assert_int_eq(bind(fd, (const struct sockaddr *)&from, sizeof(from)), 0);
  ck_assert_int_eq(
      connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
  return client_of(fd);
}

static client_t *connect_client(void) { return connect_from(1, 0); }

static void expect_small(client_t *client, const char *body) {
  reply_t reply = read_reply(client);
  ck_assert_int_eq(reply.status, 200);
  ck_assert_str_eq(reply.body, body);
  reply_fini(&reply);
}

#define GET_SMALL "GET /small HTTP/1.1\r\nHost: t\r\n\r\n"
#define POST_SMALL "POST /small HTTP/1.1\r\nHost: t\r\n"
#define CHUNKED POST_SMALL "Transfer-Encoding: chunked\r\n\r\n"

/* --- clients that stop ---------------------------------------------------- */

static const char *const stopped[] = {
    "",                                           /* nothing at all */
    "GE",                                         /* in the request line */
    "GET /small HTTP/1.1\r\nHo",                  /* in the header */
    POST_SMALL "Content-Length: 100\r\n\r\n",     /* before the body */
    POST_SMALL "Content-Length: 100\r\n\r\nhalf", /* in the body */
    CHUNKED,                                      /* before a chunk */
    CHUNKED "1",                                  /* in a chunk's size */
    CHUNKED "5;name=val",                         /* in its extension */
    CHUNKED "5\r\nhe",                            /* in the chunk */
    CHUNKED "5\r\nhello",                         /* after it */
    CHUNKED "5\r\nhello\r\n0\r\n",                /* before the trailer */
    CHUNKED "5\r\nhello\r\n0\r\nTrailer: no",     /* in it */
    "POST /nowhere HTTP/1.1\r\nHost: t\r\n"       /* refused, and dropped */
    "Content-Length: 100\r\n\r\nhalf",
    GET_SMALL "GET /sm"}; /* after an answer */

CASE("stopped", setup, NULL);

TEST_EACH(who_stops_is_closed_and_the_thread_rests, COUNT_OF(stopped)) {
  option("RequestTimeout", 1);
  option("KeepAliveTimeout", 1); /* begun together with the one before */
  start();
  client_t *client = connect_client();
  send_text(client, stopped[_i]);
  if (_i == COUNT_OF(stopped) - 1)
    expect_small(client, "0 bytes");
  uint64_t before = runs();
  ck_assert(is_closed(client));
  ck_assert_uint_lt(runs() - before, RUNS_MAX);
  client_close(client);
  stop();
}

/* More than libmicrohttpd's buffer holds, and it cannot do anything with it. */
TEST(an_endless_extension_is_closed_and_the_thread_rests) {
  option("RequestTimeout", 1);
  start();
  client_t *client = connect_client();
  send_text(client, CHUNKED "5;name=");
  char more[4096];
  memset(more, 'x', sizeof(more));
  for (int i = 0; i < 8; i++)
    send_bytes(client, more, sizeof(more));
  uint64_t before = runs();
  struct pollfd fds = {.fd = client->fd, .events = POLLIN};
  ck_assert_int_eq(poll(&fds, 1, PATIENCE_MS), 1); /* its end, or a reset */
  ck_assert_uint_lt(runs() - before, RUNS_MAX);
  wait_connections(0);
  client_close(client);
  stop();
}

static void make_certificate(const char *directory) {
  char command[512];
  snprintf(command, sizeof(command),
           "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
           "-nodes -keyout %s/key -out %s/pem -days 2 -subj /CN=t >%s/log 2>&1",
           directory, directory, directory);
  ck_assert_int_eq(system(command), 0);
}

static void start_tls(void) {
  char directory[] = "/tmp/check_connections_XXXXXX";
  char path[3][64];
  ck_assert_ptr_nonnull(mkdtemp(directory));
  make_certificate(directory);
  static const char *const name[] = {"pem", "key", "log"};
  for (int i = 0; i < 3; i++)
    snprintf(path[i], sizeof(path[i]), "%s/%s", directory, name[i]);
  option_text("TLSCertificate", path[0]);
  option_text("TLSKey", path[1]);
  start();
  for (int i = 0; i < 3; i++)
    unlink(path[i]);
  rmdir(directory);
}

TEST_EACH(a_handshake_that_stops_is_closed_and_the_thread_rests, 4) {
  static const char *const begun[] = {"", "\x16", "\x16\x03\x01\x02",
                                      "\x16\x03\x01\x02\x01\x01"};
  option("RequestTimeout", 1);
  start_tls();
  client_t *client = connect_client();
  send_text(client, begun[_i]);
  uint64_t before = runs();
  while (read_more(client)) /* an alert, perhaps */
    client->size = 0;
  ck_assert_uint_lt(runs() - before, RUNS_MAX);
  client_close(client);
  stop();
}

/* While one client makes libmicrohttpd want to run, others are answered at
 * once, and the thread rests between. */
TEST(others_are_served_meanwhile) {
  start();
  client_t *stuck = connect_client();
  send_text(stuck, CHUNKED "5;name=");
  char more[32768];
  memset(more, 'x', sizeof(more));
  send_bytes(stuck, more, sizeof(more));
  client_t *client = connect_client();
  uint64_t before = runs();
  for (int i = 0; i < 100; i++) {
    send_text(client, GET_SMALL);
    expect_small(client, "0 bytes");
    poll(NULL, 0, 1);
  }
  ck_assert_uint_lt(runs() - before, 100 * 10);
  client_close(client);
  client_close(stuck);
  stop();
}

/* --- the end of what a client sends --------------------------------------- */

static const char *const halves[] = {"GET /sm",
                                     "GET /small HTTP/1.1\r\nHo",
                                     POST_SMALL "Content-Length: 100\r\n\r\n",
                                     POST_SMALL
                                     "Content-Length: 100\r\n\r\nhalf",
                                     CHUNKED "5\r\nhe",
                                     CHUNKED "5\r\nhello\r\n0\r\nTrailer: no"};

CASE("ended", setup, NULL);

/* It comes together with the last bytes. */
TEST_EACH(an_early_end_frees_the_connection_at_once, COUNT_OF(halves)) {
  option("RequestTimeout", 3600);
  option("KeepAliveTimeout", 3600);
  start();
  client_t *client = connect_client();
  send_text(client, halves[_i]);
  shutdown(client->fd, SHUT_WR);
  ck_assert(is_closed(client));
  wait_connections(0);
  client_close(client);
  stop();
}

TEST(who_asks_and_ends_gets_the_answers) {
  option("RequestTimeout", 3600);
  option("KeepAliveTimeout", 3600);
  start();
  client_t *client = connect_client();
  send_text(client,
            GET_SMALL POST_SMALL "Content-Length: 5\r\n\r\nhello" GET_SMALL);
  shutdown(client->fd, SHUT_WR);
  expect_small(client, "0 bytes");
  expect_small(client, "5 bytes");
  expect_small(client, "0 bytes");
  ck_assert(is_closed(client));
  client_close(client);
  client = connect_from(1, 4096);
  send_text(client, "GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
  shutdown(client->fd, SHUT_WR);
  reply_t reply = read_head(client);
  ck_assert_int_eq(reply.status, 200);
  size_t size = client->size;
  client->size = 0;
  while (read_more(client)) {
    size += client->size;
    client->size = 0;
  }
  ck_assert_uint_eq(size, LARGE);
  client_close(client);
  wait_connections(0);
  stop();
}

/* --- progress, not age ---------------------------------------------------- */

#define STEP_MS 100

CASE("progress", setup, NULL);

TEST(a_steady_body_is_taken) {
  option("RequestTimeout", 1);
  start();
  client_t *client = connect_client();
  send_text(client, POST_SMALL "Content-Length: 600\r\n\r\n");
  int64_t since_ns = au_clock_monotonic_ns();
  size_t sent = 0;
  while (au_clock_elapsed_ms(since_ns) < 3500) {
    if (sent < 500) {
      send_text(client, "ten bytes.");
      sent += 10;
    }
    poll(NULL, 0, STEP_MS);
  }
  while (sent < 600) {
    send_text(client, "ten bytes.");
    sent += 10;
  }
  expect_small(client, "600 bytes");
  client_close(client);
  stop();
}

TEST(an_absurdly_slow_body_is_cut) {
  option("RequestTimeout", 1);
  start();
  client_t *client = connect_client();
  send_text(client, POST_SMALL "Content-Length: 600\r\n\r\n");
  struct pollfd fds = {.fd = client->fd, .events = POLLIN};
  do
    (void)!send(client->fd, "x", 1, MSG_NOSIGNAL);
  while (poll(&fds, 1, 900) == 0);
  ck_assert(!read_more(client));
  client_close(client);
  stop();
}

/* Nobody needs it, so that its pace does not help. */
TEST(a_body_that_is_thrown_away_is_bounded) {
  option("RequestTimeout", 1);
  start();
  client_t *client = connect_client();
  send_text(client, "GET /large HTTP/1.1\r\nHost: t\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n");
  struct pollfd fds = {.fd = client->fd, .events = POLLIN};
  static const char chunk[] = "20\r\nthirty-two bytes of a chunk ....\r\n";
  do
    (void)!send(client->fd, chunk, sizeof(chunk) - 1, MSG_NOSIGNAL);
  while (poll(&fds, 1, 20) == 0);
  ck_assert(!read_more(client));
  client_close(client);
  stop();
}

/* Some 100 KB a second, of which the kernels take megabytes at once. */
TEST(a_slow_reader_gets_it_all) {
  option("RequestTimeout", 1);
  start();
  client_t *client = connect_client();
  send_text(client, "GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
  (void)read_head(client);
  size_t size = client->size;
  int64_t since_ns = au_clock_monotonic_ns();
  char part[10240];
  ssize_t got = 1;
  for (; got > 0; size += (size_t)got) {
    if (au_clock_elapsed_ms(since_ns) < 4500)
      poll(NULL, 0, STEP_MS);
    got = recv(client->fd, part, sizeof(part), 0);
    if (got <= 0 || size + (size_t)got == LARGE)
      break;
  }
  ck_assert_msg(got > 0, "cut after %zu bytes", size);
  ck_assert_uint_eq(size + (size_t)got, LARGE);
  client->size = 0;
  send_text(client, GET_SMALL);
  expect_small(client, "0 bytes");
  client_close(client);
  stop();
}

TEST(who_does_not_read_is_cut) {
  option("RequestTimeout", 1);
  start();
  client_t *client = connect_from(1, 2048);
  send_text(client, "GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
  wait_connections(1);
  uint64_t before = runs();
  wait_connections(0);
  ck_assert_uint_lt(runs() - before, 10 * RUNS_MAX);
  client_close(client);
  stop();
}

/* --- between requests ----------------------------------------------------- */

CASE("idle", setup, NULL);

TEST(an_idle_connection_is_kept) {
  option("RequestTimeout", 1);
  start();
  client_t *client = connect_client();
  int64_t since_ns = au_clock_monotonic_ns();
  send_text(client, GET_SMALL);
  expect_small(client, "0 bytes");
  while (au_clock_elapsed_ms(since_ns) < 3500)
    poll(NULL, 0, STEP_MS);
  send_text(client, GET_SMALL);
  expect_small(client, "0 bytes");
  client_close(client);
  stop();
}

TEST(an_idle_connection_is_closed_in_the_end) {
  option("KeepAliveTimeout", 1);
  option("RequestTimeout", 3600);
  start();
  client_t *client = connect_client();
  send_text(client, GET_SMALL);
  expect_small(client, "0 bytes");
  ck_assert(is_closed(client));
  client_close(client);
  stop();
}

static const struct {
  const char *request;
  bool stays;
} kept[] = {
    {GET_SMALL, true},
    {"HEAD /small HTTP/1.1\r\nHost: t\r\n\r\n", true},
    {"GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n", true},
    {POST_SMALL "Content-Length: 5\r\n\r\nhello", true},
    {"GET /small HTTP/1.1\r\nHost: t\r\nConnection: keep-alive\r\n\r\n", true},
    {"GET /small HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", false},
    {"GET /small HTTP/1.1\r\nHost: t\r\nConnection: te, Close\r\n\r\n", false},
    {"GET /small HTTP/1.0\r\n\r\n", false},
    {"GET /small HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
    {"POST /nowhere HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody",
     true},
    {"POST /nowhere HTTP/1.1\r\nHost: t\r\nContent-Length: 900000\r\n\r\n",
     false},
    {"POST /nowhere HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n",
     false}};

TEST_EACH(only_who_may_stay_is_told_so, COUNT_OF(kept)) {
  option("KeepAliveTimeout", 7.5);
  start();
  client_t *client = connect_client();
  send_text(client, kept[_i].request);
  reply_t reply = read_head(client);
  const char *told = header_of(&reply, "Keep-Alive");
  if (!kept[_i].stays) {
    ck_assert_msg(told == NULL, "told %s", told);
    char part[4096];
    while (recv(client->fd, part, sizeof(part), 0) > 0)
      continue;
  } else {
    ck_assert_ptr_nonnull(told);
    ck_assert_str_eq(told, "timeout=6");
  }
  client_close(client);
  stop();
}

/* --- how many --------------------------------------------------------------
 */

static bool is_refused(client_t *client) {
  (void)!send(client->fd, GET_SMALL, strlen(GET_SMALL), MSG_NOSIGNAL);
  if (!read_more(client)) /* its end, or a reset */
    return true;
  reply_t reply = read_reply(client);
  reply_fini(&reply);
  return false;
}

CASE("how many", setup, NULL);

TEST(an_address_has_only_so_many) {
  option("MaxConnectionsPerAddress", 3);
  option("Threads", 4);
  start();
  client_t *client[3];
  for (int i = 0; i < 3; i++)
    ck_assert(!is_refused(client[i] = connect_client()));
  client_t *other = connect_client();
  ck_assert(is_refused(other));
  client_close(other);
  ck_assert_uint_eq(
      au_metrics_counter(AU_M_HTTP_CONNECTIONS_REFUSED, AU_CROWDED_ADDRESS), 1);
  other = connect_from(2, 0);
  ck_assert(!is_refused(other));
  client_close(other);
  client_close(client[0]);
  wait_connections(2);
  ck_assert(!is_refused(client[0] = connect_client()));
  for (int i = 0; i < 3; i++)
    client_close(client[i]);
  stop();
}

TEST(a_newcomer_finds_a_place) {
  option("MaxConnectionsPerAddress", 0);
  option("MaxConnections", 20);
  option("Threads", 4);
  start();
  client_t *client[18];
  for (int i = 0; i < 18; i++)
    ck_assert(!is_refused(client[i] = connect_client()));
  client_t *other = connect_client();
  ck_assert(is_refused(other));
  client_close(other);
  ck_assert_uint_eq(
      au_metrics_counter(AU_M_HTTP_CONNECTIONS_REFUSED, AU_CROWDED_LIMIT), 1);
  for (unsigned n = 2; n < 4; n++) {
    other = connect_from(n, 0);
    ck_assert(!is_refused(other));
    client_close(other);
  }
  for (int i = 0; i < 18; i++)
    client_close(client[i]);
  stop();
}

/* One that lingers has its descriptor still, and its place. */
TEST(who_lingers_counts) {
  option("MaxConnectionsPerAddress", 1);
  start();
  client_t *client = connect_client();
  send_text(client, "POST /nowhere HTTP/1.1\r\nHost: t\r\n"
                    "Content-Length: 900000\r\n\r\n");
  reply_t reply = read_reply(client);
  ck_assert_int_eq(reply.status, 404);
  reply_fini(&reply);
  wait_connections(0);
  client_t *other = connect_client();
  ck_assert(is_refused(other));
  client_close(other);
  client_close(client); /* the end of the lingering */
  for (;;) {
    client = connect_client();
    bool refused = is_refused(client);
    client_close(client);
    if (!refused)
      break;
  }
  stop();
}

int main(void) { return run_tests("connections"); }
