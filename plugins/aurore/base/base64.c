/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/base64.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void au_base64_put(au_bytes_t *text, const void *data, size_t size) {
  if (size > SIZE_MAX / 2) {
    text->failed = true;
    return;
  }
  const uint8_t *from = data;
  uint8_t *to = au_bytes_extend(text, AU_BASE64_SIZE(size));
  if (to == NULL)
    return;
  for (size_t at = 0; at < size; at += 3) {
    size_t left = size - at;
    unsigned bits = (unsigned)from[at] << 16;
    bits |= left > 1 ? (unsigned)from[at + 1] << 8 : 0;
    bits |= left > 2 ? from[at + 2] : 0;
    *to++ = (uint8_t)alphabet[bits >> 18];
    *to++ = (uint8_t)alphabet[bits >> 12 & 63];
    *to++ = (uint8_t)(left > 1 ? alphabet[bits >> 6 & 63] : '=');
    *to++ = (uint8_t)(left > 2 ? alphabet[bits & 63] : '=');
  }
}
