/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * A dead letter that was deleted while its event waited is shown to nobody.
 * Every question is bounded by the query's timeout; there is an index that
 * holds all that counting needs, so that the events need not be read for it.
 */
#include "api/dead_letter_query.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/json_object.h"
#include "base/timestamp.h"
#include "event/row.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Services that the statistics name. */
#define SERVICES_MAX 1000
/* A tuple that this program made is no larger than a request's body; what is
 * larger than this is none that the spool should take. */
#define TUPLE_MAX ((size_t)64 << 20)

/* What is shown of a dead letter, in the order of put_members. */
#define COLUMNS                                                                \
  "d.id, d.event_id, d.service, d.failure_reason, d.sql_state, "               \
  "d.retry_count, (extract(epoch FROM d.last_attempt_at) * 1000000)::bigint, " \
  "d.reprocessed, (extract(epoch FROM d.created_at) * 1000000)::bigint"
#define COLUMNS_COUNT 9
#define WORD_SIZE 16

static au_status_t out_of_memory(au_database_error_t *error) {
  *error = (au_database_error_t){.fault = AU_FAULT_DATABASE,
                                 .message = "out of memory"};
  return AU_NOMEM;
}

/* Sends what was put together, and forgets it. */
static au_status_t ask(const au_query_job_t *job, au_database_t *database,
                       au_bytes_t *sql, au_result_t *out_result,
                       au_database_error_t *error) {
  const char *text = au_bytes_text(sql);
  au_status_t status =
      text != NULL ? au_query_exec(job, database, text, out_result, error)
                   : out_of_memory(error);
  au_bytes_fini(sql);
  return status;
}

/* --- as JSON ----------------------------------------------------------- */

static void put_name(au_bytes_t *json, const char *name) {
  au_bytes_printf(json, ",\"%s\":", name);
}

static void put_time(au_bytes_t *json, int64_t us) {
  char text[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(us, text);
  au_json_put_text(json, text);
}

/* Microseconds as the server wrote them; NULL becomes null. */
static void put_time_text(au_bytes_t *json, const char *us) {
  if (us == NULL)
    au_bytes_put_string(json, "null");
  else
    put_time(json, strtoll(us, NULL, 10));
}

static bool is_true(const char *text) {
  return text != NULL && strcmp(text, "t") == 0;
}

static void put_boolean(au_bytes_t *json, bool value) {
  au_bytes_put_string(json, value ? "true" : "false");
}

/* The members of COLUMNS, which begin at "column", without the braces. */
static void put_members(au_bytes_t *json, const au_result_t *result, size_t row,
                        unsigned column) {
  static const char *const text[] = {"id", "eventId", "service",
                                     "failureReason", "sqlState"};
  const size_t texts = sizeof(text) / sizeof(text[0]);
  for (unsigned i = 0; i < texts; i++) {
    au_bytes_printf(json, "%s\"%s\":", i > 0 ? "," : "", text[i]);
    au_json_put_text(json, au_result_text(result, row, column + i));
  }
  const char *retries = au_result_text(result, row, column + 5);
  au_bytes_printf(json, ",\"retryCount\":%ld",
                  retries != NULL ? strtol(retries, NULL, 10) : 0);
  put_name(json, "lastAttemptAt");
  put_time_text(json, au_result_text(result, row, column + 6));
  put_name(json, "reprocessed");
  put_boolean(json, is_true(au_result_text(result, row, column + 7)));
  put_name(json, "createdAt");
  put_time_text(json, au_result_text(result, row, column + 8));
}

/* --- an event that somebody else may have written ----------------------- */

static void put_event(au_bytes_t *json, const au_event_t *event) {
  char id[AU_UUID_TEXT_SIZE];
  au_uuid_format(&event->id, id);
  au_bytes_printf(json, "{\"eventId\":\"%s\"", id);
  put_name(json, "timestamp");
  put_time(json, event->occurred_at_us);
  put_name(json, "service");
  au_json_put_string(json, event->service.data, event->service.size);
  put_name(json, "message");
  au_json_put_string(json, event->message.data, event->message.size);
  put_name(json, "metadata");
  if (event->metadata.data != NULL &&
      au_json_object_is_whole(event->metadata.data, event->metadata.size))
    au_bytes_put(json, event->metadata.data, event->metadata.size);
  else
    au_bytes_put_string(json, "null");
  put_name(json, "ingestedAt");
  put_time(json, event->ingested_at_us);
  au_bytes_put_u8(json, '}');
}

/* --- the event --------------------------------------------------------- */

/* bytea as the server writes it. false: it is not; or out of memory. */
static bool read_bytea(const char *text, au_bytes_t *out) {
  if (text == NULL || text[0] != '\\' || text[1] != 'x')
    return false;
  text += 2;
  size_t size = strlen(text) / 2;
  uint8_t *bytes = au_bytes_extend(out, size);
  return bytes != NULL && au_hex_read(text, bytes, size);
}

/* The tuple of a dead letter, whoever wrote it. */
static bool decode(const char *bytea, const char *format, au_bytes_t *tuple,
                   au_event_t *out_event) {
  return format != NULL && strcmp(format, "1") == 0 &&
         read_bytea(bytea, tuple) && tuple->size <= TUPLE_MAX &&
         au_row_decode(tuple->data, tuple->size, out_event) == AU_OK;
}

bool au_dead_letter_decode(const char *bytea, const char *format,
                           au_bytes_t *tuple, au_event_t *out_event) {
  if (!decode(bytea, format, tuple, out_event))
    return false;
  const au_row_t row = au_row_split(AU_ROW_EVENT, tuple->data, tuple->size);
  return au_row_is_sound(&row);
}

/* --- questions --------------------------------------------------------- */

static void put_filter(au_bytes_t *sql, const au_dead_letter_filter_t *filter) {
  au_bytes_put_string(sql, " FROM aurore.dead_letter AS d"
                           " WHERE d.deleted_at IS NULL");
  if (filter->service != NULL) {
    au_bytes_put_string(sql, " AND d.service = ");
    au_database_put_literal(sql, filter->service, strlen(filter->service));
  }
  if (filter->state == AU_DEAD_LETTER_PENDING)
    au_bytes_put_string(sql, " AND NOT d.reprocessed");
  else if (filter->state == AU_DEAD_LETTER_REPROCESSED)
    au_bytes_put_string(sql, " AND d.reprocessed");
}

au_status_t au_dead_letter_list(const au_query_job_t *job,
                                au_database_t *database,
                                const au_dead_letter_filter_t *filter,
                                au_bytes_t *json, au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  /* One statement, so that the page and the total are of one moment; a page
   * without rows still has the total. */
  au_bytes_put_string(&sql,
                      "SELECT " COLUMNS ", t.total FROM (SELECT count(*)");
  put_filter(&sql, filter);
  au_bytes_put_string(&sql, ") AS t (total) LEFT JOIN (SELECT d.*");
  put_filter(&sql, filter);
  au_bytes_printf(&sql,
                  " ORDER BY d.created_at DESC, d.id LIMIT %" PRId64
                  " OFFSET %" PRId64
                  ") AS d ON true ORDER BY d.created_at DESC, d.id",
                  filter->limit, filter->offset);
  au_result_t result = {.pg = NULL};
  au_status_t status = ask(job, database, &sql, &result, error);
  if (status != AU_OK)
    return status;
  size_t rows = au_result_rows(&result);
  const char *total =
      rows > 0 ? au_result_text(&result, 0, COLUMNS_COUNT) : NULL;
  au_bytes_put_string(json, "{\"events\":[");
  for (size_t i = 0; i < rows && au_result_text(&result, i, 0) != NULL; i++) {
    au_bytes_put_string(json, i > 0 ? ",{" : "{");
    put_members(json, &result, i, 0);
    au_bytes_put_u8(json, '}');
  }
  au_bytes_printf(
      json, "],\"total\":%s,\"limit\":%" PRId64 ",\"offset\":%" PRId64 "}",
      total != NULL ? total : "0", filter->limit, filter->offset);
  au_result_fini(&result);
  return json->failed ? out_of_memory(error) : AU_OK;
}

#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)

static const char statistics_sql[] = "SELECT CASE WHEN s.place <= " TEXT(
    SERVICES_MAX) " THEN s.service ELSE "
                  "'other' END, sum(s.n), sum(s.reprocessed), "
                  "(extract(epoch FROM min(s.oldest)) * 1000000)::bigint "
                  "FROM (SELECT d.service, count(*) AS n,"
                  " count(*) FILTER (WHERE d.reprocessed) AS reprocessed,"
                  " min(d.created_at) AS oldest,"
                  " row_number() OVER (ORDER BY count(*) DESC, d.service) AS "
                  "place"
                  " FROM aurore.dead_letter AS d WHERE d.deleted_at IS NULL "
                  "GROUP BY 1) AS s "
                  "GROUP BY 1 ORDER BY min(s.place)";

static uint64_t number_of(const au_result_t *result, size_t row,
                          unsigned column) {
  const char *text = au_result_text(result, row, column);
  return text != NULL ? strtoull(text, NULL, 10) : 0;
}

au_status_t au_dead_letter_statistics(const au_query_job_t *job,
                                      au_database_t *database, au_bytes_t *json,
                                      au_database_error_t *error) {
  au_result_t result = {.pg = NULL};
  au_status_t status =
      au_query_exec(job, database, statistics_sql, &result, error);
  if (status != AU_OK)
    return status;
  uint64_t total = 0;
  uint64_t reprocessed = 0;
  const char *oldest = NULL;
  au_bytes_t services = AU_BYTES_INIT;
  for (size_t i = 0; i < au_result_rows(&result); i++) {
    uint64_t count = number_of(&result, i, 1);
    total += count;
    reprocessed += number_of(&result, i, 2);
    const char *time = au_result_text(&result, i, 3);
    if (time != NULL &&
        (oldest == NULL || strtoll(time, NULL, 10) < strtoll(oldest, NULL, 10)))
      oldest = time;
    if (i > 0)
      au_bytes_put_u8(&services, ',');
    au_json_put_text(&services, au_result_text(&result, i, 0));
    au_bytes_printf(&services, ":%" PRIu64, count);
  }
  au_bytes_printf(json, "{\"total\":%" PRIu64 ",\"byService\":{", total);
  au_bytes_put(json, services.data, services.size);
  au_bytes_printf(json,
                  "},\"reprocessed\":%" PRIu64 ",\"pending\":%" PRIu64
                  ",\"oldestEvent\":",
                  reprocessed, total - reprocessed);
  put_time_text(json, oldest);
  au_bytes_put_u8(json, '}');
  au_result_fini(&result);
  bool failed = services.failed || json->failed;
  au_bytes_fini(&services);
  return failed ? out_of_memory(error) : AU_OK;
}

au_status_t au_dead_letter_show(const au_query_job_t *job,
                                au_database_t *database, const au_uuid_t *id,
                                au_bytes_t *json, au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SELECT " COLUMNS ", d.event, d.format"
                            " FROM aurore.dead_letter AS d"
                            " WHERE d.deleted_at IS NULL AND d.id = ");
  au_database_put_uuid(&sql, id);
  au_result_t result = {.pg = NULL};
  au_status_t status = ask(job, database, &sql, &result, error);
  if (status != AU_OK)
    return status;
  au_bytes_t tuple = AU_BYTES_INIT;
  au_event_t event;
  if (au_result_rows(&result) > 0) {
    au_bytes_put_u8(json, '{');
    put_members(json, &result, 0, 0);
    put_name(json, "originalEvent");
    if (decode(au_result_text(&result, 0, COLUMNS_COUNT),
               au_result_text(&result, 0, COLUMNS_COUNT + 1), &tuple, &event))
      put_event(json, &event);
    else
      au_bytes_put_string(json, "null");
    au_bytes_put_u8(json, '}');
  }
  bool failed = tuple.failed || json->failed;
  au_bytes_fini(&tuple);
  au_result_fini(&result);
  return failed ? out_of_memory(error) : AU_OK;
}

/* --- putting one back -------------------------------------------------- */

void au_dead_letter_fini(au_dead_letter_t *letter) {
  au_bytes_fini(&letter->tuple);
  au_bytes_fini(&letter->reason);
}

au_status_t au_dead_letter_of_event(const au_query_job_t *job,
                                    au_database_t *database,
                                    const au_uuid_t *event_id,
                                    au_dead_letter_t *letter,
                                    au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql,
                      "SELECT d.event, d.format, d.id, d.reprocessed, "
                      "d.stored_at IS NOT NULL, d.failure_reason"
                      " FROM aurore.dead_letter AS d WHERE d.event_id = ");
  au_database_put_uuid(&sql, event_id);
  au_bytes_put_string(&sql, " ORDER BY d.created_at DESC LIMIT 1");
  au_result_t result = {.pg = NULL};
  au_status_t status = ask(job, database, &sql, &result, error);
  if (status != AU_OK)
    return status;
  letter->is_found = au_result_rows(&result) > 0;
  if (letter->is_found) {
    const char *id = au_result_text(&result, 0, 2);
    (void)au_uuid_parse(id, strlen(id), &letter->id);
    letter->is_reprocessed = is_true(au_result_text(&result, 0, 3));
    letter->is_stored = is_true(au_result_text(&result, 0, 4));
    au_json_put_text(&letter->reason, au_result_text(&result, 0, 5));
    letter->is_decoded =
        decode(au_result_text(&result, 0, 0), au_result_text(&result, 0, 1),
               &letter->tuple, &letter->event);
  }
  au_result_fini(&result);
  return letter->tuple.failed || letter->reason.failed ? out_of_memory(error)
                                                       : AU_OK;
}

au_status_t au_dead_letter_read(const au_query_job_t *job,
                                au_database_t *database,
                                au_dead_letter_t *letter,
                                au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(
      &sql, "SELECT d.event, d.format, d.retry_count, d.reprocessed"
            " AND (d.stored_at IS NOT NULL"
            " OR d.reprocessed_at > now() - " AU_DEAD_LETTER_WAITS_AT_MOST ")"
            " FROM aurore.dead_letter AS d"
            " WHERE d.deleted_at IS NULL AND d.id = ");
  au_database_put_uuid(&sql, &letter->id);
  /* Where it could not be stored, it is refused before it is put back: a role
   * without the right to update, a database that is read-only. */
  au_bytes_put_string(&sql, " FOR UPDATE");
  au_result_t result = {.pg = NULL};
  au_status_t status = ask(job, database, &sql, &result, error);
  if (status != AU_OK)
    return status;
  au_bytes_clear(&letter->tuple, 0);
  letter->is_found = au_result_rows(&result) > 0;
  if (letter->is_found) {
    letter->retry_count = (int)number_of(&result, 0, 2);
    letter->is_reprocessed = is_true(au_result_text(&result, 0, 3));
    letter->is_decoded = au_dead_letter_decode(au_result_text(&result, 0, 0),
                                               au_result_text(&result, 0, 1),
                                               &letter->tuple, &letter->event);
  }
  au_result_fini(&result);
  return letter->tuple.failed ? out_of_memory(error) : AU_OK;
}

/* A statement that returns one short text; "" when it returns none. */
static au_status_t ask_word(const au_query_job_t *job, au_database_t *database,
                            au_bytes_t *sql, char out_word[WORD_SIZE],
                            au_database_error_t *error) {
  au_result_t result = {.pg = NULL};
  au_status_t status = ask(job, database, sql, &result, error);
  if (status != AU_OK)
    return status;
  const char *word =
      au_result_rows(&result) > 0 ? au_result_text(&result, 0, 0) : NULL;
  snprintf(out_word, WORD_SIZE, "%s", word != NULL ? word : "");
  au_result_fini(&result);
  return AU_OK;
}

au_status_t au_dead_letter_mark(const au_query_job_t *job,
                                au_database_t *database,
                                const au_dead_letter_t *letter,
                                bool *out_is_found,
                                au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SELECT aurore.mark_dead_letter(");
  au_database_put_uuid(&sql, &letter->id);
  au_bytes_printf(&sql, ",%d)", letter->retry_count);
  char word[WORD_SIZE] = "";
  au_status_t status = ask_word(job, database, &sql, word, error);
  *out_is_found = is_true(word);
  return status;
}

au_status_t au_dead_letter_delete(const au_query_job_t *job,
                                  au_database_t *database, const au_uuid_t *id,
                                  au_dead_letter_deletion_t *out_deletion,
                                  au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SELECT aurore.remove_dead_letter(");
  au_database_put_uuid(&sql, id);
  au_bytes_put_u8(&sql, ')');
  char word[WORD_SIZE] = "";
  au_status_t status = ask_word(job, database, &sql, word, error);
  *out_deletion = strcmp(word, "deleted") == 0 ? AU_DEAD_LETTER_DELETED
                  : strcmp(word, "busy") == 0  ? AU_DEAD_LETTER_BUSY
                                               : AU_DEAD_LETTER_NONE;
  return status;
}
