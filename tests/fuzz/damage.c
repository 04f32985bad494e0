/* SPDX-License-Identifier: MIT
 *
 * damage - see damage.h.
 */
#include "fuzz/damage.h"

#include "base/crc32c.h"
#include "spool/frame.h"

#include <string.h>

/* Numbers at borders that a reader may forget. */
static uint64_t odd_number(fuzz_input_t *input, const uint8_t *at,
                           size_t bytes) {
  uint64_t is = 0;
  memcpy(&is, at, bytes);
  switch (fuzz_take_below(input, 8)) {
  case 0:
    return 0;
  case 1:
    return UINT64_MAX;
  case 2:
    return is + 1;
  case 3:
    return is - 1;
  case 4:
    return UINT64_C(1) << 63;
  case 5:
    return (UINT64_C(1) << 31) - 1;
  case 6:
    return is + 8 * fuzz_take_number(input, 1);
  default:
    return fuzz_take_number(input, bytes);
  }
}

void damage(fuzz_input_t *input, uint8_t *file, size_t from, size_t size) {
  static const size_t widths[] = {8, 4, 2};
  if (size < from + 8)
    return;
  size_t at = from + fuzz_take_number(input, 2) % (size - from - 7);
  uint8_t how = fuzz_take_byte(input);
  size_t left = size - at;
  size_t range = fuzz_take_byte(input);
  switch (how % 8) {
  case 0:
    file[at] ^= fuzz_take_byte(input);
    break;
  case 1:
  case 2:
  case 3:
    at &= ~(size_t)3; /* where numbers are */
    left = size - at;
    if (left >= 8) {
      uint64_t number = odd_number(input, file + at, widths[how % 8 - 1]);
      memcpy(file + at, &number, widths[how % 8 - 1]);
    }
    break;
  case 4:
    memset(file + at, 0, range < left ? range : left);
    break;
  case 5: { /* whole frames, mostly */
    size_t to = from + fuzz_take_number(input, 2) % (size - from) / 8 * 8;
    at &= ~(size_t)7;
    left = size - (at > to ? at : to);
    range *= 8;
    memmove(file + to, file + at, range < left ? range : left);
    break;
  }
  default:
    for (size_t i = 0; i < range % 16 && i < left; i++)
      file[at + i] = fuzz_take_byte(input);
    break;
  }
}

static uint32_t number_at(const uint8_t *data) {
  return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
         (uint32_t)data[3] << 24;
}

static void put_number(uint8_t *data, uint32_t number) {
  for (int i = 0; i < 4; i++)
    data[i] = (uint8_t)(number >> 8 * i);
}

size_t damage_seal_frame(uint8_t *data, size_t available, uint64_t salt) {
  if (available < AU_FRAME_HEADER_SIZE)
    return 0;
  uint64_t total = au_frame_size(number_at(data + 4));
  if (total > available)
    return 0;
  uint8_t salted[8];
  for (int i = 0; i < 8; i++)
    salted[i] = (uint8_t)(salt >> 8 * i);
  uint32_t crc = au_crc32c(0, salted, sizeof(salted));
  put_number(data, au_crc32c(crc, data + 4, total - 4));
  return total;
}

void damage_seal_frames(uint8_t *data, size_t size, uint64_t salt) {
  static const uint8_t nothing[8];
  size_t at = 0;
  while (at + AU_FRAME_HEADER_SIZE <= size) {
    /* Nothing was written there. */
    if (memcmp(data + at, nothing, sizeof(nothing)) == 0) {
      at += sizeof(nothing);
      continue;
    }
    size_t total = damage_seal_frame(data + at, size - at, salt);
    if (total == 0)
      return;
    at += total;
  }
}

void damage_seal(uint8_t *data, size_t size_before_checksum) {
  put_number(data + size_before_checksum,
             au_crc32c(0, data, size_before_checksum));
}
