/* SPDX-License-Identifier: MIT
 *
 * own_database - see own_database.h.
 */
#include "support/own_database.h"

#include "base/clock.h"

au_database_t *database;
char own_conninfo[1024];
char own_name[64];
char own_role[64];

void name_database(void) {
  open_control();
  snprintf(own_name, sizeof(own_name), "check_own_%ld", (long)getpid());
  snprintf(own_role, sizeof(own_role), "check_role_%ld", (long)getpid());
  char more[96];
  snprintf(more, sizeof(more), "dbname=%s", own_name);
  snprintf(own_conninfo, sizeof(own_conninfo), "%s", conninfo_with(more));
}

void create_database(void) {
  do_sqlf(control, "CREATE DATABASE %s", own_name);
  database = open_client(own_conninfo);
}

void drop_database(void) {
  au_database_destroy(database);
  database = NULL;
  do_sqlf(control, "DROP DATABASE IF EXISTS %s (FORCE)", own_name);
}

void set_up_database(void) {
  name_database();
  create_database();
}

void tear_down_database(void) {
  drop_database();
  do_sqlf(control, "DROP ROLE IF EXISTS %s", own_role);
  close_control();
}

void migrate(au_database_t *with) {
  au_database_error_t error;
  au_status_t status = au_schema_migrate(with, &error);
  ck_assert_done(status, error);
}

void ensure(au_database_t *with, int64_t first, int64_t last) {
  au_database_error_t error;
  au_status_t status = au_schema_ensure_partitions(with, first, last, &error);
  ck_assert_done(status, error);
}

void make_schema(int days) {
  int64_t today = au_schema_day(au_clock_wall_us());
  migrate(database);
  ensure(database, today - days, today + 1);
}

long number(const char *sql) { return strtol(ask(database, sql), NULL, 10); }

void await_lock(void) {
  await(database,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = "
        "current_database() AND wait_event_type = 'Lock'",
        "1");
}

void end_sessions(const char *name) {
  do_sqlf(database,
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
          "application_name LIKE '%s' AND datname = current_database()",
          name);
}
