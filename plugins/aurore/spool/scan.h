/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * scan - where the good data of the newest segment ends.
 *
 * Its data ends after the last complete group: a group is written only after
 * the one before it has been synced, so an incomplete last group was never
 * acknowledged, while damage before a complete group is damage.
 *
 * What the process before wrote and could not sync may be in the page cache
 * alone, and a sync that has failed leaves it there, clean: no later sync would
 * write it. So the last group is written again before it is synced.
 */
#ifndef AURORE_SPOOL_SCAN_H
#define AURORE_SPOOL_SCAN_H

#include "spool/private.h"

/* The last complete group of a segment. */
typedef struct au_tail {
  uint64_t next_seq; /* after it; 0: there is none */
  uint64_t start;    /* its bytes */
  uint64_t end;
  bool lost; /* something after it cannot be read */
} au_tail_t;

/* Finds where the good data of the segment ends, sets segment->end to it, and
 * makes the last group durable. Before any thread of the spool runs. AU_IO,
 * AU_NOMEM: see errno. */
au_status_t au_spool_settle_tail(au_spool_t *spool, au_segment_t *segment,
                                 au_tail_t *out_tail);

#endif
