/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * segments - the segments of one spool, from the oldest to the active one: the
 * next one is made, the active one is left. How they go: tidy.h.
 */
#ifndef AURORE_SPOOL_SEGMENTS_H
#define AURORE_SPOOL_SEGMENTS_H

#include "spool/private.h"

/* Makes a segment for "need" bytes of frames or more, with the next number: of
 * a spare, or else a new file. On a disk that has no room for it what is kept
 * goes first, and then it is a small one. NULL: see errno. The caller owns it.
 * Any thread, with write_lock or no lock held. */
au_segment_t *au_spool_make_segment(au_spool_t *spool, uint64_t need,
                                    uint64_t *out_number);

/* Appends the segment to the list, which takes it. Holds lock. */
void au_spool_link_segment(au_spool_t *spool, au_segment_t *segment);

/* Makes the next segment the active one, with room for at least "need" bytes of
 * frames. Holds write_lock. AU_IO, AU_NOMEM (errno): the active one stays. */
au_status_t au_spool_rotate(au_spool_t *spool, uint64_t need);

/* Closes and frees a list of segments; their files stay. */
void au_spool_close_segments(const au_spool_t *spool, au_segment_t *segment);

#endif
