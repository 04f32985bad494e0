/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * events_get - GET /events: a page of events from the database; and
 * GET /events/:id: one of them.
 */
#include "api/routes.h"

#include "api/ask.h"
#include "api/event_lookup.h"
#include "api/event_page.h"
#include "base/clock.h"

#include <string.h>

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

/* --- GET /events/:id --------------------------------------------------- */

typedef struct get_one {
  au_asking_t asking; /* first */
  au_event_lookup_t lookup;
  /* Before it was looked for, so that one that is stored meanwhile is not said
   * to be nowhere. */
  bool may_wait_here;
} get_one_t;

/* How much later than its id's time an event may be known to wait: it is read
 * first, and the processor may be elsewhere. */
#define LATE_US (5 * AU_US_PER_S)

/* Whether this host holds events that were accepted no later than the id was
 * made. An id without a time may be that of any. */
static bool may_wait_here(au_request_t *request, const au_uuid_t *id) {
  au_buffer_usage_t usage;
  au_buffer_usage(au_api_of(request)->buffer, &usage);
  int64_t us = 0;
  bool has_time = au_event_lookup_time(id, &us);
  int64_t oldest_us =
      au_clock_wall_us() - (int64_t)(usage.oldest_age_s * AU_US_PER_S);
  return usage.events > 0 && (!has_time || oldest_us <= us + LATE_US);
}

static au_status_t run_one(void *state, const au_query_job_t *job,
                           au_database_t *database,
                           au_database_error_t *error) {
  get_one_t *get = state;
  return au_event_lookup_ask(&get->lookup, job, database, error);
}

static enum MHD_Result answer_nowhere(au_request_t *request, bool may_come,
                                      const char *hint) {
  static const char *const soon[] = {MHD_HTTP_HEADER_RETRY_AFTER, "1", NULL};
  au_bytes_t message = AU_BYTES_INIT;
  au_bytes_printf(&message, "Event not found: %s%s",
                  au_request_parameter(request), hint);
  const char *text = au_bytes_text(&message);
  enum MHD_Result result = au_answer_refusal(
      request, AU_ERROR_EVENT_NOT_FOUND,
      text != NULL ? text : "Event not found", may_come ? soon : NULL);
  au_bytes_fini(&message);
  return result;
}

static enum MHD_Result answer_one(au_request_t *request, au_status_t status) {
  get_one_t *get = au_request_state(request);
  au_event_lookup_t *lookup = &get->lookup;
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  if (lookup->json.size > 0)
    return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &lookup->json, NULL);
  return answer_nowhere(
      request, get->may_wait_here || lookup->is_on_the_way,
      lookup->has_place
          ? ""
          : "; unless its id was made here, service, from and to say where it "
            "is");
}

/* All of service, from and to, which are the first three, or none. */
#define PLACE_PARAMETERS (AU_PAGE_TO + 1)

static void read_place(au_request_t *request, au_refusals_t *refusals) {
  get_one_t *get = au_request_state(request);
  au_page_t page = {.number = 1};
  au_parameter_t known[AU_PAGE_PARAMETERS];
  au_page_parameters(known);
  au_request_parameters(request, known, PLACE_PARAMETERS, refusals);
  if (known[AU_PAGE_SERVICE].value == NULL &&
      known[AU_PAGE_FROM].value == NULL && known[AU_PAGE_TO].value == NULL)
    return;
  au_page_read(&page, known, au_api_of(request)->options->query_max_days,
               refusals);
  if (refusals->count == 0)
    au_event_lookup_place(&get->lookup, page.service, page.from_us, page.to_us);
}

static enum MHD_Result ask_one(au_request_t *request) {
  static const au_ask_t ask = {.run = run_one,
                               .answer = answer_one,
                               .operation = AU_OPERATION_QUERY,
                               .lane = AU_QUERY_NORMAL};
  get_one_t *get = au_request_state(request);
  const char *id = au_request_parameter(request);
  au_refusals_t refusals = {.count = 0};
  read_place(request, &refusals);
  if (refusals.count > 0)
    return au_answer_refused(request, &refusals);
  if (!au_uuid_parse(id, strlen(id), &get->lookup.id))
    return answer_nowhere(request, false, "");
  get->may_wait_here = may_wait_here(request, &get->lookup.id);
  au_request_holds_page(request);
  get->lookup.json.account = au_request_account(request);
  return au_request_ask(request, &ask);
}

static void one_done(au_request_t *request) {
  get_one_t *get = au_request_state(request);
  au_event_lookup_fini(&get->lookup);
}

const au_handler_t au_route_events_show = {
    .run = ask_one, .done = one_done, .state_size = sizeof(get_one_t)};
