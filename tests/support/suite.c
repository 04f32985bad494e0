/* SPDX-License-Identifier: MIT */
#include "support/suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SKIPPED                                                                \
  77 /* automake's exit status of a test that could not be run                 \
      */

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
