/* SPDX-License-Identifier: MIT
 *
 * header_timeout - cuts connections whose request header does not come to its
 * end. libmicrohttpd's own timeout begins again with every byte, so a client
 * that sends one now and then would hold its connection for ever.
 *
 * A connection may be idle for one timeout (libmicrohttpd closes it then) and
 * its next header may take another: so it is cut two timeouts after it was
 * opened or its last answer was sent, unless the header has come by then.
 *
 * Threads: start and stop from one thread; the rest from the request threads.
 */
#ifndef AURORE_HTTP_HEADER_TIMEOUT_H
#define AURORE_HTTP_HEADER_TIMEOUT_H

#include "base/status.h"

#include <stdint.h>

typedef struct au_watchdog au_watchdog_t;
typedef struct au_watch au_watch_t; /* one connection */

AU_MUST_CHECK au_status_t au_watchdog_start(int64_t timeout_ns,
                                            au_watchdog_t **out_watchdog);
/* Every connection must have been removed. NULL: nothing. */
void au_watchdog_stop(au_watchdog_t *watchdog);

/* A connection was opened: its first header is due. "fd" is borrowed until
 * remove. NULL when out of memory: it is not watched. */
au_watch_t *au_watchdog_add(au_watchdog_t *watchdog, int fd);
/* Before the descriptor is closed. NULL: nothing. */
void au_watchdog_remove(au_watchdog_t *watchdog, au_watch_t *watch);

/* The header has come; the answer was sent, and the next one is due. NULL:
 * nothing. */
void au_watch_header_came(au_watch_t *watch);
void au_watch_header_due(const au_watchdog_t *watchdog, au_watch_t *watch);

#endif
