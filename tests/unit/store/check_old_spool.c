/* SPDX-License-Identifier: MIT
 *
 * What waits in the spool of an older release is stored, each event once,
 * whatever became of the process meanwhile; against a real PostgreSQL.
 */
#include "metrics/metrics.h"
#include "spool/buffer.h"
#include "store/batch.h"
#include "support/old_spool.h"
#include "support/own_database.h"
#include "support/rows.h"

#define FIRST_SEQ 4
#define END_SEQ 18
/* 4 to 7, 8 and 9 each alone, 10 to 17; which are in three segments. */
#define TRANSACTIONS_MAX 6

static char directory[64];
static au_buffer_t *buffer;
static au_lane_t *lane;
static au_claim_t claim;
static au_batch_t batch;
static au_database_error_t error;

static void open_buffer(void) {
  const au_buffer_config_t config = {.lanes = 1,
                                     .capacity = 1000,
                                     .max_bytes = 8 << 20,
                                     .directory = directory,
                                     .durability = AU_DURABILITY_MEMORY,
                                     .sync_interval_s = 1};
  char text[256] = "";
  au_status_t status = au_buffer_open(&config, &buffer, text, sizeof(text));
  ck_assert_msg(status == AU_OK, "%s", text);
  lane = au_buffer_lane(buffer, 0);
  claim = (au_claim_t){.spool_id = au_spool_id(au_lane_spool(lane))};
  status = au_claim_make(&claim, database, lane, &error);
  ck_assert_done(status, error);
}

static void start(int version) {
  au_metrics_reset();
  set_up_database();
  migrate(database);
  ensure(database, INT64_C(20051), INT64_C(20051)); /* 2024-11-24 */
  for (int i = 1; i <= 2; i++) {
    do_sqlf(database,
            "INSERT INTO aurore.dead_letter (id, event_id, service, event, "
            "failure_reason, spool_id, lane, seq, reprocessed) VALUES "
            "('d1000000-0000-4000-8000-00000000000%d', gen_random_uuid(), "
            "'s', '', 'r', gen_random_uuid(), 0, %d, true)",
            i, i);
  }
  make_directory(directory);
  copy_old_spool(version, directory);
  open_buffer();
}

static void stop(void) {
  au_batch_fini(&batch);
  au_buffer_destroy(buffer);
  remove_directory(directory);
  tear_down_database();
}

static void take(size_t rows) {
  ck_assert_int_eq(au_batch_take(&batch, lane, rows, 8 << 20), AU_OK);
}

/* Stores up to that many transactions of all that waits, as the writer does;
 * returns how many it took. */
static unsigned store(unsigned max) {
  unsigned transactions = 0;
  while (transactions < max && au_lane_waiting(lane) > 0) {
    take(1000);
    while (transactions < max && !au_batch_is_done(&batch)) {
      ck_assert_done(au_batch_store(&batch, database, &claim, &error), error);
      transactions++;
    }
    au_lane_commit(lane, au_batch_position(&batch));
  }
  return transactions;
}

static void assert_all_stored_once(void) {
  ck_assert_str_eq(
      ask(database,
          "SELECT count(*) || ' ' || count(DISTINCT event_id) || ' ' || "
          "(SELECT sum(n) FROM aurore.event_count) || ' ' || "
          "(SELECT count(stored_at) FROM aurore.dead_letter) "
          "FROM aurore.event"),
      "14 14 14 2");
  ck_assert_str_eq(
      ask(database,
          "SELECT string_agg(right(event_id::text, 2), ' ' ORDER BY event_id) "
          "FROM aurore.event"),
      "04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11");
  ck_assert_uint_eq(au_metrics_counter(AU_M_DEAD_LETTERS, 0), 0);
  ck_assert_uint_eq(au_metrics_counter(AU_M_SPOOL_DAMAGED, 0), 0);
}

static void assert_row(unsigned number, const char *condition) {
  char sql[1024];
  snprintf(sql, sizeof(sql),
           "SELECT %s AND ingested_at = '2024-11-24 08:44:26.123456+00'"
           "::timestamptz + interval '%u microseconds' FROM aurore.event "
           "WHERE event_id = 'e0000000-0000-4000-8000-0000000000%02x'",
           condition, number, number);
  ck_assert_msg(strcmp(ask(database, sql), "t") == 0, "%u", number);
}

CASE("old_spool", NULL, stop);

TEST_EACH(each_event_is_stored_as_it_was, OLD_SPOOLS) {
  start(_i + 1);
  ck_assert_uint_eq(au_lane_waiting(lane), END_SEQ - FIRST_SEQ);
  ck_assert_uint_le(store(100), TRANSACTIONS_MAX);
  assert_all_stored_once();
  assert_row(4, "occurred_at = '2024-11-24 08:44:26+00' AND service = 'auth' "
                "AND message = 'login' AND metadata = '{\"a\": 1}'");
  assert_row(5, "occurred_at = '1970-01-01 00:00:00+00' AND service = 's' "
                "AND message = 'm' AND metadata IS NULL");
  assert_row(6, "occurred_at = '2100-12-31 23:59:59.999999+00' AND "
                "service = U&'\\00e9\\20ac\\+01f600' AND message = "
                "E'line\\nline\\ttab\\\\ ''quote'' \\x01' AND metadata->'k'->2 "
                "= U&'{\"x\": null, \"\\00e9\": \"\\\\\"\\\\u0001\"}'::jsonb");
  assert_row(7, "occurred_at = '1999-12-31 23:59:59.999999+00' AND "
                "service = U&' \\00b5' AND metadata = '{}'");
  assert_row(8, "occurred_at = '2024-11-24 08:44:26.123456+00' AND service = "
                "'it''s' AND message = U&'put back \\\\ '' "
                "\\00e9\\+01f600\\000a' AND metadata->>'a' = '\\ '''");
  assert_row(9, "service = 'shop' AND message = 'put back, no metadata' AND "
                "metadata IS NULL");
  for (unsigned number = 10; number < END_SEQ; number++)
    assert_row(number, "service = 'bulk' AND message = repeat('x', 599)");
}

/* The two that are put back name their dead letters; all others are new. */
TEST_EACH(marks_are_those_that_were_written, OLD_SPOOLS) {
  start(_i + 1);
  size_t seen = 0;
  au_slab_t slab = {.count = 0};
  au_position_t at = au_spool_begin(au_lane_spool(lane));
  for (; at.seq < END_SEQ; at = slab.end) {
    ck_assert_int_eq(au_spool_read(au_lane_spool(lane), at, 3, 1 << 20, &slab),
                     AU_OK);
    for (size_t i = 0; i < slab.count; i++, seen++) {
      const au_row_t row = au_slab_row(&slab, i);
      uint64_t seq = slab.first_seq + i;
      ck_assert_int_eq(row.kind,
                       seq == 8 || seq == 9 ? AU_ROW_REPROCESS : AU_ROW_EVENT);
      if (row.kind == AU_ROW_REPROCESS)
        ck_assert_uint_eq(row.dead_letter_id.byte[15], seq - 7);
      au_event_t event;
      ck_assert_int_eq(au_row_decode(row.tuple, row.size, &event), AU_OK);
      ck_assert_uint_eq(event.id.byte[15], seq);
    }
  }
  au_slab_fini(&slab);
  ck_assert_uint_eq(seen, END_SEQ - FIRST_SEQ);
}

/* The process dies after each number of transactions, before the spool is
 * trimmed: what was stored is passed over at the next start. */
TEST_EACH(what_was_stored_is_not_stored_again, 4 * OLD_SPOOLS) {
  start(_i % OLD_SPOOLS + 1);
  take(1000);
  for (int i = 0; i < _i / OLD_SPOOLS && !au_batch_is_done(&batch); i++)
    ck_assert_done(au_batch_store(&batch, database, &claim, &error), error);
  au_buffer_destroy(buffer);
  open_buffer();
  take(1000);
  au_batch_skip(&batch, claim.next_seq);
  au_lane_commit(lane, au_batch_position(&batch));
  store(100);
  assert_all_stored_once();
}

/* New events follow the old ones, in segments of the present release. */
TEST_EACH(new_rows_follow_the_old_ones, OLD_SPOOLS) {
  start(_i + 1);
  au_rows_t rows = {.count = 0};
  au_waiter_t waiter = {.done = never_done};
  put_event(&rows, INT64_C(1732437866123456), "new", "event", 1);
  ck_assert_int_eq(au_buffer_append(buffer, &rows, &waiter), AU_OK);
  au_rows_fini(&rows);
  store(2);
  au_buffer_destroy(buffer);
  open_buffer();
  store(100);
  ck_assert_str_eq(
      ask(database, "SELECT count(*) || ' ' || count(DISTINCT event_id) || ' ' "
                    "|| count(*) FILTER (WHERE service = 'new') "
                    "FROM aurore.event"),
      "15 15 1");
}

int main(void) { return run_database_tests("old_spool"); }
