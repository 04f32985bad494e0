/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder. */
#include "api/append.h"

#include "api/routes.h"

#include <stdio.h>

static void complete(au_waiter_t *waiter, au_status_t status) {
  const au_append_t *append = (au_append_t *)waiter; /* its first member */
  au_request_complete(append->request, status);
}

enum MHD_Result au_request_append(au_request_t *request, au_append_t *append,
                                  const au_rows_t *rows, au_resume_t resume) {
  *append = (au_append_t){.waiter = {.done = complete}, .request = request};
  au_request_expect(request);
  au_status_t status =
      au_buffer_append(au_api_of(request)->buffer, rows, &append->waiter);
  return status == AU_PENDING ? au_request_wait(request, AU_WAIT_MOMENT, resume)
                              : resume(request, status);
}

static enum MHD_Result answer_full(au_request_t *request) {
  unsigned seconds = au_buffer_retry_after_s(au_api_of(request)->buffer);
  char text[16];
  snprintf(text, sizeof(text), "%u", seconds);
  const char *const headers[] = {MHD_HTTP_HEADER_RETRY_AFTER, text, NULL};
  au_bytes_t body = AU_BYTES_INIT;
  au_error_put(&body, AU_ERROR_BUFFER_SATURATED,
               "Buffer is full. Please retry in a few seconds.");
  au_bytes_printf(&body, ",\"retry_after\":%u}", seconds);
  return au_answer_refusal_body(request, AU_ERROR_BUFFER_SATURATED, &body,
                                headers);
}

enum MHD_Result au_answer_not_appended(au_request_t *request,
                                       au_status_t status, uint64_t events) {
  if (status == AU_FULL)
    return answer_full(request);
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_UNAVAILABLE, events);
  const char *message = status == AU_CLOSED  ? "shutting down"
                        : status == AU_NOMEM ? "out of memory"
                                             : "the events could not be stored "
                                               "safely";
  return au_answer_unavailable(request, message);
}
