/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * events_get - GET /events: a page of events from the database.
 */
#include "api/routes.h"

#include "api/ask.h"
#include "api/event_page.h"

typedef struct get {
  au_asking_t asking; /* first */
  au_page_t page;
} get_t;

static au_status_t run_page(void *state, const au_query_job_t *job,
                            au_database_t *database,
                            au_database_error_t *error) {
  get_t *get = state;
  return au_page_ask(&get->page, job, database, error);
}

static au_bytes_t *body_of(void *state) {
  get_t *get = state;
  return &get->page.body;
}

static enum MHD_Result answer_page(au_request_t *request, au_status_t status) {
  get_t *get = au_request_state(request);
  if (get->page.body.failed)
    return au_answer_unavailable(
        request, "large answers are being sent to others; ask for fewer events "
                 "at once, or later");
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &get->page.body, NULL);
}

static enum MHD_Result ask_page(au_request_t *request) {
  static const au_ask_t ask = {.run = run_page,
                               .answer = answer_page,
                               .body = body_of,
                               .operation = AU_OPERATION_QUERY,
                               .lane = AU_QUERY_NORMAL};
  get_t *get = au_request_state(request);
  au_parameter_t known[AU_PAGE_PARAMETERS];
  au_refusals_t refusals = {.count = 0};
  au_page_parameters(known);
  au_request_parameters(request, known, AU_PAGE_PARAMETERS, &refusals);
  au_page_read(&get->page, known, au_api_of(request)->options->query_max_days,
               &refusals);
  if (refusals.count > 0)
    return au_answer_refused(request, &refusals);
  au_page_make_sql(&get->page);
  au_request_holds_page(request);
  get->page.body.account = au_request_account(request);
  if (au_bytes_text(&get->page.sql) == NULL)
    return au_answer_unavailable(request, "out of memory");
  return au_request_ask(request, &ask);
}

static void page_done(au_request_t *request) {
  get_t *get = au_request_state(request);
  au_page_fini(&get->page);
}

const au_handler_t au_route_events_get = {
    .run = ask_page, .done = page_done, .state_size = sizeof(get_t)};
