/* SPDX-License-Identifier: MIT
 *
 * The batch against a real PostgreSQL: stored once, a bad row is set aside
 * alone, and the database's word decides after any doubt. Needs
 * AURORE_TEST_CONNINFO (see tests/with-postgres).
 */
#include "metrics/metrics.h"
#include "spool/buffer.h"
#include "store/batch.h"
#include "support/judge.h"
#include "support/own_database.h"
#include "support/rows.h"

#include <fcntl.h>

static au_buffer_t *buffer;
static au_lane_t *lane;
static au_batch_t batch;
static au_blame_t blame;
static au_claim_t claim;
static au_database_error_t error;

static void must(au_status_t status) {
  ck_assert_msg(status == AU_OK, "%s %s", error.sqlstate, error.message);
}

static void setup(void) {
  au_metrics_reset();
  set_up_database();
  make_schema(1);
  char text[256] = "";
  const au_buffer_config_t buffered = {
      .lanes = 1, .capacity = 100000, .max_bytes = 1 << 30};
  ck_assert_int_eq(au_buffer_open(&buffered, &buffer, text, sizeof(text)),
                   AU_OK);
  lane = au_buffer_lane(buffer, 0);
  claim = (au_claim_t){.spool_id = au_spool_id(au_lane_spool(lane))};
  must(au_claim_make(&claim, database, lane, &error));
  ck_assert_uint_eq(claim.next_seq, 1);
}

static void teardown(void) {
  au_batch_fini(&batch);
  au_blame_fini(&blame);
  au_buffer_destroy(buffer);
  tear_down_database();
}

static void append(unsigned from, unsigned count, const char *text) {
  static const char *const services[] = {"alpha", "beta", "gamma"};
  au_rows_t rows = {.count = 0};
  au_waiter_t waiter = {.done = never_done};
  for (unsigned i = from; i < from + count; i++)
    put_event(&rows, au_clock_wall_us(), services[i % 3], text, i);
  ck_assert_int_eq(au_buffer_append(buffer, &rows, &waiter), AU_OK);
  au_rows_fini(&rows);
}

static void take(size_t rows) {
  must(au_batch_take(&batch, lane, rows, 1 << 20));
  au_blame_begin(&blame);
}

/* Stores the batch to its end as the writer does; returns the transactions. */
static unsigned store(void) {
  unsigned transactions = 0;
  while (!au_batch_is_done(&batch)) {
    au_status_t status = au_batch_store(&batch, database, &claim, &error);
    if (status == AU_OK) {
      transactions++;
      au_blame_stored(&blame, &batch);
      au_lane_commit(lane, au_batch_position(&batch));
      continue;
    }
    ck_assert_msg(error.fault == AU_FAULT_ROW, "%s %s", error.sqlstate,
                  error.message);
    ck_assert(judge(&blame, &batch, lane, database, &claim, &error, NULL));
  }
  return transactions;
}

CASE("batch", setup, teardown);

TEST(batch_is_one_transaction) {
  append(0, 1000, "hello");
  take(5000);
  ck_assert_uint_eq(store(), 1);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 1000);
  ck_assert_int_eq(
      number("SELECT count(DISTINCT xmin::text) FROM aurore.event"), 1);
  ck_assert_int_eq(number("SELECT sum(n) FROM aurore.event_count"), 1000);
  ck_assert_int_eq(
      number("SELECT sum(n) FROM aurore.event_count WHERE service = 'alpha'"),
      334);
  ck_assert_int_eq(number("SELECT next_seq FROM aurore.lane"), 1001);
  ck_assert_uint_eq(au_lane_waiting(lane), 0);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0), 1000);
  ck_assert_uint_eq(au_metrics_counter(AU_M_BATCHES_PROCESSED, 0), 1);
}

TEST(bad_rows_are_set_aside_alone) {
  do_sql(database, "ALTER TABLE aurore.event ADD CONSTRAINT no_poison "
                   "CHECK (message NOT LIKE 'poison%')");
  /* One in the middle, two in a row, the first and the last one. */
  append(0, 1, "poison");
  append(1, 400, "good");
  append(401, 1, "poison");
  append(402, 300, "good");
  append(702, 2, "poison");
  append(704, 295, "good");
  append(999, 1, "poison");
  take(5000);
  ck_assert_uint_eq(batch.slab.count, 1000);
  unsigned transactions = store();
  ck_assert_uint_lt(transactions, 100);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 995);
  ck_assert_int_eq(number("SELECT count(DISTINCT event_id) FROM aurore.event"),
                   995);
  ck_assert_int_eq(
      number(
          "SELECT count(*) FROM aurore.dead_letter WHERE sql_state = '23514' "
          "AND failure_reason <> '' AND NOT reprocessed"),
      5);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter d "
                          "JOIN aurore.event e USING (event_id)"),
                   0);
  ck_assert_int_eq(number("SELECT sum(n) FROM aurore.event_count"), 995);
  ck_assert_int_eq(number("SELECT next_seq FROM aurore.lane"), 1001);
  /* A bad row goes with its neighbours' rows. */
  ck_assert_int_gt(number("SELECT count(*) FROM aurore.dead_letter d WHERE "
                          "EXISTS (SELECT FROM aurore.event e "
                          "WHERE e.xmin::text = d.xmin::text)"),
                   0);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0), 995);
  ck_assert_uint_eq(au_metrics_counter(AU_M_DEAD_LETTERS, 0), 5);
}

TEST(all_rows_bad_are_all_set_aside) {
  do_sql(database, "ALTER TABLE aurore.event ADD CONSTRAINT none "
                   "CHECK (message = 'none') NOT VALID");
  append(0, 50, "any");
  take(5000);
  store();
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 0);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 50);
  ck_assert_int_eq(number("SELECT count(DISTINCT seq) FROM aurore.dead_letter"),
                   50);
}

TEST(fault_without_a_row_to_blame_is_the_databases) {
  do_sql(database,
         "ALTER TABLE aurore.dead_letter ADD CONSTRAINT none CHECK (false) NOT "
         "VALID");
  do_sql(database, "ALTER TABLE aurore.event ADD CONSTRAINT none "
                   "CHECK (message = 'none') NOT VALID");
  append(0, 1, "any");
  take(10);
  ck_assert_int_ne(au_batch_store(&batch, database, &claim, &error), AU_OK);
  ck_assert(judge(&blame, &batch, lane, database, &claim, &error, NULL));
  ck_assert_int_ne(au_batch_store(&batch, database, &claim, &error), AU_OK);
  ck_assert_int_eq(error.fault, AU_FAULT_ROW);
  ck_assert(!judge(&blame, &batch, lane, database, &claim, &error, NULL));
  ck_assert_uint_eq(au_lane_waiting(lane), 1);
  do_sql(database, "ALTER TABLE aurore.dead_letter DROP CONSTRAINT none");
  ck_assert_uint_eq(store(), 1);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 1);
}

TEST(same_batch_is_never_stored_twice) {
  append(0, 10, "once");
  take(10);
  must(au_batch_store(&batch, database, &claim, &error));
  /* As if the answer had been lost: the lane was not committed, so the same
   * events are taken again and sent again. */
  take(10);
  ck_assert_uint_eq(batch.slab.count, 10);
  ck_assert_int_ne(au_batch_store(&batch, database, &claim, &error), AU_OK);
  ck_assert_int_eq(error.fault, AU_FAULT_FENCED);
  must(au_claim_make(&claim, database, lane, &error));
  ck_assert_uint_eq(claim.next_seq, 11);
  au_batch_settle(&batch, claim.next_seq);
  ck_assert(au_batch_is_done(&batch));
  au_lane_commit(lane, au_batch_position(&batch));
  ck_assert_uint_eq(au_lane_waiting(lane), 0);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 10);
}

TEST(attempt_that_was_not_stored_is_made_again) {
  append(0, 10, "again");
  take(10);
  /* As if the connection had been lost before the COMMIT. */
  must(au_claim_make(&claim, database, lane, &error));
  au_batch_settle(&batch, claim.next_seq);
  ck_assert(!au_batch_is_done(&batch));
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0), 0);
  ck_assert_uint_eq(store(), 1);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 10);
}

TEST(batch_of_an_older_epoch_is_refused) {
  append(0, 10, "late");
  take(10);
  au_claim_t before = claim;
  must(au_claim_make(&claim, database, lane, &error));
  ck_assert_uint_gt(claim.epoch, before.epoch);
  ck_assert_int_ne(au_batch_store(&batch, database, &before, &error), AU_OK);
  ck_assert_int_eq(error.fault, AU_FAULT_FENCED);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 0);
  ck_assert_uint_eq(store(), 1);
}

TEST(rows_stored_before_are_skipped) {
  append(0, 10, "before");
  take(6);
  must(au_batch_store(&batch, database, &claim, &error));
  take(10);
  au_batch_skip(&batch, 7);
  ck_assert_uint_eq(batch.done, 6);
  uint64_t counted = au_metrics_counter(AU_M_EVENTS_PROCESSED, 0);
  ck_assert_uint_eq(store(), 1);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0), counted + 4);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 10);
}

TEST(spool_of_another_owner_is_fenced) {
  /* Somebody else with a copy of the spool has claimed it since. */
  do_sql(
      database,
      "UPDATE aurore.lane SET owner = gen_random_uuid(), host = 'elsewhere'");
  ck_assert_int_ne(au_claim_make(&claim, database, lane, &error), AU_OK);
  ck_assert_int_eq(error.fault, AU_FAULT_FENCED);
  ck_assert_ptr_nonnull(strstr(error.message, "elsewhere"));
}

TEST(database_older_than_the_spool_goes_on) {
  append(0, 10, "x");
  take(10);
  store();
  do_sql(database,
         "UPDATE aurore.lane SET next_seq = 4"); /* as after a restore */
  must(au_claim_make(&claim, database, lane, &error));
  ck_assert_uint_eq(claim.next_seq, 11);
  append(10, 5, "y");
  take(10);
  ck_assert_uint_eq(store(), 1);
  ck_assert_int_eq(number("SELECT next_seq FROM aurore.lane"), 16);
}

/* A spool in a directory, opened anew: what an earlier opening stored is in the
 * database, and the database has three more events of it than the files hold,
 * as when they were restored from a backup or had not reached the disk. */
static char directory[64];

static void reopen(au_durability_t durability) {
  char text[256] = "";
  au_buffer_destroy(buffer);
  const au_buffer_config_t config = {.lanes = 1,
                                     .capacity = 100000,
                                     .max_bytes = 8 << 20,
                                     .directory = directory,
                                     .durability = durability,
                                     .sync_interval_s = 1};
  ck_assert_msg(au_buffer_open(&config, &buffer, text, sizeof(text)) == AU_OK,
                "%s", text);
  lane = au_buffer_lane(buffer, 0);
  claim = (au_claim_t){.spool_id = au_spool_id(au_lane_spool(lane))};
}

/* The files of the first opening, with five events stored, and then a number of
 * openings that accept "count" events each and never reach the database. */
static void fall_behind(au_durability_t durability, unsigned openings,
                        unsigned count) {
  make_directory(directory);
  reopen(AU_DURABILITY_MEMORY);
  must(au_claim_make(&claim, database, lane, &error));
  append(0, 5, "before");
  take(10);
  store();
  do_sql(database, "UPDATE aurore.lane SET next_seq = 9 WHERE next_seq = 6");
  for (unsigned i = 0; i < openings; i++) {
    reopen(AU_DURABILITY_MEMORY); /* how they are accepted does not matter */
    append(10 + i * count, count, "after");
  }
  reopen(durability);
}

static void discard_spool(void) {
  au_buffer_destroy(buffer);
  buffer = NULL;
  remove_directory(directory);
}

/* What was accepted before the first claim reaches past the place that the
 * database knows: it must not hide that the files are old. */
TEST_EACH(restored_spool_is_fenced_whatever_it_accepted, 3) {
  fall_behind(AU_DURABILITY_COMMIT, (unsigned)_i, 10);
  for (int again = 0; again < 2; again++) {
    ck_assert_int_ne(au_claim_make(&claim, database, lane, &error), AU_OK);
    ck_assert_int_eq(error.fault, AU_FAULT_FENCED);
    ck_assert_ptr_nonnull(strstr(error.message, "3 events"));
    reopen(AU_DURABILITY_COMMIT);
  }
  ck_assert_int_eq(
      number("SELECT next_seq FROM aurore.lane WHERE next_seq > 1"), 9);
  discard_spool();
}

TEST_EACH(spool_that_lost_its_tail_stores_all_it_accepted_since, 3) {
  fall_behind(AU_DURABILITY_INTERVAL, (unsigned)_i, 10);
  append(100, 7, "last");
  must(au_claim_make(&claim, database, lane, &error));
  ck_assert_uint_eq(claim.next_seq, 6);
  while (au_lane_waiting(lane) > 0) {
    take(1000);
    au_batch_skip(&batch, claim.next_seq);
    store();
  }
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"),
                   5 + _i * 10 + 7);
  ck_assert_int_eq(number("SELECT count(DISTINCT event_id) FROM aurore.event"),
                   5 + _i * 10 + 7);
  discard_spool();
}

/* --- damage and other oddities -------------------------------------------- */

/* All that waits is in one segment, and none of it can be read. */
static void make_gap(void) {
  make_directory(directory);
  reopen(AU_DURABILITY_MEMORY);
  must(au_claim_make(&claim, database, lane, &error));
  append(0, 5, "lost");
  char path[128];
  snprintf(path, sizeof(path), "%s/lane-00/%016d.segment", directory, 1);
  int fd = open(path, O_RDWR);
  ck_assert_int_ge(fd, 0);
  static const char junk[4096] = "no frame";
  ck_assert_int_eq(pwrite(fd, junk, sizeof(junk), 4096), sizeof(junk));
  close(fd);
}

TEST_EACH(rows_that_cannot_be_read_are_passed, 3) {
  make_gap();
  append(5, 5, "there");
  take(10);
  ck_assert_uint_eq(batch.slab.count, 0);
  ck_assert(batch.is_gap);
  ck_assert(!au_batch_is_done(&batch));
  if (_i == 0) {
    ck_assert_uint_eq(store(), 1);
  } else {
    must(au_batch_store(&batch, database, &claim, &error));
    batch.is_gap = true; /* as if the answer had been lost */
    must(au_claim_make(&claim, database, lane, &error));
    if (_i == 1)
      au_batch_settle(&batch, claim.next_seq);
    else
      take(10);
    if (_i == 2)
      au_batch_skip(&batch, claim.next_seq);
    ck_assert(au_batch_is_done(&batch));
    au_lane_commit(lane, au_batch_position(&batch));
  }
  ck_assert_int_eq(number("SELECT max(next_seq) FROM aurore.lane"), 6);
  ck_assert_uint_eq(au_lane_waiting(lane), 5);
  take(10);
  ck_assert_uint_eq(store(), 1);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 5);
  discard_spool();
}

TEST_EACH(long_reason_is_cut_between_characters, 3) {
  append(0, 1, "any");
  take(10);
  error = (au_database_error_t){.fault = AU_FAULT_ROW, .sqlstate = "23514"};
  char text[512] = "";
  for (size_t i = 0; i < (size_t)_i; i++)
    strcat(text, "x");
  for (int i = 0; i < 100; i++)
    strcat(text, "\xE2\x82\xAC");
  snprintf(error.message, sizeof(error.message), "%s", text);
  ck_assert(au_batch_set_aside(&batch, 0, &error));
  size_t length = strlen(batch.dead[0].refusal.reason);
  ck_assert_uint_le(length, sizeof(batch.dead[0].refusal.reason) - 1);
  ck_assert_uint_ge(length, sizeof(batch.dead[0].refusal.reason) - 4);
  ck_assert_uint_eq((length - (size_t)_i) % 3, 0);
  ck_assert_uint_eq(store(), 1);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 1);
}

/* Somebody has put something else in the place of the function. */
TEST_EACH(unexpected_answer_of_claim_is_an_error, 6) {
  static const char *const bodies[] = {
      "SELECT 1::bigint, 1, 1::bigint, false WHERE false",
      "SELECT NULL::bigint, 1, 1::bigint, false",
      "SELECT 1::bigint, NULL::integer, 1::bigint, false",
      "SELECT 1::bigint, 1, NULL::bigint, false",
      "SELECT 1::bigint, 1, 1::bigint, NULL::boolean",
      "SELECT 1, 1, 1, false UNION ALL SELECT 1, 1, 1, false"};
  do_sqlf(database,
          "CREATE OR REPLACE FUNCTION aurore.claim_lane(p_spool uuid, p_lane "
          "smallint, p_owners uuid[], p_ends bigint[], p_oldest bigint, "
          "p_may_fall_back boolean, p_host text) RETURNS TABLE (next_seq "
          "bigint, epoch integer, found_seq bigint, is_new boolean) "
          "LANGUAGE sql AS '%s'",
          bodies[_i]);
  ck_assert_int_eq(au_claim_make(&claim, database, lane, &error), AU_INVALID);
  ck_assert_int_eq(error.fault, AU_FAULT_DATABASE);
  ck_assert_ptr_nonnull(
      strstr(error.message, "unexpected result of aurore.claim_lane"));
}

int main(void) { return run_database_tests("batch"); }
