/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * match - the route that a path means, in a table of routes.
 *
 * Threads: pure.
 */
#include "http/private.h"

#include <stdio.h>
#include <string.h>

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
    if (entry == NULL || entry->method[i].handler != NULL)
      length += (size_t)snprintf(text + length, AU_ALLOW_SIZE - length, "%s, ",
                                 methods[i].allow);
  snprintf(text + length, AU_ALLOW_SIZE - length, "%s",
           MHD_HTTP_METHOD_OPTIONS);
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
  if (size > 1 && url[size - 1] == '/' && url[size - 2] != '/')
    size--; /* a trailing slash is accepted */
  for (size_t i = 0; i < count; i++)
    if (fits(entries[i].path, url, size, out_parameter))
      return &entries[i];
  out_parameter[0] = '\0';
  return NULL;
}
