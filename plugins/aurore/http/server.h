/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * server - an HTTP server for a table of routes: listening sockets, the request
 * threads, tokens, TLS, limits. It may call nothing but config/, metrics/ and
 * base/: what a route does, and for whom, is the caller's.
 *
 * Threads: start, quiesce, stop and destroy from one thread (collectd's main);
 * the rest from any.
 */
#ifndef AURORE_HTTP_SERVER_H
#define AURORE_HTTP_SERVER_H

#include "base/status.h"
#include "config/options.h"
#include "http/request.h"

typedef struct au_http_config {
  /* All borrowed until destroy. */
  const au_options_t *options;
  const au_route_t *routes; /* the first that fits a path is taken */
  size_t routes_count;
  void *context; /* for the routes; see au_request_context() */
  /* Open connections of all listeners together; 0: MaxConnections. */
  unsigned connections_max;
} au_http_config_t;

/* Descriptors that it has open at most beside its connections. */
unsigned au_http_descriptors(const au_options_t *options);

/* Starts a listener for each address. An address that cannot be bound (in use,
 * no such address) is logged once and tried again every second by a thread of
 * this module until it works; that is not an error. The files of tokens and
 * certificates are read again when they change. AU_NOMEM; AU_IO,
 * AU_INVALID: a file of tokens or certificates cannot be used; the reason is in
 * "error". */
AU_MUST_CHECK au_status_t au_http_start(const au_http_config_t *config,
                                        au_http_t **out_http, char *error,
                                        size_t error_size);

/* From now on au_http_is_leaving() is true, for the routes to tell a load
 * balancer: requests are taken as before, and their connections are closed with
 * the answer. */
void au_http_leave(au_http_t *http);
bool au_http_is_leaving(const au_http_t *http);

/* From now on au_http_is_quiescing() is true, for the routes to say so and to
 * refuse new work; requests under way are finished. */
void au_http_quiesce(au_http_t *http);

/* Closes the listeners and ends the threads. Whoever may complete a request
 * that waits must have done so before. */
void au_http_stop(au_http_t *http);
void au_http_destroy(au_http_t *http);

/* Listeners that are not bound (0: all is well). */
unsigned au_http_unbound(const au_http_t *http);

/* Refreshes the gauges that change by themselves. */
void au_http_sample(const au_http_t *http);

/* Whether au_http_quiesce was called: requests that would store are refused.
 * Any thread. */
bool au_http_is_quiescing(const au_http_t *http);

/* Open connections of all listeners together, at most. */
unsigned au_http_connections_max(const au_http_t *http);
double au_http_uptime_s(const au_http_t *http);

/* Bytes of BodyMemory that are held now. */
uint64_t au_http_memory_held(const au_http_t *http);

#endif
