/* SPDX-License-Identifier: MIT
 *
 * check_match - which route a path means, in a table of the test's own and in
 * the real one.
 */
#include "api/routes.h"
#include "http/private.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static const au_handler_t handler = {.state_size = 0};

static const au_route_t entries[] = {
    {"/dlq", {[AU_METHOD_GET] = {.handler = &handler}}},
    {"/dlq/statistics", {[AU_METHOD_GET] = {.handler = &handler}}},
    {"/dlq/:id",
     {[AU_METHOD_GET] = {.handler = &handler},
      [AU_METHOD_DELETE] = {.handler = &handler}}},
    {"/dlq/:id/reprocess", {[AU_METHOD_PATCH] = {.handler = &handler}}},
    {"/all",
     {[AU_METHOD_GET] = {.handler = &handler},
      [AU_METHOD_POST] = {.handler = &handler},
      [AU_METHOD_PATCH] = {.handler = &handler},
      [AU_METHOD_DELETE] = {.handler = &handler}}},
};
#define COUNT (sizeof(entries) / sizeof(entries[0]))
#define NONE (-1)

static const struct {
  const char *url;
  int entry; /* its index, or NONE */
  const char *parameter;
} cases[] = {
    {"/dlq", 0, ""},
    {"/dlq/", 0, ""},
    {"/dlq/statistics", 1, ""},
    {"/dlq/statistics/", 1, ""},
    {"/dlq/statistic", 2, "statistic"},
    {"/dlq/statistics2", 2, "statistics2"},
    {"/dlq/7", 2, "7"},
    {"/dlq/7/", 2, "7"},
    {"/dlq/:id", 2, ":id"},
    {"/dlq/a b\xC3\xA9\"", 2, "a b\xC3\xA9\""},
    {"/dlq/7/reprocess", 3, "7"},
    {"/dlq/7/reprocess/", 3, "7"},
    {"/dlq/statistics/reprocess", 3, "statistics"},
    {"/dlq//reprocess", NONE, ""},
    {"/dlq//", NONE, ""},
    {"/dlq/7//", NONE, ""},
    {"/dlq/7/reproces", NONE, ""},
    {"/dlq/7/reprocess2", NONE, ""},
    {"/dlq/7/8", NONE, ""},
    {"/dl", NONE, ""},
    {"/dlqq", NONE, ""},
    {"/", NONE, ""},
    {"", NONE, ""},
};

CASE("routes", NULL, NULL);

TEST_EACH(a_path_means_the_first_entry_that_fits,
          sizeof(cases) / sizeof(cases[0])) {
  char parameter[AU_PARAMETER_MAX + 1] = "left over";
  const au_route_t *found =
      au_route_find(entries, COUNT, cases[_i].url, parameter);
  const au_route_t *expected =
      cases[_i].entry == NONE ? NULL : &entries[cases[_i].entry];
  ck_assert_msg(found == expected, "\"%s\"", cases[_i].url);
  ck_assert_str_eq(parameter, cases[_i].parameter);
}

TEST(a_long_parameter_is_cut) {
  char url[1000] = "/dlq/";
  memset(url + 5, 'x', 900);
  char parameter[AU_PARAMETER_MAX + 1];
  ck_assert_ptr_eq(au_route_find(entries, COUNT, url, parameter), &entries[2]);
  ck_assert_uint_eq(strlen(parameter), AU_PARAMETER_MAX);
  strcat(url, "/reprocess");
  ck_assert_ptr_eq(au_route_find(entries, COUNT, url, parameter), &entries[3]);
}

TEST(allow_names_the_methods_of_an_entry) {
  static const char *const expected[] = {
      "GET, HEAD, OPTIONS", "GET, HEAD, OPTIONS", "GET, HEAD, DELETE, OPTIONS",
      "PATCH, OPTIONS", "GET, HEAD, POST, PATCH, DELETE, OPTIONS"};
  for (size_t i = 0; i < COUNT; i++) {
    char allow[AU_ALLOW_SIZE];
    au_route_allow(&entries[i], allow);
    ck_assert_str_eq(allow, expected[i]);
  }
}

TEST(methods_are_told_by_their_exact_names) {
  ck_assert_int_eq(au_route_method_of("GET"), AU_METHOD_GET);
  ck_assert_int_eq(au_route_method_of("HEAD"), AU_METHOD_GET);
  ck_assert_int_eq(au_route_method_of("POST"), AU_METHOD_POST);
  ck_assert_int_eq(au_route_method_of("PATCH"), AU_METHOD_PATCH);
  ck_assert_int_eq(au_route_method_of("DELETE"), AU_METHOD_DELETE);
  static const char *const others[] = {"get", "PUT", "", "OPTIONS", "GETS"};
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
    ck_assert_int_eq(au_route_method_of(others[i]), AU_METHOD_OTHER);
}

/* No entry of the real table is hidden by an earlier one. */
TEST(every_route_is_found_by_its_own_path) {
  for (size_t i = 0; i < au_routes_count; i++) {
    char parameter[AU_PARAMETER_MAX + 1];
    ck_assert_ptr_eq(
        au_route_find(au_routes, au_routes_count, au_routes[i].path, parameter),
        &au_routes[i]);
  }
}

int main(void) { return run_tests("match"); }
