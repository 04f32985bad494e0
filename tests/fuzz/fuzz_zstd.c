/* SPDX-License-Identifier: MIT
 *
 * fuzz_zstd - any bytes as a body in zstd: what comes out is never more than
 * the limit, and what it holds meanwhile is no more than was charged. And any
 * bytes, compressed in several frames: they come out as they were, and are
 * refused when they are one byte more than the limit.
 */
#include "base/zstd.h"
#include "fuzz/fuzz.h"

#include <string.h>
#include <zstd.h>

static void put_frame(fuzz_input_t part, int level, bool has_size,
                      au_bytes_t *out) {
  ZSTD_CCtx *context = ZSTD_createCCtx();
  fuzz_require(context != NULL, "out of memory");
  (void)ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
  (void)ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, has_size);
  (void)ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  size_t bound = ZSTD_compressBound(part.size);
  uint8_t *to = au_bytes_extend(out, bound);
  fuzz_require(to != NULL, "out of memory");
  size_t size = ZSTD_compress2(context, to, bound, part.data, part.size);
  fuzz_require(!ZSTD_isError(size), "zstd failed");
  out->size -= bound - size;
  (void)ZSTD_freeCCtx(context);
}

static void check_round_trip(fuzz_input_t input) {
  static au_bytes_t packed;
  static au_bytes_t plain;
  au_bytes_clear(&packed, SIZE_MAX);
  au_bytes_clear(&plain, SIZE_MAX);
  int level = (int)fuzz_take_below(&input, 5);
  bool has_size = fuzz_take_byte(&input) % 2 > 0;
  fuzz_input_t all = input;
  fuzz_input_t part =
      fuzz_take_part(&input, fuzz_take_below(&input, all.size + 1));
  all.data = part.data;
  all.size = part.size + input.size;
  put_frame(part, level, has_size, &packed);
  if (input.size > 0)
    put_frame(input, level, has_size, &packed);
  fuzz_require(
      au_zstd_inflate(packed.data, packed.size, all.size, &plain) == AU_OK &&
          plain.size == all.size &&
          (all.size == 0 || memcmp(plain.data, all.data, all.size) == 0),
      "what was compressed does not come out");
  au_bytes_clear(&plain, SIZE_MAX);
  if (all.size > 0)
    fuzz_require(au_zstd_inflate(packed.data, packed.size, all.size - 1,
                                 &plain) == AU_FULL,
                 "more than the limit is not refused");
  au_bytes_clear(&plain, SIZE_MAX);
  fuzz_require(au_zstd_inflate(packed.data, packed.size - 1, all.size,
                               &plain) == AU_INVALID,
               "a body that was cut is not refused");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  if (fuzz_take_byte(&input) == 'p') {
    check_round_trip(input);
    return 0;
  }
  size_t limit = fuzz_take_number(&input, 2);
  au_budget_t budget = {.max = AU_ZSTD_WINDOW_MAX + ((uint64_t)1 << 20)};
  au_account_t account = {.budget = &budget};
  au_bytes_t plain = {.account = &account};
  au_status_t status = au_zstd_inflate(input.data, input.size, limit, &plain);
  fuzz_require(status == AU_OK || status == AU_FULL || status == AU_INVALID,
               "out of memory");
  fuzz_require(status != AU_OK || plain.size <= limit,
               "more than the limit comes out");
  fuzz_require(plain.capacity <= 2 * (limit + 65536),
               "more memory is taken than the limit asks for");
  au_bytes_fini(&plain);
  fuzz_require(au_budget_held(&budget) == 0, "memory stays charged");
  return 0;
}
