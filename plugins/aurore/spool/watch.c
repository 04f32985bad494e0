/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/watch.h"

#include <stddef.h>

void au_watches_add(au_watches_t *watches, au_watch_t *watch) {
  au_watch_t *before = watches->last;
  while (before != NULL && before->end_seq > watch->end_seq)
    before = before->previous;
  au_watch_t *after = before != NULL ? before->next : watches->first;
  watch->previous = before;
  watch->next = after;
  watch->is_listed = true;
  *(before != NULL ? &before->next : &watches->first) = watch;
  *(after != NULL ? &after->previous : &watches->last) = watch;
}

bool au_watches_remove(au_watches_t *watches, au_watch_t *watch) {
  if (!watch->is_listed)
    return false;
  au_watch_t *before = watch->previous;
  au_watch_t *after = watch->next;
  *(before != NULL ? &before->next : &watches->first) = after;
  *(after != NULL ? &after->previous : &watches->last) = before;
  watch->is_listed = false;
  return true;
}

/* Moves a watch to the end of those that were taken. */
static void take(au_watches_t *watches, au_watch_t *watch, au_watch_t **last) {
  (void)au_watches_remove(watches, watch);
  watch->next = NULL;
  if (*last != NULL)
    (*last)->next = watch;
  *last = watch;
}

au_watch_t *au_watches_take_before(au_watches_t *watches, uint64_t seq) {
  au_watch_t *taken = watches->first;
  au_watch_t *last = NULL;
  while (watches->first != NULL && watches->first->end_seq <= seq)
    take(watches, watches->first, &last);
  return last != NULL ? taken : NULL;
}

au_watch_t *au_watches_take_within(au_watches_t *watches, uint64_t from,
                                   uint64_t to) {
  au_watch_t *taken = NULL;
  au_watch_t *last = NULL;
  au_watch_t *next;
  for (au_watch_t *watch = watches->first; watch != NULL; watch = next) {
    next = watch->next;
    if (watch->first_seq >= to || watch->end_seq <= from)
      continue;
    if (taken == NULL)
      taken = watch;
    take(watches, watch, &last);
  }
  return taken;
}

au_watch_t *au_watches_take_all(au_watches_t *watches) {
  return au_watches_take_before(watches, UINT64_MAX);
}

void au_watches_complete(au_watch_t *taken, au_status_t status) {
  while (taken != NULL) {
    /* Its memory is its owner's again once it is done. */
    au_watch_t *next = taken->next;
    taken->done(taken, status);
    taken = next;
  }
}
