/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * Validation is by the table of well-formed sequences (Unicode, table 3-7).
 * ASCII, which is nearly everything, goes eight bytes a step.
 */
#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

static bool is_continuation(unsigned char byte) {
  return (byte & 0xC0) == 0x80;
}

/* What the second byte may be after a lead byte of three or four. */
static bool is_second(unsigned char lead, unsigned char second) {
  switch (lead) {
  case 0xE0: /* below: overlong */
    return second >= 0xA0 && second <= 0xBF;
  case 0xED: /* above: surrogates */
    return second >= 0x80 && second <= 0x9F;
  case 0xF0: /* below: overlong */
    return second >= 0x90 && second <= 0xBF;
  case 0xF4: /* above: beyond U+10FFFF */
    return second >= 0x80 && second <= 0x8F;
  default:
    return is_continuation(second);
  }
}

size_t au_utf8_sequence(const char *text, size_t size) {
  const unsigned char *byte = (const unsigned char *)text;
  unsigned char lead = byte[0];
  if (lead < 0x80)
    return 1;
  if (lead < 0xC2 || lead > 0xF4)
    return 0;
  if (size < 2 || !is_second(lead, byte[1]))
    return 0;
  if (lead < 0xE0)
    return 2;
  if (size < 3 || !is_continuation(byte[2]))
    return 0;
  if (lead < 0xF0)
    return 3;
  return size < 4 || !is_continuation(byte[3]) ? 0 : 4;
}

ptrdiff_t au_utf8_length(const char *text, size_t size) {
  size_t length = 0;
  size_t at = 0;
  while (at < size) {
    uint64_t eight = 0;
    while (size - at >= sizeof(eight)) {
      memcpy(&eight, text + at, sizeof(eight));
      if ((eight & HIGH_BITS) != 0)
        break;
      at += sizeof(eight);
      length += sizeof(eight);
    }
    /* Up to eight characters one by one, then another try at the fast step. */
    for (size_t n = 0; n < sizeof(eight) && at < size; n++, length++) {
      if ((unsigned char)text[at] < 0x80) {
        at++;
        continue;
      }
      size_t sequence = au_utf8_sequence(text + at, size - at);
      if (sequence == 0)
        return -1;
      at += sequence;
    }
  }
  return (ptrdiff_t)length;
}

size_t au_utf8_whole(const char *text, size_t length) {
  size_t start = length;
  while (start > 0 && length - start < 3 &&
         is_continuation((unsigned char)text[start - 1]))
    start--;
  if (start == 0 || (unsigned char)text[start - 1] < 0xC2)
    return length;
  size_t sequence = au_utf8_sequence(text + start - 1, length - start + 1);
  return sequence == 0 ? start - 1 : length;
}

/* The code point of a valid sequence. */
static unsigned code_point(const char *text, size_t sequence) {
  const unsigned char *byte = (const unsigned char *)text;
  switch (sequence) {
  case 1:
    return byte[0];
  case 2:
    return (byte[0] & 0x1FU) << 6 | (byte[1] & 0x3FU);
  case 3:
    return (byte[0] & 0x0FU) << 12 | (byte[1] & 0x3FU) << 6 | (byte[2] & 0x3FU);
  default: /* no white space is that far up */
    return 0x10000;
  }
}

/* What String.prototype.trim of JavaScript removes. */
static bool is_space(unsigned code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
         code == 0x3000 || code == 0xFEFF;
}

bool au_utf8_is_blank(const char *text, size_t size) {
  for (size_t at = 0; at < size;) {
    size_t sequence = au_utf8_sequence(text + at, size - at);
    if (sequence == 0 || !is_space(code_point(text + at, sequence)))
      return false;
    at += sequence;
  }
  return true;
}

void au_utf8_put_repaired(au_bytes_t *to, const char *text, size_t size,
                          size_t max) {
  static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */
  size_t at = 0;
  for (size_t i = 0; i < max && at < size; i++) {
    size_t sequence = au_utf8_sequence(text + at, size - at);
    if (sequence > 0)
      au_bytes_put(to, text + at, sequence);
    else
      au_bytes_put(to, replacement, sizeof(replacement) - 1);
    at += sequence > 0 ? sequence : 1;
  }
}
