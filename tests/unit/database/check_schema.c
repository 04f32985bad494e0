/* SPDX-License-Identifier: MIT
 *
 * check_schema - migrations and partitions, on a real server.
 */
#include "support/own_database.h"

#include "base/clock.h"
#include "database/schema_sql.h"
#include "support/suite.h"

#include <sys/wait.h>

#include <pthread.h>

#define CROWD 8

/* What the program makes. */
#define VERSION (sizeof(migrations) / sizeof(migrations[0]))
#define ADDITIONS (sizeof(additions) / sizeof(additions[0]))

/* A connection of a role that may log in and nothing else. */
static au_database_t *open_role(void) {
  do_sqlf(database, "CREATE ROLE %s LOGIN", own_role);
  char conninfo[1100];
  snprintf(conninfo, sizeof(conninfo), "%s user=%s", own_conninfo, own_role);
  return open_client(conninfo);
}

static void refuse(au_status_t status, const au_database_error_t *error,
                   const char *part) {
  ck_assert_int_eq(status, AU_INVALID);
  ck_assert_msg(strstr(error->message, part) != NULL, "\"%s\" is not in: %s",
                part, error->message);
}

static const char steps_sql[] =
    "SELECT (SELECT count(*) FROM aurore.schema_version) || ' ' || "
    "(SELECT count(*) FROM aurore.schema_addition)";

static void assert_all_steps(void) {
  char steps[32];
  snprintf(steps, sizeof(steps), "%zu %zu", VERSION, ADDITIONS);
  ck_assert_str_eq(ask(database, steps_sql), steps);
}

/* The schema as a release made it that knew versions alone. */
static void make_last_version(void) {
  for (size_t i = 0; i < VERSION; i++) {
    au_bytes_t sql = AU_BYTES_INIT;
    for (const char *const *line = migrations[i].lines; *line != NULL; line++)
      au_bytes_put_string(&sql, *line);
    do_sql(database, au_bytes_text(&sql));
    au_bytes_fini(&sql);
    do_sqlf(database, "INSERT INTO aurore.schema_version VALUES (%zu)", i + 1);
  }
}

static int64_t today(void) { return au_schema_day(au_clock_wall_us()); }
/* --- migrations --- */

CASE("migrations", set_up_database, tear_down_database);

TEST(empty_database_is_brought_to_the_version) {
  migrate(database);
  ck_assert_str_eq(ask(database, "SELECT max(version) FROM "
                                 "aurore.schema_version"),
                   "9");
  assert_all_steps();
  ck_assert_str_eq(
      ask(database, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM "
                    "pg_class WHERE relnamespace = 'aurore'::regnamespace AND "
                    "relkind IN ('r', 'p')"),
      "dead_letter event event_count event_drop event_hour event_key "
      "event_key_before event_key_generation event_key_wish event_leaving "
      "event_minute event_total lane retention_wish schema_addition "
      "schema_version");
}

TEST(migrating_again_changes_nothing) {
  migrate(database);
  char before[4096];
  static const char sql[] = "SELECT pg_current_xact_id_if_assigned() IS NULL, "
                            "(SELECT sum(xmin::text::bigint) "
                            "FROM aurore.schema_version), "
                            "(SELECT sum(xmin::text::bigint) "
                            "FROM aurore.schema_addition)";
  snprintf(before, sizeof(before), "%s", ask(database, sql));
  migrate(database);
  ck_assert_str_eq(ask(database, sql), before);
}

TEST(schema_of_an_older_release_is_brought_forward) {
  migrate(database);
  /* Every migration but the first is undone, whatever they have made. */
  do_sql(database,
         "DO $$ DECLARE made text; BEGIN "
         "FOR made IN SELECT 'TABLE aurore.' || tablename FROM pg_tables"
         " WHERE schemaname = 'aurore' AND tablename <> 'schema_version'"
         " UNION ALL SELECT 'ROUTINE ' || oid::regprocedure FROM pg_proc"
         " WHERE pronamespace = 'aurore'::regnamespace "
         "LOOP EXECUTE 'DROP ' || made || ' CASCADE'; END LOOP; END $$; "
         "DELETE FROM aurore.schema_version WHERE version > 1");
  migrate(database);
  assert_all_steps();
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.event_count"),
                   "0");
}

/* A release that knew no additions, or fewer of them; each is made once. */
TEST(what_is_missing_is_added) {
  make_last_version();
  ck_assert_str_eq(
      ask(database, "SELECT to_regclass('aurore.schema_addition') IS NULL"),
      "t");
  migrate(database);
  assert_all_steps();
  do_sql(database,
         "DROP TABLE aurore.schema_addition; CREATE TABLE "
         "aurore.schema_addition (name text PRIMARY KEY); INSERT INTO "
         "aurore.schema_addition VALUES ('010_addition_of_another_name')");
  au_database_error_t error;
  refuse(au_schema_migrate(database, &error), &error, "already exists");
  ck_assert_str_eq(error.sqlstate, "42P07");
}

/* A newer release was here and has added things: they are its own. */
TEST(additions_of_a_newer_release_are_no_trouble) {
  migrate(database);
  do_sql(database, "INSERT INTO aurore.schema_addition VALUES "
                   "('999_from_the_future')");
  migrate(database);
}

/* But a version promises nothing to those that do not know it. */
TEST(newer_version_is_refused) {
  migrate(database);
  do_sql(database, "INSERT INTO aurore.schema_version VALUES (1000)");
  au_database_error_t error;
  refuse(au_schema_migrate(database, &error), &error, "version 1000");
  refuse(au_schema_migrate(database, &error), &error, "has that release");
}

/* What the owner of a database may have set for everybody; a timeout that this
 * server knows and this test does not has to be set, or listed. */
TEST(settings_of_the_database_do_not_reach_us) {
  static const char unset[] =
      "SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM "
      "pg_settings WHERE name LIKE '%timeout%' AND context IN ('user', "
      "'superuser') AND source <> 'session' AND name NOT IN ("
      /* The server's own business; the keepalives bound a dead connection. */
      "'deadlock_timeout', 'tcp_user_timeout', 'wal_sender_timeout')";
  static const char *const set[] = {
      "lock_timeout = 1",
      "idle_session_timeout = 60000",
      "idle_in_transaction_session_timeout = 60000",
      "statement_timeout = 60000",
      "exit_on_error = on",
      "plpgsql.extra_errors = 'all'",
      "datestyle = 'German, MDY'",
      "timezone = 'Asia/Kathmandu'",
      "search_path = 'public'",
      "bytea_output = 'escape'",
      "default_transaction_isolation = serializable"};
  for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++)
    do_sqlf(control, "ALTER DATABASE %s SET %s", own_name, set[i]);
  au_database_t *other = open_client(own_conninfo);
  ck_assert_str_eq(ask(other, unset), "");
  migrate(other);
  ensure(other, today(), today() + 1);
  ck_assert_str_eq(
      ask(other, "SELECT string_agg(setting, ' ' ORDER BY name) FROM "
                 "pg_settings WHERE name IN ('lock_timeout', 'exit_on_error', "
                 "'idle_session_timeout', 'plpgsql.extra_errors')"),
      "off 0 0 none");
  /* A variable of the same name twice is an error with extra_errors. */
  do_sql(other, "DO $$DECLARE n int; BEGIN DECLARE n int; BEGIN n := 1; END; "
                "END$$");
  au_database_destroy(other);
}

/* Each session ends with its first error. */
TEST(no_error_is_used_as_a_question) {
  do_sqlf(control, "ALTER DATABASE %s SET exit_on_error = on", own_name);
  au_database_t *other = open_client(own_conninfo);
  const char *mine = ask(other, "SELECT pg_backend_pid()");
  char pid[16];
  snprintf(pid, sizeof(pid), "%s", mine);
  migrate(other);
  ck_assert_str_eq(ask(other, "SELECT pg_backend_pid()"), pid);
  au_database_destroy(other);
}

typedef struct member {
  pthread_t thread;
  au_database_t *database;
  au_status_t status;
  au_database_error_t error;
  int64_t first_day;
  int64_t last_day;
} member_t;

static void *migrate_main(void *argument) {
  member_t *member = argument;
  member->status = au_schema_migrate(member->database, &member->error);
  return NULL;
}

static void run_crowd(member_t *crowd, void *(*main)(void *)) {
  for (size_t i = 0; i < CROWD; i++)
    crowd[i].database = open_client(own_conninfo);
  for (size_t i = 0; i < CROWD; i++)
    ck_assert_int_eq(pthread_create(&crowd[i].thread, NULL, main, &crowd[i]),
                     0);
  for (size_t i = 0; i < CROWD; i++)
    pthread_join(crowd[i].thread, NULL);
  for (size_t i = 0; i < CROWD; i++) {
    ck_assert_done(crowd[i].status, crowd[i].error);
    au_database_destroy(crowd[i].database);
  }
}

TEST(many_may_migrate_at_once) {
  member_t crowd[CROWD] = {{.status = AU_OK}};
  run_crowd(crowd, migrate_main);
  assert_all_steps();
}

/* Processes, too: each with its own connection from the start. */
TEST(many_processes_may_migrate_at_once) {
  pid_t pids[CROWD];
  for (size_t i = 0; i < CROWD; i++) {
    pids[i] = fork();
    ck_assert_int_ge(pids[i], 0);
    if (pids[i] == 0) {
      au_database_t *own = make_client(own_conninfo, 30, -1);
      au_database_error_t error;
      bool good = au_database_connect(own, &error) == AU_OK &&
                  au_schema_migrate(own, &error) == AU_OK;
      au_database_destroy(own);
      _exit(good ? 0 : 1);
    }
  }
  for (size_t i = 0; i < CROWD; i++) {
    int status = -1;
    ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
    ck_assert_int_eq(status, 0);
  }
  migrate(database);
}

TEST(missing_rights_are_named) {
  au_database_t *role = open_role();
  au_database_error_t error;
  refuse(au_schema_migrate(role, &error), &error, "CREATE on database");
  do_sql(database, "CREATE SCHEMA aurore");
  refuse(au_schema_migrate(role, &error), &error, "USAGE on schema");
  do_sqlf(database, "GRANT USAGE ON SCHEMA aurore TO %s", own_role);
  refuse(au_schema_migrate(role, &error), &error, "CREATE on schema");
  au_database_destroy(role);
}

TEST(role_that_owns_the_schema_needs_no_more) {
  au_database_t *role = open_role();
  do_sqlf(database, "CREATE SCHEMA aurore AUTHORIZATION %s", own_role);
  migrate(role);
  ensure(role, today(), today() + 1);
  do_sqlf(database, "SET ROLE %s", own_role);
  do_sql(database, "SELECT next_seq FROM aurore.claim("
                   "gen_random_uuid(), 0::smallint, "
                   "ARRAY[gen_random_uuid()], '{1}', 1, false, 'h')");
  do_sql(database, "RESET ROLE");
  au_database_destroy(role);
}

/* Somebody else migrates; the writer may only write. */
TEST(role_that_may_only_write_can_do_its_work) {
  migrate(database);
  au_database_t *role = open_role();
  do_sqlf(database, "GRANT USAGE ON SCHEMA aurore TO %s", own_role);
  do_sqlf(database, "GRANT SELECT ON aurore.schema_version TO %s", own_role);
  do_sqlf(database, "GRANT INSERT ON aurore.event, aurore.dead_letter TO %s",
          own_role);
  do_sqlf(
      database,
      "GRANT SELECT, INSERT, UPDATE ON aurore.lane, aurore.event_count TO %s",
      own_role);
  do_sqlf(database,
          "GRANT EXECUTE ON FUNCTION aurore.ensure_partitions(date, date), "
          "aurore.fold(timestamptz, integer), "
          "aurore.figures(timestamptz, integer) TO %s",
          own_role);
  migrate(role);
  ensure(role, today(), today() + 2);
  do_sql(role, "SELECT next_seq FROM aurore.claim("
               "'00000000-0000-0000-0000-000000000001', 0::smallint, "
               "'{00000000-0000-0000-0000-000000000002}', '{1}', 1, false, "
               "'h'); "
               "SELECT aurore.advance("
               "'00000000-0000-0000-0000-000000000001', 0::smallint, 1, 1, 2); "
               "INSERT INTO aurore.event (event_id, occurred_at, ingested_at, "
               "service, message) "
               "VALUES (gen_random_uuid(), now(), now(), 's', 'm'); "
               "INSERT INTO aurore.event_count AS c VALUES "
               "(now(), gen_random_uuid(), 1, 0, 's') "
               "ON CONFLICT (minute, service, spool_id, lane) "
               "DO UPDATE SET n = c.n + excluded.n");
  do_sql(role, "SELECT aurore.fold('infinity', 10)");
  ck_assert_str_eq(ask(role, "SELECT n FROM aurore.figures(now(), 1)"), "1");
  au_database_destroy(role);
}

TEST(partitions_are_not_everybodys_to_make) {
  migrate(database);
  au_database_t *role = open_role();
  do_sqlf(database, "GRANT USAGE ON SCHEMA aurore TO %s", own_role);
  au_database_error_t error;
  refuse(au_schema_ensure_partitions(role, today(), today(), &error), &error,
         "ensure_partitions");
  ck_assert_str_eq(error.sqlstate, "42501");
  au_database_destroy(role);
}

/* --- partitions --- */

CASE("partitions", set_up_database, tear_down_database);

TEST(day_is_rounded_down) {
  ck_assert_int_eq(au_schema_day(0), 0);
  ck_assert_int_eq(au_schema_day(INT64_C(86399999999)), 0);
  ck_assert_int_eq(au_schema_day(INT64_C(86400000000)), 1);
  ck_assert_int_eq(au_schema_day(-1), -1);
  ck_assert_int_eq(au_schema_day(INT64_C(1795510800000000)), DAY_2026_11_24);
}

TEST(partition_is_a_day_of_utc) {
  do_sqlf(control, "ALTER DATABASE %s SET timezone = 'Asia/Kathmandu'",
          own_name);
  au_database_t *other = open_client(own_conninfo);
  migrate(other);
  do_sql(other, "SET timezone = 'Asia/Kathmandu'; SET datestyle = 'German'");
  ensure(other, DAY_2026_11_24, DAY_2026_11_24 + 1);
  do_sql(other, "SET timezone = 'UTC'; SET datestyle = 'ISO'");
  ck_assert_str_eq(
      ask(other, "SELECT string_agg(name || ' ' || lower_bound || ' ' || "
                 "upper_bound, ', ' ORDER BY name) FROM aurore.partitions()"),
      "event_20261124 2026-11-24 00:00:00+00 2026-11-25 00:00:00+00, "
      "event_20261125 2026-11-25 00:00:00+00 2026-11-26 00:00:00+00");
  au_database_destroy(other);
}

TEST(only_what_is_missing_is_made) {
  migrate(database);
  ensure(database, DAY_2026_11_24, DAY_2026_11_24 + 2);
  do_sql(database, "DROP TABLE aurore.event_20261125");
  ck_assert_str_eq(ask(database, "SELECT aurore.ensure_partitions("
                                 "'2026-11-23', '2026-11-26')"),
                   "2");
  ck_assert_str_eq(ask(database, "SELECT aurore.ensure_partitions("
                                 "'2026-11-23', '2026-11-26')"),
                   "0");
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.partitions()"),
                   "4");
  /* Nothing is locked when there is nothing to do. */
  ck_assert_str_eq(
      ask(database,
          "SELECT aurore.ensure_partitions('2026-11-23', '2026-11-26'); "
          "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND "
          "mode NOT IN ('AccessShareLock', 'ExclusiveLock')"),
      "0");
}

TEST(detached_partition_is_left_alone) {
  migrate(database);
  ensure(database, DAY_2026_11_24, DAY_2026_11_24);
  do_sql(database, "INSERT INTO aurore.event (event_id, occurred_at, "
                   "ingested_at, service, message) VALUES (gen_random_uuid(), "
                   "now(), '2026-11-24 12:00+00', 's', 'm')");
  do_sql(database, "ALTER TABLE aurore.event DETACH PARTITION "
                   "aurore.event_20261124");
  ensure(database, DAY_2026_11_24, DAY_2026_11_24);
  ck_assert_str_eq(ask(database, "SELECT name FROM aurore.partitions()"),
                   "event_20261124_2");
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.event_20261124"),
                   "1");
}

TEST(partition_made_by_hand_counts) {
  migrate(database);
  do_sql(database, "CREATE TABLE aurore.november PARTITION OF aurore.event "
                   "FOR VALUES FROM ('2026-11-01 00:00+00') "
                   "TO ('2026-12-01 00:00+00'); "
                   "CREATE TABLE aurore.later PARTITION OF aurore.event "
                   "FOR VALUES FROM ('2026-12-03 00:00+00') TO (MAXVALUE)");
  ck_assert_str_eq(ask(database, "SELECT aurore.ensure_partitions("
                                 "'2026-11-20', '2026-12-10')"),
                   "2");
  do_sql(database,
         "CREATE TABLE aurore.rest PARTITION OF aurore.event DEFAULT");
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.partitions()"),
                   "4");
}

/* Somebody has made a part of the day: the rest is made, too. */
TEST(parts_of_a_day_are_made) {
  migrate(database);
  do_sql(database, "CREATE TABLE aurore.morning PARTITION OF aurore.event "
                   "FOR VALUES FROM ('2026-11-24 06:00+00') "
                   "TO ('2026-11-24 12:00+00')");
  ensure(database, DAY_2026_11_24, DAY_2026_11_24);
  static const char sql[] =
      "SELECT string_agg(name || ' ' || to_char(lower_bound, 'DD HH24') || ' ' "
      "|| to_char(upper_bound, 'DD HH24'), ', ' ORDER BY lower_bound) FROM "
      "aurore.partitions()";
  ck_assert_str_eq(ask(database, sql),
                   "event_20261124 24 00 24 06, morning 24 06 24 12, "
                   "event_20261124_2 24 12 25 00");
  char table[AU_TABLE_SIZE] = "?";
  au_database_error_t error;
  do_sql(database, "DROP TABLE aurore.event_20261124_2");
  ck_assert_done(au_schema_make_day(database, DAY_2026_11_24, table, &error),
                 error);
  ck_assert_str_eq(table, "");
  do_sql(database,
         "INSERT INTO aurore.event (event_id, occurred_at, ingested_at, "
         "service, message) SELECT gen_random_uuid(), now(), "
         "'2026-11-24 00:30+00'::timestamptz + n * interval '1 hour', 's', 'm' "
         "FROM generate_series(0, 23) AS n");
}

/* An identity column is the table's; as a partition's own, PostgreSQL 17 and
 * later refuse to attach it. */
TEST(partition_has_no_identity_of_its_own) {
  migrate(database);
  do_sql(database, "ALTER TABLE aurore.event ADD COLUMN n bigint "
                   "GENERATED ALWAYS AS IDENTITY");
  ensure(database, DAY_2026_11_24, DAY_2026_11_24);
  ck_assert_str_eq(
      ask(database,
          "INSERT INTO aurore.event (event_id, occurred_at, ingested_at, "
          "service, message) VALUES (gen_random_uuid(), now(), "
          "'2026-11-24 12:00+00', 's', 'm') RETURNING n"),
      "1");
  ck_assert_str_eq(
      ask(database, "SELECT count(*) FROM pg_class AS c, pg_depend AS d WHERE "
                    "c.relkind = 'S' AND d.objid = c.oid AND d.refobjid = "
                    "'aurore.event_20261124'::regclass"),
      "0");
}

TEST(partition_has_the_indexes_of_the_table) {
  migrate(database);
  ensure(database, DAY_2026_11_24, DAY_2026_11_24);
  ck_assert_str_eq(
      ask(database,
          "SELECT string_agg(p.inhparent::regclass::text, ' ' ORDER BY "
          "p.inhparent::regclass::text) FROM "
          "pg_index AS i JOIN pg_inherits AS p ON p.inhrelid = i.indexrelid "
          "WHERE i.indrelid = 'aurore.event_20261124'::regclass"),
      "aurore.event_ingested_at aurore.event_service_occurred_at");
  ck_assert_str_eq(ask(database,
                       "SELECT count(*) FROM pg_index WHERE indrelid = "
                       "'aurore.event_20261124'::regclass"),
                   "2");
}

TEST(too_many_days_are_refused) {
  migrate(database);
  au_database_error_t error;
  refuse(au_schema_ensure_partitions(database, 0, 1000, &error), &error,
         "days");
  refuse(au_schema_ensure_partitions(database, 1, 0, &error), &error, "days");
  ck_assert_int_eq(
      au_database_exec(database,
                       "SELECT aurore.ensure_partitions('2000-01-01', "
                       "'2026-01-01')",
                       NULL, &error),
      AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "22023");
}

static void *ensure_main(void *argument) {
  member_t *member = argument;
  for (int i = 0; i < 5 && member->status == AU_OK; i++)
    member->status =
        au_schema_ensure_partitions(member->database, DAY_2026_11_24,
                                    DAY_2026_11_24 + 4 * i, &member->error);
  return NULL;
}

/* Inserts into the first day until it is told to stop. */
typedef struct inserter {
  pthread_t thread;
  au_database_t *database;
  _Atomic bool stop;
  unsigned long count;
  au_status_t status;
  au_database_error_t error;
} inserter_t;

static void *insert_main(void *argument) {
  inserter_t *inserter = argument;
  while (!inserter->stop && inserter->status == AU_OK) {
    inserter->status = au_database_exec(
        inserter->database,
        "INSERT INTO aurore.event (event_id, occurred_at, ingested_at, "
        "service, message) SELECT gen_random_uuid(), now(), "
        "'2026-11-24 12:00+00', 's', 'm' FROM generate_series(1, 100)",
        NULL, &inserter->error);
    inserter->count += 100;
  }
  return NULL;
}

TEST(many_may_make_partitions_beside_inserts) {
  migrate(database);
  ensure(database, DAY_2026_11_24, DAY_2026_11_24);
  inserter_t inserter = {.status = AU_OK};
  inserter.database = open_client(own_conninfo);
  ck_assert_int_eq(
      pthread_create(&inserter.thread, NULL, insert_main, &inserter), 0);
  member_t crowd[CROWD] = {{.status = AU_OK}};
  run_crowd(crowd, ensure_main);
  inserter.stop = true;
  pthread_join(inserter.thread, NULL);
  ck_assert_done(inserter.status, inserter.error);
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.partitions()"),
                   "17");
  ck_assert_uint_eq(
      strtoul(ask(database, "SELECT count(*) FROM aurore.event"), NULL, 10),
      inserter.count);
  au_database_destroy(inserter.database);
}

/* A query and an insert that stay open hold their locks until they end:
 * partitions are made all the same, and inserts go on meanwhile. */
TEST(open_transactions_do_not_block_partitions) {
  migrate(database);
  ensure(database, DAY_2026_11_24, DAY_2026_11_24);
  PGconn *open = hold("SELECT count(*) FROM aurore.event; "
                      "INSERT INTO aurore.event (event_id, occurred_at, "
                      "ingested_at, service, message) VALUES "
                      "(gen_random_uuid(), now(), '2026-11-24', 's', 'm')");
  ensure(database, DAY_2026_11_24, DAY_2026_11_24 + 7);
  do_sql(database, "INSERT INTO aurore.event (event_id, occurred_at, "
                   "ingested_at, service, message) VALUES (gen_random_uuid(), "
                   "now(), '2026-11-26', 's', 'm')");
  commit(open);
}

/* What does hold them up is not waited for long. */
TEST(locked_table_is_given_up) {
  migrate(database);
  PGconn *open = hold("LOCK TABLE aurore.event IN ACCESS EXCLUSIVE MODE");
  au_database_error_t error;
  refuse(au_schema_ensure_partitions(database, 1, 1, &error), &error, "lock");
  ck_assert_str_eq(error.sqlstate, "55P03");
  commit(open);
  ensure(database, 1, 1);
}

int main(void) { return run_database_tests("schema"); }
