/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder. */
#include "api/ask.h"

#include "api/routes.h"

static au_status_t run_job(au_query_job_t *job, au_database_t *database,
                           au_database_error_t *error) {
  au_asking_t *asking = (au_asking_t *)job; /* its first member */
  return asking->ask->run(asking, job, database, error);
}

static void complete(au_query_job_t *job, au_status_t status) {
  au_asking_t *asking = (au_asking_t *)job;
  if (status == AU_OK && asking->ask->body != NULL)
    au_answer_pack(asking->request, asking->ask->body(asking));
  au_request_complete(asking->request, status);
}

enum MHD_Result au_request_ask(au_request_t *request, const au_ask_t *ask) {
  au_asking_t *asking = au_request_state(request);
  *asking = (au_asking_t){.job = {.run = run_job,
                                  .done = complete,
                                  .lane = ask->lane,
                                  .operation = ask->operation,
                                  .timeout_s = ask->timeout_s,
                                  .peer_fd = au_request_socket(request)},
                          .request = request,
                          .ask = ask};
  au_query_pool_t *query = atomic_load(&au_api_of(request)->query);
  au_request_expect(request);
  au_status_t status = query != NULL ? au_query_pool_submit(query, &asking->job)
                                     : AU_UNAVAILABLE;
  return status == AU_PENDING
             ? au_request_wait(request, AU_WAIT_LONG, ask->answer)
             : ask->answer(request, status);
}

enum MHD_Result au_answer_no_database(au_request_t *request,
                                      au_status_t status) {
  if (status == AU_CLOSED)
    return au_answer_unavailable(request, "shutting down");
  if (status == AU_NOMEM)
    return au_answer_unavailable(request, AU_NO_MEMORY);
  return au_answer_refusal(request, AU_ERROR_DATABASE_UNAVAILABLE,
                           "Database unavailable", NULL);
}
