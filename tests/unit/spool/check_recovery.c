/* SPDX-License-Identifier: MIT
 *
 * What a spool makes of damage: torn tails, flipped bits, places that the disk
 * cannot read, files that are gone. Every state that a crash may leave is in
 * tests/faults.
 */
#include "support/spools.h"
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- the ends of segments --------------------------------------------------
 */

CASE("recovery", setup, teardown);

TEST_EACH(little_room_behind_the_last_group_is_no_damage, 4) {
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

TEST(torn_tail_of_an_older_segment_is_no_damage) {
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

/* The window of the cursor ends with the last group, and nothing of the little
 * room behind it has been read. */
TEST_EACH(last_group_may_end_with_what_was_read, 4) {
  const uint64_t window = UINT64_C(256) << 10;
  uint32_t size =
      (uint32_t)(window - AU_FRAME_FOOTER_SIZE - AU_FRAME_HEADER_SIZE);
  uint64_t limit = HEADER_BYTES + window + 8 * (uint64_t)_i;
  au_spool_t *spool = open_spool(NULL, limit);
  ck_assert_int_eq(append(spool, 1, 1, size), AU_OK);
  au_spool_close(spool);
  au_store_t store = {.io = &au_io_system,
                      .directory = open(directory, O_RDONLY | O_DIRECTORY)};
  au_segment_t *segment = au_segment_open(&store, 1);
  ck_assert_ptr_nonnull(segment);
  ck_assert_uint_eq(segment->end, limit);
  au_cursor_t cursor = {.fd = -1};
  au_cursor_init(&cursor, store.io, segment->fd, segment->salt, HEADER_BYTES,
                 segment->end);
  au_frame_t frame;
  ck_assert_int_eq(au_cursor_next(&cursor, &frame), AU_CURSOR_FRAME);
  ck_assert_int_eq(au_cursor_next(&cursor, &frame), AU_CURSOR_FRAME);
  ck_assert_int_eq(frame.kind, AU_FRAME_FOOTER);
  ck_assert_int_eq(au_cursor_next(&cursor, &frame), AU_CURSOR_END);
  au_cursor_fini(&cursor);
  au_segment_close(&store, segment);
  close(store.directory);
}

/* --- damage ----------------------------------------------------------------
 */

/* As a disk leaves what it has lost. */
TEST(zeros_at_the_start_of_a_segment_hide_no_later_row) {
  make_spool(60, 500, SEGMENT_BYTES);
  overwrite(nth_segment(3), HEADER_BYTES, 0, group_size(1, 500));
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  seen_t seen;
  read_all(spool, 7, true, 0, &seen);
  ck_assert_uint_eq(seen.count, 59);
  ck_assert_uint_eq(seen.passed, 1);
  ck_assert_uint_ge(damaged(), 1);
  au_spool_close(spool);
}

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

TEST_EACH(failed_read_while_damage_is_passed_loses_no_neighbour, 2) {
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

TEST(damage_is_reported_once_however_often_it_is_read) {
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

TEST_EACH(block_that_cannot_be_read_costs_only_its_rows, 6) {
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

TEST(read_that_fails_once_costs_nothing) {
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

TEST(disk_that_is_away_is_waited_for) {
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

TEST_EACH(end_that_cannot_be_read_is_settled_with_the_database, 3) {
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

TEST(header_that_is_damaged_costs_only_its_segment) {
  make_spool(60, 500, SEGMENT_BYTES);
  uint64_t third = nth_segment(3);
  overwrite(third, 20, 'x', 8);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  ck_assert(!au_spool_may_fall_back(spool)); /* the end is there */
  seen_t seen;
  read_all(spool, 100, true, 0, &seen);
  ck_assert_uint_eq(seen.count + seen.passed, 60);
  ck_assert_uint_ge(seen.passed, 1);
  ck_assert_uint_le(seen.passed, 8);
  char path[128];
  segment_path(third, "damaged-", path);
  ck_assert_int_eq(access(path, F_OK), 0);
  au_spool_close(spool);
}

TEST(segment_that_was_removed_is_passed_in_the_end) {
  make_spool(60, 500, SEGMENT_BYTES);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  char path[128];
  segment_path(nth_segment(3), "", path);
  ck_assert_int_eq(unlink(path), 0);
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

TEST_EACH(state_with_one_damaged_slot_knows_the_owner, 2) {
  make_spool(5, 100, SEGMENT_BYTES);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  au_uuid_t owner[AU_OWNERS_MAX];
  ck_assert_uint_eq(au_spool_owners(spool, owner, NULL), 2);
  au_uuid_t known = owner[1];
  au_uuid_t id = au_spool_id(spool);
  au_spool_confirm_owner(spool);
  au_spool_close(spool);
  overwrite_state(_i * 4096 + 100);
  spool = open_spool(NULL, SEGMENT_BYTES);
  au_uuid_t now = au_spool_id(spool);
  ck_assert_mem_eq(&now, &id, sizeof(id));
  uint32_t owners = au_spool_owners(spool, owner, NULL);
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

TEST_EACH(state_that_is_lost_costs_no_row, 2) {
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

int main(void) { return run_tests("recovery"); }
