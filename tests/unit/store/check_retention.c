/* SPDX-License-Identifier: MIT
 *
 * check_retention - the janitor on a real server, in a database of its own.
 */
#include "support/own_database.h"

#include "base/clock.h"
#include "store/retention.h"
#include "support/clients.h"
#include "support/log_capture.h"

static au_options_t options;

static void setup(void) {
  capture_log();
  name_database();
  init_options(&options);
}

static void teardown(void) {
  tear_down_database();
  au_options_fini(&options);
  release_log();
}

static au_retention_t *start(au_breaker_t *breaker) {
  au_retention_t *retention = NULL;
  ck_assert_int_eq(
      au_retention_start(&options, breaker, NULL, NULL, &retention), AU_OK);
  return retention;
}

/* Each attempt makes a session. */
static void await_many_attempts(void) {
  await(database,
        "SELECT sessions > 10 FROM pg_stat_database "
        "WHERE datname = current_database()",
        "t");
}

/* Waits until there are partitions for yesterday to a week ahead. */
static void await_partitions(void) {
  await(database, "SELECT to_regclass('aurore.event_drop') IS NOT NULL", "t");
  await(database,
        "SELECT min(lower_bound)::date - current_date || ' ' || "
        "max(upper_bound)::date - current_date || ' ' || count(*) "
        "FROM aurore.partitions()",
        "-1 8 9");
}

CASE("retention", setup, teardown);

TEST(a_week_ahead_is_made_and_no_connection_is_kept) {
  create_database();
  au_retention_t *retention = start(NULL);
  await_partitions();
  await(database,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
        "'collectd aurore janitor' AND datname = current_database()",
        "0");
  /* Somebody removes one; the writer that notices wakes the janitor. */
  do_sql(database, "DO $$BEGIN EXECUTE 'DROP TABLE aurore.event_' || "
                   "to_char(current_date + 3, 'YYYYMMDD'); END$$");
  au_retention_wake(retention);
  await_partitions();
  au_retention_stop(retention);
  ck_assert_str_eq(last_warning(), "");
}

TEST(database_that_comes_late_is_found) {
  au_retention_t *retention = start(NULL);
  create_database();
  await_partitions();
  au_retention_stop(retention);
  /* The writers say it. */
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 0);
}

TEST(lasting_trouble_is_logged_once) {
  create_database();
  do_sql(database, "CREATE SCHEMA aurore; "
                   "CREATE TABLE aurore.schema_version AS SELECT 1000 AS "
                   "version");
  au_retention_t *retention = start(NULL);
  await_many_attempts();
  do_sql(database, "DROP SCHEMA aurore CASCADE");
  await_partitions();
  await_logged(AU_LOG_NOTICE, 1);
  au_retention_stop(retention);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 1);
  ck_assert_uint_eq(logged(AU_LOG_NOTICE), 1);
}

TEST(open_breaker_is_waited_for) {
  create_database();
  au_breaker_t *breaker = make_open_breaker();
  au_retention_t *retention = start(breaker);
  for (int i = 0; i < 10; i++) {
    au_retention_wake(retention);
    poll(NULL, 0, 10);
  }
  ck_assert_str_eq(ask(database, "SELECT to_regnamespace('aurore') IS NULL"),
                   "t");
  close_breaker(breaker);
  await_partitions();
  au_retention_stop(retention);
  au_breaker_destroy(breaker);
}

/* A server that takes connections and never says a word. */
TEST(stop_ends_it_at_once) {
  char conninfo[64];
  int fd = make_socket(true, conninfo);
  set_conninfo(&options, conninfo);
  options.connect_timeout_s = 3600;
  au_retention_t *retention = start(NULL);
  struct pollfd listening = {.fd = fd, .events = POLLIN};
  ck_assert_int_eq(poll(&listening, 1, -1), 1); /* it has connected */
  au_retention_stop(retention);
  /* And while it waits for the next hour, or has not begun. */
  au_retention_stop(start(NULL));
  au_retention_stop(NULL);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 0);
  close(fd);
}

/* --- dropping --------------------------------------------------------------
 *
 * "today" is the server's, and RetentionTime has passed. */

/* Events of so many days ago. */
static void store(int days_ago, const char *service, int count) {
  char accepted[64];
  snprintf(accepted, sizeof(accepted), "now() - interval '%d days'", days_ago);
  store_events(database, accepted, service, count);
}

/* A database with a partition and events for each of the last six days; half of
 * the counters are folded. */
static void make_days(void) {
  create_database();
  make_schema(6);
  for (int day = 0; day <= 6; day++)
    store(day, "folded", 10 + day);
  do_sql(database, "SELECT aurore.fold('infinity', 100)");
  for (int day = 0; day <= 6; day++)
    store(day, "fresh", 20 + day);
  options.retention_days = 3;
  free(options.retention_time);
  options.retention_time = strdup("00:00");
  ck_assert_ptr_nonnull(options.retention_time);
}

/* In one statement, so of one moment. */
static const char exact_sql[] =
    "SELECT (SELECT n FROM aurore.figures(now(), 0) WHERE kind = 'total') "
    "- (SELECT count(*) FROM aurore.event)";

static void assert_exact(void) {
  ck_assert_str_eq(ask(database, exact_sql), "0");
}

/* How old the oldest partition is, and how many tables there are. Names, not
 * bounds: to ask for the bounds of a partition takes a lock on it. */
static const char oldest_sql[] =
    "SELECT current_date - to_date(min(relname) FILTER (WHERE oid IN "
    "(SELECT inhrelid FROM pg_inherits WHERE NOT inhdetachpending)), "
    "'\"event_\"YYYYMMDD') || ' ' || count(*) FROM pg_class "
    "WHERE relnamespace = 'aurore'::regnamespace "
    "AND relname ~ '^event_[0-9]{8}$' AND relkind = 'r'";

/* Only the last three days are left, and a week ahead. */
static void await_dropped(void) {
  await(database, oldest_sql, "3 11");
  await(database, "SELECT count(*) FROM aurore.event_drop", "0");
}

static const char rest_of_counters_sql[] =
    "SELECT count(*) FROM ("
    "SELECT minute FROM aurore.event_count UNION ALL "
    "SELECT minute FROM aurore.event_minute UNION ALL "
    "SELECT hour FROM aurore.event_hour) AS t (at) "
    "WHERE at < current_date - 3";

CASE("dropping", setup, teardown);

TEST(old_days_leave_the_table_and_the_metrics) {
  make_days();
  assert_exact();
  au_retention_t *retention = start(NULL);
  await_dropped();
  assert_exact();
  ck_assert_str_eq(ask(database, "SELECT string_agg(service || ' ' || count, "
                                 "', ' ORDER BY service) FROM (SELECT service, "
                                 "count(*) FROM aurore.event GROUP BY 1) AS t"),
                   "folded 46, fresh 86");
  ck_assert_str_eq(ask(database, "SELECT string_agg(name || ' ' || n, ', ' "
                                 "ORDER BY name) FROM aurore.figures(now(), 9) "
                                 "WHERE kind = 'service'"),
                   "folded 46, fresh 86");
  ck_assert_str_eq(ask(database, rest_of_counters_sql), "0");
  await_logged(AU_LOG_NOTICE, 3);
  au_retention_stop(retention);
  ck_assert_uint_eq(logged(AU_LOG_NOTICE), 3);
  ck_assert_str_eq(last_warning(), "");
}

/* When the partitions are made and its session is gone, the janitor has ended a
 * run in which it dropped nothing. */
static void await_idle(void) {
  await(database,
        "SELECT count(*) FROM aurore.partitions() "
        "WHERE upper_bound > current_date + 7",
        "1");
  await(database,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
        "'collectd aurore janitor' AND datname = current_database()",
        "0");
}

TEST(nothing_is_dropped_too_early) {
  make_days();
  options.retention_days = 0;
  au_retention_t *retention = start(NULL);
  await_idle();
  ck_assert_str_eq(ask(database, oldest_sql), "6 14");
  au_retention_stop(retention);
  options.retention_days = 6;
  retention = start(NULL);
  await_idle();
  ck_assert_str_eq(ask(database, oldest_sql), "6 14");
  au_retention_stop(retention);
  /* A host whose clock is ahead: the server's has a say. Before RetentionTime
   * yesterday's is in force. */
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.next_drop("
                                 "current_date + 100, 6, '00:00')"),
                   "0");
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.next_drop("
                                 "current_date + 100, 5, '24:00')"),
                   "0");
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.next_drop("
                                 "current_date - 6, 1, '00:00')"),
                   "0");
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.event_drop"),
                   "0");
  /* Marked, and to be kept after all. */
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.next_drop("
                                 "current_date, 5, '00:00')"),
                   "1");
  assert_exact();
  options.retention_days = 6;
  retention = start(NULL);
  await(database, "SELECT count(*) FROM aurore.event_drop", "0");
  await_idle();
  ck_assert_str_eq(ask(database, oldest_sql), "6 14");
  au_retention_stop(retention);
}

static PGconn *hold_read(void) {
  return hold("SELECT count(*) FROM aurore.event");
}

static const char pending_sql[] =
    "SELECT count(*) FROM pg_inherits WHERE inhdetachpending";

TEST(a_long_query_is_waited_for_and_blocks_nobody) {
  make_days();
  PGconn *reader = hold_read();
  au_retention_t *retention = start(NULL);
  await(database, pending_sql, "1");
  assert_exact();
  ck_assert_str_eq(ask(database, "SELECT current_date - min(ingested_at)::date "
                                 "FROM aurore.event"),
                   "5");
  /* Inserts and queries go on, and so does the making of partitions. */
  do_sql(database, "SET lock_timeout = '1s'");
  store(0, "meanwhile", 7);
  store(4, "meanwhile", 7);
  do_sql(database, "SELECT aurore.fold('infinity', 5)");
  assert_exact();
  make_schema(5);
  do_sql(database, "SELECT aurore.ensure_partitions(current_date + 8, "
                   "current_date + 8)");
  /* But for the day itself. */
  au_database_error_t error;
  int64_t day = au_schema_day(au_clock_wall_us()) - 6;
  ck_assert_int_eq(au_schema_ensure_partitions(database, day, day, &error),
                   AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "55006");
  ck_assert_ptr_nonnull(strstr(error.message, "are being dropped"));
  assert_exact();
  commit(reader);
  await(database, oldest_sql, "3 12");
  await(database, "SELECT count(*) FROM aurore.event_drop", "0");
  assert_exact();
  au_retention_stop(retention);
  ck_assert_str_eq(last_warning(), "");
}

/* Leaves a detach unfinished that was cut off while it waited. */
static void cut_off_detach(int days_ago) {
  PGconn *reader = hold_read();
  PGconn *conn = PQconnectdb(own_conninfo);
  ck_assert_int_eq(PQstatus(conn), CONNECTION_OK);
  char sql[256];
  snprintf(sql, sizeof(sql),
           "SELECT format('ALTER TABLE aurore.event DETACH PARTITION "
           "aurore.event_%%s CONCURRENTLY', to_char(current_date - %d, "
           "'YYYYMMDD'))",
           days_ago);
  ck_assert_int_eq(PQsendQuery(conn, ask(database, sql)), 1);
  await(database, pending_sql, "1");
  do_sqlf(database, "SELECT pg_terminate_backend(%d, 10000)",
          PQbackendPID(conn));
  PQfinish(conn);
  commit(reader);
  ck_assert_str_eq(ask(database, pending_sql), "1");
}

/* Its session may still run a statement that takes back a mark made here. */
static void stop_for_good(au_retention_t *retention) {
  au_retention_stop(retention);
  await(database,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = "
        "current_database() AND backend_type = 'client backend' "
        "AND pid <> pg_backend_pid()",
        "0");
}

TEST(what_a_crash_leaves_behind_is_finished) {
  make_days();
  /* Marked and half detached. */
  do_sql(database, "SELECT * FROM aurore.next_drop(current_date, 3, '00:00')");
  cut_off_detach(6);
  assert_exact();
  au_retention_t *retention = start(NULL);
  await_dropped();
  assert_exact();
  stop_for_good(retention);
  /* Half detached by somebody else. */
  options.retention_days = 2;
  cut_off_detach(3);
  retention = start(NULL);
  await(database, oldest_sql, "2 10");
  await(database, "SELECT count(*) FROM aurore.event_drop", "0");
  assert_exact();
  stop_for_good(retention);
  /* Detached, and not dropped. */
  options.retention_days = 1;
  do_sql(database, "SELECT * FROM aurore.next_drop(current_date, 1, '00:00')");
  do_sql(database, "DO $$BEGIN EXECUTE 'ALTER TABLE aurore.event DETACH "
                   "PARTITION aurore.event_' || to_char(current_date - 2, "
                   "'YYYYMMDD'); END$$");
  assert_exact();
  retention = start(NULL);
  await(database, oldest_sql, "1 9");
  await(database, "SELECT count(*) FROM aurore.event_drop", "0");
  assert_exact();
  au_retention_stop(retention);
  ck_assert_str_eq(last_warning(), "");
}

/* The table is gone already. */
TEST(a_table_that_somebody_else_dropped_is_no_trouble) {
  make_days();
  do_sql(database, "SELECT * FROM aurore.next_drop(current_date, 3, '00:00')");
  do_sql(database, "DO $$BEGIN EXECUTE 'DROP TABLE aurore.event_' || "
                   "to_char(current_date - 6, 'YYYYMMDD'); END$$");
  assert_exact();
  au_retention_t *retention = start(NULL);
  await_dropped();
  assert_exact();
  au_retention_stop(retention);
  ck_assert_str_eq(last_warning(), "");
}

/* Events that waited for long: their day is made again, and dropped again. */
TEST(events_of_a_dropped_day_are_dropped_with_the_next) {
  make_days();
  au_retention_t *retention = start(NULL);
  await_dropped();
  await_idle();
  make_schema(5);
  store(5, "late", 5);
  assert_exact();
  au_retention_wake(retention);
  await_dropped();
  assert_exact();
  ck_assert_str_eq(
      ask(database,
          "SELECT n FROM aurore.figures(now(), 0) WHERE kind = 'total'"),
      "132");
  au_retention_stop(retention);
}

TEST(several_at_once_do_not_disturb_each_other) {
  make_days();
  au_retention_t *retention[3];
  for (int i = 0; i < 3; i++)
    retention[i] = start(NULL);
  await_dropped();
  assert_exact();
  for (int i = 0; i < 3; i++)
    au_retention_stop(retention[i]);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 0);
  ck_assert_uint_eq(logged(AU_LOG_NOTICE), 3);
}

/* Its session may be that of a process that has just ended. */
TEST(another_process_that_drops_is_waited_for) {
  make_days();
  PGconn *other = PQconnectdb(own_conninfo);
  PQclear(PQexec(other, "SELECT pg_advisory_lock(1096110671, 4)"));
  au_retention_t *retention = start(NULL);
  await_many_attempts();
  ck_assert_str_eq(ask(database, oldest_sql), "6 14");
  PQfinish(other);
  await_dropped();
  au_retention_stop(retention);
  ck_assert_str_eq(last_warning(), "");
}

TEST(a_role_that_does_not_own_the_table_is_logged_once) {
  make_days();
  do_sqlf(database,
          "CREATE ROLE %s LOGIN; GRANT USAGE ON SCHEMA aurore TO %s; "
          "GRANT SELECT ON aurore.schema_version TO %s; GRANT EXECUTE ON "
          "FUNCTION aurore.ensure_partitions(date, date) TO %s",
          own_role, own_role, own_role, own_role);
  char more[160];
  snprintf(more, sizeof(more), "dbname=%s user=%s", own_name, own_role);
  set_conninfo(&options, conninfo_with(more));
  au_retention_t *retention = start(NULL);
  await_many_attempts();
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 1);
  ck_assert_ptr_nonnull(strstr(last_warning(), "does not own the table"));
  /* It goes on with what it may do. */
  await_idle();
  ck_assert_str_eq(ask(database, oldest_sql), "6 14");
  do_sqlf(database, "ALTER ROLE %s SUPERUSER", own_role);
  await_dropped();
  au_retention_stop(retention);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 1);
}

/* PostgreSQL detaches nothing concurrently while there is one. */
TEST(a_default_partition_is_logged_once) {
  make_days();
  do_sql(database, "CREATE TABLE aurore.rest PARTITION OF aurore.event "
                   "DEFAULT");
  au_retention_t *retention = start(NULL);
  await_many_attempts();
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 1);
  ck_assert_ptr_nonnull(strstr(last_warning(), "default partition"));
  assert_exact();
  do_sql(database, "DROP TABLE aurore.rest");
  await_dropped();
  await_logged(AU_LOG_NOTICE, 4);
  au_retention_stop(retention);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 1);
}

CASE_IF(has_bouncer, "pooled", setup, teardown);

/* Nothing may come before the statement that detaches. */
TEST(days_are_dropped_through_a_pooler) {
  make_days();
  bouncer_t bouncer;
  start_bouncer(&bouncer, own_conninfo, own_name);
  set_conninfo(&options, bouncer.conninfo);
  au_retention_t *retention = start(NULL);
  await_dropped();
  assert_exact();
  au_retention_stop(retention);
  stop_bouncer(&bouncer);
  ck_assert_str_eq(last_warning(), "");
}

int main(void) { return run_database_tests("retention"); }
