/* SPDX-License-Identifier: MIT
 *
 * The event of a dead letter is put back and stored once, whatever became of
 * the process, of the dead letter or of other copies meanwhile; against a real
 * PostgreSQL.
 */
#include "base/clock.h"
#include "metrics/metrics.h"
#include "spool/buffer.h"
#include "store/batch.h"
#include "support/judge.h"
#include "support/own_database.h"
#include "support/rows.h"
#include "support/suite.h"

#define LANES 2

static au_buffer_t *buffer;
static au_claim_t claim[LANES];
static au_batch_t batch[LANES];
static au_blame_t blame[LANES];
static au_database_error_t error;

/* Two lanes, so two spools, on one database. */
static void start(void) {
  au_metrics_reset();
  set_up_database();
  make_schema(1);
  const au_buffer_config_t config = {
      .lanes = LANES, .capacity = 100000, .max_bytes = 1 << 30};
  char text[256] = "";
  ck_assert_int_eq(au_buffer_open(&config, &buffer, text, sizeof(text)), AU_OK);
  for (unsigned i = 0; i < LANES; i++) {
    au_lane_t *lane = au_buffer_lane(buffer, i);
    claim[i] =
        (au_claim_t){.spool_id = au_spool_id(au_lane_spool(lane)), .lane = i};
    au_status_t status = au_claim_make(&claim[i], database, lane, &error);
    ck_assert_done(status, error);
  }
}

static void stop(void) {
  for (unsigned i = 0; i < LANES; i++) {
    au_batch_fini(&batch[i]);
    au_blame_fini(&blame[i]);
  }
  au_buffer_destroy(buffer);
  tear_down_database();
}

/* Rows in one lane, whichever turn it is. */
static void append(unsigned lane, const au_rows_t *rows) {
  au_waiter_t waiter = {.done = never_done};
  au_spool_t *spool = au_lane_spool(au_buffer_lane(buffer, lane));
  ck_assert_int_eq(au_spool_append(spool, rows, &waiter), AU_OK);
}

static au_event_t sample(void) {
  return (au_event_t){
      .id = au_uuid_v7(),
      .ingested_at_us = au_clock_wall_us(),
      .occurred_at_us = INT64_C(1732437866123456),
      .service = {.data = "it's", .size = 4},
      .message = {.data = "poison \\ ' \xC3\xA9\xF0\x9F\x98\x80\n", .size = 18},
      .metadata = {.data = "{\"a\":\"\\\\ '\"}", .size = 12}};
}

static void put_back(unsigned lane, const au_event_t *event,
                     const char *dead_letter) {
  au_rows_t rows = {.count = 0};
  au_uuid_t id;
  ck_assert(au_uuid_parse(dead_letter, strlen(dead_letter), &id));
  ck_assert_int_eq(au_rows_append_reprocess(&rows, event, &id), AU_OK);
  append(lane, &rows);
  au_rows_fini(&rows);
}

static void take(unsigned lane) {
  au_status_t status =
      au_batch_take(&batch[lane], au_buffer_lane(buffer, lane), 10000, 8 << 20);
  ck_assert_int_eq(status, AU_OK);
  au_blame_begin(&blame[lane]);
}

/* All that waits in the lane, as the writer does; returns the transactions. */
static unsigned store(unsigned lane) {
  unsigned transactions = 0;
  take(lane);
  while (!au_batch_is_done(&batch[lane])) {
    if (au_batch_store(&batch[lane], database, &claim[lane], &error) == AU_OK) {
      transactions++;
      au_blame_stored(&blame[lane], &batch[lane]);
      continue;
    }
    ck_assert_msg(error.fault == AU_FAULT_ROW, "%s %s", error.sqlstate,
                  error.message);
    ck_assert(judge(&blame[lane], &batch[lane], au_buffer_lane(buffer, lane),
                    database, &claim[lane], &error, NULL));
  }
  au_lane_commit(au_buffer_lane(buffer, lane), au_batch_position(&batch[lane]));
  return transactions;
}

static void refuse_poison(void) {
  do_sql(database, "ALTER TABLE aurore.event ADD CONSTRAINT no_poison "
                   "CHECK (message NOT LIKE 'poison%')");
}

static void allow_poison(void) {
  do_sql(database, "ALTER TABLE aurore.event DROP CONSTRAINT no_poison");
}

/* An event that was refused, and the id of its dead letter. */
static au_event_t dead_letter(char id[64]) {
  refuse_poison();
  au_event_t event = sample();
  au_rows_t rows = {.count = 0};
  ck_assert_int_eq(au_rows_append(&rows, &event), AU_OK);
  append(0, &rows);
  au_rows_fini(&rows);
  ck_assert_uint_eq(store(0), 1);
  snprintf(id, 64, "%.36s", ask(database, "SELECT id FROM aurore.dead_letter"));
  ck_assert_str_ne(id, "");
  event.ingested_at_us = au_clock_wall_us();
  return event;
}

static void assert_stored_once(void) {
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 1);
  ck_assert_int_eq(number("SELECT sum(n) FROM aurore.event_count"), 1);
}

/* accepted = stored + dead lettered + buffered, and stored is what is there. */
static void assert_usage(void) {
  uint64_t stored = au_metrics_counter(AU_M_EVENTS_PROCESSED, 0);
  uint64_t dead = au_metrics_counter(AU_M_DEAD_LETTERS, 0);
  uint64_t waiting = 0;
  for (unsigned i = 0; i < LANES; i++)
    waiting += au_lane_waiting(au_buffer_lane(buffer, i));
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_ENQUEUED, 0),
                    stored + dead + waiting);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), (long)stored);
}

CASE("reprocess", start, stop);

TEST(what_is_put_back_is_stored_as_it_was) {
  char id[64];
  au_event_t event = dead_letter(id);
  allow_poison();
  put_back(0, &event, id);
  ck_assert_uint_eq(store(0), 1);
  assert_stored_once();
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(&event.id, text);
  ck_assert_str_eq(ask(database, "SELECT event_id FROM aurore.event"), text);
  ck_assert_str_eq(
      ask(database, "SELECT occurred_at = '2024-11-24 08:44:26.123456+00' AND "
                    "service = 'it''s' AND message = "
                    "E'poison \\\\ '' \\u00e9\\U0001F600\\n' AND "
                    "metadata = E'{\"a\": \"\\\\\\\\ ''\"}'::jsonb "
                    "FROM aurore.event"),
      "t");
  char sql[160];
  snprintf(sql, sizeof(sql),
           "SELECT (extract(epoch FROM ingested_at) * 1000000)::bigint = "
           "%lld FROM aurore.event",
           (long long)event.ingested_at_us);
  ck_assert_str_eq(ask(database, sql), "t");
  ck_assert_str_eq(ask(database,
                       "SELECT minute = date_trunc('minute', ingested_at) "
                       "FROM aurore.event_count, aurore.event"),
                   "t");
  ck_assert_str_eq(ask(database, "SELECT reprocessed AND reprocessed_at IS NOT "
                                 "NULL AND stored_at IS NOT NULL AND "
                                 "retry_count = 1 FROM aurore.dead_letter"),
                   "t");
  assert_usage();
}

/* A process that died between keeping the row and marking the dead letter, and
 * one that put it back once more, maybe in another lane. */
TEST(second_row_is_passed_over) {
  char id[64];
  au_event_t event = dead_letter(id);
  allow_poison();
  put_back(0, &event, id);
  put_back(0, &event, id);
  put_back(1, &event, id);
  ck_assert_uint_eq(store(0), 2);
  ck_assert_uint_eq(store(1), 1);
  assert_stored_once();
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 1);
  assert_usage();
}

TEST(refused_again_waits_again) {
  char id[64];
  au_event_t event = dead_letter(id);
  put_back(0, &event, id);
  put_back(1, &event, id);
  do_sql(database, "UPDATE aurore.dead_letter SET reprocessed = true, "
                   "failure_reason = 'old', last_attempt_at = '2020-01-01'");
  store(0);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 0);
  static const char sql[] =
      "SELECT count(*) || ' ' || min(retry_count) || ' ' || "
      "bool_or(reprocessed) || ' ' || bool_and(sql_state = '23514' AND "
      "failure_reason LIKE '%no_poison%' AND last_attempt_at > '2026-01-01') "
      "FROM aurore.dead_letter";
  ck_assert_str_eq(ask(database, sql), "1 2 false true");
  store(1);
  ck_assert_str_eq(ask(database, sql), "1 3 false true");
  assert_usage();
  allow_poison();
  put_back(1, &event, id);
  store(1);
  assert_stored_once();
  assert_usage();
}

/* Among others: each of them in its place, and the others in few pieces. */
TEST(neighbours_are_stored_together) {
  char id[64];
  au_event_t event = dead_letter(id);
  au_rows_t rows = {.count = 0};
  for (unsigned i = 0; i < 1000; i++)
    put_event(&rows, au_clock_wall_us(), "other", i == 700 ? "poison" : "good",
              i);
  append(0, &rows);
  put_back(0, &event, id);
  append(0, &rows);
  put_back(0, &event, id);
  ck_assert_uint_lt(store(0), 70);
  au_rows_fini(&rows);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 1998);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 3);
  ck_assert_int_eq(number("SELECT max(retry_count) FROM aurore.dead_letter"),
                   3);
  ck_assert_int_eq(number("SELECT sum(n) FROM aurore.event_count"), 1998);
  assert_usage();
  /* Without a bad row: what is between them is one transaction each. */
  allow_poison();
  au_rows_t more = {.count = 0};
  for (unsigned i = 0; i < 1000; i++)
    put_event(&more, au_clock_wall_us(), "other", "fine", i);
  append(1, &more);
  put_back(1, &event, id);
  append(1, &more);
  append(1, &more);
  ck_assert_uint_eq(store(1), 3);
  au_rows_fini(&more);
  assert_usage();
}

/* Deleted while its event waits: what was promised is stored once, and then
 * nothing is left of it. */
TEST(deleted_letter_is_stored_once_and_gone) {
  char id[64];
  au_event_t event = dead_letter(id);
  allow_poison();
  do_sql(database, "UPDATE aurore.dead_letter SET reprocessed = true, "
                   "deleted_at = now()");
  put_back(0, &event, id);
  put_back(1, &event, id);
  store(0);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 0);
  store(1);
  assert_stored_once();
  assert_usage();
}

TEST(deleted_letter_that_is_refused_comes_back) {
  char id[64];
  au_event_t event = dead_letter(id);
  do_sql(database, "UPDATE aurore.dead_letter SET reprocessed = true, "
                   "deleted_at = now()");
  put_back(0, &event, id);
  store(0);
  ck_assert_str_eq(ask(database, "SELECT deleted_at IS NULL AND NOT reprocessed"
                                 " FROM aurore.dead_letter"),
                   "t");
  assert_usage();
}

/* Nobody was promised anything: the dead letter was deleted, not put back. */
TEST(letter_that_is_gone_is_not_stored) {
  char id[64];
  au_event_t event = dead_letter(id);
  allow_poison();
  put_back(0, &event, id);
  do_sql(database, "DELETE FROM aurore.dead_letter");
  ck_assert_uint_eq(store(0), 1);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 0);
  assert_usage();
}

/* Text that the server cannot hold, whatever it is, is that row's fault. */
TEST_EACH(garbled_row_harms_nobody, 3) {
  static const au_slice_t garbled[] = {{.data = "a\0b", .size = 3},
                                       {.data = "\xff\xfe", .size = 2},
                                       {.data = "{\"a\":", .size = 5}};
  char id[64];
  au_event_t event = dead_letter(id);
  allow_poison();
  if (_i == 2)
    event.metadata = garbled[_i];
  else
    event.message = garbled[_i];
  event.occurred_at_us = _i == 0 ? INT64_MIN : event.occurred_at_us;
  au_rows_t rows = {.count = 0};
  put_event(&rows, au_clock_wall_us(), "other", "good", 1);
  put_back(0, &event, id);
  append(0, &rows);
  store(0);
  au_rows_fini(&rows);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 1);
  ck_assert_int_eq(number("SELECT retry_count FROM aurore.dead_letter"), 2);
  assert_usage();
}

TEST(row_that_cannot_be_decoded_is_refused) {
  char id[64];
  au_event_t event = dead_letter(id);
  allow_poison();
  au_rows_t rows = {.count = 0};
  au_uuid_t uuid;
  ck_assert(au_uuid_parse(id, strlen(id), &uuid));
  ck_assert_int_eq(au_rows_append_reprocess(&rows, &event, &uuid), AU_OK);
  /* The version of the metadata is another one. */
  rows.bytes.data[rows.row[0].size - event.metadata.size - 1] = 9;
  append(0, &rows);
  au_rows_fini(&rows);
  ck_assert_uint_eq(store(0), 1);
  ck_assert_str_eq(ask(database, "SELECT sql_state || retry_count FROM "
                                 "aurore.dead_letter"),
                   "22P032");
  assert_usage();
}

/* The answer is lost, so that the same rows are taken and sent once more. */
TEST(lost_answer_does_not_store_twice) {
  char id[64];
  au_event_t event = dead_letter(id);
  allow_poison();
  put_back(0, &event, id);
  take(0);
  au_status_t status = au_batch_store(&batch[0], database, &claim[0], &error);
  ck_assert_done(status, error);
  take(0);
  ck_assert_int_ne(au_batch_store(&batch[0], database, &claim[0], &error),
                   AU_OK);
  ck_assert_int_eq(error.fault, AU_FAULT_FENCED);
  status =
      au_claim_make(&claim[0], database, au_buffer_lane(buffer, 0), &error);
  ck_assert_done(status, error);
  au_batch_settle(&batch[0], claim[0].next_seq);
  ck_assert(au_batch_is_done(&batch[0]));
  assert_stored_once();
}

TEST(missing_partition_is_not_the_rows_fault) {
  char id[64];
  au_event_t event = dead_letter(id);
  allow_poison();
  event.ingested_at_us += INT64_C(40) * 86400 * AU_US_PER_S;
  put_back(0, &event, id);
  take(0);
  ck_assert_int_ne(au_batch_store(&batch[0], database, &claim[0], &error),
                   AU_OK);
  ck_assert_int_eq(error.fault, AU_FAULT_PARTITION);
  int64_t day = au_schema_day(event.ingested_at_us);
  ensure(database, day, day);
  ck_assert_uint_eq(store(0), 1);
  assert_stored_once();
}

int main(void) { return run_database_tests("reprocess"); }
