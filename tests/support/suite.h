/* SPDX-License-Identifier: MIT
 *
 * suite - tests that enter themselves, in the order of their file, and what
 * every unit test's main() does: run them.
 */
#ifndef SUPPORT_SUITE_H
#define SUPPORT_SUITE_H

#include <check.h>
#include <stdbool.h>

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* The tests from here to the next case run between the two functions, each of
 * which may be NULL. A test has 120 seconds, times CK_TIMEOUT_MULTIPLIER. */
#define CASE(name, set_up, tear_down) CASE_IF(NULL, name, set_up, tear_down)

/* As CASE; left out unless "is_possible", a bool (*)(void), is NULL or says
 * so. */
#define CASE_IF(is_possible, name, set_up, tear_down)                          \
  CASE_AT(__LINE__, is_possible, name, set_up, tear_down)

/* A test of the case above it; its body follows. */
#define TEST(name) TEST_EACH(name, 1)

/* As TEST; runs for each _i from 0 to count - 1. */
#define TEST_EACH(name, count)                                                 \
  static void name(int _i);                                                    \
  __attribute__((constructor)) static void enter_##name(void) {                \
    static const TTest test = {#name, name, __FILE__, __LINE__};               \
    static suite_entry_t entry = {.line = __LINE__, .test = &test};            \
    entry.runs = (int)(count);                                                 \
    suite_enter(&entry);                                                       \
  }                                                                            \
  static void name(int _i CK_ATTRIBUTE_UNUSED)

/* Runs the tests of the program's file; returns the exit status. */
int run_tests(const char *name);

/* As run_tests, of tests that are skipped without a PostgreSQL. */
int run_database_tests(const char *name);

/* Whether there is a PostgreSQL to test with; otherwise says that the tests
 * with a database are skipped. */
bool has_server(void);

/* --- of the macros ------------------------------------------------------- */

/* A case, or (with "test") a test. */
typedef struct suite_entry {
  int line; /* their order */
  const TTest *test;
  int runs;
  const char *name;
  SFun set_up;
  SFun tear_down;
  bool (*is_possible)(void);
  struct suite_entry *next;
} suite_entry_t;

void suite_enter(suite_entry_t *entry);

#define CASE_AT(line_, is_possible_, name_, set_up_, tear_down_)               \
  CASE_OF_LINE(line_, is_possible_, name_, set_up_, tear_down_)
#define CASE_OF_LINE(line_, is_possible_, name_, set_up_, tear_down_)          \
  __attribute__((constructor)) static void enter_case_##line_(void) {          \
    static suite_entry_t entry = {.line = (line_),                             \
                                  .name = (name_),                             \
                                  .set_up = (set_up_),                         \
                                  .tear_down = (tear_down_),                   \
                                  .is_possible = (is_possible_)};              \
    suite_enter(&entry);                                                       \
  }                                                                            \
  struct suite_entry

/* --- tests that are listed ----------------------------------------------- */

/* Adds a case, to which the caller adds tests. */
TCase *add_case(Suite *suite, const char *name, SFun set_up, SFun tear_down);

/* Runs the cases that "add_cases" adds; returns the exit status. */
int run_suite(const char *name, void (*add_cases)(Suite *suite));
int run_database_suite(const char *name, void (*add_cases)(Suite *suite));

#endif
