/* SPDX-License-Identifier: MIT
 *
 * check_refused - what is refused, and what it costs the one who sent it: the
 * bound of an answer, from what a refusal is known, and whose limit it counts
 * against.
 */
#include "support/http_client.h"

#include "support/suite.h"

static server_t server;

static void setup(void) { server_prepare(&server); }

/* Only a header: whoever is refused from it need not send more. */
static reply_t send_header(const char *headers) {
  char text[512];
  snprintf(text, sizeof(text),
           "POST /events HTTP/1.1\r\nHost: t\r\n%s"
           "Content-Length: 1000000\r\n\r\n",
           headers);
  client_t *client = client_connect(&server);
  send_text(client, text);
  reply_t reply = read_reply(client);
  client_close(client);
  return reply;
}

static char *many(const char *event, int count) {
  char *text = malloc((strlen(event) + 1) * (size_t)count + 3);
  ck_assert_ptr_nonnull(text);
  char *to = text;
  for (int i = 0; i < count; i++)
    to += sprintf(to, "%c%s", i > 0 ? ',' : '[', event);
  strcpy(to, "]");
  return text;
}

CASE("refusals", setup, NULL);

TEST(a_refusal_says_what_it_leaves_out) {
  server_start(&server);
  char *text = many("0", 10000);
  reply_t reply = post(&server, text);
  ck_assert_uint_lt(strlen(reply.body), 64 << 10);
  ck_assert_ptr_nonnull(strstr(reply.body, "\"index\":99,"));
  ck_assert_ptr_null(strstr(reply.body, "\"index\":100,"));
  expect_part(reply, 400, "],\"errorsOmitted\":9900}");
  free(text);
  char event[2000] = "{\"timestamp\":0";
  for (int i = 0; i < 30; i++)
    sprintf(event + strlen(event), ",\"f%d\":0", i);
  strcat(event, "}");
  expect_part(post(&server, event), 400, "],\"fieldsOmitted\":12}");
  text = many(event, 2);
  expect_part(post(&server, text), 400,
              "],\"fieldsOmitted\":12},{\"index\":1,\"errors\":[");
  free(text);
  expect_part(post(&server, "[0]"), 400,
              "\"index\":0,\"errors\":[{\"field\":"
              "\"event\",\"constraints\":{"
              "\"isObject\":\"event must be an "
              "object\"}}]}]}");
  server_stop(&server);
}

TEST(so_does_one_of_some) {
  server_start(&server);
  char *bad = many("0", 300);
  char *text = malloc(strlen(bad) + strlen(EVENT) + 8);
  sprintf(text, "[" EVENT ",%s", bad + 1);
  reply_t reply = post(&server, text);
  ck_assert_ptr_nonnull(strstr(reply.body, "\"accepted\":1,\"rejected\":300"));
  ck_assert_ptr_nonnull(strstr(reply.body, "\",null,null,null,"));
  expect_part(reply, 207, "],\"errorsOmitted\":200,\"queued_at\":");
  free(text);
  free(bad);
  server_stop(&server);
}

TEST(a_query_is_bounded) {
  char path[4096] = "/events?service=s&from=0&to=1";
  for (int i = 0; i < 40; i++)
    sprintf(path + strlen(path), "&unknown%d=1", i);
  server_start(&server);
  expect_part(exchange(&server, "GET", path, "", NULL), 400,
              "],\"fieldsOmitted\":29}");
  server_stop(&server);
}

/* --- limits -------------------------------------------------------------- */

/* Answers that are not 429 until one is. */
static int passes(const char *body) {
  for (int i = 0;; i++) {
    reply_t reply = post(&server, body);
    int status = reply.status;
    reply_fini(&reply);
    if (status == 429)
      return i;
    ck_assert_int_lt(i, 100);
  }
}

static int passes_with(const char *rate, const char *headers,
                       const char *body) {
  server_prepare(&server);
  set_option(&server, rate, "10");
  server_start(&server);
  int count = 0;
  for (;; count++) {
    reply_t reply = exchange(&server, "POST", "/events", headers, body);
    int status = reply.status;
    reply_fini(&reply);
    if (status == 429)
      break;
    ck_assert_int_lt(count, 100);
  }
  server_stop(&server);
  return count;
}

static const struct {
  const char *headers;
  const char *body;
} refused[] = {
    {JSON_TYPE, "no json"},
    {JSON_TYPE, BAD_EVENT},
    {JSON_TYPE, "[]"},
    {JSON_TYPE, ""},
    {"Content-Type: text/plain\r\n", "x"},
    {JSON_TYPE "Content-Encoding: br\r\n", "x"},
    {JSON_TYPE "Content-Encoding: gzip\r\n", "not gzip"},
};

CASE("count", NULL, NULL);

/* A bucket of ten, and what has come back into it meanwhile. */
TEST_EACH(a_refused_request_counts,
          2 * (int)(sizeof(refused) / sizeof(refused[0]))) {
  const char *rate = _i % 2 == 0 ? "RateLimit" : "RateLimitPerAddress";
  int count = passes_with(rate, refused[_i / 2].headers, refused[_i / 2].body);
  ck_assert_int_ge(count, 10);
  ck_assert_int_le(count, 60);
}

TEST(it_counts_its_events) {
  server_prepare(&server);
  set_option(&server, "RateLimit", "1000");
  server_start(&server);
  char *text = many("{}", 500);
  int count = passes(text);
  ck_assert_int_ge(count, 2);
  ck_assert_int_le(count, 20);
  free(text);
  server_stop(&server);
}

/* sha256 of "in" and "out". */
#define TOKEN_FILE                                                             \
  "ingest 582967534d0f909d196b97f9e6921342777aea87b46fa52df165389db1fb8ccf\n"  \
  "read 762069bc07a6e1b5df123a5ae7bd91c10daa04694fbaa17fba0cd6a8dcce8f22\n"

static void use_tokens(char path[128]) {
  snprintf(path, 128, "%s/tokens", server.directory);
  FILE *file = fopen(path, "w");
  ck_assert_ptr_nonnull(file);
  fputs(TOKEN_FILE, file);
  ck_assert_int_eq(fclose(file), 0);
  set_option(&server, "TokenFile", path);
}

static int status_with(const char *authorization) {
  char headers[256];
  snprintf(headers, sizeof(headers), JSON_TYPE "%s%s", authorization,
           authorization[0] != '\0' ? "\r\n" : "");
  reply_t reply = exchange(&server, "POST", "/events", headers, EVENT);
  int status = reply.status;
  reply_fini(&reply);
  return status;
}

CASE("refusals", setup, NULL);

/* Who has no token uses up nothing that belongs to all. */
TEST(strangers_pay_for_themselves) {
  static const char *const strangers[] = {"", "Authorization: Bearer wrong",
                                          "Authorization: Bearer out"};
  char path[128];
  use_tokens(path);
  set_option(&server, "RateLimit", "10");
  server_start(&server);
  unlink(path);
  for (int i = 0; i < 60; i++)
    ck_assert_int_eq(status_with(strangers[i % 3]), i % 3 == 2 ? 403 : 401);
  ck_assert_int_eq(status_with("Authorization: Bearer in"), 202);
  server_stop(&server);
}

TEST(and_are_held_to_the_limit_of_an_address) {
  char path[128];
  use_tokens(path);
  set_option(&server, "RateLimitPerAddress", "0.01");
  server_start(&server);
  unlink(path);
  ck_assert_int_eq(status_with("Authorization: Bearer wrong"), 401);
  ck_assert_int_eq(status_with("Authorization: Bearer wrong"), 429);
  ck_assert_int_eq(status_with(""), 429);
  ck_assert_uint_eq(rejected(AU_REASON_UNAUTHORIZED), 1);
  ck_assert_uint_eq(rejected(AU_REASON_RATE_LIMITED), 2);
  server_stop(&server);
}

TEST(basic_is_taken_too) {
  char path[128];
  use_tokens(path);
  server_start(&server);
  unlink(path);
  /* "anybody:in", "in:out", "in:" */
  ck_assert_int_eq(status_with("Authorization: Basic YW55Ym9keTppbg=="), 202);
  ck_assert_int_eq(status_with("Authorization: Basic aW46b3V0"), 403);
  ck_assert_int_eq(status_with("Authorization: Basic aW46"), 401);
  server_stop(&server);
}

/* --- from the header alone ----------------------------------------------- */

TEST(a_full_buffer_refuses_before_the_body) {
  server_start(&server);
  fake_buffer_set_usage(1000, 1000);
  fake_buffer_set_retry_after(7);
  reply_t reply = send_header(JSON_TYPE);
  ck_assert_str_eq(header_of(&reply, "Retry-After"), "7");
  expect_part(reply, 429, "BUFFER_SATURATED");
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_DROPPED, 0), 1);
  fake_buffer_set_usage(999, 1000);
  expect_part(post(&server, EVENT), 202, "event_id");
  server_stop(&server);
}

/* But now and then one is let through, to see whether it works again. */
TEST(so_does_a_spool_that_cannot_be_written) {
  server_start(&server);
  fake_buffer_set_trouble("the spool cannot be written");
  fake_buffer_answer(FAKE_IO);
  int tried = 0;
  while (tried < 2) {
    reply_t reply = post(&server, "[" EVENT);
    /* Only what is parsed is known to be no JSON. */
    tried += reply.status == 400;
    ck_assert(reply.status == 400 || reply.status == 503);
    reply_fini(&reply);
  }
  reply_t reply = send_header(JSON_TYPE);
  while (reply.status != 503) {
    reply_fini(&reply);
    reply = send_header(JSON_TYPE);
  }
  ck_assert_ptr_nonnull(header_of(&reply, "Retry-After"));
  expect_part(reply, 503, "SERVICE_UNAVAILABLE");
  fake_buffer_set_trouble(NULL);
  fake_buffer_answer(FAKE_OK);
  expect_part(post(&server, EVENT), 202, "event_id");
  server_stop(&server);
}

int main(void) { return run_tests("http_refusals"); }
