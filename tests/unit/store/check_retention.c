/* SPDX-License-Identifier: MIT
 *
 * check_retention - the janitor on a real server, in a database of its own.
 */
#include "support/own_database.h"

#include "base/clock.h"
#include "metrics/metrics.h"
#include "store/retention.h"
#include "support/clients.h"
#include "support/log_capture.h"

#include <pthread.h>
#include <stdatomic.h>

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
      au_retention_start(&options, breaker, NULL, NULL, NULL, &retention),
      AU_OK);
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

static const char marks_sql[] = "SELECT count(*) FROM aurore.event_leaving";

/* Only the last three days are left, and a week ahead. */
static void await_dropped(void) {
  await(database, oldest_sql, "3 11");
  await(database, marks_sql, "0");
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

/* The only wish that is heard. */
static void wish(int days) {
  do_sqlf(database,
          "DELETE FROM aurore.retention_wish; "
          "SELECT aurore.tell_retention('test', 'test', %d)",
          days);
}

/* What would be dropped next: its name, and how. */
static const char *next_of(const char *arguments) {
  char sql[256];
  snprintf(sql, sizeof(sql),
           "SELECT coalesce((SELECT name || coalesce(': ' || statement, '') || "
           "coalesce(': ' || reason, '') FROM aurore.next_leaving(%s, '{}')), "
           "'none')",
           arguments);
  return ask(database, sql);
}

/* What a process does first that keeps so many days, and no more. */
static void mark_next(int days) {
  wish(days);
  ck_assert_str_ne(next_of("current_date, NULL, '00:00'"), "none");
  do_sql(database, "DELETE FROM aurore.retention_wish");
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
   * yesterday's is in force; what waits in a buffer keeps its day. */
  wish(6);
  ck_assert_str_eq(next_of("current_date + 100, NULL, '00:00'"), "none");
  wish(5);
  ck_assert_str_eq(next_of("current_date + 100, NULL, '24:00'"), "none");
  ck_assert_str_eq(next_of("current_date - 1, NULL, '00:00'"), "none");
  ck_assert_str_eq(next_of("current_date, current_date - 6, '00:00'"), "none");
  ck_assert_str_eq(ask(database, marks_sql), "0");
  /* Marked, and to be kept after all. */
  ck_assert_str_ne(next_of("current_date, NULL, '00:00'"), "none");
  ck_assert_str_eq(ask(database, marks_sql), "1");
  assert_exact();
  do_sql(database, "DELETE FROM aurore.retention_wish");
  options.retention_days = 6;
  retention = start(NULL);
  await(database, marks_sql, "0");
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
  await(database, marks_sql, "0");
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

/* The server may still run a statement of a session that was given up. */
static void await_nobody(void) {
  await(database,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = "
        "current_database() AND backend_type = 'client backend' "
        "AND pid <> pg_backend_pid()",
        "0");
}

/* One that takes back a mark made here. */
static void stop_for_good(au_retention_t *retention) {
  au_retention_stop(retention);
  await_nobody();
}

TEST(what_a_crash_leaves_behind_is_finished) {
  make_days();
  /* Marked and half detached. */
  mark_next(3);
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
  await(database, marks_sql, "0");
  assert_exact();
  stop_for_good(retention);
  /* Detached, and not dropped. */
  options.retention_days = 1;
  mark_next(1);
  do_sql(database, "DO $$BEGIN EXECUTE 'ALTER TABLE aurore.event DETACH "
                   "PARTITION aurore.event_' || to_char(current_date - 2, "
                   "'YYYYMMDD'); END$$");
  assert_exact();
  retention = start(NULL);
  await(database, oldest_sql, "1 9");
  await(database, marks_sql, "0");
  assert_exact();
  au_retention_stop(retention);
  ck_assert_str_eq(last_warning(), "");
}

/* The table is gone already. */
TEST(a_table_that_somebody_else_dropped_is_no_trouble) {
  make_days();
  mark_next(3);
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
          "FUNCTION aurore.ensure_partitions(date, date), "
          "aurore.tell_retention(text, text, integer), "
          "aurore.overdue_days(date, date, interval) TO %s",
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
TEST(a_default_partition_does_not_stop_it) {
  make_days();
  do_sql(database, "CREATE TABLE aurore.rest PARTITION OF aurore.event "
                   "DEFAULT");
  /* Whoever waits for the whole table would be waited for: not for long. */
  PGconn *reader = hold_read();
  au_retention_t *retention = start(NULL);
  await_logged(AU_LOG_WARNING, 1);
  ck_assert_ptr_nonnull(strstr(last_warning(), "lock timeout"));
  store(0, "meanwhile", 3);
  assert_exact();
  commit(reader);
  await_dropped();
  await_logged(AU_LOG_NOTICE, 4);
  assert_exact();
  au_retention_stop(retention);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 1);
}

/* --- days that cannot be dropped -------------------------------------------
 */

static const char *day_of(int days_ago) {
  static char name[64];
  char sql[128];
  snprintf(sql, sizeof(sql),
           "SELECT 'event_' || to_char(current_date - %d, 'YYYYMMDD')",
           days_ago);
  snprintf(name, sizeof(name), "%s", ask(database, sql));
  return name;
}

static void await_overdue(double days) {
  while (au_metrics_gauge(AU_M_RETENTION_OVERDUE) != days)
    poll(NULL, 0, 5);
}

CASE("stuck", setup, teardown);

/* Something depends on it: the other days go, and its own is made again. */
TEST(a_day_that_cannot_be_dropped_stops_no_other) {
  make_days();
  do_sqlf(database, "CREATE VIEW public.kept AS SELECT * FROM aurore.%s",
          day_of(6));
  au_retention_t *retention = start(NULL);
  await_overdue(1);
  ck_assert_str_eq(ask(database, oldest_sql), "3 12");
  ck_assert_str_eq(ask(database, marks_sql), "1");
  assert_exact();
  await_logged(AU_LOG_WARNING, 1);
  ck_assert_ptr_nonnull(strstr(last_warning(), day_of(6)));
  ck_assert_ptr_nonnull(strstr(last_warning(), "other objects depend on it"));
  au_retention_stop(retention);
  /* Its events are stored all the same, and go with the next drop. */
  make_schema(6);
  store(6, "late", 4);
  assert_exact();
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.event "
                                 "WHERE service = 'late'"),
                   "4");
  retention = start(NULL);
  await(database, "SELECT count(*) FROM aurore.event WHERE service = 'late'",
        "0");
  await(database, marks_sql, "1");
  assert_exact();
  do_sql(database, "DROP VIEW public.kept");
  await_dropped();
  await_overdue(0);
  assert_exact();
  au_retention_stop(retention);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 2);
}

/* Somebody else's data: not for us to drop. */
TEST(a_foreign_partition_is_left_alone) {
  make_days();
  do_sqlf(database,
          "DROP TABLE aurore.%s; CREATE FOREIGN DATA WRAPPER nothing; CREATE "
          "SERVER elsewhere FOREIGN DATA WRAPPER nothing",
          day_of(6));
  do_sql(database,
         "DO $$BEGIN EXECUTE format('CREATE FOREIGN TABLE aurore.far PARTITION "
         "OF aurore.event FOR VALUES FROM (%L) TO (%L) SERVER elsewhere', "
         "current_date - 6, current_date - 5); END$$");
  au_retention_t *retention = start(NULL);
  await_overdue(1);
  ck_assert_str_eq(ask(database, oldest_sql), "3 11");
  ck_assert_str_eq(ask(database, marks_sql), "0");
  await_logged(AU_LOG_WARNING, 1);
  ck_assert_ptr_nonnull(strstr(last_warning(), "\"far\" is a foreign table"));
  do_sql(database, "DROP FOREIGN TABLE aurore.far");
  await_overdue(0);
  au_retention_stop(retention);
}

/* A cause that changes is logged again. */
TEST(another_cause_is_logged) {
  make_days();
  do_sqlf(database, "CREATE VIEW public.one AS SELECT * FROM aurore.%s",
          day_of(6));
  do_sqlf(database, "CREATE VIEW public.two AS SELECT * FROM aurore.%s",
          day_of(5));
  au_retention_t *retention = start(NULL);
  await_overdue(2);
  await_logged(AU_LOG_WARNING, 1);
  ck_assert_ptr_nonnull(strstr(last_warning(), day_of(6)));
  do_sql(database, "DROP VIEW public.one");
  await_logged(AU_LOG_WARNING, 2);
  ck_assert_ptr_nonnull(strstr(last_warning(), day_of(5)));
  do_sql(database, "DROP VIEW public.two");
  await_dropped();
  await_overdue(0);
  au_retention_stop(retention);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 2);
}

/* A mark of a database that was restored, or of a table that has another name
 * now: whatever has the name of a mark is not dropped for that alone. */
TEST(a_mark_means_one_partition_alone) {
  make_days();
  do_sqlf(database,
          "INSERT INTO aurore.event_leaving (schema_name, name, lower_bound, "
          "upper_bound) VALUES ('aurore', '%s', current_date - 9, current_date "
          "- 8)",
          day_of(0));
  do_sqlf(database, "ALTER TABLE aurore.event DETACH PARTITION aurore.%s",
          day_of(2));
  do_sqlf(database,
          "INSERT INTO aurore.event_leaving (schema_name, name, lower_bound, "
          "upper_bound) VALUES ('aurore', '%s', current_date - 9, current_date "
          "- 8)",
          day_of(2));
  au_retention_t *retention = start(NULL);
  await_overdue(1);
  await_logged(AU_LOG_WARNING, 1);
  ck_assert_ptr_nonnull(strstr(last_warning(), "is not the partition"));
  /* The live day is no one's any more, and the impostor stands. */
  ck_assert_str_eq(ask(database, marks_sql), "1");
  char sql[96];
  snprintf(sql, sizeof(sql), "SELECT count(*) FROM aurore.%s", day_of(2));
  ck_assert_str_eq(ask(database, sql), "34");
  snprintf(sql, sizeof(sql), "SELECT count(*) FROM aurore.%s", day_of(0));
  ck_assert_str_eq(ask(database, sql), "30");
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.event WHERE "
                                 "ingested_at >= current_date"),
                   "30");
  au_retention_stop(retention);
}

/* A distributed table is detached for all at once. There is no Citus here; what
 * is looked at is its catalogue. */
TEST(a_distributed_table_is_detached_plainly) {
  make_days();
  do_sql(database,
         "SET allow_system_table_mods = on; CREATE TABLE "
         "pg_catalog.pg_dist_partition (logicalrelid regclass PRIMARY KEY)");
  wish(3);
  char plain[192];
  char concurrently[256];
  snprintf(plain, sizeof(plain),
           "%s: ALTER TABLE aurore.event DETACH PARTITION aurore.%s", day_of(6),
           day_of(6));
  snprintf(concurrently, sizeof(concurrently), "%s CONCURRENTLY", plain);
  ck_assert_str_eq(next_of("current_date, NULL, '00:00'"), concurrently);
  do_sql(database,
         "INSERT INTO pg_dist_partition VALUES ('aurore.dead_letter')");
  ck_assert_str_eq(next_of("current_date, NULL, '00:00'"), concurrently);
  do_sql(database, "INSERT INTO pg_dist_partition VALUES ('aurore.event')");
  ck_assert_str_eq(next_of("current_date, NULL, '00:00'"), plain);
  do_sql(database, "DELETE FROM aurore.retention_wish");
  au_retention_t *retention = start(NULL);
  await_dropped();
  assert_exact();
  au_retention_stop(retention);
  ck_assert_str_eq(last_warning(), "");
}

/* --- whose wish counts ------------------------------------------------------
 */

CASE("wishes", setup, teardown);

TEST(the_largest_wish_counts_for_thirty_days) {
  make_days();
  do_sql(database, "SELECT aurore.tell_retention('a', 'short', 1); "
                   "SELECT aurore.tell_retention('b', 'long', 5); "
                   "SELECT aurore.tell_retention('c', 'for ever', 0)");
  au_retention_t *retention = start(NULL);
  await_logged(AU_LOG_NOTICE, 1);
  await_idle();
  ck_assert_str_eq(ask(database, oldest_sql), "6 14");
  do_sql(database, "UPDATE aurore.retention_wish SET told_at = now() - "
                   "interval '30 days 1 second' WHERE who = 'c'");
  au_retention_wake(retention);
  await(database, oldest_sql, "5 13");
  do_sql(database, "DELETE FROM aurore.retention_wish WHERE who = 'b'");
  au_retention_wake(retention);
  await_dropped();
  /* Each change once, and each day that was dropped. */
  await_logged(AU_LOG_NOTICE, 3 + 3);
  await_overdue(0);
  au_retention_stop(retention);
  ck_assert_uint_eq(logged(AU_LOG_NOTICE), 3 + 3);
  ck_assert_str_eq(last_warning(), "");
}

/* It tells nothing, but it stores. When it asks what to drop, it is heard. */
TEST(a_host_of_the_release_before_is_not_overlooked) {
  make_days();
  do_sql(database, "INSERT INTO aurore.lane (spool_id, owner, next_seq, epoch, "
                   "lane, host) VALUES (gen_random_uuid(), gen_random_uuid(), "
                   "1, 1, 0, 'old-host')");
  au_retention_t *retention = start(NULL);
  await_logged(AU_LOG_NOTICE, 1);
  await_idle();
  ck_assert_str_eq(ask(database, oldest_sql), "6 14");
  do_sql(database, "SELECT aurore.next_drop(current_date - 4, 4, '00:00')");
  au_retention_wake(retention);
  await(database, oldest_sql, "4 12");
  /* Once all have this release nobody else is waited for. */
  do_sql(database,
         "DELETE FROM aurore.retention_wish WHERE who LIKE 'release%'; "
         "SELECT aurore.tell_retention('its spool', 'old-host', 2)");
  au_retention_wake(retention);
  await_dropped();
  au_retention_stop(retention);
  ck_assert_str_eq(last_warning(), "");
}

/* Without a spool directory a process leaves nothing behind, and the next one
 * of the host may wish for less. */
TEST(a_wish_ends_with_its_process) {
  make_days();
  options.retention_days = 0;
  au_retention_t *retention = start(NULL);
  await(database, "SELECT days FROM aurore.retention_wish", "0");
  await_idle();
  ck_assert_str_eq(ask(database, "SELECT is_over FROM aurore.retention_wish"),
                   "f");
  au_retention_stop(retention);
  ck_assert_str_eq(ask(database, "SELECT is_over FROM aurore.retention_wish"),
                   "t");
  /* Also for who is known by another name; others' wishes stay. */
  do_sql(database, "UPDATE aurore.retention_wish SET who = 'another port'");
  options.retention_days = 3;
  retention = start(NULL);
  await_dropped();
  au_retention_stop(retention);
}

/* What keeps the statement that tells it: another one that is told, and what
 * comes between its row and its end. */
static const char *const tells_wait_for[] = {
    "SELECT pg_advisory_xact_lock(1096110671, 5)",
    "SELECT pg_advisory_xact_lock(1)"};

typedef struct stopper {
  pthread_t thread;
  au_retention_t *retention;
  atomic_bool is_over;
} stopper_t;

static void *stop_main(void *argument) {
  stopper_t *stopper = argument;
  au_retention_stop(stopper->retention);
  atomic_store(&stopper->is_over, true);
  return NULL;
}

static long waiting(void) {
  return number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
                "AND NOT granted AND database = (SELECT oid FROM pg_database "
                "WHERE datname = current_database())");
}

/* Nobody waits for the answer any more, and the server does not know that yet:
 * what was told comes true after we have gone, and ends all the same. */
TEST_EACH(a_wish_ends_whose_answer_was_not_waited_for, 2) {
  create_database();
  make_schema(0);
  do_sql(database,
         "CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS "
         "'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END'; "
         "CREATE TRIGGER pause AFTER INSERT ON aurore.retention_wish "
         "FOR EACH STATEMENT EXECUTE FUNCTION pause()");
  PGconn *holder = hold(tells_wait_for[_i]);
  options.retention_days = 0;
  stopper_t stopper = {.retention = start(NULL)};
  while (waiting() < 1)
    poll(NULL, 0, 1);
  ck_assert_int_eq(pthread_create(&stopper.thread, NULL, stop_main, &stopper),
                   0);
  while (waiting() < 2 && !atomic_load(&stopper.is_over))
    poll(NULL, 0, 1);
  commit(holder);
  pthread_join(stopper.thread, NULL);
  await_nobody();
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.retention_wish "
                                 "WHERE NOT is_over"),
                   "0");
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
