/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/json_run.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The byte, eight times. */
#define EIGHT(byte) (UINT64_C(0x0101010101010101) * (byte))
#define TOPS EIGHT(0x80)

/* Whether one of the eight bytes is zero. */
static bool has_zero(uint64_t bytes) {
  return ((bytes - EIGHT(1)) & ~bytes & TOPS) != 0;
}

/* Whether one of the eight bytes ends a run. */
static bool has_end(uint64_t bytes) {
  bool has_control = ((bytes - EIGHT(0x20)) & ~bytes & TOPS) != 0;
  return has_control || has_zero(bytes ^ EIGHT('"')) ||
         has_zero(bytes ^ EIGHT('\\'));
}

au_json_run_t au_json_run_portable(const char *text, size_t size) {
  au_json_run_t run = {.size = 0, .high = 0};
  uint64_t eight = 0;
  while (size - run.size >= sizeof(eight)) {
    memcpy(&eight, text + run.size, sizeof(eight));
    if (has_end(eight))
      break;
    run.high |= (eight & TOPS) != 0 ? 1 : 0;
    run.size += sizeof(eight);
  }
  for (; run.size < size; run.size++) {
    unsigned char byte = (unsigned char)text[run.size];
    if (byte < 0x20 || byte == '"' || byte == '\\')
      break;
    run.high |= byte >> 7;
  }
  return run;
}
