/* SPDX-License-Identifier: MIT
 *
 * listener - the listeners: sockets, libmicrohttpd daemons, routing, the
 * headers every answer carries, tokens and TLS. What a route does is in
 * routes_*.c.
 *
 * Threads: start and stop from one thread (collectd's main). Request threads
 * belong to libmicrohttpd. A request that waits for the spool is suspended and
 * resumed, so no request thread ever blocks.
 */
#ifndef AURORE_HTTP_LISTENER_H
#define AURORE_HTTP_LISTENER_H

#include "base/status.h"
#include "config/options.h"
#include "database/query_pool.h"
#include "observe/history.h"
#include "spool/buffer.h"

typedef struct au_http au_http_t;

/* Starts a listener for each address. An address that cannot be bound (in use,
 * no such address) is logged once and tried again every second by a thread of
 * this module until it works; that is not an error. "options" and "buffer" are
 * borrowed until destroy. AU_NOMEM; AU_IO, AU_INVALID: a file of tokens or
 * certificates cannot be used; the reason is in "error". */
AU_MUST_CHECK au_status_t au_http_start(const au_options_t *options,
                                        au_buffer_t *buffer,
                                        au_http_t **out_http, char *error,
                                        size_t error_size);

/* Who asks the database for the routes; without it they answer that there is
 * none. Borrowed until destroy; it must have been stopped before au_http_stop,
 * so that no request waits for it any more. */
void au_http_set_query(au_http_t *http, au_query_pool_t *query);

/* What GET /metrics/history answers with; without it nothing. Borrowed until
 * destroy. */
void au_http_set_history(au_http_t *http, au_history_t *history);

/* New requests are answered with 503 from now on ("shutting down"), and /live
 * and /ready say so; requests under way are finished. */
void au_http_quiesce(au_http_t *http);

/* Closes the listeners and ends the threads; waits for requests under way that
 * are suspended (au_buffer_close_intake and au_query_pool_stop must have
 * returned before). */
void au_http_stop(au_http_t *http);
void au_http_destroy(au_http_t *http);

/* Listeners that are not bound (0: all is well), for health. Any thread. */
unsigned au_http_unbound(const au_http_t *http);

#endif
