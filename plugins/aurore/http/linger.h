/* SPDX-License-Identifier: MIT
 *
 * linger - the rest of a connection whose request was refused before its body
 * was read. Closing it at once would reset it, and the client, still sending,
 * might never see the answer. So a copy of its descriptor is kept for a while
 * and what comes is thrown away.
 *
 * Bounded: a few connections, a few seconds each; beyond that they are closed.
 *
 * Threads: add from any thread.
 */
#ifndef AURORE_HTTP_LINGER_H
#define AURORE_HTTP_LINGER_H

#include "base/status.h"

typedef struct au_linger au_linger_t;

AU_MUST_CHECK au_status_t au_linger_start(au_linger_t **out_linger);
/* Closes what is left. NULL: nothing. */
void au_linger_stop(au_linger_t *linger);

/* Copies the descriptor of a connection that is about to be closed. */
void au_linger_add(au_linger_t *linger, int fd);

#endif
