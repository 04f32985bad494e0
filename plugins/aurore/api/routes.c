/* SPDX-License-Identifier: MIT
 *
 * routes - the table of routes; see api/routes.h.
 */
#include "api/routes.h"

const au_route_t au_routes[] = {
    {"/events",
     {[AU_METHOD_GET] = {.handler = &au_route_events_get,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_EVENTS_GET},
      [AU_METHOD_POST] = {.handler = &au_route_events_post,
                          .scope = AU_SCOPE_INGEST,
                          .label = AU_ROUTE_EVENTS_POST}}},
    {"/live",
     {[AU_METHOD_GET] = {.handler = &au_route_live, .label = AU_ROUTE_HEALTH}}},
    {"/ready",
     {[AU_METHOD_GET] = {.handler = &au_route_ready,
                         .label = AU_ROUTE_HEALTH}}},
    {"/health",
     {[AU_METHOD_GET] = {.handler = &au_route_ready,
                         .label = AU_ROUTE_HEALTH}}},
    {"/health/buffer",
     {[AU_METHOD_GET] = {.handler = &au_route_health_buffer,
                         .label = AU_ROUTE_HEALTH}}},
    {"/health/database",
     {[AU_METHOD_GET] = {.handler = &au_route_health_database,
                         .label = AU_ROUTE_HEALTH}}},
    {"/health/detailed",
     {[AU_METHOD_GET] = {.handler = &au_route_health_detailed,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_HEALTH}}},
    {"/health/business",
     {[AU_METHOD_GET] = {.handler = &au_route_health_business,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_HEALTH}}},
    {"/dlq",
     {[AU_METHOD_GET] = {.handler = &au_route_dlq_list,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_DLQ}}},
    {"/dlq/statistics",
     {[AU_METHOD_GET] = {.handler = &au_route_dlq_statistics,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_DLQ}}},
    {"/dlq/:id",
     {[AU_METHOD_GET] = {.handler = &au_route_dlq_show,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_DLQ},
      [AU_METHOD_DELETE] = {.handler = &au_route_dlq_delete,
                            .scope = AU_SCOPE_ADMIN,
                            .label = AU_ROUTE_DLQ}}},
    {"/dlq/:id/reprocess",
     {[AU_METHOD_PATCH] = {.handler = &au_route_dlq_reprocess,
                           .scope = AU_SCOPE_ADMIN,
                           .label = AU_ROUTE_DLQ}}},
    {"/metrics",
     {[AU_METHOD_GET] = {.handler = &au_route_metrics,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_METRICS}}},
    {"/metrics/history",
     {[AU_METHOD_GET] = {.handler = &au_route_history,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_METRICS}}},
    {"/metrics/prometheus",
     {[AU_METHOD_GET] = {.handler = &au_route_prometheus,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_METRICS}}},
};

const size_t au_routes_count = sizeof(au_routes) / sizeof(au_routes[0]);

void au_api_init(au_api_t *api, const au_options_t *options,
                 au_buffer_t *buffer, au_history_t *history) {
  *api = (au_api_t){.options = options, .buffer = buffer, .history = history};
  au_ingest_pool_init(&api->ingests, &options->limits);
}

void au_api_fini(au_api_t *api) { au_ingest_pool_fini(&api->ingests); }

void au_api_set_query(au_api_t *api, au_query_pool_t *query) {
  atomic_store(&api->query, query);
}
