/* SPDX-License-Identifier: MIT
 * Part of http/; calls base/.
 *
 * deadline - how long a client that moves bytes is given to move more. Progress
 * counts, not age: whoever sends or reads steadily is never cut, however large
 * the body or the answer. But a pace at which nobody sends or reads must not
 * hold a connection for ever: a few bytes are enough for some time, and then
 * there is a least average.
 *
 * Threads: the caller sees to it that it is one.
 */
#ifndef AURORE_HTTP_DEADLINE_H
#define AURORE_HTTP_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

/* So many bytes within the timeout are progress ... */
#define AU_DEADLINE_BYTES 8
/* ... until it has been extended so often; from then on it is ... */
#define AU_DEADLINE_EASY 6
/* ... this many bytes a second. */
#define AU_DEADLINE_BYTES_PER_S 100

typedef struct au_deadline {
  int64_t due_ns; /* monotonic; 0: not begun */
  unsigned extensions;
} au_deadline_t;

/* It begins anew with the next au_deadline_extend. */
void au_deadline_reset(au_deadline_t *deadline);

/* "moved": bytes since the last call that returned true (the first call only
 * begins). The next deadline is one "timeout_ns" from now; or later, but at
 * most "most_ns", when so much has moved that it would last at 2 KiB a second:
 * what a kernel has taken at once is read in such a time. false: too slow. */
bool au_deadline_extend(au_deadline_t *deadline, int64_t now_ns,
                        int64_t timeout_ns, int64_t most_ns, uint64_t moved);

#endif
