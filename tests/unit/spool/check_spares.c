/* SPDX-License-Identifier: MIT
 *
 * Files of segments whose rows are gone become new segments: when, how many,
 * which never, and that nothing of an earlier life passes for a row.
 */
#include "spool/spares.h"
#include "support/spools.h"
#include "support/suite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROW 500
#define MUCH ((uint64_t)1 << 30)
#define SALT_AT 40
#define LIVES_AT 56

/* Of a spool; larger where something is to be left of an earlier life: the
 * first group in a block fills it. */
static uint64_t segment_bytes = SEGMENT_BYTES;

/* Groups of one such row that fit a segment. */
static uint64_t rows_a_segment(void) {
  return (segment_bytes - HEADER_BYTES) / group_size(1, ROW);
}

static au_spool_t *open_sparing(const au_io_t *io, uint64_t max_bytes,
                                uint64_t keep_bytes) {
  return open_configured((au_spool_config_t){.io = io,
                                             .segment_bytes = segment_bytes,
                                             .keep_s = 3600,
                                             .keep_bytes = keep_bytes,
                                             .max_bytes = max_bytes});
}

static void close_spool(au_spool_t *spool) {
  au_spool_close(spool);
  ck_assert_uint_eq(atomic_load(&usage.spare_bytes), 0);
}

static void check_waiting(au_spool_t *spool, uint64_t first, uint64_t last) {
  static seen_t seen;
  read_all(spool, 3, false, 0, &seen);
  check_values(&seen, first, last - first + 1);
  ck_assert_uint_eq(seen.passed, 0);
  ck_assert_uint_eq(damaged(), 0);
}

static void await_spares(int least, int most) {
  for (int i = 0;; i++) {
    int count = files(".spare.new", false);
    if (count >= least && count <= most)
      return;
    ck_assert_int_lt(i, 30000);
    pause_briefly();
  }
}

/* Stores rows until there are so many spares, and returns the last one. */
static uint64_t make_spares(au_spool_t *spool, int count) {
  uint64_t last = rows_a_segment() * 6;
  store_rows(spool, 1, last, ROW);
  await_spares(count, AU_SPARES_MAX);
  return last;
}

static void spare_path(char path[128]) {
  DIR *dir = opendir(directory);
  ck_assert_ptr_nonnull(dir);
  path[0] = '\0';
  const struct dirent *entry;
  while ((entry = readdir(dir)) != NULL)
    if (au_segment_parse_spare(entry->d_name) != 0)
      snprintf(path, 128, "%s/%.40s", directory, entry->d_name);
  closedir(dir);
  ck_assert_str_ne(path, "");
}

static uint32_t lives_of(uint64_t number) {
  char path[128];
  segment_path(number, "", path);
  int fd = open(path, O_RDONLY);
  ck_assert_int_ge(fd, 0);
  uint32_t lives = 0;
  ck_assert_int_eq(pread(fd, &lives, sizeof(lives), LIVES_AT), sizeof(lives));
  close(fd);
  return lives;
}

static void setup_spares(void) {
  setup();
  segment_bytes = SEGMENT_BYTES;
  atomic_store(&usage.spare_bytes, 0);
}

CASE("spares", setup_spares, teardown);

TEST(segments_are_made_of_those_that_are_gone) {
  au_spool_t *spool = open_sparing(NULL, MUCH, 0);
  uint64_t last = make_spares(spool, 1);
  /* Which of the spares is taken, and whether one is there in time, is open. */
  for (int i = 0; lives_of(newest_segment()) < 3; i++) {
    ck_assert_int_lt(i, 1000);
    store_rows(spool, last + 1, last + rows_a_segment(), ROW);
    last += rows_a_segment();
    await_spares(1, AU_SPARES_MAX);
  }
  close_spool(spool);
}

/* Whatever the bound leaves, and no more than that. */
TEST_EACH(spares_are_bounded, 4) {
  static const uint64_t max_bytes[] = {0, SEGMENT_BYTES - 1,
                                       2 * SEGMENT_BYTES - 1, MUCH};
  static const int expected[] = {0, 0, 1, AU_SPARES_MAX};
  au_spool_t *spool = open_sparing(NULL, max_bytes[_i], 0);
  store_rows(spool, 1, rows_a_segment() * 10, ROW);
  while (files(".segment", false) > 3)
    pause_briefly();
  await_spares(0, expected[_i]);
  ck_assert_uint_le(atomic_load(&usage.spare_bytes), max_bytes[_i]);
  store_rows(spool, rows_a_segment() * 10 + 1, rows_a_segment() * 20, ROW);
  await_spares(expected[_i], expected[_i]);
  ck_assert_uint_eq(atomic_load(&usage.spare_bytes),
                    (uint64_t)expected[_i] * SEGMENT_BYTES);
  close_spool(spool);
}

TEST(spares_go_when_rows_come_to_need_the_room) {
  const uint64_t max_bytes = (uint64_t)100 * SEGMENT_BYTES;
  au_spool_t *spool = open_sparing(NULL, max_bytes, 0);
  uint64_t last = make_spares(spool, AU_SPARES_MAX);
  /* As other spools of the same bound would. */
  atomic_fetch_add(&usage.bytes, max_bytes - SEGMENT_BYTES);
  await_spares(1, 1);
  ck_assert_uint_eq(atomic_load(&usage.spare_bytes), SEGMENT_BYTES);
  atomic_fetch_add(&usage.bytes, 1);
  await_spares(0, 0);
  store_rows(spool, last + 1, last + rows_a_segment(), ROW);
  close_spool(spool);
}

TEST(memory_has_none) {
  char error[256] = "";
  au_spool_t *spool = NULL;
  const au_spool_config_t config = {
      .segment_bytes = SEGMENT_BYTES, .max_bytes = MUCH, .usage = &usage};
  ck_assert_int_eq(au_spool_open(&config, &spool, error, sizeof(error)), AU_OK);
  store_rows(spool, 1, 60, ROW);
  ck_assert_uint_eq(atomic_load(&usage.spare_bytes), 0);
  close_spool(spool);
}

/* --- restarts --------------------------------------------------------------
 */

static atomic_int allocated;

static int counted_fallocate(int fd, off_t offset, off_t size) {
  atomic_fetch_add(&allocated, is_named(fd, ".new") ? 1 : 0);
  return au_io_system.fallocate(fd, offset, size);
}

static au_io_t counting_io(void) {
  au_io_t io = au_io_system;
  io.fallocate = counted_fallocate;
  atomic_store(&allocated, 0);
  return io;
}

TEST(spares_are_found_at_the_next_start) {
  const au_io_t io = counting_io();
  au_spool_t *spool = open_sparing(NULL, MUCH, 0);
  uint64_t last = make_spares(spool, 1);
  ck_assert_int_eq(append(spool, last + 1, 1, ROW), AU_OK);
  close_spool(spool);
  spool = open_sparing(&io, MUCH, 0);
  ck_assert_int_eq(atomic_load(&allocated), 0);
  ck_assert_uint_gt(lives_of(newest_segment()), 0);
  check_waiting(spool, last + 1, last + 1);
  close_spool(spool);
}

/* Neither the segment that was made ahead, nor one without rows, is lost. */
TEST(starts_alone_allocate_nothing) {
  const au_io_t io = counting_io();
  au_spool_t *spool = open_sparing(NULL, MUCH, 0);
  (void)make_spares(spool, 1);
  close_spool(spool);
  for (int start = 0; start < 5; start++) {
    spool = open_sparing(&io, MUCH, 0);
    close_spool(spool);
  }
  ck_assert_int_eq(atomic_load(&allocated), 0);
}

/* In every release what ends so is deleted at the start, if it is not known. */
TEST(spares_are_no_segments_to_other_releases) {
  au_spool_t *spool = open_sparing(NULL, MUCH, 0);
  (void)make_spares(spool, 1);
  close_spool(spool);
  char path[128];
  spare_path(path);
  ck_assert_str_eq(path + strlen(path) - 4, ".new");
  ck_assert_uint_eq(au_segment_parse_name(strrchr(path, '/') + 1), 0);
}

static void change_file(const char *path, uint64_t offset, uint8_t byte) {
  int fd = open(path, O_RDWR);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
  close(fd);
}

/* Of another size; with a header that is damaged; with that of another segment;
 * with a number that is still to come; with a second name, of somebody's copy;
 * and when spares are not wanted any more. */
TEST_EACH(unfit_spares_are_deleted, 6) {
  const au_io_t io = counting_io();
  au_spool_t *spool = open_sparing(NULL, MUCH, 0);
  (void)make_spares(spool, 1);
  close_spool(spool);
  char path[128];
  char other[160];
  spare_path(path);
  snprintf(other, sizeof(other), "%s/aside", directory);
  ck_assert_int_eq(rename(path, other), 0);
  (void)files(".spare.new", true);
  ck_assert_int_eq(rename(other, path), 0);
  if (_i == 0)
    ck_assert_int_eq(truncate(path, SEGMENT_BYTES + 1), 0);
  else if (_i == 1)
    change_file(path, SALT_AT, 0x5a);
  uint64_t number = au_segment_parse_spare(strrchr(path, '/') + 1);
  snprintf(other, sizeof(other), "%s/%016" PRIx64 ".spare.new", directory,
           _i == 2 ? number ^ 1 : number + 0xffff);
  if (_i == 2 || _i == 3)
    ck_assert_int_eq(rename(path, other), 0);
  snprintf(other, sizeof(other), "%s/copy", directory);
  if (_i == 4)
    ck_assert_int_eq(link(path, other), 0);
  spool = open_sparing(&io, _i == 5 ? 0 : MUCH, 0);
  ck_assert_int_eq(files(".spare.new", false), 0);
  ck_assert_int_eq(atomic_load(&allocated), 1);
  ck_assert_uint_eq(lives_of(newest_segment()), 0);
  ck_assert_int_eq(files("copy", false), _i == 4 ? 1 : 0);
  close_spool(spool);
}

/* --- what was there before -------------------------------------------------
 */

/* A process that is killed leaves the segment as it is, and the rows of its
 * earlier lives behind the new ones. */
TEST(rows_of_an_earlier_life_stay_gone) {
  static seen_t seen;
  char command[256];
  char copy[80];
  segment_bytes = (uint64_t)4 * 4096;
  au_spool_t *spool = open_sparing(NULL, MUCH, 0);
  uint64_t last = make_spares(spool, AU_SPARES_MAX);
  for (uint64_t round = 0; round < 4; round++) {
    store_rows(spool, last + 1, last + rows_a_segment() * 2 + round, ROW);
    last += rows_a_segment() * 2 + round;
    await_spares(1, AU_SPARES_MAX);
    ck_assert_int_eq(append(spool, last + 1, 1, ROW), AU_OK);
    snprintf(copy, sizeof(copy), "%s.copy", directory);
    snprintf(command, sizeof(command), "cp -r %s %s", directory, copy);
    ck_assert_int_eq(system(command), 0);
    check_waiting(spool, last + 1, last + 1);
    close_spool(spool);
    (void)files("", true);
    snprintf(command, sizeof(command), "cp %s/* %s && rm -r %s", copy,
             directory, copy);
    ck_assert_int_eq(system(command), 0);
    spool = open_sparing(NULL, MUCH, 0);
    /* The state may be a little older than the trim. */
    check_waiting(spool, au_spool_begin(spool).seq, last + 1);
    read_all(spool, 3, true, 0, &seen);
    last++;
  }
  close_spool(spool);
}

/* Neither is one of them a torn end: what was allocated and is not used does
 * not count in what is kept. The group ends with a block, so that no zeros
 * follow. */
TEST(rows_of_an_earlier_life_are_not_kept) {
  const uint32_t row = 4096 - (uint32_t)group_size(1, 0);
  segment_bytes = (uint64_t)4 * 4096;
  au_spool_t *spool = open_sparing(NULL, MUCH, segment_bytes);
  uint64_t last = make_spares(spool, 1);
  close_spool(spool);
  spool = open_sparing(NULL, MUCH, segment_bytes);
  uint64_t number = newest_segment();
  ck_assert_uint_gt(lives_of(number), 0);
  ck_assert_int_eq(append(spool, last + 1, 1, row), AU_OK);
  close_spool(spool);
  spool = open_sparing(NULL, MUCH, segment_bytes);
  char path[128];
  struct stat info;
  segment_path(number, "", path);
  ck_assert_int_eq(stat(path, &info), 0);
  ck_assert_int_eq(info.st_size, 2 * HEADER_BYTES);
  close_spool(spool);
}

static _Atomic uint64_t bytes_read;

static ssize_t counted_pread(int fd, void *data, size_t size, off_t offset) {
  ssize_t done = au_io_system.pread(fd, data, size, offset);
  atomic_fetch_add(&bytes_read, done > 0 ? (uint64_t)done : 0);
  return done;
}

/* Bytes that look like the headers of large rows, one behind the other, cost
 * time in proportion to the file, and groups behind them are found. */
TEST(rows_that_look_like_headers_cost_little) {
  const uint64_t size = (uint64_t)1 << 20;
  make_spool(3, ROW, size);
  char path[128];
  segment_path(nth_segment(1), "", path);
  int fd = open(path, O_RDWR);
  ck_assert_int_ge(fd, 0);
  uint64_t salt;
  ck_assert_int_eq(pread(fd, &salt, sizeof(salt), SALT_AT), sizeof(salt));
  uint64_t at = HEADER_BYTES + 3 * group_size(1, ROW);
  const uint32_t header[6] = {1, (uint32_t)size / 2, 4,
                              0, AU_FRAME_ROW,       AU_ROW_LAYOUT};
  for (; at < size - 4096; at += sizeof(header))
    ck_assert_int_eq(pwrite(fd, header, sizeof(header), (off_t)at),
                     sizeof(header));
  au_bytes_t frames = AU_BYTES_INIT;
  uint8_t row[ROW] = {0};
  for (uint64_t seq = 4; seq <= 5; seq++) {
    size_t start = frames.size;
    au_frame_put_row(&frames, AU_ROW_EVENT, row, sizeof(row));
    au_frame_put_footer(&frames, 1);
    au_frame_seal(frames.data + start, frames.size - start, seq, salt);
  }
  ck_assert_int_eq(pwrite(fd, frames.data, frames.size, (off_t)at),
                   (ssize_t)frames.size);
  close(fd);
  au_bytes_fini(&frames);
  au_io_t io = au_io_system;
  io.pread = counted_pread;
  atomic_store(&bytes_read, 0);
  au_spool_t *spool = open_spool(&io, size);
  ck_assert_uint_eq(au_spool_durable_seq(spool), 6);
  static seen_t seen;
  read_all(spool, 10, false, 0, &seen);
  ck_assert_uint_eq(seen.count + seen.passed, 5);
  ck_assert_uint_ge(seen.count, 4);
  ck_assert_uint_eq(damaged(), 1);
  /* Recovery looks twice, a reader once. */
  ck_assert_uint_lt(atomic_load(&bytes_read), 30 * size);
  close_spool(spool);
}

/* --- a bad disk ------------------------------------------------------------
 */

static int full_fallocate(int fd, off_t offset, off_t size) {
  if (is_named(fd, ".new") && files(".spare.new", false) > 0) {
    errno = ENOSPC;
    return -1;
  }
  return au_io_system.fallocate(fd, offset, size);
}

/* A request that is too large for a spare takes the room of all; what is kept
 * stays. */
TEST(full_disk_takes_spares_first) {
  au_io_t io = au_io_system;
  io.fallocate = full_fallocate;
  au_spool_t *spool = open_sparing(&io, MUCH, 2 * SEGMENT_BYTES);
  uint64_t last = make_spares(spool, 1);
  uint64_t kept = au_spool_kept_seq(spool);
  ck_assert_uint_le(kept, last);
  ck_assert_int_eq(append(spool, last + 1, 1, 2 * SEGMENT_BYTES), AU_OK);
  ck_assert_uint_eq(au_spool_kept_seq(spool), kept);
  ck_assert_uint_eq(atomic_load(&usage.disk_full), 0);
  close_spool(spool);
}

/* Another spool of the bound says that the disk is full. */
TEST(spares_go_when_the_disk_is_full) {
  au_spool_t *spool = open_sparing(NULL, MUCH, 0);
  (void)make_spares(spool, 1);
  atomic_fetch_add(&usage.disk_full, 1);
  await_spares(0, 0);
  ck_assert_uint_eq(atomic_load(&usage.spare_bytes), 0);
  close_spool(spool);
}

static char failed_name[AU_SEGMENT_NAME_SIZE];
static atomic_int spared;
static atomic_bool fails_once;

static int failing_fdatasync(int fd) {
  if (!is_named(fd, failed_name) || !atomic_exchange(&fails_once, false))
    return au_io_system.fdatasync(fd);
  errno = EIO;
  return -1;
}

static int failing_ftruncate(int fd, off_t size) {
  (void)fd;
  (void)size;
  errno = EIO;
  return -1;
}

static int watched_renameat(int dir, const char *from, const char *to) {
  atomic_fetch_add(&spared, strcmp(from, failed_name) == 0 ? 1 : 0);
  return au_io_system.renameat(dir, from, to);
}

/* It is as long as before, since that could not be changed, either. */
TEST(segment_that_failed_is_not_used_again) {
  au_io_t io = au_io_system;
  io.fdatasync = failing_fdatasync;
  io.ftruncate = failing_ftruncate;
  io.renameat = watched_renameat;
  au_segment_name(1, failed_name); /* the first one's */
  au_spool_t *spool = open_sparing(&io, MUCH, 0);
  ck_assert_int_eq(append(spool, 1, 1, ROW), AU_OK);
  ck_assert_uint_eq(nth_segment(1), 1);
  atomic_store(&fails_once, true);
  atomic_store(&spared, 0);
  ck_assert_int_eq(append(spool, 2, 1, ROW), AU_OK);
  ck_assert(!atomic_load(&fails_once));
  static seen_t seen;
  read_all(spool, 3, true, 0, &seen);
  check_values(&seen, 1, 2);
  while (files(failed_name, false) > 0)
    pause_briefly();
  ck_assert_int_eq(atomic_load(&spared), 0);
  close_spool(spool);
}

static atomic_bool fsync_fails;

static int failing_fsync(int fd) {
  if (!atomic_load(&fsync_fails))
    return au_io_system.fsync(fd);
  errno = EIO;
  return -1;
}

/* After a power cut it may have the name of a segment still. */
TEST(spare_whose_name_is_not_durable_is_deleted) {
  au_io_t io = au_io_system;
  io.fsync = failing_fsync;
  for (int i = 0; i < 2; i++) {
    au_spool_t *spool = open_sparing(&io, MUCH, 0);
    /* Waits, so that no segment goes before the end. */
    ck_assert_int_eq(append(spool, 1, 1, ROW), AU_OK);
    while (files(".segment", false) < 2 || files(".new", false) > 0)
      pause_briefly();
    atomic_store(&fsync_fails, i == 1);
    close_spool(spool); /* gives up the segment that was made ahead */
    ck_assert_int_eq(files(".spare.new", false), 1 - i);
    (void)files("", true);
  }
}

/* --- what is written -------------------------------------------------------
 */

static struct {
  int fd;
  off_t end;
} last_write;

static ssize_t noted_pwritev(int fd, const struct iovec *iov, int count,
                             off_t offset) {
  ssize_t done = au_io_system.pwritev(fd, iov, count, offset);
  if (offset >= HEADER_BYTES && is_named(fd, ".segment"))
    last_write.end = offset + done;
  return done;
}

/* Nothing of an earlier life has to be read for what is written now: the first
 * group in a block fills it. In a new file there is nothing to be read. */
TEST_EACH(blocks_of_an_earlier_life_are_written_whole, 2) {
  au_io_t io = au_io_system;
  io.pwritev = noted_pwritev;
  au_spool_t *spool = open_sparing(NULL, MUCH, 0);
  uint64_t last = make_spares(spool, 1);
  close_spool(spool);
  if (_i == 0)
    (void)files(".spare.new", true);
  spool = open_sparing(&io, MUCH, 0);
  ck_assert_uint_eq(lives_of(newest_segment()) > 0, _i == 1);
  ck_assert_int_eq(append(spool, last + 1, 1, ROW), AU_OK);
  off_t end = HEADER_BYTES + (off_t)group_size(1, ROW);
  ck_assert_int_eq(last_write.end, _i == 0 ? end : 2 * HEADER_BYTES);
  ck_assert_int_eq(append(spool, last + 2, 1, ROW), AU_OK);
  ck_assert_int_eq(last_write.end, end + (off_t)group_size(1, ROW));
  check_waiting(spool, last + 1, last + 2);
  close_spool(spool);
}

/* Whoever has it open can tell. */
TEST(segment_that_has_become_another_one_is_not_the_same) {
  make_spool(1, ROW, SEGMENT_BYTES);
  au_store_t store = {.io = &au_io_system,
                      .directory = open(directory, O_RDONLY | O_DIRECTORY)};
  ck_assert_int_ge(store.directory, 0);
  au_segment_t *reader = au_segment_open(&store, nth_segment(1));
  au_segment_t *spare = au_segment_open(&store, nth_segment(1));
  ck_assert_ptr_nonnull(reader);
  ck_assert_ptr_nonnull(spare);
  ck_assert(au_segment_is_same(&store, reader));
  ck_assert_int_eq(au_segment_spare(&store, spare), 0);
  ck_assert(au_segment_is_same(&store, reader));
  au_segment_t *reused = au_segment_reuse(&store, spare, 77);
  ck_assert_ptr_nonnull(reused);
  ck_assert_uint_eq(reused->lives, 1);
  ck_assert_uint_eq(reused->salt, reader->salt + 1);
  ck_assert(!au_segment_is_same(&store, reader));
  ck_assert(au_segment_is_same(&store, reused));
  au_segment_close(&store, reused);
  au_segment_close(&store, reader);
  close(store.directory);
}

int main(void) { return run_tests("spares"); }
