/* SPDX-License-Identifier: MIT
 *
 * The bounded buffer and its lanes: the bounds hold exactly, also when many
 * threads append; what is committed makes room; a batch is due when it should
 * be.
 */
#include "metrics/metrics.h"
#include "spool/buffer.h"
#include "spool/frame.h"
#include "support/rows.h"
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static au_buffer_t *open_buffer(const char *directory, unsigned lanes,
                                uint64_t capacity, uint64_t max_bytes) {
  au_metrics_reset();
  char error[256] = "";
  const au_buffer_config_t config = {.lanes = lanes,
                                     .capacity = capacity,
                                     .max_bytes = max_bytes,
                                     .directory = directory,
                                     .durability = AU_DURABILITY_MEMORY,
                                     .sync_interval_s = 1};
  au_buffer_t *buffer = NULL;
  ck_assert_msg(au_buffer_open(&config, &buffer, error, sizeof(error)) == AU_OK,
                "open: %s", error);
  return buffer;
}

static au_status_t append(au_buffer_t *buffer, unsigned count) {
  au_rows_t rows = {.count = 0};
  au_waiter_t waiter = {.done = never_done};
  for (unsigned i = 0; i < count; i++)
    put_event(&rows, au_clock_wall_us(), "service", "message", i);
  au_status_t status = au_buffer_append(buffer, &rows, &waiter);
  au_rows_fini(&rows);
  return status;
}

static uint64_t commit(au_lane_t *lane, size_t rows) {
  au_slab_t slab = {.count = 0};
  ck_assert_int_eq(au_lane_take(lane, rows, 1 << 20, &slab), AU_OK);
  uint64_t count = slab.count;
  au_lane_commit(lane, slab.end);
  au_slab_fini(&slab);
  return count;
}

static uint64_t events(au_buffer_t *buffer) {
  au_buffer_usage_t usage;
  au_buffer_usage(buffer, &usage);
  return usage.events;
}

CASE("buffer", NULL, NULL);

TEST(bound_on_events_is_exact) {
  au_buffer_t *buffer = open_buffer(NULL, 1, 10, 1 << 20);
  ck_assert_int_eq(append(buffer, 7), AU_OK);
  ck_assert_int_eq(append(buffer, 4), AU_FULL); /* all or none */
  ck_assert_uint_eq(events(buffer), 7);
  ck_assert_int_eq(append(buffer, 3), AU_OK);
  ck_assert_int_eq(append(buffer, 1), AU_FULL);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_ENQUEUED, 0), 10);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_DROPPED, 0), 5);
  ck_assert_uint_eq(commit(au_buffer_lane(buffer, 0), 4), 4);
  ck_assert_int_eq(append(buffer, 4), AU_OK);
  ck_assert_int_eq(append(buffer, 1), AU_FULL);
  au_buffer_destroy(buffer);
}

TEST(bound_on_bytes_is_kept) {
  au_buffer_t *buffer = open_buffer(NULL, 1, 1000000, 65536);
  unsigned accepted = 0;
  while (append(buffer, 1) == AU_OK)
    accepted++;
  au_buffer_usage_t usage;
  au_buffer_usage(buffer, &usage);
  ck_assert_uint_gt(accepted, 100);
  /* The footer of the last group may stand above the bound. */
  ck_assert_uint_le(usage.bytes, 65536 + AU_FRAME_FOOTER_SIZE);
  ck_assert_double_gt(usage.utilization_percent, 95);
  while (commit(au_buffer_lane(buffer, 0), 100) > 0)
    continue;
  au_buffer_usage(buffer, &usage);
  ck_assert_uint_eq(usage.events, 0);
  ck_assert_uint_eq(usage.bytes, 0);
  ck_assert_double_eq(usage.oldest_age_s, 0);
  au_buffer_destroy(buffer);
}

#define THREADS 8
static _Atomic unsigned taken;

static void *append_main(void *argument) {
  for (int i = 0; i < 500; i++)
    if (append(argument, 1) == AU_OK)
      atomic_fetch_add(&taken, 1);
  return NULL;
}

TEST(bound_is_exact_under_threads) {
  au_buffer_t *buffer = open_buffer(NULL, 3, 1234, 1 << 30);
  atomic_store(&taken, 0);
  pthread_t thread[THREADS];
  for (int i = 0; i < THREADS; i++)
    ck_assert_int_eq(pthread_create(&thread[i], NULL, append_main, buffer), 0);
  for (int i = 0; i < THREADS; i++)
    pthread_join(thread[i], NULL);
  ck_assert_uint_eq(atomic_load(&taken), 1234);
  ck_assert_uint_eq(events(buffer), 1234);
  uint64_t stored = 0;
  for (unsigned i = 0; i < au_buffer_lanes(buffer); i++) {
    ck_assert_uint_gt(au_lane_waiting(au_buffer_lane(buffer, i)), 0);
    for (uint64_t n; (n = commit(au_buffer_lane(buffer, i), 100)) > 0;)
      stored += n;
  }
  ck_assert_uint_eq(stored, 1234);
  ck_assert_uint_eq(events(buffer), 0);
  au_buffer_destroy(buffer);
}

TEST(closed_intake_refuses_and_keeps) {
  au_buffer_t *buffer = open_buffer(NULL, 1, 10, 1 << 20);
  ck_assert_int_eq(append(buffer, 2), AU_OK);
  au_buffer_close_intake(buffer);
  ck_assert_int_eq(append(buffer, 1), AU_CLOSED);
  ck_assert_uint_eq(events(buffer), 2);
  ck_assert_uint_eq(commit(au_buffer_lane(buffer, 0), 10), 2);
  au_buffer_destroy(buffer);
}

TEST(fenced_lane_takes_nothing) {
  au_buffer_t *buffer = open_buffer(NULL, 2, 100, 1 << 20);
  au_lane_set_fenced(au_buffer_lane(buffer, 0), true);
  ck_assert_ptr_null(au_buffer_trouble(buffer));
  for (int i = 0; i < 4; i++)
    ck_assert_int_eq(append(buffer, 1), AU_OK);
  ck_assert_uint_eq(au_lane_waiting(au_buffer_lane(buffer, 0)), 0);
  au_lane_set_fenced(au_buffer_lane(buffer, 1), true);
  ck_assert_ptr_nonnull(au_buffer_trouble(buffer));
  ck_assert_int_eq(append(buffer, 1), AU_IO);
  ck_assert_uint_eq(events(buffer), 4);
  au_lane_set_fenced(au_buffer_lane(buffer, 0), false);
  ck_assert_int_eq(append(buffer, 1), AU_OK);
  au_buffer_destroy(buffer);
}

TEST(lanes_of_an_earlier_start_are_drained) {
  char directory[] = "/tmp/check_buffer_XXXXXX";
  ck_assert_ptr_nonnull(mkdtemp(directory));
  au_buffer_t *buffer = open_buffer(directory, 3, 100, 8 << 20);
  for (int i = 0; i < 9; i++)
    ck_assert_int_eq(append(buffer, 1), AU_OK);
  au_buffer_destroy(buffer);
  buffer = open_buffer(directory, 1, 100, 8 << 20);
  ck_assert_uint_eq(au_buffer_lanes(buffer), 3);
  ck_assert_uint_eq(events(buffer), 9);
  for (int i = 0; i < 3; i++)
    ck_assert_int_eq(append(buffer, 1), AU_OK);
  ck_assert_uint_eq(au_lane_waiting(au_buffer_lane(buffer, 0)), 6);
  ck_assert_uint_eq(au_lane_waiting(au_buffer_lane(buffer, 1)), 3);
  au_buffer_destroy(buffer);
  char command[64];
  snprintf(command, sizeof(command), "rm -rf %s", directory);
  ck_assert_int_eq(system(command), 0);
}

static struct stat synced_parent;
static int parent_syncs;
static int parent_sync_error;

static int counting_fsync(int fd) {
  struct stat info;
  ck_assert_int_eq(fstat(fd, &info), 0);
  if (info.st_ino != synced_parent.st_ino ||
      info.st_dev != synced_parent.st_dev)
    return au_io_system.fsync(fd);
  parent_syncs++;
  errno = parent_sync_error;
  return parent_sync_error != 0 ? -1 : 0;
}

/* A power cut would else take the directory away, with all that is in it. */
TEST(name_of_the_directory_is_synced) {
  char parent[] = "/tmp/check_buffer_XXXXXX";
  ck_assert_ptr_nonnull(mkdtemp(parent));
  ck_assert_int_eq(stat(parent, &synced_parent), 0);
  char directory[64];
  snprintf(directory, sizeof(directory), "%s/spool", parent);
  au_io_t io = au_io_system;
  io.fsync = counting_fsync;
  const au_buffer_config_t config = {.io = &io,
                                     .lanes = 1,
                                     .capacity = 10,
                                     .max_bytes = 8 << 20,
                                     .directory = directory,
                                     .durability = AU_DURABILITY_COMMIT};
  char error[256] = "";
  au_buffer_t *buffer = NULL;
  parent_sync_error = EIO;
  ck_assert_int_eq(au_buffer_open(&config, &buffer, error, sizeof(error)),
                   AU_IO);
  ck_assert_ptr_nonnull(strstr(error, "sync the parent"));
  parent_sync_error = 0;
  ck_assert_int_eq(au_buffer_open(&config, &buffer, error, sizeof(error)),
                   AU_OK);
  ck_assert_int_eq(parent_syncs, 2);
  au_buffer_destroy(buffer);
  char command[64];
  snprintf(command, sizeof(command), "rm -rf %s", parent);
  ck_assert_int_eq(system(command), 0);
}

TEST(batch_is_due_when_full_old_flushed_or_stopped) {
  au_buffer_t *buffer = open_buffer(NULL, 1, 1000, 1 << 20);
  au_lane_t *lane = au_buffer_lane(buffer, 0);
  const int64_t hour = 3600 * AU_NS_PER_S;
  int64_t now = au_clock_monotonic_ns();
  ck_assert_int_eq(au_lane_wait(lane, 10, hour, now + 1000000),
                   AU_WAKE_TIMEOUT);
  ck_assert_int_eq(append(buffer, 9), AU_OK);
  ck_assert_int_eq(au_lane_wait(lane, 10, hour, now + 2000000),
                   AU_WAKE_TIMEOUT);
  ck_assert_int_eq(au_lane_wait(lane, 10, 1000000, now + hour), AU_WAKE_BATCH);
  ck_assert_int_eq(append(buffer, 1), AU_OK);
  ck_assert_int_eq(au_lane_wait(lane, 10, hour, now + hour), AU_WAKE_BATCH);
  ck_assert_uint_eq(commit(lane, 5), 5);
  now = au_clock_monotonic_ns();
  ck_assert_int_eq(au_lane_wait(lane, 10, hour, now + 1000000),
                   AU_WAKE_TIMEOUT);
  au_buffer_flush(buffer);
  ck_assert_int_eq(au_lane_wait(lane, 10, hour, now + hour), AU_WAKE_BATCH);
  ck_assert_uint_eq(commit(lane, 5), 5);
  /* The flush was for what waited then. */
  ck_assert_int_eq(append(buffer, 1), AU_OK);
  now = au_clock_monotonic_ns();
  ck_assert_int_eq(au_lane_wait(lane, 10, hour, now + 1000000),
                   AU_WAKE_TIMEOUT);
  au_lane_stop(lane);
  ck_assert_int_eq(au_lane_wait(lane, 10, hour, now + hour), AU_WAKE_BATCH);
  ck_assert_uint_eq(commit(lane, 5), 1);
  ck_assert_int_eq(au_lane_wait(lane, 10, hour, now + hour), AU_WAKE_STOP);
  ck_assert(au_lane_sleep(lane, now + hour));
  au_buffer_destroy(buffer);
}

static void *append_ten_main(void *argument) {
  for (int i = 0; i < 10; i++)
    ck_assert_int_eq(append(argument, 1), AU_OK);
  return NULL;
}

TEST_EACH(waiting_writer_is_woken_by_a_full_batch, 2) {
  au_buffer_t *buffer = open_buffer(NULL, 1, 1000, 1 << 20);
  pthread_t thread;
  if (_i == 1) /* it knows then when to wake, and wants the full batch alone */
    ck_assert_int_eq(append(buffer, 1), AU_OK);
  ck_assert_int_eq(pthread_create(&thread, NULL, append_ten_main, buffer), 0);
  const int64_t hour = 3600 * AU_NS_PER_S;
  ck_assert_int_eq(au_lane_wait(au_buffer_lane(buffer, 0), 10, hour,
                                au_clock_monotonic_ns() + hour),
                   AU_WAKE_BATCH);
  pthread_join(thread, NULL);
  au_buffer_destroy(buffer);
}

static atomic_bool is_full;

static ssize_t full_pwritev(int fd, const struct iovec *iov, int count,
                            off_t offset) {
  if (!atomic_load(&is_full))
    return au_io_system.pwritev(fd, iov, count, offset);
  errno = ENOSPC;
  return -1;
}

TEST(lane_in_trouble_is_tried_when_there_is_no_other) {
  char directory[] = "/tmp/check_buffer_XXXXXX";
  ck_assert_ptr_nonnull(mkdtemp(directory));
  au_io_t io = au_io_system;
  io.pwritev = full_pwritev;
  const au_buffer_config_t config = {.lanes = 2,
                                     .capacity = 1000,
                                     .max_bytes = 1 << 20,
                                     .directory = directory,
                                     .durability = AU_DURABILITY_MEMORY,
                                     .io = &io};
  char error[256] = "";
  au_buffer_t *buffer = NULL;
  ck_assert_int_eq(au_buffer_open(&config, &buffer, error, sizeof(error)),
                   AU_OK);
  au_lane_set_fenced(au_buffer_lane(buffer, 0), true);
  atomic_store(&is_full, true);
  for (int i = 0; i < 3; i++) {
    ck_assert_int_eq(append(buffer, 5), AU_IO);
    ck_assert_uint_eq(events(buffer), 0);
  }
  ck_assert_ptr_nonnull(au_buffer_trouble(buffer));
  atomic_store(&is_full, false);
  ck_assert_int_eq(append(buffer, 5), AU_OK);
  ck_assert_uint_eq(au_lane_waiting(au_buffer_lane(buffer, 1)), 5);
  ck_assert_ptr_null(au_buffer_trouble(buffer));
  au_buffer_destroy(buffer);
  char command[64];
  snprintf(command, sizeof(command), "rm -rf %s", directory);
  ck_assert_int_eq(system(command), 0);
}

TEST(directory_without_a_parent_is_an_error) {
  const au_buffer_config_t config = {.lanes = 1,
                                     .capacity = 1000,
                                     .max_bytes = 1 << 20,
                                     .directory = "/nonexistent/a/b"};
  char error[256] = "";
  au_buffer_t *buffer = NULL;
  ck_assert_int_eq(au_buffer_open(&config, &buffer, error, sizeof(error)),
                   AU_IO);
  ck_assert_ptr_null(buffer);
  ck_assert_ptr_nonnull(strstr(error, "/nonexistent/a/b"));
}

TEST_EACH(retry_after_stays_within_bounds, 2) {
  au_buffer_t *buffer =
      open_buffer(NULL, 1, _i == 0 ? 1000 : UINT64_C(1) << 60, 1 << 20);
  for (int i = 0; i < 3; i++) {
    unsigned seconds = au_buffer_retry_after_s(buffer);
    ck_assert_uint_ge(seconds, 1);
    ck_assert_uint_le(seconds, 60);
    au_metrics_count(AU_M_EVENTS_PROCESSED, 0, 100000);
  }
  au_buffer_destroy(buffer);
}

int main(void) { return run_tests("buffer"); }
