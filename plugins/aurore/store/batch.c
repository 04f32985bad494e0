/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/. */
#include "store/batch.h"

#include "base/array.h"
#include "base/clock.h"
#include "base/timestamp.h"
#include "base/utf8.h"
#include "event/row.h"
#include "metrics/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The SQLSTATE by which a transaction that was only to be tried is undone. */
#define TAKEN "AU002"

/* Kept from batch to batch. */
#define KEEP_SQL ((size_t)1 << 20)

void au_batch_fini(au_batch_t *batch) {
  au_slab_fini(&batch->slab);
  au_tally_fini(&batch->tally);
  au_bytes_fini(&batch->sql);
  au_event_keys_fini(&batch->keys);
  free(batch->dead);
  free(batch->piece);
  *batch = (au_batch_t){.done = 0};
}

/* The next range has at most "limit" rows. */
static void set_limit(au_batch_t *batch, size_t limit) {
  size_t left = batch->slab.count - batch->done;
  batch->limit = limit;
  batch->hi = batch->done + (limit < left ? limit : left);
}

/* The number of marks of rows before "row". */
static size_t marks_before(const au_batch_t *batch, size_t row) {
  size_t low = 0;
  size_t high = batch->dead_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (batch->dead[middle].row < row)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* false: out of memory. */
static bool mark_dead(au_batch_t *batch, size_t row, const char *sqlstate,
                      const char *reason) {
  au_batch_dead_t *more = au_array_grow(batch->dead, &batch->dead_capacity,
                                        batch->dead_count, sizeof(*more));
  if (more == NULL)
    return false;
  batch->dead = more;
  size_t at = marks_before(batch, row);
  au_batch_dead_t *dead = &batch->dead[at];
  memmove(dead + 1, dead, (batch->dead_count - at) * sizeof(*dead));
  batch->dead_count++;
  au_refusal_t *refusal = &dead->refusal;
  dead->row = row;
  snprintf(refusal->sqlstate, sizeof(refusal->sqlstate), "%s", sqlstate);
  /* Cut between two characters: the database takes valid UTF-8 only. */
  size_t length = strnlen(reason, sizeof(refusal->reason) - 1);
  memcpy(refusal->reason, reason, length);
  refusal->reason[au_utf8_whole(refusal->reason, length)] = '\0';
  return true;
}

/* A file can hold rows that no release has written, each with a checksum that
 * is right: they are set aside without asking the database, which might take
 * one for two. */
static au_status_t mark_unsound(au_batch_t *batch) {
  for (size_t i = 0; i < batch->slab.count; i++) {
    const au_row_t row = au_slab_row(&batch->slab, i);
    if (!au_row_is_sound(&row) &&
        !mark_dead(batch, i, au_refusal_unsound.sqlstate,
                   au_refusal_unsound.reason))
      return AU_NOMEM;
  }
  return AU_OK;
}

au_status_t au_batch_take(au_batch_t *batch, au_lane_t *lane, size_t max_rows,
                          size_t max_bytes) {
  batch->done = 0;
  batch->dead_count = 0;
  au_event_keys_begin(&batch->keys, 0);
  batch->taken_ns = au_clock_monotonic_ns();
  au_status_t status = au_lane_take(lane, max_rows, max_bytes, &batch->slab);
  if (status == AU_OK)
    status = mark_unsound(batch);
  if (status != AU_OK)
    batch->slab.count = 0;
  set_limit(batch, batch->slab.count);
  batch->is_gap = status == AU_OK && batch->slab.count == 0 &&
                  batch->slab.end.seq > batch->slab.begin.seq;
  return status;
}

void au_batch_forget(au_batch_t *batch) {
  batch->slab.count = 0;
  batch->slab.end = batch->slab.begin = (au_position_t){.seq = 0};
  batch->done = 0;
  batch->dead_count = 0;
  batch->is_gap = false;
  set_limit(batch, 0);
}

bool au_batch_is_done(const au_batch_t *batch) {
  return batch->done >= batch->slab.count && !batch->is_gap;
}

au_position_t au_batch_position(const au_batch_t *batch) {
  if (batch->slab.count == 0 && !batch->is_gap)
    return batch->slab.end;
  return au_slab_position(&batch->slab, batch->done);
}

/* The place after the next range. */
static au_position_t range_end(const au_batch_t *batch) {
  return batch->is_gap ? batch->slab.end
                       : au_slab_position(&batch->slab, batch->hi);
}

/* Whether the next row is an event that is put back. */
static bool is_reprocess_next(const au_batch_t *batch) {
  const au_slab_t *slab = &batch->slab;
  return batch->done < slab->count &&
         slab->row[batch->done].kind == AU_ROW_REPROCESS;
}

/* The mark of a row, or NULL. */
static const au_batch_dead_t *find_dead(const au_batch_t *batch, size_t row) {
  size_t at = marks_before(batch, row);
  return at < batch->dead_count && batch->dead[at].row == row ? &batch->dead[at]
                                                              : NULL;
}

/* Whether the row of the range is to be set aside; not if it is a duplicate. */
static bool is_dead_letter(const au_batch_t *batch,
                           const au_batch_dead_t *dead) {
  return !au_event_keys_is_duplicate(&batch->keys, dead->row);
}

static size_t dead_in_range(const au_batch_t *batch) {
  size_t count = 0;
  size_t end = marks_before(batch, batch->hi);
  for (size_t i = marks_before(batch, batch->done); i < end; i++)
    count += is_dead_letter(batch, &batch->dead[i]);
  return count;
}

/* The rows of the range that are not copied. */
static size_t left_out(const au_batch_t *batch) {
  return dead_in_range(batch) + batch->keys.duplicates;
}

static bool is_left_out(const au_batch_t *batch, size_t row) {
  return (batch->dead_count > 0 && find_dead(batch, row) != NULL) ||
         au_event_keys_is_duplicate(&batch->keys, row);
}

static bool add_piece(au_batch_t *batch, size_t *count, const void *data,
                      size_t size) {
  au_piece_t *piece = au_array_grow(batch->piece, &batch->piece_capacity,
                                    *count, sizeof(*piece));
  if (piece == NULL)
    return false;
  batch->piece = piece;
  piece[(*count)++] = (au_piece_t){.data = data, .size = size};
  return true;
}

/* The bytes of the slab between two offsets, if there are any. */
static bool add_run(au_batch_t *batch, size_t *count, size_t start,
                    size_t end) {
  return end == start ||
         add_piece(batch, count, batch->slab.bytes.data + start, end - start);
}

static bool is_diverted(const au_batch_t *batch, const au_slab_t *slab,
                        size_t row) {
  if (batch->diverted_table[0] == '\0')
    return false;
  const au_row_t parts = au_slab_row(slab, row);
  return au_schema_day(au_row_ingested_at_us(&parts)) == batch->diverted_day;
}

/* Ends the range before an event that is put back, which COPY cannot store, and
 * before one that goes into another table. */
static void end_range(au_batch_t *batch) {
  const au_slab_t *slab = &batch->slab;
  size_t row = batch->done;
  bool diverted = row < batch->hi && is_diverted(batch, slab, row);
  while (row < batch->hi && slab->row[row].kind != AU_ROW_REPROCESS &&
         is_diverted(batch, slab, row) == diverted)
    row++;
  batch->hi = row;
}

/* Whether the row says under which name it is stored once. */
static bool has_key(const au_batch_t *batch, size_t row,
                    const au_row_t *parts) {
  return au_row_is_stored_once(parts->kind) &&
         (find_dead(batch, row) == NULL || au_row_is_sound(parts));
}

/* Those of the range. */
static au_status_t find_keys(au_batch_t *batch) {
  au_event_keys_begin(&batch->keys, batch->done);
  for (size_t row = batch->done; row < batch->hi; row++) {
    const au_row_t parts = au_slab_row(&batch->slab, row);
    if (has_key(batch, row, &parts) &&
        au_event_keys_add(&batch->keys, row, &parts) != AU_OK)
      return AU_NOMEM;
  }
  return AU_OK;
}

/* The COPY data: the rows are sent as they lie in the slab, in as few pieces as
 * the rows that are left out allow. Also tallies them. */
static au_status_t make_pieces(au_batch_t *batch, size_t *out_count) {
  const au_slab_t *slab = &batch->slab;
  size_t count = 0;
  au_tally_clear(&batch->tally);
  if (!add_piece(batch, &count, AU_COPY_HEADER, AU_COPY_HEADER_SIZE))
    return AU_NOMEM;
  size_t run_start = slab->row[batch->done].start;
  for (size_t row = batch->done; row < batch->hi; row++) {
    const au_row_t parts = au_slab_row(slab, row);
    bool is_out = is_left_out(batch, row);
    if (is_out) {
      if (!add_run(batch, &count, run_start, slab->row[row].start))
        return AU_NOMEM;
      run_start = slab->row[row + 1].start;
    } else if (au_tally_add(&batch->tally, au_row_ingested_at_us(&parts),
                            au_row_service(&parts)) != AU_OK) {
      return AU_NOMEM;
    }
  }
  if (!add_run(batch, &count, run_start, slab->row[batch->hi].start))
    return AU_NOMEM;
  if (!add_piece(batch, &count, AU_COPY_TRAILER, AU_COPY_TRAILER_SIZE))
    return AU_NOMEM;
  *out_count = count;
  return AU_OK;
}

static void put_counters(au_batch_t *batch, const char *spool_id,
                         unsigned lane) {
  au_bytes_t *sql = &batch->sql;
  au_bytes_put_string(sql, "INSERT INTO aurore.event_count AS c "
                           "(minute, service, spool_id, lane, n) VALUES ");
  for (size_t i = 0; i < batch->tally.count; i++) {
    const au_tally_entry_t *entry = &batch->tally.entry[i];
    au_bytes_printf(sql, "%s(to_timestamp(%" PRId64 "),", i > 0 ? "," : "",
                    entry->minute * 60);
    au_database_put_literal(sql, entry->service.data, entry->service.size);
    au_bytes_printf(sql, ",'%s',%u,%" PRIu64 ")", spool_id, lane, entry->count);
  }
  au_bytes_put_string(sql, " ON CONFLICT (minute, service, spool_id, lane) "
                           "DO UPDATE SET n = c.n + EXCLUDED.n;");
}

static void put_dead_letter(au_batch_t *batch, const au_batch_dead_t *dead,
                            const au_claim_t *claim) {
  const au_row_t row = au_slab_row(&batch->slab, dead->row);
  au_dead_letter_put_new(&batch->sql, claim, batch->slab.first_seq + dead->row,
                         &row, &dead->refusal);
}

/* From the place that is done to "end"; the numbers of damaged rows before the
 * slab's first are passed with it. */
static void put_advance(au_batch_t *batch, const au_claim_t *claim,
                        const char *spool_id, uint64_t end) {
  au_bytes_printf(&batch->sql,
                  "SELECT aurore.advance('%s',%u::smallint,%" PRIu32 ",%" PRIu64
                  ",%" PRIu64 ");",
                  spool_id, claim->lane, claim->epoch,
                  au_batch_position(batch).seq, end);
}

/* For a range that begins with this row. */
static void put_copy(au_batch_t *batch, const au_slab_t *slab, size_t row) {
  au_bytes_t *sql = &batch->sql;
  bool diverted = is_diverted(batch, slab, row);
  if (diverted) {
    au_bytes_put_string(sql, "SELECT aurore.hold_leaving(");
    au_database_put_literal(sql, batch->diverted_table,
                            strlen(batch->diverted_table));
    au_bytes_put_string(sql, ");");
  }
  au_bytes_printf(sql,
                  "COPY %s (" AU_ROW_COLUMNS ") FROM STDIN (FORMAT binary);",
                  diverted ? batch->diverted_table : "aurore.event");
}

/* An event that is put back is alone in its range: whether it was stored is
 * what the statement says. */
static void make_reprocess_sql(au_batch_t *batch, const au_claim_t *claim,
                               const char *spool_id) {
  const au_row_t row = au_slab_row(&batch->slab, batch->done);
  batch->hi = batch->done + 1;
  put_advance(batch, claim, spool_id, range_end(batch).seq);
  const au_batch_dead_t *dead = find_dead(batch, batch->done);
  batch->copied = dead == NULL;
  if (dead == NULL)
    au_dead_letter_put_store(&batch->sql, claim, &row);
  else
    au_dead_letter_put_refused(&batch->sql, &row, &dead->refusal);
}

/* All but the advance: the rows, their counters, the dead letters. "out_pieces"
 * is 0 when there are no rows. */
static au_status_t make_rest(au_batch_t *batch, const au_claim_t *claim,
                             const char *spool_id, size_t *out_pieces) {
  *out_pieces = 0;
  batch->copied = batch->hi - batch->done - left_out(batch);
  if (batch->copied > 0) {
    if (make_pieces(batch, out_pieces) != AU_OK)
      return AU_NOMEM;
    put_copy(batch, &batch->slab, batch->done);
    put_counters(batch, spool_id, claim->lane);
  }
  size_t end = marks_before(batch, batch->hi);
  for (size_t i = marks_before(batch, batch->done); i < end; i++)
    if (is_dead_letter(batch, &batch->dead[i]))
      put_dead_letter(batch, &batch->dead[i], claim);
  return au_bytes_text(&batch->sql) != NULL ? AU_OK : AU_NOMEM;
}

static void observe_latencies(const au_batch_t *batch) {
  int64_t now_us = au_clock_wall_us();
  int64_t run_us = 0;
  uint64_t run = 0;
  for (size_t row = batch->done; row <= batch->hi; row++) {
    int64_t us = INT64_MIN; /* after the last */
    if (row < batch->hi) {
      const au_row_t parts = au_slab_row(&batch->slab, row);
      us = au_row_ingested_at_us(&parts);
      if (!au_timestamp_is_valid(us))
        continue; /* it is not sound */
    }
    if (us != run_us) {
      au_metrics_observe_many(AU_M_EVENT_COMMIT_LATENCY, 0,
                              (double)(now_us - run_us) / 1000.0, run);
      run = 0;
    }
    run_us = us;
    run++;
  }
}

/* The range [done, hi) is in the database; "dead" of its rows are set aside.
 * What the keys say of it is still true. */
static void finish_range(au_batch_t *batch, size_t dead) {
  if (batch->is_gap) {
    batch->is_gap = false;
    return;
  }
  size_t rows = batch->hi - batch->done;
  size_t duplicates = batch->keys.duplicates;
  batch->stored = rows - dead - duplicates;
  au_metrics_count(AU_M_BATCHES_PROCESSED, 0, 1);
  au_metrics_count(AU_M_EVENTS_PROCESSED, 0, batch->stored);
  au_metrics_count(AU_M_EVENTS_DUPLICATE, 0, duplicates);
  au_metrics_count(AU_M_DEAD_LETTERS, 0, dead);
  au_metrics_observe(AU_M_BATCH_PROCESSING_TIME, 0,
                     au_clock_elapsed_ms(batch->taken_ns));
  observe_latencies(batch);
  batch->done = batch->hi;
  au_event_keys_begin(&batch->keys, batch->done);
  /* After a bad row the ranges grow again, so that one bad row among many does
   * not leave single-row transactions behind. */
  set_limit(batch, rows < batch->limit ? batch->limit : rows * 2);
}

/* What the lane has: an event that is put back. "out_dead" is how many rows are
 * not stored. */
static au_status_t store_reprocess(au_batch_t *batch, au_database_t *database,
                                   size_t *out_dead,
                                   au_database_error_t *error) {
  const char *sql = au_database_text(&batch->sql, error);
  if (sql == NULL)
    return AU_NOMEM;
  au_result_t result = {.pg = NULL};
  au_status_t status = au_database_exec(database, sql, &result, error);
  if (status != AU_OK)
    return status;
  const char *stored =
      au_result_rows(&result) == 1 ? au_result_text(&result, 0, 0) : NULL;
  /* A second row of an event that was stored already is set aside, too. */
  *out_dead = stored != NULL && strcmp(stored, "t") == 0 ? 0 : 1;
  au_result_fini(&result);
  return AU_OK;
}

/* One string: the advance, which is in "sql", and the rest. */
static au_status_t store_rows(au_batch_t *batch, au_database_t *database,
                              const au_claim_t *claim, const char *spool_id,
                              au_database_error_t *error) {
  size_t pieces = 0;
  if (make_rest(batch, claim, spool_id, &pieces) != AU_OK) {
    au_database_error_set(error, "out of memory");
    return AU_NOMEM;
  }
  const char *sql = au_bytes_text(&batch->sql);
  return pieces > 0
             ? au_database_copy(database, sql, batch->piece, pieces, error)
             : au_database_exec(database, sql, NULL, error);
}

/* Two strings: the advance and the keys, and then what of the rest is new. */
static au_status_t store_once(au_batch_t *batch, au_database_t *database,
                              const au_claim_t *claim, const char *spool_id,
                              au_database_error_t *error) {
  au_status_t status = au_event_keys_take(&batch->keys, &batch->slab, database,
                                          &batch->sql, error);
  if (status != AU_OK)
    return status;
  size_t pieces = 0;
  au_bytes_clear(&batch->sql, KEEP_SQL);
  if (make_rest(batch, claim, spool_id, &pieces) == AU_OK)
    return au_database_commit(database, au_bytes_text(&batch->sql),
                              batch->piece, pieces, error);
  status = au_database_roll_back(database, error);
  if (status != AU_OK)
    return status;
  au_database_error_set(error, "out of memory");
  return AU_NOMEM;
}

static au_status_t store(au_batch_t *batch, au_database_t *database,
                         const au_claim_t *claim, size_t *out_dead,
                         au_database_error_t *error) {
  char spool_id[AU_UUID_TEXT_SIZE];
  au_uuid_format(&claim->spool_id, spool_id);
  batch->copied = 0;
  au_bytes_clear(&batch->sql, KEEP_SQL);
  au_event_keys_begin(&batch->keys, batch->done);
  if (is_reprocess_next(batch)) {
    make_reprocess_sql(batch, claim, spool_id);
    return store_reprocess(batch, database, out_dead, error);
  }
  end_range(batch);
  if (find_keys(batch) != AU_OK) {
    au_database_error_set(error, "out of memory");
    return AU_NOMEM;
  }
  put_advance(batch, claim, spool_id, range_end(batch).seq);
  au_status_t status =
      batch->keys.count > 0
          ? store_once(batch, database, claim, spool_id, error)
          : store_rows(batch, database, claim, spool_id, error);
  *out_dead = dead_in_range(batch);
  return status;
}

au_status_t au_batch_store(au_batch_t *batch, au_database_t *database,
                           const au_claim_t *claim,
                           au_database_error_t *error) {
  size_t dead = 0;
  int64_t start_ns = au_clock_monotonic_ns();
  au_status_t status = store(batch, database, claim, &dead, error);
  au_metrics_observe(AU_M_BATCH_INSERT_TIME, 0, au_clock_elapsed_ms(start_ns));
  if (status == AU_OK)
    finish_range(batch, dead);
  return status;
}

void au_batch_settle(au_batch_t *batch, uint64_t next_seq) {
  if (!au_batch_is_done(batch) && range_end(batch).seq == next_seq)
    finish_range(batch, dead_in_range(batch));
}

void au_batch_skip(au_batch_t *batch, uint64_t next_seq) {
  if (batch->is_gap && batch->slab.end.seq <= next_seq)
    batch->is_gap = false;
  while (batch->done < batch->slab.count &&
         batch->slab.first_seq + batch->done < next_seq)
    batch->done++;
  set_limit(batch, batch->slab.count);
}

void au_batch_divert(au_batch_t *batch, int64_t day, const char *table) {
  if (table[0] == '\0' && day != batch->diverted_day)
    return;
  batch->diverted_day = day;
  (void)snprintf(batch->diverted_table, sizeof(batch->diverted_table), "%s",
                 table);
}

bool au_batch_is_stranded(const au_batch_t *batch) {
  return is_reprocess_next(batch) &&
         is_diverted(batch, &batch->slab, batch->done) &&
         find_dead(batch, batch->done) == NULL;
}

bool au_batch_is_marked(const au_batch_t *batch, size_t row) {
  return find_dead(batch, row) != NULL;
}

bool au_batch_find_line(const au_batch_t *batch, uint64_t line,
                        size_t *out_row) {
  if (line == 0 || line > batch->copied)
    return false;
  size_t row = batch->done;
  for (; is_left_out(batch, row) || --line > 0; row++) {
  }
  *out_row = row;
  return true;
}

void au_batch_limit(au_batch_t *batch, size_t rows) { set_limit(batch, rows); }

bool au_batch_set_aside(au_batch_t *batch, size_t row,
                        const au_database_error_t *error) {
  return mark_dead(batch, row, error->sqlstate, error->message);
}

/* Everything that COMMIT would check is checked now; then it is undone. */
static void put_undo(au_bytes_t *sql) {
  au_bytes_put_string(sql, "SET CONSTRAINTS ALL IMMEDIATE;"
                           "DO $$BEGIN RAISE EXCEPTION USING ERRCODE='" TAKEN
                           "', MESSAGE='aurore: this event can be stored, "
                           "which was only tried'; END$$;");
}

au_status_t au_batch_try(au_batch_t *batch, const au_slab_t *slab, size_t row,
                         au_database_t *database, const au_claim_t *claim,
                         au_database_error_t *error) {
  char spool_id[AU_UUID_TEXT_SIZE];
  au_uuid_format(&claim->spool_id, spool_id);
  const au_row_t parts = au_slab_row(slab, row);
  const au_piece_t pieces[] = {
      {.data = AU_COPY_HEADER, .size = AU_COPY_HEADER_SIZE},
      {.data = parts.tuple, .size = parts.size},
      {.data = AU_COPY_TRAILER, .size = AU_COPY_TRAILER_SIZE}};
  au_tally_clear(&batch->tally);
  au_status_t status = au_tally_add(
      &batch->tally, au_row_ingested_at_us(&parts), au_row_service(&parts));
  au_bytes_clear(&batch->sql, KEEP_SQL);
  put_advance(batch, claim, spool_id, slab->first_seq + row + 1);
  put_copy(batch, slab, row);
  put_counters(batch, spool_id, claim->lane);
  put_undo(&batch->sql);
  const char *sql = au_database_text(&batch->sql, error);
  if (status != AU_OK || sql == NULL) {
    au_database_error_set(error, "out of memory");
    return AU_NOMEM;
  }
  status = au_database_copy(database, sql, pieces, 3, error);
  return status == AU_INVALID && strcmp(error->sqlstate, TAKEN) == 0 ? AU_OK
                                                                     : status;
}
