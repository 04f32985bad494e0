/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * frame - what a segment is made of: rows and group footers, each after a
 * header.
 *
 *   0        4      8     16     20       22         24
 *   | crc32c | size | seq | kind | layout | row kind | data, padded to 8 |
 *
 * All numbers are little endian. The checksum covers all of the frame after
 * itself, padding included, and starts from the segment's salt. A row's frame
 * carries the row's sequence number, the version of its layout and its kind
 * (event/row.h; layout 0 is 1, which had no kinds); a footer's carries the
 * number of the next row after the group, and as data the group's first number
 * and its count. Eight zero bytes where a frame could start mean that nothing
 * was written there.
 *
 * A frame of an unknown kind or layout is no frame: whoever adds one raises the
 * version of segments, so that older releases refuse the file.
 *
 * Threads: pure.
 */
#ifndef AURORE_SPOOL_FRAME_H
#define AURORE_SPOOL_FRAME_H

#include "base/bytes.h"
#include "event/row.h"

#include <stdint.h>

#define AU_FRAME_HEADER_SIZE 24
/* Of the zeros that say that nothing was written. */
#define AU_FRAME_MARK_SIZE 8
#define AU_FRAME_FOOTER_SIZE (AU_FRAME_HEADER_SIZE + 16)
/* No row is larger; a header that claims more is damage. */
#define AU_FRAME_ROW_MAX (UINT32_C(256) << 20)
/* The first number of a row is 1. Nor is there one after this, which the
 * database could not hold. */
#define AU_FRAME_SEQ_MAX ((uint64_t)INT64_MAX - 1)

typedef enum au_frame_kind {
  AU_FRAME_ROW = 0x31574f52,   /* "ROW1" */
  AU_FRAME_FOOTER = 0x31444e45 /* "END1" */
} au_frame_kind_t;

typedef struct au_frame {
  au_frame_kind_t kind;
  uint64_t seq;
  unsigned layout;        /* for a row: 1 to AU_ROW_LAYOUT */
  au_row_kind_t row_kind; /* for a row of layout 2 or later */
  const uint8_t *data;    /* points into what was given */
  uint32_t size;          /* of the data */
  /* Of the frame: header, data and padding. Of what is none: as far as it was
   * looked at. */
  uint64_t total;
  uint64_t first_seq; /* of the group, for a footer */
  uint64_t count;     /* of the group, for a footer */
} au_frame_t;

typedef enum au_frame_result {
  AU_FRAME_GOOD,
  AU_FRAME_SHORT, /* plausible, but only total > available bytes would tell */
  AU_FRAME_NONE,  /* zero: nothing was written here */
  AU_FRAME_BAD    /* not a frame of this segment */
} au_frame_result_t;

/* The size of the frame of a row of "size" bytes. */
static inline uint64_t au_frame_size(uint32_t size) {
  return AU_FRAME_HEADER_SIZE + (((uint64_t)size + 7) & ~UINT64_C(7));
}

/* Appends the frame of a row of AU_ROW_LAYOUT; its number and checksum are left
 * for au_frame_seal, since neither is known before the group is written. */
void au_frame_put_row(au_bytes_t *frames, au_row_kind_t kind, const void *row,
                      uint32_t size);

/* Appends the footer of a group of "count" rows. */
void au_frame_put_footer(au_bytes_t *frames, uint64_t count);

/* Numbers the rows of the group from "first_seq" on, and fills in every
 * checksum. May be done again with another number and salt. */
void au_frame_seal(uint8_t *frames, size_t size, uint64_t first_seq,
                   uint64_t salt);

/* Reads and verifies the frame at "data". */
au_frame_result_t au_frame_read(const uint8_t *data, size_t available,
                                uint64_t salt, au_frame_t *out_frame);

/* Appends the row of a frame to "rows", in AU_ROW_LAYOUT whatever layout it was
 * written in, and returns its kind. Out of memory: rows->failed. */
au_row_kind_t au_frame_copy_row(const au_frame_t *frame, au_bytes_t *rows);

#endif
