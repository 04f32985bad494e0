/* SPDX-License-Identifier: MIT */
#include "support/http_client.h"

#include <strings.h>

static void set_value(server_t *server, const char *name, au_given_t value) {
  char error[512] = "";
  /* A test may change what the set-up has set. */
  memset(server->options.is_set, 0, sizeof(server->options.is_set));
  ck_assert_msg(au_options_set(&server->options, AU_SIDE_BUFFER, name, &value,
                               error, sizeof(error)) == AU_OK,
                "%s", error);
}

void set_option(server_t *server, const char *name, const char *text) {
  set_value(server, name,
            (au_given_t){.type = AU_VALUE_STRING, .string = text});
}

void set_number(server_t *server, const char *name, double number) {
  set_value(server, name,
            (au_given_t){.type = AU_VALUE_NUMBER, .number = number});
}

void server_prepare(server_t *server) {
  memset(server, 0, sizeof(*server));
  au_metrics_reset();
  strcpy(server->directory, "/tmp/check_http_XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(server->directory));
  snprintf(server->socket, sizeof(server->socket), "%s/socket",
           server->directory);
  ck_assert_int_eq(au_options_init(&server->options), AU_OK);
  char listen[96];
  snprintf(listen, sizeof(listen), "unix:%s", server->socket);
  set_option(server, "Listen", listen);
}

au_status_t server_try_start(server_t *server, char *error, size_t error_size) {
  au_api_init(&server->api, &server->options, server->buffer, NULL);
  const au_http_config_t config = {.options = &server->options,
                                   .routes = au_routes,
                                   .routes_count = au_routes_count,
                                   .context = &server->api};
  au_status_t status = au_http_start(&config, &server->http, error, error_size);
  if (status != AU_OK)
    au_api_fini(&server->api);
  return status;
}

void server_start(server_t *server) {
  char error[512] = "";
  ck_assert_msg(au_options_finish(&server->options, AU_SIDE_BUFFER, error,
                                  sizeof(error)) == AU_OK,
                "%s", error);
  server->buffer = fake_buffer_open();
  ck_assert_msg(server_try_start(server, error, sizeof(error)) == AU_OK, "%s",
                error);
}

void server_stop(server_t *server) {
  au_http_stop(server->http);
  ck_assert_uint_eq(au_http_memory_held(server->http), 0);
  au_http_destroy(server->http);
  au_api_fini(&server->api);
  fake_buffer_close();
  au_options_fini(&server->options);
  unlink(server->socket);
  ck_assert_int_eq(rmdir(server->directory), 0);
}

uint64_t rejected(au_reason_t reason) {
  return au_metrics_counter(AU_M_EVENTS_REJECTED, reason);
}

client_t *client_of(int fd) {
  client_t *client = malloc(sizeof(*client));
  ck_assert_ptr_nonnull(client);
  client->fd = fd;
  client->size = 0;
  return client;
}

client_t *client_connect(const server_t *server) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  ck_assert_uint_lt(strlen(server->socket), sizeof(address.sun_path));
  strcpy(address.sun_path, server->socket);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ck_assert_int_ge(fd, 0);
  ck_assert_msg(
      connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0,
      "connect: %s", strerror(errno));
  return client_of(fd);
}

void client_close(client_t *client) {
  close(client->fd);
  free(client);
}

void send_bytes(client_t *client, const void *data, size_t size) {
  const char *at = data;
  while (size > 0) {
    ssize_t sent = send(client->fd, at, size, MSG_NOSIGNAL);
    ck_assert_msg(sent > 0, "send: %s", strerror(errno));
    at += sent;
    size -= (size_t)sent;
  }
}

void send_text(client_t *client, const char *text) {
  send_bytes(client, text, strlen(text));
}

void send_request(client_t *client, const char *method, const char *path,
                  const char *headers, const void *body, size_t size) {
  char head[16384];
  int length =
      snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: test\r\n%s", method,
               path, headers);
  if (body != NULL)
    length += snprintf(head + length, sizeof(head) - (size_t)length,
                       "Content-Length: %zu\r\n", size);
  length += snprintf(head + length, sizeof(head) - (size_t)length, "\r\n");
  char *all = malloc((size_t)length + size);
  ck_assert_ptr_nonnull(all);
  memcpy(all, head, (size_t)length);
  if (size > 0)
    memcpy(all + length, body, size);
  send_bytes(client, all, (size_t)length + size);
  free(all);
}

bool read_more(client_t *client) {
  struct pollfd fds = {.fd = client->fd, .events = POLLIN};
  ck_assert_msg(poll(&fds, 1, PATIENCE_MS) == 1, "nothing came");
  ck_assert_uint_lt(client->size, REPLY_MAX);
  ssize_t got =
      recv(client->fd, client->in + client->size, REPLY_MAX - client->size, 0);
  if (got <= 0)
    return false;
  client->size += (size_t)got;
  return true;
}

const char *header_of(const reply_t *reply, const char *name) {
  static _Thread_local char value[8192];
  size_t size = strlen(name);
  for (const char *line = strstr(reply->head, "\r\n"); line != NULL;
       line = strstr(line, "\r\n")) {
    line += 2;
    if (strncasecmp(line, name, size) != 0 || line[size] != ':')
      continue;
    const char *from = line + size + 1;
    from += strspn(from, " ");
    size_t length = strcspn(from, "\r");
    memcpy(value, from, length);
    value[length] = '\0';
    return value;
  }
  return NULL;
}

static void take(client_t *client, size_t size) {
  memmove(client->in, client->in + size, client->size - size);
  client->size -= size;
}

reply_t read_head(client_t *client) {
  reply_t reply = {.status = 0};
  const char *end = NULL;
  while ((end = memmem(client->in, client->size, "\r\n\r\n", 4)) == NULL)
    ck_assert_msg(read_more(client), "the connection ended");
  size_t size = (size_t)(end - client->in) + 4;
  ck_assert_uint_lt(size, sizeof(reply.head));
  memcpy(reply.head, client->in, size);
  reply.head[size] = '\0';
  take(client, size);
  ck_assert_int_eq(sscanf(reply.head, "HTTP/1.1 %d ", &reply.status), 1);
  return reply;
}

reply_t read_reply(client_t *client) {
  reply_t reply = read_head(client);
  if (reply.status == 100)
    return reply;
  const char *length = header_of(&reply, "Content-Length");
  ck_assert_ptr_nonnull(length);
  reply.body_size = strtoul(length, NULL, 10);
  while (client->size < reply.body_size)
    ck_assert_msg(read_more(client), "the connection ended");
  reply.body = malloc(reply.body_size + 1);
  ck_assert_ptr_nonnull(reply.body);
  memcpy(reply.body, client->in, reply.body_size);
  reply.body[reply.body_size] = '\0';
  take(client, reply.body_size);
  return reply;
}

bool is_closed(client_t *client) {
  return client->size == 0 && !read_more(client);
}

reply_t exchange(const server_t *server, const char *method, const char *path,
                 const char *headers, const char *body) {
  client_t *client = client_connect(server);
  send_request(client, method, path, headers, body,
               body != NULL ? strlen(body) : 0);
  reply_t reply = read_reply(client);
  client_close(client);
  return reply;
}

reply_t post(const server_t *server, const char *body) {
  return exchange(server, "POST", "/events", JSON_TYPE, body);
}

void check_common(const reply_t *reply) {
  ck_assert_str_eq(header_of(reply, "X-Content-Type-Options"), "nosniff");
  ck_assert_str_eq(header_of(reply, "Cache-Control"), "no-store");
  ck_assert_ptr_nonnull(header_of(reply, "X-Correlation-Id"));
}

void reply_fini(reply_t *reply) {
  free(reply->body);
  reply->body = NULL;
}

static void expect_common(const reply_t *reply, int status) {
  ck_assert_msg(reply->status == status, "%d instead of %d: %s", reply->status,
                status, reply->body);
  check_common(reply);
}

void expect(reply_t reply, int status, const char *body) {
  expect_common(&reply, status);
  ck_assert_str_eq(reply.body, body);
  reply_fini(&reply);
}

void expect_part(reply_t reply, int status, const char *part) {
  expect_common(&reply, status);
  ck_assert_msg(strstr(reply.body, part) != NULL, "%s has no %s", reply.body,
                part);
  reply_fini(&reply);
}
