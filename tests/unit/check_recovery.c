/* SPDX-License-Identifier: MIT
 *
 * What a spool makes of the worst that can happen to it: damage, disks that
 * fail to read or write, a full disk, restarts in between. The common case is
 * in check_spool, every state that a crash may leave in tests/faults.
 */
#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "oracle.h"
#include "segment.h"
#include "spool.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT_BYTES 8192
#define HEADER_BYTES 4096

static char directory[64];
static au_usage_t usage;

static void ignore_log(au_log_level_t level, const char *line) {
  (void)level;
  (void)line;
}

static void count_nothing(au_severity_t severity, const char *type,
                          const char *message) {
  (void)severity;
  (void)type;
  (void)message;
}

static void setup(void) {
  strcpy(directory, "/tmp/check_recovery_XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(directory));
  au_log_set_sink(ignore_log);
  au_notify_set_sink(count_nothing);
  au_metrics_reset();
}

/* Counts the files whose name contains "part"; removes them when asked to. */
static int files(const char *part, bool remove) {
  int count = 0;
  DIR *dir = opendir(directory);
  ck_assert_ptr_nonnull(dir);
  const struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    if (strstr(entry->d_name, part) == NULL)
      continue;
    count++;
    if (remove)
      unlinkat(dirfd(dir), entry->d_name, 0);
  }
  closedir(dir);
  return count;
}

static void teardown(void) {
  files("", true);
  rmdir(directory);
}

/* --- a spool and its rows --------------------------------------------------
 */

typedef struct told {
  au_waiter_t waiter; /* the first member */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool is_done;
  au_status_t status;
} told_t;

static void told_done(au_waiter_t *waiter, au_status_t status) {
  told_t *told = (told_t *)waiter;
  pthread_mutex_lock(&told->lock);
  told->is_done = true;
  told->status = status;
  pthread_cond_signal(&told->changed);
  pthread_mutex_unlock(&told->lock);
}

/* Rows of "size" bytes that begin with their value. */
static au_status_t append(au_spool_t *spool, uint64_t value, size_t count,
                          uint32_t size) {
  au_rows_t rows = {.count = count};
  rows.length = calloc(count, sizeof(*rows.length));
  ck_assert_ptr_nonnull(rows.length);
  for (size_t i = 0; i < count; i++) {
    uint8_t *row = au_bytes_extend(&rows.bytes, size);
    ck_assert_ptr_nonnull(row);
    memset(row, 'x', size);
    uint64_t own = value + i;
    memcpy(row, &own, sizeof(own));
    rows.length[i] = size;
  }
  uint64_t bytes = count * au_frame_size(size);
  told_t told = {.waiter.done = told_done,
                 .lock = PTHREAD_MUTEX_INITIALIZER,
                 .changed = PTHREAD_COND_INITIALIZER};
  atomic_fetch_add(&usage.events, count);
  atomic_fetch_add(&usage.bytes, bytes);
  au_status_t status = au_spool_append(spool, &rows, &told.waiter);
  rows_drop(&rows);
  if (status == AU_OK) /* not of durability "commit" */
    return status;
  if (status != AU_PENDING) {
    atomic_fetch_sub(&usage.events, count);
    atomic_fetch_sub(&usage.bytes, bytes);
    return status;
  }
  pthread_mutex_lock(&told.lock);
  while (!told.is_done)
    pthread_cond_wait(&told.changed, &told.lock);
  pthread_mutex_unlock(&told.lock);
  return told.status;
}

static au_status_t try_open(const au_io_t *io, uint64_t segment_bytes,
                            au_spool_t **spool) {
  char error[256] = "";
  const au_spool_config_t config = {.io = io,
                                    .directory = directory,
                                    .segment_bytes = segment_bytes,
                                    .durability = AU_DURABILITY_COMMIT,
                                    .usage = &usage};
  atomic_store(&usage.events, 0);
  atomic_store(&usage.bytes, 0);
  return au_spool_open(&config, spool, error, sizeof(error));
}

static au_spool_t *open_spool(const au_io_t *io, uint64_t segment_bytes) {
  au_spool_t *spool = NULL;
  ck_assert_int_eq(try_open(io, segment_bytes, &spool), AU_OK);
  return spool;
}

/* What a reader got. */
typedef struct seen {
  uint64_t value[4096];
  size_t count;
  uint64_t passed; /* numbers that no row was read for */
  int failures;    /* reads to be tried again */
} seen_t;

static void note_slab(seen_t *seen, const au_slab_t *slab) {
  const uint8_t *row = slab->bytes.data;
  for (size_t i = 0; i < slab->count; i++, row += slab->length[i - 1]) {
    ck_assert_uint_lt(seen->count, 4096);
    seen->value[seen->count++] = row_value(row);
  }
  seen->passed += slab->end.seq - slab->begin.seq - slab->count;
}

/* Reads all that is there, in batches of "max_rows"; trims when asked to. What
 * cannot be read is tried "patience" times. */
static void read_all(au_spool_t *spool, size_t max_rows, bool trim,
                     int patience, seen_t *seen) {
  memset(seen, 0, sizeof(*seen));
  au_slab_t slab = {.count = 0};
  au_position_t at = au_spool_begin(spool);
  for (;;) {
    au_status_t status = au_spool_read(spool, at, max_rows, 1000000, &slab);
    if (status != AU_OK) {
      ck_assert_int_lt(seen->failures++, patience);
      continue;
    }
    if (slab.end.seq == at.seq)
      break;
    note_slab(seen, &slab);
    at = slab.end;
    if (trim)
      au_spool_trim(spool, at);
  }
  au_slab_fini(&slab);
}

/* The values from "first" on, without a gap, and nothing else. */
static void check_values(const seen_t *seen, uint64_t first, uint64_t count) {
  ck_assert_uint_eq(seen->count, count);
  for (size_t i = 0; i < seen->count; i++)
    ck_assert_uint_eq(seen->value[i], first + i);
}

static uint64_t damaged(void) {
  return au_metrics_counter(AU_M_SPOOL_DAMAGED, 0);
}

static int open_segment(uint64_t number, int flags) {
  char path[128];
  snprintf(path, sizeof(path), "%s/%016" PRIx64 ".segment", directory, number);
  int fd = open(path, flags);
  ck_assert_int_ge(fd, 0);
  return fd;
}

static uint64_t newest_segment(void) {
  uint64_t newest = 0;
  DIR *dir = opendir(directory);
  ck_assert_ptr_nonnull(dir);
  const struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    uint64_t number = au_segment_parse_name(entry->d_name);
    newest = number > newest ? number : newest;
  }
  closedir(dir);
  return newest;
}

static void overwrite(uint64_t number, uint64_t offset, uint8_t byte,
                      size_t size) {
  uint8_t data[4096];
  ck_assert_uint_le(size, sizeof(data));
  memset(data, byte, size);
  int fd = open_segment(number, O_RDWR);
  ck_assert_int_eq(pwrite(fd, data, size, (off_t)offset), (ssize_t)size);
  close(fd);
}

static uint64_t group_size(size_t rows, uint32_t size) {
  return rows * au_frame_size(size) + AU_FRAME_FOOTER_SIZE;
}

/* --- the ends of segments --------------------------------------------------
 */

START_TEST(little_room_behind_the_last_group_is_no_damage) {
  /* Less than a header, and a reader that comes to it with nothing read. */
  uint64_t size = HEADER_BYTES + 2 * group_size(1, 40) + 8 * (uint64_t)_i;
  au_spool_t *spool = open_spool(NULL, size);
  for (uint64_t value = 1; value <= 9; value++)
    ck_assert_int_eq(append(spool, value, 1, 40), AU_OK);
  au_spool_close(spool);
  spool = open_spool(NULL, size);
  seen_t seen;
  read_all(spool, 1, true, 0, &seen);
  check_values(&seen, 1, 9);
  ck_assert_uint_eq(damaged(), 0);
  au_spool_close(spool);
}
END_TEST

START_TEST(torn_tail_of_an_older_segment_is_no_damage) {
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  ck_assert_int_eq(append(spool, 1, 1, 40), AU_OK);
  ck_assert_int_eq(append(spool, 2, 3, 40), AU_OK);
  au_spool_close(spool);
  /* The second group was cut in its first row, with what is no frame. */
  uint64_t cut = HEADER_BYTES + group_size(1, 40) + 16;
  overwrite(1, cut, 0xa5, 64);
  overwrite(1, cut + 64, 0, 512);
  seen_t seen;
  for (uint64_t start = 0; start < 3; start++) {
    spool = open_spool(NULL, SEGMENT_BYTES);
    read_all(spool, 1 + start, false, 0, &seen);
    check_values(&seen, 1, 1 + start);
    ck_assert_uint_eq(damaged(), 0);
    ck_assert_int_eq(append(spool, 2 + start, 1, 40), AU_OK);
    au_spool_close(spool);
  }
}
END_TEST

/* --- what is told ----------------------------------------------------------
 */

static pthread_mutex_t notice_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t notice_changed = PTHREAD_COND_INITIALIZER;
static int notices[3]; /* by severity */
static int lines;

static void count_notice(au_severity_t severity, const char *type,
                         const char *message) {
  (void)type;
  (void)message;
  pthread_mutex_lock(&notice_lock);
  notices[severity]++;
  pthread_cond_broadcast(&notice_changed);
  pthread_mutex_unlock(&notice_lock);
}

static void count_line(au_log_level_t level, const char *line) {
  (void)line;
  pthread_mutex_lock(&notice_lock);
  lines += level != AU_LOG_INFO;
  pthread_mutex_unlock(&notice_lock);
}

static void count_what_is_told(void) {
  memset(notices, 0, sizeof(notices));
  lines = 0;
  au_log_set_sink(count_line);
  au_notify_set_sink(count_notice);
}

/* Waits until so many notices of the severity have been sent. */
static void await_notices(au_severity_t severity, int count) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 30;
  pthread_mutex_lock(&notice_lock);
  while (notices[severity] < count)
    ck_assert_int_eq(
        pthread_cond_timedwait(&notice_changed, &notice_lock, &until), 0);
  pthread_mutex_unlock(&notice_lock);
}

/* --- the house thread ------------------------------------------------------
 */

/* The system with a disk that is full, or fails to write. */
static struct {
  atomic_bool is_full;      /* no file can be allocated */
  atomic_bool is_unsynced;  /* no file that is in use can be synced */
  atomic_bool is_stateless; /* the state cannot be written */
  atomic_int allocations;
  atomic_int state_writes;
} disk;

/* Whether the name of the open file ends so. */
static bool is_named(int fd, const char *end) {
  char link[64];
  char path[256];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof(path) - 1);
  size_t wanted = strlen(end);
  return size >= (ssize_t)wanted &&
         memcmp(path + size - wanted, end, wanted) == 0;
}

static int disk_fallocate(int fd, off_t offset, off_t size) {
  atomic_fetch_add(&disk.allocations, 1);
  if (!atomic_load(&disk.is_full))
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

/* Nothing tells when the house thread has done its work but the calls it made.
 */
static void await_calls(atomic_int *calls, int count) {
  const struct timespec moment = {.tv_nsec = 1000000};
  for (int i = 0; atomic_load(calls) < count; i++) {
    ck_assert_int_lt(i, 30000);
    nanosleep(&moment, NULL);
  }
}

static void trim_to_end(au_spool_t *spool) {
  seen_t seen;
  read_all(spool, 100, true, 0, &seen);
}

START_TEST(state_that_cannot_be_written_is_tried_once_a_second) {
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
END_TEST

START_TEST(full_disk_is_told_once_and_forgotten_once) {
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
  /* Each group that is refused is tried in two segments, and told of. */
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
END_TEST

START_TEST(spool_opens_on_a_full_disk) {
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
END_TEST

static int parent_syncs;

static int counting_fsync(int fd) {
  char parent[64];
  snprintf(parent, sizeof(parent), "%s", directory);
  *strrchr(parent, '/') = '\0';
  parent_syncs += is_named(fd, parent) ? 1 : 0;
  return au_io_system.fsync(fd);
}

START_TEST(name_of_the_directory_is_synced) {
  au_io_t io = au_io_system;
  io.fsync = counting_fsync;
  for (int start = 1; start <= 2; start++) {
    au_spool_close(open_spool(&io, SEGMENT_BYTES));
    ck_assert_int_eq(parent_syncs, start);
  }
}
END_TEST

START_TEST(state_has_its_room_from_the_start) {
  au_spool_close(open_spool(NULL, SEGMENT_BYTES));
  struct stat info;
  char path[128];
  snprintf(path, sizeof(path), "%s/state", directory);
  ck_assert_int_eq(stat(path, &info), 0);
  ck_assert_int_ge(info.st_blocks * 512, 8192);
}
END_TEST

START_TEST(groups_that_cannot_be_synced_leave_nothing_behind) {
  au_io_t io = io_with_failing_disk();
  au_spool_t *spool = open_spool(&io, SEGMENT_BYTES);
  ck_assert_int_eq(append(spool, 1, 3, 200), AU_OK);
  atomic_store(&disk.is_unsynced, true);
  for (uint64_t value = 4; value <= 40; value++)
    ck_assert_int_eq(append(spool, value, 1, 200), AU_IO);
  atomic_store(&disk.is_unsynced, false);
  /* The one with rows, the one that failed last, and those that the house
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
END_TEST

START_TEST(failed_sync_of_the_interval_is_got_over_without_an_append) {
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
END_TEST

/* --- writes that fail ------------------------------------------------------
 */

/* The system with syncs of files that fail: those numbered from "first" on. */
static struct {
  atomic_int calls;
  int first; /* 0: none */
  int failures;
  bool leaves_remains; /* a file is not cut or removed either */
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

START_TEST(remains_of_a_failed_write_hide_no_later_row) {
  /* Segments of one group of four rows; the second one fails to be synced, and
   * of what was written to it only the last row stays whole. */
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
  for (int start = 0; start < 2; start++) {
    seen_t seen;
    spool = open_spool(NULL, size);
    read_all(spool, 3, false, 0, &seen);
    check_values(&seen, 1, 8);
    ck_assert_uint_eq(damaged(), 0);
    au_spool_close(spool);
  }
}
END_TEST

/* --- damage ----------------------------------------------------------------
 */

/* The system with reads that fail: those numbered from "first_failure" on. */
static struct {
  int calls;
  int first_failure; /* 0: none */
  int failures;
  int error;
} reads;

static ssize_t failing_pread(int fd, void *data, size_t size, off_t offset) {
  int call = ++reads.calls;
  if (reads.first_failure == 0 || call < reads.first_failure ||
      call >= reads.first_failure + reads.failures)
    return au_io_system.pread(fd, data, size, offset);
  errno = reads.error;
  return -1;
}

static au_io_t io_with_failing_reads(void) {
  memset(&reads, 0, sizeof(reads));
  au_io_t io = au_io_system;
  io.pread = failing_pread;
  return io;
}

START_TEST(failed_read_while_damage_is_passed_loses_no_neighbour) {
  /* Large rows, so that passing the damaged one takes several reads. */
  const uint32_t size = 200000;
  au_spool_t *spool = open_spool(NULL, 8 << 20);
  for (uint64_t value = 1; value <= 8; value++)
    ck_assert_int_eq(append(spool, value, 1, size), AU_OK);
  au_spool_close(spool);
  overwrite(1, HEADER_BYTES + 2 * group_size(1, size) + 5000, 'y', 1);
  au_io_t io = io_with_failing_reads();
  bool failed = true;
  for (int n = 1; failed; n++) {
    spool = open_spool(&io, 8 << 20);
    seen_t seen;
    reads.error = _i == 0 ? EIO : ENOMEM;
    reads.failures = 1;
    reads.first_failure = reads.calls + n;
    read_all(spool, 100, false, 1, &seen);
    failed = reads.calls >= reads.first_failure;
    reads.first_failure = 0;
    ck_assert_msg(seen.count == 7 && seen.passed == 1,
                  "read %d fails: %zu rows are read, %" PRIu64 " are passed", n,
                  seen.count, seen.passed);
    au_spool_close(spool);
  }
}
END_TEST

START_TEST(damage_is_told_once_however_often_it_is_read) {
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  for (uint64_t value = 1; value <= 9; value++)
    ck_assert_int_eq(append(spool, value, 1, 40), AU_OK);
  au_spool_close(spool);
  overwrite(1, HEADER_BYTES + 2 * group_size(1, 40) + 30, 'y', 1);
  overwrite(1, HEADER_BYTES + 6 * group_size(1, 40) + 30, 'y', 1);
  spool = open_spool(NULL, SEGMENT_BYTES);
  seen_t seen;
  for (int i = 0; i < 3; i++) {
    read_all(spool, 2, i == 2, 0, &seen);
    ck_assert_uint_eq(seen.count, 7);
    ck_assert_uint_eq(seen.passed, 2);
    ck_assert_uint_eq(damaged(), 2);
  }
  ck_assert_int_eq(files("damaged-", false), 2);
  ck_assert_uint_eq(atomic_load(&usage.events), 0);
  ck_assert_uint_eq(atomic_load(&usage.bytes), 0);
  au_spool_close(spool);
}
END_TEST

/* --- what cannot be read ---------------------------------------------------
 */

/* The system with a place of a segment that cannot be read. */
static struct {
  uint64_t number;
  off_t from;
  off_t to;
  int failures;        /* so many times; -1: always */
  atomic_bool is_away; /* nor can anything be synced */
} bad_place;

static ssize_t bad_pread(int fd, void *data, size_t size, off_t offset) {
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(bad_place.number, name);
  if (bad_place.failures == 0 || offset >= bad_place.to ||
      offset + (off_t)size <= bad_place.from || !is_named(fd, name))
    return au_io_system.pread(fd, data, size, offset);
  if (offset < bad_place.from) /* as the kernel does: what comes before it */
    return au_io_system.pread(fd, data, (size_t)(bad_place.from - offset),
                              offset);
  if (bad_place.failures > 0)
    bad_place.failures--;
  errno = EIO;
  return -1;
}

static int bad_fdatasync(int fd) {
  if (!atomic_load(&bad_place.is_away))
    return au_io_system.fdatasync(fd);
  errno = EIO;
  return -1;
}

static au_io_t io_with_bad_place(uint64_t number, uint64_t from, uint64_t to) {
  memset(&bad_place, 0, sizeof(bad_place));
  bad_place.number = number;
  bad_place.from = (off_t)from;
  bad_place.to = (off_t)to;
  bad_place.failures = -1;
  au_io_t io = au_io_system;
  io.pread = bad_pread;
  io.fdatasync = bad_fdatasync;
  return io;
}

/* Makes a spool of rows 1 to "rows", each a group by itself. */
static void make_spool(uint64_t rows, uint32_t size, uint64_t segment_bytes) {
  au_spool_t *spool = open_spool(NULL, segment_bytes);
  for (uint64_t value = 1; value <= rows; value++)
    ck_assert_int_eq(append(spool, value, 1, size), AU_OK);
  au_spool_close(spool);
}

START_TEST(block_that_cannot_be_read_costs_only_its_rows) {
  /* Four groups of 1,000 bytes a block; at the start, within, further in the
   * segment that was written last, or in the one before it. */
  const uint32_t size = 936;
  make_spool(50, size, 65536);
  uint64_t from = HEADER_BYTES + (uint64_t)(_i % 3) * 5 * 4096;
  au_io_t io = io_with_bad_place(1, from, from + 4096);
  if (_i >= 3) { /* a newer one, so that the first is not the last */
    au_spool_t *newer = open_spool(NULL, 65536);
    ck_assert_int_eq(append(newer, 51, 1, size), AU_OK);
    au_spool_close(newer);
  }
  uint64_t rows = _i >= 3 ? 51 : 50;
  au_spool_t *spool = open_spool(&io, 65536);
  ck_assert(!au_spool_may_fall_back(spool));
  seen_t seen;
  read_all(spool, 7, true, 40, &seen);
  ck_assert_uint_eq(seen.count + seen.passed, rows);
  ck_assert_uint_ge(seen.count, rows - 6);
  ck_assert_uint_lt(seen.count, rows);
  ck_assert_int_ge(seen.failures, 10); /* not given up at once */
  ck_assert_uint_ge(damaged(), 1);
  ck_assert_int_eq(append(spool, 99, 1, size), AU_OK);
  read_all(spool, 7, true, 40, &seen);
  check_values(&seen, 99, 1);
  au_spool_close(spool);
  ck_assert_int_eq(files("damaged-0000000000000001.segment", false), 1);
}
END_TEST

START_TEST(read_that_fails_once_costs_nothing) {
  make_spool(30, 500, SEGMENT_BYTES);
  uint64_t newest = newest_segment();
  for (uint64_t number = 1; number <= newest; number++)
    for (uint64_t block = 0; block < 2; block++) {
      au_io_t io = io_with_bad_place(number, 4096 * block, 4096 * (block + 1));
      bad_place.failures = 1;
      au_spool_t *spool = NULL;
      ck_assert_int_eq(try_open(&io, SEGMENT_BYTES, &spool), AU_OK);
      bad_place.failures = 1;
      seen_t seen;
      read_all(spool, 7, false, 1, &seen);
      check_values(&seen, 1, 30);
      ck_assert_uint_eq(damaged(), 0);
      au_spool_close(spool);
    }
  ck_assert_int_eq(files("damaged-", false), 0);
}
END_TEST

START_TEST(disk_that_is_away_is_waited_for) {
  make_spool(20, 500, 65536);
  au_io_t io = io_with_bad_place(1, 8192, 65536);
  bad_place.failures = 0;
  au_spool_t *spool = open_spool(&io, 65536);
  bad_place.failures = -1;
  atomic_store(&bad_place.is_away, true);
  au_slab_t slab = {.count = 0};
  au_position_t at = au_spool_begin(spool);
  for (int i = 0; i < 100; i++) {
    au_status_t status = au_spool_read(spool, at, 100, 100000, &slab);
    ck_assert(status == AU_IO || slab.first_seq == at.seq);
    if (status == AU_OK)
      at = slab.end;
  }
  ck_assert_uint_lt(at.seq, 20);
  atomic_store(&bad_place.is_away, false);
  bad_place.failures = 0;
  seen_t seen;
  read_all(spool, 100, false, 0, &seen);
  check_values(&seen, 1, 20);
  ck_assert_uint_eq(damaged(), 0);
  au_slab_fini(&slab);
  au_spool_close(spool);
}
END_TEST

START_TEST(end_that_cannot_be_read_is_settled_with_the_database) {
  /* The header, the first rows or the last ones of the newest segment. */
  make_spool(30, 500, 65536);
  static const uint64_t from[] = {0, 4096, 16384};
  au_io_t io = io_with_bad_place(1, from[_i], 65536);
  count_what_is_told();
  au_spool_t *spool = NULL;
  for (int start = 0; start < 2; start++) {
    spool = open_spool(&io, 65536);
    ck_assert(au_spool_may_fall_back(spool));
    ck_assert_uint_ge(damaged(), 1);
    au_spool_close(spool);
    ck_assert_int_ge(files("damaged-", false), _i == 2 ? 0 : 1);
  }
  ck_assert_int_ge(lines, 1);
  bad_place.failures = 0;
  spool = open_spool(NULL, 65536);
  ck_assert(_i == 2 || au_spool_may_fall_back(spool));
  au_spool_confirm_owner(spool);
  ck_assert(!au_spool_may_fall_back(spool));
  ck_assert_int_eq(append(spool, 31, 1, 500), AU_OK);
  au_spool_close(spool);
  spool = open_spool(NULL, 65536);
  ck_assert(!au_spool_may_fall_back(spool));
  seen_t seen;
  read_all(spool, 100, false, 0, &seen);
  ck_assert_uint_ge(seen.count, 1);
  ck_assert_uint_eq(seen.value[seen.count - 1], 31);
  au_spool_close(spool);
}
END_TEST

START_TEST(header_that_is_damaged_costs_only_its_segment) {
  make_spool(60, 500, SEGMENT_BYTES);
  ck_assert_uint_ge(newest_segment(), 5);
  overwrite(3, 20, 'x', 8);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  ck_assert(!au_spool_may_fall_back(spool)); /* the end is there */
  seen_t seen;
  read_all(spool, 100, true, 0, &seen);
  ck_assert_uint_eq(seen.count + seen.passed, 60);
  ck_assert_uint_ge(seen.passed, 1);
  ck_assert_uint_le(seen.passed, 8);
  ck_assert_int_eq(files("damaged-0000000000000003.segment", false), 1);
  au_spool_close(spool);
}
END_TEST

START_TEST(segment_that_was_removed_is_passed_in_the_end) {
  make_spool(60, 500, SEGMENT_BYTES);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  ck_assert_int_eq(files("0000000000000003.segment", true), 1);
  seen_t seen;
  read_all(spool, 100, true, 40, &seen);
  ck_assert_uint_eq(seen.count + seen.passed, 60);
  ck_assert_uint_le(seen.passed, 8);
  ck_assert_int_ge(seen.failures, 10);
  ck_assert_uint_eq(damaged(), 1);
  ck_assert_uint_eq(atomic_load(&usage.events), 0);
  ck_assert_uint_eq(atomic_load(&usage.bytes), 0);
  au_spool_close(spool);
}
END_TEST

/* --- the state -------------------------------------------------------------
 */

static void overwrite_state(off_t offset) {
  char path[128];
  snprintf(path, sizeof(path), "%s/state", directory);
  int fd = open(path, O_RDWR);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(pwrite(fd, "damage", 6, offset), 6);
  close(fd);
}

START_TEST(state_with_one_damaged_slot_knows_the_owner) {
  make_spool(5, 100, SEGMENT_BYTES);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  au_uuid_t owner[AU_OWNERS_MAX];
  ck_assert_uint_eq(au_spool_owners(spool, owner), 2);
  au_uuid_t known = owner[1];
  au_uuid_t id = au_spool_id(spool);
  au_spool_confirm_owner(spool);
  au_spool_close(spool);
  overwrite_state(_i * 4096 + 100);
  spool = open_spool(NULL, SEGMENT_BYTES);
  au_uuid_t now = au_spool_id(spool);
  ck_assert_mem_eq(&now, &id, sizeof(id));
  uint32_t owners = au_spool_owners(spool, owner);
  bool found = false;
  for (uint32_t i = 0; i < owners; i++)
    found |= memcmp(&owner[i], &known, sizeof(known)) == 0;
  ck_assert(found);
  seen_t seen;
  read_all(spool, 100, false, 0, &seen);
  check_values(&seen, 1, 5);
  ck_assert_uint_eq(damaged(), 0);
  au_spool_close(spool);
}
END_TEST

START_TEST(state_that_is_lost_costs_no_row) {
  make_spool(60, 500, SEGMENT_BYTES);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  au_uuid_t id = au_spool_id(spool);
  au_slab_t slab = {.count = 0};
  ck_assert_int_eq(
      au_spool_read(spool, au_spool_begin(spool), 3, 100000, &slab), AU_OK);
  au_spool_trim(spool, slab.end);
  au_slab_fini(&slab);
  au_spool_close(spool);
  if (_i == 0) {
    files("state", true);
  } else {
    overwrite_state(100);
    overwrite_state(4096 + 100);
  }
  count_what_is_told();
  spool = open_spool(NULL, SEGMENT_BYTES);
  ck_assert_int_ge(lines, 1);
  au_uuid_t now = au_spool_id(spool);
  ck_assert_mem_eq(&now, &id, sizeof(id));
  /* The database knows that the first ones are stored. */
  seen_t seen;
  read_all(spool, 100, true, 0, &seen);
  check_values(&seen, 1, 60);
  ck_assert_int_eq(append(spool, 61, 1, 500), AU_OK);
  au_spool_close(spool);
  spool = open_spool(NULL, SEGMENT_BYTES);
  read_all(spool, 100, true, 0, &seen);
  check_values(&seen, 61, 1);
  ck_assert_uint_eq(damaged(), 0);
  au_spool_close(spool);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("recovery");
  TCase *tcase = tcase_create("recovery");
  tcase_set_timeout(tcase, 60);
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, little_room_behind_the_last_group_is_no_damage, 0,
                      4);
  tcase_add_test(tcase, torn_tail_of_an_older_segment_is_no_damage);
  tcase_add_test(tcase, state_that_cannot_be_written_is_tried_once_a_second);
  tcase_add_test(tcase, full_disk_is_told_once_and_forgotten_once);
  tcase_add_test(tcase, spool_opens_on_a_full_disk);
  tcase_add_test(tcase, name_of_the_directory_is_synced);
  tcase_add_test(tcase, state_has_its_room_from_the_start);
  tcase_add_test(tcase, groups_that_cannot_be_synced_leave_nothing_behind);
  tcase_add_test(tcase,
                 failed_sync_of_the_interval_is_got_over_without_an_append);
  tcase_add_test(tcase, remains_of_a_failed_write_hide_no_later_row);
  tcase_add_loop_test(
      tcase, failed_read_while_damage_is_passed_loses_no_neighbour, 0, 2);
  tcase_add_test(tcase, damage_is_told_once_however_often_it_is_read);
  tcase_add_loop_test(tcase, block_that_cannot_be_read_costs_only_its_rows, 0,
                      6);
  tcase_add_test(tcase, read_that_fails_once_costs_nothing);
  tcase_add_test(tcase, disk_that_is_away_is_waited_for);
  tcase_add_loop_test(
      tcase, end_that_cannot_be_read_is_settled_with_the_database, 0, 3);
  tcase_add_test(tcase, header_that_is_damaged_costs_only_its_segment);
  tcase_add_test(tcase, segment_that_was_removed_is_passed_in_the_end);
  tcase_add_loop_test(tcase, state_with_one_damaged_slot_knows_the_owner, 0, 2);
  tcase_add_loop_test(tcase, state_that_is_lost_costs_no_row, 0, 2);
  suite_add_tcase(suite, tcase);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
