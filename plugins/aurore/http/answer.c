/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/. */
#include "http/coding.h"
#include "http/cors.h"
#include "http/private.h"

#include "base/block.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A larger body is packed by the thread that makes it, or not at all: this one
 * takes the request thread about as long as parsing a request of the same size.
 */
#define PACKED_HERE_MAX ((size_t)1 << 20)

static void add_header(struct MHD_Response *response, const char *name,
                       const char *value) {
  /* MHD_NO: out of memory, or a value that cannot be a header. An answer
   * without it is better than none. */
  (void)MHD_add_response_header(response, name, value);
}

/* An answer that is refused for want of memory may itself have so much. */
#define ALWAYS_MAX ((size_t)4 << 10)

/* Charges the answer to the request, which holds it until it has been sent. */
static bool charge(au_request_t *request, const au_bytes_t *body) {
  au_account_t *account = &request->account;
  if (body->account == account)
    return true; /* as it grew */
  if (au_account_charge(account, body->capacity))
    return true;
  if (body->capacity > ALWAYS_MAX)
    return false;
  au_account_charge_anyway(account, body->capacity);
  return true;
}

/* What libmicrohttpd holds of an answer. */
typedef struct sent {
  void *data;
  size_t capacity;
} sent_t;

static void free_sent(void *cls) {
  sent_t *sent = cls;
  au_block_free(sent->data, sent->capacity);
  free(sent);
}

/* Takes the body, which is charged, in any case. NULL: out of memory. */
static struct MHD_Response *make_response(au_bytes_t *body) {
  struct MHD_Response *response = NULL;
  sent_t *sent = malloc(sizeof(*sent));
  if (sent != NULL)
    response = MHD_create_response_from_buffer_with_free_callback_cls(
        body->size, body->data, free_sent, sent);
  if (response != NULL) {
    sent->data = au_bytes_give_away(body, &sent->capacity);
    return response;
  }
  free(sent);
  au_bytes_fini(body);
  return NULL;
}

void au_answer_pack(au_request_t *request, au_bytes_t *body) {
  if (request->takes_gzip && body->size > AU_CODING_MIN && au_coding_pack(body))
    request->packed = body->data;
}

static bool is_packed(const au_request_t *request, const au_bytes_t *body) {
  return body->data != NULL && request->packed == body->data;
}

/* The headers on which the answer depends; NULL: none. */
static const char *vary_of(const au_request_t *request,
                           const au_bytes_t *body) {
  bool is_shared = request->http->options->allow_origins > 0;
  if (request->is_get &&
      (is_packed(request, body) || body->size > AU_CODING_MIN))
    return is_shared ? "Origin, Accept-Encoding" : "Accept-Encoding";
  return is_shared ? "Origin" : NULL;
}

/* Tells the client for how long the connection stays open, if it does. Nobody
 * is to come back while the server is about to go. A reply says so already. */
static void add_keep_alive(const au_request_t *request,
                           struct MHD_Response *response) {
  const char *keep_alive = request->http->keep_alive;
  bool stays = *keep_alive != '\0' && au_request_stays_open(request);
  bool is_leaving = au_http_is_leaving(request->http);
  if (request->reply != NULL) {
    if (stays && !is_leaving)
      return;
    au_reply_end_keep_alive(request->reply, keep_alive);
  }
  if (!stays ||
      MHD_get_response_header(response, MHD_HTTP_HEADER_CONNECTION) != NULL)
    return;
  if (is_leaving)
    add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
  else
    add_header(response, "Keep-Alive", keep_alive);
}

static const char *const retry_later[] = {MHD_HTTP_HEADER_RETRY_AFTER,
                                          AU_RETRY_AFTER_S, NULL};

/* Returns the type. */
static const char *put_refusal(const au_request_t *request,
                               au_error_code_t code, const char *message,
                               au_bytes_t *body) {
  if (request->refusal != NULL)
    return request->refusal->put(request, code, message, body);
  au_error_put(body, code, message);
  au_bytes_put_u8(body, '}');
  return AU_JSON_TYPE;
}

/* The place of an answer for which there is no room. Returns its type. */
static const char *put_no_room(const au_request_t *request, au_bytes_t *body) {
  au_bytes_fini(body);
  *body = (au_bytes_t)AU_BYTES_INIT;
  return put_refusal(request, AU_ERROR_SERVICE_UNAVAILABLE, AU_NO_MEMORY, body);
}

static void add_headers(const au_request_t *request,
                        struct MHD_Response *response,
                        const char *const *headers) {
  unsigned max_s =
      request->refusal != NULL ? request->refusal->retry_after_max_s : UINT_MAX;
  char seconds[16];
  for (size_t i = 0; headers != NULL && headers[i] != NULL; i += 2) {
    const char *value = headers[i + 1];
    if (strcmp(headers[i], MHD_HTTP_HEADER_RETRY_AFTER) == 0 &&
        strtoul(value, NULL, 10) > max_s) {
      snprintf(seconds, sizeof(seconds), "%u", max_s);
      value = seconds;
    }
    add_header(response, headers[i], value);
  }
}

/* The value of Retry-After, if there is no other header; "" for none at all;
 * NULL: there is more. */
static const char *retry_after_alone(const char *const *headers) {
  if (headers == NULL || headers[0] == NULL)
    return "";
  bool is_alone = headers[2] == NULL &&
                  strcmp(headers[0], MHD_HTTP_HEADER_RETRY_AFTER) == 0 &&
                  strlen(headers[1]) < AU_REPLY_RETRY_AFTER_SIZE;
  return is_alone ? headers[1] : NULL;
}

/* Takes the body if the answer is one that is often given (http/reply.h).
 * false: it is another one, or there is no memory for it. */
static bool take_reply(au_request_t *request, const char *content_type,
                       au_bytes_t *body, const char *const *headers) {
  const au_http_t *http = request->http;
  const char *retry_after = retry_after_alone(headers);
  if (request->is_get || request->refusal != NULL ||
      http->options->allow_origins > 0 || !request->wants_to_stay ||
      au_http_is_leaving(http) || body->failed || body->size == 0 ||
      body->size > AU_REPLY_BODY_MAX || retry_after == NULL ||
      content_type == NULL || strcmp(content_type, AU_JSON_TYPE) != 0)
    return false;
  const au_reply_text_t text = {.body = body->data,
                                .size = body->size,
                                .correlation_id = request->correlation_id,
                                .retry_after = retry_after,
                                .keep_alive = http->keep_alive};
  request->reply = au_reply_take(&request->loop->replies, &text);
  if (request->reply != NULL)
    au_bytes_fini(body);
  return request->reply != NULL;
}

/* Sends the answer, or keeps it for the last call. */
static enum MHD_Result hold(au_request_t *request, unsigned status,
                            struct MHD_Response *response) {
  request->is_answered = true;
  request->status = status;
  request->held = response;
  if (request->is_held && status != MHD_HTTP_CONTENT_TOO_LARGE)
    return MHD_YES;
  return au_answer_send_held(request);
}

enum MHD_Result au_answer(au_request_t *request, unsigned status,
                          const char *content_type, au_bytes_t *body,
                          const char *const *headers) {
  if (take_reply(request, content_type, body, headers))
    return hold(request, status, au_reply_response(request->reply));
  const char *vary = vary_of(request, body);
  if (!is_packed(request, body) && body->size <= PACKED_HERE_MAX)
    au_answer_pack(request, body);
  bool is_gzip = is_packed(request, body);
  if (body->failed || !charge(request, body)) {
    content_type = put_no_room(request, body);
    (void)charge(request, body); /* it is short */
    status = MHD_HTTP_SERVICE_UNAVAILABLE;
    headers = retry_later;
    is_gzip = false;
  }
  /* Of an answer that was made and cannot be sent nothing else may be said: an
   * event may have been stored. */
  struct MHD_Response *response = body->failed ? NULL : make_response(body);
  if (response == NULL)
    return MHD_NO; /* the connection is closed */
  if (content_type != NULL)
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
  add_header(response, "X-Correlation-Id", request->correlation_id);
  add_header(response, "X-Content-Type-Options", "nosniff");
  add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  au_cors_add(request, response);
  if (vary != NULL)
    add_header(response, MHD_HTTP_HEADER_VARY, vary);
  if (is_gzip)
    add_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
  add_headers(request, response, headers);
  return hold(request, status, response);
}

enum MHD_Result au_answer_send_held(au_request_t *request) {
  struct MHD_Response *response = request->held;
  request->held = NULL;
  add_keep_alive(request, response);
  au_connection_enter(request->peer, AU_CONNECTION_WRITING);
  enum MHD_Result result =
      MHD_queue_response(request->connection, request->status, response);
  if (request->reply == NULL)
    MHD_destroy_response(response);
  return result;
}

void au_answer_drop(au_request_t *request) {
  if (request->reply != NULL)
    au_reply_give_back(&request->loop->replies, request->reply);
  else if (request->held != NULL) /* the client went away before */
    MHD_destroy_response(request->held);
  request->held = NULL;
  request->reply = NULL;
}

static enum MHD_Result refuse(au_request_t *request, au_error_code_t code,
                              const char *type, au_bytes_t *body,
                              const char *const *headers) {
  unsigned status = au_error_status(code);
  if (headers == NULL && status == MHD_HTTP_SERVICE_UNAVAILABLE)
    headers = retry_later;
  return au_answer(request, status, type, body, headers);
}

enum MHD_Result au_answer_refusal_body(au_request_t *request,
                                       au_error_code_t code, au_bytes_t *body,
                                       const char *const *headers) {
  return refuse(request, code, AU_JSON_TYPE, body, headers);
}

enum MHD_Result au_answer_refusal(au_request_t *request, au_error_code_t code,
                                  const char *message,
                                  const char *const *headers) {
  au_bytes_t body = AU_BYTES_INIT;
  const char *type = put_refusal(request, code, message, &body);
  return refuse(request, code, type, &body, headers);
}

enum MHD_Result au_answer_unavailable(au_request_t *request,
                                      const char *message) {
  return au_answer_refusal(request, AU_ERROR_SERVICE_UNAVAILABLE, message,
                           NULL);
}

enum MHD_Result au_answer_refused(au_request_t *request,
                                  au_refusals_t *refusals) {
  au_bytes_t body = AU_BYTES_INIT;
  au_refusals_put(refusals, &body);
  au_refusals_fini(refusals);
  return au_answer_refusal_body(request, AU_ERROR_INVALID_QUERY, &body, NULL);
}
