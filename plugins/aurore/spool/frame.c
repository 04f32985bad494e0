/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/frame.h"

#include "base/crc32c.h"

#include <endian.h>
#include <string.h>

/* What the header of a row of layout 1 says of it. */
#define LAYOUT_1 0

/* Numbers of "size" bytes, at most 8. */
static inline void put_le(uint8_t *at, uint64_t value, size_t size) {
  value = htole64(value);
  memcpy(at, &value, size);
}

static inline uint64_t get_le(const uint8_t *at, size_t size) {
  uint64_t value = 0;
  memcpy(&value, at, size);
  return le64toh(value);
}

static uint8_t *put_header(au_bytes_t *frames, au_frame_kind_t kind,
                           uint32_t size) {
  uint64_t total = au_frame_size(size);
  uint8_t *at = au_bytes_extend(frames, total);
  if (at == NULL)
    return NULL;
  put_le(at, 0, 4);
  put_le(at + 4, size, 4);
  put_le(at + 8, 0, 8);
  put_le(at + 16, kind, 4);
  put_le(at + 20, 0, 4);
  memset(at + total - 8, 0, size > 0 ? 8 : 0);
  return at + AU_FRAME_HEADER_SIZE;
}

void au_frame_put_row(au_bytes_t *frames, au_row_kind_t kind, const void *row,
                      uint32_t size) {
  uint8_t *data = put_header(frames, AU_FRAME_ROW, size);
  if (data == NULL)
    return;
  put_le(data - 4, AU_ROW_LAYOUT, 2);
  put_le(data - 2, (uint16_t)kind, 2);
  memcpy(data, row, size);
}

void au_frame_put_footer(au_bytes_t *frames, uint64_t count) {
  uint8_t *data = put_header(frames, AU_FRAME_FOOTER, 16);
  if (data == NULL)
    return;
  put_le(data, 0, 8);
  put_le(data + 8, count, 8);
}

static uint32_t checksum(const uint8_t *frame, uint64_t total, uint64_t salt) {
  /* The salt is folded in first, as if it were written before the frame. */
  uint8_t salted[8];
  put_le(salted, salt, 8);
  uint32_t crc = au_crc32c(0, salted, sizeof(salted));
  return au_crc32c(crc, frame + 4, total - 4);
}

void au_frame_seal(uint8_t *frames, size_t size, uint64_t first_seq,
                   uint64_t salt) {
  uint64_t seq = first_seq;
  for (size_t at = 0; at < size;) {
    uint8_t *frame = frames + at;
    uint64_t total = au_frame_size((uint32_t)get_le(frame + 4, 4));
    put_le(frame + 8, seq, 8);
    if (get_le(frame + 16, 4) == AU_FRAME_ROW)
      seq++;
    else
      put_le(frame + AU_FRAME_HEADER_SIZE, first_seq, 8);
    put_le(frame, checksum(frame, total, salt), 4);
    at += total;
  }
}

static au_frame_result_t read_footer(au_frame_t *frame) {
  frame->first_seq = get_le(frame->data, 8);
  frame->count = get_le(frame->data + 8, 8);
  /* The number of the next row may be the one after the last. */
  bool is_good = frame->first_seq > 0 && frame->seq >= frame->first_seq &&
                 frame->seq <= AU_FRAME_SEQ_MAX + 1 &&
                 frame->count == frame->seq - frame->first_seq;
  return is_good ? AU_FRAME_GOOD : AU_FRAME_BAD;
}

static au_frame_result_t read_row(const au_frame_t *frame) {
  return frame->seq > 0 && frame->seq <= AU_FRAME_SEQ_MAX ? AU_FRAME_GOOD
                                                          : AU_FRAME_BAD;
}

/* How many kinds of rows each layout has, as headers say it. */
static const unsigned kinds[] = {
    [LAYOUT_1] = 1, [2] = AU_ROW_REPROCESS + 1, [AU_ROW_LAYOUT] = AU_ROW_KINDS};

/* Whether the header is one of those that are written. */
static bool read_header(const uint8_t *data, au_frame_t *out_frame) {
  uint32_t kind = (uint32_t)get_le(data + 16, 4);
  unsigned layout = (unsigned)get_le(data + 20, 2);
  unsigned row_kind = (unsigned)get_le(data + 22, 2);
  if (kind == AU_FRAME_FOOTER) {
    out_frame->kind = AU_FRAME_FOOTER;
    return layout == 0 && row_kind == 0 && out_frame->size == 16;
  }
  out_frame->kind = AU_FRAME_ROW;
  out_frame->layout = layout == LAYOUT_1 ? 1 : layout;
  out_frame->row_kind = row_kind < AU_ROW_KINDS ? row_kind : AU_ROW_EVENT;
  return kind == AU_FRAME_ROW && layout <= AU_ROW_LAYOUT &&
         row_kind < kinds[layout] &&
         out_frame->size >= au_row_prefix_size(out_frame->row_kind);
}

au_frame_result_t au_frame_read(const uint8_t *data, size_t available,
                                uint64_t salt, au_frame_t *out_frame) {
  if (available < AU_FRAME_MARK_SIZE) {
    out_frame->total = AU_FRAME_MARK_SIZE;
    return AU_FRAME_SHORT;
  }
  if (get_le(data, 8) == 0)
    return AU_FRAME_NONE;
  uint32_t size = (uint32_t)get_le(data + 4, 4);
  out_frame->size = size;
  out_frame->total = AU_FRAME_MARK_SIZE;
  if (size > AU_FRAME_ROW_MAX)
    return AU_FRAME_BAD;
  if (available < AU_FRAME_HEADER_SIZE) {
    out_frame->total = AU_FRAME_HEADER_SIZE;
    return AU_FRAME_SHORT;
  }
  if (!read_header(data, out_frame))
    return AU_FRAME_BAD;
  out_frame->total = au_frame_size(size);
  if (available < out_frame->total)
    return AU_FRAME_SHORT;
  if (checksum(data, out_frame->total, salt) != get_le(data, 4))
    return AU_FRAME_BAD;
  out_frame->seq = get_le(data + 8, 8);
  out_frame->data = data + AU_FRAME_HEADER_SIZE;
  return out_frame->kind == AU_FRAME_FOOTER ? read_footer(out_frame)
                                            : read_row(out_frame);
}

au_row_kind_t au_frame_copy_row(const au_frame_t *frame, au_bytes_t *rows) {
  if (frame->layout == 1)
    return au_row_put_upgraded(rows, frame->data, frame->size);
  au_bytes_put(rows, frame->data, frame->size);
  return frame->row_kind;
}
