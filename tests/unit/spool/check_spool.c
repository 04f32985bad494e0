/* SPDX-License-Identifier: MIT
 *
 * The spool against what it promises: what was acknowledged is read back, in
 * order, after a restart, a torn tail, a flipped bit, and whichever call of the
 * system fails.
 */
#include "base/crc32c.h"
#include "metrics/metrics.h"
#include "support/spools.h"
#include "support/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static uint64_t check_row(const au_slab_t *slab, size_t index) {
  const au_row_t row = au_slab_row(slab, index);
  uint64_t value;
  memcpy(&value, row.tuple, sizeof(value));
  size_t wrong = 0;
  for (size_t i = sizeof(value); i < row.size; i++)
    wrong += row.tuple[i] != (value % 251) + 1;
  ck_assert_uint_eq(wrong, 0);
  return value;
}

static au_spool_t *open_as(const char *path, au_durability_t durability,
                           uint64_t segment_bytes) {
  char error[256] = "";
  au_spool_t *spool = NULL;
  const au_spool_config_t config = {.directory = path,
                                    .segment_bytes = segment_bytes,
                                    .durability = durability,
                                    .sync_interval_s = 0.05,
                                    .usage = &usage};
  atomic_store(&usage.events, 0);
  atomic_store(&usage.bytes, 0);
  au_status_t status = au_spool_open(&config, &spool, error, sizeof(error));
  ck_assert_msg(status == AU_OK, "open: %s", error);
  return spool;
}

/* Reads all that is there from the begin on, without trimming; returns how many
 * rows, and checks that they are "first", "first" + 1, ... */
static uint64_t read_from(au_spool_t *spool, uint64_t first) {
  au_slab_t slab = {.count = 0};
  au_position_t at = au_spool_begin(spool);
  uint64_t rows = 0;
  for (;;) {
    ck_assert_int_eq(au_spool_read(spool, at, 7, 4000, &slab), AU_OK);
    if (slab.end.seq == at.seq)
      break;
    for (size_t i = 0; i < slab.count; i++)
      ck_assert_uint_eq(check_row(&slab, i), first + rows++);
    at = slab.end;
  }
  au_slab_fini(&slab);
  return rows;
}

static void trim_all(au_spool_t *spool) {
  au_slab_t slab = {.count = 0};
  for (;;) {
    au_position_t at = au_spool_begin(spool);
    ck_assert_int_eq(au_spool_read(spool, at, 100, 100000, &slab), AU_OK);
    if (slab.end.seq == at.seq)
      break;
    au_spool_trim(spool, slab.end);
  }
  au_slab_fini(&slab);
}

CASE("spool", setup, teardown);

TEST(crc_is_that_of_rfc_3720) {
  uint8_t data[32];
  memset(data, 0, sizeof(data));
  ck_assert_uint_eq(au_crc32c(0, data, 32), 0x8a9136aa);
  memset(data, 0xff, sizeof(data));
  ck_assert_uint_eq(au_crc32c(0, data, 32), 0x62a8ab43);
  for (uint8_t i = 0; i < 32; i++)
    data[i] = i;
  for (size_t size = 0; size <= 32; size++)
    ck_assert_uint_eq(au_crc32c(7, data, size), au_crc32c_table(7, data, size));
  ck_assert_uint_eq(au_crc32c_table(0, data, 32), 0x46dd794e);
}

TEST(memory_gives_back_what_was_appended) {
  au_spool_t *spool = open_as(NULL, AU_DURABILITY_MEMORY, 65536);
  uint64_t value = 1;
  for (size_t group = 1; group < 60; group++) {
    ck_assert_int_eq(append(spool, value, group, 100 + (uint32_t)group), AU_OK);
    value += group;
  }
  ck_assert_uint_eq(au_spool_durable_seq(spool), value);
  ck_assert_uint_eq(read_from(spool, 1), value - 1);
  ck_assert_uint_eq(atomic_load(&usage.events), value - 1);
  trim_all(spool);
  ck_assert_uint_eq(atomic_load(&usage.events), 0);
  ck_assert_uint_eq(atomic_load(&usage.bytes), 0);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_ENQUEUED, 0), value - 1);
  au_spool_close(spool);
}

TEST(group_larger_than_a_segment_fits) {
  au_spool_t *spool = open_as(NULL, AU_DURABILITY_MEMORY, 8192);
  ck_assert_int_eq(append(spool, 1, 1000, 300), AU_OK);
  ck_assert_int_eq(append(spool, 1001, 1, 300), AU_OK);
  ck_assert_uint_eq(read_from(spool, 1), 1001);
  au_spool_close(spool);
}

static const au_durability_t durabilities[] = {
    AU_DURABILITY_COMMIT, AU_DURABILITY_INTERVAL, AU_DURABILITY_MEMORY};

TEST_EACH(directory_survives_restarts, 3) {
  au_durability_t durability = durabilities[_i];
  uint64_t value = 1;
  au_uuid_t id = {{0}};
  for (int start = 0; start < 4; start++) {
    au_spool_t *spool = open_as(directory, durability, 65536);
    au_uuid_t now = au_spool_id(spool);
    if (start > 0)
      ck_assert_mem_eq(&id, &now, sizeof(id));
    id = now;
    ck_assert_uint_eq(read_from(spool, 1), value - 1);
    ck_assert_uint_eq(atomic_load(&usage.events), value - 1);
    for (size_t group = 1; group < 40; group++) {
      ck_assert_int_eq(append(spool, value, group, 200), AU_OK);
      value += group;
    }
    au_spool_close(spool);
  }
}

TEST(trim_deletes_segments_and_is_remembered) {
  au_spool_t *spool = open_spool(NULL, 16384);
  for (uint64_t value = 1; value <= 400; value++)
    ck_assert_int_eq(append(spool, value, 1, 200), AU_OK);
  au_slab_t slab = {.count = 0};
  while (au_spool_begin(spool).seq < 301) {
    ck_assert_int_eq(
        au_spool_read(spool, au_spool_begin(spool), 10, 100000, &slab), AU_OK);
    size_t left = 301 - (size_t)au_spool_begin(spool).seq;
    au_spool_trim(
        spool, au_slab_position(&slab, slab.count < left ? slab.count : left));
  }
  au_slab_fini(&slab);
  ck_assert_uint_eq(read_from(spool, 301), 100);
  au_spool_close(spool);
  spool = open_spool(NULL, 16384);
  ck_assert_uint_eq(au_spool_begin(spool).seq, 301);
  ck_assert_uint_eq(read_from(spool, 301), 100);
  trim_all(spool);
  ck_assert_int_eq(append(spool, 401, 3, 50), AU_OK);
  ck_assert_uint_eq(read_from(spool, 401), 3);
  au_spool_close(spool);
  ck_assert_int_le(files(".segment", false), 2);
}

TEST(second_owner_is_refused) {
  au_spool_t *spool = open_spool(NULL, 65536);
  char error[256] = "";
  au_spool_t *second = NULL;
  const au_spool_config_t config = {.directory = directory, .usage = &usage};
  ck_assert_int_eq(au_spool_open(&config, &second, error, sizeof(error)),
                   AU_IO);
  ck_assert_ptr_null(second);
  ck_assert_ptr_nonnull(strstr(error, "another process uses it"));
  au_spool_close(spool);
}

TEST(torn_tail_loses_only_the_torn_group) {
  /* Groups of 3 rows; the last one is cut at every eighth byte. */
  const uint32_t row = 40;
  const uint64_t group_bytes = group_size(3, row);
  for (uint64_t cut = 0; cut < group_bytes; cut += 8) {
    au_spool_t *spool = open_spool(NULL, 65536);
    for (uint64_t value = 1; value <= 12; value += 3)
      ck_assert_int_eq(append(spool, value, 3, row), AU_OK);
    au_spool_close(spool);
    overwrite(newest_segment(), HEADER_BYTES + 3 * group_bytes + cut, 0,
              group_bytes - cut);
    spool = open_spool(NULL, 65536);
    ck_assert_uint_eq(read_from(spool, 1), 9);
    ck_assert_uint_eq(au_metrics_counter(AU_M_SPOOL_DAMAGED, 0), 0);
    /* What comes next takes the numbers of the torn group. */
    ck_assert_int_eq(append(spool, 10, 2, row), AU_OK);
    ck_assert_uint_eq(read_from(spool, 1), 11);
    au_spool_close(spool);
    files("", true);
  }
}

TEST_EACH(flipped_bit_costs_only_its_row, 2) {
  au_spool_t *spool = open_spool(NULL, 65536);
  for (uint64_t value = 1; value <= 20; value++)
    ck_assert_int_eq(append(spool, value, 1, 64), AU_OK);
  au_spool_close(spool);
  /* A byte of the header or of the data of row 6. */
  flip(newest_segment(),
       HEADER_BYTES + 5 * group_size(1, 64) + (_i == 0 ? 5 : 60), 0x10);

  spool = open_spool(NULL, 65536);
  au_slab_t slab = {.count = 0};
  uint64_t seen = 0;
  for (;;) {
    au_position_t begin = au_spool_begin(spool);
    ck_assert_int_eq(au_spool_read(spool, begin, 100, 100000, &slab), AU_OK);
    if (slab.end.seq == begin.seq)
      break;
    for (size_t i = 0; i < slab.count; i++) {
      uint64_t value = check_row(&slab, i);
      ck_assert_uint_ne(value, 6);
      ck_assert_uint_eq(value, slab.first_seq + i);
      seen++;
    }
    au_spool_trim(spool, slab.end);
  }
  au_slab_fini(&slab);
  ck_assert_uint_eq(seen, 19);
  ck_assert_uint_eq(au_metrics_counter(AU_M_SPOOL_DAMAGED, 0), 1);
  ck_assert_uint_eq(atomic_load(&usage.events), 0);
  ck_assert_uint_eq(atomic_load(&usage.bytes), 0);
  au_spool_close(spool);
}

/* The one that the database has, those since, and those before it, which it has
 * again when it falls back. */
TEST(restart_adds_an_owner) {
  au_uuid_t owner[AU_OWNERS_MAX];
  for (uint32_t start = 1; start <= 3; start++) {
    au_spool_t *spool = open_spool(NULL, 65536);
    ck_assert_uint_eq(au_spool_owners(spool, owner, NULL), start);
    au_spool_close(spool);
  }
  au_uuid_t last = owner[2];
  au_spool_t *spool = open_spool(NULL, 65536);
  ck_assert_uint_eq(au_spool_owners(spool, owner, NULL), 4);
  ck_assert_mem_eq(&owner[2], &last, sizeof(last));
  last = owner[3];
  au_spool_confirm_owner(spool);
  au_spool_close(spool);
  spool = open_spool(NULL, 65536);
  ck_assert_uint_eq(au_spool_owners(spool, owner, NULL), 5);
  ck_assert_mem_eq(&owner[3], &last, sizeof(last));
  au_spool_close(spool);
}

/* The system with a call that fails: the n-th of a kind, and never a second
 * sync of a file whose sync has failed. */
enum {
  CALL_OPEN,
  CALL_WRITE,
  CALL_SYNC,
  CALL_ALLOCATE,
  CALL_RENAME,
  CALL_KINDS
};
static atomic_int calls_left[CALL_KINDS]; /* fails when it reaches 0 */
static atomic_int failed_fd;
static atomic_int synced_again;

static bool fails(int kind) {
  return atomic_fetch_sub(&calls_left[kind], 1) == 1;
}

static int failing_openat(int dir, const char *name, int flags, mode_t mode) {
  if (fails(CALL_OPEN)) {
    errno = EMFILE;
    return -1;
  }
  return au_io_system.openat(dir, name, flags, mode);
}

static ssize_t failing_pwritev(int fd, const struct iovec *iov, int count,
                               off_t offset) {
  if (fails(CALL_WRITE)) {
    errno = ENOSPC;
    return -1;
  }
  return au_io_system.pwritev(fd, iov, count, offset);
}

static int failing_fdatasync(int fd) {
  if (fd == atomic_load(&failed_fd))
    atomic_fetch_add(&synced_again, 1);
  if (fails(CALL_SYNC)) {
    atomic_store(&failed_fd, fd);
    errno = EIO;
    return -1;
  }
  return au_io_system.fdatasync(fd);
}

static int noting_close(int fd) {
  int expected = fd;
  atomic_compare_exchange_strong(&failed_fd, &expected, -1);
  return au_io_system.close(fd);
}

static int failing_fallocate(int fd, off_t offset, off_t size) {
  if (fails(CALL_ALLOCATE)) {
    errno = ENOSPC;
    return -1;
  }
  return au_io_system.fallocate(fd, offset, size);
}

static int failing_renameat(int dir, const char *from, const char *to) {
  if (fails(CALL_RENAME)) {
    errno = EIO;
    return -1;
  }
  return au_io_system.renameat(dir, from, to);
}

static au_io_t failing_io(void) {
  au_io_t io = au_io_system;
  io.openat = failing_openat;
  io.pwritev = failing_pwritev;
  io.fdatasync = failing_fdatasync;
  io.close = noting_close;
  io.fallocate = failing_fallocate;
  io.renameat = failing_renameat;
  return io;
}

static void never_fail(void) {
  for (int kind = 0; kind < CALL_KINDS; kind++)
    atomic_store(&calls_left[kind], 0);
  atomic_store(&failed_fd, -1);
  atomic_store(&synced_again, 0);
}

/* One run with the n-th call of a kind failing; false when it never failed. */
static bool run_with_failure(int kind, int n) {
  au_io_t io = failing_io();
  never_fail();
  atomic_store(&calls_left[kind], n);
  au_spool_t *spool = NULL;
  bool acknowledged[64] = {false};
  if (try_open(&io, 8192, &spool) == AU_OK) {
    for (uint64_t value = 0; value < 64; value++)
      acknowledged[value] = append(spool, value, 1, 200) == AU_OK;
    au_spool_close(spool);
  }
  bool failed = atomic_load(&calls_left[kind]) <= 0;
  ck_assert_int_eq(atomic_load(&synced_again), 0);
  never_fail();

  spool = open_spool(NULL, 8192);
  au_slab_t slab = {.count = 0};
  au_position_t at = au_spool_begin(spool);
  int64_t last = -1;
  for (;;) {
    ck_assert_int_eq(au_spool_read(spool, at, 100, 100000, &slab), AU_OK);
    if (slab.end.seq == at.seq)
      break;
    for (size_t i = 0; i < slab.count; i++) {
      uint64_t value = check_row(&slab, i);
      ck_assert_int_gt((int64_t)value, last); /* once each, in order */
      for (int64_t passed = last + 1; passed < (int64_t)value; passed++)
        ck_assert_msg(!acknowledged[passed],
                      "kind %d, call %d: row %d was acknowledged and is lost",
                      kind, n, (int)passed);
      last = (int64_t)value;
    }
    at = slab.end;
  }
  for (int64_t passed = last + 1; passed < 64; passed++)
    ck_assert_msg(!acknowledged[passed],
                  "kind %d, call %d: row %d was acknowledged and is lost", kind,
                  n, (int)passed);
  ck_assert_uint_eq(au_metrics_counter(AU_M_SPOOL_DAMAGED, 0), 0);
  au_slab_fini(&slab);
  au_spool_close(spool);
  files("", true);
  return failed;
}

TEST_EACH(any_failing_call_loses_nothing_acknowledged, CALL_KINDS) {
  int n = 1;
  while (run_with_failure(_i, n))
    n++;
  ck_assert_int_gt(n, 2);
}

/* Many threads append while one reads and trims. */
#define THREADS 6
#define PER_THREAD 400

typedef struct appender {
  pthread_t thread;
  au_spool_t *spool;
  uint64_t base;
} appender_t;

static void *appender_main(void *argument) {
  appender_t *appender = argument;
  for (uint64_t i = 0; i < PER_THREAD; i++)
    ck_assert_int_eq(append(appender->spool, appender->base + i, 1, 80), AU_OK);
  return NULL;
}

TEST_EACH(many_threads_append_and_one_reads, 3) {
  const char *path = _i == 0 ? NULL : directory;
  au_spool_t *spool = open_as(path, durabilities[2 - _i], 32768);
  static appender_t appender[THREADS];
  for (uint64_t i = 0; i < THREADS; i++) {
    appender[i] = (appender_t){.spool = spool, .base = i * 1000000};
    ck_assert_int_eq(
        pthread_create(&appender[i].thread, NULL, appender_main, &appender[i]),
        0);
  }
  uint64_t next[THREADS] = {0};
  uint64_t seen = 0;
  au_slab_t slab = {.count = 0};
  while (seen < THREADS * PER_THREAD) {
    au_position_t begin = au_spool_begin(spool);
    ck_assert_int_eq(au_spool_read(spool, begin, 50, 100000, &slab), AU_OK);
    for (size_t i = 0; i < slab.count; i++) {
      uint64_t value = check_row(&slab, i);
      ck_assert_uint_eq(value % 1000000, next[value / 1000000]++);
      seen++;
    }
    au_spool_trim(spool, slab.end);
  }
  for (int i = 0; i < THREADS; i++)
    pthread_join(appender[i].thread, NULL);
  au_slab_fini(&slab);
  ck_assert_uint_eq(atomic_load(&usage.events), 0);
  ck_assert_uint_eq(atomic_load(&usage.bytes), 0);
  au_spool_close(spool);
}

/* Random operations against a list. */
TEST_EACH(random_operations_match_the_model, 12) {
  unsigned seed = (unsigned)_i + 1;
  au_durability_t durability = durabilities[_i % 3];
  uint64_t first = 1; /* oldest value that is not trimmed */
  uint64_t next = 1;  /* next value to append */
  au_spool_t *spool = open_as(directory, durability, 16384);
  au_slab_t slab = {.count = 0};
  for (int step = 0; step < 300; step++) {
    int what = rand_r(&seed) % 10;
    if (what < 5) {
      size_t count = 1 + (size_t)rand_r(&seed) % 20;
      uint32_t size = 8 + (uint32_t)rand_r(&seed) % 400;
      ck_assert_int_eq(append(spool, next, count, size), AU_OK);
      next += count;
    } else if (what < 9) {
      size_t rows = 1 + (size_t)rand_r(&seed) % 30;
      ck_assert_int_eq(
          au_spool_read(spool, au_spool_begin(spool), rows, 100000, &slab),
          AU_OK);
      ck_assert_uint_le(slab.count, rows);
      ck_assert(slab.count > 0 || first == next);
      size_t keep =
          slab.count == 0 ? 0 : (size_t)rand_r(&seed) % slab.count + 1;
      for (size_t i = 0; i < slab.count; i++)
        ck_assert_uint_eq(check_row(&slab, i), first + i);
      au_spool_trim(spool, au_slab_position(&slab, keep));
      first += keep;
    } else {
      au_spool_close(spool);
      spool = open_as(directory, durability, 16384);
    }
    ck_assert_uint_eq(atomic_load(&usage.events), next - first);
    ck_assert_uint_eq(au_spool_durable_seq(spool) - au_spool_begin(spool).seq,
                      next - first);
  }
  ck_assert_uint_eq(read_from(spool, first), next - first);
  au_slab_fini(&slab);
  au_spool_close(spool);
}

int main(void) { return run_tests("spool"); }
