/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder. */
#include "api/append.h"

#include "api/routes.h"
#include "base/clock.h"
#include "base/number.h"

#include <stddef.h>

/* That a row has around it in the spool. */
#define FRAME_BYTES 24

/* A spool that cannot be written is found to work again by a request that tries
 * it: so often one does. */
#define TRIAL_NS (100 * AU_NS_PER_MS)

/* Of the connections, so many may wait for the database: a client that waits
 * keeps its connection from others for as long as the database is away. */
#define WATCHING_PART 4

static bool is_trial_due(au_api_t *api) {
  int64_t now_ns = au_clock_monotonic_ns();
  int64_t last_ns = atomic_load(&api->trial_ns);
  return now_ns - last_ns >= TRIAL_NS &&
         atomic_compare_exchange_strong(&api->trial_ns, &last_ns, now_ns);
}

au_status_t au_append_check(au_api_t *api) {
  if (au_buffer_is_full(api->buffer)) {
    au_metrics_count(AU_M_EVENTS_DROPPED, 0, 1);
    return AU_FULL;
  }
  return au_buffer_trouble(api->buffer) == NULL || is_trial_due(api) ? AU_OK
                                                                     : AU_IO;
}

static void complete(au_waiter_t *waiter, au_status_t status) {
  const au_append_t *append = (au_append_t *)waiter; /* its first member */
  au_request_complete(append->request, status);
}

enum MHD_Result au_request_append(au_request_t *request, au_append_t *append,
                                  const au_rows_t *rows, au_resume_t resume) {
  /* The buffer has a copy of them until they are on disk. */
  uint64_t held = rows->bytes.size + rows->count * FRAME_BYTES;
  append->held = 0;
  if (!au_account_charge(au_request_account(request), held))
    return resume(request, AU_NOMEM);
  *append = (au_append_t){
      .waiter = {.done = complete}, .request = request, .held = held};
  au_request_expect(request);
  au_status_t status =
      au_buffer_append(au_api_of(request)->buffer, rows, &append->waiter);
  return status == AU_PENDING ? au_request_wait(request, AU_WAIT_MOMENT, resume)
                              : resume(request, status);
}

void au_append_release(au_request_t *request, au_append_t *append) {
  au_account_release(au_request_account(request), append->held);
  append->held = 0;
}

/* --- until they are stored ----------------------------------------------- */

static bool take_place(au_api_t *api, unsigned connections) {
  unsigned before = atomic_fetch_add(&api->watching, 1);
  if (before < connections / WATCHING_PART)
    return true;
  atomic_fetch_sub(&api->watching, 1);
  return false;
}

static void give_place(au_request_t *request) {
  atomic_fetch_sub(&au_api_of(request)->watching, 1);
}

static au_append_t *append_of(au_watch_t *watch) {
  return (au_append_t *)((char *)watch - offsetof(au_append_t, watch));
}

static void complete_watch(au_watch_t *watch, au_status_t status) {
  au_request_t *request = append_of(watch)->request;
  give_place(request); /* which may be gone after the next line */
  au_request_complete(request, status);
}

static bool withdraw(au_request_t *request, void *context) {
  au_append_t *append = context;
  if (!au_buffer_unwatch(&append->watch))
    return false;
  give_place(request);
  return true;
}

enum MHD_Result au_request_await_stored(au_request_t *request,
                                        au_append_t *append, int64_t until_ns,
                                        au_resume_t resume) {
  unsigned connections = au_http_connections_max(au_request_server(request));
  if (!take_place(au_api_of(request), connections))
    return resume(request, AU_FULL);
  append->watch = (au_watch_t){.done = complete_watch};
  au_request_expect(request);
  au_status_t status = au_buffer_watch(&append->waiter, &append->watch);
  if (status == AU_PENDING)
    return au_request_wait_until(request, until_ns, withdraw, append, resume);
  give_place(request);
  return resume(request, status);
}

/* --- refusals --------------------------------------------------------------
 */

static enum MHD_Result answer_full(au_request_t *request) {
  unsigned seconds = au_buffer_retry_after_s(au_api_of(request)->buffer);
  char text[AU_NUMBER_SIZE];
  (void)au_number_format(seconds, text);
  const char *const headers[] = {MHD_HTTP_HEADER_RETRY_AFTER, text, NULL};
  au_bytes_t body = AU_BYTES_INIT;
  au_error_put(&body, AU_ERROR_BUFFER_SATURATED,
               "Buffer is full. Please retry in a few seconds.");
  au_bytes_put_string(&body, ",\"retry_after\":");
  au_bytes_put_string(&body, text);
  au_bytes_put_u8(&body, '}');
  return au_answer_refusal_body(request, AU_ERROR_BUFFER_SATURATED, &body,
                                headers);
}

enum MHD_Result au_answer_not_appended(au_request_t *request,
                                       au_status_t status, uint64_t events) {
  if (status == AU_FULL)
    return answer_full(request);
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_UNAVAILABLE, events);
  const char *message = status == AU_CLOSED  ? "shutting down"
                        : status == AU_NOMEM ? AU_NO_MEMORY
                                             : "the events could not be stored "
                                               "safely";
  return au_answer_unavailable(request, message);
}
