/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/scan.h"

#include <errno.h>
#include <fcntl.h>

static au_status_t scan(au_spool_t *spool, au_segment_t *segment, int fd,
                        au_tail_t *out_tail) {
  *out_tail = (au_tail_t){.next_seq = 0};
  uint64_t start = AU_SEGMENT_HEADER_SIZE; /* of the group */
  uint64_t group_seq = 0; /* of the first row since the last footer; 0: none */
  uint64_t next_seq = 0;  /* expected while the group is whole */
  bool whole = true;
  au_frame_t frame;
  au_cursor_init(&spool->cursor, spool->store.io, fd, segment->salt,
                 AU_SEGMENT_HEADER_SIZE, segment->size);
  spool->cursor.passes_unreadable = true;
  for (;;) {
    au_cursor_result_t result = au_cursor_next(&spool->cursor, &frame);
    if (result == AU_CURSOR_ERROR)
      return errno == ENOMEM ? AU_NOMEM : AU_IO;
    if (result != AU_CURSOR_FRAME) {
      whole = false;
      result = au_cursor_resync(&spool->cursor);
      if (result == AU_CURSOR_ERROR)
        return errno == ENOMEM ? AU_NOMEM : AU_IO;
      if (result == AU_CURSOR_END)
        break;
      continue;
    }
    if (frame.kind == AU_FRAME_ROW) {
      if (group_seq == 0)
        group_seq = frame.seq;
      else if (frame.seq != next_seq)
        whole = false;
      next_seq = frame.seq + 1;
      continue;
    }
    if (whole && frame.first_seq == group_seq && frame.seq == next_seq)
      *out_tail = (au_tail_t){
          .next_seq = frame.seq, .start = start, .end = spool->cursor.offset};
    start = spool->cursor.offset;
    group_seq = 0;
    whole = true;
  }
  segment->unreadable |= spool->cursor.unreadable > 0;
  out_tail->lost = spool->cursor.unreadable_end > out_tail->end;
  return AU_OK;
}

/* Writes the bytes again in place. */
static au_status_t write_again(const au_io_t *io, int fd, uint64_t from,
                               uint64_t to) {
  uint8_t part[16384];
  while (from < to) {
    size_t size = to - from < sizeof(part) ? to - from : sizeof(part);
    ssize_t got = io->pread(fd, part, size, (off_t)from);
    if (got < 0 && errno == EINTR)
      continue;
    if (got == 0)
      errno = EIO;
    if (got <= 0)
      return AU_IO;
    struct iovec iov = {.iov_base = part, .iov_len = (size_t)got};
    ssize_t done = io->pwritev(fd, &iov, 1, (off_t)from);
    if (done < 0 && errno == EINTR)
      continue;
    if (done == 0)
      errno = EIO;
    if (done <= 0)
      return AU_IO;
    from += (uint64_t)done;
  }
  return AU_OK;
}

au_status_t au_spool_settle_tail(au_spool_t *spool, au_segment_t *segment,
                                 au_tail_t *out_tail) {
  const au_io_t *io = spool->store.io;
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(segment->number, name);
  int fd = io->openat(spool->store.directory, name, O_RDWR, 0);
  if (fd < 0)
    return AU_IO;
  au_status_t status = scan(spool, segment, fd, out_tail);
  if (status == AU_OK)
    status = write_again(io, fd, out_tail->start, out_tail->end);
  if (status == AU_OK && io->fdatasync(fd) != 0)
    status = AU_IO;
  au_io_close(io, fd);
  if (status == AU_OK)
    segment->end = out_tail->end;
  return status;
}
