/* SPDX-License-Identifier: MIT
 *
 * What a spool makes of a disk that does not take what is written: full,
 * failing, or read-only for a while.
 */
#include "base/clock.h"
#include "spool/private.h"
#include "support/spools.h"
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* --- the keeper ------------------------------------------------------
 */

/* The system with a disk that is full, or fails to write. */
static struct {
  atomic_bool is_full;        /* no file can be allocated */
  atomic_bool is_nearly_full; /* no large one */
  atomic_bool is_unsynced;    /* no file that is in use can be synced */
  atomic_bool is_stateless;   /* the state cannot be written */
  atomic_int allocations;
  atomic_int state_writes;
} disk;

static int disk_fallocate(int fd, off_t offset, off_t size) {
  atomic_fetch_add(&disk.allocations, 1);
  if (!atomic_load(&disk.is_full) &&
      !(atomic_load(&disk.is_nearly_full) && size > 1 << 20))
    return au_io_system.fallocate(fd, offset, size);
  errno = ENOSPC;
  return -1;
}

static int disk_fdatasync(int fd) {
  if (!atomic_load(&disk.is_unsynced) || !is_named(fd, ".segment"))
    return au_io_system.fdatasync(fd);
  errno = EIO;
  return -1;
}

static ssize_t disk_pwritev(int fd, const struct iovec *iov, int count,
                            off_t offset) {
  bool is_state = is_named(fd, "/state");
  if (is_state)
    atomic_fetch_add(&disk.state_writes, 1);
  if (!is_state || !atomic_load(&disk.is_stateless))
    return au_io_system.pwritev(fd, iov, count, offset);
  errno = EIO;
  return -1;
}

static au_io_t io_with_failing_disk(void) {
  memset(&disk, 0, sizeof(disk));
  au_io_t io = au_io_system;
  io.fallocate = disk_fallocate;
  io.fdatasync = disk_fdatasync;
  io.pwritev = disk_pwritev;
  return io;
}

static void trim_to_end(au_spool_t *spool) {
  seen_t seen;
  read_all(spool, 100, true, 0, &seen);
}

CASE("trouble", setup, teardown);

TEST(state_that_cannot_be_written_is_tried_once_a_second) {
  au_io_t io = io_with_failing_disk();
  au_spool_t *spool = open_spool(&io, SEGMENT_BYTES);
  count_what_is_told();
  atomic_store(&disk.is_stateless, true);
  int64_t start_ns = au_clock_monotonic_ns();
  int before = atomic_load(&disk.state_writes);
  for (uint64_t value = 1; value <= 300; value++) {
    ck_assert_int_eq(append(spool, value, 1, 300), AU_OK);
    if (value % 10 == 0)
      trim_to_end(spool);
  }
  int tries = atomic_load(&disk.state_writes) - before;
  int64_t seconds = (au_clock_monotonic_ns() - start_ns) / AU_NS_PER_S;
  ck_assert_int_le(tries, 2 + seconds);
  ck_assert_int_le(lines, 1);
  ck_assert_ptr_null(au_spool_trouble(spool));
  atomic_store(&disk.is_stateless, false);
  au_spool_close(spool);
  /* The last one is written when it can be. */
  ck_assert_int_le(files(".segment", false), 2);
}

TEST(full_disk_is_logged_once_and_so_is_its_end) {
  au_io_t io = io_with_failing_disk();
  au_spool_t *spool = open_spool(&io, 65536);
  count_what_is_told();
  atomic_store(&disk.is_full, true);
  int64_t start_ns = au_clock_monotonic_ns();
  uint64_t value = 1;
  while (append(spool, value, 1, 100) == AU_OK)
    value++;
  ck_assert_uint_gt(value, 300); /* the segment was used to its end */
  ck_assert_ptr_nonnull(au_spool_trouble(spool));
  for (int i = 0; i < 20; i++)
    ck_assert_int_eq(append(spool, 9999, 1, 100), AU_IO);
  int64_t seconds = (au_clock_monotonic_ns() - start_ns) / AU_NS_PER_S;
  ck_assert_int_le(notices[AU_SEVERITY_FAILURE], 1);
  ck_assert_int_eq(notices[AU_SEVERITY_OKAY], 0);
  /* That the next segment cannot be made, the first group that failed, and
   * that events are refused; no line for each group after that. */
  ck_assert_int_le(lines, 3);
  /* Each group that is refused is tried in two segments. */
  ck_assert_int_le(atomic_load(&disk.allocations), 2 * 21 + 3 + (int)seconds);
  atomic_store(&disk.is_full, false);
  await_notices(AU_SEVERITY_OKAY, 1); /* nobody needs to append for that */
  ck_assert_ptr_null(au_spool_trouble(spool));
  ck_assert_int_eq(append(spool, value, 1, 100), AU_OK);
  seen_t seen;
  read_all(spool, 1000, false, 0, &seen);
  check_values(&seen, 1, value);
  ck_assert_uint_eq(atomic_load(&usage.events), value);
  au_spool_close(spool);
}

TEST(nearly_full_disk_is_used_to_its_end) {
  au_io_t io = io_with_failing_disk();
  atomic_store(&disk.is_nearly_full, true);
  count_what_is_told();
  au_spool_t *spool = open_spool(&io, 4 << 20);
  /* More than one small segment holds. */
  for (uint64_t value = 1; value <= 40; value++)
    ck_assert_int_eq(append(spool, value, 1, 65000), AU_OK);
  ck_assert_ptr_null(au_spool_trouble(spool));
  ck_assert_int_eq(lines, 0);
  ck_assert_int_ge(files(".segment", false), 3);
  /* A group that is larger than a small segment has no room. */
  ck_assert_int_eq(append(spool, 9999, 20, 65000), AU_IO);
  ck_assert_int_eq(append(spool, 41, 1, 65000), AU_OK);
  seen_t seen;
  read_all(spool, 1000, false, 0, &seen);
  check_values(&seen, 1, 41);
  au_spool_close(spool);
}

TEST(spool_opens_on_a_full_disk) {
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  for (uint64_t value = 1; value <= 50; value++)
    ck_assert_int_eq(append(spool, value, 1, 200), AU_OK);
  au_spool_close(spool);
  au_io_t io = io_with_failing_disk();
  count_what_is_told();
  atomic_store(&disk.is_full, true);
  spool = open_spool(&io, SEGMENT_BYTES);
  ck_assert_ptr_nonnull(au_spool_trouble(spool));
  ck_assert_int_eq(append(spool, 51, 1, 200), AU_IO);
  seen_t seen;
  read_all(spool, 10, true, 0, &seen);
  check_values(&seen, 1, 50);
  ck_assert_uint_eq(atomic_load(&usage.events), 0);
  atomic_store(&disk.is_full, false);
  await_notices(AU_SEVERITY_OKAY, 1);
  ck_assert_int_eq(append(spool, 51, 1, 200), AU_OK);
  read_all(spool, 10, true, 0, &seen);
  check_values(&seen, 51, 1);
  ck_assert_int_eq(notices[AU_SEVERITY_FAILURE], 1);
  au_spool_close(spool);
}

static int parent_syncs;

static int counting_fsync(int fd) {
  char parent[64];
  snprintf(parent, sizeof(parent), "%s", directory);
  *strrchr(parent, '/') = '\0';
  parent_syncs += is_named(fd, parent) ? 1 : 0;
  return au_io_system.fsync(fd);
}

TEST(name_of_the_directory_is_synced) {
  au_io_t io = au_io_system;
  io.fsync = counting_fsync;
  for (int start = 1; start <= 2; start++) {
    au_spool_close(open_spool(&io, SEGMENT_BYTES));
    ck_assert_int_eq(parent_syncs, start);
  }
}

TEST(state_has_its_room_from_the_start) {
  au_spool_close(open_spool(NULL, SEGMENT_BYTES));
  struct stat info;
  char path[128];
  snprintf(path, sizeof(path), "%s/state", directory);
  ck_assert_int_eq(stat(path, &info), 0);
  ck_assert_int_ge(info.st_blocks * 512, 8192);
}

TEST(groups_that_cannot_be_synced_leave_nothing_behind) {
  au_io_t io = io_with_failing_disk();
  au_spool_t *spool = open_spool(&io, SEGMENT_BYTES);
  ck_assert_int_eq(append(spool, 1, 3, 200), AU_OK);
  atomic_store(&disk.is_unsynced, true);
  for (uint64_t value = 4; value <= 40; value++)
    ck_assert_int_eq(append(spool, value, 1, 200), AU_IO);
  atomic_store(&disk.is_unsynced, false);
  /* The one with rows, the one that failed last, and those that the keeper
   * thread is about to make or to delete. */
  ck_assert_int_le(files(".segment", false), 5);
  ck_assert_int_eq(append(spool, 4, 1, 200), AU_OK);
  for (int start = 0; start < 2; start++) {
    seen_t seen;
    read_all(spool, 2, false, 0, &seen);
    check_values(&seen, 1, 4);
    ck_assert_uint_eq(atomic_load(&usage.events), 4);
    au_spool_close(spool);
    spool = open_spool(NULL, SEGMENT_BYTES);
  }
  au_spool_close(spool);
}

TEST(failed_sync_of_the_interval_is_got_over_without_an_append) {
  au_io_t io = io_with_failing_disk();
  char error[256];
  au_spool_t *spool = NULL;
  const au_spool_config_t config = {.io = &io,
                                    .directory = directory,
                                    .segment_bytes = SEGMENT_BYTES,
                                    .durability = AU_DURABILITY_INTERVAL,
                                    .sync_interval_s = 0.02,
                                    .usage = &usage};
  ck_assert_int_eq(au_spool_open(&config, &spool, error, sizeof(error)), AU_OK);
  count_what_is_told();
  /* More than half of the segment, so that the next one is made. */
  ck_assert_int_eq(append(spool, 1, 10, 250), AU_OK);
  await_calls(&disk.allocations, 2);
  atomic_store(&disk.is_unsynced, true);
  ck_assert_int_eq(append(spool, 11, 1, 250), AU_OK);
  await_notices(AU_SEVERITY_FAILURE, 1);
  atomic_store(&disk.is_unsynced, false);
  await_notices(AU_SEVERITY_OKAY, 1);
  ck_assert_ptr_null(au_spool_trouble(spool));
  ck_assert_int_eq(append(spool, 12, 1, 250), AU_OK);
  seen_t seen;
  read_all(spool, 1000, false, 0, &seen);
  check_values(&seen, 1, 12);
  au_spool_close(spool);
}
/* --- writes that fail ------------------------------------------------------
 */

/* The system with syncs of files that fail: those numbered from "first" on. */
static struct {
  atomic_int calls;
  atomic_int first; /* 0: none */
  atomic_int failures;
  atomic_bool leaves_remains; /* a file is not cut or removed either */
} syncs;

static int failing_fdatasync(int fd) {
  int call = atomic_fetch_add(&syncs.calls, 1) + 1;
  if (syncs.first == 0 || call < syncs.first ||
      call >= syncs.first + syncs.failures)
    return au_io_system.fdatasync(fd);
  errno = EIO;
  return -1;
}

static int failing_ftruncate(int fd, off_t size) {
  if (!syncs.leaves_remains)
    return au_io_system.ftruncate(fd, size);
  errno = EIO;
  return -1;
}

static int failing_unlinkat(int dir, const char *name) {
  if (!syncs.leaves_remains)
    return au_io_system.unlinkat(dir, name);
  errno = EIO;
  return -1;
}

static au_io_t io_with_failing_syncs(void) {
  memset(&syncs, 0, sizeof(syncs));
  au_io_t io = au_io_system;
  io.fdatasync = failing_fdatasync;
  io.ftruncate = failing_ftruncate;
  io.unlinkat = failing_unlinkat;
  return io;
}

TEST_EACH(remains_of_a_failed_write_hide_no_later_row, 2) {
  /* Segments of one group of four rows; the second one fails to be synced, and
   * of what was written to it only the last row stays whole, with its footer or
   * without. */
  au_io_t io = io_with_failing_syncs();
  uint64_t size = HEADER_BYTES + group_size(4, 200);
  au_spool_t *spool = open_spool(&io, size);
  ck_assert_int_eq(append(spool, 1, 4, 200), AU_OK);
  au_spool_close(spool);
  spool = open_spool(&io, size);
  uint64_t failed = newest_segment();
  syncs.leaves_remains = true;
  syncs.failures = 1;
  syncs.first = atomic_load(&syncs.calls) + 1;
  ck_assert_int_eq(append(spool, 5, 4, 200), AU_OK);
  au_spool_close(spool);
  ck_assert_int_gt(atomic_load(&syncs.calls), syncs.first);
  overwrite(failed, HEADER_BYTES + 40, 'z', 3 * au_frame_size(200) - 100);
  if (_i == 1)
    overwrite(failed, HEADER_BYTES + 4 * au_frame_size(200), 0,
              AU_FRAME_FOOTER_SIZE);
  for (int start = 0; start < 2; start++) {
    seen_t seen;
    spool = open_spool(NULL, size);
    read_all(spool, 3, false, 0, &seen);
    check_values(&seen, 1, 8);
    ck_assert_uint_eq(damaged(), 0);
    au_spool_close(spool);
  }
}

/* The last write of rows, and how much of it a sync of its file has covered. */
static struct {
  int fd;
  uint64_t from;
  uint64_t to;
  uint64_t synced_to;
} again;

static ssize_t noting_pwritev(int fd, const struct iovec *iov, int count,
                              off_t offset) {
  if (is_named(fd, ".segment") && offset >= HEADER_BYTES) {
    again.fd = fd;
    again.from = (uint64_t)offset;
    again.to = (uint64_t)offset + iov[0].iov_len;
  }
  return au_io_system.pwritev(fd, iov, count, offset);
}

static int noting_fdatasync(int fd) {
  if (fd == again.fd)
    again.synced_to = again.to;
  return au_io_system.fdatasync(fd);
}

/* A sync that has failed leaves its pages clean in the cache: no later sync
 * would write them. */
TEST(what_was_never_synced_is_written_again_before_it_counts) {
  au_io_t io = io_with_failing_syncs();
  au_spool_t *spool = open_spool(&io, SEGMENT_BYTES);
  ck_assert_int_eq(append(spool, 1, 1, 200), AU_OK);
  syncs.leaves_remains = true;
  syncs.failures = 1000000;
  syncs.first = atomic_load(&syncs.calls) + 1;
  ck_assert_int_eq(append(spool, 2, 3, 200), AU_IO);
  au_spool_close(spool);
  memset(&again, 0, sizeof(again));
  io = au_io_system;
  io.pwritev = noting_pwritev;
  io.fdatasync = noting_fdatasync;
  spool = open_spool(&io, SEGMENT_BYTES);
  /* In the first segment, or in one that was made ahead. */
  ck_assert_uint_ge(again.from, HEADER_BYTES);
  ck_assert_uint_eq(again.to, again.from + group_size(3, 200));
  ck_assert_uint_eq(again.synced_to, again.to);
  seen_t seen;
  read_all(spool, 100, false, 0, &seen);
  check_values(&seen, 1, 4);
  au_spool_close(spool);
}

#define SLOT_BYTES 4096

/* What becomes of the file of the state: where the first two writes go, whether
 * the first is what was there, and is synced before the second. */
static struct {
  uint8_t before[2 * SLOT_BYTES];
  int writes;
  off_t offset[2];
  bool is_the_same;
  bool is_synced;
} state_file;

static void read_state_file(void) {
  memset(&state_file, 0, sizeof(state_file));
  char path[128];
  snprintf(path, sizeof(path), "%s/state", directory);
  FILE *file = fopen(path, "r");
  ck_assert_ptr_nonnull(file);
  ck_assert_uint_eq(
      fread(state_file.before, 1, sizeof(state_file.before), file),
      sizeof(state_file.before));
  fclose(file);
}

static ssize_t watching_pwritev(int fd, const struct iovec *iov, int count,
                                off_t offset) {
  if (is_named(fd, "/state")) {
    if (state_file.writes < 2)
      state_file.offset[state_file.writes] = offset;
    if (state_file.writes == 0)
      state_file.is_the_same = memcmp(state_file.before + offset,
                                      iov[0].iov_base, iov[0].iov_len) == 0;
    else
      ck_assert(state_file.is_synced);
    state_file.writes++;
  }
  return au_io_system.pwritev(fd, iov, count, offset);
}

static int watching_fdatasync(int fd) {
  int result = au_io_system.fdatasync(fd);
  if (result == 0 && is_named(fd, "/state") && state_file.writes > 0)
    state_file.is_synced = true;
  return result;
}

/* A process that was killed may have left a slot that no sync has covered. To
 * write the other one before that is to have none, if the power is cut. */
TEST_EACH(state_that_was_read_is_durable_before_the_next, 2) {
  for (int start = 0; start <= _i; start++)
    make_spool(1, 200, SEGMENT_BYTES);
  read_state_file();
  au_io_t io = au_io_system;
  io.pwritev = watching_pwritev;
  io.fdatasync = watching_fdatasync;
  au_spool_t *spool = open_spool(&io, SEGMENT_BYTES);
  ck_assert_int_ge(state_file.writes, 2);
  ck_assert(state_file.is_the_same);
  ck_assert_int_eq(state_file.offset[1], SLOT_BYTES - state_file.offset[0]);
  au_spool_close(spool);
}

/* The keeper makes a segment; a rotation that cannot wait makes a newer
 * one meanwhile, and is held until the older one is ready. */
static struct {
  au_spool_t *spool;
  atomic_bool is_held; /* from now on */
  atomic_bool is_made; /* by the rotation: begun */
} race;

static void rest(void) {
  const struct timespec moment = {.tv_nsec = 1000000};
  nanosleep(&moment, NULL);
}

static bool is_prepared(void) {
  pthread_mutex_lock(&race.spool->lock);
  bool prepared = race.spool->prepared != NULL;
  pthread_mutex_unlock(&race.spool->lock);
  return prepared;
}

static int racing_fallocate(int fd, off_t offset, off_t size) {
  if (atomic_load(&race.is_held)) {
    if (pthread_equal(pthread_self(), race.spool->keeper_thread)) {
      while (!atomic_load(&race.is_made))
        rest();
    } else {
      atomic_store(&race.is_made, true);
      while (!is_prepared())
        rest();
      atomic_store(&race.is_held, false);
    }
  }
  return au_io_system.fallocate(fd, offset, size);
}

TEST(segments_are_used_in_the_order_of_their_numbers) {
  memset(&race, 0, sizeof(race));
  au_io_t io = au_io_system;
  io.fallocate = racing_fallocate;
  au_spool_t *spool = open_spool(&io, SEGMENT_BYTES);
  race.spool = spool;
  atomic_store(&race.is_held, true);
  /* Two groups do not fit into one segment. */
  for (uint64_t value = 1; value <= 41; value += 10)
    ck_assert_int_eq(append(spool, value, 10, 250), AU_OK);
  ck_assert(!atomic_load(&race.is_held));
  for (int start = 0; start < 2; start++) {
    seen_t seen;
    read_all(spool, 7, false, 0, &seen);
    check_values(&seen, 1, 50);
    ck_assert_uint_eq(damaged(), 0);
    au_spool_close(spool);
    spool = open_spool(NULL, SEGMENT_BYTES);
  }
  au_spool_close(spool);
}

static void never_told(au_waiter_t *waiter, au_status_t status) {
  (void)waiter;
  ck_abort_msg("told %d", (int)status);
}

TEST(closed_intake_takes_nothing) {
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  ck_assert_int_eq(append(spool, 1, 1, 200), AU_OK);
  au_spool_close_intake(spool);
  au_row_extent_t extent = {.size = 8};
  au_rows_t rows = {.count = 1, .row = &extent};
  ck_assert_ptr_nonnull(au_bytes_extend(&rows.bytes, extent.size));
  memset(rows.bytes.data, 2, extent.size);
  au_waiter_t waiter = {.done = never_told};
  ck_assert_int_eq(au_spool_append(spool, &rows, &waiter), AU_CLOSED);
  seen_t seen;
  read_all(spool, 100, false, 0, &seen);
  check_values(&seen, 1, 1);
  au_bytes_fini(&rows.bytes);
  au_spool_close(spool);
}

int main(void) { return run_tests("sick_disk"); }
