/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * spares - files of segments whose rows are gone, kept ready to become segments
 * again (segment.h says what for).
 *
 * There are AU_SPARES_MAX at most, of the size of a whole segment. They take
 * disk only from what waiting rows leave of the bound that they share: a new
 * segment is made of a spare if there is one, and when rows come to need the
 * bound the spares go. On a full disk they are what goes first.
 */
#ifndef AURORE_SPOOL_SPARES_H
#define AURORE_SPOOL_SPARES_H

#include "spool/private.h"

#define AU_SPARES_MAX 2

/* Makes a spare of the file of a segment that nobody needs, if one more is
 * wanted. It may be used only once the directory has been synced: see
 * au_spares_add. false: it was not; the file has its name. Holds tidy_lock. */
bool au_spares_make(au_spool_t *spool, au_segment_t *segment);

/* Takes a list of spares, which may be used from now on. Holds tidy_lock, or is
 * alone. */
void au_spares_add(au_spool_t *spool, au_segment_t *spare);

/* Opens the spare of that number, which an earlier run has left, or deletes it
 * when it is not wanted. While no thread of the spool runs. */
void au_spares_recover(au_spool_t *spool, uint64_t number);

/* A spare, now the caller's; NULL: there is none. */
au_segment_t *au_spares_take(au_spool_t *spool);

/* Closes and frees them; their files stay. */
void au_spares_close(au_spool_t *spool);

/* Deletes the spares of a list, or all; those for which waiting rows leave no
 * room. true: there were some. */
bool au_spares_delete(au_spool_t *spool, au_segment_t *spare);
bool au_spares_delete_all(au_spool_t *spool);
void au_spares_fit(au_spool_t *spool);

#endif
