/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * dead_letters_bulk - POST /dlq/reprocess and DELETE /dlq: many dead letters at
 * once.
 *
 * They are put back a batch at a time: gathered by the database's threads,
 * appended to the buffer, then marked and the next ones gathered, until as many
 * are put back as were asked for, none is left, or the buffer is full. What was
 * put back by then is put back, whatever comes next (api/dead_letter_batch.h).
 */
#include "api/append.h"
#include "api/ask.h"
#include "api/dead_letter_batch.h"
#include "api/routes.h"
#include "base/json_members.h"
#include "base/timestamp.h"
#include "http/answer.h"
#include "http/coding.h"
#include "http/media_type.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MAX 10000
#define LIMIT_DEFAULT 1000
#define SQL_STATE_SIZE 5
#define WHOLE_MAX 1e15 /* below it a double has every whole number */

/* --- what is asked for ------------------------------------------------- */

/* service, sqlState, before, limit: members of the body, or parameters. */
enum { SERVICE, SQL_STATE, BEFORE, LIMIT, MEMBERS };

typedef struct member {
  au_json_kind_t kind;
  bool is_given;
  au_bytes_t text;
} member_t;

typedef struct bulk {
  au_asking_t asking; /* first */
  au_append_t append;
  au_status_t body;
  member_t member[MEMBERS];
  au_refusals_t refusals;
  au_dead_letter_choice_t choice;
  uint64_t limit;

  au_dead_letter_batch_t batch;
  au_dead_letter_place_t before; /* the batch */
  size_t room;                   /* of the buffer, when it was last looked at */
  bool is_appended;              /* the batch */
  bool is_over; /* nothing more is put back: "remaining" is counted */
  uint64_t reprocessed;
  uint64_t skipped;
  uint64_t remaining;
  uint64_t deleted;
} bulk_t;

static void bulk_done(au_request_t *request) {
  bulk_t *bulk = au_request_state(request);
  au_dead_letter_batch_fini(&bulk->batch);
  au_dead_letter_choice_fini(&bulk->choice);
  au_refusals_fini(&bulk->refusals);
  for (int i = 0; i < MEMBERS; i++)
    au_bytes_fini(&bulk->member[i].text);
}

static const char *const member_names[MEMBERS] = {"service", "sqlState",
                                                  "before", "limit"};

static void take_member(void *context, const char *name, au_json_kind_t kind,
                        const char *value) {
  bulk_t *bulk = context;
  for (int i = 0; i < MEMBERS; i++) {
    member_t *member = &bulk->member[i];
    if (strcmp(name, member_names[i]) != 0)
      continue;
    au_bytes_clear(&member->text, 0); /* of equal keys the last one counts */
    au_bytes_put_string(&member->text, value);
    member->kind = kind;
    member->is_given = kind != AU_JSON_NULL;
    return;
  }
  au_parameter_sort(NULL, 0, name, value, &bulk->refusals);
}

static bool is_blank(const char *text, size_t size) {
  return strspn(text, " \t\r\n") >= size;
}

static void take_body(au_request_t *request, au_status_t status,
                      const char *data, size_t size) {
  bulk_t *bulk = au_request_state(request);
  bulk->body = status;
  au_bytes_t text = {.account = au_request_account(request)};
  au_bytes_put(&text, data, status == AU_OK ? size : 0);
  const char *body = au_bytes_text(&text);
  if (status == AU_OK && body == NULL)
    bulk->body = AU_NOMEM;
  else if (status == AU_OK && !is_blank(body, size)) /* nothing is {} */
    bulk->body = au_json_members_read(body, size, take_member, bulk);
  au_bytes_fini(&text);
}

/* To JSON 5.0 and 5e0 are as whole as 5, and some programs write them so. */
static void write_whole(au_bytes_t *number) {
  const char *text = au_bytes_text(number);
  double value = text != NULL ? strtod(text, NULL) : WHOLE_MAX;
  if (fabs(value) >= WHOLE_MAX || (double)(int64_t)value != value)
    return;
  au_bytes_clear(number, 0);
  au_bytes_printf(number, "%" PRId64, (int64_t)value);
}

/* A member as a parameter, if it has the kind that it should. */
static au_parameter_t member_as(bulk_t *bulk, int which, bool is_number) {
  member_t *member = &bulk->member[which];
  au_parameter_t made = {.name = member_names[which]};
  if (!member->is_given)
    return made;
  bool fits = member->kind == AU_JSON_NUMBER
                  ? is_number || which == BEFORE
                  : member->kind == AU_JSON_STRING && !is_number;
  if (fits)
    made.value = au_bytes_text(&member->text);
  else
    au_refuse(&bulk->refusals, made.name, is_number ? "isInt" : "isString",
              "%s must be a %s", made.name, is_number ? "number" : "string");
  return made;
}

static void read_service(bulk_t *bulk, const au_parameter_t *parameter) {
  const char *service =
      au_parameter_text(parameter, AU_OPTIONAL, &bulk->refusals);
  if (service != NULL)
    au_bytes_put_string(&bulk->choice.service, service);
}

static void read_sql_state(bulk_t *bulk, const au_parameter_t *parameter) {
  const char *text = parameter->value;
  if (text == NULL)
    return;
  if (strlen(text) == SQL_STATE_SIZE &&
      strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == SQL_STATE_SIZE)
    au_bytes_put_string(&bulk->choice.sql_state, text);
  else
    au_refuse(&bulk->refusals, parameter->name, "isSqlState",
              "%s must be five digits or capital letters", parameter->name);
}

/* A number of JSON may have an exponent. */
static bool is_number_time(const member_t *member, int64_t *out_us) {
  return member->is_given && member->kind == AU_JSON_NUMBER &&
         au_timestamp_parse_number((const char *)member->text.data,
                                   member->text.size, out_us);
}

static void read_before(bulk_t *bulk, const au_parameter_t *parameter) {
  int64_t *before_us = &bulk->choice.before_us;
  bulk->choice.has_before =
      parameter->value != NULL &&
      (is_number_time(&bulk->member[BEFORE], before_us) ||
       au_parameter_time(parameter, before_us, &bulk->refusals));
}

/* --- POST /dlq/reprocess ----------------------------------------------- */

static size_t room_of(au_request_t *request) {
  au_buffer_usage_t usage;
  au_buffer_usage(au_api_of(request)->buffer, &usage);
  return usage.capacity > usage.events ? usage.capacity - usage.events : 0;
}

/* As many as may be gathered now; at least one, so that the buffer says that it
 * is full, if it is. */
static size_t batch_max(const bulk_t *bulk) {
  uint64_t left = bulk->limit - bulk->reprocessed;
  uint64_t max =
      left < AU_DEAD_LETTER_BATCH_MAX ? left : AU_DEAD_LETTER_BATCH_MAX;
  max = max < bulk->room ? max : bulk->room;
  return max > 0 ? (size_t)max : 1;
}

static au_status_t mark(bulk_t *bulk, const au_query_job_t *job,
                        au_database_t *database, au_database_error_t *error) {
  uint64_t marked = 0;
  au_status_t status =
      au_dead_letter_batch_mark(&bulk->batch, job, database, &marked, error);
  if (status != AU_OK)
    return status;
  bulk->reprocessed += marked;
  bulk->skipped += bulk->batch.claim.count - marked;
  bulk->is_appended = false;
  bulk->is_over = bulk->batch.is_last || bulk->reprocessed >= bulk->limit;
  au_dead_letter_batch_clear(&bulk->batch);
  return AU_OK;
}

/* Marks what was appended, and gathers what comes next, or counts what is left.
 */
static au_status_t run_step(void *state, const au_query_job_t *job,
                            au_database_t *database,
                            au_database_error_t *error) {
  bulk_t *bulk = state;
  au_dead_letter_batch_t *batch = &bulk->batch;
  au_status_t status = AU_OK;
  if (bulk->is_appended)
    status = mark(bulk, job, database, error);
  while (status == AU_OK && !bulk->is_over && batch->claim.count == 0) {
    bulk->before = batch->place;
    status = au_dead_letter_batch_gather(batch, &bulk->choice, batch_max(bulk),
                                         job, database, error);
    bulk->skipped += batch->skipped;
    batch->skipped = 0;
    if (status == AU_OK && batch->claim.count == 0) {
      bulk->is_over = batch->is_last;
      au_dead_letter_batch_clear(batch);
    }
  }
  if (status == AU_OK && bulk->is_over)
    status = au_dead_letter_count(&bulk->choice, &batch->place, job, database,
                                  &bulk->remaining, error);
  return status;
}

static enum MHD_Result answer_counts(au_request_t *request) {
  const bulk_t *bulk = au_request_state(request);
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_printf(&body,
                  "{\"reprocessed\":%" PRIu64 ",\"skipped\":%" PRIu64
                  ",\"remaining\":%" PRIu64 "}",
                  bulk->reprocessed, bulk->skipped, bulk->remaining);
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
}

static enum MHD_Result answer_step(au_request_t *request, au_status_t status);

static const au_ask_t ask_step = {.run = run_step,
                                  .answer = answer_step,
                                  .operation = AU_OPERATION_DEAD_LETTER};

/* The buffer has decided. */
static enum MHD_Result answer_appended(au_request_t *request,
                                       au_status_t status) {
  bulk_t *bulk = au_request_state(request);
  au_append_release(request, &bulk->append);
  bulk->is_appended = status == AU_OK;
  bulk->room = room_of(request);
  if (status != AU_OK && (status != AU_FULL || bulk->reprocessed == 0))
    return au_answer_not_appended(request, status, bulk->batch.claim.count);
  if (status == AU_FULL) { /* it is left to another request */
    au_dead_letter_batch_clear(&bulk->batch);
    bulk->batch.place = bulk->before;
    bulk->is_over = true;
  }
  return au_request_ask(request, &ask_step);
}

static enum MHD_Result answer_step(au_request_t *request, au_status_t status) {
  bulk_t *bulk = au_request_state(request);
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  if (bulk->is_over)
    return answer_counts(request);
  return au_request_append(request, &bulk->append, &bulk->batch.rows,
                           answer_appended);
}

/* What no form of a foreign page can send without asking first. */
static bool check_type(au_request_t *request) {
  const char *type = au_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
  if (type != NULL && au_media_type_is(type, "application/json") &&
      au_media_type_is_utf8(type))
    return true;
  (void)au_answer_refusal(request, AU_ERROR_UNSUPPORTED_TYPE,
                          "the Content-Type must be application/json, in UTF-8",
                          NULL);
  return false;
}

/* The body is small: nobody need pack it. */
static bool check_coding(au_request_t *request) {
  const char *coding =
      au_request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING);
  if (au_content_coding_read(coding) == AU_CONTENT_IDENTITY)
    return true;
  (void)au_answer_refusal(request, AU_ERROR_UNSUPPORTED_CODING,
                          "Content-Encoding must be identity", NULL);
  return false;
}

static bool begin_reprocess(au_request_t *request) {
  return check_type(request) && check_coding(request);
}

static enum MHD_Result answer_bad_body(au_request_t *request,
                                       au_status_t status) {
  if (status == AU_FULL)
    return au_answer_refusal(request, AU_ERROR_BODY_TOO_LARGE,
                             "request entity too large", NULL);
  if (status == AU_INVALID)
    return au_answer_refusal(request, AU_ERROR_MALFORMED_JSON,
                             "the body must be one JSON object", NULL);
  return au_answer_unavailable(request, AU_NO_MEMORY);
}

static enum MHD_Result run_reprocess(au_request_t *request) {
  bulk_t *bulk = au_request_state(request);
  if (bulk->body != AU_OK)
    return answer_bad_body(request, bulk->body);
  au_request_parameters(request, NULL, 0, &bulk->refusals);
  au_parameter_t parameter = member_as(bulk, SERVICE, false);
  read_service(bulk, &parameter);
  parameter = member_as(bulk, SQL_STATE, false);
  read_sql_state(bulk, &parameter);
  parameter = member_as(bulk, BEFORE, false);
  read_before(bulk, &parameter);
  if (bulk->member[LIMIT].kind == AU_JSON_NUMBER)
    write_whole(&bulk->member[LIMIT].text);
  parameter = member_as(bulk, LIMIT, true);
  bulk->limit = (uint64_t)au_parameter_integer(&parameter, 1, LIMIT_MAX,
                                               LIMIT_DEFAULT, &bulk->refusals);
  if (bulk->refusals.count > 0)
    return au_answer_refused(request, &bulk->refusals);
  bulk->room = room_of(request);
  au_dead_letter_batch_init(&bulk->batch, au_request_account(request));
  return au_request_ask(request, &ask_step);
}

const au_handler_t au_route_dlq_reprocess_many = {.begin = begin_reprocess,
                                                  .body = take_body,
                                                  .run = run_reprocess,
                                                  .done = bulk_done,
                                                  .state_size = sizeof(bulk_t)};

/* --- DELETE /dlq ------------------------------------------------------- */

static au_status_t run_delete(void *state, const au_query_job_t *job,
                              au_database_t *database,
                              au_database_error_t *error) {
  bulk_t *bulk = state;
  return au_dead_letter_purge(&bulk->choice, job, database, &bulk->deleted,
                              error);
}

static enum MHD_Result answer_deleted(au_request_t *request,
                                      au_status_t status) {
  const bulk_t *bulk = au_request_state(request);
  if (status != AU_OK)
    return au_answer_no_database(request, status);
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_printf(&body, "{\"deleted\":%" PRIu64 "}", bulk->deleted);
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
}

static enum MHD_Result ask_delete(au_request_t *request) {
  static const au_ask_t ask = {.run = run_delete,
                               .answer = answer_deleted,
                               .operation = AU_OPERATION_DEAD_LETTER};
  bulk_t *bulk = au_request_state(request);
  au_refusals_t *refusals = &bulk->refusals;
  au_parameter_t known[] = {
      {.name = "service"}, {.name = "reprocessed"}, {.name = "before"}};
  au_request_parameters(request, known, 3, refusals);
  read_service(bulk, &known[0]);
  bulk->choice.state = au_dead_letter_state_read(&known[1], refusals);
  read_before(bulk, &known[2]);
  if (refusals->count == 0 && known[0].value == NULL &&
      known[1].value == NULL && known[2].value == NULL)
    au_refuse(refusals, "service", "isNotEmpty",
              "one of service, reprocessed and before is required");
  if (refusals->count > 0)
    return au_answer_refused(request, refusals);
  return au_request_ask(request, &ask);
}

const au_handler_t au_route_dlq_delete_many = {
    .run = ask_delete, .done = bulk_done, .state_size = sizeof(bulk_t)};
