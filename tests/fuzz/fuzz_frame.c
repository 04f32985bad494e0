/* SPDX-License-Identifier: MIT
 *
 * fuzz_frame - any bytes as a frame, with a checksum that is right or not. A
 * frame that is good lies within the bytes that there are, and its row within
 * the frame, whatever its lengths and marks say.
 */
#include "fuzz/damage.h"
#include "fuzz/fuzz.h"
#include "spool/frame.h"

#include <stdlib.h>

#define SALT UINT64_C(0x0123456789abcdef)

static void check_row(const au_frame_t *frame) {
  au_bytes_t rows = AU_BYTES_INIT;
  au_row_kind_t kind = au_frame_copy_row(frame, &rows);
  fuzz_require(!rows.failed, "out of memory");
  uint8_t *copy = fuzz_copy(rows.data, rows.size);
  au_row_t row = au_row_split(kind, copy, rows.size);
  au_event_t event;
  (void)au_row_service(&row);
  (void)au_row_event_id(&row);
  (void)au_row_ingested_at_us(&row);
  (void)au_row_decode(row.tuple, row.size, &event);
  free(copy);
  au_bytes_fini(&rows);
}

static void check_frame(const uint8_t *data, size_t size) {
  au_frame_t frame;
  switch (au_frame_read(data, size, SALT, &frame)) {
  case AU_FRAME_GOOD:
    fuzz_require(frame.total <= size && frame.total % 8 == 0 &&
                     frame.data == data + AU_FRAME_HEADER_SIZE &&
                     frame.total == au_frame_size(frame.size),
                 "a good frame is longer than what there is");
    fuzz_require(frame.seq > 0 && frame.seq <= INT64_MAX,
                 "a number that the database does not hold");
    if (frame.kind == AU_FRAME_ROW)
      check_row(&frame);
    else
      fuzz_require(frame.first_seq > 0 && frame.first_seq <= frame.seq &&
                       frame.count == frame.seq - frame.first_seq,
                   "a group of other numbers");
    break;
  case AU_FRAME_SHORT:
    fuzz_require(frame.total > size, "a short frame is whole");
    break;
  case AU_FRAME_NONE:
  case AU_FRAME_BAD:
    break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  uint8_t how = fuzz_take_byte(&input);
  au_bytes_t frames = AU_BYTES_INIT;
  if ((how & 1) != 0) { /* a sound frame, which is changed */
    uint64_t seq = fuzz_take_number(&input, 8);
    size_t changes = fuzz_take_below(&input, 4);
    fuzz_input_t row = fuzz_take_part(&input, fuzz_take_byte(&input));
    if ((how & 2) != 0)
      au_frame_put_footer(&frames, fuzz_take_byte(&input));
    else
      au_frame_put_row(
          &frames, (au_row_kind_t)((how >> 2 & 1) + (how >> 3 & 2)),
          row.size > 0 ? (const void *)row.data : "", (uint32_t)row.size);
    au_frame_seal(frames.data, frames.size, seq, SALT);
    for (size_t i = 0; i < changes; i++)
      damage(&input, frames.data, 0, frames.size);
  } else {
    au_bytes_put(&frames, input.data, input.size);
  }
  uint8_t *copy = fuzz_copy(frames.data, frames.size);
  if ((how & 8) != 0)
    (void)damage_seal_frame(copy, frames.size, SALT);
  check_frame(copy, frames.size);
  free(copy);
  au_bytes_fini(&frames);
  return 0;
}
