/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * wait - requests that wait for another thread, so that no request thread does.
 * They may be completed before their request thread knows that there is
 * something to wait for.
 *
 * A short wait is in the loop, which checks the request whenever it runs, and
 * is woken. For a long one, or when a short one takes its time, the connection
 * is suspended, and resumed by the thread that completes the request.
 *
 * The request thread and the completing thread both exchange "pending"; the one
 * that comes second sends the answer. After its exchange the completing thread
 * does not touch the request any more, unless the connection has ended
 * meanwhile: then it frees it. The loop outlives the completing threads.
 *
 * A wait that has an end is in a list of its loop, in the order of their ends,
 * which are few different spans from now: so that neither a thread nor a look
 * at each is needed to find those that are over.
 */
#include "http/private.h"

#include "base/clock.h"

#include <stdlib.h>

/* A request that waits longer than this is suspended. */
#define IN_LOOP_MAX_NS (20 * AU_NS_PER_MS)

void au_request_expect(au_request_t *request) {
  atomic_store(&request->pending, AU_PENDING_NO);
}

void au_request_complete(au_request_t *request, au_status_t status) {
  struct MHD_Connection *connection = request->connection;
  au_loop_t *loop = request->loop;
  request->outcome = status;
  /* The request may be answered, and the server be stopped, before the loop is
   * woken for it. */
  atomic_fetch_add(&loop->completing, 1);
  int before = atomic_exchange(&request->pending, AU_PENDING_COMPLETED);
  if (before == AU_PENDING_SUSPENDED)
    MHD_resume_connection(connection);
  if (before == AU_PENDING_SUSPENDED || before == AU_PENDING_IN_LOOP)
    au_loop_wake(loop);
  atomic_fetch_sub(&loop->completing, 1);
  if (before == AU_PENDING_GONE)
    free(request);
}

static enum MHD_Result suspend(au_request_t *request) {
  MHD_suspend_connection(request->connection);
  /* If it was completed before this, nobody else resumes it. */
  if (atomic_exchange(&request->pending, AU_PENDING_SUSPENDED) ==
      AU_PENDING_COMPLETED) {
    atomic_store(&request->pending, AU_PENDING_COMPLETED);
    MHD_resume_connection(request->connection);
    au_loop_wake(request->loop);
  }
  return MHD_YES;
}

static enum MHD_Result enter_loop(au_request_t *request) {
  int expected = AU_PENDING_NO;
  if (!atomic_compare_exchange_strong(&request->pending, &expected,
                                      AU_PENDING_IN_LOOP))
    return request->resume(request, request->outcome);
  request->is_waiting = true;
  request->waits_ns = request->loop->now_ns;
  request->loop->waiting++;
  return MHD_YES;
}

static void leave_loop(au_request_t *request) {
  if (request->is_waiting)
    request->loop->waiting--;
  request->is_waiting = false;
}

enum MHD_Result au_request_wait(au_request_t *request, au_wait_t how,
                                au_resume_t resume) {
  request->resume = resume;
  return how == AU_WAIT_MOMENT ? enter_loop(request) : suspend(request);
}

/* --- waits that have an end --------------------------------------------- */

static void add_timed(au_request_t *request) {
  au_loop_t *loop = request->loop;
  au_request_t *before = loop->timed_last;
  while (before != NULL && before->until_ns > request->until_ns)
    before = before->previous_timed;
  au_request_t *after = before != NULL ? before->next_timed : loop->timed;
  request->previous_timed = before;
  request->next_timed = after;
  *(before != NULL ? &before->next_timed : &loop->timed) = request;
  *(after != NULL ? &after->previous_timed : &loop->timed_last) = request;
}

static void remove_timed(au_request_t *request) {
  if (request->withdraw == NULL)
    return;
  au_loop_t *loop = request->loop;
  au_request_t *before = request->previous_timed;
  au_request_t *after = request->next_timed;
  *(before != NULL ? &before->next_timed : &loop->timed) = after;
  *(after != NULL ? &after->previous_timed : &loop->timed_last) = before;
  request->withdraw = NULL;
}

enum MHD_Result au_request_wait_until(au_request_t *request, int64_t until_ns,
                                      au_withdraw_t withdraw, void *context,
                                      au_resume_t resume) {
  request->withdraw = withdraw;
  request->withdraw_context = context;
  request->until_ns = until_ns;
  add_timed(request);
  return au_request_wait(request, AU_WAIT_LONG, resume);
}

void au_request_end_waits(au_loop_t *loop) {
  au_request_t *next;
  for (au_request_t *request = loop->timed;
       request != NULL && request->until_ns <= loop->now_ns; request = next) {
    next = request->next_timed;
    au_withdraw_t withdraw = request->withdraw;
    remove_timed(request);
    if (withdraw(request, request->withdraw_context))
      au_request_complete(request, AU_UNAVAILABLE);
  }
}

enum MHD_Result au_request_resume(au_request_t *request) {
  remove_timed(request);
  return request->resume(request, request->outcome);
}

enum MHD_Result au_request_check(au_request_t *request) {
  au_loop_t *loop = request->loop;
  bool completed = atomic_load(&request->pending) == AU_PENDING_COMPLETED;
  if (!completed && loop->now_ns - request->waits_ns < IN_LOOP_MAX_NS)
    return MHD_YES;
  leave_loop(request);
  loop->has_worked = true;
  return completed ? request->resume(request, request->outcome)
                   : suspend(request);
}

void au_request_release(au_request_t *request) {
  bool was_waiting = request->is_waiting;
  leave_loop(request);
  remove_timed(request);
  if (was_waiting &&
      atomic_exchange(&request->pending, AU_PENDING_GONE) == AU_PENDING_IN_LOOP)
    return; /* the completing thread frees it */
  free(request);
}
