/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/spool.h"

#include "base/clock.h"
#include "base/thread.h"
#include "metrics/metrics.h"
#include "spool/commit.h"
#include "spool/keeper.h"
#include "spool/recover.h"
#include "spool/segments.h"
#include "spool/spares.h"
#include "spool/tidy.h"
#include "spool/trouble.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_SEGMENT_BYTES ((uint64_t)64 << 20)
#define MEMORY_SEGMENT_BYTES ((uint64_t)8 << 20)

static au_spool_t *spool_new(const au_spool_config_t *config) {
  au_spool_t *spool = calloc(1, sizeof(*spool));
  if (spool == NULL)
    return NULL;
  spool->store.io = config->io != NULL ? config->io : &au_io_system;
  spool->store.directory = -1;
  spool->durability =
      config->directory == NULL ? AU_DURABILITY_MEMORY : config->durability;
  spool->sync_interval_ns = au_clock_seconds_ns(config->sync_interval_s);
  spool->segment_bytes = config->segment_bytes;
  if (spool->segment_bytes == 0)
    spool->segment_bytes =
        config->directory == NULL ? MEMORY_SEGMENT_BYTES : FILE_SEGMENT_BYTES;
  if (config->directory != NULL && config->keep_bytes > 0) {
    spool->keep_ns = au_clock_seconds_ns(config->keep_s);
    spool->keep_bytes = config->keep_bytes;
  }
  spool->max_bytes = config->max_bytes;
  spool->usage = config->usage;
  spool->disk_full_seen = atomic_load(&spool->usage->disk_full);
  spool->on_durable = config->on_durable;
  spool->context = config->context;
  spool->lock_fd = -1;
  spool->read_fd = -1;
  spool->next_number = 1;
  spool->durable_seq = 1;
  spool->begin.seq = 1;
  pthread_mutex_init(&spool->write_lock, NULL);
  pthread_mutex_init(&spool->tidy_lock, NULL);
  pthread_mutex_init(&spool->lock, NULL);
  if (au_thread_condition(&spool->work) != 0 ||
      au_thread_condition(&spool->upkeep) != 0 ||
      pthread_cond_init(&spool->idle, NULL) != 0) {
    free(spool);
    return NULL;
  }
  return spool;
}

au_status_t au_spool_open(const au_spool_config_t *config,
                          au_spool_t **out_spool, char *error,
                          size_t error_size) {
  *out_spool = NULL;
  au_spool_t *spool = spool_new(config);
  if (spool == NULL) {
    snprintf(error, error_size, "out of memory");
    return AU_NOMEM;
  }
  au_status_t status = AU_OK;
  if (config->directory != NULL)
    status = au_spool_recover(spool, config->directory, error, error_size);
  else
    spool->state.name = spool->store.id = au_uuid_v4();
  if (status == AU_OK) {
    status = au_spool_rotate(spool, 0);
    if (status == AU_IO && spool->recovered) {
      /* A full disk: what waits can be stored, which makes room. */
      au_spool_set_trouble(spool, AU_TROUBLE_WRITE, errno);
      status = AU_OK;
    }
    if (status == AU_OK)
      status = au_spool_start_committer(spool);
    if (status == AU_OK)
      status = au_spool_start_keeper(spool);
    if (status != AU_OK)
      snprintf(error, error_size, "could not make a segment of the spool: %s",
               strerror(errno));
  }
  if (status != AU_OK) {
    au_spool_close(spool);
    return status;
  }
  if (config->directory == NULL)
    au_spool_state_add_owner(&spool->state, spool->durable_seq);
  *out_spool = spool;
  return AU_OK;
}

void au_spool_close(au_spool_t *spool) {
  if (spool == NULL)
    return;
  au_spool_close_intake(spool);
  au_spool_stop_keeper(spool);
  const au_io_t *io = spool->store.io;
  if (spool->prepared != NULL) { /* a spare is found sooner at the next start */
    spool->prepared->next = spool->trimmed;
    spool->trimmed = spool->prepared;
    spool->prepared = NULL;
  }
  if (spool->recovered)
    (void)au_spool_tidy(spool); /* has logged; the next start does the rest */
  au_spool_close_segments(spool, spool->oldest);
  au_spool_close_segments(spool, spool->trimmed);
  au_spares_close(spool);
  au_io_close(io, spool->read_fd);
  au_io_close(io, spool->lock_fd);
  au_io_close(io, spool->store.directory);
  au_cursor_fini(&spool->cursor);
  au_bytes_fini(&spool->pending.frames);
  au_bytes_fini(&spool->writing.frames);
  au_bytes_fini(&spool->spare);
  pthread_cond_destroy(&spool->work);
  pthread_cond_destroy(&spool->upkeep);
  pthread_cond_destroy(&spool->idle);
  pthread_mutex_destroy(&spool->lock);
  pthread_mutex_destroy(&spool->tidy_lock);
  pthread_mutex_destroy(&spool->write_lock);
  free(spool);
}

au_uuid_t au_spool_id(const au_spool_t *spool) { return spool->state.name; }

bool au_spool_may_fall_back(const au_spool_t *spool) {
  return spool->durability != AU_DURABILITY_COMMIT || spool->state.tail_lost;
}

/* Adds the rows' frames; on failure the group is as it was before. */
static au_status_t put_rows(au_group_t *group, const au_rows_t *rows) {
  size_t before = group->frames.size;
  const uint8_t *row = rows->bytes.data;
  for (size_t i = 0; i < rows->count; i++) {
    const au_row_extent_t *extent = &rows->row[i];
    au_frame_put_row(&group->frames, extent->kind, row, extent->size);
    row += extent->size;
  }
  if (group->frames.failed) {
    group->frames.failed = false;
    group->frames.size = before;
    return AU_NOMEM;
  }
  group->count += rows->count;
  return AU_OK;
}

static au_status_t append_later(au_spool_t *spool, const au_rows_t *rows,
                                au_waiter_t *waiter) {
  pthread_mutex_lock(&spool->lock);
  au_status_t status = AU_CLOSED;
  if (!spool->closed) {
    au_group_t *group = &spool->pending;
    size_t before = group->frames.size;
    status = put_rows(group, rows);
    if (status == AU_OK) {
      waiter->next = NULL;
      waiter->bytes = group->frames.size - before;
      waiter->count = rows->count;
      if (group->last != NULL)
        group->last->next = waiter;
      else
        group->first = waiter;
      group->last = waiter;
      group->waiters++;
      /* Wake the committer for the first waiter, and again when the group is as
       * large as it hopes for. */
      if (!spool->committing &&
          (group->waiters == 1 || group->waiters == spool->group_target))
        pthread_cond_signal(&spool->work);
      status = AU_PENDING;
    }
  }
  pthread_mutex_unlock(&spool->lock);
  return status;
}

static au_status_t append_now(au_spool_t *spool, const au_rows_t *rows,
                              au_waiter_t *waiter) {
  pthread_mutex_lock(&spool->write_lock);
  pthread_mutex_lock(&spool->lock);
  bool closed = spool->closed;
  pthread_mutex_unlock(&spool->lock);
  au_status_t status = AU_CLOSED;
  if (!closed) {
    au_group_t *group = &spool->writing;
    au_bytes_clear(&group->frames, (size_t)1 << 20);
    group->count = 0;
    status = put_rows(group, rows);
    if (status == AU_OK)
      status = au_spool_write_group(spool, group);
    waiter->count = rows->count;
    waiter->end_seq = spool->durable_seq; /* which write_lock keeps */
  }
  pthread_mutex_unlock(&spool->write_lock);
  return status;
}

au_status_t au_spool_append(au_spool_t *spool, const au_rows_t *rows,
                            au_waiter_t *waiter) {
  if (rows->count == 0)
    return AU_OK;
  return spool->durability == AU_DURABILITY_COMMIT
             ? append_later(spool, rows, waiter)
             : append_now(spool, rows, waiter);
}

au_position_t au_spool_begin(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  au_position_t begin = spool->begin;
  pthread_mutex_unlock(&spool->lock);
  return begin;
}

uint64_t au_spool_durable_seq(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  uint64_t seq = spool->durable_seq;
  pthread_mutex_unlock(&spool->lock);
  return seq;
}

uint32_t au_spool_owners(au_spool_t *spool, au_uuid_t owner[AU_OWNERS_MAX],
                         uint64_t end_seq[AU_OWNERS_MAX]) {
  pthread_mutex_lock(&spool->lock);
  uint32_t owners = spool->state.owners;
  memcpy(owner, spool->state.owner, owners * sizeof(*owner));
  /* Where the next opening began to give numbers; this one still does. */
  for (uint32_t i = 0; end_seq != NULL && i < owners; i++)
    end_seq[i] =
        i + 1 < owners ? spool->state.owner_seq[i + 1] : spool->durable_seq;
  pthread_mutex_unlock(&spool->lock);
  return owners;
}

void au_spool_confirm_owner(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  if (au_spool_state_confirm_owner(&spool->state) || spool->state.tail_lost) {
    spool->state.tail_lost = false;
    spool->state_dirty = true;
    pthread_cond_signal(&spool->upkeep);
  }
  pthread_mutex_unlock(&spool->lock);
}

void au_spool_trim(au_spool_t *spool, au_position_t to) {
  pthread_mutex_lock(&spool->lock);
  uint64_t events = 0;
  uint64_t bytes = 0;
  if (to.seq > spool->begin.seq) {
    events = to.seq - spool->begin.seq;
    bytes = au_spool_distance_locked(spool, spool->begin, to);
    /* An empty spool uses no bytes, whatever damaged ranges were skipped. */
    if (to.seq == spool->durable_seq || bytes > spool->bytes)
      bytes = spool->bytes;
    spool->bytes -= bytes;
    spool->begin = to;
    spool->state_dirty = true;
  }
  au_segment_t *dropped = au_spool_drop_stored_locked(spool, false);
  pthread_mutex_unlock(&spool->lock);
  au_usage_give_back(spool->usage, events, bytes);
  au_spool_close_segments(spool, dropped);
}

uint64_t au_spool_kept_seq(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  uint64_t seq = au_spool_kept_locked(spool).seq;
  pthread_mutex_unlock(&spool->lock);
  return seq;
}

uint64_t au_spool_kept_bytes(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  uint64_t bytes = au_spool_distance_locked(spool, au_spool_kept_locked(spool),
                                            spool->begin);
  pthread_mutex_unlock(&spool->lock);
  return bytes;
}

/* The place of a row that is kept. What was written again in a later segment is
 * read there. */
static au_position_t find_kept_locked(const au_spool_t *spool, uint64_t seq) {
  au_position_t place = au_spool_kept_locked(spool);
  place.seq = seq > place.seq ? seq : place.seq;
  for (const au_segment_t *s = spool->oldest;
       s != NULL && s->number <= spool->begin.segment; s = s->next)
    if (s->number > place.segment && s->first_seq != 0 &&
        s->first_seq <= place.seq)
      place.segment = s->number;
  return place;
}

uint64_t au_spool_rewind(au_spool_t *spool, uint64_t seq) {
  pthread_mutex_lock(&spool->lock);
  au_position_t to = find_kept_locked(spool, seq);
  if (to.seq < spool->begin.seq) {
    uint64_t events = spool->begin.seq - to.seq;
    uint64_t bytes = au_spool_distance_locked(spool, to, spool->begin);
    /* Before anybody can store them, as in publish_group. */
    au_metrics_count(AU_M_EVENTS_REPLAYED, 0, events);
    atomic_fetch_add_explicit(&spool->usage->events, events,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&spool->usage->bytes, bytes,
                              memory_order_relaxed);
    spool->bytes += bytes;
    spool->begin = to;
    for (au_segment_t *s = spool->oldest; s != NULL; s = s->next)
      if (s->number >= to.segment)
        s->stored_ns = 0;
    spool->state_dirty = true;
  }
  uint64_t begin = spool->begin.seq;
  pthread_mutex_unlock(&spool->lock);
  /* At once: a process that dies now must not take them for kept ones again,
   * which may go. When it fails the keeper does it. */
  if (spool->recovered)
    (void)au_spool_tidy(spool);
  return begin;
}
