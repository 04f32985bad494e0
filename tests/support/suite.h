/* SPDX-License-Identifier: MIT
 *
 * suite - what every unit test's main() does: run a suite of cases.
 */
#ifndef SUPPORT_SUITE_H
#define SUPPORT_SUITE_H

#include <check.h>
#include <stdbool.h>

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Adds a case whose tests run between the two functions, each of which may be
 * NULL. A test has 120 seconds, times CK_TIMEOUT_MULTIPLIER. */
TCase *add_case(Suite *suite, const char *name, SFun set_up, SFun tear_down);

/* Runs the cases that "add_cases" adds; returns the exit status. */
int run_suite(const char *name, void (*add_cases)(Suite *suite));

/* Whether there is a PostgreSQL to test with; otherwise says that the tests
 * with a database are skipped. */
bool has_server(void);

/* As run_suite, of tests that are skipped without a PostgreSQL. */
int run_database_suite(const char *name, void (*add_cases)(Suite *suite));

#endif
