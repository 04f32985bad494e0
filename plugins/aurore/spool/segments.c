/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/segments.h"

#include "base/log.h"
#include "spool/spares.h"
#include "spool/tidy.h"

#include <errno.h>
#include <string.h>

/* What is left of a disk is used in segments of this size when there is no room
 * for a whole one. */
#define SMALL_SEGMENT_BYTES ((uint64_t)1 << 20)

void au_spool_link_segment(au_spool_t *spool, au_segment_t *segment) {
  if (spool->newest != NULL)
    spool->newest->next = segment;
  else
    spool->oldest = segment;
  spool->newest = segment;
}

/* The segment that was made ahead, if it is large enough and newer than what is
 * in use: segments are used in the order of their numbers. Otherwise it is
 * given up. */
static au_segment_t *take_prepared(au_spool_t *spool, uint64_t need) {
  pthread_mutex_lock(&spool->lock);
  au_segment_t *segment = spool->prepared;
  spool->prepared = NULL;
  if (segment != NULL &&
      (segment->size - AU_SEGMENT_HEADER_SIZE < need ||
       (spool->newest != NULL && spool->newest->number > segment->number))) {
    segment->next = spool->trimmed;
    spool->trimmed = segment;
    segment = NULL;
  }
  pthread_mutex_unlock(&spool->lock);
  return segment;
}

au_segment_t *au_spool_make_segment(au_spool_t *spool, uint64_t need,
                                    uint64_t *out_number) {
  uint64_t size = spool->segment_bytes;
  if (size < need + AU_SEGMENT_HEADER_SIZE)
    size = need + AU_SEGMENT_HEADER_SIZE;
  pthread_mutex_lock(&spool->lock);
  uint64_t number = *out_number = spool->next_number++;
  pthread_mutex_unlock(&spool->lock);
  au_segment_t *spare =
      size == spool->segment_bytes ? au_spares_take(spool) : NULL;
  au_segment_t *segment =
      spare != NULL ? au_segment_reuse(&spool->store, spare, number) : NULL;
  if (segment == NULL)
    segment = au_segment_create(&spool->store, number, size);
  while (segment == NULL && errno == ENOSPC && au_spool_let_go(spool))
    segment = au_segment_create(&spool->store, number, size);
  if (segment == NULL && errno == ENOSPC && size > SMALL_SEGMENT_BYTES &&
      need + AU_SEGMENT_HEADER_SIZE <= SMALL_SEGMENT_BYTES)
    segment = au_segment_create(&spool->store, number, SMALL_SEGMENT_BYTES);
  return segment;
}

/* The active segment holds nothing that was acknowledged, and will not: removes
 * it, so that failures that go on do not fill the disk, and what was refused
 * does not come back. */
static void give_up_active(au_spool_t *spool) {
  au_segment_t *segment = spool->active;
  spool->active = NULL;
  pthread_mutex_lock(&spool->lock);
  au_segment_t **at = &spool->oldest;
  au_segment_t *before = NULL;
  for (; *at != segment; at = &(*at)->next)
    before = *at;
  *at = NULL;
  spool->newest = before;
  pthread_mutex_unlock(&spool->lock);
  if (spool->store.directory >= 0) {
    char name[AU_SEGMENT_NAME_SIZE];
    au_segment_name(segment->number, name);
    /* When it cannot be removed now, the next start does. */
    (void)spool->store.io->unlinkat(spool->store.directory, name);
  }
  au_segment_close(&spool->store, segment);
}

/* What was acknowledged in the segment before it is left must be synced now:
 * nobody will sync it later. */
static void leave_active(au_spool_t *spool) {
  au_segment_t *segment = spool->active;
  if (segment == NULL)
    return;
  if (segment->failed && segment->first_seq == 0) {
    give_up_active(spool);
    return;
  }
  if (spool->store.directory < 0)
    return;
  if (spool->durability == AU_DURABILITY_INTERVAL && !segment->failed &&
      spool->store.io->fdatasync(segment->fd) != 0)
    au_log(AU_LOG_ERROR, "could not sync a segment of the spool: %s",
           strerror(errno));
  int fd = segment->fd;
  pthread_mutex_lock(&spool->lock);
  segment->fd = -1;
  pthread_mutex_unlock(&spool->lock);
  spool->store.io->close(fd);
}

au_status_t au_spool_rotate(au_spool_t *spool, uint64_t need) {
  au_segment_t *segment = take_prepared(spool, need);
  uint64_t number;
  if (segment == NULL)
    segment = au_spool_make_segment(spool, need, &number);
  if (segment == NULL)
    return errno == ENOMEM ? AU_NOMEM : AU_IO;
  leave_active(spool);
  pthread_mutex_lock(&spool->lock);
  au_spool_link_segment(spool, segment);
  pthread_mutex_unlock(&spool->lock);
  spool->active = segment;
  spool->write_offset = AU_SEGMENT_HEADER_SIZE;
  return AU_OK;
}

void au_spool_close_segments(const au_spool_t *spool, au_segment_t *segment) {
  while (segment != NULL) {
    au_segment_t *next = segment->next;
    au_segment_close(&spool->store, segment);
    segment = next;
  }
}
