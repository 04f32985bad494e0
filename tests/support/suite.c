/* SPDX-License-Identifier: MIT */
#include "support/suite.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SKIPPED                                                                \
  77 /* automake's exit status of a test that could not be run                 \
      */

/* Check keeps the place of the last assertion that held, for the report of a
 * test that dies: a message to its parent for each, which costs more than most
 * of what is asserted. So only the first ones of a test are kept one by one.
 *
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void __wrap__mark_point(const char *file, int line);
void __real__mark_point(const char *file, int line);

void __wrap__mark_point(const char *file, int line) {
  static atomic_uint marks; /* each test has a process of its own */
  unsigned mark = atomic_fetch_add(&marks, 1);
  if (mark < 100 || mark % 100 == 0)
    __real__mark_point(file, line);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

TCase *add_case(Suite *suite, const char *name, SFun set_up, SFun tear_down) {
  TCase *tcase = tcase_create(name);
  tcase_set_timeout(tcase, 120);
  tcase_add_checked_fixture(tcase, set_up, tear_down);
  suite_add_tcase(suite, tcase);
  return tcase;
}

static suite_entry_t *entries;

void suite_enter(suite_entry_t *entry) {
  suite_entry_t **at = &entries;
  while (*at != NULL && (*at)->line < entry->line)
    at = &(*at)->next;
  entry->next = *at;
  *at = entry;
}

static void add_entries(Suite *suite) {
  TCase *tcase = NULL;
  for (const suite_entry_t *entry = entries; entry != NULL; entry = entry->next)
    if (entry->test == NULL)
      tcase =
          entry->is_possible == NULL || entry->is_possible()
              ? add_case(suite, entry->name, entry->set_up, entry->tear_down)
              : NULL;
    else if (tcase != NULL)
      tcase_add_loop_test(tcase, entry->test, 0, entry->runs);
}

int run_suite(const char *name, void (*add_cases)(Suite *suite)) {
  Suite *suite = suite_create(name);
  add_cases(suite);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

bool has_server(void) {
  if (getenv("AURORE_TEST_CONNINFO") != NULL)
    return true;
  printf("%s: skipped: AURORE_TEST_CONNINFO is not set (tests/with-postgres "
         "sets it)\n",
         program_invocation_short_name);
  return false;
}

int run_tests(const char *name) { return run_suite(name, add_entries); }

int run_database_suite(const char *name, void (*add_cases)(Suite *suite)) {
  return has_server() ? run_suite(name, add_cases) : SKIPPED;
}

int run_database_tests(const char *name) {
  return run_database_suite(name, add_entries);
}
