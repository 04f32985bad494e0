/* SPDX-License-Identifier: MIT
 *
 * request - from libmicrohttpd's calls to a route. The first call for a
 * request has its header alone: what can be refused from it is refused there,
 * and the body is not read. Then the body comes in pieces, and a last call asks
 * for the answer.
 */
#include "http/private.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define NO_LENGTH UINT64_MAX
#define PATH_SHOWN_MAX 200
/* A body that came in pieces is gathered; the buffer starts no larger. */
#define TOLD_FIRST ((uint64_t)1 << 20)
#define UNTOLD_FIRST ((uint64_t)64 << 10)
#define DROP_MAX ((uint64_t)64 << 10)

static int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = (char)(c | ' ');
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t au_http_unescape(void *cls, struct MHD_Connection *connection,
                        char *text) {
  (void)cls;
  (void)connection;
  char *to = text;
  for (const char *from = text; *from != '\0'; from++) {
    int high = *from == '%' ? hex_digit(from[1]) : -1;
    int low = high >= 0 ? hex_digit(from[2]) : -1;
    if (low >= 0 && high + low == 0) {
      *to++ = (char)0xC0;
      *to++ = (char)0x80;
      from += 2;
    } else if (low >= 0) {
      *to++ = (char)(high << 4 | low);
      from += 2;
    } else {
      *to++ = *from;
    }
  }
  *to = '\0';
  return (size_t)(to - text);
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

static au_request_t *request_new(au_loop_t *loop,
                                 struct MHD_Connection *connection) {
  au_request_t *request = calloc(1, sizeof(*request));
  if (request == NULL)
    return NULL;
  au_http_t *http = loop->listener->http;
  request->http = http;
  request->loop = loop;
  atomic_fetch_add(&http->requests, 1);
  request->connection = connection;
  request->waiter.done = au_request_told;
  request->start_ns = au_clock_monotonic_ns();
  request->content_length = NO_LENGTH;
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
  (void)au_answer_status(request, MHD_HTTP_NOT_FOUND,
                         text != NULL ? text : "Not Found", "Not Found", NULL);
  au_bytes_fini(&message);
}

static void answer_not_allowed(au_request_t *request, const au_route_t *entry) {
  char allow[AU_ALLOW_SIZE];
  au_route_allow(entry, allow);
  const char *const headers[] = {MHD_HTTP_HEADER_ALLOW, allow, NULL};
  (void)au_answer_status(request, MHD_HTTP_METHOD_NOT_ALLOWED,
                         "Method Not Allowed", NULL, headers);
}

/* false: the request has been answered. */
static bool authorize(au_request_t *request) {
  const au_http_t *http = request->http;
  au_scope_t scope = request->method->scope;
  if (http->tokens == NULL || scope == AU_SCOPE_NONE)
    return true;
  int scopes = au_tokens_scopes(
      http->tokens, au_request_header(request, MHD_HTTP_HEADER_AUTHORIZATION));
  if (scopes >= 0 && (scopes & (int)scope) != 0)
    return true;
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_UNAUTHORIZED, 1);
  if (scopes >= 0) {
    (void)au_answer_status(request, MHD_HTTP_FORBIDDEN,
                           "the token does not have the scope for this",
                           "Forbidden", NULL);
    return false;
  }
  static const char *const headers[] = {MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                        "Bearer", NULL};
  (void)au_answer_status(request, MHD_HTTP_UNAUTHORIZED,
                         "a valid token is required", "Unauthorized", headers);
  return false;
}

/* What the header alone decides. */
static void begin(au_request_t *request, const char *url, const char *method) {
  const au_route_t *entry =
      au_route_find(au_routes, au_routes_count, url, request->parameter);
  if (entry == NULL) {
    answer_not_found(request, url, method);
    return;
  }
  au_method_t kind = au_route_method_of(method);
  if (kind == AU_METHOD_OTHER || entry->method[kind].run == NULL) {
    answer_not_allowed(request, entry);
    return;
  }
  request->method = &entry->method[kind];
  if (!authorize(request))
    return;
  if (request->method->begin != NULL)
    (void)request->method->begin(request);
}

/* A body that is dropped when the request is refused, so that the connection
 * can go on; the rest of a larger one is not waited for. */
static bool has_small_body(const au_request_t *request) {
  const char *length =
      au_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
  if (au_request_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL)
    return false;
  if (length == NULL)
    return true;
  return strtoull(length, NULL, 10) <= DROP_MAX &&
         au_request_header(request, MHD_HTTP_HEADER_EXPECT) == NULL;
}

/* The body trickles in: closed, as an idle connection would be. */
static bool is_late(const au_request_t *request) {
  return au_clock_monotonic_ns() - request->start_ns >
         request->http->request_timeout_ns;
}

/* Takes memory for a body of "size" bytes from what all bodies share. */
static bool claim(au_request_t *request, uint64_t size) {
  au_http_t *http = request->http;
  if (size <= request->gathered)
    return true;
  uint64_t more = size - request->gathered;
  if (atomic_fetch_add(&http->gathered, more) + more > http->gather_max) {
    atomic_fetch_sub(&http->gathered, more);
    return false;
  }
  request->gathered = size;
  return true;
}

/* Room for the next piece: for a body of usual size at once when its size is
 * told, else it is doubled; what is told need not be true. */
static bool make_room(au_request_t *request, size_t size) {
  uint64_t most = request->http->options->limits.max_body_bytes;
  uint64_t need = request->body.size + size;
  uint64_t wanted = request->gathered;
  if (most > request->content_length)
    most = request->content_length;
  if (wanted == 0)
    wanted = request->content_length == NO_LENGTH ? UNTOLD_FIRST : TOLD_FIRST;
  while (wanted < need)
    wanted *= 2;
  if (wanted > most)
    wanted = most;
  if (!claim(request, wanted))
    return false;
  if (request->body.capacity < wanted)
    au_bytes_reserve(&request->body, wanted - request->body.size);
  return true;
}

static void drop_body(au_request_t *request) {
  au_bytes_fini(&request->body);
  atomic_fetch_sub(&request->http->gathered, request->gathered);
  request->gathered = 0;
}

/* A piece of the body. */
static bool take_body(au_request_t *request, const char *data, size_t size) {
  const au_http_t *http = request->http;
  if (is_late(request))
    return false;
  if (request->is_too_large || request->is_crowded_out)
    return true;
  if (request->body.size == 0 && !request->is_gzip &&
      size == request->content_length) {
    au_route_events_parse(request, data, size);
    return true;
  }
  request->is_too_large =
      request->body.size + size > http->options->limits.max_body_bytes;
  request->is_crowded_out = !request->is_too_large && !make_room(request, size);
  if (request->is_too_large || request->is_crowded_out) {
    drop_body(request);
    return true;
  }
  au_bytes_put(&request->body, data, size);
  return !request->body.failed;
}

/* What the loop knows of the connection; NULL: nothing. */
static au_connection_t *connection_of(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info != NULL ? info->socket_context : NULL;
}

enum MHD_Result au_http_handle(void *cls, struct MHD_Connection *connection,
                               const char *url, const char *method,
                               const char *version, const char *upload_data,
                               size_t *upload_data_size, void **con_cls) {
  (void)version;
  au_loop_t *loop = cls;
  au_request_t *request = *con_cls;
  if (request != NULL && au_request_is_waiting(request))
    return au_request_look_again(request);
  loop->has_worked = true;
  if (request == NULL) {
    request = request_new(loop, connection);
    *con_cls = request;
    if (request == NULL)
      return MHD_NO;
    au_loop_header_came(connection_of(connection));
    request->is_held = has_small_body(request);
    begin(request, url, method);
    request->is_held = false;
    request->body_refused = request->answered && request->held == NULL;
    /* A request without an answer and without a body to come ran out of
     * memory. */
    return request->answered || request->method != NULL ? MHD_YES : MHD_NO;
  }
  if (request->answered) {
    bool is_last = *upload_data_size == 0;
    *upload_data_size = 0;
    if (is_late(request))
      return MHD_NO;
    return is_last && request->held != NULL ? au_answer_send_held(request)
                                            : MHD_YES;
  }
  if (*upload_data_size > 0) {
    bool good = take_body(request, upload_data, *upload_data_size);
    *upload_data_size = 0;
    return good ? MHD_YES : MHD_NO;
  }
  if (atomic_load(&request->pending) == AU_PENDING_TOLD)
    return request->resume(request);
  return request->method->run(request);
}

void au_http_give_back_ingest(au_request_t *request) {
  au_http_t *http = request->http;
  au_ingest_t *ingest = request->ingest;
  request->ingest = NULL;
  if (ingest == NULL)
    return;
  pthread_mutex_lock(&http->pool_lock);
  bool kept = http->pooled < AU_INGEST_POOL;
  if (kept)
    http->pool[http->pooled++] = ingest;
  pthread_mutex_unlock(&http->pool_lock);
  if (kept)
    return;
  au_ingest_fini(ingest);
  free(ingest);
}

bool au_http_take_ingest(au_request_t *request) {
  au_http_t *http = request->http;
  pthread_mutex_lock(&http->pool_lock);
  if (http->pooled > 0)
    request->ingest = http->pool[--http->pooled];
  pthread_mutex_unlock(&http->pool_lock);
  if (request->ingest != NULL)
    return true;
  au_ingest_t *ingest = calloc(1, sizeof(*ingest));
  if (ingest == NULL ||
      au_ingest_init(ingest, &http->options->limits) != AU_OK) {
    free(ingest);
    return false;
  }
  request->ingest = ingest;
  return true;
}

/* The client may still be sending what nobody will read. */
static void linger(const au_request_t *request,
                   struct MHD_Connection *connection) {
  const char *length =
      au_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
  const char *coding =
      au_request_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING);
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  if (info != NULL &&
      (coding != NULL || (length != NULL && strcmp(length, "0") != 0)))
    au_loop_linger(request->loop, info->connect_fd);
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
  if (request->held != NULL)
    au_answer_forget_held(request); /* the client went away before */
  au_route_label_t label =
      request->method != NULL ? request->method->label : AU_ROUTE_OTHER;
  if (request->answered) {
    au_metrics_observe(AU_M_HTTP_DURATION, label,
                       au_clock_elapsed_ms(request->start_ns));
    au_metrics_count_request(label, request->status);
  }
  if (request->body_refused)
    linger(request, connection);
  au_loop_header_due(loop, connection_of(connection));
  au_http_give_back_ingest(request);
  au_request_forget_question(request);
  drop_body(request);
  au_bytes_fini(&request->accepted);
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
  const au_http_t *http = loop->listener->http;
  loop->has_worked = true;
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  if (code != MHD_CONNECTION_NOTIFY_STARTED)
    au_loop_remove(loop, *socket_context);
  else if (info != NULL)
    *socket_context = au_loop_add(loop, info->connect_fd);
  if (code == MHD_CONNECTION_NOTIFY_STARTED && http->client_ca != NULL)
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
  /* By memcpy: a sockaddr is read as what its family says it is. */
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  if (info->client_addr->sa_family == AF_INET) {
    memcpy(&v4, info->client_addr, sizeof(v4));
    memcpy(address, &v4.sin_addr, sizeof(v4.sin_addr));
    return sizeof(v4.sin_addr);
  }
  if (info->client_addr->sa_family != AF_INET6)
    return 0;
  memcpy(&v6, info->client_addr, sizeof(v6));
  memcpy(address, &v6.sin6_addr, sizeof(v6.sin6_addr));
  return sizeof(v6.sin6_addr);
}

unsigned au_http_limit_events(au_request_t *request, uint64_t events) {
  au_http_t *http = request->http;
  if (http->rate_limit == NULL)
    return 0;
  uint8_t address[16];
  size_t size = address_of(request, address);
  return au_rate_limit_take(http->rate_limit, address, size, events,
                            au_clock_monotonic_ns());
}

unsigned au_http_limit_look(au_request_t *request) {
  au_http_t *http = request->http;
  if (http->rate_limit == NULL)
    return 0;
  uint8_t address[16];
  size_t size = address_of(request, address);
  return au_rate_limit_look(http->rate_limit, address, size,
                            au_clock_monotonic_ns());
}
