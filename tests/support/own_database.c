/* SPDX-License-Identifier: MIT */
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

void init_options(au_options_t *options) {
  ck_assert_int_eq(au_options_init(options), AU_OK);
  set_conninfo(options, own_conninfo);
  options->backoff_min_s = 0.001;
  options->backoff_max_s = 0.01;
}

void store_events(au_database_t *with, const char *accepted,
                  const char *service, int count) {
  do_sqlf(with,
          "INSERT INTO aurore.event (event_id, occurred_at, ingested_at, "
          "service, message) SELECT gen_random_uuid(), now(), %s, '%s', 'm' "
          "FROM generate_series(1, %d); "
          "INSERT INTO aurore.event_count AS c "
          "(minute, service, spool_id, lane, n) VALUES "
          "(date_trunc('minute', %s), '%s', "
          "'00000000-0000-0000-0000-000000000001', 0, %d) "
          "ON CONFLICT (minute, service, spool_id, lane) "
          "DO UPDATE SET n = c.n + EXCLUDED.n",
          accepted, service, count, accepted, service, count);
}

PGconn *hold(const char *sql) {
  PGconn *conn = PQconnectdb(own_conninfo);
  ck_assert_int_eq(PQstatus(conn), CONNECTION_OK);
  PQclear(PQexec(conn, "BEGIN"));
  PGresult *result = PQexec(conn, sql);
  ck_assert_msg(PQresultStatus(result) < PGRES_BAD_RESPONSE, "%s",
                PQerrorMessage(conn));
  PQclear(result);
  return conn;
}

void commit(PGconn *session) {
  PQclear(PQexec(session, "COMMIT"));
  PQfinish(session);
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
