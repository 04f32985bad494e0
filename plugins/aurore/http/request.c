/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * request - from libmicrohttpd's calls to a route. The first call for a
 * request has its header alone: what can be refused from it is refused there,
 * and the body is not read. Then the body comes in pieces, and a last call asks
 * for the answer. The body is body.c's, waiting wait.c's.
 */
#include "http/coding.h"
#include "http/cors.h"
#include "http/private.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/uuid.h"
#include "metrics/exemplars.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
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
static void choose_correlation_id(au_request_t *request, const char *given) {
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

static enum MHD_Result read_coding(void *cls, enum MHD_ValueKind kind,
                                   const char *name, const char *value) {
  (void)kind;
  if (value != NULL && strcasecmp(name, MHD_HTTP_HEADER_ACCEPT_ENCODING) == 0)
    au_coding_read(cls, value);
  return MHD_YES;
}

/* There may be several of these headers. */
static bool takes_gzip(const au_request_t *request) {
  au_coding_t coding = AU_CODING_INIT;
  (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND,
                                  read_coding, &coding);
  return au_coding_is_gzip(&coding);
}

/* What the loop knows of the connection; NULL: nothing. */
static au_connection_t *connection_of(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info != NULL ? info->socket_context : NULL;
}

/* With the state of its route. */
static au_request_t *request_new(au_loop_t *loop,
                                 struct MHD_Connection *connection,
                                 const au_route_method_t *method,
                                 const char *parameter,
                                 const au_framing_t *framing) {
  size_t state_size = method != NULL ? method->handler->state_size : 0;
  au_request_t *request = calloc(1, sizeof(*request) + state_size);
  if (request == NULL)
    return NULL;
  request->http = loop->listener->http;
  request->loop = loop;
  atomic_fetch_add(&request->http->requests, 1);
  request->connection = connection;
  request->peer = connection_of(connection);
  request->method = method;
  request->takes_credentials =
      method != NULL && method->handler->takes_credentials;
  request->start_ns = au_clock_monotonic_ns();
  memcpy(request->parameter, parameter, strlen(parameter) + 1);
  request->is_chunked = framing->is_chunked;
  request->content_length = framing->content_length;
  au_memory_open(&request->http->memory, &request->account);
  request->body.account = &request->account;
  choose_correlation_id(request, framing->correlation_id);
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

/* Whether something else is in the path where an id should be: to a method that
 * the route does not have, that is no path that there is ("/events/upload"). */
static bool has_no_id(const au_request_t *request) {
  au_uuid_t id;
  const char *text = request->parameter;
  return *text != '\0' && !au_uuid_parse(text, strlen(text), &id);
}

static bool has_body(const au_request_t *request) {
  return request->is_chunked || (request->content_length != AU_LENGTH_UNKNOWN &&
                                 request->content_length > 0);
}

typedef struct keeping {
  bool stays; /* with HTTP/1.1 unless it says something else */
  bool is_closed;
} keeping_t;

static enum MHD_Result read_connection(void *cls, enum MHD_ValueKind kind,
                                       const char *name, const char *value) {
  (void)kind;
  keeping_t *keeping = cls;
  if (value == NULL || strcasecmp(name, MHD_HTTP_HEADER_CONNECTION) != 0)
    return MHD_YES;
  for (const char *from = value; *from != '\0';) {
    from += strspn(from, ", \t");
    size_t size = strcspn(from, ", \t");
    if (size == 5 && strncasecmp(from, "close", size) == 0)
      keeping->is_closed = true;
    if (size == 10 && strncasecmp(from, "keep-alive", size) == 0)
      keeping->stays = true;
    from += size;
  }
  return MHD_YES;
}

/* As libmicrohttpd judges it. */
static bool wants_to_stay(const au_request_t *request, const char *version) {
  bool is_new = strcmp(version, MHD_HTTP_VERSION_1_1) == 0;
  keeping_t keeping = {.stays = is_new};
  (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND,
                                  read_connection, &keeping);
  return keeping.stays && !keeping.is_closed;
}

/* A request that is refused before its body is read ends its connection. */
bool au_request_stays_open(const au_request_t *request) {
  return request->wants_to_stay && (request->is_begun || !has_body(request));
}

/* Whether to drop the body when the request is refused, so that the connection
 * can go on; the rest of a larger one is not waited for. */
static bool has_small_body(const au_request_t *request,
                           const au_framing_t *framing) {
  return !has_body(request) ||
         (!request->is_chunked && request->content_length <= DROP_MAX &&
          !framing->has_expectation);
}

void *au_http_target(void *cls, const char *target,
                     struct MHD_Connection *connection) {
  (void)cls;
  au_connection_t *known = connection_of(connection);
  if (known == NULL)
    return NULL;
  au_framing_read_target(target, &known->target);
  au_connection_keep_query(known, known->target.fault == NULL ? target : NULL);
  return NULL; /* there is no request yet */
}

const char *au_request_query(const au_request_t *request) {
  const au_connection_t *peer = request->peer;
  if (peer->lacks_query)
    return NULL;
  return peer->query != NULL ? peer->query : "";
}

/* Nothing that follows is read, so that none of it is run as a request. */
static enum MHD_Result refuse_framing(au_request_t *request,
                                      const au_framing_fault_t *fault,
                                      const char *method) {
  static const char *const headers[] = {MHD_HTTP_HEADER_CONNECTION, "close",
                                        NULL};
  request->is_body_refused = true;
  if (fault->fills_memory)
    return au_direct_refusal(request, fault->code, fault->message,
                             strcmp(method, MHD_HTTP_METHOD_HEAD) != 0);
  return au_answer_refusal(request, fault->code, fault->message, headers);
}

/* What the header alone decides; "route" is NULL when there is none. */
static enum MHD_Result judge_header(au_request_t *request,
                                    const au_route_t *route,
                                    const au_framing_t *framing,
                                    const char *method) {
  request->is_get = au_route_method_of(method) == AU_METHOD_GET;
  request->takes_gzip = request->is_get && takes_gzip(request);
  au_connection_enter(request->peer, AU_CONNECTION_BODY);
  request->is_held = has_small_body(request, framing);
  bool goes_on = false;
  bool is_options = strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0;
  if (is_options && (route != NULL || strcmp(framing->path, "*") == 0))
    (void)au_cors_answer_options(request, route);
  else if (route == NULL || (request->method == NULL && has_no_id(request)))
    answer_not_found(request, framing->path, method);
  else if (request->method == NULL)
    answer_not_allowed(request, route);
  else
    goes_on =
        au_authorize(request) && (request->method->handler->begin == NULL ||
                                  request->method->handler->begin(request));
  request->is_held = false;
  request->is_begun = true;
  request->is_body_refused =
      request->is_answered && request->held == NULL && has_body(request);
  if (request->held != NULL ||
      (goes_on && request->method->handler->body == NULL))
    au_connection_enter(request->peer, AU_CONNECTION_DROPPING);
  /* If neither, there was no memory for the answer. */
  return goes_on || request->is_answered ? MHD_YES : MHD_NO;
}

/* How it is refused, whatever the method. */
static const au_refusal_t *refusal_of(const au_route_t *route) {
  for (int i = 0; route != NULL && i < AU_METHOD_COUNT; i++)
    if (route->method[i].handler != NULL &&
        route->method[i].handler->refusal != NULL)
      return route->method[i].handler->refusal;
  return NULL;
}

static enum MHD_Result
begin_request(au_loop_t *loop, const au_framing_head_t *head, void **con_cls) {
  const au_http_config_t *config = &loop->listener->http->config;
  au_connection_t *known = connection_of(head->connection);
  if (known == NULL) /* there was no memory for it */
    return MHD_NO;
  char parameter[AU_PARAMETER_MAX + 1] = "";
  au_framing_t framing;
  const au_framing_fault_t *fault =
      au_framing_read(head, &known->target, &framing);
  const au_route_t *route = au_route_find(config->routes, config->routes_count,
                                          framing.path, parameter);
  au_method_t kind = au_route_method_of(head->method);
  bool is_allowed = fault == NULL && route != NULL && kind != AU_METHOD_OTHER &&
                    route->method[kind].handler != NULL;
  au_request_t *request = request_new(loop, head->connection,
                                      is_allowed ? &route->method[kind] : NULL,
                                      parameter, &framing);
  *con_cls = request;
  if (request == NULL)
    return MHD_NO;
  request->refusal = refusal_of(route);
  request->wants_to_stay =
      fault == NULL && wants_to_stay(request, head->version);
  return fault != NULL ? refuse_framing(request, fault, head->method)
                       : judge_header(request, route, &framing, head->method);
}

/* The last call before the answer. */
static enum MHD_Result finish_request(au_request_t *request,
                                      const au_framing_head_t *head) {
  const au_framing_fault_t *fault =
      request->is_chunked ? au_framing_read_trailer(head->connection) : NULL;
  if (fault != NULL)
    return refuse_framing(request, fault, head->method);
  au_connection_enter(request->peer, AU_CONNECTION_WORKING);
  au_body_finish(request);
  return request->method->handler->run(request);
}

enum MHD_Result au_http_handle(void *cls, struct MHD_Connection *connection,
                               const char *url, const char *method,
                               const char *version, const char *upload_data,
                               size_t *upload_data_size, void **con_cls) {
  au_loop_t *loop = cls;
  au_request_t *request = *con_cls;
  if (request != NULL && request->is_waiting)
    return au_request_check(request);
  loop->has_worked = true;
  const au_framing_head_t head = {.connection = connection,
                                  .method = method,
                                  .url = url,
                                  .version = version,
                                  .is_library_lenient =
                                      loop->listener->http->is_library_lenient};
  if (request == NULL)
    return begin_request(loop, &head, con_cls);
  size_t size = *upload_data_size;
  *upload_data_size = 0;
  if (request->is_answered) {
    au_connection_count_body(request->peer, size);
    return size == 0 && request->held != NULL ? au_answer_send_held(request)
                                              : MHD_YES;
  }
  if (size > 0)
    return au_body_take(request, upload_data, size) ? MHD_YES : MHD_NO;
  if (atomic_load(&request->pending) == AU_PENDING_COMPLETED)
    return au_request_resume(request);
  return finish_request(request, &head);
}

void au_http_completed(void *cls, struct MHD_Connection *connection,
                       void **con_cls, enum MHD_RequestTerminationCode code) {
  au_loop_t *loop = cls;
  (void)connection;
  (void)code;
  loop->has_worked = true;
  au_request_t *request = *con_cls;
  if (request == NULL)
    return;
  *con_cls = NULL;
  const au_route_method_t *method = request->method;
  au_route_label_t label = method != NULL ? method->label : AU_ROUTE_OTHER;
  if (request->is_answered && request->held == NULL) {
    double ms = au_clock_elapsed_ms(request->start_ns);
    au_metrics_observe(AU_M_HTTP_DURATION, label, ms);
    au_exemplars_keep(label, ms, au_request_header(request, "traceparent"));
    au_metrics_count_request(label, request->status);
  }
  /* The client may still be sending what nobody will read. */
  if (request->is_body_refused)
    au_loop_linger(loop, request->peer);
  au_connection_keep_query(request->peer, NULL);
  au_connection_enter(request->peer, AU_CONNECTION_IDLE);
  /* If the client went away while the request was suspended, nobody has checked
   * whether it was completed: what the other thread wrote is seen from here. */
  (void)atomic_load(&request->pending);
  if (method != NULL && method->handler->done != NULL)
    method->handler->done(request);
  au_body_drop(request);
  au_answer_drop(request);
  /* What libmicrohttpd still has of the answer it frees when this returns. */
  au_account_clear(&request->account);
  atomic_fetch_sub(&request->http->requests, 1);
  au_request_release(request);
}

/* It has the place that was taken for it when it was accepted. */
static au_connection_t *
open_connection(au_loop_t *loop, struct MHD_Connection *connection, int fd) {
  const au_http_t *http = loop->listener->http;
  au_connection_t *known =
      au_connection_add(&loop->connections, fd, loop->accepting);
  if (known != NULL) {
    au_tls_begin(http->tls, connection, fd, &known->tls);
  } else {
    au_places_give(http->places, loop->accepting);
    shutdown(fd, SHUT_RDWR); /* nothing bounds its time */
  }
  loop->accepting = AU_PLACE_NONE;
  return known;
}

void au_http_connection(void *cls, struct MHD_Connection *connection,
                        void **socket_context,
                        enum MHD_ConnectionNotificationCode code) {
  au_loop_t *loop = cls;
  loop->has_worked = true;
  const au_http_t *http = loop->listener->http;
  bool is_new = code == MHD_CONNECTION_NOTIFY_STARTED;
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  if (!is_new) {
    au_connection_remove(&loop->connections, *socket_context, http->places);
  } else if (info != NULL) {
    *socket_context = open_connection(loop, connection, info->connect_fd);
  }
  au_metrics_add(AU_M_HTTP_CONNECTIONS, is_new ? 1 : -1);
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
