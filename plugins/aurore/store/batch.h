/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * batch - a range of a lane, and the transactions that store it.
 *
 * One attempt is one simple-query string, so one implicit transaction and no
 * extra round trips: advance the lane's watermark by compare-and-swap, COPY the
 * rows, add the dead letters, add to the counters. When the database refuses
 * it, blame.h finds the row: that row is marked, and the next attempt stores it
 * as a dead letter together with its neighbours.
 *
 * When the range has events that are to be stored once, an attempt is two
 * strings: the first advances the watermark and learns which of the events were
 * stored before (event_keys.h); the second is without those. Both are one
 * transaction.
 *
 * An event that is put back from the dead letters (event/row.h) has a
 * transaction of its own: its dead letter decides in it whether it is stored
 * (dead_letter.h).
 *
 *   slab   |--------|=====================|--------------|
 *          0      done                   hi            count
 *           stored   the next transaction
 *
 * Threads: one at a time.
 */
#ifndef AURORE_STORE_BATCH_H
#define AURORE_STORE_BATCH_H

#include "database/database.h"
#include "database/schema.h"
#include "spool/lane.h"
#include "store/claim.h"
#include "store/dead_letter.h"
#include "store/event_keys.h"
#include "store/tally.h"

/* A row that cannot be stored, and why: what the database said of it, or that
 * it is not sound. */
typedef struct au_batch_dead {
  size_t row;
  au_refusal_t refusal;
} au_batch_dead_t;

typedef struct au_batch {
  au_slab_t slab;
  size_t done;  /* rows stored, set aside, or duplicates */
  size_t hi;    /* the next transaction stores [done, hi) */
  size_t limit; /* the rows that a range may have; an event that is put back
                   may end it earlier */
  size_t
      copied; /* rows that the last attempt was to store, if it came so far */
  size_t stored;         /* rows of the last range that are in the table now */
  bool is_gap;           /* no row could be read: only the watermark moves */
  au_batch_dead_t *dead; /* sorted by row; rows before "done" are gone */
  size_t dead_count;
  size_t dead_capacity;
  int64_t taken_ns;     /* monotonic */
  au_event_keys_t keys; /* of the last attempt's range: its duplicates */
  /* The day whose rows go into a table of its own, if that has a name. */
  int64_t diverted_day;
  char diverted_table[AU_TABLE_SIZE];
  /* Memory used again. */
  au_tally_t tally;
  au_bytes_t sql;
  au_piece_t *piece;
  size_t piece_capacity;
} au_batch_t;

/* Frees its memory; the rows stay in the lane. */
void au_batch_fini(au_batch_t *batch);

/* Takes the oldest waiting events of the lane, and marks the rows that are not
 * sound. What was taken before is forgotten. As au_lane_take. */
AU_MUST_CHECK au_status_t au_batch_take(au_batch_t *batch, au_lane_t *lane,
                                        size_t max_rows, size_t max_bytes);

/* Whether nothing of what was taken is left to store. */
bool au_batch_is_done(const au_batch_t *batch);

/* The place after the rows that are done. */
au_position_t au_batch_position(const au_batch_t *batch);

/* One transaction for the next range. On AU_OK its rows are done and counted
 * in the metrics. Else nothing has changed here, and "error" says whose fault
 * it was; after AU_UNAVAILABLE the rows may be stored or not: ask the database
 * for the watermark and pass it to au_batch_settle. Before the first,
 * batch->keys must know the DedupWindow. */
AU_MUST_CHECK au_status_t au_batch_store(au_batch_t *batch,
                                         au_database_t *database,
                                         const au_claim_t *claim,
                                         au_database_error_t *error);

/* After an attempt of unknown outcome the database says that "next_seq" is the
 * first number that is not stored. Counts the attempt when it was (an event
 * that was put back as stored: whether another row of it was faster is not
 * known). */
void au_batch_settle(au_batch_t *batch, uint64_t next_seq);

/* Right after take: rows before "next_seq" were stored earlier (the spool was
 * trimmed less far than the database had come): they are done, not counted. */
void au_batch_skip(au_batch_t *batch, uint64_t next_seq);

/* The database has fallen back: forgets what was taken; the lane has it again.
 */
void au_batch_forget(au_batch_t *batch);

/* From now on the rows of this day go into "table", a partition that is half
 * detached (au_schema_make_day); "": into aurore.event, as all others. There is
 * one such day at most. When the partition is detached the database refuses
 * them with AU_FAULT_PARTITION. */
void au_batch_divert(au_batch_t *batch, int64_t day, const char *table);

/* Whether the next row is an event that is put back, of a day that is diverted.
 * It can be stored nowhere: its dead letter knows no other table. */
bool au_batch_is_stranded(const au_batch_t *batch);

/* --- for who looks for a bad row ------------------------------------------ */

/* Whether the row is left out of the COPY, as a dead letter. */
bool au_batch_is_marked(const au_batch_t *batch, size_t row);

/* The n-th row (from 1) that the last attempt has copied, what a COPY calls its
 * line n. false: there is none. */
AU_MUST_CHECK bool au_batch_find_line(const au_batch_t *batch, uint64_t line,
                                      size_t *out_row);

/* The next ranges have at most "rows" rows (at least 1); a range that is stored
 * doubles it. */
void au_batch_limit(au_batch_t *batch, size_t rows);

/* Marks a row that is not done and not marked. false: out of memory. */
AU_MUST_CHECK bool au_batch_set_aside(au_batch_t *batch, size_t row,
                                      const au_database_error_t *error);

/* Whether the database would take this row now, alone: all that au_batch_store
 * does for it, in a transaction that is rolled back. "slab" is the batch's or
 * one read behind it; the row must be sound and of an event. AU_OK: it would;
 * else as au_batch_store, and "error" says why not. */
AU_MUST_CHECK au_status_t au_batch_try(au_batch_t *batch, const au_slab_t *slab,
                                       size_t row, au_database_t *database,
                                       const au_claim_t *claim,
                                       au_database_error_t *error);

#endif
