/* SPDX-License-Identifier: MIT
 *
 * fuzz_gzip - any bytes as a body in gzip, or in zlib's format: what comes out
 * is never more than the limit. And any bytes, compressed: they come out as
 * they were, and are refused when they are one byte more than the limit.
 */
#include "base/gzip.h"
#include "fuzz/fuzz.h"

#include <string.h>
#include <zlib.h>

/* One member after what is in "out". */
static void deflate_part(fuzz_input_t part, int level, au_bytes_t *out) {
  z_stream stream;
  memset(&stream, 0, sizeof(stream));
  fuzz_require(deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8,
                            Z_DEFAULT_STRATEGY) == Z_OK,
               "out of memory");
  size_t bound = deflateBound(&stream, part.size);
  stream.next_out = au_bytes_extend(out, bound);
  fuzz_require(stream.next_out != NULL, "out of memory");
  stream.avail_out = (uInt)bound;
  union {
    const uint8_t *in;
    Bytef *out;
  } from = {.in = part.data}; /* zlib reads it only */
  stream.next_in = from.out;
  stream.avail_in = (uInt)part.size;
  fuzz_require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib failed");
  out->size -= stream.avail_out;
  deflateEnd(&stream);
}

static void check_round_trip(fuzz_input_t input) {
  static au_bytes_t packed;
  static au_bytes_t plain;
  au_bytes_clear(&packed, SIZE_MAX);
  au_bytes_clear(&plain, SIZE_MAX);
  int level = (int)fuzz_take_below(&input, 10);
  fuzz_input_t all = input;
  fuzz_input_t part =
      fuzz_take_part(&input, fuzz_take_below(&input, all.size + 1));
  all.data = part.data;
  all.size = part.size + input.size;
  deflate_part(part, level, &packed);
  if (input.size > 0)
    deflate_part(input, level, &packed);
  fuzz_require(
      au_gzip_inflate(packed.data, packed.size, all.size, &plain) == AU_OK &&
          plain.size == all.size &&
          (all.size == 0 || memcmp(plain.data, all.data, all.size) == 0),
      "what was compressed does not come out");
  au_bytes_clear(&plain, SIZE_MAX);
  if (all.size > 0)
    fuzz_require(au_gzip_inflate(packed.data, packed.size, all.size - 1,
                                 &plain) == AU_FULL,
                 "more than the limit is not refused");
  au_bytes_clear(&plain, SIZE_MAX);
  fuzz_require(au_gzip_inflate(packed.data, packed.size - 1, all.size,
                               &plain) == AU_INVALID,
               "a body that was cut is not refused");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  uint8_t kind = fuzz_take_byte(&input);
  if (kind == 'p') {
    check_round_trip(input);
    return 0;
  }
  size_t limit = fuzz_take_number(&input, 2);
  au_bytes_t plain = AU_BYTES_INIT;
  au_status_t status =
      kind == 'z' ? au_zlib_inflate(input.data, input.size, limit, &plain)
                  : au_gzip_inflate(input.data, input.size, limit, &plain);
  fuzz_require(status == AU_OK || status == AU_FULL || status == AU_INVALID,
               "out of memory");
  fuzz_require(status != AU_OK || plain.size <= limit,
               "more than the limit comes out");
  fuzz_require(plain.capacity <= 2 * (limit + 65536),
               "more memory is taken than the limit asks for");
  au_bytes_fini(&plain);
  return 0;
}
