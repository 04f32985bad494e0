/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * The order is (created_at, id DESC): that of the index dead_letter_waiting,
 * read backwards. Locks are taken in this order everywhere, so that two who put
 * back, or delete, do not wait for each other in a circle.
 */
#include "api/dead_letter_batch.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of a batch's rows: more are left to the next one. */
#define ROWS_BYTES ((size_t)1 << 20)
#define PURGED_AT_A_TIME 2000
/* Of a tuple, between two. */
#define KEPT_BYTES ((size_t)64 << 10)

void au_dead_letter_choice_fini(au_dead_letter_choice_t *choice) {
  au_bytes_fini(&choice->service);
  au_bytes_fini(&choice->sql_state);
}

static void put_equal(au_bytes_t *sql, const char *column,
                      const au_bytes_t *text) {
  if (text->size == 0)
    return;
  au_bytes_printf(sql, " AND d.%s = ", column);
  au_database_put_literal(sql, (const char *)text->data, text->size);
}

static void put_choice(au_bytes_t *sql, const au_dead_letter_choice_t *choice) {
  put_equal(sql, "service", &choice->service);
  put_equal(sql, "sql_state", &choice->sql_state);
  if (choice->has_before) {
    au_bytes_put_string(sql, " AND d.created_at < ");
    au_database_put_time(sql, choice->before_us);
  }
}

/* Those that wait, behind the place. */
static void put_waiting(au_bytes_t *sql, const au_dead_letter_choice_t *choice,
                        const au_dead_letter_place_t *place) {
  au_bytes_put_string(
      sql, " FROM aurore.dead_letter AS d WHERE d.stored_at IS NULL AND "
           "d.deleted_at IS NULL AND (NOT d.reprocessed OR d.reprocessed_at "
           "<= now() - " AU_DEAD_LETTER_WAITS_AT_MOST ")");
  put_choice(sql, choice);
  if (!place->is_set)
    return;
  au_bytes_put_string(sql, " AND d.created_at >= ");
  au_database_put_time(sql, place->created_us);
  au_bytes_put_string(sql, " AND (d.created_at > ");
  au_database_put_time(sql, place->created_us);
  au_bytes_put_string(sql, " OR d.id < ");
  au_database_put_uuid(sql, &place->id);
  au_bytes_put_u8(sql, ')');
}

/* --- gathering --------------------------------------------------------- */

enum { EVENT, FORMAT, ID, RETRIES, CREATED };

static int64_t number_of(const au_result_t *row, unsigned column) {
  const char *text = au_result_text(row, 0, column);
  return text != NULL ? strtoll(text, NULL, 10) : 0;
}

/* Whether its event is in the batch now. */
static bool add_event(au_dead_letter_batch_t *batch, const au_result_t *row,
                      const au_uuid_t *id) {
  au_event_t event;
  au_bytes_clear(&batch->tuple, KEPT_BYTES);
  if (!au_dead_letter_decode(au_result_text(row, 0, EVENT),
                             au_result_text(row, 0, FORMAT), &batch->tuple,
                             &event) ||
      !au_letter_claim_add(&batch->claim, id))
    return false;
  event.ingested_at_us = batch->now_us;
  batch->retry_count[batch->claim.count - 1] = (int)number_of(row, RETRIES);
  return au_rows_append_reprocess(&batch->rows, &event, id) == AU_OK;
}

static void take_letter(const au_result_t *row, void *context) {
  au_dead_letter_batch_t *batch = context;
  batch->seen++;
  const char *text = au_result_text(row, 0, ID);
  au_uuid_t id;
  if (batch->is_full || batch->rows.bytes.failed || text == NULL ||
      !au_uuid_parse(text, strlen(text), &id))
    return;
  if (!add_event(batch, row, &id))
    batch->skipped++;
  batch->place = (au_dead_letter_place_t){
      .is_set = true, .created_us = number_of(row, CREATED), .id = id};
  batch->is_full = batch->rows.bytes.size >= ROWS_BYTES;
}

au_status_t au_dead_letter_batch_gather(au_dead_letter_batch_t *batch,
                                        const au_dead_letter_choice_t *choice,
                                        size_t max, const au_query_job_t *job,
                                        au_database_t *database,
                                        au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql,
                      "SELECT d.event, d.format, d.id, d.retry_count, "
                      "(extract(epoch FROM d.created_at) * 1000000)::bigint");
  put_waiting(&sql, choice, &batch->place);
  /* As one alone: where it could not be stored, it is refused before it is put
   * back. What is locked is being stored, or marked. */
  au_bytes_printf(&sql,
                  " ORDER BY d.created_at, d.id DESC LIMIT %zu FOR UPDATE "
                  "SKIP LOCKED",
                  max);
  batch->now_us = au_clock_wall_us();
  const char *text = au_bytes_text(&sql);
  au_status_t status = AU_NOMEM;
  if (text != NULL)
    status = au_query_rows(job, database, text, take_letter, batch, error);
  au_bytes_fini(&sql);
  batch->is_last = batch->seen < max && !batch->is_full;
  bool is_whole = batch->rows.count == batch->claim.count &&
                  !batch->rows.bytes.failed && !batch->tuple.failed;
  return status == AU_OK && !is_whole ? AU_NOMEM : status;
}

/* --- afterwards -------------------------------------------------------- */

/* A statement that returns one number. */
static au_status_t ask_number(const au_query_job_t *job,
                              au_database_t *database, au_bytes_t *sql,
                              uint64_t *out_number,
                              au_database_error_t *error) {
  au_result_t result = {.pg = NULL};
  const char *text = au_bytes_text(sql);
  au_status_t status = AU_NOMEM;
  if (text != NULL)
    status = au_query_exec(job, database, text, &result, error);
  au_bytes_fini(sql);
  *out_number = status == AU_OK && au_result_rows(&result) > 0
                    ? (uint64_t)number_of(&result, 0)
                    : 0;
  au_result_fini(&result);
  return status;
}

au_status_t au_dead_letter_batch_mark(const au_dead_letter_batch_t *batch,
                                      const au_query_job_t *job,
                                      au_database_t *database,
                                      uint64_t *out_count,
                                      au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SELECT count(*) FROM (VALUES ");
  for (size_t i = 0; i < batch->claim.count; i++) {
    au_bytes_put_string(&sql, i > 0 ? "),(" : "(");
    au_database_put_uuid(&sql, &batch->id[i]);
    au_bytes_printf(&sql, "::uuid,%d", batch->retry_count[i]);
  }
  au_bytes_put_string(&sql, ")) AS v (id, retry_count) WHERE "
                            "aurore.mark_dead_letter(v.id, v.retry_count)");
  return ask_number(job, database, &sql, out_count, error);
}

void au_dead_letter_batch_init(au_dead_letter_batch_t *batch,
                               au_account_t *account) {
  batch->claim = (au_letter_claim_t){.id = batch->id,
                                     .capacity = AU_DEAD_LETTER_BATCH_MAX};
  au_rows_charge(&batch->rows, account);
  batch->tuple.account = account;
}

void au_dead_letter_batch_clear(au_dead_letter_batch_t *batch) {
  au_letter_claim_clear(&batch->claim);
  au_rows_clear(&batch->rows);
  batch->skipped = 0;
  batch->seen = 0;
  batch->is_full = false;
}

void au_dead_letter_batch_fini(au_dead_letter_batch_t *batch) {
  au_letter_claim_clear(&batch->claim);
  au_rows_fini(&batch->rows);
  au_bytes_fini(&batch->tuple);
}

au_status_t au_dead_letter_count(const au_dead_letter_choice_t *choice,
                                 const au_dead_letter_place_t *place,
                                 const au_query_job_t *job,
                                 au_database_t *database, uint64_t *out_count,
                                 au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SELECT count(*)");
  put_waiting(&sql, choice, place);
  return ask_number(job, database, &sql, out_count, error);
}

/* --- deleting ---------------------------------------------------------- */

au_status_t au_dead_letter_purge(const au_dead_letter_choice_t *choice,
                                 const au_query_job_t *job,
                                 au_database_t *database, uint64_t *out_count,
                                 au_database_error_t *error) {
  uint64_t deleted = PURGED_AT_A_TIME;
  au_status_t status = AU_OK;
  *out_count = 0;
  while (status == AU_OK && deleted == PURGED_AT_A_TIME) {
    au_bytes_t sql = AU_BYTES_INIT;
    au_bytes_put_string(
        &sql, "WITH gone AS (DELETE FROM aurore.dead_letter WHERE id = ANY "
              "(ARRAY(SELECT d.id FROM aurore.dead_letter AS d "
              "WHERE d.deleted_at IS NULL");
    if (choice->state != AU_DEAD_LETTER_REPROCESSED)
      au_bytes_put_string(&sql, choice->state == AU_DEAD_LETTER_PENDING
                                    ? " AND NOT d.reprocessed"
                                    : " AND (NOT d.reprocessed OR "
                                      "d.stored_at IS NOT NULL)");
    else
      au_bytes_put_string(&sql, " AND d.stored_at IS NOT NULL");
    put_choice(&sql, choice);
    au_bytes_printf(&sql,
                    " ORDER BY d.created_at, d.id DESC LIMIT %d FOR UPDATE "
                    "SKIP LOCKED)) RETURNING 1) SELECT count(*) FROM gone",
                    PURGED_AT_A_TIME);
    status = ask_number(job, database, &sql, &deleted, error);
    *out_count += deleted;
  }
  return status;
}
