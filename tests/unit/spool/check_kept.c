/* SPDX-License-Identifier: MIT
 *
 * What is stored stays for a while, takes room from nobody, and can be stored
 * again: segments that are kept, the way back to them, and the tokens by which
 * a database that has fallen back is recognised.
 */
#include "metrics/metrics.h"
#include "support/spools.h"
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LONG 3600.0
#define MUCH ((uint64_t)1 << 20)
#define ROW 500

static au_spool_t *open_keeping(const au_io_t *io, double keep_s,
                                uint64_t keep_bytes) {
  return open_configured((au_spool_config_t){.io = io,
                                             .segment_bytes = SEGMENT_BYTES,
                                             .keep_s = keep_s,
                                             .keep_bytes = keep_bytes});
}

/* Rows "first" to "last" wait, and nothing else. */
static void check_waiting(au_spool_t *spool, uint64_t first, uint64_t last) {
  static seen_t seen;
  memset(&seen, 0, sizeof(seen));
  ck_assert_uint_eq(au_spool_begin(spool).seq, first);
  ck_assert_uint_eq(atomic_load(&usage.events), last - first + 1);
  ck_assert_uint_gt(atomic_load(&usage.bytes), 0);
  read_all(spool, 3, true, 0, &seen);
  check_values(&seen, first, last - first + 1);
  ck_assert_uint_eq(seen.passed, 0);
  ck_assert_uint_eq(atomic_load(&usage.events), 0);
  ck_assert_uint_eq(atomic_load(&usage.bytes), 0);
  ck_assert_uint_eq(damaged(), 0);
}

static uint64_t replayed(void) {
  return au_metrics_counter(AU_M_EVENTS_REPLAYED, 0);
}

CASE("kept", setup, teardown);

/* Once from each place, over the borders of segments; and once more, since a
 * database may fall back while it is stored again. */
TEST(what_is_stored_can_wait_again) {
  au_spool_t *spool = open_keeping(NULL, LONG, MUCH);
  store_rows(spool, 1, 40, ROW);
  ck_assert_uint_eq(au_spool_kept_seq(spool), 1);
  ck_assert_uint_gt(au_spool_kept_bytes(spool), (uint64_t)40 * ROW);
  uint64_t again = 0;
  for (uint64_t from = 40; from > 0; from--) {
    ck_assert_uint_eq(au_spool_rewind(spool, from), from);
    again += 40 - from + 1;
    ck_assert_uint_eq(replayed(), again);
    check_waiting(spool, from, 40);
  }
  ck_assert_uint_eq(au_spool_rewind(spool, 30), 30);
  ck_assert_uint_eq(au_spool_rewind(spool, 20), 20);
  ck_assert_uint_eq(replayed(), again + 21);
  ck_assert_uint_eq(au_spool_rewind(spool, 25), 20);
  ck_assert_uint_eq(replayed(), again + 21);
  check_waiting(spool, 20, 40);
  store_rows(spool, 41, 50, ROW);
  au_spool_close(spool);
}

TEST(what_is_kept_takes_no_room_and_never_waits_by_itself) {
  au_spool_t *spool = open_keeping(NULL, LONG, MUCH);
  store_rows(spool, 1, 40, ROW);
  ck_assert_uint_eq(atomic_load(&usage.events), 0);
  ck_assert_uint_eq(atomic_load(&usage.bytes), 0);
  for (int start = 0; start < 3; start++) {
    au_spool_close(spool);
    spool = open_keeping(NULL, LONG, MUCH);
    ck_assert_uint_eq(au_spool_begin(spool).seq, 41);
    ck_assert_uint_eq(atomic_load(&usage.events), 0);
    ck_assert_uint_eq(atomic_load(&usage.bytes), 0);
    ck_assert_uint_eq(au_spool_kept_seq(spool), 1);
  }
  ck_assert_uint_eq(au_spool_rewind(spool, 7), 7);
  /* A process that dies now has been told for good. */
  au_spool_state_t state;
  int fd = open(directory, O_RDONLY | O_DIRECTORY);
  ck_assert_int_eq(au_spool_state_load(&au_io_system, fd, &state), AU_OK);
  ck_assert_uint_eq(state.begin.seq, 7);
  close(fd);
  au_spool_close(spool);
  spool = open_keeping(NULL, LONG, MUCH);
  check_waiting(spool, 7, 40);
  store_rows(spool, 41, 60, ROW);
  au_spool_close(spool);
  spool = open_keeping(NULL, LONG, MUCH);
  ck_assert_uint_eq(au_spool_rewind(spool, 1), 1);
  check_waiting(spool, 1, 60);
  au_spool_close(spool);
}

TEST(bytes_are_bounded) {
  const uint64_t bound = 3 * SEGMENT_BYTES;
  au_spool_t *spool = open_keeping(NULL, LONG, bound);
  for (uint64_t value = 1; value <= 100; value++) {
    store_rows(spool, value, value, ROW);
    ck_assert_uint_le(au_spool_kept_bytes(spool), bound);
  }
  ck_assert_uint_gt(au_spool_kept_bytes(spool), bound / 2);
  uint64_t oldest = au_spool_kept_seq(spool);
  ck_assert_uint_gt(oldest, 1);
  ck_assert_uint_le(oldest, 100);
  /* As far as there is something. */
  ck_assert_uint_eq(au_spool_rewind(spool, 1), oldest);
  ck_assert_uint_eq(replayed(), 100 - oldest + 1);
  check_waiting(spool, oldest, 100);
  au_spool_close(spool);
}

/* Each start leaves a segment that is nearly empty. */
TEST(starts_do_not_push_out_what_is_kept) {
  for (uint64_t start = 1; start <= 10; start++) {
    au_spool_t *spool = open_keeping(NULL, LONG, 4 * SEGMENT_BYTES);
    store_rows(spool, start, start, ROW);
    ck_assert_uint_eq(au_spool_kept_seq(spool), 1);
    au_spool_close(spool);
  }
}

TEST(age_is_bounded) {
  au_spool_t *spool = open_keeping(NULL, LONG, MUCH);
  store_rows(spool, 1, 60, ROW);
  au_spool_close(spool);
  int before = files(".segment", false);
  spool = open_keeping(NULL, 0.01, MUCH);
  while (files(".segment", false) > 3)
    pause_briefly();
  ck_assert_int_gt(before, 3);
  /* Those of the segment that is the last are there still. */
  ck_assert_uint_gt(au_spool_kept_seq(spool), 40);
  au_spool_close(spool);
}

TEST_EACH(nothing_is_kept_unless_both_are_set, 2) {
  au_spool_t *spool =
      open_keeping(NULL, _i == 0 ? 0 : LONG, _i == 0 ? MUCH : 0);
  store_rows(spool, 1, 40, ROW);
  ck_assert_uint_eq(au_spool_kept_seq(spool), 41);
  ck_assert_uint_eq(au_spool_kept_bytes(spool), 0);
  ck_assert_uint_eq(au_spool_rewind(spool, 1), 41);
  ck_assert_uint_eq(replayed(), 0);
  au_spool_close(spool);
  /* What lies there does not become kept by a wish that comes later. */
  spool = open_keeping(NULL, LONG, MUCH);
  ck_assert_uint_eq(au_spool_kept_seq(spool), 41);
  store_rows(spool, 41, 80, ROW);
  ck_assert_uint_eq(au_spool_kept_seq(spool), 41);
  au_spool_close(spool);
  /* Nor does it stay when there is none any more. */
  spool = open_keeping(NULL, 0, MUCH);
  ck_assert_uint_eq(au_spool_kept_seq(spool), 81);
  ck_assert_int_le(files(".segment", false), 3);
  au_spool_close(spool);
}

TEST(memory_keeps_nothing) {
  char error[256] = "";
  au_spool_t *spool = NULL;
  const au_spool_config_t config = {.segment_bytes = SEGMENT_BYTES,
                                    .keep_s = LONG,
                                    .keep_bytes = MUCH,
                                    .usage = &usage};
  ck_assert_int_eq(au_spool_open(&config, &spool, error, sizeof(error)), AU_OK);
  store_rows(spool, 1, 40, ROW);
  ck_assert_uint_eq(au_spool_kept_seq(spool), 41);
  ck_assert_uint_eq(au_spool_kept_bytes(spool), 0);
  ck_assert_uint_eq(au_spool_rewind(spool, 1), 41);
  au_spool_close(spool);
}

/* A spool that is renewed is another one to the database, which has them. */
TEST(renew_forgets_what_is_kept) {
  au_spool_t *spool = open_keeping(NULL, LONG, MUCH);
  store_rows(spool, 1, 40, ROW);
  ck_assert_int_eq(append(spool, 41, 1, ROW), AU_OK);
  au_spool_close(spool);
  int fd = open(directory, O_RDONLY | O_DIRECTORY);
  au_spool_state_t state;
  ck_assert_int_eq(au_spool_state_load(&au_io_system, fd, &state), AU_OK);
  ck_assert_int_eq(au_spool_state_renew(&au_io_system, fd, &state), AU_OK);
  close(fd);
  spool = open_keeping(NULL, LONG, MUCH);
  ck_assert_uint_eq(au_spool_kept_seq(spool), 41);
  ck_assert_uint_eq(au_spool_rewind(spool, 1), 41);
  check_waiting(spool, 41, 41);
  ck_assert_uint_eq(au_spool_kept_seq(spool), 41);
  au_spool_close(spool);
}

/* Nobody waits for it, so it stops nothing. */
TEST(kept_segment_that_is_damaged_is_left_out) {
  au_spool_t *spool = open_keeping(NULL, LONG, MUCH);
  store_rows(spool, 1, 60, ROW);
  ck_assert_int_eq(append(spool, 61, 1, ROW), AU_OK);
  au_spool_close(spool);
  overwrite(nth_segment(1), 0, 'x', 64);
  spool = open_keeping(NULL, LONG, MUCH);
  uint64_t oldest = au_spool_kept_seq(spool);
  ck_assert_uint_gt(oldest, 1);
  ck_assert_uint_lt(oldest, 61);
  ck_assert(!au_spool_may_fall_back(spool));
  ck_assert_uint_eq(au_spool_rewind(spool, 1), oldest);
  check_waiting(spool, oldest, 61);
  au_spool_close(spool);
}

/* --- a full disk -----------------------------------------------------------
 */

static atomic_int segments_max;

static int full_fallocate(int fd, off_t offset, off_t size) {
  if (is_named(fd, ".new") && files(".segment", false) > segments_max) {
    errno = ENOSPC;
    return -1;
  }
  return au_io_system.fallocate(fd, offset, size);
}

/* Nothing is refused while there is something that is only kept. */
TEST(full_disk_takes_what_is_kept_first) {
  au_io_t io = au_io_system;
  io.fallocate = full_fallocate;
  segments_max = 6;
  au_spool_t *spool = open_keeping(&io, LONG, MUCH);
  for (uint64_t value = 1; value <= 200; value++) {
    store_rows(spool, value, value, ROW);
    ck_assert_ptr_null(au_spool_trouble(spool));
  }
  ck_assert_uint_gt(au_spool_kept_seq(spool), 1);
  ck_assert_uint_gt(atomic_load(&usage.disk_full), 0);
  au_spool_close(spool);
}

/* Those of the other lanes go, too. */
TEST(full_disk_of_another_spool_takes_what_is_kept) {
  au_spool_t *spool = open_keeping(NULL, LONG, MUCH);
  store_rows(spool, 1, 60, ROW);
  ck_assert_int_gt(files(".segment", false), 4);
  atomic_fetch_add(&usage.disk_full, 1);
  while (files(".segment", false) > 3)
    pause_briefly();
  store_rows(spool, 61, 120, ROW);
  ck_assert_uint_lt(au_spool_kept_seq(spool), 61);
  au_spool_close(spool);
}

/* --- the state -------------------------------------------------------------
 */

/* A release that knows nothing of it has written the state in between. */
TEST_EACH(state_of_an_older_release_keeps_nothing, 2) {
  au_uuid_t owner[AU_OWNERS_MAX];
  au_spool_t *spool = open_keeping(NULL, LONG, MUCH);
  au_spool_confirm_owner(spool);
  store_rows(spool, 1, 40, ROW);
  au_spool_close(spool);
  char path[128];
  snprintf(path, sizeof(path), "%s/state", directory);
  int fd = open(path, O_RDWR);
  ck_assert_int_ge(fd, 0);
  /* Behind each slot, which ends at 1624. */
  uint8_t byte = 0;
  for (off_t at = 1624; at < 8192; at += 4096)
    for (off_t i = 0; i < (_i == 0 ? 64 : 1); i++) {
      ck_assert_int_eq(pread(fd, &byte, 1, at + i), 1);
      byte = _i == 0 ? 0 : byte ^ 1;
      ck_assert_int_eq(pwrite(fd, &byte, 1, at + i), 1);
    }
  close(fd);
  spool = open_keeping(NULL, LONG, MUCH);
  ck_assert_uint_eq(au_spool_owners(spool, owner, NULL), 2);
  ck_assert_uint_eq(au_spool_begin(spool).seq, 41);
  ck_assert_uint_eq(au_spool_kept_seq(spool), 41);
  store_rows(spool, 41, 50, ROW);
  au_spool_close(spool);
}

static bool has(const au_uuid_t *owner, uint32_t owners, const au_uuid_t *one) {
  for (uint32_t i = 0; i < owners; i++)
    if (memcmp(&owner[i], one, sizeof(*one)) == 0)
      return true;
  return false;
}

/* The oldest go, but never the one that the database has, nor one since. */
TEST(tokens_are_remembered_as_far_as_there_is_room) {
  au_uuid_t owner[AU_OWNERS_MAX];
  au_uuid_t first = {.byte = {0}};
  au_uuid_t tenth = {.byte = {0}};
  au_uuid_t confirmed = {.byte = {0}};
  uint32_t owners = 0;
  for (int start = 0; start < AU_OWNERS_MAX + 5; start++) {
    au_spool_t *spool = open_keeping(NULL, LONG, MUCH);
    owners = au_spool_owners(spool, owner, NULL);
    confirmed = owner[owners - 1];
    first = start == 0 ? confirmed : first;
    tenth = start == 9 ? confirmed : tenth;
    au_spool_confirm_owner(spool);
    au_spool_close(spool);
  }
  ck_assert_uint_eq(owners, AU_OWNERS_MAX);
  ck_assert(!has(owner, owners, &first));
  ck_assert(has(owner, owners, &tenth));
  for (int start = 0; start < 2 * AU_OWNERS_MAX; start++) {
    au_spool_t *spool = open_keeping(NULL, LONG, MUCH);
    owners = au_spool_owners(spool, owner, NULL);
    ck_assert(has(owner, owners, &confirmed));
    au_spool_close(spool);
  }
  ck_assert_uint_eq(owners, AU_OWNERS_MAX);
  ck_assert_mem_eq(&owner[0], &confirmed, sizeof(confirmed));
}

/* No number that a later opening has given can be stored under a token. */
TEST(each_token_has_its_bound) {
  au_uuid_t owner[AU_OWNERS_MAX];
  uint64_t end_seq[AU_OWNERS_MAX];
  for (uint64_t start = 0; start < 3; start++) {
    au_spool_t *spool = open_keeping(NULL, LONG, MUCH);
    au_spool_confirm_owner(spool);
    store_rows(spool, start * 10 + 1, start * 10 + 10, ROW);
    au_spool_close(spool);
  }
  au_spool_t *spool = open_keeping(NULL, LONG, MUCH);
  ck_assert_uint_eq(au_spool_owners(spool, owner, end_seq), 4);
  const uint64_t expected[] = {11, 21, 31, 31};
  for (int i = 0; i < 4; i++)
    ck_assert_uint_eq(end_seq[i], expected[i]);
  au_spool_close(spool);
}

int main(void) { return run_tests("kept"); }
