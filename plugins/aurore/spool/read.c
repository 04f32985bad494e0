/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * read - reading rows back: verifying, passing damage, going from one segment
 * to the next. Everything here belongs to the one thread that reads.
 */
#include "spool/private.h"

#include "base/array.h"
#include "base/log.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a place in a segment, before it is passed: with a second between them, as
 * the writer does, half a minute. */
#define READ_TRIES 30

void au_slab_fini(au_slab_t *slab) {
  au_bytes_fini(&slab->bytes);
  free(slab->row);
  *slab = (au_slab_t){.count = 0};
}

au_position_t au_slab_position(const au_slab_t *slab, size_t rows) {
  if (rows == 0)
    return slab->begin;
  if (rows == slab->count)
    return slab->end;
  return (au_position_t){.seq = slab->first_seq + rows,
                         .segment = slab->end.segment,
                         .offset = slab->row[rows - 1].end_offset};
}

/* What is read now: one segment and the bounds within it. */
typedef struct span {
  au_segment_t *segment;
  uint64_t end;      /* bytes that may be read */
  uint64_t stop_seq; /* rows from this number on are in a later segment */
  bool is_last;      /* no later segment holds rows */
} span_t;

/* The segment of the position, or the next one that exists. Segments that hold
 * no row are passed. */
static bool find_span(au_spool_t *spool, uint64_t number, span_t *out) {
  pthread_mutex_lock(&spool->lock);
  au_segment_t *s = spool->oldest;
  while (s != NULL && (s->number < number || s->first_seq == 0))
    s = s->next;
  out->segment = s;
  out->stop_seq = spool->durable_seq;
  out->is_last = true;
  if (s != NULL) {
    out->end = s->end;
    /* The lowest of all: in between there may be remains of a group that was
     * refused, or was written again in a later segment. */
    for (const au_segment_t *n = s->next; n != NULL; n = n->next) {
      if (n->first_seq == 0)
        continue;
      out->is_last = false;
      if (n->first_seq < out->stop_seq)
        out->stop_seq = n->first_seq;
    }
  }
  pthread_mutex_unlock(&spool->lock);
  return s != NULL;
}

/* The descriptor to read the segment with. The writer's own descriptor of a
 * file may be closed by a rotation at any time, so the reader has its own. */
static int open_for_reading(au_spool_t *spool, au_segment_t *segment) {
  if (spool->store.directory < 0)
    return segment->fd;
  if (spool->read_number == segment->number && spool->read_fd >= 0)
    return spool->read_fd;
  au_io_close(spool->store.io, spool->read_fd);
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(segment->number, name);
  spool->read_fd =
      spool->store.io->openat(spool->store.directory, name, O_RDONLY, 0);
  spool->read_number = segment->number;
  return spool->read_fd;
}

/* Copies a damaged range into a file of its own, for whoever wants to look. A
 * range is logged once, however often it is read before it is trimmed. */
static void set_aside(au_spool_t *spool, const span_t *span, uint64_t from,
                      uint64_t to, uint64_t rows) {
  uint64_t number = span->segment->number;
  if (number < spool->aside_segment ||
      (number == spool->aside_segment && from < spool->aside_offset))
    return;
  spool->aside_segment = number;
  spool->aside_offset = to > from ? to : from + 1;
  au_metrics_count(AU_M_SPOOL_DAMAGED, 0, 1);
  char name[96];
  snprintf(name, sizeof(name), "damaged-%016" PRIx64 "-%" PRIu64, number, from);
  au_log(AU_LOG_ERROR,
         "the spool is damaged: %" PRIu64 " bytes of segment %016" PRIx64
         " with %" PRIu64 " events cannot be read; set aside as \"%s\"",
         to - from, number, rows, name);
  au_notify(AU_SEVERITY_FAILURE, "spool",
            "the spool is damaged: %" PRIu64 " events cannot be read", rows);
  if (spool->store.directory < 0)
    return;
  const au_io_t *io = spool->store.io;
  int fd = io->openat(spool->store.directory, name,
                      O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0)
    return;
  uint8_t part[4096];
  for (uint64_t at = from; at < to;) {
    uint64_t size = sizeof(part) - at % sizeof(part);
    if (size > to - at)
      size = to - at;
    ssize_t got = io->pread(spool->read_fd, part, size, (off_t)at);
    if (got < 0 && errno == EIO) {
      at += size; /* a hole in the copy */
      continue;
    }
    if (got <= 0)
      break;
    struct iovec iov = {.iov_base = part, .iov_len = (size_t)got};
    if (io->pwritev(fd, &iov, 1, (off_t)(at - from)) != got)
      break;
    at += (uint64_t)got;
  }
  io->close(fd);
}

/* Of the row that was just added, whose prefix is taken out. */
static uint32_t take_number(au_slab_t *slab, au_row_kind_t kind, size_t start) {
  if (kind != AU_ROW_NUMBERED)
    return 0;
  uint8_t *row = slab->bytes.data + start;
  const au_row_t parts = au_row_split(kind, row, slab->bytes.size - start);
  memmove(row, parts.tuple, parts.size);
  slab->bytes.size = start + parts.size;
  return parts.number;
}

static au_status_t add_row(au_slab_t *slab, const au_frame_t *frame,
                           uint64_t end_offset) {
  au_slab_row_t *row =
      au_array_grow(slab->row, &slab->capacity, slab->count + 1, sizeof(*row));
  if (row == NULL)
    return AU_NOMEM;
  slab->row = row;
  size_t start = slab->bytes.size;
  au_row_kind_t kind = au_frame_copy_row(frame, &slab->bytes);
  if (slab->bytes.failed) {
    slab->bytes.failed = false;
    slab->bytes.size = start;
    return AU_NOMEM;
  }
  if (slab->count == 0)
    slab->first_seq = frame->seq;
  row[slab->count++] = (au_slab_row_t){.kind = kind,
                                       .number = take_number(slab, kind, start),
                                       .start = start,
                                       .end_offset = end_offset};
  row[slab->count].start = slab->bytes.size;
  slab->end.seq = frame->seq + 1;
  slab->end.offset = end_offset;
  return AU_OK;
}

typedef struct limits {
  size_t max_rows;
  size_t max_bytes;
} limits_t;

/* Reads frames of one span into the slab, from the cursor on. Stops at the
 * limits, at a gap, at damage, at the end; the cursor is then where it
 * stopped when nothing was read. */
static au_status_t read_span(au_spool_t *spool, const span_t *span,
                             const limits_t *limits, au_slab_t *slab) {
  for (;;) {
    au_frame_t frame;
    uint64_t start = spool->cursor.offset;
    au_cursor_result_t result = au_cursor_next(&spool->cursor, &frame);
    if (result == AU_CURSOR_ERROR)
      return slab->count > 0 ? AU_OK : errno == ENOMEM ? AU_NOMEM : AU_IO;
    if (result != AU_CURSOR_FRAME)
      return AU_OK;
    if (frame.kind == AU_FRAME_FOOTER) {
      if (slab->count > 0 && frame.seq == slab->end.seq)
        slab->end.offset = spool->cursor.offset;
      continue;
    }
    if (frame.seq >= span->stop_seq)
      return AU_OK;
    if (frame.seq < slab->end.seq)
      continue; /* written again in a later place; or stored before a restart */
    if (frame.seq != slab->end.seq ||
        (slab->count > 0 &&
         (slab->count >= limits->max_rows ||
          slab->bytes.size + frame.size > limits->max_bytes))) {
      spool->cursor.offset = start;
      return AU_OK;
    }
    au_status_t status = add_row(slab, &frame, spool->cursor.offset);
    if (status != AU_OK)
      return slab->count > 0 ? AU_OK : status;
  }
}

/* From where reading stopped to the next good row of the span, or its end.
 * "out_seq" is the number of that row (stop_seq at the end). */
static au_status_t find_next_row(au_spool_t *spool, const span_t *span,
                                 uint64_t *out_seq) {
  for (;;) {
    uint64_t at = spool->cursor.offset;
    au_frame_t frame;
    au_cursor_result_t result = au_cursor_next(&spool->cursor, &frame);
    if (result == AU_CURSOR_FRAME && frame.kind == AU_FRAME_ROW) {
      spool->cursor.offset = at;
      *out_seq = frame.seq < span->stop_seq ? frame.seq : span->stop_seq;
      return AU_OK;
    }
    if (result == AU_CURSOR_DAMAGE || result == AU_CURSOR_END)
      result = au_cursor_resync(&spool->cursor);
    if (result == AU_CURSOR_ERROR)
      return errno == ENOMEM ? AU_NOMEM : AU_IO;
    if (result == AU_CURSOR_END) {
      *out_seq = span->stop_seq;
      return AU_OK;
    }
  }
}

/* Rows of the span are missing at the place that is due: finds the next one,
 * and logs it. */
static au_status_t pass_gap(au_spool_t *spool, const span_t *span,
                            au_slab_t *slab) {
  uint64_t from = spool->cursor.offset;
  uint64_t found = 0;
  au_status_t status = find_next_row(spool, span, &found);
  if (status != AU_OK)
    return status;
  uint64_t lost = found > slab->end.seq ? found - slab->end.seq : 0;
  set_aside(spool, span, from, spool->cursor.offset, lost);
  slab->end.seq += lost;
  slab->end.offset = spool->cursor.offset;
  return AU_OK;
}

/* Somebody has removed the file. (errno is of the failed open.) */
static bool is_gone(au_spool_t *spool) {
  return errno == ENOENT && ++spool->read_failures >= READ_TRIES;
}

static void pass_segment(au_spool_t *spool, const span_t *span,
                         au_slab_t *slab) {
  uint64_t lost = span->stop_seq - slab->end.seq;
  set_aside(spool, span, slab->end.offset, slab->end.offset, lost);
  slab->end.seq = span->stop_seq;
  slab->end.offset = span->end;
  spool->read_failures = 0;
}

/* A read that failed is tried again for a while. Then, if the disk otherwise
 * works (it is not just away), what it cannot read is passed as damage. */
static bool passes_unreadable(const au_spool_t *spool, int fd) {
  return spool->read_failures >= READ_TRIES &&
         spool->store.io->fdatasync(fd) == 0;
}

/* Keeps count of failed reads. */
static au_status_t note_read(au_spool_t *spool, const span_t *span,
                             au_status_t status) {
  if (spool->cursor.unreadable > 0) {
    pthread_mutex_lock(&spool->lock);
    span->segment->unreadable = true;
    pthread_mutex_unlock(&spool->lock);
  } else if (status == AU_IO) {
    spool->read_failures++;
  } else {
    spool->read_failures = 0;
  }
  return status;
}

au_status_t au_spool_read(au_spool_t *spool, au_position_t from,
                          size_t max_rows, size_t max_bytes, au_slab_t *slab) {
  const limits_t limits = {.max_rows = max_rows, .max_bytes = max_bytes};
  au_bytes_clear(&slab->bytes, max_bytes + (max_bytes >> 2));
  slab->count = 0;
  slab->first_seq = from.seq;
  slab->begin = from;
  slab->end = from;
  span_t span;
  uint64_t number = from.segment;
  while (find_span(spool, number, &span)) {
    if (slab->end.seq >= span.stop_seq && span.is_last)
      return AU_OK; /* all that is durable has been read */
    if (slab->end.seq >= span.stop_seq) {
      /* What follows its last row is a torn tail, whatever it is. */
      number = span.segment->number + 1;
      continue;
    }
    if (span.segment->number != slab->end.segment) {
      slab->end.segment = span.segment->number;
      slab->end.offset = AU_SEGMENT_HEADER_SIZE;
    }
    int fd = open_for_reading(spool, span.segment);
    if (fd < 0 && !is_gone(spool))
      return AU_IO;
    if (fd < 0) {
      pass_segment(spool, &span, slab);
      return AU_OK;
    }
    au_cursor_init(&spool->cursor, spool->store.io, fd, span.segment->salt,
                   slab->end.offset, span.end);
    spool->cursor.passes_unreadable = passes_unreadable(spool, fd);
    au_status_t status = read_span(spool, &span, &limits, slab);
    if (status != AU_OK || slab->count > 0)
      return note_read(spool, &span, status);
    status = note_read(spool, &span, pass_gap(spool, &span, slab));
    if (status != AU_OK || slab->end.seq > from.seq)
      return status; /* rows were passed: the caller moves on first */
    number = span.segment->number;
  }
  return AU_OK;
}
