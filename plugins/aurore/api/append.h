/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * append - a request that appends events to the buffer.
 *
 * Threads: from the hooks of a route.
 */
#ifndef AURORE_API_APPEND_H
#define AURORE_API_APPEND_H

#include "event/row.h"
#include "http/request.h"
#include "spool/buffer.h"

struct au_api; /* api/routes.h */

/* Whether events can be appended at all, before they are read. AU_OK: it is to
 * be tried; AU_FULL, AU_IO: see au_answer_not_appended. Counts one event as
 * dropped on AU_FULL. */
AU_MUST_CHECK au_status_t au_append_check(struct au_api *api);

/* Part of the route's state while the request waits. */
typedef struct au_append {
  au_waiter_t waiter;
  au_watch_t watch;
  au_request_t *request;
  uint64_t held; /* charged to the request */
} au_append_t;

/* Appends the rows (copies them) and calls "resume" when that is decided, at
 * once or when they are on disk, with the status of au_buffer_append, or of its
 * waiter. */
enum MHD_Result au_request_append(au_request_t *request, au_append_t *append,
                                  const au_rows_t *rows, au_resume_t resume);

/* That was decided: gives back what the rows were charged for, before the end
 * of a request that appends more of them. */
void au_append_release(au_request_t *request, au_append_t *append);

/* Once they have been appended: calls "resume" with AU_OK when they are stored,
 * or with another status when "until_ns" (of the monotonic clock) comes before,
 * the process stops, or a quarter of MaxConnections wait so already. In any
 * case they will be stored. */
enum MHD_Result au_request_await_stored(au_request_t *request,
                                        au_append_t *append, int64_t until_ns,
                                        au_resume_t resume);

/* 429 or 503: the buffer did not take the request's "events", for the reason
 * "status" (not AU_OK). */
enum MHD_Result au_answer_not_appended(au_request_t *request,
                                       au_status_t status, uint64_t events);

#endif
