/* SPDX-License-Identifier: MIT
 *
 * check_cors - OPTIONS, and what pages of other origins are told.
 */
#include "support/http_client.h"
#include "support/suite.h"

static server_t server;

#define LISTED "https://app.example.com"
#define ORIGIN "Origin: " LISTED "\r\n"
#define OTHER "Origin: https://evil.example\r\n"
#define ASKS(method) "Access-Control-Request-Method: " method "\r\n"

/* The answers that a page may see. */
#define EXPOSED "Retry-After, X-Correlation-Id, Preference-Applied, X-Rejected"

static void prepare(void) { server_prepare(&server); }

static void stop(void) { server_stop(&server); }

/* With up to two values of AllowOrigin. */
static void start(const char *one, const char *two) {
  if (one != NULL)
    set_option(&server, "AllowOrigin", one);
  if (two != NULL)
    set_option(&server, "AllowOrigin", two);
  server_start(&server);
}

/* The head of the answer to a request without a body. */
static reply_t head_of(const char *method, const char *path,
                       const char *headers) {
  client_t *client = client_connect(&server);
  send_request(client, method, path, headers, NULL, 0);
  reply_t reply = read_head(client);
  client_close(client);
  return reply;
}

/* NULL: there is no such header. */
static void expect_header(const reply_t *reply, const char *name,
                          const char *value) {
  const char *found = header_of(reply, name);
  if (value == NULL)
    ck_assert_msg(found == NULL, "%s: %s", name, found);
  else
    ck_assert_msg(found != NULL && strcmp(found, value) == 0, "%s: %s, not %s",
                  name, found != NULL ? found : "(none)", value);
}

/* "origin" NULL: a page gets nothing of the answer. */
static void expect_shared(const reply_t *reply, const char *origin,
                          bool credentials) {
  expect_header(reply, "Access-Control-Allow-Origin", origin);
  expect_header(reply, "Access-Control-Expose-Headers",
                origin != NULL ? EXPOSED : NULL);
  expect_header(reply, "Access-Control-Allow-Credentials",
                credentials ? "true" : NULL);
}

static void expect_preflight(const reply_t *reply, const char *methods,
                             const char *names) {
  ck_assert_int_eq(reply->status, 204);
  check_common(reply);
  expect_header(reply, "Access-Control-Allow-Methods", methods);
  expect_header(reply, "Access-Control-Allow-Headers", names);
  expect_header(reply, "Access-Control-Max-Age",
                methods != NULL ? "86400" : NULL);
}

/* --- OPTIONS ------------------------------------------------------------- */

static const struct {
  const char *path;
  int status;
  const char *allow;
} paths[] = {
    {"/events", 204, "GET, HEAD, POST, OPTIONS"},
    {"/events/", 204, "GET, HEAD, POST, OPTIONS"},
    {"/live", 204, "GET, HEAD, OPTIONS"},
    {"/dlq/7", 204, "GET, HEAD, DELETE, OPTIONS"},
    {"/dlq/7/reprocess", 204, "PATCH, OPTIONS"},
    {"*", 204, "GET, HEAD, POST, PATCH, DELETE, OPTIONS"},
    {"/nope", 404, NULL},
    {"/*", 404, NULL},
};

CASE("options", prepare, stop);

TEST_EACH(options_says_what_a_path_can, sizeof(paths) / sizeof(paths[0])) {
  start(NULL, NULL);
  reply_t reply = head_of("OPTIONS", paths[_i].path, "");
  ck_assert_int_eq(reply.status, paths[_i].status);
  check_common(&reply);
  expect_header(&reply, "Allow", paths[_i].allow);
}

TEST(a_star_is_no_path_for_anything_else) {
  start(NULL, NULL);
  ck_assert_int_eq(head_of("GET", "*", "").status, 404);
}

TEST(a_method_that_a_path_does_not_have_is_405) {
  start(NULL, NULL);
  reply_t reply = head_of("PUT", "/events", "");
  ck_assert_int_eq(reply.status, 405);
  expect_header(&reply, "Allow", "GET, HEAD, POST, OPTIONS");
}

TEST(a_body_of_options_is_passed_over) {
  start(NULL, NULL);
  client_t *client = client_connect(&server);
  send_request(client, "OPTIONS", "/events", JSON_TYPE, EVENT, strlen(EVENT));
  ck_assert_int_eq(read_head(client).status, 204);
  send_request(client, "GET", "/live", "", NULL, 0);
  expect_part(read_reply(client), 200, "SERVER_IS_NOT_SHUTTING_DOWN");
  client_close(client);
  ck_assert_uint_eq(fake_buffer_calls(), 0);
}

TEST(options_needs_no_token) {
  char path[128];
  snprintf(path, sizeof(path), "%s/tokens", server.directory);
  FILE *file = fopen(path, "we");
  ck_assert_ptr_nonnull(file);
  fprintf(file, "read %064d\n", 0);
  ck_assert_int_eq(fclose(file), 0);
  set_option(&server, "TokenFile", path);
  start(LISTED, NULL);
  unlink(path);
  ck_assert_int_eq(head_of("OPTIONS", "/dlq", "").status, 204);
  reply_t reply = head_of("OPTIONS", "/dlq", ORIGIN ASKS("GET"));
  expect_preflight(&reply, "GET, HEAD, DELETE, OPTIONS", NULL);
  expect_shared(&reply, LISTED, false);
  /* ... but what it was about does. */
  reply = head_of("GET", "/dlq", ORIGIN);
  ck_assert_int_eq(reply.status, 401);
  expect_shared(&reply, LISTED, false);
}

/* --- CORS ---------------------------------------------------------------- */

CASE("cors", prepare, stop);

TEST(without_the_option_there_is_no_cors) {
  start(NULL, NULL);
  reply_t reply = head_of("GET", "/live", ORIGIN);
  ck_assert_int_eq(reply.status, 200);
  expect_shared(&reply, NULL, false);
  expect_header(&reply, "Vary", NULL);
  reply = head_of("OPTIONS", "/events", ORIGIN ASKS("POST"));
  expect_preflight(&reply, NULL, NULL);
  expect_shared(&reply, NULL, false);
}

TEST(an_empty_value_is_none) {
  start("", NULL);
  reply_t reply = head_of("GET", "/live", ORIGIN);
  expect_shared(&reply, NULL, false);
  expect_header(&reply, "Vary", NULL);
}

static const struct {
  const char *origin; /* the header, with its end */
  const char *allowed;
} origins[] = {
    {ORIGIN, LISTED},
    {"Origin: HTTPS://app.example.com\r\n", "HTTPS://app.example.com"},
    {"Origin: http://[::1]:8080\r\n", "http://[::1]:8080"},
    {OTHER, NULL},
    {"", NULL},
    {"Origin: \r\n", NULL},
    {"Origin: null\r\n", NULL},
    {"Origin: *\r\n", NULL},
    {"Origin: " LISTED ":443\r\n", NULL},
    {"Origin: http://app.example.com\r\n", NULL},
    {"Origin: " LISTED ".evil.example\r\n", NULL},
    {"Origin: https://evil.example " LISTED "\r\n", NULL},
    {"Origin: https://xapp.example.com\r\n", NULL},
};

TEST_EACH(only_what_is_listed_is_allowed,
          sizeof(origins) / sizeof(origins[0])) {
  start("https://App.example.com:443", "http://[::1]:8080");
  reply_t reply = head_of("GET", "/live", origins[_i].origin);
  expect_shared(&reply, origins[_i].allowed, false);
  expect_header(&reply, "Vary", "Origin");
  reply = head_of("POST", "/nope", origins[_i].origin);
  ck_assert_int_eq(reply.status, 404);
  expect_shared(&reply, origins[_i].allowed, false);
  char headers[256];
  snprintf(headers, sizeof(headers), "%s%s", origins[_i].origin, ASKS("POST"));
  reply = head_of("OPTIONS", "/events", headers);
  expect_shared(&reply, origins[_i].allowed, origins[_i].allowed != NULL);
  expect_preflight(
      &reply, origins[_i].allowed != NULL ? "GET, HEAD, POST, OPTIONS" : NULL,
      NULL);
}

TEST(a_star_allows_all_but_never_credentials) {
  start("*", NULL);
  static const char *const headers[] = {ORIGIN, "Origin: null\r\n", ""};
  for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
    reply_t reply = head_of("POST", "/events", headers[i]);
    ck_assert_int_eq(reply.status, 415);
    expect_shared(&reply, "*", false);
    expect_header(&reply, "Vary", "Origin");
  }
  reply_t reply = head_of("OPTIONS", "/events", OTHER ASKS("POST"));
  expect_preflight(&reply, "GET, HEAD, POST, OPTIONS", NULL);
  expect_shared(&reply, "*", false);
}

TEST(one_that_is_listed_beside_a_star_has_more) {
  start("*", LISTED);
  reply_t reply = head_of("OPTIONS", "/events", ORIGIN ASKS("POST"));
  expect_shared(&reply, LISTED, true);
  reply = head_of("OPTIONS", "/events", OTHER ASKS("POST"));
  expect_shared(&reply, "*", false);
}

/* A page must not read or delete with its visitor's rights. */
static const struct {
  const char *method;
  const char *path;
  const char *headers;
  bool credentials;
} uses[] = {
    {"POST", "/events", ORIGIN, true},
    {"POST", "/events/", ORIGIN JSON_TYPE "Content-Length: 9000000\r\n", true},
    {"OPTIONS", "/events", ORIGIN ASKS("POST"), true},
    {"GET", "/events", ORIGIN, false},
    {"HEAD", "/events", ORIGIN, false},
    {"PUT", "/events", ORIGIN, false},
    {"OPTIONS", "/events", ORIGIN, false},
    {"OPTIONS", "/events", ORIGIN ASKS("GET"), false},
    {"OPTIONS", "/events", ORIGIN ASKS("post"), false},
    {"OPTIONS", "/events", ORIGIN ASKS("DELETE"), false},
    {"OPTIONS", "/dlq/7", ORIGIN ASKS("DELETE"), false},
    {"OPTIONS", "/dlq/7/reprocess", ORIGIN ASKS("PATCH"), false},
    {"OPTIONS", "/dlq", ORIGIN ASKS("POST"), false},
    {"OPTIONS", "*", ORIGIN ASKS("POST"), false},
    {"GET", "/live", ORIGIN, false},
    {"POST", "/nope", ORIGIN, false},
};

TEST_EACH(credentials_are_for_sending_events, sizeof(uses) / sizeof(uses[0])) {
  start(LISTED, NULL);
  reply_t reply = head_of(uses[_i].method, uses[_i].path, uses[_i].headers);
  expect_shared(&reply, LISTED, uses[_i].credentials);
}

TEST(an_event_from_a_page_is_taken) {
  start(LISTED, NULL);
  reply_t reply = exchange(&server, "POST", "/events", ORIGIN JSON_TYPE, EVENT);
  expect_shared(&reply, LISTED, true);
  expect_header(&reply, "Vary", "Origin");
  expect_part(reply, 202, "event_id");
}

#define NAMES "Access-Control-Request-Headers: "

static const struct {
  const char *headers;
  const char *names; /* as answered */
} asked[] = {
    {NAMES "content-type\r\n", "content-type"},
    {NAMES "authorization,ce-id,x-correlation-id\r\n",
     "authorization, ce-id, x-correlation-id"},
    {NAMES "a ,\tb,,c , \r\n", "a, b, c"},
    {NAMES "!#$%&'*+-.^_`|~09azAZ\r\n", "!#$%&'*+-.^_`|~09azAZ"},
    {"", NULL},
    {NAMES "\r\n", NULL},
    {NAMES ", ,\r\n", NULL},
    {NAMES "a b\r\n", NULL},
    {NAMES "a, b: c\r\n", NULL},
    {NAMES "a;b\r\n", NULL},
    {NAMES "a(b)\r\n", NULL},
    {NAMES "\"a\"\r\n", NULL},
    {NAMES "caf\xC3\xA9\r\n", NULL},
};

TEST_EACH(the_names_that_were_asked_for_are_answered,
          sizeof(asked) / sizeof(asked[0])) {
  start(LISTED, NULL);
  char headers[512];
  snprintf(headers, sizeof(headers), ORIGIN ASKS("POST") "%s",
           asked[_i].headers);
  reply_t reply = head_of("OPTIONS", "/events", headers);
  expect_preflight(&reply, "GET, HEAD, POST, OPTIONS", asked[_i].names);
}

/* In a preflight "count" names of three bytes. */
static reply_t ask_for_names(size_t count) {
  char headers[8192] = ORIGIN ASKS("POST") NAMES "a00";
  size_t length = strlen(headers);
  for (size_t i = 1; i < count; i++)
    length += (size_t)snprintf(headers + length, sizeof(headers) - length,
                               ",a%02zu", i % 100);
  snprintf(headers + length, sizeof(headers) - length, "\r\n");
  return head_of("OPTIONS", "/events", headers);
}

TEST(an_endless_list_is_not_answered) {
  start(LISTED, NULL);
  reply_t reply = ask_for_names(400);
  ck_assert_uint_eq(strlen(header_of(&reply, "Access-Control-Allow-Headers")),
                    400 * 3 + 399 * 2);
  reply = ask_for_names(1000);
  expect_preflight(&reply, "GET, HEAD, POST, OPTIONS", NULL);
}

int main(void) { return run_tests("cors"); }
