/* SPDX-License-Identifier: MIT */
#include "support/deflate.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

size_t deflate_to(uint8_t *to, size_t room, const void *data, size_t size) {
  uint8_t *copy = malloc(size + 1); /* zlib's input is not const */
  ck_assert_ptr_nonnull(copy);
  memcpy(copy, data, size);
  z_stream stream = {.next_in = copy,
                     .avail_in = (uInt)size,
                     .next_out = to,
                     .avail_out = (uInt)room};
  ck_assert_int_eq(deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED,
                                15 + 16, 8, Z_DEFAULT_STRATEGY),
                   Z_OK);
  ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
  deflateEnd(&stream);
  free(copy);
  return stream.total_out;
}
