/* SPDX-License-Identifier: MIT
 *
 * fuzz_request - any bytes on a connection to the HTTP server with the routes
 * of the API: methods, paths, queries, the values of headers, bodies and their
 * framing. Each answer is whole and has what every answer has; the events that
 * it says are accepted are those that wait in the buffer.
 *
 * The first byte chooses what the bytes are:
 *   *  all that is sent
 *   h  lines that are headers of a POST /events with one event
 *   q  what follows "GET /events?"
 *   p  what follows "GET /"
 *   c  the chunks of a body
 */
#include "api/routes.h"
#include "fuzz/fuzz.h"
#include "spool/buffer.h"

#include "event/row.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EVENT "{\"timestamp\":0,\"service\":\"s\",\"message\":\"m\"}"
#define REPLY_MAX ((size_t)4 << 20)
/* Long past whatever the server would wait for. */
#define PATIENCE_MS 60000

static au_options_t options;
static au_api_t api;
static au_buffer_t *buffer;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void remove_socket(void) { unlink(address.sun_path); }

static void set(const char *name, const char *value) {
  char error[256] = "";
  const au_given_t text = {.type = AU_VALUE_STRING, .string = value};
  fuzz_require(au_options_set(&options, AU_SIDE_BUFFER, name, &text, error,
                              sizeof(error)) == AU_OK,
               error);
}

/* With a token, so that Authorization is read; no file of it is left. */
static void start(void) {
  static au_http_t *http;
  char error[256] = "";
  char listen[120];
  snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/fuzz_request.%d",
           (int)getpid());
  snprintf(listen, sizeof(listen), "unix:%s", address.sun_path);
  fuzz_be_quiet();
  fuzz_require(au_options_init(&options) == AU_OK, "out of memory");
  set("Listen", listen);
  set("MaxBodyBytes", "65536");
  set("Durability", "memory");
  options.request_timeout_s = 0.02; /* what is cut short is not waited for */
  fuzz_require(au_options_finish(&options, AU_SIDE_BUFFER, error,
                                 sizeof(error)) == AU_OK,
               error);
  const au_buffer_config_t config = {
      .lanes = 1, .capacity = 100000, .max_bytes = 1 << 28};
  fuzz_require(au_buffer_open(&config, &buffer, error, sizeof(error)) == AU_OK,
               error);
  au_api_init(&api, &options, buffer, NULL);
  const au_http_config_t server = {.options = &options,
                                   .routes = au_routes,
                                   .routes_count = au_routes_count,
                                   .context = &api};
  atexit(remove_socket);
  fuzz_require(au_http_start(&server, &http, error, sizeof(error)) == AU_OK,
               error);
}

/* --- what is sent ------------------------------------------------------- */

static void put_request(au_bytes_t *out, uint8_t how, fuzz_input_t input) {
  static const char post[] = "POST /events HTTP/1.1\r\nHost: a\r\n"
                             "Connection: close\r\n";
  switch (how) {
  case 'h':
    au_bytes_put_string(out, post);
    while (input.size > 0) {
      fuzz_input_t line = fuzz_take_line(&input);
      au_bytes_put(out, line.data, line.size);
      au_bytes_put_string(out, "\r\n");
    }
    au_bytes_printf(out, "Content-Length: %zu\r\n\r\n" EVENT, strlen(EVENT));
    break;
  case 'q':
    au_bytes_put_string(out, "GET /events?");
    au_bytes_put(out, input.data, input.size);
    au_bytes_put_string(out, " HTTP/1.1\r\nHost: a\r\n\r\n");
    break;
  case 'p':
    au_bytes_put_string(out, "GET /");
    au_bytes_put(out, input.data, input.size);
    au_bytes_put_string(out, " HTTP/1.1\r\nHost: a\r\n\r\n");
    break;
  case 'c':
    au_bytes_put_string(out, post);
    au_bytes_put_string(out, "Content-Type: application/x-ndjson\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n");
    au_bytes_put(out, input.data, input.size);
    break;
  default:
    au_bytes_put(out, input.data, input.size);
    break;
  }
}

/* Sends all of it, and reads until the server closes the connection. */
static void exchange(const au_bytes_t *request, au_bytes_t *reply) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fuzz_require(fd >= 0 && connect(fd, (const struct sockaddr *)&address,
                                  sizeof(address)) == 0,
               "the server takes no connection");
  if (request->size > 0) /* the server may have closed it by then */
    (void)!send(fd, request->data, request->size, MSG_NOSIGNAL);
  shutdown(fd, SHUT_WR);
  for (;;) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int ready = poll(&poll_fd, 1, PATIENCE_MS);
    if (ready < 0 && errno == EINTR) /* libFuzzer has an alarm */
      continue;
    fuzz_require(ready == 1,
                 "the server neither answers nor closes the connection");
    uint8_t *to = au_bytes_extend(reply, 65536);
    fuzz_require(to != NULL && reply->size < REPLY_MAX,
                 "the answer is endless");
    ssize_t got = recv(fd, to, 65536, 0);
    reply->size -= 65536 - (got > 0 ? (size_t)got : 0);
    if (got <= 0)
      break;
  }
  close(fd);
}

/* --- what is answered --------------------------------------------------- */

/* The value of a header, or NULL. */
static const char *header_of(const char *head, const char *end,
                             const char *name) {
  size_t size = strlen(name);
  for (const char *line = head; line < end; line = strchr(line, '\n') + 1)
    if (strncasecmp(line, name, size) == 0 && line[size] == ':')
      return line + size + 2;
  return NULL;
}

static void check_head(const char *head, const char *end, int status) {
  fuzz_require(status >= 200 && status <= 599, "a status that there is not");
  for (const char *at = head; at < end; at++)
    fuzz_require(*at == '\r' || *at == '\n' || *at == '\t' ||
                     (*at >= ' ' && *at <= '~'),
                 "a header has a control character");
  const char *id = header_of(head, end, "X-Correlation-Id");
  size_t size = strcspn(id, "\r");
  fuzz_require(size >= 1 && size <= 128, "a correlation id is too long");
  fuzz_require(header_of(head, end, "X-Content-Type-Options") != NULL &&
                   header_of(head, end, "Cache-Control") != NULL,
               "a header of every answer is missing");
}

/* The events that the answer says are accepted. */
static uint64_t accepted_by(const char *body, size_t size, int status) {
  if (status != 202 && status != 207)
    return 0;
  const char *many = memmem(body, size, "\"accepted\":", 11);
  if (many != NULL)
    return strtoull(many + 11, NULL, 10);
  return memmem(body, size, "\"event_id\":", 11) != NULL ? 1 : 0;
}

/* One answer; the bytes after it are left in "reply". */
static uint64_t take_answer(fuzz_input_t *reply, bool is_head) {
  const char *head = (const char *)reply->data;
  const char *end = memmem(head, reply->size, "\r\n\r\n", 4);
  fuzz_require(end != NULL && strncmp(head, "HTTP/1.", 7) == 0,
               "what is answered is no answer");
  int status = atoi(head + 9);
  size_t head_size = (size_t)(end - head) + 4;
  if (status < 200) { /* 100 Continue */
    (void)fuzz_take_part(reply, head_size);
    return 0;
  }
  if (header_of(head, end, "X-Correlation-Id") == NULL) {
    /* libmicrohttpd's own, of what is no request; it may send the header of
     * such an answer twice. Nothing follows. */
    fuzz_require(header_of(head, end, "Connection") != NULL,
                 "a connection goes on after what is no request");
    reply->size = 0;
    return 0;
  }
  const char *length = header_of(head, end, "Content-Length");
  const char *type = header_of(head, end, "Content-Type");
  check_head(head, end, status);
  (void)fuzz_take_part(reply, head_size);
  size_t announced = length != NULL ? strtoull(length, NULL, 10) : 0;
  if (is_head && reply->size < announced)
    return 0;
  fuzz_input_t body = fuzz_take_part(reply, announced);
  fuzz_require(body.size == announced, "an answer is cut");
  if (type != NULL && strncmp(type, "application/json", 16) == 0 &&
      body.size > 0)
    fuzz_require_json(body.data, body.size, "an answer is not JSON");
  return accepted_by((const char *)body.data, body.size, status);
}

/* Takes what the buffer holds; each row must be sound. */
static uint64_t drain(void) {
  static au_slab_t slab;
  au_lane_t *lane = au_buffer_lane(buffer, 0);
  uint64_t rows = 0;
  while (au_lane_waiting(lane) > 0) {
    fuzz_require(au_lane_take(lane, 1000, 1 << 20, &slab) == AU_OK,
                 "the buffer cannot be read");
    for (size_t i = 0; i < slab.count; i++) {
      const au_row_t row = au_slab_row(&slab, i);
      fuzz_require(au_row_is_sound(&row), "an event is not sound");
    }
    rows += slab.count;
    au_lane_commit(lane, slab.end);
  }
  return rows;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static au_bytes_t request;
  static au_bytes_t reply;
  if (buffer == NULL)
    start();
  fuzz_input_t input = {.data = data, .size = size};
  au_bytes_clear(&request, SIZE_MAX);
  au_bytes_clear(&reply, SIZE_MAX);
  put_request(&request, fuzz_take_byte(&input), input);
  exchange(&request, &reply);
  (void)au_bytes_text(&reply);
  fuzz_input_t rest = {.data = reply.data, .size = reply.size};
  bool is_head =
      request.size > 0 && memmem(request.data, request.size, "HEAD", 4) != NULL;
  uint64_t accepted = 0;
  while (rest.size > 0)
    accepted += take_answer(&rest, is_head);
  uint64_t waiting = drain();
  /* The client has stopped sending, so an answer may not have been sent. */
  fuzz_require(is_head || waiting >= accepted,
               "an event was accepted, and is not in the buffer");
  return 0;
}
