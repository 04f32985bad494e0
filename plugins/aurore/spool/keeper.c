/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/keeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "metrics/metrics.h"
#include "spool/segments.h"
#include "spool/tidy.h"
#include "spool/trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* How often the state is written while it changes, and how often a spool
 * in trouble is tried again. */
#define PERIOD_NS AU_NS_PER_S

/* Makes the next segment while the active one still has room; in trouble, also
 * to see whether the disk works again. false: it could not. */
static bool prepare_segment(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  if (spool->prepared != NULL) {
    /* Made before the trouble, so it says nothing about it. */
    spool->prepared->next = spool->trimmed;
    spool->trimmed = spool->prepared;
    spool->prepared = NULL;
  }
  pthread_mutex_unlock(&spool->lock);
  uint64_t number;
  au_segment_t *segment = au_spool_make_segment(spool, 0, &number);
  int error = errno;
  bool failed = segment == NULL;
  pthread_mutex_lock(&spool->lock);
  bool changed = au_log_changed(&spool->prepare_failed, failed);
  bool trouble = spool->trouble != NULL;
  if (!failed)
    spool->want_prepared = false;
  if (!failed && spool->newest != NULL && spool->newest->number > number) {
    /* A rotation could not wait for it: segments are used in order. */
    segment->next = spool->trimmed;
    spool->trimmed = segment;
  } else if (!failed) {
    spool->prepared = segment;
  }
  pthread_mutex_unlock(&spool->lock);
  if (failed && changed && !trouble)
    au_log(AU_LOG_WARNING,
           "could not make the next segment of the spool: %s; trying again "
           "while the current one has room",
           strerror(error));
  else if (!failed && trouble)
    au_spool_set_trouble(spool, NULL, 0);
  return !failed;
}

/* Syncs through a descriptor of its own, so that nobody who appends waits. */
static void sync_active(au_spool_t *spool) {
  const au_io_t *io = spool->store.io;
  pthread_mutex_lock(&spool->write_lock);
  uint64_t number = spool->active == NULL || spool->active->failed
                        ? 0
                        : spool->active->number;
  pthread_mutex_unlock(&spool->write_lock);
  if (number == 0)
    return;
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(number, name);
  int fd = io->openat(spool->store.directory, name, O_RDWR, 0);
  int64_t start = au_clock_monotonic_ns();
  bool failed = fd < 0 || io->fdatasync(fd) != 0;
  int error = errno;
  au_io_close(io, fd);
  au_metrics_observe(AU_M_SPOOL_SYNC_TIME, 0, au_clock_elapsed_ms(start));
  if (!failed)
    return;
  /* What the failed sync covered stays readable, but is not synced again. */
  pthread_mutex_lock(&spool->write_lock);
  if (spool->active->number == number)
    spool->active->failed = true;
  pthread_mutex_unlock(&spool->write_lock);
  au_spool_set_trouble(spool, "the spool cannot be synced", error);
}

static int64_t period_ns(const au_spool_t *spool) {
  if (spool->durability == AU_DURABILITY_INTERVAL &&
      spool->sync_interval_ns < PERIOD_NS)
    return spool->sync_interval_ns;
  return PERIOD_NS;
}

/* What is due now. */
typedef struct work {
  bool sync;
  bool make;
  bool tidy;
} work_t;

/* Waits until there is something to do. What has failed, and what is only done
 * to see whether the disk works again, is not done again before "retry_ns",
 * however often it is asked for. Holds lock. */
static work_t wait_locked(au_spool_t *spool, int64_t retry_ns,
                          int64_t tidied_ns) {
  int64_t now_ns = au_clock_monotonic_ns();
  bool is_asked = spool->want_prepared || spool->trimmed != NULL;
  if (!is_asked || now_ns < retry_ns) {
    int64_t until_ns = now_ns + period_ns(spool);
    if (is_asked && retry_ns < until_ns)
      until_ns = retry_ns;
    struct timespec until = au_clock_timespec(until_ns);
    pthread_cond_timedwait(&spool->upkeep, &spool->lock, &until);
    now_ns = au_clock_monotonic_ns();
  }
  if (spool->stop)
    return (work_t){.sync = false}; /* the last sync is still due */
  work_t work = {.sync = spool->durability == AU_DURABILITY_INTERVAL &&
                         spool->synced_dirty};
  spool->synced_dirty = false;
  if (now_ns < retry_ns)
    return work;
  work.make = spool->want_prepared || spool->trouble != NULL;
  work.tidy = spool->trimmed != NULL || now_ns - tidied_ns >= PERIOD_NS;
  return work;
}

static void *keeper_main(void *argument) {
  au_spool_t *spool = argument;
  int64_t tidied_ns = au_clock_monotonic_ns();
  int64_t retry_ns = 0;
  pthread_mutex_lock(&spool->lock);
  while (!spool->stop) {
    work_t work = wait_locked(spool, retry_ns, tidied_ns);
    if (spool->stop)
      break;
    bool trouble = spool->trouble != NULL;
    pthread_mutex_unlock(&spool->lock);
    bool good = true;
    if (work.sync)
      sync_active(spool);
    if (work.make)
      good = prepare_segment(spool);
    if (work.tidy)
      good = au_spool_tidy(spool) && good;
    int64_t now_ns = au_clock_monotonic_ns();
    if (work.tidy)
      tidied_ns = now_ns;
    if (!good || (work.make && trouble))
      retry_ns = now_ns + PERIOD_NS;
    pthread_mutex_lock(&spool->lock);
  }
  pthread_mutex_unlock(&spool->lock);
  return NULL;
}

au_status_t au_spool_start_keeper(au_spool_t *spool) {
  if (spool->store.directory < 0)
    return AU_OK;
  errno =
      au_thread_start(&spool->keeper_thread, "au-spool", keeper_main, spool);
  spool->has_keeper = errno == 0;
  return spool->has_keeper ? AU_OK : AU_NOMEM;
}

void au_spool_stop_keeper(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  spool->stop = true;
  pthread_cond_broadcast(&spool->upkeep);
  pthread_mutex_unlock(&spool->lock);
  if (!spool->has_keeper)
    return;
  pthread_join(spool->keeper_thread, NULL);
  spool->has_keeper = false;
  /* A last sync for what durability "interval" has not synced yet. */
  if (spool->durability == AU_DURABILITY_INTERVAL && spool->synced_dirty)
    sync_active(spool);
}
