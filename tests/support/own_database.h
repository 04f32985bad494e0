/* SPDX-License-Identifier: MIT
 *
 * own_database - for tests of the schema: each test in a database of its own.
 */
#ifndef SUPPORT_OWN_DATABASE_H
#define SUPPORT_OWN_DATABASE_H

#include "database/schema.h"
#include "support/servers.h"

static au_database_t *control;  /* the superuser's, on the test database */
static au_database_t *database; /* the superuser's, on the test's own */
static char own_conninfo[1024];
static char own_name[64];
static char own_role[64];

static inline void setup(void) {
  control = open_client(getenv("AURORE_TEST_CONNINFO"));
  snprintf(own_name, sizeof(own_name), "check_schema_%ld", (long)getpid());
  snprintf(own_role, sizeof(own_role), "check_role_%ld", (long)getpid());
  char sql[128];
  snprintf(sql, sizeof(sql), "CREATE DATABASE %s", own_name);
  do_sql(control, sql);
  char more[96];
  snprintf(more, sizeof(more), "dbname=%s", own_name);
  snprintf(own_conninfo, sizeof(own_conninfo), "%s", conninfo_with(more));
  database = open_client(own_conninfo);
}

static inline void teardown(void) {
  au_database_destroy(database);
  char sql[128];
  snprintf(sql, sizeof(sql), "DROP DATABASE %s (FORCE)", own_name);
  do_sql(control, sql);
  snprintf(sql, sizeof(sql), "DROP ROLE IF EXISTS %s", own_role);
  do_sql(control, sql);
  au_database_destroy(control);
}

static inline void migrate(au_database_t *with) {
  au_database_error_t error;
  au_status_t status = au_schema_migrate(with, &error);
  ck_assert_done(status, error);
}

static inline void ensure(au_database_t *with, int64_t first, int64_t last) {
  au_database_error_t error;
  au_status_t status = au_schema_ensure_partitions(with, first, last, &error);
  ck_assert_done(status, error);
}

#define DAY_2026_11_24 INT64_C(20781)

static inline TCase *add_case(Suite *suite, const char *name) {
  TCase *tcase = tcase_create(name);
  tcase_set_timeout(tcase, 120);
  tcase_add_checked_fixture(tcase, setup, teardown);
  suite_add_tcase(suite, tcase);
  return tcase;
}

#endif
