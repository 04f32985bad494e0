/* SPDX-License-Identifier: MIT
 *
 * check_claim - the claim of a lane, and a whole batch, on a real server.
 */
#include "support/big_endian.h"
#include "support/own_database.h"

#include "base/clock.h"
#include "event/row.h"
#include "support/suite.h"

#include <pthread.h>

/* --- the claim of a lane --- */

#define SPOOL "'5b5b5b5b-0000-4000-8000-000000000001'"
#define OWNER_1 "0a0a0a0a-0000-4000-8000-000000000001"
#define OWNER_2 "0a0a0a0a-0000-4000-8000-000000000002"
#define OWNER_3 "0a0a0a0a-0000-4000-8000-000000000003"

/* Claims lane 3; "next_seq epoch" or the error. */
static const char *claim(au_database_t *with, const char *owners,
                         const char *oldest, au_database_error_t *error) {
  static char answer[64];
  char sql[512];
  snprintf(sql, sizeof(sql),
           "SELECT next_seq, epoch FROM aurore.claim(" SPOOL
           ", 3::smallint, '{%s}'::uuid[], array_fill(1000::bigint, "
           "ARRAY[cardinality('{%s}'::uuid[])]), %s, false, 'host a')",
           owners, owners, oldest);
  au_result_t result = {NULL};
  au_status_t status = au_database_exec(with, sql, &result, error);
  if (status != AU_OK) {
    ck_assert_int_eq(status,
                     error->fault == AU_FAULT_FENCED ? AU_FENCED : AU_INVALID);
    return error->sqlstate;
  }
  ck_assert_uint_eq(au_result_rows(&result), 1);
  snprintf(answer, sizeof(answer), "%s %s", au_result_text(&result, 0, 0),
           au_result_text(&result, 0, 1));
  au_result_fini(&result);
  return answer;
}

static au_status_t advance(au_database_t *with, const char *epoch_first_next,
                           au_database_error_t *error) {
  char sql[256];
  snprintf(sql, sizeof(sql),
           "SELECT aurore.advance(" SPOOL ", 3::smallint, %s)",
           epoch_first_next);
  return au_database_exec(with, sql, NULL, error);
}

CASE("lanes", set_up_database, tear_down_database);

TEST(lane_starts_at_its_oldest_and_keeps_its_position) {
  migrate(database);
  au_database_error_t error;
  ck_assert_str_eq(claim(database, OWNER_1, "100", &error), "100 1");
  ck_assert_int_eq(advance(database, "1, 100, 150", &error), AU_OK);
  /* The oldest counts for a new lane only. */
  ck_assert_str_eq(claim(database, OWNER_1, "120", &error), "150 2");
  ck_assert_int_eq(advance(database, "2, 150, 151", &error), AU_OK);
  ck_assert_str_eq(claim(database, OWNER_1 "," OWNER_2, "151", &error),
                   "151 3");
  ck_assert_str_eq(
      ask(database, "SELECT owner || ' ' || host FROM aurore.lane"),
      OWNER_2 " host a");
}

TEST(claim_moves_by_compare_and_swap_only) {
  migrate(database);
  au_database_error_t error;
  ck_assert_str_eq(claim(database, OWNER_1, "1", &error), "1 1");
  static const char *const wrong[] = {"1, 2, 3", "2, 1, 3", "0, 1, 3",
                                      "1, 0, 3"};
  for (size_t i = 0; i < 4; i++) {
    ck_assert_int_eq(advance(database, wrong[i], &error), AU_FENCED);
    ck_assert_int_eq(error.fault, AU_FAULT_FENCED);
    ck_assert_ptr_nonnull(strstr(error.message, "found 1 in epoch 1"));
  }
  ck_assert_int_eq(advance(database, "1, 1, 3", &error), AU_OK);
  ck_assert_int_eq(advance(database, "1, 1, 3", &error), AU_FENCED);
  do_sql(database, "DELETE FROM aurore.lane");
  ck_assert_int_eq(advance(database, "1, 3, 4", &error), AU_FENCED);
  ck_assert_ptr_nonnull(strstr(error.message, "found none"));
}

TEST(another_copy_of_the_spool_is_fenced) {
  migrate(database);
  au_database_error_t error;
  ck_assert_str_eq(claim(database, OWNER_1, "1", &error), "1 1");
  /* The copy was made before the second opening, which the database knows. */
  ck_assert_str_eq(claim(database, OWNER_1 "," OWNER_2, "1", &error), "1 2");
  ck_assert_str_eq(claim(database, OWNER_1 "," OWNER_3, "1", &error), "AU001");
  ck_assert_int_eq(error.fault, AU_FAULT_FENCED);
  ck_assert_ptr_nonnull(strstr(error.message, "\"host a\""));
  ck_assert_int_eq(advance(database, "1, 1, 2", &error), AU_FENCED);
  ck_assert_str_eq(claim(database, OWNER_2, "1", &error), "1 3");
}

typedef struct claimer {
  pthread_t thread;
  au_database_t *database;
  char answer[64];
} claimer_t;

static void *claim_main(void *argument) {
  claimer_t *claimer = argument;
  au_database_error_t error;
  snprintf(claimer->answer, sizeof(claimer->answer), "%s",
           claim(claimer->database, OWNER_1, "1", &error));
  return NULL;
}

/* A backend that still works on a batch is waited for, and what it did is
 * seen. */
TEST_EACH(claim_waits_for_a_batch_that_still_runs, 2) {
  migrate(database);
  au_database_error_t error;
  ck_assert_str_eq(claim(database, OWNER_1, "1", &error), "1 1");
  PGconn *open =
      hold(_i == 0 ? "SELECT aurore.advance(" SPOOL ", 3::smallint, 1, 1, 6)"
                   : "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; "
                     "SELECT aurore.advance(" SPOOL ", 3::smallint, 1, 1, 6)");
  claimer_t claimer = {.database = open_client(own_conninfo)};
  ck_assert_int_eq(pthread_create(&claimer.thread, NULL, claim_main, &claimer),
                   0);
  await_lock();
  commit(open);
  pthread_join(claimer.thread, NULL);
  ck_assert_str_eq(claimer.answer, "6 2");
  au_database_destroy(claimer.database);
}

/* The batch begins when the claim has begun but has not read the position yet.
 */
TEST(claim_waits_for_a_batch_that_begins_beside_it) {
  migrate(database);
  au_database_error_t error;
  ck_assert_str_eq(claim(database, OWNER_1, "1", &error), "1 1");
  do_sql(database,
         "CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS "
         "'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';"
         "CREATE TRIGGER pause AFTER INSERT ON aurore.lane "
         "FOR EACH STATEMENT EXECUTE FUNCTION pause()");
  PGconn *open = PQconnectdb(own_conninfo);
  PQclear(PQexec(open, "SELECT pg_advisory_lock(1)"));
  claimer_t claimer = {.database = open_client(own_conninfo)};
  ck_assert_int_eq(pthread_create(&claimer.thread, NULL, claim_main, &claimer),
                   0);
  await(database,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = "
        "current_database() AND wait_event = 'advisory'",
        "1");
  PQclear(PQexec(open, "BEGIN; SELECT aurore.advance(" SPOOL
                       ", 3::smallint, 1, 1, 6);"
                       "SELECT pg_advisory_unlock(1)"));
  ck_assert_int_eq(PQtransactionStatus(open), PQTRANS_INTRANS);
  await(database,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = "
        "current_database() AND wait_event = 'transactionid'",
        "1");
  commit(open);
  pthread_join(claimer.thread, NULL);
  ck_assert_str_eq(claimer.answer, "6 2");
  au_database_destroy(claimer.database);
}

/* Its batch was sent before the claim and arrives after it. */
TEST(batch_from_before_a_claim_is_not_stored) {
  migrate(database);
  ensure(database, DAY_2026_11_24, DAY_2026_11_24);
  au_database_error_t error;
  ck_assert_str_eq(claim(database, OWNER_1, "1", &error), "1 1");
  ck_assert_str_eq(claim(database, OWNER_1, "1", &error), "1 2");
  ck_assert_int_eq(
      au_database_exec(
          database,
          "SELECT aurore.advance(" SPOOL ", 3::smallint, 1, 1, 2); "
          "INSERT INTO aurore.event (event_id, occurred_at, ingested_at, "
          "service, message) VALUES (gen_random_uuid(), now(), '2026-11-24', "
          "'s', 'm')",
          NULL, &error),
      AU_FENCED);
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.event"), "0");
  ck_assert_int_eq(advance(database, "2, 1, 2", &error), AU_OK);
}

/* The pages of many lanes are mostly empty: each new version of a row is on
 * the page of the old one, where the next visitor can remove that. */
TEST(claim_is_updated_in_place) {
  migrate(database);
  do_sql(database, "SELECT c.next_seq FROM generate_series(1, 200) AS n, "
                   "aurore.claim(lpad(n::text, 32, '0')::uuid, 0::smallint, "
                   "'{" OWNER_1 "}', '{1000}', 0, false, 'host a') AS c");
  static const char pages[] =
      "SELECT string_agg((ctid::text::point)[0]::text, ' ' ORDER BY spool_id) "
      "FROM aurore.lane";
  char before[4096];
  snprintf(before, sizeof(before), "%s", ask(database, pages));
  for (int i = 0; i < 5; i++) {
    do_sqlf(database,
            "SELECT count(aurore.advance(lpad(n::text, 32, '0')::uuid, "
            "0::smallint, 1, %d, %d)) FROM generate_series(1, 200) AS n",
            i, i + 1);
  }
  ck_assert_str_eq(ask(database, pages), before);
}

/* --- a whole batch --- */

/* One event as COPY binary, written by hand: the message may be anything. */
static au_bytes_t make_event(int64_t ingested_at_us, const char *message) {
  au_bytes_t bytes = AU_BYTES_INIT;
  au_bytes_put(&bytes, AU_COPY_HEADER, AU_COPY_HEADER_SIZE);
  put_be(&bytes, 6, 2);
  put_be(&bytes, 8, 4);
  put_be(&bytes, (uint64_t)(ingested_at_us - AU_POSTGRES_EPOCH_US), 8);
  put_be(&bytes, 16, 4);
  au_bytes_put(&bytes, "0123456789abcdef", 16);
  put_be(&bytes, 8, 4);
  put_be(&bytes, 0, 8);
  put_be(&bytes, 1, 4);
  au_bytes_put(&bytes, "s", 1);
  put_be(&bytes, (uint32_t)strlen(message), 4);
  au_bytes_put_string(&bytes, message);
  put_be(&bytes, UINT32_MAX, 4);
  au_bytes_put(&bytes, AU_COPY_TRAILER, AU_COPY_TRAILER_SIZE);
  return bytes;
}

static au_status_t store(au_database_t *with, int64_t ingested_at_us,
                         const char *message, au_database_error_t *error) {
  au_bytes_t bytes = make_event(ingested_at_us, message);
  const au_piece_t piece = {.data = bytes.data, .size = bytes.size};
  au_status_t status = au_database_copy(
      with,
      "SELECT aurore.advance(" SPOOL ", 3::smallint, 1, 1, 2); "
      "COPY aurore.event (" AU_ROW_COLUMNS ") FROM STDIN (FORMAT binary); "
      "INSERT INTO aurore.event_count AS c (minute, service, spool_id, lane, "
      "n) VALUES (now(), 's', " SPOOL ", 3, 1) "
      "ON CONFLICT (minute, service, spool_id, lane) "
      "DO UPDATE SET n = c.n + excluded.n",
      &piece, 1, error);
  au_bytes_fini(&bytes);
  return status;
}

#define DAY_US (INT64_C(86400) * AU_US_PER_S)

static void assert_nothing_stored(au_database_t *with) {
  ck_assert_str_eq(ask(with, "SELECT (SELECT count(*) FROM aurore.event) || "
                             "' ' || (SELECT count(*) FROM "
                             "aurore.event_count) || ' ' || next_seq "
                             "FROM aurore.lane"),
                   "0 0 1");
}

static void check_batches(au_database_t *with) {
  au_database_error_t error;
  ck_assert_str_eq(claim(with, OWNER_1, "1", &error), "1 1");
  int64_t us = DAY_2026_11_24 * DAY_US;
  ck_assert_int_eq(store(with, us, "no partition", &error), AU_INVALID);
  ck_assert_int_eq(error.fault, AU_FAULT_PARTITION);
  assert_nothing_stored(with);
  ensure(with, DAY_2026_11_24, DAY_2026_11_24);
  ck_assert_int_eq(store(with, us, "\xff", &error), AU_INVALID);
  ck_assert_int_eq(error.fault, AU_FAULT_ROW);
  ck_assert_str_eq(error.sqlstate, "22021");
  assert_nothing_stored(with);
  ck_assert_int_eq(store(with, us + DAY_US - 1, "good", &error), AU_OK);
  ck_assert_int_eq(store(with, us, "twice", &error), AU_FENCED);
  ck_assert_str_eq(ask(with, "SELECT service || message || ingested_at || "
                             "(metadata IS NULL) FROM aurore.event"),
                   "sgood2026-11-24 23:59:59.999999+00true");
  ck_assert_str_eq(ask(with, "SELECT n FROM aurore.event_count"), "1");
}

TEST(batch_is_stored_whole_or_not_at_all) {
  migrate(database);
  check_batches(database);
}

TEST(everything_works_through_a_pooler) {
  if (!has_bouncer()) {
    printf("check_schema: the part behind pgbouncer is skipped: it is not "
           "installed\n");
    return;
  }
  bouncer_t bouncer;
  start_bouncer(&bouncer, own_conninfo, own_name);
  au_database_t *pooled = open_client(bouncer.conninfo);
  migrate(pooled);
  check_batches(pooled);
  migrate(pooled);
  au_database_destroy(pooled);
  stop_bouncer(&bouncer);
}

int main(void) { return run_database_tests("claim"); }
