/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * tidy - what becomes of segments whose rows are all stored: they are kept for
 * a while, in case the database falls back, and then deleted; and the state
 * that says so.
 */
#ifndef AURORE_SPOOL_TIDY_H
#define AURORE_SPOOL_TIDY_H

#include "spool/private.h"

/* The bytes of frames from one place to a later one. Holds lock. */
uint64_t au_spool_distance_locked(const au_spool_t *spool, au_position_t from,
                                  au_position_t to);

/* The oldest stored row that is kept; the begin when none is. Holds lock. */
au_position_t au_spool_kept_locked(const au_spool_t *spool);

/* Takes the stored segments that are kept no longer off the list, with "all"
 * every stored one. Holds lock. Returns those that the caller must close once
 * it has let go of the lock (NULL: none); files are left to the keeper, which
 * deletes them. */
au_segment_t *au_spool_drop_stored_locked(au_spool_t *spool, bool all);

/* Deletes the files of a list of segments, which it takes, or makes spares of
 * them unless "all" is to go. The state that does not need them is durable.
 * Holds tidy_lock, or is alone. */
void au_spool_discard(au_spool_t *spool, au_segment_t *segment, bool all);

/* Deletes what is not kept any longer and writes the state, now. Any thread,
 * with write_lock or no lock held. false: the state could not be written; it is
 * due again. */
bool au_spool_tidy(au_spool_t *spool);

/* The disk is full: deletes the spares, or, if there are none, all that is
 * kept, now, and lets the other spools of the same bound do both. As
 * au_spool_tidy; errno stays. false: that made no room. */
bool au_spool_let_go(au_spool_t *spool);

#endif
