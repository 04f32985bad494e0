/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * dead_letter - the events that the database refused: setting one aside, and
 * storing one that was put back, as statements of the transaction that stores a
 * batch. What the HTTP API asks about them is in api/dead_letter_query.h; what
 * the columns of aurore.dead_letter mean is said in schema/004_dead_letter.sql
 * and schema/006_reprocess.sql.
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
 * All of this holds when the database falls back to an earlier time, since it
 * is then a true picture of that time, as the lanes are that go back with it: a
 * dead letter that is missing there has its row in a lane that is stored again,
 * and where its event was put back, that row finds a dead letter or none as it
 * would have then.
 *
 * Threads: pure.
 */
#ifndef AURORE_STORE_DEAD_LETTER_H
#define AURORE_STORE_DEAD_LETTER_H

#include "base/bytes.h"
#include "event/row.h"
#include "store/claim.h"

/* What the database said of a row. */
typedef struct au_refusal {
  char sqlstate[6];
  char reason[256]; /* UTF-8 */
} au_refusal_t;

/* What is said of a row that au_row_is_sound does not hold for. */
extern const au_refusal_t au_refusal_unsound;

/* Each appends one statement of a batch's transaction; "row" is that with the
 * number "seq" of the claimed lane. They never fail but by memory, which is the
 * failure of "sql".
 *
 * For the row of an event: a new dead letter; its id follows from the row, so
 * that it is the same one when it is refused again after the database has
 * fallen back. */
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

#endif
