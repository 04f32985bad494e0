/* SPDX-License-Identifier: MIT
 *
 * dead_letter - the events that the database refused: setting one aside, and
 * putting it back. All that this program says of aurore.dead_letter stands
 * here; what its columns mean is said in schema/004_dead_letter.sql and
 * schema/006_reprocess.sql.
 *
 * The event of a dead letter is put back into the buffer as a row that names
 * the dead letter, and only then the dead letter is marked. So a process that
 * dies between the two leaves an event that will be stored, and a dead letter
 * that may be put back once more; the dead letter itself decides that one of
 * the rows is stored, in the transaction that stores it.
 *
 *   pending --put back--> waits in the spool --stored--> stored
 *      ^                          |
 *      '------refused again-------'
 *
 * Threads: pure, or as the connection.
 */
#ifndef AURORE_STORE_DEAD_LETTER_H
#define AURORE_STORE_DEAD_LETTER_H

#include "base/bytes.h"
#include "database/query_pool.h"
#include "event/row.h"
#include "store/claim.h"

/* What the database said of a row. */
typedef struct au_refusal {
  const char *sqlstate;
  const char *reason; /* UTF-8 */
} au_refusal_t;

/* Each appends one statement of a batch's transaction; "row" is that with the
 * number "seq" of the claimed lane. They never fail but by memory, which is the
 * failure of "sql".
 *
 * For the row of an event: a new dead letter. */
void au_dead_letter_put_new(au_bytes_t *sql, const au_claim_t *claim,
                            uint64_t seq, const au_row_t *row,
                            const au_refusal_t *refusal);

/* For the row of an event that is put back: stores it unless it was stored
 * before. The statement returns one boolean: whether it did. */
void au_dead_letter_put_store(au_bytes_t *sql, const au_claim_t *claim,
                              const au_row_t *row);

/* For such a row that was refused again: its dead letter waits again. Returns
 * one boolean, too: false. */
void au_dead_letter_put_refused(au_bytes_t *sql, const au_row_t *row,
                                const au_refusal_t *refusal);

/* What the HTTP routes ask, on a thread of the query pool
 * (dead_letter_query.c). Each returns what the database returned, or AU_NOMEM.
 * JSON is appended, and only on AU_OK is it whole. */

typedef enum au_dead_letter_state {
  AU_DEAD_LETTER_ANY,
  AU_DEAD_LETTER_PENDING,
  AU_DEAD_LETTER_REPROCESSED
} au_dead_letter_state_t;

typedef struct au_dead_letter_filter {
  const char *service; /* NULL: any; borrowed */
  au_dead_letter_state_t state;
  int64_t limit;
  int64_t offset;
} au_dead_letter_filter_t;

/* One page, the newest first: {"events":[...],"total":...,...}. */
AU_MUST_CHECK au_status_t
au_dead_letter_list(const au_query_job_t *job, au_database_t *database,
                    const au_dead_letter_filter_t *filter, au_bytes_t *json,
                    au_database_error_t *error);

/* {"total":...,"byService":{...},...}; beyond the largest thousand services
 * the rest is "other". */
AU_MUST_CHECK au_status_t au_dead_letter_statistics(const au_query_job_t *job,
                                                    au_database_t *database,
                                                    au_bytes_t *json,
                                                    au_database_error_t *error);

/* One with its event; nothing is appended when there is none. An event that
 * cannot be decoded is null. */
AU_MUST_CHECK au_status_t au_dead_letter_show(const au_query_job_t *job,
                                              au_database_t *database,
                                              const au_uuid_t *id,
                                              au_bytes_t *json,
                                              au_database_error_t *error);

/* One that is to be put back. */
typedef struct au_dead_letter {
  au_uuid_t id;
  bool is_found;
  bool is_reprocessed; /* its event is stored, or waits */
  bool is_decoded;     /* "event" is valid */
  au_event_t event;    /* points into "tuple" */
  au_bytes_t tuple;
  int retry_count;
} au_dead_letter_t;

/* Reads the one with letter->id; free with fini. One that was put back and is
 * neither stored nor refused after ten minutes is not taken for reprocessed:
 * its event was lost with the memory or the disk it waited in, and if it was
 * not, it is still stored only once. */
AU_MUST_CHECK au_status_t au_dead_letter_read(const au_query_job_t *job,
                                              au_database_t *database,
                                              au_dead_letter_t *letter,
                                              au_database_error_t *error);
void au_dead_letter_fini(au_dead_letter_t *letter);

/* Its event has been put into the buffer. "out_is_found" false: the dead letter
 * was deleted meanwhile, and its event with it, unless it was stored by then.
 */
AU_MUST_CHECK au_status_t au_dead_letter_mark(const au_query_job_t *job,
                                              au_database_t *database,
                                              const au_dead_letter_t *letter,
                                              bool *out_is_found,
                                              au_database_error_t *error);

AU_MUST_CHECK au_status_t au_dead_letter_delete(const au_query_job_t *job,
                                                au_database_t *database,
                                                const au_uuid_t *id,
                                                bool *out_is_found,
                                                au_database_error_t *error);

#endif
