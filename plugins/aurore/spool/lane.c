/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * Ages are kept on the monotonic clock: the accept time of the oldest event
 * (wall clock) is turned into a monotonic time once, when that event becomes
 * the oldest, so a step of the wall clock cannot hold a batch back.
 */
#include "spool/lane.h"

#include "base/clock.h"
#include "base/thread.h"
#include "base/timestamp.h"
#include "base/utf8.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct au_lane {
  unsigned index;    /* immutable */
  au_spool_t *spool; /* immutable */
  au_slab_t peek;    /* the writer's */
  _Atomic int64_t drained_ns;
  _Atomic bool fenced;
  _Atomic int64_t refused_ns; /* 0: it is not */

  pthread_mutex_t lock; /* protects: all below */
  pthread_cond_t due;
  size_t batch_size;  /* of the wait under way */
  bool sleeping;      /* the writer waits, and is woken ... */
  bool timed;         /* ... only for a full batch: it has a time to wake */
  uint64_t flush_seq; /* events before it are due */
  _Atomic bool stop;  /* also read without the lock */
  int64_t oldest_ns;  /* monotonic accept time of the oldest event; 0: none */
  au_watches_t watches;
  bool has_ended_watches;
  au_lane_error_t error;
};

uint64_t au_lane_waiting(au_lane_t *lane) {
  uint64_t end = au_spool_durable_seq(lane->spool);
  uint64_t begin = au_spool_begin(lane->spool).seq;
  return end > begin ? end - begin : 0;
}

/* Called by the spool when rows were added. Any thread. */
static void on_durable(void *context) {
  au_lane_t *lane = context;
  pthread_mutex_lock(&lane->lock);
  if (lane->oldest_ns == 0)
    lane->oldest_ns = au_clock_monotonic_ns();
  if (lane->sleeping &&
      (!lane->timed || au_lane_waiting(lane) >= lane->batch_size)) {
    lane->sleeping = false; /* one signal is enough */
    pthread_cond_signal(&lane->due);
  }
  pthread_mutex_unlock(&lane->lock);
}

/* The rows from "from" to before "to" are lost. */
static void give_up_watches(au_lane_t *lane, uint64_t from, uint64_t to) {
  if (from >= to)
    return;
  pthread_mutex_lock(&lane->lock);
  au_watch_t *taken = au_watches_take_within(&lane->watches, from, to);
  pthread_mutex_unlock(&lane->lock);
  au_watches_complete(taken, AU_IO);
}

au_status_t au_lane_take(au_lane_t *lane, size_t max_rows, size_t max_bytes,
                         au_slab_t *slab) {
  au_status_t status = au_spool_read(lane->spool, au_spool_begin(lane->spool),
                                     max_rows, max_bytes, slab);
  if (status != AU_OK)
    return status;
  give_up_watches(lane, slab->begin.seq, slab->first_seq);
  give_up_watches(lane, slab->first_seq + slab->count, slab->end.seq);
  return AU_OK;
}

/* Microseconds since it was accepted; 0 for a time that cannot be: a clock was
 * set back, or the row is not sound. */
static int64_t age_of(const au_row_t *row) {
  int64_t accepted_us = au_row_ingested_at_us(row);
  return au_timestamp_is_valid(accepted_us) ? au_clock_wall_us() - accepted_us
                                            : 0;
}

/* Sets oldest_ns from the event that is the oldest now. */
static void update_oldest(au_lane_t *lane) {
  int64_t oldest_ns = 0;
  if (au_lane_waiting(lane) > 0) {
    int64_t age_us = 0;
    if (au_lane_take(lane, 1, 1, &lane->peek) == AU_OK &&
        lane->peek.count > 0) {
      const au_row_t row = au_slab_row(&lane->peek, 0);
      age_us = age_of(&row);
    }
    oldest_ns = au_clock_monotonic_ns() - (age_us > 0 ? age_us * 1000 : 0);
    if (oldest_ns == 0)
      oldest_ns = 1; /* 0 means that nothing waits */
  }
  pthread_mutex_lock(&lane->lock);
  if (oldest_ns == 0 && au_lane_waiting(lane) > 0)
    oldest_ns = au_clock_monotonic_ns(); /* it was appended a moment ago */
  lane->oldest_ns = oldest_ns;
  pthread_mutex_unlock(&lane->lock);
}

au_status_t au_lane_open(unsigned index, const au_spool_config_t *config,
                         au_lane_t **out_lane, char *error, size_t error_size) {
  *out_lane = NULL;
  au_lane_t *lane = calloc(1, sizeof(*lane));
  if (lane == NULL || au_thread_condition(&lane->due) != 0) {
    free(lane);
    snprintf(error, error_size, "out of memory");
    return AU_NOMEM;
  }
  lane->index = index;
  pthread_mutex_init(&lane->lock, NULL);
  au_spool_config_t own = *config;
  own.on_durable = on_durable;
  own.context = lane;
  au_status_t status = au_spool_open(&own, &lane->spool, error, error_size);
  if (status != AU_OK) {
    au_lane_close(lane);
    return status;
  }
  update_oldest(lane);
  *out_lane = lane;
  return AU_OK;
}

void au_lane_close(au_lane_t *lane) {
  if (lane == NULL)
    return;
  au_spool_close(lane->spool);
  au_slab_fini(&lane->peek);
  pthread_cond_destroy(&lane->due);
  pthread_mutex_destroy(&lane->lock);
  free(lane);
}

unsigned au_lane_index(const au_lane_t *lane) { return lane->index; }

au_spool_t *au_lane_spool(au_lane_t *lane) { return lane->spool; }

int64_t au_lane_drained_ns(const au_lane_t *lane) {
  return atomic_load(&lane->drained_ns);
}

int64_t au_lane_oldest_age_ns(au_lane_t *lane) {
  pthread_mutex_lock(&lane->lock);
  int64_t oldest_ns = lane->oldest_ns;
  pthread_mutex_unlock(&lane->lock);
  int64_t age_ns = au_clock_monotonic_ns() - oldest_ns;
  return oldest_ns == 0 || age_ns < 0 ? 0 : age_ns;
}

/* Whether a batch is due now; if not, when by age (INT64_MAX: not by age). */
static bool is_due_locked(au_lane_t *lane, int64_t drain_interval_ns,
                          int64_t now_ns, int64_t *out_due_ns) {
  *out_due_ns = INT64_MAX;
  uint64_t begin = au_spool_begin(lane->spool).seq;
  uint64_t end = au_spool_durable_seq(lane->spool);
  if (end <= begin)
    return false;
  if (end - begin >= lane->batch_size || begin < lane->flush_seq || lane->stop)
    return true;
  *out_due_ns = lane->oldest_ns + drain_interval_ns;
  return now_ns >= *out_due_ns;
}

au_wake_t au_lane_wait(au_lane_t *lane, size_t batch_size,
                       int64_t drain_interval_ns, int64_t deadline_ns) {
  au_wake_t wake = AU_WAKE_TIMEOUT;
  pthread_mutex_lock(&lane->lock);
  lane->batch_size = batch_size;
  for (;;) {
    int64_t now_ns = au_clock_monotonic_ns();
    int64_t due_ns;
    if (is_due_locked(lane, drain_interval_ns, now_ns, &due_ns)) {
      wake = AU_WAKE_BATCH;
      break;
    }
    if (lane->stop) {
      wake = AU_WAKE_STOP;
      break;
    }
    if (now_ns >= deadline_ns)
      break;
    lane->timed = due_ns != INT64_MAX;
    lane->sleeping = true;
    struct timespec until =
        au_clock_timespec(due_ns < deadline_ns ? due_ns : deadline_ns);
    pthread_cond_timedwait(&lane->due, &lane->lock, &until);
    lane->sleeping = false;
  }
  pthread_mutex_unlock(&lane->lock);
  return wake;
}

void au_lane_commit(au_lane_t *lane, au_position_t to) {
  if (to.seq <= au_spool_begin(lane->spool).seq)
    return;
  au_spool_trim(lane->spool, to);
  atomic_store(&lane->drained_ns, au_clock_monotonic_ns());
  pthread_mutex_lock(&lane->lock);
  au_watch_t *taken = au_watches_take_before(&lane->watches, to.seq);
  pthread_mutex_unlock(&lane->lock);
  au_watches_complete(taken, AU_OK);
  update_oldest(lane);
}

/* The lane's begin is what says that rows are stored. It is moved before the
 * list is looked at, so that no watch is added too late. */
static au_status_t add_watch_locked(au_lane_t *lane, au_watch_t *watch) {
  if (watch->end_seq <= au_spool_begin(lane->spool).seq)
    return AU_OK;
  if (lane->has_ended_watches)
    return AU_CLOSED;
  au_watches_add(&lane->watches, watch);
  if (lane->flush_seq < watch->end_seq)
    lane->flush_seq = watch->end_seq;
  pthread_cond_signal(&lane->due);
  return AU_PENDING;
}

au_status_t au_lane_watch(au_lane_t *lane, au_watch_t *watch) {
  pthread_mutex_lock(&lane->lock);
  au_status_t status = add_watch_locked(lane, watch);
  pthread_mutex_unlock(&lane->lock);
  return status;
}

bool au_lane_unwatch(au_lane_t *lane, au_watch_t *watch) {
  pthread_mutex_lock(&lane->lock);
  bool was_listed = au_watches_remove(&lane->watches, watch);
  pthread_mutex_unlock(&lane->lock);
  return was_listed;
}

void au_lane_end_watches(au_lane_t *lane) {
  pthread_mutex_lock(&lane->lock);
  lane->has_ended_watches = true;
  au_watch_t *taken = au_watches_take_all(&lane->watches);
  pthread_mutex_unlock(&lane->lock);
  au_watches_complete(taken, AU_CLOSED);
}

uint64_t au_lane_rewind(au_lane_t *lane, uint64_t seq) {
  uint64_t begin = au_spool_rewind(lane->spool, seq);
  update_oldest(lane);
  return begin;
}

void au_lane_flush(au_lane_t *lane) {
  pthread_mutex_lock(&lane->lock);
  lane->flush_seq = au_spool_durable_seq(lane->spool);
  pthread_cond_signal(&lane->due);
  pthread_mutex_unlock(&lane->lock);
}

void au_lane_stop(au_lane_t *lane) {
  pthread_mutex_lock(&lane->lock);
  lane->stop = true;
  pthread_cond_signal(&lane->due);
  pthread_mutex_unlock(&lane->lock);
}

bool au_lane_sleep(au_lane_t *lane, int64_t deadline_ns) {
  struct timespec until = au_clock_timespec(deadline_ns);
  pthread_mutex_lock(&lane->lock);
  while (!lane->stop && au_clock_monotonic_ns() < deadline_ns)
    pthread_cond_timedwait(&lane->due, &lane->lock, &until);
  bool stop = lane->stop;
  pthread_mutex_unlock(&lane->lock);
  return stop;
}

bool au_lane_is_stopping(au_lane_t *lane) { return lane->stop; }

void au_lane_set_fenced(au_lane_t *lane, bool is_fenced) {
  lane->fenced = is_fenced;
}

bool au_lane_is_fenced(au_lane_t *lane) { return lane->fenced; }

void au_lane_set_error(au_lane_t *lane, const char *sqlstate,
                       const char *message, int64_t at_us) {
  pthread_mutex_lock(&lane->lock);
  lane->error.at_us = at_us;
  snprintf(lane->error.sqlstate, sizeof(lane->error.sqlstate), "%s", sqlstate);
  size_t size = strlen(message);
  if (size >= sizeof(lane->error.message))
    size = au_utf8_whole(message, sizeof(lane->error.message) - 1);
  memcpy(lane->error.message, message, size);
  lane->error.message[size] = '\0';
  pthread_mutex_unlock(&lane->lock);
}

bool au_lane_last_error(au_lane_t *lane, au_lane_error_t *out_error) {
  pthread_mutex_lock(&lane->lock);
  *out_error = lane->error;
  pthread_mutex_unlock(&lane->lock);
  return out_error->at_us != 0;
}

void au_lane_set_refused(au_lane_t *lane, int64_t since_ns) {
  atomic_store(&lane->refused_ns, since_ns);
}

bool au_lane_is_refused(const au_lane_t *lane) {
  return atomic_load(&lane->refused_ns) != 0;
}

bool au_lane_is_blocked(const au_lane_t *lane, int64_t now_ns) {
  int64_t since_ns = atomic_load(&lane->refused_ns);
  return since_ns != 0 && now_ns - since_ns > AU_LANE_BLOCKED_NS;
}
