/* SPDX-License-Identifier: MIT
 *
 * match - the table of routes, and finding the one that a path means.
 */
#include "http/private.h"

#include <stdio.h>
#include <string.h>

const au_route_t au_routes[] = {
    {"/events",
     {[AU_METHOD_GET] = {.run = au_route_events_page,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_EVENTS_GET},
      [AU_METHOD_POST] = {.run = au_route_events_run,
                          .begin = au_route_events_begin,
                          .scope = AU_SCOPE_INGEST,
                          .label = AU_ROUTE_EVENTS_POST}}},
    {"/live",
     {[AU_METHOD_GET] = {.run = au_route_live, .label = AU_ROUTE_HEALTH}}},
    {"/ready",
     {[AU_METHOD_GET] = {.run = au_route_ready, .label = AU_ROUTE_HEALTH}}},
    {"/health",
     {[AU_METHOD_GET] = {.run = au_route_ready, .label = AU_ROUTE_HEALTH}}},
    {"/health/buffer",
     {[AU_METHOD_GET] = {.run = au_route_health_buffer,
                         .label = AU_ROUTE_HEALTH}}},
    {"/health/database",
     {[AU_METHOD_GET] = {.run = au_route_health_database,
                         .label = AU_ROUTE_HEALTH}}},
    {"/health/detailed",
     {[AU_METHOD_GET] = {.run = au_route_health_detailed,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_HEALTH}}},
    {"/health/business",
     {[AU_METHOD_GET] = {.run = au_route_health_business,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_HEALTH}}},
    {"/dlq",
     {[AU_METHOD_GET] = {.run = au_route_dlq_list,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_DLQ}}},
    {"/dlq/statistics",
     {[AU_METHOD_GET] = {.run = au_route_dlq_statistics,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_DLQ}}},
    {"/dlq/:id",
     {[AU_METHOD_GET] = {.run = au_route_dlq_show,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_DLQ},
      [AU_METHOD_DELETE] = {.run = au_route_dlq_delete,
                            .scope = AU_SCOPE_ADMIN,
                            .label = AU_ROUTE_DLQ}}},
    {"/dlq/:id/reprocess",
     {[AU_METHOD_PATCH] = {.run = au_route_dlq_reprocess,
                           .scope = AU_SCOPE_ADMIN,
                           .label = AU_ROUTE_DLQ}}},
    {"/metrics",
     {[AU_METHOD_GET] = {.run = au_route_metrics,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_METRICS}}},
    {"/metrics/history",
     {[AU_METHOD_GET] = {.run = au_route_history,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_METRICS}}},
    {"/metrics/prometheus",
     {[AU_METHOD_GET] = {.run = au_route_prometheus,
                         .scope = AU_SCOPE_READ,
                         .label = AU_ROUTE_METRICS}}},
};

const size_t au_routes_count = sizeof(au_routes) / sizeof(au_routes[0]);

static const struct {
  const char *name;  /* as a request has it */
  const char *allow; /* as Allow has it */
} methods[AU_METHOD_COUNT] = {
    [AU_METHOD_GET] = {MHD_HTTP_METHOD_GET, "GET, HEAD"},
    [AU_METHOD_POST] = {MHD_HTTP_METHOD_POST, "POST"},
    [AU_METHOD_PATCH] = {MHD_HTTP_METHOD_PATCH, "PATCH"},
    [AU_METHOD_DELETE] = {MHD_HTTP_METHOD_DELETE, "DELETE"}};

au_method_t au_route_method_of(const char *method) {
  if (strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
    return AU_METHOD_GET;
  for (int i = 0; i < AU_METHOD_COUNT; i++)
    if (strcmp(method, methods[i].name) == 0)
      return (au_method_t)i;
  return AU_METHOD_OTHER;
}

void au_route_allow(const au_route_t *entry, char text[AU_ALLOW_SIZE]) {
  size_t length = 0;
  text[0] = '\0';
  for (int i = 0; i < AU_METHOD_COUNT; i++)
    if (entry->method[i].run != NULL)
      length += (size_t)snprintf(text + length, AU_ALLOW_SIZE - length, "%s%s",
                                 length > 0 ? ", " : "", methods[i].allow);
}

/* Whether the path fits, segment by segment. */
static bool fits(const char *path, const char *url, size_t size,
                 char out_parameter[AU_PARAMETER_MAX + 1]) {
  const char *end = url + size;
  out_parameter[0] = '\0';
  while (*path != '\0' && url < end) {
    if (*path != ':') {
      if (*path++ != *url++)
        return false;
      continue;
    }
    const char *slash = memchr(url, '/', (size_t)(end - url));
    size_t length = (size_t)((slash != NULL ? slash : end) - url);
    if (length == 0)
      return false;
    snprintf(out_parameter, AU_PARAMETER_MAX + 1, "%.*s", (int)length, url);
    path += strcspn(path, "/");
    url += length;
  }
  return *path == '\0' && url == end;
}

const au_route_t *au_route_find(const au_route_t *entries, size_t count,
                                const char *url,
                                char out_parameter[AU_PARAMETER_MAX + 1]) {
  size_t size = strlen(url);
  if (size > 1 && url[size - 1] == '/')
    size--; /* a trailing slash is accepted */
  for (size_t i = 0; i < count; i++)
    if (fits(entries[i].path, url, size, out_parameter))
      return &entries[i];
  out_parameter[0] = '\0';
  return NULL;
}
