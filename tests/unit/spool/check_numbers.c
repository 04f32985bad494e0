/* SPDX-License-Identifier: MIT
 *
 * check_numbers - numbers in the files of a spool that cannot be, under
 * checksums that are right: those that the database could not hold, and those
 * that nothing could follow.
 */
#include "base/crc32c.h"
#include "spool/frame.h"
#include "spool/state.h"
#include "support/spools.h"
#include "support/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SALT UINT64_C(0x0123456789abcdef)

/* --- frames ----------------------------------------------------------------
 */

static const struct {
  uint64_t seq;
  au_frame_result_t result;
} rows[] = {{0, AU_FRAME_BAD},
            {1, AU_FRAME_GOOD},
            {AU_FRAME_SEQ_MAX, AU_FRAME_GOOD},
            {AU_FRAME_SEQ_MAX + 1, AU_FRAME_BAD},
            {UINT64_MAX, AU_FRAME_BAD}};

CASE("frames", NULL, NULL);

TEST_EACH(row_has_a_number_that_the_database_holds, COUNT_OF(rows)) {
  au_bytes_t frames = AU_BYTES_INIT;
  au_frame_t frame;
  au_frame_put_row(&frames, AU_ROW_EVENT, "row", 3);
  au_frame_seal(frames.data, frames.size, rows[_i].seq, SALT);
  ck_assert_int_eq(au_frame_read(frames.data, frames.size, SALT, &frame),
                   rows[_i].result);
  au_bytes_fini(&frames);
}

static const struct {
  uint64_t first;
  uint64_t count;
  au_frame_result_t result;
} groups[] = {{1, 0, AU_FRAME_GOOD},
              {1, 5, AU_FRAME_GOOD},
              {0, 5, AU_FRAME_BAD},
              {1, AU_FRAME_SEQ_MAX, AU_FRAME_GOOD},
              {2, AU_FRAME_SEQ_MAX, AU_FRAME_BAD},
              {6, UINT64_MAX - 4, AU_FRAME_BAD}}; /* which adds up to 1 */

/* The sum is the footer's own number, as it should be. */
TEST_EACH(footer_has_numbers_that_rows_have, COUNT_OF(groups)) {
  au_bytes_t frames = AU_BYTES_INIT;
  au_frame_t frame;
  au_frame_put_footer(&frames, groups[_i].count);
  uint64_t seq = groups[_i].first + groups[_i].count;
  memcpy(frames.data + 8, &seq, sizeof(seq));
  memcpy(frames.data + AU_FRAME_HEADER_SIZE, &groups[_i].first, 8);
  const uint64_t salt = SALT;
  uint32_t crc = au_crc32c(0, &salt, sizeof(salt));
  crc = au_crc32c(crc, frames.data + 4, frames.size - 4);
  memcpy(frames.data, &crc, sizeof(crc));
  ck_assert_int_eq(au_frame_read(frames.data, frames.size, SALT, &frame),
                   groups[_i].result);
  au_bytes_fini(&frames);
}

/* --- files -----------------------------------------------------------------
 */

CASE("files", setup, teardown);

TEST(segment_has_a_next_one) {
  ck_assert_uint_eq(au_segment_parse_name("fffffffffffffffe.segment"),
                    UINT64_MAX - 1);
  ck_assert_uint_eq(au_segment_parse_name("ffffffffffffffff.segment"), 0);
}

/* Each in the newest slot; the one before it counts then. */
TEST_EACH(state_with_a_number_that_cannot_be_is_not_taken, 4) {
  int fd = open(directory, O_RDONLY | O_DIRECTORY);
  ck_assert_int_ge(fd, 0);
  au_spool_state_t state = {.begin = {.seq = 5, .segment = 2}};
  au_spool_state_add_owner(&state, 5);
  for (int i = 0; i < 2; i++)
    ck_assert_int_eq(au_spool_state_save(&au_io_system, fd, &state), AU_OK);
  au_spool_state_t odd = state;
  switch (_i) {
  case 0:
    odd.begin.seq = (uint64_t)INT64_MAX + 1;
    break;
  case 1:
    odd.begin.segment = UINT64_MAX;
    break;
  case 2:
    odd.owner_seq[0] = UINT64_MAX;
    break;
  default:
    odd.generation = UINT64_MAX - 1;
    break;
  }
  ck_assert_int_eq(au_spool_state_save(&au_io_system, fd, &odd), AU_OK);
  au_spool_state_t found;
  ck_assert_int_eq(au_spool_state_load(&au_io_system, fd, &found), AU_OK);
  close(fd);
  ck_assert_uint_eq(found.generation, 2);
  ck_assert_uint_eq(found.begin.seq, 5);
  ck_assert_uint_eq(found.begin.segment, 2);
}

int main(void) { return run_tests("numbers"); }
