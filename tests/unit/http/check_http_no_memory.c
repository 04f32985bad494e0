/* SPDX-License-Identifier: MIT
 *
 * Each allocation of a request fails, the first, the second, ... until a
 * request is clean: the client gets an answer or the connection ends, 202 only
 * for what the buffer has taken, and the next request is served.
 */
#include "support/short_memory.h"

#include "support/deflate.h"
#include "support/http_client.h"
#include "support/log_capture.h"
#include "support/suite.h"

static server_t server;

static void start(void) {
  is_test = true;
  server_prepare(&server);
  server_start(&server);
}

static void stop(void) { server_stop(&server); }

/* The status of the answer; 0: the connection ended without one. */
static int try_request(const char *method, const char *path,
                       const char *headers, const void *body, size_t size) {
  client_t *client = client_connect(&server);
  send_request(client, method, path, headers, body, size);
  while (memmem(client->in, client->size, "\r\n\r\n", 4) == NULL)
    if (!read_more(client)) {
      client_close(client);
      return 0;
    }
  reply_t reply = read_reply(client);
  int status = reply.status;
  reply_fini(&reply);
  client_close(client);
  return status;
}

typedef struct shot {
  const char *method;
  const char *path;
  const char *headers;
  const char *body; /* NULL: none */
  bool is_gzip;
  int status; /* of a clean run */
  unsigned events;
  fake_answer_t answer;
} shot_t;

/* A query string that is too long to be kept, so that it is read each time. */
#define FIFTY "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwx"
#define FIELDS FIFTY FIFTY FIFTY FIFTY FIFTY "," FIFTY FIFTY FIFTY FIFTY FIFTY
#define NOT_KEPT                                                               \
  "/events?lenient=true&service=s&timestamp_field=" FIELDS                     \
  "&message_field=/" FIELDS

static const shot_t shots[] = {
    {"POST", "/events", JSON_TYPE, EVENT, false, 202, 1, FAKE_OK},
    {"POST", "/events", JSON_TYPE, EVENT, false, 202, 1, FAKE_RACE},
    {"POST", "/events", JSON_TYPE, "[" EVENT "," BAD_EVENT "," EVENT "]", false,
     207, 2, FAKE_BEFORE},
    {"POST", "/events", NDJSON_TYPE, EVENT "\n" EVENT "\n", false, 202, 2,
     FAKE_OK},
    {"POST", "/events", JSON_TYPE "Content-Encoding: gzip\r\n", EVENT, true,
     202, 1, FAKE_OK},
    {"POST", "/events", JSON_TYPE, "[1 2]", false, 400, 0, FAKE_OK},
    {"POST", "/events?lenient=true&message_field=/a/b,c&id_field=d", JSON_TYPE,
     "{\"a\":{\"\\u0062\":\"\\n\"},\"d\":\"x\",\"e\":[{}],\"metadata\":{\"f\":"
     "1}}",
     false, 202, 1, FAKE_OK},
    {"POST", NOT_KEPT "&events_field=a", JSON_TYPE, "{\"a\":[{},{},1]}", false,
     207, 2, FAKE_OK},
    {"POST", NOT_KEPT "&once=x", JSON_TYPE, EVENT, false, 400, 0, FAKE_OK},
    {"POST", "/events", JSON_TYPE, EVENT, false, 503, 0, FAKE_IO},
    {"GET", "/health", "", NULL, false, 200, 0, FAKE_OK},
    {"GET", "/metrics", "", NULL, false, 200, 0, FAKE_OK},
    {"GET", "/nope", "", NULL, false, 404, 0, FAKE_OK},
};

static int fire(const shot_t *shot) {
  if (shot->body == NULL)
    return try_request(shot->method, shot->path, shot->headers, NULL, 0);
  uint8_t data[1024];
  size_t size = strlen(shot->body);
  ck_assert_uint_le(size, sizeof(data));
  if (shot->is_gzip)
    size = deflate_to(data, sizeof(data), shot->body, size);
  else
    memcpy(data, shot->body, size);
  return try_request(shot->method, shot->path, shot->headers, data, size);
}

CASE("requests", start, stop);

TEST_EACH(request_outlives_any_failed_allocation,
          sizeof(shots) / sizeof(shots[0])) {
  const shot_t *shot = &shots[_i];
  fake_buffer_answer(shot->answer);
  uint64_t acknowledged = 0;
  long n = 1;
  for (bool failed = true; failed; n++) {
    uint64_t taken = fake_buffer_taken();
    fail_memory(n, 1);
    int status = fire(shot);
    failed = memory_failed();
    ck_assert_msg(status == 0 || status == shot->status || status >= 500,
                  "call %ld: %d", n, status);
    if (status >= 500) /* a refusal that is none would be sent again */
      ck_assert_uint_eq(fake_buffer_taken(), taken);
    acknowledged += status == shot->status ? shot->events : 0;
    ck_assert_uint_ge(fake_buffer_taken(), acknowledged);
    ck_assert_int_eq(fire(shot), shot->status);
    acknowledged += shot->events;
  }
  ck_assert_uint_ge(fake_buffer_taken(), acknowledged);
}

CASE("start", NULL, NULL);

static void check_not_started(au_status_t status, const char *error) {
  ck_assert_int_eq(status, AU_NOMEM);
  ck_assert_ptr_null(server.http);
  ck_assert_str_ne(error, "");
}

TEST(start_without_memory_is_an_error) {
  is_test = true;
  server_prepare(&server);
  char error[512] = "";
  ck_assert_int_eq(
      au_options_finish(&server.options, AU_SIDE_BUFFER, error, sizeof(error)),
      AU_OK);
  server.buffer = fake_buffer_open();
  long n = 1;
  for (bool failed = true; failed; n++) {
    fail_memory(n, 1);
    au_status_t status =
        PRODUCT(server_try_start(&server, error, sizeof(error)));
    failed = memory_failed();
    if (status == AU_OK) {
      au_http_stop(server.http);
      au_http_destroy(server.http);
      au_api_fini(&server.api);
    } else {
      ck_assert(failed);
      check_not_started(status, error);
    }
  }
  ck_assert_int_gt(n, 2);
  ck_assert_int_eq(server_try_start(&server, error, sizeof(error)), AU_OK);
  ck_assert_int_eq(fire(&shots[0]), 202);
  server_stop(&server);
}

int main(void) {
  ignore_log();
  return run_tests("http_no_memory");
}
