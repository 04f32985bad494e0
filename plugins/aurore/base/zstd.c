/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * The library takes memory for a frame's window as soon as it has read the
 * frame's header, or none at all when the frame fits into the output. So the
 * headers are read here first: each frame is judged in the same way, and what
 * it will take is charged before it is taken.
 */
#include "base/zstd.h"

#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define STEP ((size_t)64 << 10)

#define FRAME_MAGIC 0xFD2FB528U
#define SKIPPABLE_MAGIC 0x184D2A50U /* to ...5F */
#define SKIPPABLE_MASK 0xFFFFFFF0U

/* What the library takes besides a frame's window: its state, and two blocks.
 */
#define STATE_SIZE ((uint64_t)512 << 10)

/* The beginning of a frame (RFC 8878, 3.1.1). */
#define MAGIC_SIZE 4
#define SINGLE_SEGMENT 0x20

static uint64_t read_little_endian(const uint8_t *from, size_t size) {
  uint64_t value = 0;
  for (size_t i = size; i > 0; i--)
    value = value << 8 | from[i - 1];
  return value;
}

/* The window of the frame at "frame", of which there are "size" bytes. false:
 * it is no frame, or its header is cut. */
static bool read_window(const uint8_t *frame, size_t size,
                        uint64_t *out_window) {
  static const uint8_t dictionary_size[] = {0, 1, 2, 4};
  static const uint8_t content_size[] = {1, 2, 4, 8};
  if (size < MAGIC_SIZE + 2)
    return false;
  uint32_t magic = (uint32_t)read_little_endian(frame, MAGIC_SIZE);
  *out_window = 0;
  if ((magic & SKIPPABLE_MASK) == SKIPPABLE_MAGIC)
    return true;
  if (magic != FRAME_MAGIC)
    return false; /* the library may know formats of before it had one */
  uint8_t descriptor = frame[MAGIC_SIZE];
  if ((descriptor & SINGLE_SEGMENT) == 0) {
    uint8_t window = frame[MAGIC_SIZE + 1];
    uint64_t base = (uint64_t)1 << (10 + (window >> 3));
    *out_window = base + base / 8 * (window & 7);
    return true;
  }
  /* The window is as large as the content. */
  size_t at = MAGIC_SIZE + 1 + dictionary_size[descriptor & 3];
  size_t length = content_size[descriptor >> 6];
  if (size < at + length)
    return false;
  *out_window =
      read_little_endian(frame + at, length) + (length == 2 ? 256 : 0);
  return true;
}

static au_status_t status_of(size_t result) {
  return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? AU_NOMEM
                                                                   : AU_INVALID;
}

/* Inflates one frame; "in" is after it on AU_OK. */
static au_status_t inflate_frame(ZSTD_DCtx *context, ZSTD_inBuffer *in,
                                 size_t limit, au_bytes_t *out) {
  for (;;) {
    /* One byte more than allowed shows that there is more. */
    size_t room = limit + 1 - out->size;
    size_t step = room < STEP ? room : STEP;
    uint8_t *to = au_bytes_extend(out, step);
    if (to == NULL)
      return AU_NOMEM;
    ZSTD_outBuffer piece = {.dst = to, .size = step};
    size_t result = ZSTD_decompressStream(context, &piece, in);
    out->size -= step - piece.pos;
    if (out->size > limit)
      return AU_FULL;
    if (ZSTD_isError(result))
      return status_of(result);
    if (result == 0)
      return AU_OK;
    if (in->pos == in->size && piece.pos < piece.size)
      return AU_INVALID; /* it wants more than there is */
  }
}

/* The same, when its window is not too large. */
static au_status_t take_frame(ZSTD_DCtx *context, ZSTD_inBuffer *in,
                              size_t limit, au_bytes_t *out) {
  uint64_t window = 0;
  const uint8_t *frame = (const uint8_t *)in->src + in->pos;
  if (!read_window(frame, in->size - in->pos, &window) ||
      window > AU_ZSTD_WINDOW_MAX)
    return AU_INVALID;
  au_account_t *account = out->account;
  if (account != NULL && !au_account_charge(account, window + STATE_SIZE))
    return AU_NOMEM;
  au_status_t status = inflate_frame(context, in, limit, out);
  if (account != NULL)
    au_account_release(account, window + STATE_SIZE);
  return status;
}

au_status_t au_zstd_inflate(const void *data, size_t size, size_t limit,
                            au_bytes_t *out) {
  ZSTD_inBuffer in = {.src = data, .size = size};
  ZSTD_DCtx *context = ZSTD_createDCtx();
  if (context == NULL)
    return AU_NOMEM;
  au_status_t status = size > 0 ? AU_OK : AU_INVALID;
  while (status == AU_OK && in.pos < in.size)
    status = take_frame(context, &in, limit, out);
  (void)ZSTD_freeDCtx(context);
  return status;
}
