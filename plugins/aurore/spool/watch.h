/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * watch - who waits until rows of a lane are stored: a list in the order of
 * the rows' numbers, from whose front those are taken that have been stored.
 * So a batch that is stored costs the watches that it ends, and one that is not
 * stored yet costs nothing at all.
 *
 * Threads: the caller sees to it that one at a time uses a list.
 */
#ifndef AURORE_SPOOL_WATCH_H
#define AURORE_SPOOL_WATCH_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct au_lane;

typedef struct au_watch {
  /* Called once, with no lock held; it may not block. The memory is the
   * caller's, and is not touched afterwards.
   *   AU_OK      the rows are in the database, or its dead letters
   *   AU_IO      some of them cannot be read any more
   *   AU_CLOSED  the process is about to stop: they will be stored later */
  void (*done)(struct au_watch *watch, au_status_t status);

  /* The lane's while it is listed. */
  struct au_lane *lane;
  uint64_t first_seq; /* of its rows */
  uint64_t end_seq;   /* after the last one */
  bool is_listed;
  struct au_watch *next;
  struct au_watch *previous;
} au_watch_t;

/* All zero is an empty list. */
typedef struct au_watches {
  au_watch_t *first; /* in the order of "end_seq" */
  au_watch_t *last;
} au_watches_t;

/* Watches arrive nearly in order: it is searched for from the end. */
void au_watches_add(au_watches_t *watches, au_watch_t *watch);
/* false: it was not in the list. */
bool au_watches_remove(au_watches_t *watches, au_watch_t *watch);

/* Take out what au_watches_complete is to be called with: the watches whose
 * rows are all before "seq"; those that have rows from "from" to before "to";
 * all. */
au_watch_t *au_watches_take_before(au_watches_t *watches, uint64_t seq);
au_watch_t *au_watches_take_within(au_watches_t *watches, uint64_t from,
                                   uint64_t to);
au_watch_t *au_watches_take_all(au_watches_t *watches);

/* Calls "done" of each. "taken" may be NULL. Without a lock. */
void au_watches_complete(au_watch_t *taken, au_status_t status);

#endif
