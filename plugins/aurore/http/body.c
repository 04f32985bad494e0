/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * body - a request's body until its route has it. One that comes in one piece
 * is given to the route where libmicrohttpd has it; pieces are put together, in
 * memory that is bounded for all requests of the server together.
 *
 * Threads: the request thread; the bound is an atomic.
 */
#include "http/private.h"

/* The first room for a body in pieces, if it is not larger than it may be. */
#define FIRST_BYTES_LENGTH_KNOWN ((uint64_t)1 << 20)
#define FIRST_BYTES_LENGTH_UNKNOWN ((uint64_t)64 << 10)

/* Reserves memory for a body of "size" bytes from what all bodies share; it is
 * kept until the answer has been sent, which is not larger. */
static bool reserve_body(au_request_t *request, uint64_t size) {
  au_http_t *http = request->http;
  if (size <= request->body_bytes)
    return true;
  uint64_t more = size - request->body_bytes;
  if (atomic_fetch_add(&http->body_bytes, more) + more > http->body_bytes_max) {
    atomic_fetch_sub(&http->body_bytes, more);
    return false;
  }
  request->body_bytes = size;
  return true;
}

/* Room for the next piece: for a body of usual size at once when its length is
 * known, else doubled; a length that is announced need not be true. */
static bool make_room(au_request_t *request, size_t size) {
  uint64_t most = request->http->options->limits.max_body_bytes;
  uint64_t need = request->body.size + size;
  uint64_t wanted = request->body_bytes;
  if (most > request->content_length)
    most = request->content_length;
  if (wanted == 0)
    wanted = request->content_length == AU_LENGTH_UNKNOWN
                 ? FIRST_BYTES_LENGTH_UNKNOWN
                 : FIRST_BYTES_LENGTH_KNOWN;
  while (wanted < need)
    wanted *= 2;
  if (wanted > most)
    wanted = most;
  if (!reserve_body(request, wanted))
    return false;
  if (request->body.capacity < wanted)
    au_bytes_reserve(&request->body, wanted - request->body.size);
  return true;
}

void au_body_drop(au_request_t *request) {
  au_bytes_fini(&request->body);
  atomic_fetch_sub(&request->http->body_bytes, request->body_bytes);
  request->body_bytes = 0;
}

static void give_body(au_request_t *request, au_status_t status,
                      const char *data, size_t size) {
  request->is_body_taken = true;
  request->method->handler->body(request, status, data, size);
}

bool au_body_take(au_request_t *request, const char *data, size_t size) {
  au_connection_count_body(request->peer, size);
  if (request->is_body_taken || request->method->handler->body == NULL)
    return true;
  size_t max = request->http->options->limits.max_body_bytes;
  au_status_t status = AU_OK;
  if (request->body.size + size > max)
    status = AU_FULL;
  else if (request->body.size == 0 && size == request->content_length)
    give_body(request, AU_OK, data, size);
  else if (!make_room(request, size))
    status = AU_UNAVAILABLE;
  else
    au_bytes_put(&request->body, data, size);
  if (status != AU_OK) {
    au_body_drop(request);
    au_connection_enter(request->peer, AU_CONNECTION_DROPPING);
    give_body(request, status, NULL, 0);
  }
  return !request->body.failed;
}

void au_body_finish(au_request_t *request) {
  if (request->is_body_taken || request->method->handler->body == NULL)
    return;
  const au_bytes_t *body = &request->body;
  give_body(request, AU_OK, body->size > 0 ? (const char *)body->data : "",
            body->size);
  au_bytes_fini(&request->body);
}
