/* SPDX-License-Identifier: MIT
 *
 * check_business - the counters, how they are folded and read, and the thread
 * that does it, on a real server, each test in a database of its own.
 */
#include "support/own_database.h"

#include "base/clock.h"
#include "store/business.h"
#include "support/clients.h"
#include "support/log_capture.h"

#include <pthread.h>
#include <stdatomic.h>

static au_options_t options;
static void set_up(void) {
  set_up_database();
  capture_log();
  init_options(&options);
  options.business_interval_s = 0.01;
}

static void tear_down(void) {
  tear_down_database();
  au_options_fini(&options);
  release_log();
}

/* "kind name n" of the rows of a kind, one a line. */
static const char *metrics_of(const char *kind, const char *now, int services) {
  char sql[512];
  snprintf(sql, sizeof(sql),
           "SELECT string_agg(concat_ws(' ', f.name, f.n), ', ' ORDER BY "
           "f.place) FROM aurore.figures(%s, %d) "
           "WITH ORDINALITY AS f (kind, name, n, place) WHERE f.kind = '%s'",
           now, services, kind);
  return ask(database, sql);
}

static au_business_t *start(au_breaker_t *breaker) {
  au_business_t *business = NULL;
  ck_assert_int_eq(au_business_start(&options, breaker, NULL, NULL, &business),
                   AU_OK);
  return business;
}

/* Waits for metrics with this total, and returns them. */
static const au_business_metrics_t *await_total(uint64_t total) {
  for (;;) {
    const au_business_metrics_t *metrics = au_business_acquire();
    if (metrics != NULL && metrics->total == total)
      return metrics;
    au_business_release(metrics);
    poll(NULL, 0, 5);
  }
}

/* --- the counters --- */

CASE("counters", set_up, tear_down);

TEST(folded_counters_are_counted_once) {
  make_schema(3);
  store_events(database, "now() - interval '26 hours'", "a", 3);
  store_events(database, "now() - interval '5 minutes'", "a", 4);
  store_events(database, "now() - interval '5 minutes'", "b", 5);
  store_events(database, "now()", "b", 6);
  ck_assert_str_eq(metrics_of("service", "now()", 9), "b 11, a 7");
  ck_assert_str_eq(
      ask(database, "SELECT aurore.fold(now() - interval '2 minutes', 1)"),
      "1");
  ck_assert_str_eq(metrics_of("service", "now()", 9), "b 11, a 7");
  ck_assert_str_eq(
      ask(database, "SELECT aurore.fold(now() - interval '2 minutes', 100)"),
      "2");
  ck_assert_str_eq(metrics_of("service", "now()", 9), "b 11, a 7");
  ck_assert_str_eq(metrics_of("total", "now()", 0), "18");
  ck_assert_str_eq(ask(database, "SELECT sum(n) FROM aurore.event_count"), "6");
  ck_assert_str_eq(ask(database, "SELECT sum(n) FROM aurore.event_total"),
                   "12");
  ck_assert_str_eq(ask(database, "SELECT sum(n) FROM aurore.event_hour"), "12");
  ck_assert_str_eq(ask(database, "SELECT sum(n) FROM aurore.event_minute"),
                   "12");
  /* A writer that was late begins its minute anew; the next fold adds it. */
  store_events(database, "now() - interval '5 minutes'", "a", 10);
  ck_assert_str_eq(metrics_of("service", "now()", 9), "a 17, b 11");
  do_sql(database, "SELECT aurore.fold('infinity', 100)");
  ck_assert_str_eq(metrics_of("service", "now()", 9), "a 17, b 11");
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.event_count"),
                   "0");
}

/* Minutes and hours are UTC's, whatever the session's time zone is. */
TEST(windows_end_at_minutes) {
  static const char now[] = "timestamptz '2026-11-24 10:30:40Z'";
  migrate(database);
  ensure(database, DAY_2026_11_24 - 1, DAY_2026_11_24);
  do_sql(database, "SET timezone = 'Asia/Kolkata'");
  static const char *const accepted[] = {
      "'2026-11-23 10:29:59Z'", "'2026-11-23 10:30:00Z'",
      "'2026-11-24 09:29:59Z'", "'2026-11-24 09:30:00Z'",
      "'2026-11-24 10:30:10Z'", "'2026-11-24 10:31:00Z'"};
  for (int i = 0; i < 6; i++) {
    char text[64];
    snprintf(text, sizeof(text), "timestamptz %s", accepted[i]);
    store_events(database, text, "s", 1 << i);
  }
  for (int folded = 0; folded < 2; folded++) {
    ck_assert_str_eq(metrics_of("total", now, 1), "63");
    ck_assert_str_eq(metrics_of("last_day", now, 1), "30");
    ck_assert_str_eq(metrics_of("last_hour", now, 1), "24");
    ck_assert_str_eq(metrics_of("hour", now, 1),
                     "2026-11-23 10:00 2, 2026-11-24 09:00 12, "
                     "2026-11-24 10:00 16");
    do_sql(database, "SELECT aurore.fold('infinity', 100)");
  }
}

TEST(a_fold_waits_for_nobody) {
  make_schema(3);
  store_events(database, "now() - interval '5 minutes'", "held", 1);
  store_events(database, "now() - interval '5 minutes'", "free", 2);
  PGconn *writer = hold("UPDATE aurore.event_count SET n = n + 10 "
                        "WHERE service = 'held'");
  do_sql(database, "SET lock_timeout = 1");
  ck_assert_str_eq(ask(database, "SELECT aurore.fold('infinity', 9)"), "1");
  ck_assert_str_eq(metrics_of("service", "now()", 9), "free 2, held 1");
  commit(writer);
  ck_assert_str_eq(metrics_of("service", "now()", 9), "held 11, free 2");
  /* Another fold is under way. */
  PGconn *folder = hold("SELECT pg_advisory_xact_lock(1096110671, 3)");
  ck_assert_str_eq(ask(database, "SELECT aurore.fold('infinity', 9)"), "0");
  commit(folder);
  ck_assert_str_eq(ask(database, "SELECT aurore.fold('infinity', 9)"), "1");
  ck_assert_str_eq(metrics_of("service", "now()", 9), "held 11, free 2");
}

/* --- writers, folds and readers at once --- */

#define BATCHES 150

static void *write_batches(void *argument) {
  au_database_t *own = open_client(own_conninfo);
  char service[16];
  for (int i = 0; i < BATCHES; i++) {
    snprintf(service, sizeof(service), "s%d", i % 3);
    store_events(own, "now()", service, 1 + i % 7);
  }
  au_database_destroy(own);
  atomic_fetch_add((_Atomic int *)argument, 1);
  return NULL;
}

static void *fold_always(void *argument) {
  au_database_t *own = open_client(own_conninfo);
  while (atomic_load((_Atomic int *)argument) < 2)
    do_sql(own, "SELECT aurore.fold('infinity', 2)");
  au_database_destroy(own);
  return NULL;
}

TEST(every_reading_is_exact) {
  make_schema(3);
  _Atomic int ended = 0;
  pthread_t thread[4];
  for (int i = 0; i < 2; i++)
    ck_assert_int_eq(pthread_create(&thread[i], NULL, write_batches, &ended),
                     0);
  for (int i = 2; i < 4; i++)
    ck_assert_int_eq(pthread_create(&thread[i], NULL, fold_always, &ended), 0);
  bool last = false;
  while (!last) {
    last = atomic_load(&ended) == 2;
    ck_assert_str_eq(ask(database,
                         "SELECT (SELECT n FROM aurore.figures(now(), 0) "
                         "WHERE kind = 'total') - count(*) FROM aurore.event"),
                     "0");
  }
  for (int i = 0; i < 4; i++)
    pthread_join(thread[i], NULL);
  do_sql(database, "SELECT aurore.fold('infinity', 100)");
  ck_assert_str_eq(
      ask(database, "SELECT count(*) = (SELECT sum(n) FROM aurore.event_total) "
                    "AND count(*) = (SELECT sum(n) FROM aurore.event_hour) "
                    "AND count(*) = (SELECT sum(n) FROM aurore.event_minute) "
                    "FROM aurore.event"),
      "t");
}

/* --- the thread --- */

CASE("thread", set_up, tear_down);

TEST(metrics_are_published) {
  make_schema(3);
  store_events(database, "now() - interval '2 days'", "a", 2);
  store_events(database, "now() - interval '5 minutes'", "a", 3);
  store_events(database, "now()", "b", 4);
  do_sql(database, "INSERT INTO aurore.dead_letter (event_id, service, event, "
                   "failure_reason, spool_id, lane, seq, reprocessed) SELECT "
                   "gen_random_uuid(), 's', '', '', gen_random_uuid(), 0, i, "
                   "i = 1 FROM generate_series(1, 3) AS i");
  ck_assert_ptr_null(au_business_acquire());
  double idle = au_metrics_gauge(AU_M_POOL_IDLE); /* the test's own */
  int64_t before_us = au_clock_wall_us();
  au_business_t *business = start(NULL);
  const au_business_metrics_t *metrics = await_total(9);
  ck_assert_uint_eq(metrics->last_day, 7);
  ck_assert_uint_eq(metrics->last_hour, 7);
  ck_assert_uint_eq(metrics->dead_letters, 2);
  ck_assert_double_eq(au_business_per_minute(metrics), 7 / 1440.0);
  ck_assert_int_ge(metrics->as_of_us, before_us);
  ck_assert_uint_eq(metrics->services, 2);
  ck_assert_str_eq(metrics->service[0].service, "a");
  ck_assert_uint_eq(metrics->service[0].count, 5);
  ck_assert_str_eq(metrics->service[1].service, "b");
  ck_assert_uint_eq(metrics->tops, 2);
  ck_assert_uint_ge(metrics->hours, 1);
  /* What is old enough is folded meanwhile. */
  await(database, "SELECT sum(n) FROM aurore.event_total", "5");
  store_events(database, "now()", "a", 1);
  au_business_release(await_total(10));
  ck_assert_uint_eq(metrics->total, 9); /* what was borrowed stays */
  au_business_release(metrics);
  ck_assert_uint_eq(au_metrics_counter(AU_M_BUSINESS_EVENTS, 0), 10);
  ck_assert_double_eq(au_metrics_gauge(AU_M_BUSINESS_LAST_24H), 8);
  ck_assert_double_eq(au_metrics_gauge(AU_M_BUSINESS_LAST_HOUR), 8);
  ck_assert_double_eq(au_metrics_gauge(AU_M_BUSINESS_PER_MINUTE), 8 / 1440.0);
  ck_assert_double_eq(au_metrics_gauge(AU_M_DEAD_LETTERS_PENDING), 2);
  ck_assert_uint_gt(au_metrics_counter(AU_M_QUERIES, AU_OPERATION_BUSINESS), 1);
  au_business_stop(business);
  ck_assert_ptr_null(au_business_acquire());
  ck_assert_double_eq(au_metrics_gauge(AU_M_POOL_IDLE), idle);
  ck_assert_double_eq(au_metrics_gauge(AU_M_POOL_ACTIVE), 0);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 0);
}

/* "other" holds the rest, and a service that has this name. */
TEST(the_largest_services_have_counts_of_their_own) {
  make_schema(3);
  for (int i = 0; i < 12; i++) {
    char name[16];
    snprintf(name, sizeof(name), "s%02d", i);
    store_events(database, "now()", name, 20 - i);
  }
  store_events(database, "now()", "other", 100);
  options.business_services = 3;
  au_business_t *business = start(NULL);
  const au_business_metrics_t *metrics = await_total(274);
  ck_assert_uint_eq(metrics->services, 3);
  ck_assert_str_eq(metrics->service[0].service, "other");
  ck_assert_uint_eq(metrics->service[0].count, 274 - 20 - 19);
  ck_assert_str_eq(metrics->service[2].service, "s01");
  ck_assert_uint_eq(metrics->service[2].count, 19);
  ck_assert_uint_eq(metrics->tops, AU_BUSINESS_TOP);
  ck_assert_uint_eq(metrics->top[0].count, 100);
  ck_assert_str_eq(metrics->top[9].service, "s08");
  au_business_release(metrics);
  au_business_stop(business);
  options.business_services = 0;
  business = start(NULL);
  metrics = await_total(274);
  ck_assert_uint_eq(metrics->services, 1);
  ck_assert_str_eq(metrics->service[0].service, "other");
  ck_assert_uint_eq(metrics->service[0].count, 274);
  au_business_release(metrics);
  au_business_stop(business);
  options.business_services = 12;
  business = start(NULL);
  metrics = await_total(274);
  ck_assert_uint_eq(metrics->services, 12);
  ck_assert_uint_eq(metrics->service[0].count, 100 + 9);
  ck_assert_str_eq(metrics->service[11].service, "s10");
  au_business_release(metrics);
  au_business_stop(business);
}

TEST(many_counters_are_folded_in_parts) {
  make_schema(3);
  do_sql(database, "INSERT INTO aurore.event_count (minute, service, spool_id, "
                   "lane, n) SELECT date_trunc('minute', now() - interval '1 "
                   "hour'), 's' || i, gen_random_uuid(), 0, 2 FROM "
                   "generate_series(1, 6001) AS i");
  au_business_t *business = start(NULL);
  au_business_release(await_total(12002));
  await(database, "SELECT count(*) FROM aurore.event_count", "0");
  au_business_release(await_total(12002));
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.event_total"),
                   "6001");
  au_business_stop(business);
}

/* No reader's trouble: the metrics are right without a fold, and stay without a
 * reading. */
TEST(lasting_trouble_is_logged_once) {
  make_schema(3);
  store_events(database, "now() - interval '5 minutes'", "a", 5);
  do_sql(database, "ALTER FUNCTION aurore.fold RENAME TO gone");
  au_business_t *business = start(NULL);
  au_business_release(await_total(5));
  store_events(database, "now() - interval '5 minutes'", "a", 1);
  au_business_release(await_total(6));
  store_events(database, "now() - interval '5 minutes'", "a", 1);
  au_business_release(await_total(7));
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 1);
  ck_assert_ptr_nonnull(strstr(last_warning(), "could not fold"));
  do_sql(database, "ALTER FUNCTION aurore.gone RENAME TO fold");
  await_logged(AU_LOG_NOTICE, 1);
  do_sql(database, "ALTER FUNCTION aurore.figures RENAME TO gone");
  await_logged(AU_LOG_WARNING, 2);
  ck_assert_ptr_nonnull(strstr(last_warning(), "could not read"));
  au_business_release(await_total(7));
  /* An answer that is none. */
  do_sql(database, "CREATE FUNCTION aurore.figures(timestamptz, integer) "
                   "RETURNS TABLE (kind text, name text, n text) LANGUAGE sql "
                   "AS $$SELECT 'total', NULL, '-1'$$");
  poll(NULL, 0, 50);
  au_business_release(await_total(7));
  do_sql(database, "DROP FUNCTION aurore.figures; "
                   "ALTER FUNCTION aurore.gone RENAME TO figures");
  await_logged(AU_LOG_NOTICE, 2);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 2);
  au_business_stop(business);
}

TEST(database_that_comes_late_or_goes_is_no_trouble) {
  drop_database();
  au_business_t *business = start(NULL);
  create_database();
  au_business_release(await_total(0));
  make_schema(3);
  store_events(database, "now()", "a", 5);
  const au_business_metrics_t *metrics = await_total(5);
  int64_t seen_us = metrics->as_of_us;
  au_business_release(metrics);
  /* It goes away: the last metrics stay. */
  do_sqlf(control, "ALTER DATABASE %s ALLOW_CONNECTIONS false", own_name);
  end_sessions("collectd aurore figures");
  metrics = await_total(5);
  ck_assert_int_ge(metrics->as_of_us, seen_us);
  au_business_release(metrics);
  do_sqlf(control, "ALTER DATABASE %s ALLOW_CONNECTIONS true", own_name);
  store_events(database, "now()", "a", 1);
  au_business_release(await_total(6));
  au_business_stop(business);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 0);
}

TEST(open_breaker_is_waited_for) {
  make_schema(3);
  store_events(database, "now()", "a", 5);
  au_breaker_t *breaker = make_open_breaker();
  au_business_t *business = start(breaker);
  for (int i = 0; i < 20; i++) {
    ck_assert_ptr_null(au_business_acquire());
    poll(NULL, 0, 5);
  }
  close_breaker(breaker);
  au_business_release(await_total(5));
  au_business_stop(business);
  au_breaker_destroy(breaker);
}

TEST(stop_ends_it_at_once) {
  make_schema(3);
  options.business_interval_s = 3600;
  au_business_t *business = start(NULL);
  au_business_release(await_total(0));
  au_business_stop(business);
  au_business_stop(start(NULL));
  au_business_stop(NULL);
  au_business_release(NULL);
}

int main(void) { return run_database_tests("business"); }
