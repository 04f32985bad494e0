/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * dead_letter_batch - dead letters that are put back, or deleted, by the
 * thousand: what is asked of the database. The routes are
 * api/dead_letters_bulk.c.
 *
 * Those that wait are gathered oldest first, a batch at a time, from a place in
 * their order on; the batch's events are appended to the buffer, and then its
 * letters are marked. Each is put back as one alone is (store/dead_letter.h),
 * so whatever dies in between, its event is stored once.
 *
 * Threads: those of the query pool, as the connection. Functions return what
 * the database returned, or AU_NOMEM.
 */
#ifndef AURORE_API_DEAD_LETTER_BATCH_H
#define AURORE_API_DEAD_LETTER_BATCH_H

#include "api/dead_letter_query.h"
#include "api/letter_claim.h"
#include "event/row.h"

/* Which ones. */
typedef struct au_dead_letter_choice {
  au_bytes_t service;           /* empty: any */
  au_bytes_t sql_state;         /* empty: any */
  au_dead_letter_state_t state; /* for deletion */
  bool has_before;
  int64_t before_us; /* of the time at which they were set aside */
} au_dead_letter_choice_t;

/* Frees its texts. All zero is one that chooses everything. */
void au_dead_letter_choice_fini(au_dead_letter_choice_t *choice);

/* In their order. */
typedef struct au_dead_letter_place {
  bool is_set; /* false: before the first */
  int64_t created_us;
  au_uuid_t id;
} au_dead_letter_place_t;

#define AU_DEAD_LETTER_BATCH_MAX 500

typedef struct au_dead_letter_batch {
  au_rows_t rows; /* the events, to be appended */
  au_letter_claim_t claim;
  au_uuid_t id[AU_DEAD_LETTER_BATCH_MAX]; /* the claim's */
  int retry_count[AU_DEAD_LETTER_BATCH_MAX];
  size_t skipped; /* that cannot be decoded, or that another request has */
  bool is_last;   /* nothing follows */
  au_dead_letter_place_t place; /* of the last one that was seen */
  int64_t now_us;               /* their time of acceptance */
  bool is_full;
  size_t seen;
  au_bytes_t tuple;
} au_dead_letter_batch_t;

/* "batch" is all zero. */
void au_dead_letter_batch_init(au_dead_letter_batch_t *batch,
                               au_account_t *account);

/* Gathers up to "max" (at most AU_DEAD_LETTER_BATCH_MAX) of those that follow
 * batch->place. */
AU_MUST_CHECK au_status_t au_dead_letter_batch_gather(
    au_dead_letter_batch_t *batch, const au_dead_letter_choice_t *choice,
    size_t max, const au_query_job_t *job, au_database_t *database,
    au_database_error_t *error);

/* Their events are in the buffer. "out_count": those that are marked; the
 * others were deleted meanwhile. */
AU_MUST_CHECK au_status_t au_dead_letter_batch_mark(
    const au_dead_letter_batch_t *batch, const au_query_job_t *job,
    au_database_t *database, uint64_t *out_count, au_database_error_t *error);

/* Forgets the batch, but not its place. */
void au_dead_letter_batch_clear(au_dead_letter_batch_t *batch);
void au_dead_letter_batch_fini(au_dead_letter_batch_t *batch);

/* How many wait behind the place. */
AU_MUST_CHECK au_status_t au_dead_letter_count(
    const au_dead_letter_choice_t *choice, const au_dead_letter_place_t *place,
    const au_query_job_t *job, au_database_t *database, uint64_t *out_count,
    au_database_error_t *error);

/* Deletes those that are not under way, some thousand in a transaction;
 * "out_count" also when it fails in between. */
AU_MUST_CHECK au_status_t au_dead_letter_purge(
    const au_dead_letter_choice_t *choice, const au_query_job_t *job,
    au_database_t *database, uint64_t *out_count, au_database_error_t *error);

#endif
