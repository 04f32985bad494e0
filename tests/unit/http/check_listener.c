/* SPDX-License-Identifier: MIT
 *
 * How listeners start and stop: addresses that are taken, tokens, rate limits,
 * TLS.
 */
#include "support/http_client.h"

#include "support/suite.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

CASE("address", setup, NULL);

TEST(a_busy_port_is_tried_again) {
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

TEST(a_name_may_have_an_address_that_this_machine_has_not) {
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

TEST(a_busy_address_is_not_replaced_by_another_of_the_name) {
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

TEST(a_stop_does_not_wait_for_a_busy_port) {
  char address[64];
  struct sockaddr_in in;
  int fd = listen_somewhere(address, &in);
  set_option(&server, "Listen", address);
  server_start(&server);
  server_stop(&server);
  close(fd);
}

static int listen_on_socket(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, server.socket);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)),
                   0);
  ck_assert_int_eq(listen(fd, 1), 0);
  return fd;
}

TEST(a_socket_that_nobody_listens_on_is_replaced) {
  close(listen_on_socket());
  server_start(&server);
  ck_assert_uint_eq(au_http_unbound(server.http), 0);
  struct stat info;
  ck_assert_int_eq(stat(server.socket, &info), 0);
  ck_assert_uint_eq(info.st_mode & 0117, 0); /* nobody but owner and group */
  expect_part(post(&server, EVENT), 202, "event_id");
  server_stop(&server);
}

/* At the time of each listen(), when the first client may connect. */
static mode_t mode_at_listen;

/* In the place of the library's. */
int listen(int fd, int backlog) {
  struct stat info;
  if (stat(server.socket, &info) == 0)
    mode_at_listen = info.st_mode & 07777;
  return (int)syscall(SYS_listen, fd, backlog);
}

TEST_EACH(a_socket_is_for_owner_and_group_whatever_the_umask, 4) {
  static const mode_t mask[] = {0, 022, 077, 0777};
  mode_t before = umask(mask[_i]);
  server_start(&server);
  ck_assert_uint_eq(umask(before), mask[_i]); /* it is left alone */
  struct stat info;
  ck_assert_int_eq(stat(server.socket, &info), 0);
  ck_assert_uint_eq(info.st_mode & 07777, 0660);
  ck_assert_uint_eq(mode_at_listen, 0660);
  expect_part(post(&server, EVENT), 202, "event_id");
  server_stop(&server);
}

TEST(a_socket_that_somebody_listens_on_is_left) {
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
TEST(a_socket_is_gone_after_the_stop) {
  atomic_store(&unlinked_while_it_listened, 0);
  server_start(&server);
  au_http_stop(server.http);
  ck_assert_int_ne(access(server.socket, F_OK), 0);
  ck_assert_int_eq(atomic_load(&unlinked_while_it_listened), 1);
  server_stop(&server);
}

TEST(a_file_that_is_no_socket_is_left) {
  char path[128];
  write_file("socket", "precious", path);
  server_start(&server);
  ck_assert_uint_eq(au_http_unbound(server.http), 1);
  struct stat info;
  ck_assert_int_eq(stat(path, &info), 0);
  ck_assert_int_eq(info.st_size, 8);
  server_stop(&server);
}

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
  reply_t reply =
      exchange(&server, method, path, headers, is_post ? EVENT : NULL);
  check_common(&reply);
  if (reply.status == 401)
    ck_assert_str_eq(header_of(&reply, "WWW-Authenticate"),
                     token == NULL ? "Bearer"
                                   : "Bearer error=\"invalid_token\"");
  if (reply.status == 403)
    ck_assert_ptr_nonnull(
        strstr(header_of(&reply, "WWW-Authenticate"),
               "Bearer error=\"insufficient_scope\", scope="));
  reply_fini(&reply);
  return reply.status;
}

CASE("limit", setup, NULL);

TEST(tokens_open_what_their_scope_says) {
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

static void refuse_start(const char *part) {
  char error[512] = "";
  server.buffer = fake_buffer_open();
  au_status_t status = server_try_start(&server, error, sizeof(error));
  ck_assert_int_ne(status, AU_OK);
  ck_assert_ptr_null(server.http);
  ck_assert_msg(strstr(error, part) != NULL, "%s has no %s", error, part);
  fake_buffer_close();
  au_options_fini(&server.options);
  unlink(server.socket);
}

TEST(a_token_file_that_is_wrong_stops_the_start) {
  char path[128];
  write_file("tokens", "ingest nonsense\n", path);
  set_option(&server, "TokenFile", path);
  refuse_start("line 1");
  unlink(path);
  ck_assert_int_eq(rmdir(server.directory), 0);
}

TEST(a_rate_limit_is_429_with_the_time_to_wait) {
  set_number(&server, "RateLimit", 0.01);
  server_start(&server);
  expect_part(post(&server, EVENT), 202, "event_id");
  reply_t reply = post(&server, "[" EVENT "," EVENT "]");
  int wait_s = atoi(header_of(&reply, "Retry-After"));
  ck_assert_int_ge(wait_s, 50);
  ck_assert_int_le(wait_s, 101);
  expect(reply, 429,
         "{\"statusCode\":429,\"message\":\"Too Many Requests\","
         "\"error\":\"Too Many Requests\",\"errorCode\":"
         "\"RATE_LIMITED\"}");
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
    expect_part(exchange(&server, "GET", "/live", "", NULL), 200, "SERVER");
  server_stop(&server);
}

TEST(a_query_does_not_count) {
  set_number(&server, "RateLimitPerAddress", 0.01);
  server_start(&server);
  for (int i = 0; i < 10; i++)
    expect_part(exchange(&server, "GET", "/metrics/prometheus", "", NULL), 200,
                "#");
  expect_part(post(&server, EVENT), 202, "event_id");
  expect_part(post(&server, EVENT), 429, "Too Many Requests");
  server_stop(&server);
}

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
  ssize_t got = GNUTLS_E_AGAIN; /* also for a session ticket */
  if (result == 0 &&
      gnutls_record_send(session, request, sizeof(request) - 1) > 0)
    while (got == GNUTLS_E_AGAIN)
      got = gnutls_record_recv(session, reply, sizeof(reply) - 1);
  int status = 0;
  (void)sscanf(reply, "HTTP/1.1 %d", &status);
  gnutls_deinit(session);
  gnutls_certificate_free_credentials(credentials);
  client_close(client);
  return status;
}

CASE("tls", setup, NULL);

TEST(tls_with_a_certificate) {
  make_certificate("server");
  set_option(&server, "TLSCertificate", file_of("server.pem"));
  set_option(&server, "TLSKey", file_of("server.key"));
  server_start(&server);
  remove_certificate("server");
  ck_assert_int_eq(ask_tls(NULL, NULL), 200);
  ck_assert_int_eq(ask_tls(NULL, NULL), 200);
  server_stop(&server);
}

TEST(tls_demands_a_client_s_certificate) {
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

TEST(a_key_of_another_certificate_stops_the_start) {
  make_certificate("server");
  make_certificate("other");
  set_option(&server, "TLSCertificate", file_of("server.pem"));
  set_option(&server, "TLSKey", file_of("other.key"));
  refuse_start("other.key");
  remove_certificate("server");
  remove_certificate("other");
  ck_assert_int_eq(rmdir(server.directory), 0);
}

int main(void) {
  /* A peer that closes first is an error of the write, as in collectd. */
  signal(SIGPIPE, SIG_IGN);
  return run_tests("listen");
}
