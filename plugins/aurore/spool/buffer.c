/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * The room is two counters (au_usage_t). A request takes what it needs of both
 * or of neither, so that the bounds hold exactly, without a lock.
 */
#include "spool/buffer.h"

#include "base/clock.h"
#include "base/growth.h"
#include "metrics/metrics.h"
#include "spool/frame.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A memory segment needs a descriptor for as long as it holds rows: no more
 * than about this many per lane. */
#define MEMORY_SEGMENTS 64
#define MEMORY_SEGMENT_MIN ((uint64_t)8 << 20)
#define FILE_SEGMENT_MAX ((uint64_t)64 << 20)
#define FILE_SEGMENT_MIN ((uint64_t)1 << 20)

#define DRAIN_WINDOW_NS (10 * AU_NS_PER_S)
#define RETRY_AFTER_MAX_S 60

struct au_buffer {
  /* Immutable after open. */
  au_lane_t *lane[AU_LANES_MAX];
  unsigned lanes;         /* all of them */
  unsigned request_lanes; /* those that take requests: the first ones */
  uint64_t capacity;
  uint64_t max_bytes;

  au_usage_t usage;
  _Atomic unsigned turn;       /* which lane is next */
  _Atomic int64_t enqueued_ns; /* monotonic; 0: never */

  pthread_mutex_t rate_lock; /* protects: drained */
  au_growth_t drained;
};

/* Of a lane: its directory, lock, the segment that is written and the next one,
 * one that is read; and for a moment its state, one that is deleted, a damaged
 * range, and what goes with them. In memory each segment has one, too. */
#define LANE_DESCRIPTORS 12

unsigned au_buffer_descriptors(unsigned lanes, bool is_memory) {
  return 1 + lanes * LANE_DESCRIPTORS + (is_memory ? MEMORY_SEGMENTS : 0);
}

static uint64_t segment_bytes(const au_buffer_config_t *config,
                              unsigned lanes) {
  if (config->directory == NULL) {
    uint64_t size = config->max_bytes / MEMORY_SEGMENTS;
    return size > MEMORY_SEGMENT_MIN ? size : MEMORY_SEGMENT_MIN;
  }
  /* A small bound should not take 64 MiB of disk twice. */
  uint64_t size = config->max_bytes / 4;
  /* Whole segments are kept: some of each lane should fit. */
  uint64_t kept = config->keep_bytes / lanes / 4;
  if (config->keep_s > 0 && config->keep_bytes > 0 && size > kept)
    size = kept;
  if (size > FILE_SEGMENT_MAX)
    return FILE_SEGMENT_MAX;
  return size > FILE_SEGMENT_MIN ? size : FILE_SEGMENT_MIN;
}

/* The directory of a lane; false when it does not exist. */
static bool lane_directory(const au_buffer_config_t *config, unsigned index,
                           char *path, size_t size) {
  snprintf(path, size, "%s/lane-%02u", config->directory, index);
  struct stat info;
  return stat(path, &info) == 0;
}

static au_status_t open_lane(au_buffer_t *buffer,
                             const au_buffer_config_t *config, unsigned index,
                             unsigned lanes, char *error, size_t error_size) {
  char path[4096];
  au_spool_config_t spool = {.io = config->io,
                             .segment_bytes = segment_bytes(config, lanes),
                             .durability = config->durability,
                             .sync_interval_s = config->sync_interval_s,
                             .keep_s = config->keep_s,
                             .keep_bytes = config->keep_bytes / lanes,
                             .max_bytes = config->max_bytes,
                             .usage = &buffer->usage};
  if (config->directory != NULL) {
    lane_directory(config, index, path, sizeof(path));
    spool.directory = path;
  }
  au_status_t status =
      au_lane_open(index, &spool, &buffer->lane[index], error, error_size);
  if (status == AU_OK)
    buffer->lanes = index + 1;
  return status;
}

/* Makes the directory of the lanes, and its name durable. */
static au_status_t make_directory(const au_io_t *io, const char *path,
                                  char *error, size_t error_size) {
  const char *action;
  int directory = au_io_make_directory(io, path, &action);
  au_io_close(io, directory);
  if (directory >= 0)
    return AU_OK;
  snprintf(error, error_size, "could not %s spool directory \"%s\": %s", action,
           path, strerror(errno));
  return AU_IO;
}

static au_status_t open_lanes(au_buffer_t *buffer,
                              const au_buffer_config_t *config, char *error,
                              size_t error_size) {
  const au_io_t *io = config->io != NULL ? config->io : &au_io_system;
  if (config->directory != NULL &&
      make_directory(io, config->directory, error, error_size) != AU_OK)
    return AU_IO;
  unsigned lanes = config->lanes;
  char path[4096];
  while (config->directory != NULL && lanes < AU_LANES_MAX &&
         lane_directory(config, lanes, path, sizeof(path)))
    lanes++;
  au_status_t status = AU_OK;
  for (unsigned i = 0; i < lanes && status == AU_OK; i++)
    status = open_lane(buffer, config, i, lanes, error, error_size);
  return status;
}

au_status_t au_buffer_open(const au_buffer_config_t *config,
                           au_buffer_t **out_buffer, char *error,
                           size_t error_size) {
  *out_buffer = NULL;
  au_buffer_t *buffer = calloc(1, sizeof(*buffer));
  if (buffer == NULL) {
    snprintf(error, error_size, "out of memory");
    return AU_NOMEM;
  }
  pthread_mutex_init(&buffer->rate_lock, NULL);
  buffer->request_lanes = config->lanes;
  buffer->capacity = config->capacity;
  buffer->max_bytes = config->max_bytes;
  au_status_t status = open_lanes(buffer, config, error, error_size);
  if (status != AU_OK) {
    au_buffer_destroy(buffer);
    return status;
  }
  *out_buffer = buffer;
  return AU_OK;
}

void au_buffer_close_intake(au_buffer_t *buffer) {
  for (unsigned i = 0; i < buffer->lanes; i++)
    au_lane_end_watches(buffer->lane[i]);
  for (unsigned i = 0; i < buffer->lanes; i++)
    au_spool_close_intake(au_lane_spool(buffer->lane[i]));
}

void au_buffer_destroy(au_buffer_t *buffer) {
  if (buffer == NULL)
    return;
  for (unsigned i = 0; i < AU_LANES_MAX; i++)
    au_lane_close(buffer->lane[i]);
  pthread_mutex_destroy(&buffer->rate_lock);
  free(buffer);
}

static uint64_t frame_bytes(const au_rows_t *rows) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < rows->count; i++)
    bytes += au_frame_size(rows->row[i].size);
  return bytes;
}

/* Takes some of what one bound leaves. false: not enough; nothing was taken. */
static bool reserve(_Atomic uint64_t *used, uint64_t amount, uint64_t bound) {
  uint64_t before = atomic_load_explicit(used, memory_order_relaxed);
  do {
    if (before + amount > bound)
      return false;
  } while (!atomic_compare_exchange_weak_explicit(
      used, &before, before + amount, memory_order_relaxed,
      memory_order_relaxed));
  return true;
}

/* Why a lane cannot take events now, or NULL. */
static const char *lane_trouble(au_lane_t *lane) {
  if (au_lane_is_fenced(lane))
    return "the database knows this spool under another owner";
  return au_spool_trouble(au_lane_spool(lane));
}

/* The next lane in turn, but not one that cannot take events now. When there is
 * no other, a lane that cannot be written is tried all the same (this is how it
 * is found to work again); NULL when all are fenced. */
static au_lane_t *choose_lane(au_buffer_t *buffer) {
  unsigned turn =
      atomic_fetch_add_explicit(&buffer->turn, 1, memory_order_relaxed);
  au_lane_t *last = NULL;
  for (unsigned i = 0; i < buffer->request_lanes; i++) {
    au_lane_t *lane = buffer->lane[(turn + i) % buffer->request_lanes];
    if (lane_trouble(lane) == NULL)
      return lane;
    if (!au_lane_is_fenced(lane))
      last = lane;
  }
  return last;
}

au_status_t au_buffer_append(au_buffer_t *buffer, const au_rows_t *rows,
                             au_waiter_t *waiter) {
  uint64_t bytes = frame_bytes(rows);
  bool fits = reserve(&buffer->usage.events, rows->count, buffer->capacity);
  if (fits && !reserve(&buffer->usage.bytes, bytes, buffer->max_bytes)) {
    au_usage_give_back(&buffer->usage, rows->count, 0);
    fits = false;
  }
  if (!fits) {
    au_metrics_count(AU_M_EVENTS_DROPPED, 0, rows->count);
    return AU_FULL;
  }
  size_t count = rows->count; /* a pending request may be gone on return */
  au_lane_t *lane = choose_lane(buffer);
  waiter->lane = lane;
  au_status_t status =
      lane != NULL ? au_spool_append(au_lane_spool(lane), rows, waiter) : AU_IO;
  if (status != AU_OK && status != AU_PENDING)
    au_usage_give_back(&buffer->usage, count, bytes);
  else
    atomic_store_explicit(&buffer->enqueued_ns, au_clock_monotonic_ns(),
                          memory_order_relaxed);
  return status;
}

au_status_t au_buffer_watch(const au_waiter_t *appended, au_watch_t *watch) {
  watch->lane = appended->lane;
  watch->first_seq = appended->end_seq - appended->count;
  watch->end_seq = appended->end_seq;
  return au_lane_watch(appended->lane, watch);
}

bool au_buffer_unwatch(au_watch_t *watch) {
  return au_lane_unwatch(watch->lane, watch);
}

static double since_s(int64_t ns, int64_t now_ns) {
  if (ns == 0)
    return -1;
  return ns < now_ns ? (double)(now_ns - ns) / (double)AU_NS_PER_S : 0;
}

void au_buffer_usage(au_buffer_t *buffer, au_buffer_usage_t *out) {
  out->events =
      atomic_load_explicit(&buffer->usage.events, memory_order_relaxed);
  out->bytes = atomic_load_explicit(&buffer->usage.bytes, memory_order_relaxed);
  out->capacity = buffer->capacity;
  out->max_bytes = buffer->max_bytes;
  out->kept_bytes = 0;
  out->spare_bytes =
      atomic_load_explicit(&buffer->usage.spare_bytes, memory_order_relaxed);
  out->lanes_fenced = 0;
  out->lanes_blocked = 0;
  double by_events = 100.0 * (double)out->events / (double)out->capacity;
  double by_bytes = 100.0 * (double)out->bytes / (double)out->max_bytes;
  out->utilization_percent = by_events > by_bytes ? by_events : by_bytes;
  int64_t now_ns = au_clock_monotonic_ns();
  int64_t oldest_ns = 0;
  int64_t drained_ns = 0;
  for (unsigned i = 0; i < buffer->lanes; i++) {
    int64_t lane_ns = au_lane_drained_ns(buffer->lane[i]);
    drained_ns = lane_ns > drained_ns ? lane_ns : drained_ns;
    int64_t age_ns = au_lane_oldest_age_ns(buffer->lane[i]);
    if (age_ns > oldest_ns)
      oldest_ns = age_ns;
    out->kept_bytes += au_spool_kept_bytes(au_lane_spool(buffer->lane[i]));
    out->lanes_fenced += au_lane_is_fenced(buffer->lane[i]) ? 1 : 0;
    out->lanes_blocked += au_lane_is_blocked(buffer->lane[i], now_ns) ? 1 : 0;
  }
  out->oldest_age_s = (double)oldest_ns / (double)AU_NS_PER_S;
  out->since_drain_s = since_s(drained_ns, now_ns);
  out->since_enqueue_s = since_s(
      atomic_load_explicit(&buffer->enqueued_ns, memory_order_relaxed), now_ns);
}

bool au_buffer_is_full(const au_buffer_t *buffer) {
  /* The smallest frame of an event is larger than its header. */
  return atomic_load_explicit(&buffer->usage.events, memory_order_relaxed) >=
             buffer->capacity ||
         atomic_load_explicit(&buffer->usage.bytes, memory_order_relaxed) +
                 au_frame_size(1) >
             buffer->max_bytes;
}

unsigned au_buffer_retry_after_s(au_buffer_t *buffer) {
  const uint64_t total[AU_GROWTH_VALUES] = {
      au_metrics_counter(AU_M_EVENTS_PROCESSED, 0) +
          au_metrics_counter(AU_M_EVENTS_DUPLICATE, 0) +
          au_metrics_counter(AU_M_DEAD_LETTERS, 0),
      0};
  uint64_t growth[AU_GROWTH_VALUES];
  pthread_mutex_lock(&buffer->rate_lock);
  double seconds = au_growth_update(&buffer->drained, au_clock_monotonic_ns(),
                                    DRAIN_WINDOW_NS, total, growth);
  pthread_mutex_unlock(&buffer->rate_lock);
  if (seconds <= 0 || growth[0] == 0)
    return seconds > 1 ? RETRY_AFTER_MAX_S : 5;
  double per_second = (double)growth[0] / seconds;
  double wait_s = (double)buffer->capacity / 10.0 / per_second;
  if (wait_s < 1)
    return 1;
  return wait_s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (unsigned)wait_s;
}

const char *au_buffer_trouble(au_buffer_t *buffer) {
  const char *trouble = NULL;
  for (unsigned i = 0; i < buffer->request_lanes; i++) {
    trouble = lane_trouble(buffer->lane[i]);
    if (trouble == NULL)
      return NULL; /* one lane that takes events is enough */
  }
  return trouble;
}

unsigned au_buffer_lanes(const au_buffer_t *buffer) { return buffer->lanes; }

au_lane_t *au_buffer_lane(au_buffer_t *buffer, unsigned index) {
  return buffer->lane[index];
}

void au_buffer_flush(au_buffer_t *buffer) {
  for (unsigned i = 0; i < buffer->lanes; i++)
    au_lane_flush(buffer->lane[i]);
}
