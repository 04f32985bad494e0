/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * Bounded: of all segments but the newest with rows only the header and the
 * first row are read; what is damaged within them is found when they are read.
 * The newest is scanned. After recovery a new segment is begun, so nothing is
 * ever written after a torn tail.
 *
 * The data of the newest ends after its last complete group: a group is written
 * only after the one before it has been synced, so an incomplete last group was
 * never acknowledged, while damage before a complete group is damage. What the
 * process before wrote and could not sync may be in the page cache alone, and a
 * sync that has failed leaves it there, clean: no later sync would write it. So
 * the last group is written again before it is synced.
 */
#include "spool/recover.h"

#include "spool/segments.h"
#include "spool/spares.h"
#include "spool/tidy.h"

#include "base/array.h"
#include "base/log.h"
#include "metrics/metrics.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

typedef struct numbers {
  uint64_t *number;
  size_t count;
  size_t capacity;
} numbers_t;

static int compare_numbers(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left;
  uint64_t b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

static au_status_t add_number(numbers_t *numbers, uint64_t number) {
  uint64_t *grown = au_array_grow(numbers->number, &numbers->capacity,
                                  numbers->count, sizeof(*grown));
  if (grown == NULL)
    return AU_NOMEM;
  numbers->number = grown;
  grown[numbers->count++] = number;
  return AU_OK;
}

/* Adds a segment or a spare to its list; deletes a file that a crash left
 * unfinished. */
static au_status_t list_file(const au_spool_t *spool, const char *name,
                             numbers_t *segments, numbers_t *spares) {
  uint64_t segment = au_segment_parse_name(name);
  uint64_t spare = au_segment_parse_spare(name);
  size_t size = strlen(name);
  if (segment != 0)
    return add_number(segments, segment);
  if (spare != 0)
    return add_number(spares, spare);
  if (size > 4 && strcmp(name + size - 4, ".new") == 0)
    spool->store.io->unlinkat(spool->store.directory, name);
  return AU_OK;
}

/* Lists the segments by rising number, and the spares. A list that is cut short
 * is an error: new segments would take the names of those that were not seen.
 */
static au_status_t list_segments(const au_spool_t *spool, numbers_t *segments,
                                 numbers_t *spares) {
  int fd = spool->store.io->openat(spool->store.directory, ".",
                                   O_RDONLY | O_DIRECTORY, 0);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (directory == NULL) {
    au_io_close(spool->store.io, fd);
    return AU_IO;
  }
  au_status_t status = AU_OK;
  while (status == AU_OK) {
    errno = 0;
    const struct dirent *entry = readdir(directory);
    if (entry == NULL)
      break;
    status = list_file(spool, entry->d_name, segments, spares);
  }
  if (status == AU_OK && errno != 0)
    status = AU_IO;
  int error = errno;
  closedir(directory);
  errno = error;
  if (segments->count > 0)
    qsort(segments->number, segments->count, sizeof(*segments->number),
          compare_numbers);
  return status;
}

static void set_segment_aside(const au_spool_t *spool, uint64_t number,
                              const char *why) {
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(number, name);
  au_metrics_count(AU_M_SPOOL_DAMAGED, 0, 1);
  if (au_segment_set_aside(&spool->store, number) == 0)
    au_log(AU_LOG_ERROR,
           "%s segment \"%s\" of the spool; set aside as \"damaged-%s\"", why,
           name, name);
  else
    au_log(AU_LOG_ERROR, "%s segment \"%s\" of the spool: %s; left out", why,
           name, strerror(errno));
}

static void delete_segment(const au_spool_t *spool, uint64_t number) {
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(number, name);
  spool->store.io->unlinkat(spool->store.directory, name);
}

/* Whether all rows of the segment were stored when the state was written. */
static bool is_stored(const au_spool_t *spool, uint64_t number) {
  return number < spool->state.begin.segment;
}

/* Of what is kept nobody waits for an event: what cannot be read is left out.
 */
static au_status_t open_kept(au_spool_t *spool, uint64_t number) {
  au_segment_t *segment = NULL;
  if (spool->keep_ns > 0 && number >= spool->state.kept.segment) {
    segment = au_segment_open(&spool->store, number);
    if (segment == NULL && errno != EILSEQ && errno != EIO)
      return errno == ENOMEM ? AU_NOMEM : AU_IO;
    if (segment == NULL)
      au_log(AU_LOG_WARNING,
             "could not read segment %016" PRIx64
             " of the spool, which is stored and was kept; deleting it",
             number);
  }
  if (segment == NULL) { /* let go of, and left over by a crash */
    delete_segment(spool, number);
    return AU_OK;
  }
  spool->store.io->close(segment->fd);
  segment->fd = -1;
  au_spool_link_segment(spool, segment);
  return AU_OK;
}

/* Opens every segment that may still be needed. */
static au_status_t open_segments(au_spool_t *spool, const numbers_t *numbers) {
  bool tail_lost = false;
  for (size_t i = 0; i < numbers->count; i++) {
    uint64_t number = numbers->number[i];
    spool->next_number = number + 1;
    if (is_stored(spool, number)) {
      au_status_t status = open_kept(spool, number);
      if (status != AU_OK)
        return status;
      continue;
    }
    au_segment_t *segment = au_segment_open(&spool->store, number);
    if (segment == NULL && errno != EILSEQ)
      return errno == ENOMEM ? AU_NOMEM : AU_IO;
    if (segment == NULL) {
      set_segment_aside(spool, number, "could not read the header of");
      tail_lost = true;
      continue;
    }
    if (segment->first_seq != 0)
      tail_lost = false; /* what is missing before it will be seen */
    spool->store.io->close(segment->fd);
    segment->fd = -1;
    au_spool_link_segment(spool, segment);
  }
  spool->state.tail_lost |= tail_lost;
  return AU_OK;
}

/* --- where the newest segment ends -----------------------------------------*/

/* The last complete group of a segment. */
typedef struct tail {
  uint64_t next_seq; /* after it; 0: there is none */
  uint64_t start;    /* its bytes */
  uint64_t end;
  bool lost; /* something after it cannot be read */
  bool torn; /* something after it is not zero */
} tail_t;

static au_status_t scan(au_spool_t *spool, au_segment_t *segment, int fd,
                        tail_t *out_tail) {
  *out_tail = (tail_t){.next_seq = 0};
  uint64_t start = AU_SEGMENT_HEADER_SIZE; /* of the group */
  uint64_t group_seq = 0; /* of the first row since the last footer; 0: none */
  uint64_t next_seq = 0;  /* expected while the group is whole */
  bool whole = true;
  bool torn = false; /* since the last complete group */
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
      /* Or it is of an earlier life of the file. */
      torn |= result == AU_CURSOR_DAMAGE && segment->lives == 0;
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
    torn = true;
    if (whole && frame.first_seq == group_seq && frame.seq == next_seq) {
      *out_tail = (tail_t){
          .next_seq = frame.seq, .start = start, .end = spool->cursor.offset};
      torn = false;
    }
    start = spool->cursor.offset;
    group_seq = 0;
    whole = true;
  }
  segment->unreadable |= spool->cursor.unreadable > 0;
  out_tail->lost = spool->cursor.unreadable_end > out_tail->end;
  out_tail->torn = torn || group_seq != 0 || out_tail->lost;
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
    if (au_io_write_all(io, fd, part, (size_t)got, from) != 0)
      return AU_IO;
    from += (uint64_t)got;
  }
  return AU_OK;
}

/* Finds where the good data of the segment ends, sets segment->end to it, and
 * makes the last group durable. AU_IO, AU_NOMEM: see errno. */
static au_status_t settle_tail(au_spool_t *spool, au_segment_t *segment,
                               tail_t *out_tail) {
  const au_io_t *io = spool->store.io;
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(segment->number, name);
  int fd = io->openat(spool->store.directory, name, O_RDWR, 0);
  if (fd < 0)
    return AU_IO;
  au_status_t status = scan(spool, segment, fd, out_tail);
  if (status == AU_OK)
    status = write_again(io, fd, out_tail->start, out_tail->end);
  /* What was allocated and not used would count in what is kept. */
  if (status == AU_OK && spool->keep_ns > 0 && out_tail->next_seq != 0 &&
      !out_tail->torn && io->ftruncate(fd, (off_t)out_tail->end) == 0)
    segment->size = out_tail->end;
  if (status == AU_OK && io->fdatasync(fd) != 0)
    status = AU_IO;
  au_io_close(io, fd);
  if (status == AU_OK)
    segment->end = out_tail->end;
  return status;
}

/* --- recovery --------------------------------------------------------------*/

static void log_lost_tail(const au_segment_t *segment) {
  au_metrics_count(AU_M_SPOOL_DAMAGED, 0, 1);
  au_log(AU_LOG_ERROR,
         "could not read the end of segment %016" PRIx64
         " of the spool; any events there are lost",
         segment->number);
  au_notify(AU_SEVERITY_FAILURE, "spool",
            "the end of the spool cannot be read");
}

/* Scans the newest segment with rows; gives up newer ones, which hold nothing
 * that was acknowledged. Sets durable_seq. */
static au_status_t find_end(au_spool_t *spool) {
  for (;;) {
    au_segment_t *tail = NULL;
    au_segment_t *before = NULL;
    for (au_segment_t *s = spool->oldest; s != NULL; s = s->next)
      if (s->next != NULL)
        before = s;
      else
        tail = s;
    if (tail == NULL || is_stored(spool, tail->number)) {
      spool->newest = tail;
      return AU_OK;
    }
    tail_t found = {.next_seq = 0};
    au_status_t status = AU_OK;
    if (tail->first_seq != 0)
      status = settle_tail(spool, tail, &found);
    if (status != AU_OK)
      return status;
    spool->state.tail_lost |= found.lost;
    if (found.next_seq != 0) {
      if (found.lost)
        log_lost_tail(tail);
      spool->newest = tail;
      spool->durable_seq = found.next_seq;
      return AU_OK;
    }
    spool->newest = before;
    if (before != NULL)
      before->next = NULL;
    else
      spool->oldest = NULL;
    if (tail->unreadable) {
      set_segment_aside(spool, tail->number, "could not read a group of");
      spool->state.tail_lost = true;
      au_segment_close(&spool->store, tail);
    } else {
      tail->next = spool->trimmed;
      spool->trimmed = tail;
    }
  }
}

static void find_begin(au_spool_t *spool) {
  au_spool_state_t *state = &spool->state;
  const au_segment_t *first = spool->oldest;
  while (first != NULL &&
         (first->first_seq == 0 || is_stored(spool, first->number)))
    first = first->next;
  if (state->generation > 0)
    spool->begin = state->begin;
  else if (first != NULL)
    spool->begin = (au_position_t){.seq = first->first_seq,
                                   .segment = first->number,
                                   .offset = AU_SEGMENT_HEADER_SIZE};
  if (spool->durable_seq < spool->begin.seq) {
    /* Normal when all has been stored and the segments are gone. */
    if (first != NULL)
      state->tail_lost = true;
    spool->durable_seq = spool->begin.seq;
  }
  if (spool->next_number <= spool->begin.segment)
    spool->next_number = spool->begin.segment + 1;
  for (const au_segment_t *s = spool->oldest; s != NULL; s = s->next) {
    uint64_t start = AU_SEGMENT_HEADER_SIZE;
    if (s->number == spool->begin.segment && spool->begin.offset > start)
      start = spool->begin.offset;
    if (s->number >= spool->begin.segment && s->end > start)
      spool->bytes += s->end - start;
  }
  if (spool->begin.seq == spool->durable_seq)
    spool->bytes = 0;
  atomic_fetch_add(&spool->usage->events,
                   spool->durable_seq - spool->begin.seq);
  atomic_fetch_add(&spool->usage->bytes, spool->bytes);
}

static au_status_t lock_directory(au_spool_t *spool, const char *path,
                                  char *error, size_t error_size) {
  const au_io_t *io = spool->store.io;
  const char *action;
  spool->store.directory = au_io_make_directory(io, path, &action);
  if (spool->store.directory >= 0) {
    action = "lock";
    spool->lock_fd =
        io->openat(spool->store.directory, "lock", O_RDWR | O_CREAT, 0600);
    if (spool->lock_fd >= 0 &&
        io->flock(spool->lock_fd, LOCK_EX | LOCK_NB) == 0)
      return AU_OK;
  }
  snprintf(error, error_size, "could not %s spool directory \"%s\": %s", action,
           path,
           errno == EWOULDBLOCK ? "another process uses it" : strerror(errno));
  return AU_IO;
}

/* The files for new segments: spares of an earlier run, and what holds nothing
 * that was acknowledged. */
static void recover_spares(au_spool_t *spool, const numbers_t *spares) {
  for (size_t i = 0; i < spares->count; i++)
    au_spares_recover(spool, spares->number[i]);
  au_segment_t *trimmed = spool->trimmed;
  spool->trimmed = NULL;
  if (trimmed != NULL)
    au_spool_discard(spool, trimmed, false);
}

/* Reads the state and the segments. */
static au_status_t read_segments(au_spool_t *spool, numbers_t *segments,
                                 numbers_t *spares) {
  au_status_t status = au_spool_state_load(
      spool->store.io, spool->store.directory, &spool->state);
  if (status != AU_OK)
    return status;
  if (spool->state.generation > 0) {
    spool->store.id = spool->state.id;
    status = au_spool_state_settle(spool->store.io, spool->store.directory,
                                   &spool->state);
    if (status != AU_OK)
      return status;
  }
  status = list_segments(spool, segments, spares);
  if (status == AU_OK)
    status = open_segments(spool, segments);
  if (status == AU_OK)
    status = find_end(spool);
  return status;
}

static au_status_t read_directory(au_spool_t *spool, numbers_t *spares) {
  numbers_t segments = {.number = NULL};
  au_status_t status = read_segments(spool, &segments, spares);
  free(segments.number);
  if (status != AU_OK)
    return status;
  if (spool->state.generation == 0 && spool->oldest != NULL)
    au_log(AU_LOG_ERROR, "spool state is missing or damaged; the database will "
                         "treat this as a new spool");
  find_begin(spool);
  static const au_uuid_t nil;
  if (memcmp(&spool->store.id, &nil, sizeof(nil)) == 0)
    spool->store.id = au_uuid_v4();
  spool->state.id = spool->store.id;
  if (memcmp(&spool->state.name, &nil, sizeof(nil)) == 0)
    spool->state.name = spool->store.id;
  spool->floor = spool->state.kept;
  spool->state.begin = spool->begin;
  spool->state.kept = au_spool_kept_locked(spool);
  au_spool_state_add_owner(&spool->state, spool->durable_seq);
  status = au_spool_state_save(spool->store.io, spool->store.directory,
                               &spool->state);
  if (status == AU_OK)
    recover_spares(spool, spares);
  return status;
}

au_status_t au_spool_recover(au_spool_t *spool, const char *directory,
                             char *error, size_t error_size) {
  au_status_t status = lock_directory(spool, directory, error, error_size);
  if (status != AU_OK)
    return status;
  numbers_t spares = {.number = NULL};
  status = read_directory(spool, &spares);
  int cause = errno;
  free(spares.number);
  errno = cause;
  if (status != AU_OK) {
    snprintf(error, error_size, "could not read spool directory \"%s\": %s",
             directory,
             errno == EPROTO ? "a newer release wrote it" : strerror(errno));
    return status;
  }
  spool->recovered = true;
  uint64_t waiting = spool->durable_seq - spool->begin.seq;
  if (waiting > 0)
    au_log(AU_LOG_INFO, "spool \"%s\" holds %" PRIu64 " events", directory,
           waiting);
  return AU_OK;
}
