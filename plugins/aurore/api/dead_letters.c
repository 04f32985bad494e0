/* SPDX-License-Identifier: MIT
 *
 * dead_letters - the dead letters: /dlq, /dlq/statistics, /dlq/:id,
 * /dlq/:id/reprocess.
 *
 * Putting one back asks the database for it, appends its event to the buffer,
 * waits until that is as safe as any other event, and then asks the database to
 * mark it. Whatever happens between these, the event is stored once or can be
 * put back again (dead_letter.h).
 */
#include "api/routes.h"

#include "api/dead_letter_query.h"
#include "base/clock.h"
#include "base/json.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MAX 1000
#define LIMIT_DEFAULT 100
#define OFFSET_MAX INT32_MAX

/* Any of the questions. */
typedef struct question {
  au_dead_letter_t letter; /* its id is that of the path */
  au_dead_letter_filter_t filter;
  au_bytes_t json;
  au_rows_t rows;
  bool is_found;
  struct question *next; /* of those that are being put back */
} question_t;

/* The dead letters that requests of this process are putting back. Two requests
 * for the same one would both find it waiting, and make two rows of its event;
 * only one would be stored, but only one should be told so. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects: busy */
static question_t *busy;

static bool is_same(const au_uuid_t *left, const au_uuid_t *right) {
  return memcmp(left, right, sizeof(*left)) == 0;
}

/* false: another request has it. */
static bool reserve(question_t *question) {
  pthread_mutex_lock(&lock);
  const question_t *other = busy;
  while (other != NULL && !is_same(&other->letter.id, &question->letter.id))
    other = other->next;
  if (other == NULL) {
    question->next = busy;
    busy = question;
  }
  pthread_mutex_unlock(&lock);
  return other == NULL;
}

/* Whether it was reserved or not. */
static void release(question_t *question) {
  pthread_mutex_lock(&lock);
  question_t **at = &busy;
  while (*at != NULL && *at != question)
    at = &(*at)->next;
  if (*at != NULL)
    *at = question->next;
  pthread_mutex_unlock(&lock);
}

static void question_free(void *argument) {
  question_t *question = argument;
  release(question);
  au_dead_letter_fini(&question->letter);
  au_rows_fini(&question->rows);
  au_bytes_fini(&question->json);
  free(question);
}

/* --- answers ---------------------------------------------------------------
 */

static enum MHD_Result answer_json(au_request_t *request,
                                   question_t *question) {
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &question->json, NULL);
}

/* "message" and what stood in the path. */
static enum MHD_Result answer_about(au_request_t *request, unsigned status,
                                    const char *message, const char *error) {
  au_bytes_t text = AU_BYTES_INIT;
  au_bytes_printf(&text, "%s: %s", message, request->parameter);
  const char *full = au_bytes_text(&text);
  enum MHD_Result result = au_answer_status(
      request, status, full != NULL ? full : message, error, NULL);
  au_bytes_fini(&text);
  return result;
}

static enum MHD_Result answer_not_found(au_request_t *request) {
  return answer_about(request, MHD_HTTP_NOT_FOUND,
                      "Dead letter event not found", "Not Found");
}

static enum MHD_Result answer_reprocessed(au_request_t *request) {
  return answer_about(request, MHD_HTTP_CONFLICT,
                      "Dead letter event already reprocessed", "Conflict");
}

/* Asks about the dead letter in the path, or answers that there is none. */
static enum MHD_Result ask_about_one(au_request_t *request,
                                     const au_ask_t *ask) {
  au_uuid_t id;
  if (!au_uuid_parse(request->parameter, strlen(request->parameter), &id))
    return answer_not_found(request);
  question_t *question = calloc(1, sizeof(*question));
  if (question == NULL)
    return au_answer_unavailable(request, "out of memory");
  question->letter.id = id;
  return au_request_ask(request, ask, question);
}

/* --- GET /dlq --------------------------------------------------------------
 */

static au_status_t run_list(void *argument, const au_query_job_t *job,
                            au_database_t *database,
                            au_database_error_t *error) {
  question_t *question = argument;
  return au_dead_letter_list(job, database, &question->filter, &question->json,
                             error);
}

static enum MHD_Result answer_asked(au_request_t *request, void *argument,
                                    au_status_t status) {
  question_t *question = argument;
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  return answer_json(request, question);
}

enum MHD_Result au_route_dlq_list(au_request_t *request) {
  static const au_ask_t ask = {.run = run_list,
                               .answer = answer_asked,
                               .free = question_free,
                               .operation = AU_OPERATION_DEAD_LETTER};
  static const char *const booleans[] = {"false", "true", NULL};
  au_parameter_t known[] = {{.name = "service"},
                            {.name = "reprocessed"},
                            {.name = "limit"},
                            {.name = "offset"}};
  au_refusals_t refusals = {.count = 0};
  au_request_parameters(request, known, 4, &refusals);
  question_t *question = calloc(1, sizeof(*question));
  if (question == NULL) {
    au_refusals_fini(&refusals);
    return au_answer_unavailable(request, "out of memory");
  }
  au_dead_letter_filter_t *filter = &question->filter;
  filter->service = au_parameter_text(&known[0], AU_OPTIONAL, &refusals);
  size_t is_reprocessed = au_parameter_choice(
      &known[1], booleans, AU_CASE_EXACT, "isBoolean", &refusals);
  if (known[1].value != NULL)
    filter->state = is_reprocessed == 1 ? AU_DEAD_LETTER_REPROCESSED
                                        : AU_DEAD_LETTER_PENDING;
  filter->limit =
      au_parameter_integer(&known[2], 1, LIMIT_MAX, LIMIT_DEFAULT, &refusals);
  filter->offset = au_parameter_integer(&known[3], 0, OFFSET_MAX, 0, &refusals);
  if (refusals.count > 0) {
    question_free(question);
    return au_answer_refused(request, &refusals);
  }
  au_refusals_fini(&refusals);
  return au_request_ask(request, &ask, question);
}

/* --- GET /dlq/statistics ---------------------------------------------------
 */

static au_status_t run_statistics(void *argument, const au_query_job_t *job,
                                  au_database_t *database,
                                  au_database_error_t *error) {
  question_t *question = argument;
  return au_dead_letter_statistics(job, database, &question->json, error);
}

enum MHD_Result au_route_dlq_statistics(au_request_t *request) {
  static const au_ask_t ask = {.run = run_statistics,
                               .answer = answer_asked,
                               .free = question_free,
                               .operation = AU_OPERATION_DEAD_LETTER};
  question_t *question = calloc(1, sizeof(*question));
  if (question == NULL)
    return au_answer_unavailable(request, "out of memory");
  return au_request_ask(request, &ask, question);
}

/* --- GET and DELETE /dlq/:id -----------------------------------------------
 */

static au_status_t run_show(void *argument, const au_query_job_t *job,
                            au_database_t *database,
                            au_database_error_t *error) {
  question_t *question = argument;
  return au_dead_letter_show(job, database, &question->letter.id,
                             &question->json, error);
}

static enum MHD_Result answer_shown(au_request_t *request, void *argument,
                                    au_status_t status) {
  question_t *question = argument;
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  return question->json.size > 0 ? answer_json(request, question)
                                 : answer_not_found(request);
}

enum MHD_Result au_route_dlq_show(au_request_t *request) {
  static const au_ask_t ask = {.run = run_show,
                               .answer = answer_shown,
                               .free = question_free,
                               .operation = AU_OPERATION_DEAD_LETTER};
  return ask_about_one(request, &ask);
}

static au_status_t run_delete(void *argument, const au_query_job_t *job,
                              au_database_t *database,
                              au_database_error_t *error) {
  question_t *question = argument;
  return au_dead_letter_delete(job, database, &question->letter.id,
                               &question->is_found, error);
}

static enum MHD_Result answer_deleted(au_request_t *request, void *argument,
                                      au_status_t status) {
  const question_t *question = argument;
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  if (!question->is_found)
    return answer_not_found(request);
  au_bytes_t nothing = AU_BYTES_INIT;
  return au_answer(request, MHD_HTTP_NO_CONTENT, NULL, &nothing, NULL);
}

enum MHD_Result au_route_dlq_delete(au_request_t *request) {
  static const au_ask_t ask = {.run = run_delete,
                               .answer = answer_deleted,
                               .free = question_free,
                               .operation = AU_OPERATION_DEAD_LETTER};
  return ask_about_one(request, &ask);
}

/* --- PATCH /dlq/:id/reprocess ----------------------------------------------
 */

static au_status_t run_mark(void *argument, const au_query_job_t *job,
                            au_database_t *database,
                            au_database_error_t *error) {
  question_t *question = argument;
  return au_dead_letter_mark(job, database, &question->letter,
                             &question->is_found, error);
}

static enum MHD_Result answer_marked(au_request_t *request, void *argument,
                                     au_status_t status) {
  const question_t *question = argument;
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
static enum MHD_Result answer_appended(au_request_t *request) {
  static const au_ask_t ask = {.run = run_mark,
                               .answer = answer_marked,
                               .free = question_free,
                               .operation = AU_OPERATION_DEAD_LETTER};
  if (request->told != AU_OK)
    return au_answer_not_appended(request, request->told);
  return au_request_ask(request, &ask, request->question);
}

static au_status_t run_read(void *argument, const au_query_job_t *job,
                            au_database_t *database,
                            au_database_error_t *error) {
  question_t *question = argument;
  return au_dead_letter_read(job, database, &question->letter, error);
}

static enum MHD_Result answer_read(au_request_t *request, void *argument,
                                   au_status_t status) {
  question_t *question = argument;
  au_dead_letter_t *letter = &question->letter;
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  if (!letter->is_found)
    return answer_not_found(request);
  if (letter->is_reprocessed)
    return answer_reprocessed(request);
  if (!letter->is_decoded)
    return answer_about(request, MHD_HTTP_UNPROCESSABLE_CONTENT,
                        "Dead letter event cannot be decoded",
                        "Unprocessable Entity");
  letter->event.ingested_at_us = au_clock_wall_us();
  if (au_rows_append_reprocess(&question->rows, &letter->event, &letter->id) !=
      AU_OK)
    return au_answer_unavailable(request, "out of memory");
  request->events = 1;
  return au_request_append(request, &question->rows, answer_appended);
}

enum MHD_Result au_route_dlq_reprocess(au_request_t *request) {
  static const au_ask_t ask = {.run = run_read,
                               .answer = answer_read,
                               .free = question_free,
                               .operation = AU_OPERATION_DEAD_LETTER};
  au_uuid_t id;
  if (!au_uuid_parse(request->parameter, strlen(request->parameter), &id))
    return answer_not_found(request);
  question_t *question = calloc(1, sizeof(*question));
  if (question == NULL)
    return au_answer_unavailable(request, "out of memory");
  question->letter.id = id;
  if (!reserve(question)) {
    question_free(question);
    return answer_reprocessed(request);
  }
  return au_request_ask(request, &ask, question);
}
