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
#ifndef AURORE_DEAD_LETTER_H
#define AURORE_DEAD_LETTER_H

#include "bytes.h"
#include "claim.h"

/* What the database said of a row. */
typedef struct au_refusal {
  const char *sqlstate;
  const char *reason; /* UTF-8 */
} au_refusal_t;

/* Each appends one statement of a batch's transaction; "tuple" is the row with
 * the number "seq" of the claimed lane. They never fail but by memory, which is
 * the failure of "sql".
 *
 * For the row of an event: a new dead letter. */
void au_dead_letter_put_new(au_bytes_t *sql, const au_claim_t *claim,
                            uint64_t seq, const uint8_t *tuple, size_t size,
                            const au_refusal_t *refusal);

/* For the row of an event that is put back: stores it unless it was stored
 * before. The statement returns one boolean: whether it did. */
void au_dead_letter_put_store(au_bytes_t *sql, const au_claim_t *claim,
                              const uint8_t *tuple, size_t size);

/* For such a row that was refused again: its dead letter waits again. Returns
 * one boolean, too: false. */
void au_dead_letter_put_refused(au_bytes_t *sql, const uint8_t *tuple,
                                size_t size, const au_refusal_t *refusal);

#endif
