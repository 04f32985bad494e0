/* SPDX-License-Identifier: MIT
 *
 * fuzz_match - any text as a method and a path, with the routes of the API. A
 * route that is found is the path, but for what is at its ":id" and a slash at
 * the end.
 */
#include "api/routes.h"
#include "fuzz/fuzz.h"
#include "http/private.h"

#include <stdlib.h>
#include <string.h>

static void check_route(const au_route_t *route, const char *path,
                        const char *parameter) {
  size_t size = strlen(path);
  size_t fixed = strcspn(route->path, ":");
  bool has_parameter = route->path[fixed] != '\0';
  fuzz_require(strncmp(route->path, path, fixed) == 0,
               "a route of another path");
  fuzz_require(has_parameter == (parameter[0] != '\0'),
               "a parameter where none is, or none where one is");
  fuzz_require(strchr(parameter, '/') == NULL, "a parameter of two segments");
  if (has_parameter)
    return;
  fuzz_require(size == fixed || (size == fixed + 1 && path[fixed] == '/'),
               "a route of another path");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  char *method = fuzz_text(fuzz_take_line(&input));
  char *path = fuzz_text(input);
  fuzz_require((unsigned)au_route_method_of(method) <= AU_METHOD_OTHER,
               "a method that there is not");
  (void)au_http_unescape(NULL, NULL, path);
  /* Of its very size. */
  char *parameter = malloc(AU_PARAMETER_MAX + 1);
  fuzz_require(parameter != NULL, "out of memory");
  const au_route_t *route =
      au_route_find(au_routes, au_routes_count, path, parameter);
  fuzz_require(strlen(parameter) <= AU_PARAMETER_MAX, "a parameter is longer");
  if (route != NULL)
    check_route(route, path, parameter);
  free(parameter);
  free(method);
  free(path);
  return 0;
}
