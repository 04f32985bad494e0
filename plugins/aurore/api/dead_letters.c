/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * dead_letters - the routes of the dead letters: /dlq, /dlq/statistics,
 * /dlq/:id, /dlq/:id/reprocess.
 *
 * Putting one back asks the database for it, appends its event to the buffer,
 * waits until that is as safe as any other event, and then asks the database to
 * mark it. Whatever happens between these, the event is stored once or can be
 * put back again (store/dead_letter.h).
 */

#include "api/append.h"
#include "api/ask.h"
#include "api/dead_letter_query.h"
#include "api/letter_claim.h"
#include "base/clock.h"
#include "http/answer.h"

#include <string.h>

#define LIMIT_MAX 1000
#define LIMIT_DEFAULT 100
#define OFFSET_MAX INT32_MAX

/* Any of the questions. */
typedef struct question {
  au_asking_t asking;      /* first */
  au_dead_letter_t letter; /* its id is that of the path */
  au_dead_letter_filter_t filter;
  au_bytes_t json;
  au_rows_t rows;
  bool is_found;
  au_dead_letter_deletion_t deletion;
  au_append_t append;
  au_letter_claim_t claim; /* of its id */
  au_uuid_t claimed;
} question_t;

static void question_done(au_request_t *request) {
  question_t *question = au_request_state(request);
  au_letter_claim_clear(&question->claim);
  au_dead_letter_fini(&question->letter);
  au_rows_fini(&question->rows);
  au_bytes_fini(&question->json);
}

/* --- answers ----------------------------------------------------------- */

static enum MHD_Result answer_json(au_request_t *request) {
  question_t *question = au_request_state(request);
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &question->json, NULL);
}

static au_bytes_t *body_of(void *state) {
  question_t *question = state;
  return &question->json;
}

/* "message" and the id in the path. */
static enum MHD_Result answer_about(au_request_t *request, au_error_code_t code,
                                    const char *message) {
  au_bytes_t text = AU_BYTES_INIT;
  au_bytes_printf(&text, "%s: %s", message, au_request_parameter(request));
  const char *full = au_bytes_text(&text);
  enum MHD_Result result =
      au_answer_refusal(request, code, full != NULL ? full : message, NULL);
  au_bytes_fini(&text);
  return result;
}

static enum MHD_Result answer_not_found(au_request_t *request) {
  return answer_about(request, AU_ERROR_DEAD_LETTER_NOT_FOUND,
                      "Dead letter event not found");
}

static enum MHD_Result answer_reprocessed(au_request_t *request) {
  return answer_about(request, AU_ERROR_ALREADY_REPROCESSED,
                      "Dead letter event already reprocessed");
}

/* The question about the dead letter in the path; NULL: it is no id. */
static question_t *question_about_one(au_request_t *request) {
  question_t *question = au_request_state(request);
  const char *id = au_request_parameter(request);
  return au_uuid_parse(id, strlen(id), &question->letter.id) ? question : NULL;
}

/* Asks for what is put into "json", which is a page of what is stored. */
static enum MHD_Result ask_for_json(au_request_t *request,
                                    const au_ask_t *ask) {
  question_t *question = au_request_state(request);
  au_request_holds_page(request);
  question->json.account = au_request_account(request);
  return au_request_ask(request, ask);
}

/* For what changes it: only one request at a time has it. */
static enum MHD_Result ask_about_one(au_request_t *request,
                                     const au_ask_t *ask) {
  question_t *question = question_about_one(request);
  if (question == NULL)
    return answer_not_found(request);
  question->claim =
      (au_letter_claim_t){.id = &question->claimed, .capacity = 1};
  if (!au_letter_claim_add(&question->claim, &question->letter.id))
    return answer_reprocessed(request);
  return au_request_ask(request, ask);
}

/* --- GET /dlq ---------------------------------------------------------- */

static au_status_t run_list(void *state, const au_query_job_t *job,
                            au_database_t *database,
                            au_database_error_t *error) {
  question_t *question = state;
  return au_dead_letter_list(job, database, &question->filter, &question->json,
                             error);
}

static enum MHD_Result answer_asked(au_request_t *request, au_status_t status) {
  return status == AU_OK ? answer_json(request)
                         : au_answer_no_database(request, status);
}

au_dead_letter_state_t
au_dead_letter_state_read(const au_parameter_t *parameter,
                          au_refusals_t *refusals) {
  static const char *const booleans[] = {"false", "true", NULL};
  size_t which = au_parameter_choice(parameter, booleans, AU_CASE_EXACT,
                                     "isBoolean", refusals);
  if (parameter->value == NULL)
    return AU_DEAD_LETTER_ANY;
  return which == 1 ? AU_DEAD_LETTER_REPROCESSED : AU_DEAD_LETTER_PENDING;
}

static enum MHD_Result ask_list(au_request_t *request) {
  static const au_ask_t ask = {.run = run_list,
                               .answer = answer_asked,
                               .body = body_of,
                               .operation = AU_OPERATION_DEAD_LETTER};
  au_parameter_t known[] = {{.name = "service"},
                            {.name = "reprocessed"},
                            {.name = "limit"},
                            {.name = "offset"}};
  au_refusals_t refusals = {.count = 0};
  au_request_parameters(request, known, 4, &refusals);
  question_t *question = au_request_state(request);
  au_dead_letter_filter_t *filter = &question->filter;
  filter->service = au_parameter_text(&known[0], AU_OPTIONAL, &refusals);
  filter->state = au_dead_letter_state_read(&known[1], &refusals);
  filter->limit =
      au_parameter_integer(&known[2], 1, LIMIT_MAX, LIMIT_DEFAULT, &refusals);
  filter->offset = au_parameter_integer(&known[3], 0, OFFSET_MAX, 0, &refusals);
  if (refusals.count > 0)
    return au_answer_refused(request, &refusals);
  return ask_for_json(request, &ask);
}

/* --- GET /dlq/statistics ----------------------------------------------- */

static au_status_t run_statistics(void *state, const au_query_job_t *job,
                                  au_database_t *database,
                                  au_database_error_t *error) {
  question_t *question = state;
  return au_dead_letter_statistics(job, database, &question->json, error);
}

static enum MHD_Result ask_statistics(au_request_t *request) {
  static const au_ask_t ask = {.run = run_statistics,
                               .answer = answer_asked,
                               .body = body_of,
                               .operation = AU_OPERATION_DEAD_LETTER};
  return ask_for_json(request, &ask);
}

/* --- GET and DELETE /dlq/:id ------------------------------------------- */

static au_status_t run_show(void *state, const au_query_job_t *job,
                            au_database_t *database,
                            au_database_error_t *error) {
  question_t *question = state;
  return au_dead_letter_show(job, database, &question->letter.id,
                             &question->json, error);
}

static enum MHD_Result answer_shown(au_request_t *request, au_status_t status) {
  question_t *question = au_request_state(request);
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  return question->json.size > 0 ? answer_json(request)
                                 : answer_not_found(request);
}

static enum MHD_Result ask_show(au_request_t *request) {
  static const au_ask_t ask = {.run = run_show,
                               .answer = answer_shown,
                               .body = body_of,
                               .operation = AU_OPERATION_DEAD_LETTER};
  return question_about_one(request) != NULL ? ask_for_json(request, &ask)
                                             : answer_not_found(request);
}

static au_status_t run_delete(void *state, const au_query_job_t *job,
                              au_database_t *database,
                              au_database_error_t *error) {
  question_t *question = state;
  return au_dead_letter_delete(job, database, &question->letter.id,
                               &question->deletion, error);
}

static enum MHD_Result answer_deleted(au_request_t *request,
                                      au_status_t status) {
  const question_t *question = au_request_state(request);
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  if (question->deletion == AU_DEAD_LETTER_BUSY)
    return answer_about(request, AU_ERROR_ALREADY_REPROCESSED,
                        "Dead letter event is being reprocessed");
  if (question->deletion == AU_DEAD_LETTER_NONE)
    return answer_not_found(request);
  au_bytes_t nothing = AU_BYTES_INIT;
  return au_answer(request, MHD_HTTP_NO_CONTENT, NULL, &nothing, NULL);
}

static enum MHD_Result ask_delete(au_request_t *request) {
  static const au_ask_t ask = {.run = run_delete,
                               .answer = answer_deleted,
                               .operation = AU_OPERATION_DEAD_LETTER};
  return ask_about_one(request, &ask);
}

/* --- PATCH /dlq/:id/reprocess ------------------------------------------ */

static au_status_t run_mark(void *state, const au_query_job_t *job,
                            au_database_t *database,
                            au_database_error_t *error) {
  question_t *question = state;
  return au_dead_letter_mark(job, database, &question->letter,
                             &question->is_found, error);
}

static enum MHD_Result answer_marked(au_request_t *request,
                                     au_status_t status) {
  const question_t *question = au_request_state(request);
  /* Not marked: it may be put back once more, and is still stored once. */
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  if (!question->is_found)
    return answer_not_found(request); /* deleted meanwhile */
  char id[AU_UUID_TEXT_SIZE];
  au_uuid_format(&question->letter.event.id, id);
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_printf(&body,
                  "{\"message\":\"Event reprocessed successfully\","
                  "\"eventId\":\"%s\"}",
                  id);
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
}

/* The buffer has decided. */
static enum MHD_Result answer_appended(au_request_t *request,
                                       au_status_t status) {
  static const au_ask_t ask = {.run = run_mark,
                               .answer = answer_marked,
                               .operation = AU_OPERATION_DEAD_LETTER};
  if (status != AU_OK)
    return au_answer_not_appended(request, status, 1);
  return au_request_ask(request, &ask);
}

static au_status_t run_read(void *state, const au_query_job_t *job,
                            au_database_t *database,
                            au_database_error_t *error) {
  question_t *question = state;
  return au_dead_letter_read(job, database, &question->letter, error);
}

static enum MHD_Result answer_read(au_request_t *request, au_status_t status) {
  question_t *question = au_request_state(request);
  au_dead_letter_t *letter = &question->letter;
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  if (!letter->is_found)
    return answer_not_found(request);
  if (letter->is_reprocessed)
    return answer_reprocessed(request);
  if (!letter->is_decoded)
    return answer_about(request, AU_ERROR_DEAD_LETTER_UNREADABLE,
                        "Dead letter event cannot be decoded");
  letter->event.ingested_at_us = au_clock_wall_us();
  if (au_rows_append_reprocess(&question->rows, &letter->event, &letter->id) !=
      AU_OK)
    return au_answer_unavailable(request, "out of memory");
  return au_request_append(request, &question->append, &question->rows,
                           answer_appended);
}

static enum MHD_Result ask_reprocess(au_request_t *request) {
  static const au_ask_t ask = {.run = run_read,
                               .answer = answer_read,
                               .operation = AU_OPERATION_DEAD_LETTER};
  return ask_about_one(request, &ask);
}

/* --- the handlers ------------------------------------------------------ */

#define HANDLER(function)                                                      \
  { .run = (function), .done = question_done, .state_size = sizeof(question_t) }

const au_handler_t au_route_dlq_list = HANDLER(ask_list);
const au_handler_t au_route_dlq_statistics = HANDLER(ask_statistics);
const au_handler_t au_route_dlq_show = HANDLER(ask_show);
const au_handler_t au_route_dlq_delete = HANDLER(ask_delete);
const au_handler_t au_route_dlq_reprocess = HANDLER(ask_reprocess);
