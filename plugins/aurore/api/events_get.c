/* SPDX-License-Identifier: MIT
 *
 * events_get - GET /events: a page of events from the database.
 */
#include "api/routes.h"

#include "api/event_page.h"

#include <stdlib.h>

static au_status_t ask_page(void *question, const au_query_job_t *job,
                            au_database_t *database,
                            au_database_error_t *error) {
  return au_page_ask(question, job, database, error);
}

static enum MHD_Result answer_page(au_request_t *request, void *question,
                                   au_status_t status) {
  au_page_t *page = question;
  if (page->is_too_large)
    return au_answer_unavailable(
        request, "large answers are being sent to others; ask for fewer events "
                 "at once, or later");
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &page->body, NULL);
}

static void free_page(void *question) {
  au_page_fini(question);
  free(question);
}

static const au_ask_t ask = {.run = ask_page,
                             .answer = answer_page,
                             .free = free_page,
                             .operation = AU_OPERATION_QUERY,
                             .lane = AU_QUERY_NORMAL};

enum MHD_Result au_route_events_page(au_request_t *request) {
  au_parameter_t known[AU_PAGE_PARAMETERS];
  au_refusals_t refusals = {.count = 0};
  au_page_t *page = calloc(1, sizeof(*page));
  if (page == NULL)
    return au_answer_unavailable(request, "out of memory");
  au_page_parameters(known);
  au_request_parameters(request, known, AU_PAGE_PARAMETERS, &refusals);
  au_page_judge(page, known, au_http_options(request->http)->query_max_days,
                &refusals);
  if (refusals.count == 0)
    au_page_make_sql(page);
  if (refusals.count == 0 && au_bytes_text(&page->sql) != NULL)
    return au_request_ask(request, &ask, page);
  free_page(page);
  if (refusals.count > 0)
    return au_answer_refused(request, &refusals);
  return au_answer_unavailable(request, "out of memory");
}
