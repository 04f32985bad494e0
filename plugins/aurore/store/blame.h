/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * blame - a batch was refused: is it a row's fault, or the schema's?
 *
 * The SQLSTATE does not tell: a trigger raises whatever it likes, and a column
 * that somebody has added refuses every row with an error of the class that
 * means bad data. So rows are compared. A row is bad when it is refused, then a
 * neighbour is stored over the same connection, and then it is refused again,
 * alone, for the same reason; a schema that is mended in between, or breaks in
 * another way, condemns nobody. The one short cut:
 * an error of class 22, 23 or 54 that names a column that we send, or a
 * constraint or an index of one, speaks of what is in the row.
 *
 *   range refused --> the row: by the line of the COPY that PostgreSQL names,
 *        ^              |      else by halving
 *        |              v
 *        |     the rows before it are stored (neighbours)
 *        |              | it is the first one that is left
 *        |              v
 *        |     no neighbour was stored since it was refused: other rows of
 *        |     the batch and behind it are asked as witnesses, each alone and
 *        |     rolled back
 *        |              |                        |
 *        |              | one is taken           | none is, or none is there
 *        |              v                        v
 *        '------ the row alone: refused    the schema's fault: wait, and begin
 *                again? it is bad          with the row again
 *
 * A wait asks a few witnesses at most, and the next one goes on where it ended,
 * through all that waits: what one client sends never stops a lane for good.
 *
 * Threads: one at a time, the batch's.
 */
#ifndef AURORE_STORE_BLAME_H
#define AURORE_STORE_BLAME_H

#include "store/batch.h"

/* Where the search for a witness has come to in a slab. */
typedef struct au_blame_sweep {
  size_t at;
  bool any; /* else only rows of a service that is not the suspect's */
} au_blame_sweep_t;

typedef struct au_blame {
  size_t end; /* of the batch's rows [done, end) one is refused; 0: none */
  bool has_suspect; /* a row was refused, alone or by its line */
  uint64_t suspect; /* its number */
  unsigned reasons; /* how often it was refused for another one */
  bool compared;    /* since then a neighbour was stored, or a witness taken */
  bool is_asking;   /* for a witness */
  unsigned asked;   /* witnesses, since the last wait */
  bool prefers_behind;       /* the last one that was taken is there */
  au_blame_sweep_t within;   /* the batch */
  au_blame_sweep_t beyond;   /* in "behind" */
  au_slab_t behind;          /* rows that wait behind the batch */
  au_database_error_t cause; /* what was last said of the suspect */
  /* The last constraint that was looked up, and whether it is of our columns.
   */
  au_database_culprit_t known;
  bool known_is_ours;
} au_blame_t;

/* What to do next. */
typedef enum au_blame_step {
  AU_BLAME_STORE, /* au_batch_store: the batch's next range has been changed */
  AU_BLAME_ASK,   /* au_blame_ask */
  AU_BLAME_WAIT   /* it is the schema's fault as far as one can tell; after a
                     wait au_batch_store. blame->cause says what it is */
} au_blame_step_t;

/* Frees its memory. All zero is one without a batch. */
void au_blame_fini(au_blame_t *blame);

/* A new batch was taken. */
void au_blame_begin(au_blame_t *blame);

/* The connection was lost, or the database had a fault of its own: what was
 * compared before does not count. */
void au_blame_interrupt(au_blame_t *blame);

/* au_batch_store was refused with AU_FAULT_ROW (or with AU_FAULT_PARTITION,
 * though the partitions are there). May ask the database about a constraint. */
AU_MUST_CHECK au_blame_step_t
au_blame_refused(au_blame_t *blame, au_batch_t *batch, au_database_t *database,
                 const au_database_error_t *error);

/* au_batch_store has stored a range. */
void au_blame_stored(au_blame_t *blame, au_batch_t *batch);

/* Tries one witness. AU_OK: "out_step" is next. Else nothing was learnt: a
 * fault of the database, or a fence, as "error" says. */
AU_MUST_CHECK au_status_t au_blame_ask(au_blame_t *blame, au_batch_t *batch,
                                       au_lane_t *lane, au_database_t *database,
                                       const au_claim_t *claim,
                                       au_blame_step_t *out_step,
                                       au_database_error_t *error);

#endif
