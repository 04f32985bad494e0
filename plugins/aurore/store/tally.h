/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * tally - how many events of a batch belong to each (minute, service): the
 * rows that the batch adds to aurore.event_count in its own transaction.
 *
 * Threads: one at a time.
 */
#ifndef AURORE_STORE_TALLY_H
#define AURORE_STORE_TALLY_H

#include "base/status.h"
#include "event/event.h"

typedef struct au_tally_entry {
  int64_t minute; /* since 1970 */
  au_slice_t service;
  uint64_t hash;
  uint64_t count;
} au_tally_entry_t;

typedef struct au_tally {
  au_tally_entry_t *entry; /* in the order of first appearance */
  size_t count;
  size_t capacity;
  uint32_t *slot; /* open addressing; index + 1 into "entry", 0: free */
  size_t slots;   /* a power of two, more than twice "count" */
} au_tally_t;

/* All zero is an empty one. Clear keeps the memory. */
void au_tally_fini(au_tally_t *tally);
void au_tally_clear(au_tally_t *tally);

/* Counts one event. "service" is borrowed until the next clear. */
AU_MUST_CHECK au_status_t au_tally_add(au_tally_t *tally, int64_t us,
                                       au_slice_t service);

#endif
