/* SPDX-License-Identifier: MIT
 *
 * The writer's thread on a real server: what waits is stored once, whatever
 * happens between it and the database. Needs AURORE_TEST_CONNINFO (see
 * tests/with-postgres).
 */
#include "support/own_database.h"

#include "database/breaker.h"
#include "metrics/metrics.h"
#include "spool/buffer.h"
#include "store/writer.h"
#include "support/log_capture.h"
#include "support/rows.h"
#include "support/suite.h"

#include <stdatomic.h>
#include <sys/eventfd.h>

static au_options_t options;
static au_breaker_t *breaker;
static au_leader_t leader;
static au_buffer_t *buffer;
static au_lane_t *lane;
static au_writer_t *writer;
static int abort_fd;
static char directory[64];

/* --- the writer and what is around it ------------------------------------- */

static ssize_t (*pread_now)(int, void *, size_t, off_t);
static atomic_bool reads_fail;

static ssize_t failing_pread(int fd, void *data, size_t size, off_t offset) {
  if (!atomic_load(&reads_fail))
    return pread_now(fd, data, size, offset);
  errno = EIO;
  return -1;
}

static void open_buffer(void) {
  static au_io_t io;
  io = au_io_system;
  pread_now = io.pread;
  io.pread = failing_pread;
  char text[256] = "";
  const au_buffer_config_t config = {.lanes = 1,
                                     .capacity = 100000,
                                     .max_bytes = 1 << 30,
                                     .directory = directory,
                                     .durability = AU_DURABILITY_MEMORY,
                                     .io = &io};
  ck_assert_msg(au_buffer_open(&config, &buffer, text, sizeof(text)) == AU_OK,
                "%s", text);
  lane = au_buffer_lane(buffer, 0);
}

static void writer_setup(void) {
  set_up_database();
  capture_log();
  au_metrics_reset();
  init_options(&options);
  options.batch_size = 10;
  options.drain_interval_s = 0.01;
  options.connect_timeout_s = 20;
  options.statement_timeout_s = 20;
  const au_breaker_config_t config = {
      .failures = 3, .successes = 1, .timeout_ns = 20000000};
  ck_assert_int_eq(au_breaker_create(&config, &breaker), AU_OK);
  au_leader_init(&leader);
  make_directory(directory);
  abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ck_assert_int_ge(abort_fd, 0);
  open_buffer();
}

static atomic_int reached_times;

static void reached(void) { atomic_fetch_add(&reached_times, 1); }

static void start_writer(void) {
  const au_writer_config_t config = {.options = &options,
                                     .lane = lane,
                                     .breaker = breaker,
                                     .leader = &leader,
                                     .abort_fd = abort_fd,
                                     .reached = reached};
  atomic_store(&reached_times, 0);
  ck_assert_int_eq(au_writer_start(&config, &writer), AU_OK);
}

static void join_writer(void) {
  int64_t deadline_ns = au_clock_monotonic_ns() + 60 * AU_NS_PER_S;
  ck_assert(au_writer_join(writer, deadline_ns));
  ck_assert(!au_writer_is_connected(writer));
  au_writer_destroy(writer);
  writer = NULL;
}

/* Stores all that waits, and ends. */
static void drain(void) {
  au_lane_stop(lane);
  join_writer();
  ck_assert_uint_eq(au_lane_waiting(lane), 0);
}

static void give_up(void) {
  const uint64_t one = 1;
  ck_assert_int_eq(write(abort_fd, &one, sizeof(one)), sizeof(one));
  join_writer();
}

static void writer_teardown(void) {
  au_buffer_destroy(buffer);
  au_breaker_destroy(breaker);
  au_leader_fini(&leader);
  au_options_fini(&options);
  close(abort_fd);
  remove_directory(directory);
  tear_down_database();
}

static void append_at(int64_t us, unsigned from, unsigned count,
                      const char *text) {
  au_rows_t rows = {.count = 0};
  au_waiter_t waiter = {.done = never_done};
  for (unsigned i = from; i < from + count; i++)
    put_event(&rows, us, "service", text, i);
  ck_assert_int_eq(au_buffer_append(buffer, &rows, &waiter), AU_OK);
  au_rows_fini(&rows);
}

static void append(unsigned from, unsigned count) {
  append_at(au_clock_wall_us(), from, count, "event");
}

static void await_stored(unsigned count) {
  char text[16];
  snprintf(text, sizeof(text), "%u", count);
  await(database,
        "SELECT CASE WHEN to_regclass('aurore.event') IS NULL THEN 0 ELSE "
        "(xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM "
        "aurore.event', false, true, '')))[1]::text::int END",
        text);
}

/* Each event once, and the metrics say so. */
static void check_stored(unsigned count) {
  char text[16];
  snprintf(text, sizeof(text), "%u", count);
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.event"), text);
  ck_assert_str_eq(
      ask(database, "SELECT count(DISTINCT message) FROM aurore.event"), text);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0), count);
}

/* --- the tests ------------------------------------------------------------ */

CASE("store", writer_setup, writer_teardown);

TEST(what_waits_is_stored_and_then_it_ends) {
  append(0, 25);
  start_writer();
  await_stored(25); /* the schema and the partition are made, too */
  append(25, 7);
  drain();
  check_stored(32);
  ck_assert_int_eq(atomic_load(&reached_times), 1);
  ck_assert_uint_eq(au_metrics_counter(AU_M_DEAD_LETTERS, 0), 0);
}

TEST(bad_row_is_a_dead_letter_and_no_failure_of_the_database) {
  make_schema(1);
  do_sql(database, "ALTER TABLE aurore.event ADD CHECK (message <> 'event 4')");
  append(0, 10);
  start_writer();
  drain();
  check_stored(9);
  ck_assert_uint_eq(au_metrics_counter(AU_M_DEAD_LETTERS, 0), 1);
  ck_assert_int_eq((int)au_breaker_snapshot(breaker).state, AU_BREAKER_CLOSED);
  ck_assert_uint_eq(au_breaker_snapshot(breaker).failures, 0);
  ck_assert_int_eq(au_breaker_snapshot(breaker).last_failure_us, 0);
}

CASE("away", writer_setup, writer_teardown);

TEST(database_that_comes_late_is_waited_for) {
  char conninfo[1200];
  snprintf(conninfo, sizeof(conninfo), "%s dbname=%s_late", own_conninfo,
           own_name);
  set_conninfo(&options, conninfo);
  watch_log_for("could not connect to the database");
  append(0, 5);
  start_writer();
  while (au_breaker_snapshot(breaker).state == AU_BREAKER_CLOSED)
    poll(NULL, 0, 5);
  poll(NULL, 0, 50); /* more failures, which are not logged */
  do_sqlf(control, "CREATE DATABASE %s_late", own_name);
  drain();
  ck_assert_int_eq(log_matches(), 1);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0), 5);
  do_sqlf(control, "DROP DATABASE %s_late (FORCE)", own_name);
}

CASE("stop", writer_setup, writer_teardown);

/* Of a lane that was stopped, before or after it went wrong. */
TEST_EACH(giving_up_ends_every_wait, 2) {
  set_conninfo(&options, "host=127.0.0.1 port=1 dbname=none");
  options.backoff_min_s = options.backoff_max_s = 60;
  append(0, 5);
  start_writer();
  if (_i == 0)
    au_lane_stop(lane);
  while (au_breaker_snapshot(breaker).failures == 0)
    poll(NULL, 0, 5);
  if (_i == 1)
    au_lane_stop(lane);
  give_up();
  ck_assert_uint_eq(au_lane_waiting(lane), 5);
}

/* Nothing tells the breaker's state from a stop. */
TEST(stopped_writer_does_not_count_as_a_failure) {
  make_schema(1);
  append(0, 5);
  PGconn *other = PQconnectdb(own_conninfo);
  PQclear(PQexec(other, "BEGIN; LOCK TABLE aurore.event"));
  start_writer();
  await_lock();
  give_up();
  ck_assert_uint_eq(au_breaker_snapshot(breaker).failures, 0);
  ck_assert_uint_eq(au_lane_waiting(lane), 5);
  PQfinish(other);
}

CASE("doubt", writer_setup, writer_teardown);

/* The connection dies while a batch is under way, before its COMMIT. */
TEST(batch_of_unknown_outcome_is_stored_once) {
  make_schema(1);
  append(0, 10);
  PGconn *other = PQconnectdb(own_conninfo);
  PQclear(PQexec(other, "BEGIN; LOCK TABLE aurore.event"));
  start_writer();
  await_lock();
  end_sessions("collectd aurore writer%");
  PQfinish(other);
  await_stored(10);
  drain();
  check_stored(10);
}

/* A deferred trigger ends the session when the COMMIT has come. */
TEST(batch_that_is_cut_at_its_commit_is_stored_once) {
  make_schema(1);
  do_sql(
      database,
      "CREATE TABLE public.cut (n int); INSERT INTO public.cut VALUES (1);"
      "CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN "
      "IF EXISTS (SELECT FROM public.cut) THEN "
      "PERFORM pg_terminate_backend(pg_backend_pid()); END IF; "
      "RETURN NULL; END';"
      "CREATE CONSTRAINT TRIGGER cut AFTER UPDATE ON aurore.lane "
      "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "
      "public.cut()");
  append(0, 10);
  watch_log_for("lane 0");
  start_writer();
  await_log_match();
  do_sql(database, "DELETE FROM public.cut");
  drain();
  check_stored(10);
}

static const char *format_number(unsigned number) {
  static char text[16];
  snprintf(text, sizeof(text), "%u", number);
  return text;
}

static const char *is_stored_or_waits(unsigned rows) {
  static char sql[256];
  snprintf(sql, sizeof(sql),
           "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = "
           "'SyncRep') OR (SELECT count(*) FROM aurore.event) = %u",
           rows);
  return sql;
}

/* The answer to COMMIT is lost: it waits for a standby that never comes, and
 * what has been committed stays when the session is ended meanwhile; or the
 * wait is cancelled, and the answer has a warning. */
TEST_EACH(batch_whose_answer_is_lost_is_stored_once, 2) {
  char place[64];
  cluster_t cluster;
  make_directory(place);
  start_cluster(&cluster, place);
  au_database_t *own = open_client(cluster.conninfo);
  migrate(own);
  int64_t today = au_schema_day(au_clock_wall_us());
  ensure(own, today - 1, today + 1);
  do_sql(own, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  set_conninfo(&options, cluster.conninfo);
  start_writer();
  while (atomic_load(&reached_times) == 0)
    poll(NULL, 0, 5);
  await(own, "SELECT count(*) FROM aurore.lane", "1");
  do_sql(own, "SELECT pg_reload_conf()");
  await(own, "SHOW synchronous_standby_names", "nobody");
  /* The server's processes learn of it one by one: until the last of them has,
   * commits still pass. */
  unsigned rows = 0;
  do {
    append(0, 10);
    rows += 10;
    await(own, is_stored_or_waits(rows), "t");
  } while (strcmp(ask(own, "SELECT count(*) FROM aurore.event"),
                  format_number(rows)) == 0);
  do_sqlf(own,
          "SELECT %s(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
          _i == 0 ? "pg_terminate_backend" : "pg_cancel_backend");
  /* The claim, which waits for the standby as well; there are several of them
   * when one took longer than the writer waits. */
  await(own,
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = "
        "'SyncRep' AND query LIKE '%aurore.claim%'",
        "t");
  ck_assert_uint_lt(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0), rows);
  do_sql(own, "ALTER SYSTEM RESET synchronous_standby_names");
  do_sql(own, "SELECT pg_reload_conf()");
  drain();
  ck_assert_str_eq(ask(own, "SELECT count(*) FROM aurore.event"),
                   format_number(rows));
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0), rows);
  au_database_destroy(own);
  stop_cluster(&cluster);
  remove_directory(place);
}

CASE("away", writer_setup, writer_teardown);

TEST(connection_that_dies_idle_is_made_again) {
  start_writer();
  while (atomic_load(&reached_times) == 0)
    poll(NULL, 0, 5);
  await(database,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE "
        "'collectd aurore writer%' AND datname = current_database() AND "
        "state = 'idle'",
        "1");
  do_sql(database,
         "CREATE TABLE public.ended AS SELECT clock_timestamp() AS ended");
  end_sessions("collectd aurore writer%");
  await(database,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE "
        "'collectd aurore writer%' AND datname = current_database() AND "
        "backend_start > (SELECT ended FROM public.ended)",
        "1");
  append(0, 3);
  await_stored(3);
  drain();
  check_stored(3);
  ck_assert_int_ge(atomic_load(&reached_times), 2);
}

CASE("partition", writer_setup, writer_teardown);

TEST(partition_that_is_missing_is_made) {
  make_schema(1);
  append(0, 5);
  append_at(au_clock_wall_us() - 40 * INT64_C(86400) * 1000000, 5, 5, "event");
  start_writer();
  drain();
  check_stored(10);
}

#define OLD_DAY (au_clock_wall_us() - 5 * INT64_C(86400) * 1000000)

/* The partition of OLD_DAY, quoted for SQL. */
static const char *old_partition(void) {
  return ask(database, "SELECT 'aurore.event_' || to_char(current_date - 5, "
                       "'YYYYMMDD')");
}

/* Begins to detach it, which waits for who reads. */
static PGconn *begin_detach(void) {
  PGconn *conn = PQconnectdb(own_conninfo);
  ck_assert_int_eq(PQstatus(conn), CONNECTION_OK);
  char sql[160];
  snprintf(sql, sizeof(sql),
           "ALTER TABLE aurore.event DETACH PARTITION %s CONCURRENTLY",
           old_partition());
  ck_assert_int_eq(PQsendQuery(conn, sql), 1);
  await(database, "SELECT count(*) FROM pg_inherits WHERE inhdetachpending",
        "1");
  return conn;
}

static void await_processed(uint64_t count) {
  while (au_metrics_counter(AU_M_EVENTS_PROCESSED, 0) < count)
    poll(NULL, 0, 5);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0), count);
}

/* PostgreSQL makes no other partition of the day until the old one is detached,
 * which may take as long as somebody's query. */
TEST(events_of_a_day_that_is_being_detached_are_stored) {
  make_schema(6);
  PGconn *reader = hold("SELECT count(*) FROM aurore.event");
  PGconn *detach = begin_detach();
  append(0, 2);
  append_at(OLD_DAY, 2, 3, "event");
  append(5, 2);
  append_at(OLD_DAY, 7, 1, "event");
  start_writer();
  await_processed(8);
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.event"), "4");
  char sql[96];
  snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", old_partition());
  ck_assert_str_eq(ask(database, sql), "4");
  commit(reader);
  PQclear(PQgetResult(detach)); /* it is done */
  PQfinish(detach);
  append_at(OLD_DAY, 8, 2, "event");
  drain();
  ck_assert_str_eq(ask(database, sql), "4");
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.event"), "6");
  ck_assert_uint_eq(au_metrics_counter(AU_M_DEAD_LETTERS, 0), 0);
  ck_assert_str_eq(last_warning(), "");
}

TEST(partition_that_cannot_be_made_is_waited_for) {
  make_schema(1);
  do_sql(database,
         "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE "
         "plpgsql AS 'BEGIN RAISE EXCEPTION ''no tables today''; END';"
         "CREATE EVENT TRIGGER refuse ON ddl_command_start "
         "WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.refuse()");
  append_at(au_clock_wall_us() - 40 * INT64_C(86400) * 1000000, 0, 2, "event");
  watch_log_for("the database refuses every event: no tables today (SQLSTATE "
                "P0001)");
  start_writer();
  await_log_match();
  while (au_breaker_snapshot(breaker).last_failure_us == 0)
    poll(NULL, 0, 5);
  do_sql(database, "DROP EVENT TRIGGER refuse");
  drain();
  check_stored(2);
}

CASE("away", writer_setup, writer_teardown);

TEST(newer_schema_is_logged) {
  make_schema(1);
  do_sql(database, "INSERT INTO aurore.schema_version (version) "
                   "SELECT max(version) + 1 FROM aurore.schema_version");
  watch_log_for("could not bring the schema up to date");
  append(0, 3);
  start_writer();
  await_log_match();
  do_sql(database, "DELETE FROM aurore.schema_version WHERE version = "
                   "(SELECT max(version) FROM aurore.schema_version)");
  drain();
  check_stored(3);
}

CASE("fence", writer_setup, writer_teardown);

/* Somebody else has the lane: nothing is stored, nothing is taken; when that is
 * settled it goes on. */
TEST(fenced_lane_is_logged_and_resumes_when_resolved) {
  start_writer();
  append(0, 3);
  await_stored(3);
  do_sql(database, "CREATE TABLE public.kept AS SELECT owner FROM aurore.lane;"
                   "UPDATE aurore.lane SET owner = gen_random_uuid(), "
                   "epoch = epoch + 1");
  watch_log_for("lane 0 is fenced");
  append(3, 4);
  await_log_match();
  ck_assert(au_lane_is_fenced(lane));
  while (notified(AU_SEVERITY_FAILURE) == 0) /* the last that it does */
    poll(NULL, 0, 5);
  ck_assert_uint_eq(au_breaker_snapshot(breaker).failures, 0);
  do_sql(database,
         "UPDATE aurore.lane SET owner = (SELECT owner FROM public.kept)");
  while (au_lane_is_fenced(lane)) /* it asks every ten seconds */
    poll(NULL, 0, 20);
  await_stored(7);
  drain();
  check_stored(7);
  ck_assert_int_eq(log_matches(), 1);
  ck_assert_int_eq(notified(AU_SEVERITY_FAILURE), 1);
  ck_assert_int_eq(notified(AU_SEVERITY_OKAY), 1);
}

CASE("doubt", writer_setup, writer_teardown);

/* Another claim of our own, as after a doubt: the place is asked for again. */
TEST(epoch_that_moved_is_claimed_again) {
  start_writer();
  append(0, 3);
  await_stored(3);
  do_sql(database, "UPDATE aurore.lane SET epoch = epoch + 1");
  append(3, 3);
  await_stored(6);
  ck_assert(!au_lane_is_fenced(lane));
  drain();
  check_stored(6);
}

CASE("store", writer_setup, writer_teardown);

TEST(spool_that_cannot_be_read_is_tried_again) {
  make_schema(1);
  append(0, 3);
  atomic_store(&reads_fail, true);
  watch_log_for("could not read lane 0 of the spool");
  start_writer();
  await_log_match();
  atomic_store(&reads_fail, false);
  await_stored(3);
  drain();
  check_stored(3);
}

CASE("stop", writer_setup, writer_teardown);

TEST(join_has_a_deadline) {
  start_writer();
  ck_assert(!au_writer_join(writer, au_clock_monotonic_ns()));
  drain();
}

int main(void) { return run_database_tests("writer"); }
