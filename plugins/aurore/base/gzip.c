/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/gzip.h"

#include <string.h>
#include <zlib.h>

#define STEP ((size_t)64 << 10)
/* zlib: 15 bits of window, and "+ 16" asks for the gzip wrapper. */
#define GZIP_WINDOW (15 + 16)
#define ZLIB_WINDOW 15
/* 256 KiB of memory while it lasts. */
#define MEMORY_LEVEL 8

/* zlib does not say that it only reads its input. */
static Bytef *input_of(const void *data) {
  union {
    const void *in;
    Bytef *out;
  } from = {.in = data};
  return from.out;
}

/* A stream that is to read "data". false: there is too much of it. */
static bool prepare(z_stream *stream, const void *data, size_t size) {
  memset(stream, 0, sizeof(*stream));
  stream->next_in = input_of(data);
  stream->avail_in = (uInt)size;
  return size <= UINT32_MAX;
}

/* Runs inflate() or deflate() once, and appends what comes out, no more than
 * "room" bytes. Returns zlib's result. */
static int run_once(z_stream *stream, int (*run)(z_stream *stream, int flush),
                    int flush, size_t room, au_bytes_t *out) {
  size_t step = room < STEP ? room : STEP;
  uint8_t *to = au_bytes_extend(out, step);
  if (to == NULL)
    return Z_MEM_ERROR;
  stream->next_out = to;
  stream->avail_out = (uInt)step;
  int result = run(stream, flush);
  out->size -= stream->avail_out;
  return result;
}

/* Inflates one member, or stream; "stream" is after it on AU_OK. */
static au_status_t inflate_member(z_stream *stream, size_t limit,
                                  au_bytes_t *out) {
  for (;;) {
    /* One byte more than allowed shows that there is more. */
    size_t room = limit + 1 - out->size;
    int result = run_once(stream, inflate, Z_NO_FLUSH, room, out);
    if (out->size > limit)
      return AU_FULL;
    if (result == Z_STREAM_END)
      return AU_OK;
    if (result == Z_MEM_ERROR)
      return AU_NOMEM;
    if (result != Z_OK || (stream->avail_in == 0 && stream->avail_out > 0))
      return AU_INVALID;
  }
}

/* Inflates all members of what is wrapped as "window" says; of zlib's format
 * there is one. */
static au_status_t inflate_all(int window, const void *data, size_t size,
                               size_t limit, au_bytes_t *out) {
  z_stream stream;
  if (!prepare(&stream, data, size))
    return AU_FULL;
  if (inflateInit2(&stream, window) != Z_OK)
    return AU_NOMEM;
  au_status_t status = size > 0 ? AU_OK : AU_INVALID;
  while (status == AU_OK && stream.avail_in > 0) {
    status = inflate_member(&stream, limit, out);
    if (status == AU_OK && stream.avail_in > 0 &&
        (window == ZLIB_WINDOW || inflateReset(&stream) != Z_OK))
      status = AU_INVALID;
  }
  inflateEnd(&stream);
  return status;
}

au_status_t au_gzip_inflate(const void *data, size_t size, size_t limit,
                            au_bytes_t *out) {
  return inflate_all(GZIP_WINDOW, data, size, limit, out);
}

au_status_t au_zlib_inflate(const void *data, size_t size, size_t limit,
                            au_bytes_t *out) {
  return inflate_all(ZLIB_WINDOW, data, size, limit, out);
}

static au_status_t deflate_all(z_stream *stream, size_t limit,
                               au_bytes_t *out) {
  size_t before = out->size;
  for (;;) {
    size_t room = limit - (out->size - before);
    if (room == 0)
      return AU_FULL;
    int result = run_once(stream, deflate, Z_FINISH, room, out);
    if (result == Z_STREAM_END)
      return AU_OK;
    if (result != Z_OK && result != Z_BUF_ERROR)
      return AU_NOMEM;
  }
}

au_status_t au_gzip_deflate(const void *data, size_t size, size_t limit,
                            au_bytes_t *out) {
  z_stream stream;
  if (!prepare(&stream, data, size))
    return AU_FULL;
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    return AU_NOMEM;
  au_status_t status = deflate_all(&stream, limit, out);
  deflateEnd(&stream);
  return status;
}
