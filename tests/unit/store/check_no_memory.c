/* SPDX-License-Identifier: MIT
 *
 * Each allocation of the buffer, the batch and the writer fails, the first, the
 * second, ... until a run is clean: it is said, nothing that was taken is lost
 * or stored twice, nothing leaks (the address sanitizer looks), and the next
 * try succeeds. Those with a database need AURORE_TEST_CONNINFO.
 */
#include "support/short_memory.h"

#include "support/own_database.h"

#include "database/breaker.h"
#include "metrics/metrics.h"
#include "spool/buffer.h"
#include "store/batch.h"
#include "store/writer.h"
#include "support/judge.h"
#include "support/log_capture.h"
#include "support/rows.h"
#include "support/suite.h"

#include <sys/eventfd.h>

static void memory_setup(void) {
  is_test = true;
  capture_log();
  au_metrics_reset();
}

/* --- the buffer ----------------------------------------------------------- */

/* Events of that service; waits for the answer. */
static au_status_t append(au_buffer_t *buffer, const char *service,
                          unsigned from, unsigned count) {
  au_rows_t rows = {.count = 0};
  for (unsigned i = from; i < from + count; i++)
    put_event(&rows, au_clock_wall_us(), service, "event", i);
  answer_t answer = ANSWER_INIT;
  au_status_t status = PRODUCT(au_buffer_append(buffer, &rows, &answer.waiter));
  status = await_answer(&answer, status);
  au_rows_fini(&rows);
  return status;
}

static char directory[64];

static const au_buffer_config_t *config_of(int kind) {
  static au_buffer_config_t config;
  config = (au_buffer_config_t){
      .lanes = 2,
      .capacity = 1000,
      .max_bytes = 1 << 24,
      .directory = kind == 0 ? NULL : directory,
      .durability = kind == 1 ? AU_DURABILITY_COMMIT : AU_DURABILITY_INTERVAL,
      .sync_interval_s = 0.1};
  return &config;
}

/* Takes all that a lane holds. */
static uint64_t take_all(au_lane_t *lane) {
  uint64_t taken = 0;
  au_slab_t slab = {.count = 0};
  while (au_lane_waiting(lane) > 0) {
    au_status_t status = PRODUCT(au_lane_take(lane, 3, 1 << 20, &slab));
    ck_assert(status == AU_OK || status == AU_NOMEM);
    if (status != AU_OK)
      continue;
    taken += slab.count;
    PRODUCT((au_lane_commit(lane, slab.end), 0));
  }
  au_slab_fini(&slab);
  return taken;
}

/* Returns what was accepted and not taken again: in a directory it is there
 * after the next opening. */
static uint64_t use_buffer(int kind, uint64_t before) {
  au_buffer_t *buffer = NULL;
  char error[256] = "";
  au_status_t status =
      PRODUCT(au_buffer_open(config_of(kind), &buffer, error, sizeof(error)));
  if (status != AU_OK) {
    ck_assert_ptr_null(buffer);
    ck_assert_str_ne(error, "");
    return before;
  }
  uint64_t accepted = before;
  for (unsigned i = 0; i < 4; i++) {
    status = append(buffer, "service", i * 5, 5);
    ck_assert(status == AU_OK || status == AU_NOMEM);
    accepted += status == AU_OK ? 5 : 0;
  }
  for (unsigned i = 0; i < 2; i++)
    accepted -= take_all(au_buffer_lane(buffer, i));
  ck_assert_uint_eq(accepted, 0);
  status = append(buffer, "service", 20, 3);
  accepted += status == AU_OK ? 3 : 0;
  au_buffer_usage_t usage;
  au_buffer_usage(buffer, &usage);
  ck_assert_uint_eq(usage.events, accepted);
  PRODUCT((au_buffer_close_intake(buffer), au_buffer_destroy(buffer), 0));
  return kind == 0 ? 0 : accepted;
}

CASE("buffer", memory_setup, NULL);

TEST_EACH(buffer_outlives_any_failed_allocation, 6) {
  int kind = _i % 3;
  long count = _i < 3 ? 1 : 5;
  long n = 1;
  uint64_t waiting = 0;
  make_directory(directory);
  for (bool failed = true; failed; n++) {
    int files = count_open_files();
    fail_memory(n, count);
    waiting = use_buffer(kind, waiting);
    failed = memory_failed();
    ck_assert_int_eq(count_open_files(), files);
  }
  ck_assert_int_gt(n, 10);
  ck_assert_uint_eq(use_buffer(kind, waiting), kind == 0 ? 0 : 3);
  remove_directory(directory);
}

TEST(breaker_without_memory_is_an_error) {
  const au_breaker_config_t config = {.failures = 1, .successes = 1};
  au_breaker_t *breaker = NULL;
  fail_memory(1, 1);
  ck_assert_int_eq(PRODUCT(au_breaker_create(&config, &breaker)), AU_NOMEM);
  ck_assert(memory_failed());
  ck_assert_ptr_null(breaker);
  ck_assert_int_eq(au_breaker_create(&config, &breaker), AU_OK);
  au_breaker_destroy(breaker);
  au_breaker_destroy(NULL);
}

/* --- the batch ------------------------------------------------------------ */

static au_buffer_t *buffer;
static au_lane_t *lane;
static au_database_error_t error;

static void batch_setup(void) {
  memory_setup();
  set_up_database();
  make_schema(1);
  do_sql(database, "ALTER TABLE aurore.event ADD CHECK (message <> 'event 7')");
  char text[256] = "";
  ck_assert_int_eq(au_buffer_open(config_of(0), &buffer, text, sizeof(text)),
                   AU_OK);
  lane = au_buffer_lane(buffer, 0);
}

static void batch_teardown(void) {
  au_buffer_destroy(buffer);
  tear_down_database();
}

/* Only the first lane is looked at. */
static void append_to_lane(unsigned count) {
  while (au_lane_waiting(lane) == 0) {
    ck_assert_int_eq(append(buffer, "service", 0, count), AU_OK);
    (void)take_all(au_buffer_lane(buffer, 1));
  }
}

static void claim_lane(au_database_t *with, au_claim_t *claim) {
  while (PRODUCT(au_claim_make(claim, with, lane, &error)) != AU_OK)
    ck_assert_int_ne(error.fault, AU_FAULT_FENCED);
}

/* As the writer does: what fails is tried again, after any doubt from the claim
 * on. */
static void store_all(au_database_t *with, au_batch_t *batch,
                      au_blame_t *blame) {
  au_claim_t claim = {.spool_id = au_spool_id(au_lane_spool(lane))};
  claim_lane(with, &claim);
  while (PRODUCT(au_batch_take(batch, lane, 100, 1 << 20)) != AU_OK) {
  }
  au_blame_begin(blame);
  au_batch_skip(batch, claim.next_seq);
  for (int tries = 0; !au_batch_is_done(batch); tries++) {
    ck_assert_int_lt(tries, 200);
    au_status_t status = PRODUCT(au_batch_store(batch, with, &claim, &error));
    if (status == AU_OK)
      au_blame_stored(blame, batch);
    if (status != AU_OK && error.fault == AU_FAULT_ROW &&
        PRODUCT(judge(blame, batch, lane, with, &claim, &error, NULL)))
      continue;
    if (status != AU_OK) {
      au_blame_interrupt(blame);
      while (PRODUCT(au_database_connect(with, &error)) != AU_OK) {
      }
      claim_lane(with, &claim);
      au_batch_settle(batch, claim.next_seq);
    }
    PRODUCT((au_lane_commit(lane, au_batch_position(batch)), 0));
  }
}

CASE_IF(has_server, "database", batch_setup, batch_teardown);

TEST_EACH(batch_outlives_any_failed_allocation, 2) {
  long n = 1;
  unsigned runs = 0;
  for (bool failed = true; failed; n++, runs++) {
    append_to_lane(12);
    au_database_t *with = open_client(own_conninfo);
    au_batch_t batch = {.done = 0};
    au_blame_t blame = {.end = 0};
    fail_memory(n, 1 + _i * 2);
    while (au_lane_waiting(lane) > 0) /* a batch may be shorter than it could */
      store_all(with, &batch, &blame);
    failed = memory_failed();
    au_blame_fini(&blame);
    au_batch_fini(&batch);
    au_database_destroy(with);
    ck_assert_uint_eq(au_lane_waiting(lane), 0);
  }
  ck_assert_int_gt(runs, 10);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 11 * runs);
  ck_assert_int_eq(number("SELECT count(DISTINCT event_id) FROM aurore.event"),
                   11 * runs);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), runs);
  ck_assert_int_eq(number("SELECT sum(n) FROM aurore.event_count"), 11 * runs);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_PROCESSED, 0), 11 * runs);
  ck_assert_uint_eq(au_metrics_counter(AU_M_DEAD_LETTERS, 0), runs);
}

/* --- the writer ----------------------------------------------------------- */

TEST(writer_outlives_any_failed_allocation) {
  au_options_t options;
  ck_assert_int_eq(au_options_init(&options), AU_OK);
  set_conninfo(&options, own_conninfo);
  options.backoff_min_s = options.backoff_max_s = 0.001;
  options.drain_interval_s = 0.001;
  options.retention_days = 7;
  const au_breaker_config_t settings = {.failures = 1000, .successes = 1};
  au_breaker_t *breaker = NULL;
  ck_assert_int_eq(au_breaker_create(&settings, &breaker), AU_OK);
  au_leader_t leader;
  au_leader_init(&leader);
  int abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const au_writer_config_t config = {.options = &options,
                                     .lane = lane,
                                     .breaker = breaker,
                                     .leader = &leader,
                                     .abort_fd = abort_fd};
  long n = 1;
  unsigned runs = 0;
  bool failed = true;
  unsigned refused = 0;
  /* One lane can be stopped once, so the writer ends with its abort. */
  for (; failed; n++, runs++) {
    append_to_lane(12);
    au_writer_t *writer = NULL;
    fail_memory(n, 1);
    au_status_t status = PRODUCT(au_writer_start(&config, &writer));
    if (status != AU_OK) {
      ck_assert_int_eq(status, AU_NOMEM);
      ck_assert_ptr_null(writer);
      failed = memory_failed();
      refused++;
      ck_assert_int_eq(au_writer_start(&config, &writer), AU_OK);
    }
    while (au_lane_waiting(lane) > 0)
      poll(NULL, 0, 2);
    if (status == AU_OK)
      failed = memory_failed();
    /* It rests no longer than a wait of the lane, which is not stopped. */
    uint64_t one = 1;
    ck_assert_int_eq(write(abort_fd, &one, sizeof(one)), sizeof(one));
    ck_assert(
        au_writer_join(writer, au_clock_monotonic_ns() + 60 * AU_NS_PER_S));
    ck_assert_int_eq(read(abort_fd, &one, sizeof(one)), sizeof(one));
    au_writer_destroy(writer);
  }
  ck_assert_uint_ge(refused, 2);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.event"), 11 * runs);
  ck_assert_int_eq(number("SELECT count(*) FROM aurore.dead_letter"), runs);
  close(abort_fd);
  au_breaker_destroy(breaker);
  au_leader_fini(&leader);
  au_options_fini(&options);
}

int main(void) { return run_tests("no_memory"); }
