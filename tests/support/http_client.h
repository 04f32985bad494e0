/* SPDX-License-Identifier: MIT
 *
 * http_client - a client for tests of the HTTP side, with every byte in the
 * test's hands: what is sent and when, and what comes back. And the server it
 * talks to, on a Unix socket in a directory of the test's own.
 */
#ifndef SUPPORT_HTTP_CLIENT_H
#define SUPPORT_HTTP_CLIENT_H

#include "api/routes.h"
#include "base/log.h"
#include "config/options.h"
#include "http/server.h"
#include "metrics/metrics.h"
#include "support/fake_buffer.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REPLY_MAX ((size_t)1 << 20)
/* For what must come: a machine under load may be slow, never this slow. */
#define PATIENCE_MS 30000

/* --- the server ---------------------------------------------------------- */

typedef struct server {
  char directory[64];
  char socket[80];
  au_options_t options;
  au_buffer_t *buffer;
  au_api_t api;
  au_http_t *http;
} server_t;

/* An option of the server that is not started yet. */
void set_option(server_t *server, const char *name, const char *text);
void set_number(server_t *server, const char *name, double number);

/* Makes the directory and the options; the test may change them then. */
void server_prepare(server_t *server);

/* With the routes of the API. */
au_status_t server_try_start(server_t *server, char *error, size_t error_size);

/* With the fake buffer. */
void server_start(server_t *server);
void server_stop(server_t *server);

/* Events that were refused for the reason. */
uint64_t rejected(au_reason_t reason);

/* --- the client ---------------------------------------------------------- */

typedef struct client {
  int fd;
  size_t size;        /* bytes read and not yet taken */
  char in[REPLY_MAX]; /* the connection's next replies */
} client_t;

typedef struct reply {
  int status;
  char head[8192]; /* status line and headers, NUL-terminated */
  char *body;      /* NUL-terminated; owned */
  size_t body_size;
} reply_t;

/* Of a connected socket, which client_close closes. */
client_t *client_of(int fd);
client_t *client_connect(const server_t *server);
void client_close(client_t *client);

void send_bytes(client_t *client, const void *data, size_t size);
void send_text(client_t *client, const char *text);

/* Sends a request with a body. "headers": complete lines, or "". */
void send_request(client_t *client, const char *method, const char *path,
                  const char *headers, const void *body, size_t size);

/* Reads more; false at the end of the connection. */
bool read_more(client_t *client);

/* The value of a header of the reply, or NULL. Valid until the thread's next
 * call. */
const char *header_of(const reply_t *reply, const char *name);

/* Reads the head of a reply, without a body. */
reply_t read_head(client_t *client);

/* Reads a reply; one of the status 100 has no body. */
reply_t read_reply(client_t *client);

/* Whether the server has closed the connection: waits for it. */
bool is_closed(client_t *client);

/* One request on a connection of its own, and its reply. */
reply_t exchange(const server_t *server, const char *method, const char *path,
                 const char *headers, const char *body);

#define JSON_TYPE "Content-Type: application/json\r\n"
#define NDJSON_TYPE "Content-Type: application/x-ndjson\r\n"
#define EVENT                                                                  \
  "{\"timestamp\":\"2026-11-24T08:00:00Z\",\"service\":\"s\",\"message\":"     \
  "\"m\"}"
#define BAD_EVENT                                                              \
  "{\"timestamp\":\"2026-11-24T08:00:00Z\",\"service\":\"\",\"message\":"      \
  "\"m\"}"

reply_t post(const server_t *server, const char *body);

/* The headers that every answer carries. */
void check_common(const reply_t *reply);

void reply_fini(reply_t *reply);

/* The status and exactly this body, and what every answer carries. */
void expect(reply_t reply, int status, const char *body);

/* The status, and a body that holds "part". */
void expect_part(reply_t reply, int status, const char *part);

#endif
