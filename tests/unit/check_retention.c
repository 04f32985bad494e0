/* SPDX-License-Identifier: MIT
 *
 * check_retention - the janitor on a real server, in a database of its own.
 */
#include "servers.h"

#include "clock.h"
#include "log.h"
#include "retention.h"
#include "schema.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

static au_database_t *control;
static char own_name[64];
static char own_conninfo[1024];
static au_options_t options;

static _Atomic int warnings;
static _Atomic int notices;

static void count_lines(au_log_level_t level, const char *line) {
  (void)line;
  if (level == AU_LOG_WARNING)
    atomic_fetch_add(&warnings, 1);
  if (level == AU_LOG_NOTICE)
    atomic_fetch_add(&notices, 1);
}

static void set_conninfo(const char *conninfo) {
  free(options.conninfo);
  options.conninfo = strdup(conninfo);
  ck_assert_ptr_nonnull(options.conninfo);
}

static void make_own_database(void) {
  char sql[128];
  snprintf(sql, sizeof(sql), "CREATE DATABASE %s", own_name);
  do_sql(control, sql);
}

static void setup(void) {
  atomic_store(&warnings, 0);
  atomic_store(&notices, 0);
  au_log_set_sink(count_lines);
  control = open_client(getenv("AURORE_TEST_CONNINFO"));
  snprintf(own_name, sizeof(own_name), "check_retention_%ld", (long)getpid());
  char more[96];
  snprintf(more, sizeof(more), "dbname=%s", own_name);
  snprintf(own_conninfo, sizeof(own_conninfo), "%s", conninfo_with(more));
  ck_assert_int_eq(au_options_init(&options), AU_OK);
  set_conninfo(own_conninfo);
  options.backoff_min_s = 0.001;
  options.backoff_max_s = 0.01;
}

static void teardown(void) {
  char sql[128];
  snprintf(sql, sizeof(sql), "DROP DATABASE IF EXISTS %s (FORCE)", own_name);
  do_sql(control, sql);
  au_database_destroy(control);
  au_options_fini(&options);
  au_log_set_sink(NULL);
}

static au_retention_t *start(au_breaker_t *breaker) {
  au_retention_t *retention = NULL;
  ck_assert_int_eq(au_retention_start(&options, breaker, &retention), AU_OK);
  return retention;
}

/* Waits until there are partitions for yesterday to a week ahead. */
static void await_partitions(au_database_t *database) {
  await(database, "SELECT to_regclass('aurore.event_count') IS NOT NULL", "t");
  await(database,
        "SELECT min(lower_bound)::date - current_date || ' ' || "
        "max(upper_bound)::date - current_date || ' ' || count(*) "
        "FROM aurore.partitions()",
        "-1 8 9");
}

START_TEST(a_week_ahead_is_made_and_no_connection_is_kept) {
  make_own_database();
  au_database_t *database = open_client(own_conninfo);
  au_retention_t *retention = start(NULL);
  await_partitions(database);
  await(database,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
        "'collectd aurore janitor'",
        "0");
  /* Somebody removes one; whoever notices wakes the janitor. */
  do_sql(database, "DO $$BEGIN EXECUTE 'DROP TABLE aurore.event_' || "
                   "to_char(current_date + 3, 'YYYYMMDD'); END$$");
  au_retention_wake(retention);
  await_partitions(database);
  au_retention_stop(retention);
  ck_assert_int_eq(atomic_load(&warnings), 0);
  au_database_destroy(database);
}
END_TEST

START_TEST(database_that_comes_late_is_found) {
  au_retention_t *retention = start(NULL);
  make_own_database();
  au_database_t *database = open_client(own_conninfo);
  await_partitions(database);
  au_retention_stop(retention);
  au_database_destroy(database);
  /* The writers say it. */
  ck_assert_int_eq(atomic_load(&warnings), 0);
}
END_TEST

START_TEST(lasting_trouble_is_told_once) {
  make_own_database();
  au_database_t *database = open_client(own_conninfo);
  do_sql(database, "CREATE SCHEMA aurore; "
                   "CREATE TABLE aurore.schema_version AS SELECT 1000 AS "
                   "version");
  au_retention_t *retention = start(NULL);
  /* Many attempts: each one makes a session. */
  await(database,
        "SELECT sessions > 10 FROM pg_stat_database "
        "WHERE datname = current_database()",
        "t");
  do_sql(database, "DROP SCHEMA aurore CASCADE");
  await_partitions(database);
  while (atomic_load(&notices) == 0)
    poll(NULL, 0, 10);
  au_retention_stop(retention);
  ck_assert_int_eq(atomic_load(&warnings), 1);
  ck_assert_int_eq(atomic_load(&notices), 1);
  au_database_destroy(database);
}
END_TEST

START_TEST(open_breaker_is_waited_for) {
  make_own_database();
  au_database_t *database = open_client(own_conninfo);
  const au_breaker_config_t config = {
      .failures = 1, .successes = 1, .timeout_ns = 1};
  au_breaker_t *breaker = NULL;
  ck_assert_int_eq(au_breaker_create(&config, &breaker), AU_OK);
  au_permit_t permit;
  int64_t retry;
  ck_assert(au_breaker_allow(breaker, 0, &permit, &retry));
  au_breaker_failure(breaker, permit, 0, 1);
  au_retention_t *retention = start(breaker);
  for (int i = 0; i < 10; i++) {
    au_retention_wake(retention);
    poll(NULL, 0, 10);
  }
  ck_assert_str_eq(ask(database, "SELECT to_regnamespace('aurore') IS NULL"),
                   "t");
  ck_assert(au_breaker_allow(breaker, 2, &permit, &retry));
  au_breaker_success(breaker, permit);
  await_partitions(database);
  au_retention_stop(retention);
  au_breaker_destroy(breaker);
  au_database_destroy(database);
}
END_TEST

/* A server that takes connections and never says a word. */
START_TEST(stop_ends_it_at_once) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
  ck_assert_int_eq(listen(fd, 8), 0);
  ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
  char conninfo[64];
  snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d",
           ntohs(address.sin_port));
  set_conninfo(conninfo);
  options.connect_timeout_s = 3600;
  au_retention_t *retention = start(NULL);
  struct pollfd listening = {.fd = fd, .events = POLLIN};
  ck_assert_int_eq(poll(&listening, 1, -1), 1); /* it has connected */
  au_retention_stop(retention);
  /* And while it waits for the next hour, or has not begun. */
  au_retention_stop(start(NULL));
  au_retention_stop(NULL);
  ck_assert_int_eq(atomic_load(&warnings), 0);
  close(fd);
}
END_TEST

int main(void) {
  if (!has_server("check_retention"))
    return TEST_SKIPPED;
  Suite *suite = suite_create("retention");
  TCase *tcase = tcase_create("retention");
  tcase_set_timeout(tcase, 60);
  tcase_add_checked_fixture(tcase, setup, teardown);
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, a_week_ahead_is_made_and_no_connection_is_kept);
  tcase_add_test(tcase, database_that_comes_late_is_found);
  tcase_add_test(tcase, lasting_trouble_is_told_once);
  tcase_add_test(tcase, open_breaker_is_waited_for);
  tcase_add_test(tcase, stop_ends_it_at_once);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
