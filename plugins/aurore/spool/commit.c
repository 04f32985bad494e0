/* SPDX-License-Identifier: MIT
 *
 * commit - writing groups: one pwritev, one fdatasync, then everybody
 * who waits for the group is told. While one group is synced the next one
 * forms by itself, so the sync is shared by all that came meanwhile.
 */
#include "spool/private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* What is left of a disk is used in segments of this size when there is no room
 * for a whole one. */
#define SMALL_SEGMENT_BYTES ((uint64_t)1 << 20)
/* No group waits longer than this for others to join it. */
#define GATHER_NS (AU_NS_PER_MS / 2)

void au_spool_set_trouble(au_spool_t *spool, const char *trouble, int error) {
  pthread_mutex_lock(&spool->lock);
  bool changed = (spool->trouble == NULL) != (trouble == NULL);
  spool->trouble = trouble;
  if (trouble != NULL)
    pthread_cond_signal(&spool->house); /* which tries to mend it */
  pthread_mutex_unlock(&spool->lock);
  if (!changed)
    return;
  if (trouble == NULL) {
    au_log(AU_LOG_NOTICE, "the spool can be written again");
    au_notify(AU_SEVERITY_OKAY, "spool", "the spool can be written again");
    return;
  }
  au_log(AU_LOG_ERROR,
         "%s: %s; events are refused with 503 until it can, and nothing that "
         "was accepted is lost",
         trouble, strerror(error));
  au_notify(AU_SEVERITY_FAILURE, "spool", "%s: %s", trouble, strerror(error));
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
  au_segment_t *segment = au_segment_create(&spool->store, number, size);
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
  if (spool->active_failed && segment->first_seq == 0) {
    give_up_active(spool);
    return;
  }
  if (spool->store.directory < 0)
    return;
  if (spool->durability == AU_DURABILITY_INTERVAL && !spool->active_failed &&
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
  if (spool->newest != NULL)
    spool->newest->next = segment;
  else
    spool->oldest = segment;
  spool->newest = segment;
  pthread_mutex_unlock(&spool->lock);
  spool->active = segment;
  spool->active_failed = false;
  spool->write_offset = AU_SEGMENT_HEADER_SIZE;
  return AU_OK;
}

static int write_all(const au_io_t *io, int fd, const uint8_t *data,
                     size_t size, uint64_t offset) {
  while (size > 0) {
    union {
      const void *in;
      void *out;
    } base = {.in = data}; /* iovec has no const; pwritev only reads */
    struct iovec iov = {.iov_base = base.out, .iov_len = size};
    ssize_t done = io->pwritev(fd, &iov, 1, (off_t)offset);
    if (done < 0 && errno == EINTR)
      continue;
    if (done == 0)
      errno = EIO;
    if (done <= 0)
      return -1;
    data += done;
    size -= (size_t)done;
    offset += (uint64_t)done;
  }
  return 0;
}

/* Writes the group into the active segment. After a failure the segment is
 * never written again: what the kernel did with the pages is not known. */
static au_status_t write_once(au_spool_t *spool, au_group_t *group) {
  uint64_t size = group->frames.size;
  if (spool->active == NULL || spool->active_failed ||
      spool->write_offset + size > spool->active->size) {
    au_status_t status = au_spool_rotate(spool, size);
    if (status != AU_OK)
      return status;
  }
  const au_io_t *io = spool->store.io;
  au_segment_t *segment = spool->active;
  au_frame_seal(group->frames.data, group->frames.size, spool->durable_seq,
                segment->salt);
  int status =
      write_all(io, segment->fd, group->frames.data, size, spool->write_offset);
  if (status == 0 && spool->durability == AU_DURABILITY_COMMIT) {
    int64_t start = au_clock_monotonic_ns();
    status = io->fdatasync(segment->fd);
    au_metrics_observe(AU_M_SPOOL_SYNC_TIME, 0,
                       (double)(au_clock_monotonic_ns() - start) /
                           (double)AU_NS_PER_MS);
  }
  if (status == 0)
    return AU_OK;
  int error = errno;
  spool->active_failed = true;
  /* Best effort: a group that is refused should not come back at recovery. */
  if (io->ftruncate(segment->fd, (off_t)spool->write_offset) == 0)
    segment->size = spool->write_offset;
  errno = error;
  return AU_IO;
}

/* Returns whether the spool was in trouble until now. */
static bool publish(au_spool_t *spool, const au_group_t *group) {
  au_segment_t *segment = spool->active;
  spool->write_offset += group->frames.size;
  /* Counted before anybody can read them, so that no figure ever shows more
   * events stored than accepted. */
  au_metrics_count(AU_M_EVENTS_ENQUEUED, 0, group->count);
  pthread_mutex_lock(&spool->lock);
  if (segment->first_seq == 0)
    segment->first_seq = spool->durable_seq;
  segment->end = spool->write_offset;
  spool->durable_seq += group->count;
  spool->bytes += group->frames.size;
  atomic_fetch_add_explicit(&spool->usage->bytes, AU_FRAME_FOOTER_SIZE,
                            memory_order_relaxed);
  spool->synced_dirty = true;
  if (spool->has_house && spool->prepared == NULL && !spool->want_prepared &&
      spool->write_offset > segment->size / 2) {
    spool->want_prepared = true;
    pthread_cond_signal(&spool->house);
  }
  bool trouble = spool->trouble != NULL;
  pthread_mutex_unlock(&spool->lock);
  return trouble;
}

au_status_t au_spool_write_group(au_spool_t *spool, au_group_t *group) {
  au_frame_put_footer(&group->frames, group->count);
  if (group->frames.failed)
    return AU_NOMEM;
  au_status_t status = write_once(spool, group);
  if (status == AU_IO) {
    int error = errno;
    /* What is known to be in trouble has been told. */
    if (au_spool_trouble(spool) == NULL)
      au_log(AU_LOG_WARNING,
             "could not write %" PRIu64 " events to the spool: %s; trying a "
             "new segment",
             group->count, strerror(error));
    status = write_once(spool, group);
  }
  if (status != AU_OK) {
    au_spool_set_trouble(spool, AU_TROUBLE_WRITE, errno);
    return status;
  }
  if (publish(spool, group))
    au_spool_set_trouble(spool, NULL, 0);
  if (spool->on_durable != NULL)
    spool->on_durable(spool->context);
  return AU_OK;
}

static void tell_all(au_waiter_t *waiter, au_status_t status) {
  while (waiter != NULL) {
    /* The waiter's memory is its owner's again once it has been told. */
    au_waiter_t *next = waiter->next;
    waiter->done(waiter, status);
    waiter = next;
  }
}

static void refuse(au_spool_t *spool, const au_group_t *group) {
  atomic_fetch_sub_explicit(&spool->usage->events, group->count,
                            memory_order_relaxed);
  uint64_t bytes = 0;
  for (const au_waiter_t *w = group->first; w != NULL; w = w->next)
    bytes += w->bytes;
  atomic_fetch_sub_explicit(&spool->usage->bytes, bytes, memory_order_relaxed);
}

/* A sync costs the same for one request as for a hundred. Under load, when many
 * have just been told and are expected to come back, the next group waits a
 * moment for most of them. Holds lock. */
static void gather(au_spool_t *spool) {
  struct timespec until =
      au_clock_timespec(au_clock_monotonic_ns() + GATHER_NS);
  while (spool->pending.waiters < spool->gather && !spool->closed)
    if (pthread_cond_timedwait(&spool->work, &spool->lock, &until) != 0)
      break;
}

static void commit_pending(au_spool_t *spool) {
  if (spool->pending.waiters < spool->gather)
    gather(spool);
  au_group_t group = spool->pending;
  spool->pending = (au_group_t){.frames = spool->spare};
  spool->spare = (au_bytes_t)AU_BYTES_INIT;
  spool->committing = true;
  pthread_mutex_unlock(&spool->lock);

  pthread_mutex_lock(&spool->write_lock);
  au_status_t status = au_spool_write_group(spool, &group);
  pthread_mutex_unlock(&spool->write_lock);
  if (status != AU_OK)
    refuse(spool, &group);
  tell_all(group.first, status);
  /* Big enough for the next group of the same size, but no hoard. */
  au_bytes_clear(&group.frames, (size_t)4 << 20);

  pthread_mutex_lock(&spool->lock);
  if (spool->spare.data == NULL)
    spool->spare = group.frames;
  else
    au_bytes_fini(&group.frames);
  spool->committing = false;
  /* 7/8 of those who were here: measured beside a half and all, it takes the
   * least time a request but for all, and does not wait for the slowest. */
  spool->gather = (group.waiters + spool->pending.waiters) * 7 / 8;
  pthread_cond_broadcast(&spool->idle);
}

static void *committer_main(void *argument) {
  au_spool_t *spool = argument;
  pthread_mutex_lock(&spool->lock);
  for (;;) {
    if (spool->pending.count > 0)
      commit_pending(spool);
    else if (spool->stop)
      break;
    else
      pthread_cond_wait(&spool->work, &spool->lock);
  }
  pthread_mutex_unlock(&spool->lock);
  return NULL;
}

au_status_t au_spool_start_committer(au_spool_t *spool) {
  if (spool->durability != AU_DURABILITY_COMMIT)
    return AU_OK;
  int error =
      au_thread_start(&spool->committer, "au-commit", committer_main, spool);
  if (error != 0) {
    errno = error;
    return AU_NOMEM;
  }
  spool->has_committer = true;
  return AU_OK;
}

void au_spool_stop_committer(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  spool->closed = true;
  while (spool->has_committer &&
         (spool->pending.count > 0 || spool->committing))
    pthread_cond_wait(&spool->idle, &spool->lock);
  spool->stop = true;
  pthread_cond_broadcast(&spool->work);
  pthread_mutex_unlock(&spool->lock);
  if (!spool->has_committer)
    return;
  pthread_join(spool->committer, NULL);
  spool->has_committer = false;
}
