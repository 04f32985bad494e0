/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * request - from libmicrohttpd's calls to a route. The first call for a
 * request has its header alone: what can be refused from it is refused there,
 * and the body is not read. Then the body comes in pieces, and a last call asks
 * for the answer. The body is body.c's, waiting wait.c's.
 */
#include "http/private.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/uuid.h"

#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PATH_SHOWN_MAX 200
/* A body of a refused request that is read and dropped. */
#define DROP_MAX ((uint64_t)64 << 10)

size_t au_http_unescape(void *cls, struct MHD_Connection *connection,
                        char *text) {
  (void)cls;
  (void)connection;
  char *to = text;
  for (const char *from = text; *from != '\0'; from++) {
    char byte = *from;
    bool is_escape = byte == '%' && au_hex_read(from + 1, &byte, 1);
    if (is_escape)
      from += 2;
    if (is_escape && byte == '\0') {
      *to++ = (char)0xC0;
      byte = (char)0x80;
    }
    *to++ = byte;
  }
  *to = '\0';
  return (size_t)(to - text);
}

/* --- what a route may ask ---------------------------------------------- */

void *au_request_state(au_request_t *request) { return request->state; }

au_http_t *au_request_server(const au_request_t *request) {
  return request->http;
}

void *au_request_context(const au_request_t *request) {
  return request->http->config.context;
}

const char *au_request_parameter(const au_request_t *request) {
  return request->parameter;
}

const char *au_request_header(const au_request_t *request, const char *name) {
  return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
                                     name);
}

uint64_t au_request_content_length(const au_request_t *request) {
  return request->content_length;
}

double au_request_elapsed_ms(const au_request_t *request) {
  return au_clock_elapsed_ms(request->start_ns);
}

struct MHD_Connection *au_request_connection(const au_request_t *request) {
  return request->connection;
}

int au_request_socket(const au_request_t *request) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(
      request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info != NULL ? info->connect_fd : -1;
}

typedef struct sorting {
  au_parameter_t *known;
  size_t count;
  au_refusals_t *refusals;
} sorting_t;

static enum MHD_Result sort_parameter(void *cls, enum MHD_ValueKind kind,
                                      const char *name, const char *value) {
  (void)kind;
  const sorting_t *sorting = cls;
  au_parameter_sort(sorting->known, sorting->count, name, value,
                    sorting->refusals);
  return MHD_YES;
}

void au_request_parameters(au_request_t *request, au_parameter_t *known,
                           size_t count, au_refusals_t *refusals) {
  sorting_t sorting = {.known = known, .count = count, .refusals = refusals};
  (void)MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND,
                                  sort_parameter, &sorting);
}

/* --- from the header to the end ---------------------------------------- */

/* The client's own when it is 1 to 128 visible ASCII characters. */
static void choose_correlation_id(au_request_t *request) {
  const char *given = au_request_header(request, "X-Correlation-Id");
  size_t size = given != NULL ? strlen(given) : 0;
  bool good = size >= 1 && size <= AU_CORRELATION_ID_MAX;
  for (size_t i = 0; good && i < size; i++)
    good = given[i] > ' ' && given[i] <= '~';
  if (good) {
    memcpy(request->correlation_id, given, size + 1);
    return;
  }
  au_uuid_t id = au_uuid_v4();
  au_uuid_format(&id, request->correlation_id);
}

static uint64_t read_content_length(const au_request_t *request) {
  const char *text = au_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
  if (text == NULL)
    return AU_LENGTH_UNKNOWN;
  uint64_t length = strtoull(text, NULL, 10);
  return length != AU_LENGTH_UNKNOWN ? length : AU_LENGTH_UNKNOWN - 1;
}

/* With the state of its route. */
static au_request_t *request_new(au_loop_t *loop,
                                 struct MHD_Connection *connection,
                                 const au_route_method_t *method,
                                 const char *parameter) {
  size_t state_size = method != NULL ? method->handler->state_size : 0;
  au_request_t *request = calloc(1, sizeof(*request) + state_size);
  if (request == NULL)
    return NULL;
  request->http = loop->listener->http;
  request->loop = loop;
  atomic_fetch_add(&request->http->requests, 1);
  request->connection = connection;
  request->method = method;
  request->start_ns = au_clock_monotonic_ns();
  memcpy(request->parameter, parameter, strlen(parameter) + 1);
  request->is_chunked =
      au_request_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;
  /* Chunks say where the body ends, whatever a length beside them says. */
  request->content_length =
      request->is_chunked ? AU_LENGTH_UNKNOWN : read_content_length(request);
  au_memory_open(&request->http->memory, &request->account);
  request->body.account = &request->account;
  choose_correlation_id(request);
  return request;
}

static void answer_not_found(au_request_t *request, const char *url,
                             const char *method) {
  au_bytes_t message = AU_BYTES_INIT;
  size_t size = strnlen(url, PATH_SHOWN_MAX);
  au_bytes_printf(&message, "Cannot %.20s ", method);
  au_bytes_put(&message, url, size);
  const char *text = au_bytes_text(&message);
  (void)au_answer_refusal(request, AU_ERROR_NOT_FOUND,
                          text != NULL ? text : "Not Found", NULL);
  au_bytes_fini(&message);
}

static void answer_not_allowed(au_request_t *request, const au_route_t *entry) {
  char allow[AU_ALLOW_SIZE];
  au_route_allow(entry, allow);
  const char *const headers[] = {MHD_HTTP_HEADER_ALLOW, allow, NULL};
  (void)au_answer_refusal(request, AU_ERROR_METHOD_NOT_ALLOWED,
                          "Method Not Allowed", headers);
}

/* Whether to drop the body when the request is refused, so that the connection
 * can go on; the rest of a larger one is not waited for. */
static bool has_small_body(const au_request_t *request) {
  if (request->is_chunked)
    return false;
  if (request->content_length == AU_LENGTH_UNKNOWN)
    return true;
  return request->content_length <= DROP_MAX &&
         au_request_header(request, MHD_HTTP_HEADER_EXPECT) == NULL;
}

/* What the loop knows of the connection; NULL: nothing. */
static au_connection_t *connection_of(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info != NULL ? info->socket_context : NULL;
}

/* What the header alone decides. */
static enum MHD_Result begin_request(au_loop_t *loop,
                                     struct MHD_Connection *connection,
                                     const char *url, const char *method,
                                     void **con_cls) {
  const au_http_config_t *config = &loop->listener->http->config;
  char parameter[AU_PARAMETER_MAX + 1];
  const au_route_t *route =
      au_route_find(config->routes, config->routes_count, url, parameter);
  au_method_t kind = au_route_method_of(method);
  bool is_allowed = route != NULL && kind != AU_METHOD_OTHER &&
                    route->method[kind].handler != NULL;
  au_request_t *request = request_new(
      loop, connection, is_allowed ? &route->method[kind] : NULL, parameter);
  *con_cls = request;
  if (request == NULL)
    return MHD_NO;
  au_loop_header_came(connection_of(connection));
  request->is_held = has_small_body(request);
  bool goes_on = false;
  if (route == NULL)
    answer_not_found(request, url, method);
  else if (!is_allowed)
    answer_not_allowed(request, route);
  else
    goes_on =
        au_authorize(request) && (request->method->handler->begin == NULL ||
                                  request->method->handler->begin(request));
  request->is_held = false;
  request->is_body_refused = request->is_answered && request->held == NULL;
  /* If neither, there was no memory for the answer. */
  return goes_on || request->is_answered ? MHD_YES : MHD_NO;
}

enum MHD_Result au_http_handle(void *cls, struct MHD_Connection *connection,
                               const char *url, const char *method,
                               const char *version, const char *upload_data,
                               size_t *upload_data_size, void **con_cls) {
  (void)version;
  au_loop_t *loop = cls;
  au_request_t *request = *con_cls;
  if (request != NULL && request->is_waiting)
    return au_request_check(request);
  loop->has_worked = true;
  if (request == NULL)
    return begin_request(loop, connection, url, method, con_cls);
  size_t size = *upload_data_size;
  *upload_data_size = 0;
  if (request->is_answered) {
    if (au_body_is_late(request))
      return MHD_NO;
    return size == 0 && request->held != NULL ? au_answer_send_held(request)
                                              : MHD_YES;
  }
  if (size > 0)
    return au_body_take(request, upload_data, size) ? MHD_YES : MHD_NO;
  if (atomic_load(&request->pending) == AU_PENDING_COMPLETED)
    return request->resume(request, request->outcome);
  au_body_finish(request);
  return request->method->handler->run(request);
}

void au_http_completed(void *cls, struct MHD_Connection *connection,
                       void **con_cls, enum MHD_RequestTerminationCode code) {
  au_loop_t *loop = cls;
  (void)code;
  loop->has_worked = true;
  au_request_t *request = *con_cls;
  if (request == NULL)
    return;
  *con_cls = NULL;
  const au_route_method_t *method = request->method;
  au_route_label_t label = method != NULL ? method->label : AU_ROUTE_OTHER;
  if (request->held != NULL) { /* the client went away before */
    MHD_destroy_response(request->held);
  } else if (request->is_answered) {
    au_metrics_observe(AU_M_HTTP_DURATION, label,
                       au_clock_elapsed_ms(request->start_ns));
    au_metrics_count_request(label, request->status);
  }
  /* The client may still be sending what nobody will read. */
  if (request->is_body_refused &&
      (request->is_chunked || (request->content_length != AU_LENGTH_UNKNOWN &&
                               request->content_length > 0)))
    au_loop_linger(loop, au_request_socket(request));
  au_loop_header_due(loop, connection_of(connection));
  /* If the client went away while the request was suspended, nobody has checked
   * whether it was completed: what the other thread wrote is seen from here. */
  (void)atomic_load(&request->pending);
  if (method != NULL && method->handler->done != NULL)
    method->handler->done(request);
  au_body_drop(request);
  /* What libmicrohttpd still has of the answer it frees when this returns. */
  au_account_clear(&request->account);
  atomic_fetch_sub(&request->http->requests, 1);
  au_request_release(request);
}

/* libmicrohttpd only asks for a client's certificate. Here the handshake fails
 * without one that the configured authority has signed. */
static void demand_certificate(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
  gnutls_session_t session = info != NULL ? info->tls_session : NULL;
  if (session == NULL)
    return;
  gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
  gnutls_session_set_verify_cert(session, NULL, 0);
}

void au_http_connection(void *cls, struct MHD_Connection *connection,
                        void **socket_context,
                        enum MHD_ConnectionNotificationCode code) {
  au_loop_t *loop = cls;
  loop->has_worked = true;
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  if (code != MHD_CONNECTION_NOTIFY_STARTED)
    au_loop_remove(loop, *socket_context);
  else if (info != NULL)
    *socket_context = au_loop_add(loop, info->connect_fd);
  if (code == MHD_CONNECTION_NOTIFY_STARTED &&
      loop->listener->http->client_ca != NULL)
    demand_certificate(connection);
  au_metrics_add(AU_M_HTTP_CONNECTIONS,
                 code == MHD_CONNECTION_NOTIFY_STARTED ? 1 : -1);
}

/* The client's address for the rate limits: its size, and 0 for a Unix socket.
 */
static size_t address_of(const au_request_t *request, uint8_t address[16]) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(
      request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  if (info == NULL || info->client_addr == NULL)
    return 0;
  bool is_v4 = info->client_addr->sa_family == AF_INET;
  if (!is_v4 && info->client_addr->sa_family != AF_INET6)
    return 0;
  size_t offset = is_v4 ? offsetof(struct sockaddr_in, sin_addr)
                        : offsetof(struct sockaddr_in6, sin6_addr);
  size_t size = is_v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
  memcpy(address, (const char *)info->client_addr + offset, size);
  return size;
}

unsigned au_request_limit(au_request_t *request, uint64_t count) {
  au_rate_limit_t *limit = request->http->rate_limit;
  uint8_t address[16];
  return limit == NULL
             ? 0
             : au_rate_limit_take(limit, address, address_of(request, address),
                                  count, au_clock_monotonic_ns());
}

unsigned au_request_limit_check(au_request_t *request) {
  au_rate_limit_t *limit = request->http->rate_limit;
  uint8_t address[16];
  return limit == NULL
             ? 0
             : au_rate_limit_check(limit, address, address_of(request, address),
                                   au_clock_monotonic_ns());
}

unsigned au_request_limit_address(au_request_t *request) {
  au_rate_limit_t *limit = request->http->rate_limit;
  uint8_t address[16];
  return limit == NULL
             ? 0
             : au_rate_limit_take_address(limit, address,
                                          address_of(request, address),
                                          au_clock_monotonic_ns());
}
