/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/commit.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "metrics/metrics.h"
#include "spool/segments.h"
#include "spool/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* No group waits longer than this for others to join it. */
#define WAIT_FOR_MORE_NS (AU_NS_PER_MS / 2)
/* Of file systems, and of memory. */
#define BLOCK_SIZE 4096

/* How many zeros to write behind what ends there. A block of which only a part
 * is written must be read first, if it has been written before and is not in
 * memory any more: so the last block is written to its end when the group is
 * the first in it. */
static size_t padding(const au_spool_t *spool, const au_segment_t *segment,
                      uint64_t end) {
  uint64_t left = (BLOCK_SIZE - end % BLOCK_SIZE) % BLOCK_SIZE;
  bool is_first = spool->write_offset % BLOCK_SIZE == 0 ||
                  spool->write_offset / BLOCK_SIZE != end / BLOCK_SIZE;
  if (segment->lives == 0 || !is_first || left > segment->size - end)
    return 0;
  return (size_t)left;
}

/* Writes the frames behind what the segment holds. */
static int write_frames(const au_spool_t *spool, const au_segment_t *segment,
                        au_bytes_t *frames) {
  size_t size = frames->size;
  size_t zeros = padding(spool, segment, spool->write_offset + size);
  uint8_t *end = zeros > 0 ? au_bytes_extend(frames, zeros) : NULL;
  if (end != NULL)
    memset(end, 0, zeros);
  int status = au_io_write_all(spool->store.io, segment->fd, frames->data,
                               frames->size, spool->write_offset);
  frames->size = size;
  frames->failed = false; /* no memory for zeros is no failure */
  return status;
}

/* Writes the group into the active segment. After a failure the segment is
 * never written again: what the kernel did with the pages is not known. */
static au_status_t write_once(au_spool_t *spool, au_group_t *group) {
  uint64_t size = group->frames.size;
  if (spool->active == NULL || spool->active->failed ||
      spool->write_offset + size > spool->active->size) {
    au_status_t status = au_spool_rotate(spool, size);
    if (status != AU_OK)
      return status;
  }
  const au_io_t *io = spool->store.io;
  au_segment_t *segment = spool->active;
  au_frame_seal(group->frames.data, group->frames.size, spool->durable_seq,
                segment->salt);
  int status = write_frames(spool, segment, &group->frames);
  if (status == 0 && spool->durability == AU_DURABILITY_COMMIT) {
    int64_t start = au_clock_monotonic_ns();
    status = io->fdatasync(segment->fd);
    au_metrics_observe(AU_M_SPOOL_SYNC_TIME, 0, au_clock_elapsed_ms(start));
  }
  if (status == 0)
    return AU_OK;
  int error = errno;
  segment->failed = true;
  /* Best effort: a group that is refused should not come back at recovery. */
  if (io->ftruncate(segment->fd, (off_t)spool->write_offset) == 0)
    segment->size = spool->write_offset;
  errno = error;
  return AU_IO;
}

/* Returns whether the spool was in trouble until now. */
static bool publish_group(au_spool_t *spool, const au_group_t *group) {
  au_segment_t *segment = spool->active;
  spool->write_offset += group->frames.size;
  /* Counted before anybody can read them, so that no metric ever shows more
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
  if (spool->has_keeper && spool->prepared == NULL && !spool->want_prepared &&
      spool->write_offset > segment->size / 2) {
    spool->want_prepared = true;
    pthread_cond_signal(&spool->upkeep);
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
    /* What is known to be in trouble has been logged. */
    if (au_spool_trouble(spool) == NULL)
      au_log(AU_LOG_WARNING,
             "could not write %" PRIu64 " events to the spool: %s; retrying in "
             "a new segment",
             group->count, strerror(error));
    status = write_once(spool, group);
  }
  if (status != AU_OK) {
    au_spool_set_trouble(spool, AU_TROUBLE_WRITE, errno);
    return status;
  }
  if (publish_group(spool, group))
    au_spool_set_trouble(spool, NULL, 0);
  if (spool->on_durable != NULL)
    spool->on_durable(spool->context);
  return AU_OK;
}

/* "seq" is the number of the first one's first row. */
static void complete_waiters(au_waiter_t *waiter, uint64_t seq,
                             au_status_t status) {
  while (waiter != NULL) {
    /* The waiter's memory is its owner's again once it is done. */
    au_waiter_t *next = waiter->next;
    seq += waiter->count;
    waiter->end_seq = seq;
    waiter->done(waiter, status);
    waiter = next;
  }
}

static void release_refused(au_spool_t *spool, const au_group_t *group) {
  uint64_t bytes = 0;
  for (const au_waiter_t *w = group->first; w != NULL; w = w->next)
    bytes += w->bytes;
  au_usage_give_back(spool->usage, group->count, bytes);
}

/* A sync costs the same for one request as for a hundred. Under load, when many
 * have just been answered and are expected to come back, the next group waits a
 * moment for most of them. Holds lock. */
static void wait_for_more(au_spool_t *spool) {
  struct timespec until =
      au_clock_timespec(au_clock_monotonic_ns() + WAIT_FOR_MORE_NS);
  while (spool->pending.waiters < spool->group_target && !spool->closed)
    if (pthread_cond_timedwait(&spool->work, &spool->lock, &until) != 0)
      break;
}

static void commit_pending(au_spool_t *spool) {
  if (spool->pending.waiters < spool->group_target)
    wait_for_more(spool);
  au_group_t group = spool->pending;
  spool->pending = (au_group_t){.frames = spool->spare};
  spool->spare = (au_bytes_t)AU_BYTES_INIT;
  spool->committing = true;
  pthread_mutex_unlock(&spool->lock);

  pthread_mutex_lock(&spool->write_lock);
  uint64_t seq = spool->durable_seq;
  au_status_t status = au_spool_write_group(spool, &group);
  pthread_mutex_unlock(&spool->write_lock);
  if (status != AU_OK)
    release_refused(spool, &group);
  complete_waiters(group.first, seq, status);
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
  spool->group_target = (group.waiters + spool->pending.waiters) * 7 / 8;
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
  errno =
      au_thread_start(&spool->committer, "au-commit", committer_main, spool);
  spool->has_committer = errno == 0;
  return spool->has_committer ? AU_OK : AU_NOMEM;
}

void au_spool_close_intake(au_spool_t *spool) {
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
