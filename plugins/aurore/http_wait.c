/* SPDX-License-Identifier: MIT
 *
 * http_wait - requests that wait for the spool or for the database: their
 * connection is suspended, and resumed by whoever tells the result, so that no
 * request thread waits.
 *
 * The result may be told before the request thread has suspended the
 * connection, or after. Whoever is second, by an exchange of "pending", resumes
 * it. After that exchange the teller does not touch the request any more.
 */
#include "http_private.h"

#include <stddef.h>

void au_request_told(au_waiter_t *waiter, au_status_t status) {
  au_request_t *request = (au_request_t *)waiter; /* its first member */
  struct MHD_Connection *connection = request->connection;
  request->told = status;
  if (atomic_exchange(&request->pending, AU_PENDING_TOLD) ==
      AU_PENDING_SUSPENDED)
    MHD_resume_connection(connection);
}

/* Somebody will tell the result, or has done so already. */
static enum MHD_Result await(au_request_t *request) {
  MHD_suspend_connection(request->connection);
  /* If the teller was faster than this, nobody else resumes it. */
  if (atomic_exchange(&request->pending, AU_PENDING_SUSPENDED) ==
      AU_PENDING_TOLD) {
    atomic_store(&request->pending, AU_PENDING_TOLD);
    MHD_resume_connection(request->connection);
  }
  return MHD_YES;
}

enum MHD_Result au_request_append(au_request_t *request, const au_rows_t *rows,
                                  au_route_run_t resume) {
  request->resume = resume;
  atomic_store(&request->pending, AU_PENDING_NO);
  au_status_t status =
      au_buffer_append(au_http_buffer(request->http), rows, &request->waiter);
  if (status == AU_PENDING) {
    au_http_give_back_ingest(request); /* many wait at a time */
    return await(request);
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
  au_query_t *query = au_http_query(request->http);
  au_status_t status =
      query != NULL ? au_query_submit(query, &request->job) : AU_UNAVAILABLE;
  if (status == AU_PENDING)
    return await(request);
  request->told = status;
  return answer_asked(request);
}
