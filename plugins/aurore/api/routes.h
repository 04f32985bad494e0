/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * routes - the table of routes, and what their requests share. The files of
 * api/ may call everything but pipeline.c; http/ knows none of them.
 *
 * To add a route: its handler in a file of its own, declared below; its line in
 * the table (routes.c); its operation in docs/openapi.yaml.
 *
 * Threads: init, fini and set_query from one thread; the rest from the request
 * threads.
 */
#ifndef AURORE_API_ROUTES_H
#define AURORE_API_ROUTES_H

#include "api/posting.h"
#include "api/reader_pool.h"
#include "config/options.h"
#include "database/breaker.h"
#include "database/query_pool.h"
#include "http/answer.h"
#include "http/request.h"
#include "http/server.h"
#include "observe/history.h"
#include "spool/buffer.h"

/* What the routes work with: the context of the HTTP server. */
typedef struct au_api {
  const au_options_t *options;
  au_buffer_t *buffer;
  au_history_t *history;
  _Atomic(au_query_pool_t *) query; /* NULL: none (yet) */
  _Atomic(au_breaker_t *) breaker;  /* the writers'; the same */
  au_reader_pool_t readers;
  au_postings_t postings;
  _Atomic int64_t trial_ns;  /* when a spool in trouble was tried last */
  _Atomic unsigned watching; /* requests that wait for the database */
} au_api_t;

/* All is borrowed until fini. "history" is NULL where no history is asked for.
 */
void au_api_init(au_api_t *api, const au_options_t *options,
                 au_buffer_t *buffer, au_history_t *history);
/* The HTTP server must have been destroyed. */
void au_api_fini(au_api_t *api);

/* Who asks the database for the routes, and the writers' breaker; without them
 * the routes answer that there is no database. Borrowed until fini; the pool
 * must have been stopped before au_http_stop, so that no request waits for it
 * any more. */
void au_api_set_database(au_api_t *api, au_query_pool_t *query,
                         au_breaker_t *breaker);

/* What the routes share: the context that the server was started with. */
static inline au_api_t *au_api_of(const au_request_t *request) {
  return au_request_context(request);
}

extern const au_route_t au_routes[];
extern const size_t au_routes_count;

/* dead_letters.c */
extern const au_handler_t au_route_dlq_delete;
extern const au_handler_t au_route_dlq_list;
extern const au_handler_t au_route_dlq_reprocess;
extern const au_handler_t au_route_dlq_show;
extern const au_handler_t au_route_dlq_statistics;
/* dead_letters_bulk.c */
extern const au_handler_t au_route_dlq_delete_many;
extern const au_handler_t au_route_dlq_reprocess_many;
/* document.c */
extern const au_handler_t au_route_document_json;
extern const au_handler_t au_route_document_yaml;
/* events_get.c, events_post.c */
extern const au_handler_t au_route_events_get;
extern const au_handler_t au_route_events_post;
extern const au_handler_t au_route_events_show;
/* otlp_logs.c */
extern const au_handler_t au_route_otlp_logs;
/* health.c, health_business.c, health_database.c */
extern const au_handler_t au_route_health_buffer;
extern const au_handler_t au_route_health_business;
extern const au_handler_t au_route_health_database;
extern const au_handler_t au_route_health_detailed;
extern const au_handler_t au_route_live;
extern const au_handler_t au_route_ready;
/* page.c */
extern const au_handler_t au_route_page;
/* metrics.c */
extern const au_handler_t au_route_history;
extern const au_handler_t au_route_metrics;
extern const au_handler_t au_route_prometheus;

#endif
