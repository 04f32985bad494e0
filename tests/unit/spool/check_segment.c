/* SPDX-License-Identifier: MIT
 *
 * Files of a spool that are not as they should be: frames and headers that say
 * what cannot be, names and places that do not fit, calls that are interrupted
 * or do less than they were asked to.
 */
#include "base/crc32c.h"
#include "support/spools.h"
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- frames ----------------------------------------------------------------
 */

#define SALT UINT64_C(0x0123456789abcdef)

static au_frame_result_t read_frame(const au_bytes_t *frames, size_t available,
                                    au_frame_t *out) {
  return au_frame_read(frames->data, available, SALT, out);
}

CASE("frames", NULL, NULL);

TEST(part_of_a_frame_is_short) {
  au_bytes_t frames = AU_BYTES_INIT;
  au_frame_t frame;
  au_frame_put_row(&frames, AU_ROW_EVENT, "twelve bytes", 12);
  au_frame_seal(frames.data, frames.size, 7, SALT);
  ck_assert_uint_eq(frames.size, au_frame_size(12));
  for (size_t available = 0; available < frames.size; available++) {
    ck_assert_int_eq(read_frame(&frames, available, &frame), AU_FRAME_SHORT);
    ck_assert_uint_gt(frame.total, available);
  }
  ck_assert_int_eq(read_frame(&frames, frames.size, &frame), AU_FRAME_GOOD);
  ck_assert_uint_eq(frame.seq, 7);
  ck_assert_int_eq(au_frame_read(frames.data, frames.size, SALT + 1, &frame),
                   AU_FRAME_BAD);
  au_bytes_fini(&frames);
}

TEST(every_byte_of_a_frame_counts) {
  au_bytes_t frames = AU_BYTES_INIT;
  au_frame_t frame;
  au_frame_put_row(&frames, AU_ROW_EVENT, "twelve bytes", 12);
  au_frame_seal(frames.data, frames.size, 7, SALT);
  for (size_t at = 0; at < frames.size; at++)
    for (int bit = 0; bit < 8; bit++) {
      frames.data[at] ^= (uint8_t)(1 << bit);
      ck_assert_int_ne(read_frame(&frames, frames.size, &frame), AU_FRAME_GOOD);
      frames.data[at] ^= (uint8_t)(1 << bit);
    }
  ck_assert_int_eq(read_frame(&frames, frames.size, &frame), AU_FRAME_GOOD);
  au_bytes_fini(&frames);
}

TEST(row_of_no_bytes_is_a_row) {
  au_bytes_t frames = AU_BYTES_INIT;
  au_frame_t frame;
  au_frame_put_row(&frames, AU_ROW_EVENT, "", 0);
  au_frame_seal(frames.data, frames.size, 9, SALT);
  ck_assert_int_eq(read_frame(&frames, frames.size, &frame), AU_FRAME_GOOD);
  ck_assert_uint_eq(frame.size, 0);
  ck_assert_int_eq(frame.kind, AU_FRAME_ROW);
  au_bytes_fini(&frames);
}

/* Sealed as they are, so that nothing but their sense is wrong. */
TEST(footer_that_makes_no_sense_is_bad) {
  const uint32_t footer = AU_FRAME_FOOTER;
  au_bytes_t frames = AU_BYTES_INIT;
  au_frame_t frame;
  au_frame_put_row(&frames, AU_ROW_EVENT, "8 bytes.",
                   8); /* too short for a footer */
  memcpy(frames.data + 16, &footer, sizeof(footer));
  memset(frames.data + 20, 0, 4);
  au_frame_seal(frames.data, frames.size, 7, SALT);
  ck_assert_int_eq(read_frame(&frames, frames.size, &frame), AU_FRAME_BAD);
  au_bytes_clear(&frames, SIZE_MAX);
  au_frame_put_footer(&frames, 5); /* of no rows */
  au_frame_seal(frames.data, frames.size, 7, SALT);
  ck_assert_int_eq(read_frame(&frames, frames.size, &frame), AU_FRAME_BAD);
  au_bytes_fini(&frames);
}

/* What a newer release, or none, says in the header of a row. */
TEST_EACH(row_of_an_unknown_layout_or_kind_is_bad, 13) {
  static const struct {
    uint8_t layout;
    uint8_t kind;
    au_frame_result_t result;
  } row[] = {{0, AU_ROW_EVENT, AU_FRAME_GOOD},
             {AU_ROW_LAYOUT, AU_ROW_EVENT, AU_FRAME_GOOD},
             {AU_ROW_LAYOUT, AU_ROW_REPROCESS, AU_FRAME_GOOD},
             {AU_ROW_LAYOUT, AU_ROW_IDENTIFIED, AU_FRAME_GOOD},
             {AU_ROW_LAYOUT, AU_ROW_NUMBERED, AU_FRAME_GOOD},
             {2, AU_ROW_EVENT, AU_FRAME_GOOD},
             {2, AU_ROW_REPROCESS, AU_FRAME_GOOD},
             {2, AU_ROW_IDENTIFIED, AU_FRAME_BAD},
             {2, AU_ROW_NUMBERED, AU_FRAME_BAD},
             {1, AU_ROW_EVENT, AU_FRAME_BAD},
             {AU_ROW_LAYOUT + 1, AU_ROW_EVENT, AU_FRAME_BAD},
             {0, AU_ROW_REPROCESS, AU_FRAME_BAD},
             {AU_ROW_LAYOUT, AU_ROW_KINDS, AU_FRAME_BAD}};
  au_bytes_t frames = AU_BYTES_INIT;
  au_frame_t frame;
  au_frame_put_row(&frames, AU_ROW_EVENT, "a row of 20 bytes...", 20);
  frames.data[20] = row[_i].layout;
  frames.data[22] = row[_i].kind;
  au_frame_seal(frames.data, frames.size, 7, SALT);
  ck_assert_int_eq(read_frame(&frames, frames.size, &frame), row[_i].result);
  au_bytes_fini(&frames);
}

TEST_EACH(row_without_room_for_its_prefix_is_bad, 2) {
  au_bytes_t frames = AU_BYTES_INIT;
  au_frame_t frame;
  if (_i == 0)
    au_frame_put_row(&frames, AU_ROW_REPROCESS, "only 15 bytes..", 15);
  else
    au_frame_put_row(&frames, AU_ROW_NUMBERED, "3..", 3);
  au_frame_seal(frames.data, frames.size, 7, SALT);
  ck_assert_int_eq(read_frame(&frames, frames.size, &frame), AU_FRAME_BAD);
  au_bytes_fini(&frames);
}

/* --- files that do not fit -------------------------------------------------
 */

/* Changes the header and gives it a checksum that is right again. */
static void change_header(uint64_t number, size_t at, const void *data,
                          size_t size) {
  char path[128];
  segment_path(number, "", path);
  uint8_t header[64]; /* its checksum stands last */
  int fd = open(path, O_RDWR);
  ck_assert_int_eq(pread(fd, header, sizeof(header), 0), sizeof(header));
  memcpy(header + at, data, size);
  uint32_t crc = au_crc32c(0, header, 60);
  memcpy(header + 60, &crc, sizeof(crc));
  ck_assert_int_eq(pwrite(fd, header, sizeof(header), 0), sizeof(header));
  close(fd);
}

CASE("files", setup, teardown);

TEST(header_is_as_long_as_this_test_thinks) {
  make_spool(1, 100, SEGMENT_BYTES);
  change_header(1, 0, "AURSPOOL", 8); /* as it was */
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  seen_t seen;
  read_all(spool, 10, false, 0, &seen);
  check_values(&seen, 1, 1);
  ck_assert_uint_eq(damaged(), 0);
  au_spool_close(spool);
}

/* What is no segment of this spool, or not the one that it is called, is put
 * aside, and nothing of it is stored. */
TEST_EACH(segment_that_does_not_belong_here_is_set_aside, 3) {
  make_spool(60, 500, SEGMENT_BYTES);
  static const struct {
    size_t at;
    const char *data;
    size_t size;
  } changes[] = {{0, "NOSPOOL!", 8},
                 {16, "another spool's.", 16},
                 {32, "\x09\0\0\0\0\0\0\0", 8}};
  uint64_t third = nth_segment(3);
  change_header(third, changes[_i].at, changes[_i].data, changes[_i].size);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  seen_t seen;
  read_all(spool, 100, true, 0, &seen);
  ck_assert_uint_eq(seen.count + seen.passed, 60);
  ck_assert_uint_ge(seen.passed, 1);
  ck_assert_uint_ge(damaged(), 1);
  char path[128];
  segment_path(third, "damaged-", path);
  ck_assert_int_eq(access(path, F_OK), 0);
  au_spool_close(spool);
}

static int refused_renameat(int dir, const char *from, const char *to) {
  if (strncmp(to, "damaged-", 8) != 0)
    return au_io_system.renameat(dir, from, to);
  errno = EROFS;
  return -1;
}

TEST(segment_that_cannot_be_set_aside_is_left_out) {
  make_spool(60, 500, SEGMENT_BYTES);
  change_header(nth_segment(3), 0, "NOSPOOL!", 8);
  au_io_t io = au_io_system;
  io.renameat = refused_renameat;
  au_spool_t *spool = open_spool(&io, SEGMENT_BYTES);
  seen_t seen;
  read_all(spool, 100, false, 0, &seen);
  ck_assert_uint_eq(seen.count + seen.passed, 60);
  ck_assert_uint_ge(damaged(), 1);
  au_spool_close(spool);
}

TEST(spool_of_a_newer_release_is_left_alone) {
  const uint32_t version = 4;
  make_spool(20, 500, SEGMENT_BYTES);
  change_header(nth_segment(2), 8, &version, sizeof(version));
  int before = files("", false);
  char error[256] = "";
  au_spool_t *spool = NULL;
  const au_spool_config_t config = {.directory = directory,
                                    .segment_bytes = SEGMENT_BYTES,
                                    .durability = AU_DURABILITY_COMMIT,
                                    .usage = &usage};
  ck_assert_int_eq(au_spool_open(&config, &spool, error, sizeof(error)), AU_IO);
  ck_assert_ptr_nonnull(strstr(error, "a newer release wrote it"));
  ck_assert_int_eq(files("", false), before);
}

/* Of an older segment, and of the newest one. */
TEST_EACH(segment_that_was_cut_short_costs_what_was_cut, 2) {
  make_spool(60, 500, SEGMENT_BYTES);
  char path[128];
  segment_path(nth_segment(_i == 0 ? 3 : -2), "", path);
  ck_assert_int_eq(truncate(path, HEADER_BYTES + 700), 0);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  seen_t seen;
  read_all(spool, 100, true, 0, &seen);
  ck_assert_uint_ge(seen.count, 45);
  ck_assert_uint_lt(seen.count, 60);
  ck_assert_uint_eq(atomic_load(&usage.events), 0);
  ck_assert_uint_eq(atomic_load(&usage.bytes), 0);
  ck_assert_int_eq(append(spool, 61, 1, 500), AU_OK);
  au_spool_close(spool);
}

TEST(empty_segment_is_set_aside) {
  make_spool(20, 500, SEGMENT_BYTES);
  char path[128];
  segment_path(nth_segment(2), "", path);
  ck_assert_int_eq(truncate(path, 0), 0);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  seen_t seen;
  read_all(spool, 100, false, 0, &seen);
  ck_assert_uint_eq(seen.count + seen.passed, 20);
  au_spool_close(spool);
}

static void touch(const char *name) {
  char path[128];
  snprintf(path, sizeof(path), "%s/%s", directory, name);
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  ck_assert_int_ge(fd, 0);
  close(fd);
}

TEST(half_made_files_go_and_others_stay) {
  make_spool(5, 100, SEGMENT_BYTES);
  touch("00000000000000ff.segment.new");
  touch("a");
  touch("notes.txt");
  touch("1.segment");
  au_spool_close(open_spool(NULL, SEGMENT_BYTES));
  ck_assert_int_eq(files("ff.segment.new", false), 0);
  ck_assert_int_eq(files("notes.txt", false), 1);
  ck_assert_int_ge(files("1.segment", false), 1);
}

TEST(more_than_a_hundred_segments_are_listed) {
  make_spool(800, 500, SEGMENT_BYTES);
  ck_assert_uint_gt(newest_segment(), 64);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  seen_t seen;
  read_all(spool, 100, false, 0, &seen);
  check_values(&seen, 1, 800);
  au_spool_close(spool);
}

/* All was stored and let go; the files are gone, or hold less than was let go.
 */
TEST_EACH(place_ahead_of_the_files_is_kept, 2) {
  make_spool(20, 500, 65536);
  au_spool_t *spool = open_spool(NULL, 65536);
  seen_t seen;
  read_all(spool, 100, true, 0, &seen);
  ck_assert_int_eq(append(spool, 21, 1, 500), AU_OK);
  read_all(spool, 100, true, 0, &seen);
  au_spool_close(spool);
  if (_i == 0)
    files(".segment", true);
  else
    overwrite(newest_segment(), HEADER_BYTES, 'x', 600);
  spool = open_spool(NULL, 65536);
  ck_assert_uint_eq(au_spool_begin(spool).seq, 22);
  ck_assert_uint_eq(atomic_load(&usage.events), 0);
  ck_assert_int_eq(append(spool, 22, 2, 500), AU_OK);
  read_all(spool, 100, false, 0, &seen);
  check_values(&seen, 22, 2);
  au_spool_close(spool);
}

/* The newest stays in use when there is no place for one more. */
TEST(owners_are_bounded) {
  au_uuid_t owner[AU_OWNERS_MAX];
  make_spool(1, 100, SEGMENT_BYTES);
  uint32_t owners = 0;
  for (int start = 0; start < AU_OWNERS_MAX + 3; start++) {
    au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
    owners = au_spool_owners(spool, owner, NULL);
    au_spool_close(spool);
  }
  ck_assert_uint_eq(owners, AU_OWNERS_MAX);
}

/* --- calls that do less than they were asked to ----------------------------
 */

static struct {
  int pwritev_error;   /* once; 0: the write does nothing */
  _Atomic bool is_odd; /* the spool's own thread writes, too */
  int parent_open;
  int parent_sync;
  _Atomic int reads;
  int interrupted; /* this one and two more; 0: none */
  int parent;
} odd;

static ssize_t odd_pwritev(int fd, const struct iovec *iov, int count,
                           off_t offset) {
  if (!is_named(fd, ".segment") || !atomic_exchange(&odd.is_odd, false))
    return au_io_system.pwritev(fd, iov, count, offset);
  errno = odd.pwritev_error;
  return odd.pwritev_error == 0 ? 0 : -1;
}

static ssize_t odd_pread(int fd, void *data, size_t size, off_t offset) {
  int call = ++odd.reads;
  if (odd.interrupted > 0 && call >= odd.interrupted &&
      call < odd.interrupted + 3) {
    errno = EINTR;
    return -1;
  }
  return au_io_system.pread(fd, data, size, offset);
}

static int odd_openat(int dir, const char *name, int flags, mode_t mode) {
  if (strcmp(name, "..") == 0 && odd.parent_open != 0) {
    errno = odd.parent_open;
    return -1;
  }
  int fd = au_io_system.openat(dir, name, flags, mode);
  if (strcmp(name, "..") == 0)
    odd.parent = fd;
  return fd;
}

static int odd_fsync(int fd) {
  if (odd.parent_sync == 0 || fd != odd.parent)
    return au_io_system.fsync(fd);
  errno = odd.parent_sync;
  odd.parent_sync = 0;
  return -1;
}

static au_io_t odd_io(void) {
  memset(&odd, 0, sizeof(odd));
  odd.parent = -1;
  au_io_t io = au_io_system;
  io.pwritev = odd_pwritev;
  io.pread = odd_pread;
  io.openat = odd_openat;
  io.fsync = odd_fsync;
  return io;
}

/* Interrupted: tried again in the same place. Nothing written: a new segment.
 */
TEST_EACH(write_that_does_nothing_is_made_again, 2) {
  au_io_t io = odd_io();
  au_spool_t *spool = open_spool(&io, SEGMENT_BYTES);
  odd.pwritev_error = _i == 0 ? EINTR : 0;
  for (uint64_t value = 1; value <= 10; value++) {
    odd.is_odd = true;
    ck_assert_int_eq(append(spool, value, 1, 200), AU_OK);
  }
  ck_assert_uint_eq(newest_segment() > 5, _i == 1);
  seen_t seen;
  read_all(spool, 3, false, 0, &seen);
  check_values(&seen, 1, 10);
  au_spool_close(spool);
}

/* The n-th read of a start, and of the reader behind it. */
TEST(interrupted_read_is_made_again) {
  make_spool(20, 500, SEGMENT_BYTES);
  au_io_t io = odd_io();
  int reads = 40;
  for (int n = 1; n < reads; n++) {
    odd.reads = 0;
    odd.interrupted = n;
    au_spool_t *spool = open_spool(&io, SEGMENT_BYTES);
    seen_t seen;
    read_all(spool, 3, false, 0, &seen);
    check_values(&seen, 1, 20);
    ck_assert_uint_eq(damaged(), 0);
    reads = odd.reads;
    au_spool_close(spool);
  }
  ck_assert_int_gt(reads, 10);
}

/* What is not ours to open or to sync is no reason not to start. */
TEST_EACH(parent_that_is_not_ours_is_left_alone, 5) {
  static const struct {
    int open;
    int sync;
    au_status_t status;
  } cases[] = {{EACCES, 0, AU_OK},
               {0, EINVAL, AU_OK},
               {0, EROFS, AU_OK},
               {EMFILE, 0, AU_IO},
               {0, EIO, AU_IO}};
  au_io_t io = odd_io();
  odd.parent_open = cases[_i].open;
  odd.parent_sync = cases[_i].sync;
  au_spool_t *spool = NULL;
  ck_assert_int_eq(try_open(&io, SEGMENT_BYTES, &spool), cases[_i].status);
  au_spool_close(spool);
}

/* --- segments of any size --------------------------------------------------
 */

TEST(no_rows_are_no_group) {
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  const au_rows_t none = {.count = 0};
  ck_assert_int_eq(au_spool_append(spool, &none, NULL), AU_OK);
  ck_assert_uint_eq(au_spool_durable_seq(spool), 1);
  au_spool_close(spool);
}

TEST(segment_made_ahead_may_be_too_small) {
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  ck_assert_int_eq(append(spool, 1, 8, 300), AU_OK); /* asks for the next one */
  while (files("0000000000000002.segment", false) == 0 ||
         files(".new", false) > 0) {
  }
  for (uint64_t value = 9; value <= 49; value += 40)
    ck_assert_int_eq(append(spool, value, 40, 300), AU_OK);
  for (int start = 0; start < 2; start++) {
    seen_t seen;
    read_all(spool, 7, false, 0, &seen);
    check_values(&seen, 1, 88);
    au_spool_close(spool);
    spool = open_spool(NULL, SEGMENT_BYTES);
  }
  au_spool_close(spool);
}

TEST(size_of_a_segment_has_a_default) {
  make_spool(3, 100, 0);
  char path[128];
  segment_path(1, "", path);
  struct stat info;
  ck_assert_int_eq(stat(path, &info), 0);
  ck_assert_int_eq(info.st_size, 64 << 20);
}

int main(void) { return run_tests("segment"); }
