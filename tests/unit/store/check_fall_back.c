/* SPDX-License-Identifier: MIT
 *
 * A database that falls back to an earlier time: the lane goes back with it and
 * stores again what is kept, each event once; what is not kept is told, once.
 * Against a real PostgreSQL, whose tables are put back as a restore would.
 */
#include "base/clock.h"
#include "metrics/metrics.h"
#include "spool/buffer.h"
#include "store/batch.h"
#include "support/judge.h"
#include "support/log_capture.h"
#include "support/own_database.h"
#include "support/rows.h"
#include "support/suite.h"

#include <ftw.h>
#include <stdlib.h>

static char directory[64];
static au_buffer_t *buffer;
static au_claim_t claim;
static au_batch_t batch;
static au_blame_t blame;
static au_database_error_t error;
static au_buffer_config_t config;

static au_lane_t *lane(void) { return au_buffer_lane(buffer, 0); }
static au_spool_t *spool(void) { return au_lane_spool(lane()); }

static void open_buffer(void) {
  char text[256] = "";
  ck_assert_msg(au_buffer_open(&config, &buffer, text, sizeof(text)) == AU_OK,
                "%s", text);
  claim = (au_claim_t){.spool_id = au_spool_id(spool()), .lane = 0};
}

static void must_claim(void) {
  au_status_t status = au_claim_make(&claim, database, lane(), &error);
  ck_assert_done(status, error);
}

/* A new process. */
static void restart(void) {
  au_batch_fini(&batch);
  au_buffer_destroy(buffer);
  open_buffer();
}

static void start(void) {
  au_metrics_reset();
  ignore_log();
  set_up_database();
  make_schema(1);
  snprintf(directory, sizeof(directory), "/tmp/check_fall_back_XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(directory));
  config = (au_buffer_config_t){.lanes = 1,
                                .capacity = 100000,
                                .max_bytes = 1 << 30,
                                .directory = directory,
                                .durability = AU_DURABILITY_INTERVAL,
                                .sync_interval_s = 60,
                                .keep_s = 3600,
                                .keep_bytes = 64 << 20};
  open_buffer();
  must_claim();
}

static int remove_file(const char *path, const struct stat *info, int type,
                       struct FTW *walk) {
  (void)info;
  (void)type;
  (void)walk;
  return remove(path);
}

static void stop(void) {
  au_blame_fini(&blame);
  au_batch_fini(&batch);
  au_buffer_destroy(buffer);
  nftw(directory, remove_file, 8, FTW_DEPTH | FTW_PHYS);
  tear_down_database();
}

static void append(unsigned count, const char *message) {
  au_rows_t rows = {.count = 0};
  au_waiter_t waiter = {.done = never_done};
  for (unsigned i = 0; i < count; i++)
    put_event(&rows, au_clock_wall_us(), "service", message, i);
  ck_assert_int_eq(au_buffer_append(buffer, &rows, &waiter), AU_OK);
  au_rows_fini(&rows);
}

/* All that waits, as the writer does. */
static void store(void) {
  while (au_lane_waiting(lane()) > 0) {
    ck_assert_int_eq(au_batch_take(&batch, lane(), 7, 8 << 20), AU_OK);
    au_batch_skip(&batch, claim.next_seq);
    au_blame_begin(&blame);
    while (!au_batch_is_done(&batch)) {
      if (au_batch_store(&batch, database, &claim, &error) == AU_OK) {
        au_blame_stored(&blame, &batch);
        continue;
      }
      ck_assert_msg(error.fault == AU_FAULT_ROW, "%s %s", error.sqlstate,
                    error.message);
      ck_assert(judge(&blame, &batch, lane(), database, &claim, &error, NULL));
    }
    claim.next_seq = au_batch_position(&batch).seq;
    au_lane_commit(lane(), au_batch_position(&batch));
  }
}

static void append_and_store(unsigned count) {
  append(count, "kept");
  store();
}

static const char *const tables[] = {"lane", "event", "dead_letter",
                                     "event_count"};

/* A backup of the database. */
static void back_up(void) {
  do_sql(database, "DROP SCHEMA IF EXISTS saved CASCADE; CREATE SCHEMA saved");
  for (int i = 0; i < COUNT_OF(tables); i++)
    do_sqlf(database, "CREATE TABLE saved.%s AS SELECT * FROM aurore.%s",
            tables[i], tables[i]);
}

static void restore(void) {
  for (int i = 0; i < COUNT_OF(tables); i++)
    do_sqlf(database,
            "DELETE FROM aurore.%s; "
            "INSERT INTO aurore.%s SELECT * FROM saved.%s",
            tables[i], tables[i], tables[i]);
}

static uint64_t counted(au_metric_t metric) {
  return au_metrics_counter(metric, 0);
}

/* Each event is there once, and so are the counters; nothing is out of balance:
 * accepted + replayed = processed + dead lettered + buffered. */
static void check_stored(long events) {
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), events);
  ck_assert_int_eq(number("SELECT count(DISTINCT event_id) FROM aurore.event"),
                   events);
  ck_assert_int_eq(number("SELECT sum(n) FROM aurore.event_count"), events);
  au_buffer_usage_t usage;
  au_buffer_usage(buffer, &usage);
  ck_assert_uint_eq(usage.events, 0);
  ck_assert_uint_eq(
      counted(AU_M_EVENTS_ENQUEUED) + counted(AU_M_EVENTS_REPLAYED),
      counted(AU_M_EVENTS_PROCESSED) + counted(AU_M_DEAD_LETTERS));
}

CASE_IF(has_server, "fall_back", start, stop);

TEST_EACH(lane_goes_back_with_the_database, 2) {
  append_and_store(20);
  back_up();
  append_and_store(30);
  check_stored(50);
  append(5, "waits");
  restore();
  if (_i == 1)
    restart();
  must_claim();
  ck_assert_uint_eq(claim.next_seq, 21);
  ck_assert_uint_eq(au_lane_waiting(lane()), 35);
  ck_assert_uint_eq(counted(AU_M_EVENTS_REPLAYED), 30);
  ck_assert_uint_eq(counted(AU_M_EVENTS_LOST), 0);
  store();
  check_stored(55);
}

/* It may fall back again while it is stored again, and to before. */
TEST(lane_goes_back_more_than_once) {
  append_and_store(20);
  back_up();
  append_and_store(30);
  restore();
  must_claim();
  ck_assert_int_eq(au_batch_take(&batch, lane(), 7, 8 << 20), AU_OK);
  ck_assert_int_eq(au_batch_store(&batch, database, &claim, &error), AU_OK);
  au_lane_commit(lane(), au_batch_position(&batch));
  restore();
  must_claim();
  ck_assert_uint_eq(claim.next_seq, 21);
  au_batch_forget(&batch);
  ck_assert(au_batch_is_done(&batch));
  ck_assert_uint_eq(counted(AU_M_EVENTS_REPLAYED), 37);
  store();
  check_stored(50);
}

/* It holds the token of an earlier opening, or of one before that. */
TEST(token_of_an_earlier_time_is_ours) {
  append_and_store(10);
  back_up();
  for (int start = 0; start < 3; start++) {
    restart();
    must_claim();
    append_and_store(10);
  }
  restore();
  restart();
  must_claim();
  ck_assert_uint_eq(claim.next_seq, 11);
  store();
  ck_assert_int_eq(number("SELECT count(DISTINCT event_id) FROM aurore.event"),
                   40);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 40);
}

TEST(token_that_was_never_ours_fences) {
  append_and_store(10);
  do_sql(database, "UPDATE aurore.lane SET owner = gen_random_uuid()");
  restart();
  ck_assert_int_eq(au_claim_make(&claim, database, lane(), &error), AU_FENCED);
  ck_assert_ptr_nonnull(strstr(error.message, "another copy"));
  ck_assert_uint_eq(au_lane_waiting(lane()), 0);
  ck_assert_uint_eq(counted(AU_M_EVENTS_REPLAYED), 0);
}

/* A spool that is older than the database has the token, but not the events.
 */
TEST(place_ahead_of_an_older_spool_fences) {
  au_buffer_destroy(buffer);
  config.durability = AU_DURABILITY_COMMIT;
  open_buffer();
  must_claim();
  do_sql(database, "UPDATE aurore.lane SET next_seq = 1000");
  restart();
  ck_assert_int_eq(au_claim_make(&claim, database, lane(), &error), AU_FENCED);
  ck_assert_ptr_nonnull(strstr(error.message, "restored from a backup"));
  ck_assert_ptr_nonnull(strstr(error.message, "999 events"));
}

/* What is not kept is lost: as many as are told. */
TEST_EACH(what_is_not_kept_is_told, 2) {
  au_batch_fini(&batch);
  au_buffer_destroy(buffer);
  if (_i == 0)
    config.keep_s = 0;
  else
    config.keep_bytes = 1 << 20; /* of which a segment holds all */
  open_buffer();
  must_claim();
  append_and_store(20);
  back_up();
  for (int i = 0; i < 12; i++)
    append_and_store(1000);
  uint64_t kept = au_spool_kept_seq(spool());
  ck_assert_uint_gt(kept, 21);
  restore();
  must_claim();
  uint64_t lost = counted(AU_M_EVENTS_LOST);
  ck_assert_uint_eq(lost, kept - 21);
  ck_assert_uint_eq(claim.next_seq, kept);
  append(5, "new");
  store();
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"),
                   12025 - (long)lost);
  check_stored(12025 - (long)lost);
  ck_assert_uint_eq(counted(AU_M_EVENTS_LOST), lost);
}

/* The answer that moved the place on was lost, or the place was not moved. */
TEST(what_is_lost_is_told_once) {
  config.keep_s = 0;
  au_buffer_destroy(buffer);
  open_buffer();
  must_claim();
  append_and_store(20);
  back_up();
  append_and_store(30);
  for (int i = 0; i < 3; i++) {
    restore();
    must_claim();
    ck_assert_uint_eq(counted(AU_M_EVENTS_LOST), 30);
    ck_assert_uint_eq(claim.next_seq, 51);
  }
  /* To before: only what had been there until now. */
  do_sql(database, "UPDATE aurore.lane SET next_seq = 16");
  must_claim();
  ck_assert_uint_eq(counted(AU_M_EVENTS_LOST), 35);
  /* And what was stored since. */
  append_and_store(10);
  do_sql(database, "UPDATE aurore.lane SET next_seq = 16");
  must_claim();
  ck_assert_uint_eq(counted(AU_M_EVENTS_LOST), 45);
  do_sql(database, "UPDATE aurore.lane SET next_seq = 61");
  append_and_store(10);
  do_sql(database, "UPDATE aurore.lane SET next_seq = 65");
  must_claim();
  ck_assert_uint_eq(counted(AU_M_EVENTS_LOST), 51);
}

/* Another database, or one from before the lane: what is kept is stored, and
 * nothing is said to be lost. */
TEST(database_that_does_not_know_the_lane_gets_what_is_kept) {
  back_up();
  do_sql(database, "DELETE FROM saved.lane");
  append_and_store(30);
  restore();
  must_claim();
  ck_assert_uint_eq(claim.next_seq, 1);
  store();
  check_stored(30);
  ck_assert_uint_eq(counted(AU_M_EVENTS_LOST), 0);
}

/* --- dead letters ----------------------------------------------------------
 */

static void refuse_poison(void) {
  do_sql(database, "ALTER TABLE aurore.event ADD CONSTRAINT no_poison "
                   "CHECK (message NOT LIKE 'poison%')");
}

static void accept_poison(void) {
  do_sql(database, "ALTER TABLE aurore.event DROP CONSTRAINT no_poison");
}

/* As PATCH /dlq/ID/reprocess: into the buffer, and marked. */
static void put_back(const char *dead_letter) {
  au_event_t event = {.id = au_uuid_v7(),
                      .ingested_at_us = au_clock_wall_us(),
                      .occurred_at_us = au_clock_wall_us(),
                      .service = {.data = "service", .size = 7},
                      .message = {.data = "poison", .size = 6}};
  const char *id = ask(database, "SELECT event_id FROM aurore.dead_letter");
  ck_assert(au_uuid_parse(id, strlen(id), &event.id));
  au_uuid_t letter;
  ck_assert(au_uuid_parse(dead_letter, strlen(dead_letter), &letter));
  au_rows_t rows = {.count = 0};
  au_waiter_t waiter = {.done = never_done};
  ck_assert_int_eq(au_rows_append_reprocess(&rows, &event, &letter), AU_OK);
  ck_assert_int_eq(au_buffer_append(buffer, &rows, &waiter), AU_OK);
  au_rows_fini(&rows);
  do_sqlf(database, "SELECT aurore.mark_dead_letter('%s', 1)", dead_letter);
}

/* The same dead letter, also when it is refused again. */
TEST(dead_letter_is_set_aside_again) {
  refuse_poison();
  append_and_store(3);
  back_up();
  append(1, "poison");
  store();
  char id[64];
  snprintf(id, sizeof(id), "%s",
           ask(database, "SELECT id FROM aurore.dead_letter"));
  ck_assert_uint_eq(strlen(id), 36);
  restore();
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 0);
  must_claim();
  store();
  ck_assert_str_eq(ask(database, "SELECT id FROM aurore.dead_letter"), id);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), 1);
  check_stored(3);
}

/* Put back and stored, then the database falls back to: 0 when it was refused
 * already, 1 before that, 2 before that while it is refused again at first, and
 * then its second row finds its dead letter. Once in each case. */
TEST_EACH(event_that_was_put_back_is_stored_again, 3) {
  refuse_poison();
  append_and_store(3);
  if (_i != 0)
    back_up();
  append(1, "poison");
  store();
  if (_i == 0)
    back_up();
  char id[64];
  snprintf(id, sizeof(id), "%s",
           ask(database, "SELECT id FROM aurore.dead_letter"));
  put_back(id);
  accept_poison();
  store();
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 4);
  restore();
  if (_i == 2)
    refuse_poison();
  must_claim();
  store();
  if (_i == 2) { /* as before it was put back: it waits for somebody */
    ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 3);
    ck_assert_str_eq(ask(database, "SELECT id FROM aurore.dead_letter "
                                   "WHERE NOT reprocessed"),
                     id);
    accept_poison();
    put_back(id);
    store();
  }
  check_stored(4);
}

int main(void) { return run_database_tests("fall_back"); }
