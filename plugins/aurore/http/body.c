/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * body - a request's body until its route has it. One that comes in one piece
 * is given to the route where libmicrohttpd has it; pieces are put together, in
 * memory that is charged to the request as it grows (memory.c).
 *
 * Threads: the request thread.
 */
#include "http/private.h"

/* The first room for a body in pieces, if its length is not less: what is
 * announced need not come, so memory follows what has come. */
#define FIRST_BYTES ((uint64_t)64 << 10)

void au_body_drop(au_request_t *request) { au_bytes_fini(&request->body); }

static void give_body(au_request_t *request, au_status_t status,
                      const char *data, size_t size) {
  request->is_body_taken = true;
  request->method->handler->body(request, status, data, size);
}

static bool add_piece(au_request_t *request, const char *data, size_t size) {
  au_bytes_t *body = &request->body;
  if (body->data == NULL)
    au_bytes_reserve(body, request->content_length < FIRST_BYTES
                               ? request->content_length
                               : FIRST_BYTES);
  au_bytes_put(body, data, size);
  return !body->failed;
}

bool au_body_take(au_request_t *request, const char *data, size_t size) {
  au_connection_count_body(request->peer, size);
  if (request->is_body_taken || request->method->handler->body == NULL)
    return true;
  const au_handler_t *handler = request->method->handler;
  size_t max = handler->body_max != NULL
                   ? handler->body_max(request)
                   : request->http->options->limits.max_body_bytes;
  au_status_t status = AU_OK;
  if (request->body.size + size > max)
    status = AU_FULL;
  else if (request->body.size == 0 && size == request->content_length)
    give_body(request, AU_OK, data, size);
  else if (!add_piece(request, data, size))
    status = AU_UNAVAILABLE;
  if (status != AU_OK) {
    au_body_drop(request);
    au_connection_enter(request->peer, AU_CONNECTION_DROPPING);
    give_body(request, status, NULL, 0);
  }
  return true;
}

void au_body_finish(au_request_t *request) {
  if (request->is_body_taken || request->method->handler->body == NULL)
    return;
  const au_bytes_t *body = &request->body;
  give_body(request, AU_OK, body->size > 0 ? (const char *)body->data : "",
            body->size);
  au_bytes_fini(&request->body);
}
