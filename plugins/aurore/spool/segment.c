/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/segment.h"

#include "base/clock.h"
#include "base/crc32c.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MAGIC "AURSPOOL"
/* Of the header and of the frames after it; so far that of the layout of rows
 * (event/row.h). All up to this one can be read. */
#define VERSION 3
/* One read of the cursor; frames that are larger are read whole. */
#define WINDOW_SIZE ((uint64_t)256 << 10)
/* What a disk fails to read as a whole. */
#define BLOCK_SIZE 4096
/* Each may take a disk seconds; a file with more is not read to its end. */
#define UNREADABLE_MAX 64
/* Times the size of a file. What earlier lives have left in it costs twice the
 * size at most; rows that were made to look like the headers of others, by
 * whoever sent them, would cost the square of it. */
#define IN_VAIN_MAX 4

/* The header as it is in the file; little endian. */
typedef struct header {
  char magic[8];
  uint32_t version;
  uint32_t header_size;
  uint8_t spool_id[16];
  uint64_t number;
  uint64_t salt;
  int64_t created_us;
  uint32_t lives; /* zero in what older releases have written */
  uint32_t crc;   /* of all before */
} header_t;

void au_segment_name(uint64_t number, char name[AU_SEGMENT_NAME_SIZE]) {
  snprintf(name, AU_SEGMENT_NAME_SIZE, "%016" PRIx64 ".segment", number);
}

static void spare_name(uint64_t number, char name[AU_SEGMENT_NAME_SIZE]) {
  snprintf(name, AU_SEGMENT_NAME_SIZE, "%016" PRIx64 ".spare.new", number);
}

static uint64_t parse_name(const char *name,
                           void (*format)(uint64_t number,
                                          char name[AU_SEGMENT_NAME_SIZE])) {
  uint64_t number = strtoull(name, NULL, 16);
  char back[AU_SEGMENT_NAME_SIZE];
  format(number, back);
  return strcmp(name, back) == 0 && number < UINT64_MAX ? number : 0;
}

uint64_t au_segment_parse_name(const char *name) {
  return parse_name(name, au_segment_name);
}

uint64_t au_segment_parse_spare(const char *name) {
  return parse_name(name, spare_name);
}

int au_segment_set_aside(const au_store_t *store, uint64_t number) {
  char name[AU_SEGMENT_NAME_SIZE];
  char aside[AU_SEGMENT_NAME_SIZE + 16];
  au_segment_name(number, name);
  snprintf(aside, sizeof(aside), "damaged-%s", name);
  return store->io->renameat(store->directory, name, aside);
}

static au_segment_t *segment_new(uint64_t number) {
  au_segment_t *segment = calloc(1, sizeof(*segment));
  if (segment == NULL) {
    errno = ENOMEM;
    return NULL;
  }
  segment->number = number;
  segment->fd = -1;
  return segment;
}

void au_segment_close(const au_store_t *store, au_segment_t *segment) {
  if (segment == NULL)
    return;
  int error = errno;
  au_io_close(store->io, segment->fd);
  free(segment);
  errno = error;
}

static int write_header(const au_store_t *store, au_segment_t *segment) {
  header_t header = {.version = htole32(VERSION),
                     .header_size = htole32(AU_SEGMENT_HEADER_SIZE),
                     .number = htole64(segment->number),
                     .salt = htole64(segment->salt),
                     .lives = htole32(segment->lives)};
  memcpy(header.magic, MAGIC, sizeof(header.magic));
  memcpy(header.spool_id, store->id.byte, sizeof(header.spool_id));
  header.created_us = (int64_t)htole64((uint64_t)au_clock_wall_us());
  header.crc = htole32(au_crc32c(0, &header, offsetof(header_t, crc)));
  struct iovec iov = {.iov_base = &header, .iov_len = sizeof(header)};
  ssize_t done = store->io->pwritev(segment->fd, &iov, 1, 0);
  if (done >= 0 && (size_t)done != sizeof(header))
    errno = EIO;
  return done == (ssize_t)sizeof(header) ? 0 : -1;
}

static int make_memory_file(const au_store_t *store, au_segment_t *segment) {
  segment->fd = store->io->memory_file("aurore-spool");
  if (segment->fd < 0)
    return -1;
  /* Not allocated ahead: memory is taken as rows come. */
  return write_header(store, segment);
}

/* Gives the open file its header and, once that is durable, its name. On error
 * it has no name at all. */
static int enter(const au_store_t *store, au_segment_t *segment,
                 const char *temporary) {
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(segment->number, name);
  const char *current = temporary;
  int status = write_header(store, segment);
  if (status == 0)
    status = store->io->fdatasync(segment->fd);
  if (status == 0)
    status = store->io->renameat(store->directory, temporary, name);
  if (status == 0) {
    current = name;
    status = store->io->fsync(store->directory);
  }
  if (status == 0)
    return 0;
  int error = errno;
  store->io->unlinkat(store->directory, current);
  errno = error;
  return -1;
}

static int make_file(const au_store_t *store, au_segment_t *segment) {
  char name[AU_SEGMENT_NAME_SIZE];
  char temporary[AU_SEGMENT_NAME_SIZE + 4];
  au_segment_name(segment->number, name);
  snprintf(temporary, sizeof(temporary), "%s.new", name);
  segment->fd = store->io->openat(store->directory, temporary,
                                  O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (segment->fd < 0)
    return -1;
  if (store->io->fallocate(segment->fd, 0, (off_t)segment->size) == 0)
    return enter(store, segment, temporary);
  int error = errno;
  store->io->unlinkat(store->directory, temporary);
  errno = error;
  return -1;
}

au_segment_t *au_segment_create(const au_store_t *store, uint64_t number,
                                uint64_t size) {
  au_segment_t *segment = segment_new(number);
  if (segment == NULL)
    return NULL;
  segment->size = size;
  segment->end = AU_SEGMENT_HEADER_SIZE;
  if (getrandom(&segment->salt, sizeof(segment->salt), 0) !=
      (ssize_t)sizeof(segment->salt))
    segment->salt = (uint64_t)au_clock_monotonic_ns();
  int status = store->directory < 0 ? make_memory_file(store, segment)
                                    : make_file(store, segment);
  if (status == 0)
    return segment;
  au_segment_close(store, segment);
  return NULL;
}

static ssize_t pread_header(const au_store_t *store, int fd,
                            header_t *out_header) {
  ssize_t done = -1;
  for (int tries = 0; done < 0 && tries < 2; tries += errno != EINTR)
    done = store->io->pread(fd, out_header, sizeof(*out_header), 0);
  return done;
}

static bool is_header(const header_t *header, uint64_t number) {
  return memcmp(header->magic, MAGIC, sizeof(header->magic)) == 0 &&
         le32toh(header->crc) ==
             au_crc32c(0, header, offsetof(header_t, crc)) &&
         le64toh(header->number) == number;
}

static int read_header(au_store_t *store, au_segment_t *segment) {
  header_t header;
  ssize_t done = pread_header(store, segment->fd, &header);
  if (done < 0 && errno != EIO)
    return -1;
  errno = EILSEQ;
  if ((size_t)done != sizeof(header) || !is_header(&header, segment->number))
    return -1;
  if (le32toh(header.version) > VERSION) {
    errno = EPROTO;
    return -1;
  }
  static const au_uuid_t nil;
  if (memcmp(&store->id, &nil, sizeof(nil)) == 0)
    memcpy(store->id.byte, header.spool_id, sizeof(header.spool_id));
  else if (memcmp(store->id.byte, header.spool_id, sizeof(header.spool_id)) !=
           0)
    return -1;
  segment->salt = le64toh(header.salt);
  segment->lives = le32toh(header.lives);
  return 0;
}

bool au_segment_is_same(const au_store_t *store, const au_segment_t *segment) {
  header_t header;
  return pread_header(store, segment->fd, &header) == (ssize_t)sizeof(header) &&
         is_header(&header, segment->number);
}

/* The number of the first row; of what is damaged before the first good one,
 * the footer of their group knows. */
static int find_first_row(const au_store_t *store, au_segment_t *segment) {
  au_cursor_t cursor = {.fd = -1};
  au_frame_t frame;
  bool whole = true;
  bool found = false;
  au_cursor_result_t result = AU_CURSOR_FRAME;
  au_cursor_init(&cursor, store->io, segment->fd, segment->salt,
                 AU_SEGMENT_HEADER_SIZE, segment->end);
  cursor.passes_unreadable = true;
  while (!found && result == AU_CURSOR_FRAME) {
    result = au_cursor_next(&cursor, &frame);
    if (result == AU_CURSOR_DAMAGE || result == AU_CURSOR_END) {
      whole = false;
      result = au_cursor_resync(&cursor);
    } else if (result == AU_CURSOR_FRAME) {
      uint64_t seq = frame.kind == AU_FRAME_ROW ? frame.seq : frame.first_seq;
      if (segment->first_seq == 0 || seq < segment->first_seq)
        segment->first_seq = seq;
      found = whole || frame.kind == AU_FRAME_FOOTER;
    }
  }
  segment->unreadable = cursor.unreadable > 0;
  int error = errno;
  au_cursor_fini(&cursor);
  errno = error;
  return result == AU_CURSOR_ERROR ? -1 : 0;
}

au_segment_t *au_segment_open(au_store_t *store, uint64_t number) {
  au_segment_t *segment = segment_new(number);
  if (segment == NULL)
    return NULL;
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(number, name);
  struct stat info;
  segment->fd = store->io->openat(store->directory, name, O_RDONLY, 0);
  if (segment->fd >= 0 && fstat(segment->fd, &info) == 0) {
    segment->size = (uint64_t)info.st_size;
    segment->end = segment->size;
    if (read_header(store, segment) == 0 && find_first_row(store, segment) == 0)
      return segment;
  }
  au_segment_close(store, segment);
  return NULL;
}

/* --- spares ----------------------------------------------------------------*/

int au_segment_spare(const au_store_t *store, au_segment_t *segment) {
  char name[AU_SEGMENT_NAME_SIZE];
  char spare[AU_SEGMENT_NAME_SIZE];
  au_segment_name(segment->number, name);
  spare_name(segment->number, spare);
  if (store->io->renameat(store->directory, name, spare) != 0)
    return -1;
  au_io_close(store->io, segment->fd);
  segment->fd = -1;
  return 0;
}

/* A file with another name besides is somebody's copy, and not ours to write.
 */
static int open_spare(const au_store_t *store, au_segment_t *spare) {
  char name[AU_SEGMENT_NAME_SIZE];
  spare_name(spare->number, name);
  struct stat info;
  spare->fd = store->io->openat(store->directory, name, O_RDWR, 0);
  if (spare->fd < 0 || fstat(spare->fd, &info) != 0)
    return -1;
  errno = EMLINK;
  spare->size = (uint64_t)info.st_size;
  return info.st_nlink == 1 ? 0 : -1;
}

au_segment_t *au_segment_open_spare(au_store_t *store, uint64_t number) {
  au_segment_t *spare = segment_new(number);
  if (spare == NULL)
    return NULL;
  if (open_spare(store, spare) == 0 && read_header(store, spare) == 0) {
    store->io->close(spare->fd);
    spare->fd = -1;
    return spare;
  }
  au_segment_delete_spare(store, spare);
  return NULL;
}

au_segment_t *au_segment_reuse(const au_store_t *store, au_segment_t *spare,
                               uint64_t number) {
  char name[AU_SEGMENT_NAME_SIZE];
  spare_name(spare->number, name);
  if (open_spare(store, spare) != 0) {
    au_segment_delete_spare(store, spare);
    return NULL;
  }
  *spare = (au_segment_t){.number = number,
                          .salt = spare->salt + 1,
                          .lives = spare->lives + 1,
                          .end = AU_SEGMENT_HEADER_SIZE,
                          .size = spare->size,
                          .fd = spare->fd};
  if (enter(store, spare, name) == 0)
    return spare;
  au_segment_close(store, spare);
  return NULL;
}

void au_segment_delete_spare(const au_store_t *store, au_segment_t *spare) {
  char name[AU_SEGMENT_NAME_SIZE];
  spare_name(spare->number, name);
  int error = errno;
  store->io->unlinkat(store->directory, name);
  errno = error;
  au_segment_close(store, spare);
}

/* --- reading ---------------------------------------------------------------*/

void au_cursor_init(au_cursor_t *cursor, const au_io_t *io, int fd,
                    uint64_t salt, uint64_t offset, uint64_t limit) {
  cursor->io = io;
  cursor->fd = fd;
  cursor->salt = salt;
  cursor->offset = offset;
  cursor->limit = limit > offset ? limit : offset;
  au_bytes_clear(&cursor->window, 4 * WINDOW_SIZE);
  cursor->window_offset = offset;
  cursor->passes_unreadable = false;
  cursor->unreadable = 0;
  cursor->unreadable_end = 0;
  cursor->in_vain = 0;
}

void au_cursor_fini(au_cursor_t *cursor) { au_bytes_fini(&cursor->window); }

/* As pread. A block that cannot be read is tried by itself, and then reads as
 * bytes that are no frame. */
static ssize_t read_some(au_cursor_t *cursor, uint8_t *data, size_t size,
                         uint64_t offset) {
  size_t part = size;
  if (cursor->unreadable < UNREADABLE_MAX) {
    ssize_t done = cursor->io->pread(cursor->fd, data, size, (off_t)offset);
    if (done >= 0 || errno != EIO || !cursor->passes_unreadable)
      return done;
    size_t block = BLOCK_SIZE - (size_t)(offset % BLOCK_SIZE);
    part = size < block ? size : block;
    done = cursor->io->pread(cursor->fd, data, part, (off_t)offset);
    if (done >= 0 || errno != EIO)
      return done;
    cursor->unreadable++;
  }
  memset(data, 0xff, part);
  if (cursor->unreadable_end < offset + part)
    cursor->unreadable_end = offset + part;
  return (ssize_t)part;
}

/* Reads at least "need" bytes (or up to the limit) at the cursor's offset. */
static bool refill(au_cursor_t *cursor, uint64_t need) {
  uint64_t left = cursor->limit - cursor->offset;
  uint64_t size = need > WINDOW_SIZE ? need : WINDOW_SIZE;
  if (size > left)
    size = left;
  au_bytes_clear(&cursor->window, 4 * WINDOW_SIZE);
  cursor->window_offset = cursor->offset;
  uint8_t *data = au_bytes_extend(&cursor->window, size);
  if (data == NULL) {
    errno = ENOMEM;
    return false;
  }
  size_t got = 0;
  while (got < size) {
    ssize_t done =
        read_some(cursor, data + got, size - got, cursor->offset + got);
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0) {
      cursor->window.size = 0;
      return false;
    }
    if (done == 0)
      break; /* shorter than its size says: the rest reads as nothing */
    got += (size_t)done;
  }
  cursor->window.size = got;
  if (got < size)
    cursor->limit = cursor->offset + got;
  return true;
}

/* The frame at the cursor's offset, if it is no larger than "total_max". */
static au_frame_result_t peek_frame(au_cursor_t *cursor, uint64_t total_max,
                                    au_frame_t *out_frame, bool *out_error) {
  for (;;) {
    uint64_t left = cursor->limit - cursor->offset;
    if (left < AU_FRAME_MARK_SIZE)
      return AU_FRAME_NONE;
    if (left > total_max)
      left = total_max;
    uint64_t at = cursor->offset - cursor->window_offset;
    size_t available =
        at < cursor->window.size ? cursor->window.size - (size_t)at : 0;
    if (available > left)
      available = (size_t)left;
    /* After the last group there may be less room than a header needs. */
    au_frame_result_t result = AU_FRAME_SHORT;
    out_frame->total = AU_FRAME_MARK_SIZE;
    if (available > 0)
      result = au_frame_read(cursor->window.data + at, available, cursor->salt,
                             out_frame);
    if (result != AU_FRAME_SHORT)
      return result;
    if (out_frame->total > left) { /* claims to end after the end */
      out_frame->total = AU_FRAME_MARK_SIZE;
      return AU_FRAME_BAD;
    }
    if (!refill(cursor, out_frame->total)) {
      *out_error = true;
      return AU_FRAME_BAD;
    }
  }
}

au_cursor_result_t au_cursor_next(au_cursor_t *cursor, au_frame_t *out_frame) {
  bool error = false;
  au_frame_result_t result = peek_frame(cursor, UINT64_MAX, out_frame, &error);
  if (error)
    return AU_CURSOR_ERROR;
  if (result == AU_FRAME_NONE)
    return AU_CURSOR_END;
  if (result != AU_FRAME_GOOD)
    return AU_CURSOR_DAMAGE;
  cursor->offset += out_frame->total;
  return AU_CURSOR_FRAME;
}

/* Goes over what nothing was written to, as far as it has been read. */
static void skip_zeros(au_cursor_t *cursor) {
  uint64_t at = cursor->offset - cursor->window_offset;
  uint64_t end = cursor->limit - cursor->window_offset;
  if (end > cursor->window.size)
    end = cursor->window.size;
  uint64_t word = 0;
  while (at + sizeof(word) <= end) {
    memcpy(&word, cursor->window.data + at, sizeof(word));
    if (word != 0)
      break;
    at += sizeof(word);
  }
  cursor->offset = cursor->window_offset + at;
}

au_cursor_result_t au_cursor_resync(au_cursor_t *cursor) {
  au_frame_t frame = {.total = AU_FRAME_MARK_SIZE};
  bool error = false;
  while (cursor->limit - cursor->offset >= AU_FRAME_MARK_SIZE) {
    cursor->offset += AU_FRAME_MARK_SIZE;
    skip_zeros(cursor);
    uint64_t total_max = cursor->in_vain / IN_VAIN_MAX > cursor->limit
                             ? AU_FRAME_FOOTER_SIZE
                             : UINT64_MAX;
    if (peek_frame(cursor, total_max, &frame, &error) == AU_FRAME_GOOD)
      return AU_CURSOR_FRAME;
    if (error)
      return AU_CURSOR_ERROR;
    cursor->in_vain += frame.total;
  }
  cursor->offset = cursor->limit;
  return AU_CURSOR_END;
}
