/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/hex.h"

#include <stdint.h>

char *au_hex_write(char *to, const void *data, size_t size) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t *byte = data;
  for (size_t i = 0; i < size; i++) {
    to[2 * i] = digits[byte[i] >> 4];
    to[2 * i + 1] = digits[byte[i] & 15];
  }
  return to + 2 * size;
}

static int digit_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

bool au_hex_read(const char *text, void *out_data, size_t size) {
  uint8_t *byte = out_data;
  for (size_t i = 0; i < size; i++) {
    int high = digit_value(text[2 * i]);
    int low = high < 0 ? -1 : digit_value(text[2 * i + 1]);
    if (low < 0)
      return false;
    byte[i] = (uint8_t)(high << 4 | low);
  }
  return true;
}
