/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * trim - the metadata of an event that is never refused for its size: members
 * are put one after the other, and one that does not fit within the limits is
 * left out. An event of which something was left out or cut bears the mark
 * "truncated":true, which counts within the limits and stands in the place of a
 * member of that name.
 *
 * Whether the mark is needed is known only at the end. So whoever puts the
 * members does so in a function that is run again, with room for the mark, when
 * au_trim_end says so:
 *
 *   bool has_mark = the event has been cut elsewhere;
 *   do {
 *     au_trim_begin(trim, has_mark);
 *     ... au_trim_put, and au_trim_open, au_trim_put, au_trim_close ...
 *     has_mark = true;
 *   } while (!au_trim_end(trim));
 *
 * Threads: one at a time. Ownership: the memory is the trim's until fini.
 */
#ifndef AURORE_EVENT_TRIM_H
#define AURORE_EVENT_TRIM_H

#include "event/event.h"
#include "event/value.h"

/* Objects that may be open at a time. */
#define AU_TRIM_LEVELS_MAX 4

typedef struct au_trim {
  const au_limits_t *limits; /* borrowed */
  au_bytes_t json;
  size_t keys;                       /* in all levels */
  size_t level;                      /* objects that are open below the top */
  size_t start[AU_TRIM_LEVELS_MAX];  /* of those, in "json" */
  bool is_first[AU_TRIM_LEVELS_MAX]; /* no member was before it */
  bool needs_comma;
  bool has_mark; /* room is kept for it */
  bool is_short; /* a member was left out */
} au_trim_t;

/* "limits" is borrowed until fini; the account (NULL: none) too. */
void au_trim_init(au_trim_t *trim, const au_limits_t *limits,
                  au_account_t *account);
void au_trim_fini(au_trim_t *trim);

/* An object begins, and the one before is forgotten; with "has_mark" room is
 * kept for the mark that something was left out. */
void au_trim_begin(au_trim_t *trim, bool has_mark);

/* Puts a member. One that is nested too deeply becomes a string with its JSON,
 * which needs no mark. Returns false when it does not fit: it is left out. The
 * name is repaired like text (value.h), and must not have been put before. */
bool au_trim_put(au_trim_t *trim, const char *name, size_t size,
                 const au_value_t *value);

/* A member that is an object begins, whose own members are put until it is
 * closed. Returns false when it does not fit, and is left out: it must not be
 * closed then. One that is closed without a member vanishes. */
bool au_trim_open(au_trim_t *trim, const char *name, size_t size);
void au_trim_close(au_trim_t *trim);

/* All members have been put. true: "json" is the object (au_trim_is_empty says
 * whether anything is in it). false: something was left out, and there was no
 * room for the mark; begin again with it. Out of memory: json.failed, and true.
 */
bool au_trim_end(au_trim_t *trim);

/* After the end: whether it has no member, so that there is no metadata. */
bool au_trim_is_empty(const au_trim_t *trim);

#endif
