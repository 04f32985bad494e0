/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * routes - the table of routes; see api/routes.h.
 */
#include "api/routes.h"

const au_route_t au_routes[] = {
    {"/", {[AU_METHOD_GET] = {&au_route_page, AU_SCOPE_READ, AU_ROUTE_PAGE}}},
    {"/events",
     {[AU_METHOD_GET] = {&au_route_events_get, AU_SCOPE_READ,
                         AU_ROUTE_EVENTS_GET},
      [AU_METHOD_POST] = {&au_route_events_post, AU_SCOPE_INGEST,
                          AU_ROUTE_EVENTS_POST}}},
    {"/events/:id",
     {[AU_METHOD_GET] = {&au_route_events_show, AU_SCOPE_READ,
                         AU_ROUTE_EVENTS_GET}}},
    {"/v1/logs",
     {[AU_METHOD_POST] = {&au_route_otlp_logs, AU_SCOPE_INGEST,
                          AU_ROUTE_OTLP_LOGS}}},
    {"/live",
     {[AU_METHOD_GET] = {&au_route_live, AU_SCOPE_NONE, AU_ROUTE_HEALTH}}},
    {"/ready",
     {[AU_METHOD_GET] = {&au_route_ready, AU_SCOPE_NONE, AU_ROUTE_HEALTH}}},
    {"/health",
     {[AU_METHOD_GET] = {&au_route_ready, AU_SCOPE_NONE, AU_ROUTE_HEALTH}}},
    {"/health/buffer",
     {[AU_METHOD_GET] = {&au_route_health_buffer, AU_SCOPE_NONE,
                         AU_ROUTE_HEALTH}}},
    {"/health/database",
     {[AU_METHOD_GET] = {&au_route_health_database, AU_SCOPE_NONE,
                         AU_ROUTE_HEALTH}}},
    {"/health/detailed",
     {[AU_METHOD_GET] = {&au_route_health_detailed, AU_SCOPE_READ,
                         AU_ROUTE_HEALTH}}},
    {"/health/business",
     {[AU_METHOD_GET] = {&au_route_health_business, AU_SCOPE_READ,
                         AU_ROUTE_HEALTH}}},
    {"/dlq",
     {[AU_METHOD_GET] = {&au_route_dlq_list, AU_SCOPE_READ, AU_ROUTE_DLQ},
      [AU_METHOD_DELETE] = {&au_route_dlq_delete_many, AU_SCOPE_ADMIN,
                            AU_ROUTE_DLQ}}},
    {"/dlq/reprocess",
     {[AU_METHOD_POST] = {&au_route_dlq_reprocess_many, AU_SCOPE_ADMIN,
                          AU_ROUTE_DLQ}}},
    {"/dlq/statistics",
     {[AU_METHOD_GET] = {&au_route_dlq_statistics, AU_SCOPE_READ,
                         AU_ROUTE_DLQ}}},
    {"/dlq/:id",
     {[AU_METHOD_GET] = {&au_route_dlq_show, AU_SCOPE_READ, AU_ROUTE_DLQ},
      [AU_METHOD_DELETE] = {&au_route_dlq_delete, AU_SCOPE_ADMIN,
                            AU_ROUTE_DLQ}}},
    {"/dlq/:id/reprocess",
     {[AU_METHOD_PATCH] = {&au_route_dlq_reprocess, AU_SCOPE_ADMIN,
                           AU_ROUTE_DLQ}}},
    {"/metrics",
     {[AU_METHOD_GET] = {&au_route_metrics, AU_SCOPE_READ, AU_ROUTE_METRICS}}},
    {"/metrics/history",
     {[AU_METHOD_GET] = {&au_route_history, AU_SCOPE_READ, AU_ROUTE_METRICS}}},
    {"/metrics/prometheus",
     {[AU_METHOD_GET] = {&au_route_prometheus, AU_SCOPE_READ,
                         AU_ROUTE_METRICS}}},
    {"/openapi.json",
     {[AU_METHOD_GET] = {&au_route_document_json, AU_SCOPE_NONE,
                         AU_ROUTE_OTHER}}},
    {"/openapi.yaml",
     {[AU_METHOD_GET] = {&au_route_document_yaml, AU_SCOPE_NONE,
                         AU_ROUTE_OTHER}}},
};

const size_t au_routes_count = sizeof(au_routes) / sizeof(au_routes[0]);

void au_api_init(au_api_t *api, const au_options_t *options,
                 au_buffer_t *buffer, au_history_t *history) {
  *api = (au_api_t){.options = options, .buffer = buffer, .history = history};
  au_reader_pool_init(&api->readers, &options->limits);
  au_postings_init(&api->postings, options);
}

void au_api_fini(au_api_t *api) {
  au_reader_pool_fini(&api->readers);
  au_postings_fini(&api->postings);
}

void au_api_set_database(au_api_t *api, au_query_pool_t *query,
                         au_breaker_t *breaker) {
  atomic_store(&api->breaker, breaker);
  atomic_store(&api->query, query);
}
