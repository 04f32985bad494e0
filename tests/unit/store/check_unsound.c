/* SPDX-License-Identifier: MIT
 *
 * check_unsound - rows that wait in a lane although no release has made them:
 * each is set aside, its neighbours are stored, and the lane goes on.
 */
#include "api/dead_letter_query.h"
#include "base/clock.h"
#include "metrics/metrics.h"
#include "spool/buffer.h"
#include "store/batch.h"
#include "support/own_database.h"
#include "support/rows.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static au_buffer_t *buffer;
static au_lane_t *lane;
static au_batch_t batch;
static au_claim_t claim;
static au_database_error_t error;

static void start(void) {
  au_metrics_reset();
  set_up_database();
  make_schema(1);
  char text[256] = "";
  const au_buffer_config_t config = {
      .lanes = 1, .capacity = 1000, .max_bytes = 1 << 30};
  ck_assert_int_eq(au_buffer_open(&config, &buffer, text, sizeof(text)), AU_OK);
  lane = au_buffer_lane(buffer, 0);
  claim = (au_claim_t){.spool_id = au_spool_id(au_lane_spool(lane))};
  ck_assert_int_eq(au_claim_make(&claim, database, lane, &error), AU_OK);
}

static void stop(void) {
  au_batch_fini(&batch);
  au_buffer_destroy(buffer);
  tear_down_database();
}

static void append_rows(const au_rows_t *rows) {
  au_waiter_t waiter = {.done = never_done};
  ck_assert_int_eq(au_buffer_append(buffer, rows, &waiter), AU_OK);
}

static void append_event(unsigned number) {
  au_rows_t rows = {.count = 0};
  put_event(&rows, au_clock_wall_us(), "orders", "hello", number);
  append_rows(&rows);
  au_rows_fini(&rows);
}

static void append_bytes(const void *data, size_t size) {
  au_row_extent_t extent = {.size = (uint32_t)size};
  uint8_t *copy = malloc(size);
  ck_assert_ptr_nonnull(copy);
  memcpy(copy, data, size);
  append_rows(&(au_rows_t){
      .bytes = {.data = copy, .size = size}, .row = &extent, .count = 1});
  free(copy);
}

/* As the writer does; no row is blamed. */
static void store(void) {
  ck_assert_int_eq(au_batch_take(&batch, lane, 100, 1 << 20), AU_OK);
  while (!au_batch_is_done(&batch)) {
    au_status_t status = au_batch_store(&batch, database, &claim, &error);
    ck_assert_msg(status == AU_OK, "%s %s", error.sqlstate, error.message);
    au_lane_commit(lane, au_batch_position(&batch));
  }
}

/* A row of an event, which is changed and appended. */
static void append_changed(int what) {
  au_rows_t rows = {.count = 0};
  put_event(&rows, au_clock_wall_us(), "orders", "hello", 0);
  au_bytes_t *bytes = &rows.bytes;
  switch (what) {
  case 0: /* the end of a COPY */
    append_bytes("\377\377", 2);
    break;
  case 1: /* shorter than what is fixed */
    append_bytes(bytes->data, 7);
    break;
  case 2: /* the service claims to be longer than the row */
    memset(bytes->data + 46, 0x7F, 4);
    append_bytes(bytes->data, bytes->size);
    break;
  case 3: /* NUL in the service */
    bytes->data[51] = '\0';
    append_bytes(bytes->data, bytes->size);
    break;
  case 4: /* no UTF-8 in the service */
    bytes->data[51] = 0xFF;
    append_bytes(bytes->data, bytes->size);
    break;
  case 5: /* accepted in the year -290000 */
    bytes->data[6] = 0x80;
    append_bytes(bytes->data, bytes->size);
    break;
  default: /* two tuples */
    append_bytes(bytes->data, bytes->size);
    put_event(&rows, au_clock_wall_us(), "orders", "hello", 1);
    append_bytes(bytes->data, bytes->size);
    break;
  }
  au_rows_fini(&rows);
}

CASE("unsound", start, stop);

TEST_EACH(row_that_is_not_sound_is_set_aside, 7) {
  append_event(1);
  append_changed(_i);
  append_event(2);
  store();
  long good = _i == 6 ? 3 : 2;
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), good);
  ck_assert_int_eq(number("SELECT sum(n) FROM aurore.event_count"), good);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter WHERE "
                          "sql_state = '22P03' AND service = ''"),
                   1);
  ck_assert_int_eq(number("SELECT next_seq FROM aurore.lane"), good + 2);
  ck_assert_uint_eq(au_lane_waiting(lane), 0);
  ck_assert_uint_eq(au_metrics_counter(AU_M_DEAD_LETTERS, 0), 1);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0),
                    (uint64_t)good);
}

/* It would be set aside again. */
TEST_EACH(row_that_is_not_sound_is_not_put_back, 6) {
  append_changed(_i);
  store();
  const au_query_job_t job = {
      .deadline_ns = au_clock_monotonic_ns() + 60 * AU_NS_PER_S, .peer_fd = -1};
  au_dead_letter_t letter = {.retry_count = 0};
  const char *id = ask(database, "SELECT id FROM aurore.dead_letter");
  ck_assert(au_uuid_parse(id, strlen(id), &letter.id));
  ck_assert_int_eq(au_dead_letter_read(&job, database, &letter, &error), AU_OK);
  ck_assert(letter.is_found);
  ck_assert(!letter.is_decoded);
  au_dead_letter_fini(&letter);
}

/* Somebody has put something else in the place of the function. */
TEST_EACH(numbers_that_are_none_are_no_claim, 7) {
  static const char *const bodies[] = {"SELECT -1::bigint, 1, 1::bigint",
                                       "SELECT 1::bigint, -1, 1::bigint",
                                       "SELECT 1::bigint, 1, -1::bigint",
                                       "SELECT ''::text, ''::text, ''::text",
                                       "SELECT '1x'::text, '1', '1'",
                                       "SELECT '9223372036854775808', '1', '1'",
                                       "SELECT '1', '4294967296', '1'"};
  do_sql(database, "DROP FUNCTION aurore.claim_lane");
  do_sqlf(database,
          "CREATE FUNCTION aurore.claim_lane(p_spool uuid, p_lane smallint, "
          "p_owners uuid[], p_ends bigint[], p_oldest bigint, p_may_fall_back "
          "boolean, p_host text) RETURNS TABLE (next_seq %s, epoch %s, "
          "found_seq %s, is_new boolean) LANGUAGE sql AS $$%s, false$$",
          _i < 3 ? "bigint" : "text", _i < 3 ? "integer" : "text",
          _i < 3 ? "bigint" : "text", bodies[_i]);
  const au_claim_t before = claim;
  ck_assert_int_eq(au_claim_make(&claim, database, lane, &error), AU_INVALID);
  ck_assert_int_eq(error.fault, AU_FAULT_DATABASE);
  ck_assert_uint_eq(claim.next_seq, before.next_seq);
  ck_assert_uint_eq(claim.epoch, before.epoch);
}

int main(void) { return run_database_tests("unsound"); }
