/* SPDX-License-Identifier: MIT
 *
 * wait - requests that wait for the spool or for the database, so that no
 * request thread does. Another thread tells the result, maybe before the
 * request thread knows that there is something to wait for.
 *
 * For the spool, which is a moment: the request stays in its loop, which looks
 * at it whenever it runs, and is woken. For the database, or when the disk
 * takes its time: the connection is suspended, and resumed by whoever tells.
 *
 * Whoever is second, by an exchange of "pending", has to see to it that the
 * answer is sent. After that exchange the teller does not touch the request any
 * more, unless its connection was closed meanwhile: then it frees it. The loop
 * outlives its tellers.
 */
#include "http/private.h"

#include "base/clock.h"

#include <stddef.h>
#include <stdlib.h>

/* A request that waits longer than this is suspended. */
#define LOOK_NS (20 * AU_NS_PER_MS)

void au_request_told(au_waiter_t *waiter, au_status_t status) {
  au_request_t *request = (au_request_t *)waiter; /* its first member */
  struct MHD_Connection *connection = request->connection;
  au_loop_t *loop = request->loop;
  request->told = status;
  /* The request may be answered, and the listener be stopped, before the loop
   * is woken for it. */
  atomic_fetch_add(&loop->completing, 1);
  int before = atomic_exchange(&request->pending, AU_PENDING_TOLD);
  if (before == AU_PENDING_SUSPENDED)
    MHD_resume_connection(connection);
  if (before == AU_PENDING_SUSPENDED || before == AU_PENDING_WAITING)
    au_loop_wake(loop);
  atomic_fetch_sub(&loop->completing, 1);
  if (before == AU_PENDING_GONE)
    free(request);
}

/* Somebody will tell the result, or has done so already. */
static enum MHD_Result await_suspended(au_request_t *request) {
  MHD_suspend_connection(request->connection);
  /* If the teller was faster than this, nobody else resumes it. */
  if (atomic_exchange(&request->pending, AU_PENDING_SUSPENDED) ==
      AU_PENDING_TOLD) {
    atomic_store(&request->pending, AU_PENDING_TOLD);
    MHD_resume_connection(request->connection);
    au_loop_wake(request->loop);
  }
  return MHD_YES;
}

static void leave_loop(au_request_t *request) {
  if (request->is_waiting)
    request->loop->waiting--;
  request->is_waiting = false;
}

/* The same, in the loop. */
static enum MHD_Result await_in_loop(au_request_t *request) {
  int expected = AU_PENDING_NO;
  if (!atomic_compare_exchange_strong(&request->pending, &expected,
                                      AU_PENDING_WAITING))
    return request->resume(request);
  request->is_waiting = true;
  request->waits_ns = request->loop->now_ns;
  request->loop->waiting++;
  return MHD_YES;
}

bool au_request_is_waiting(const au_request_t *request) {
  return request->is_waiting;
}

enum MHD_Result au_request_look_again(au_request_t *request) {
  au_loop_t *loop = request->loop;
  bool is_told = atomic_load(&request->pending) == AU_PENDING_TOLD;
  if (!is_told && loop->now_ns - request->waits_ns < LOOK_NS)
    return MHD_YES;
  leave_loop(request);
  loop->has_worked = true;
  return is_told ? request->resume(request) : await_suspended(request);
}

void au_request_release(au_request_t *request) {
  bool was_waiting = request->is_waiting;
  leave_loop(request);
  if (was_waiting &&
      atomic_exchange(&request->pending, AU_PENDING_GONE) == AU_PENDING_WAITING)
    return; /* the teller frees it */
  free(request);
}

enum MHD_Result au_request_append(au_request_t *request, const au_rows_t *rows,
                                  au_route_run_t resume) {
  request->resume = resume;
  atomic_store(&request->pending, AU_PENDING_NO);
  au_status_t status =
      au_buffer_append(au_http_buffer(request->http), rows, &request->waiter);
  if (status == AU_PENDING) {
    au_http_give_back_ingest(request); /* many wait at a time */
    return await_in_loop(request);
  }
  request->told = status;
  return resume(request);
}

static au_request_t *request_of(au_query_job_t *job) {
  return (au_request_t *)(void *)((char *)job - offsetof(au_request_t, job));
}

static au_status_t run_job(au_query_job_t *job, au_database_t *database,
                           au_database_error_t *error) {
  const au_request_t *request = request_of(job);
  return request->ask->run(request->question, job, database, error);
}

static void job_done(au_query_job_t *job, au_status_t status) {
  au_request_told(&request_of(job)->waiter, status);
}

static enum MHD_Result answer_asked(au_request_t *request) {
  return request->ask->answer(request, request->question, request->told);
}

void au_request_forget_question(au_request_t *request) {
  /* A client that went away while its request was suspended: nobody has looked
   * whether it was told, so that what the pool has written is seen here. */
  (void)atomic_load(&request->pending);
  if (request->ask != NULL && request->ask->free != NULL)
    request->ask->free(request->question);
  request->ask = NULL;
  request->question = NULL;
}

static int socket_of(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info != NULL ? info->connect_fd : -1;
}

enum MHD_Result au_request_ask(au_request_t *request, const au_ask_t *ask,
                               void *question) {
  if (request->question != question)
    au_request_forget_question(request);
  request->ask = ask;
  request->question = question;
  request->resume = answer_asked;
  request->job = (au_query_job_t){.run = run_job,
                                  .done = job_done,
                                  .lane = ask->lane,
                                  .operation = ask->operation,
                                  .timeout_s = ask->timeout_s,
                                  .peer_fd = socket_of(request->connection)};
  atomic_store(&request->pending, AU_PENDING_NO);
  au_query_pool_t *query = au_http_query(request->http);
  au_status_t status = query != NULL
                           ? au_query_pool_submit(query, &request->job)
                           : AU_UNAVAILABLE;
  if (status == AU_PENDING)
    return await_suspended(request);
  request->told = status;
  return answer_asked(request);
}
