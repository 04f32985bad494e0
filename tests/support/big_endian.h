/* SPDX-License-Identifier: MIT
 *
 * big_endian - numbers in the byte order of PostgreSQL's wire format, for tests
 * that write a COPY by hand.
 */
#ifndef SUPPORT_BIG_ENDIAN_H
#define SUPPORT_BIG_ENDIAN_H

#include "base/bytes.h"

/* Appends the lowest "size" bytes of the value, the highest of them first. */
static inline void put_be(au_bytes_t *bytes, uint64_t value, size_t size) {
  while (size > 0)
    au_bytes_put_u8(bytes, (uint8_t)(value >> (8 * --size)));
}

#endif
