/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/tidy.h"

#include "base/clock.h"
#include "base/log.h"
#include "spool/spares.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

uint64_t au_spool_distance_locked(const au_spool_t *spool, au_position_t from,
                                  au_position_t to) {
  uint64_t bytes = 0;
  for (const au_segment_t *s = spool->oldest; s != NULL; s = s->next) {
    if (s->number < from.segment || s->number > to.segment)
      continue;
    uint64_t start = s->number == from.segment ? from.offset : 0;
    uint64_t end = s->number == to.segment ? to.offset : s->end;
    if (start < AU_SEGMENT_HEADER_SIZE)
      start = AU_SEGMENT_HEADER_SIZE;
    if (end > start)
      bytes += end - start;
  }
  return bytes;
}

au_position_t au_spool_kept_locked(const au_spool_t *spool) {
  if (spool->keep_ns == 0)
    return spool->begin;
  for (const au_segment_t *s = spool->oldest;
       s != NULL && s->number <= spool->begin.segment; s = s->next) {
    if (s->first_seq == 0 || s->number < spool->floor.segment)
      continue;
    uint64_t seq =
        s->first_seq > spool->floor.seq ? s->first_seq : spool->floor.seq;
    if (seq < spool->begin.seq)
      return (au_position_t){
          .seq = seq, .segment = s->number, .offset = AU_SEGMENT_HEADER_SIZE};
  }
  return spool->begin;
}

/* Whether the oldest segment is stored, and kept no longer. */
static bool may_drop_locked(const au_spool_t *spool, int64_t now_ns, bool all) {
  const au_segment_t *oldest = spool->oldest;
  if (oldest == NULL || oldest == spool->newest ||
      oldest->number >= spool->begin.segment)
    return false;
  return all || spool->keep_ns == 0 || oldest->number < spool->floor.segment ||
         now_ns - oldest->stored_ns >= spool->keep_ns ||
         au_spool_distance_locked(spool, au_spool_kept_locked(spool),
                                  spool->begin) > spool->keep_bytes;
}

au_segment_t *au_spool_drop_stored_locked(au_spool_t *spool, bool all) {
  int64_t now_ns = au_clock_monotonic_ns();
  for (au_segment_t *s = spool->oldest;
       s != NULL && s->number < spool->begin.segment; s = s->next)
    if (s->stored_ns == 0)
      s->stored_ns = now_ns;
  au_segment_t *dropped = NULL;
  while (may_drop_locked(spool, now_ns, all)) {
    au_segment_t *segment = spool->oldest;
    spool->oldest = segment->next;
    segment->next = dropped;
    dropped = segment;
  }
  if (spool->store.directory < 0 || dropped == NULL)
    return dropped;
  au_segment_t *last = dropped;
  while (last->next != NULL)
    last = last->next;
  last->next = spool->trimmed;
  spool->trimmed = dropped;
  pthread_cond_signal(&spool->upkeep);
  return NULL;
}

static void delete_segment(const au_spool_t *spool, au_segment_t *segment) {
  char name[AU_SEGMENT_NAME_SIZE];
  au_segment_name(segment->number, name);
  int status = segment->unreadable
                   ? au_segment_set_aside(&spool->store, segment->number)
                   : spool->store.io->unlinkat(spool->store.directory, name);
  if (status != 0 && errno != ENOENT)
    au_log(AU_LOG_WARNING,
           "could not delete segment \"%s\" of the spool: %s; trying again "
           "at the next start",
           name, strerror(errno));
  au_segment_close(&spool->store, segment);
}

void au_spool_discard(au_spool_t *spool, au_segment_t *segment, bool all) {
  au_segment_t *spares = NULL;
  while (segment != NULL) {
    au_segment_t *next = segment->next;
    if (!all && au_spares_make(spool, segment)) {
      segment->next = spares;
      spares = segment;
    } else {
      delete_segment(spool, segment);
    }
    segment = next;
  }
  if (spool->store.io->fsync(spool->store.directory) == 0) {
    au_spares_add(spool, spares);
    return;
  }
  au_log(AU_LOG_WARNING, "could not sync the spool directory: %s",
         strerror(errno));
  /* After a crash they may have their old names. */
  (void)au_spares_delete(spool, spares);
}

static void log_state_change(au_spool_t *spool, bool failed, int error) {
  if (!au_log_changed(&spool->state_failed, failed))
    return;
  if (failed)
    au_log(AU_LOG_WARNING,
           "could not write the spool state: %s; trying again, and keeping "
           "segments that are no longer needed",
           strerror(error));
  else
    au_log(AU_LOG_NOTICE, "the spool state can be written again");
}

/* Holds tidy_lock. */
static bool tidy(au_spool_t *spool, bool all) {
  pthread_mutex_lock(&spool->lock);
  (void)au_spool_drop_stored_locked(spool, all); /* they are files */
  au_segment_t *trimmed = spool->trimmed;
  spool->trimmed = NULL;
  spool->state.begin = spool->begin;
  spool->state.kept = au_spool_kept_locked(spool);
  bool dirty = spool->state_dirty;
  spool->state_dirty = false;
  au_spool_state_t state = spool->state;
  pthread_mutex_unlock(&spool->lock);
  if (!dirty && trimmed == NULL)
    return true;
  /* The order matters: a segment may only go once the state that does not need
   * it is durable. */
  au_status_t status =
      au_spool_state_save(spool->store.io, spool->store.directory, &state);
  int error = errno;
  if (status == AU_OK && trimmed != NULL)
    au_spool_discard(spool, trimmed, all);
  pthread_mutex_lock(&spool->lock);
  spool->state.generation = state.generation;
  if (status != AU_OK) {
    spool->state_dirty = true;
    au_segment_t **end = &spool->trimmed;
    while (*end != NULL)
      end = &(*end)->next;
    *end = trimmed;
  }
  pthread_mutex_unlock(&spool->lock);
  log_state_change(spool, status != AU_OK, error);
  return status == AU_OK;
}

bool au_spool_tidy(au_spool_t *spool) {
  pthread_mutex_lock(&spool->tidy_lock);
  uint64_t disk_full = atomic_load(&spool->usage->disk_full);
  bool all = disk_full != spool->disk_full_seen;
  spool->disk_full_seen = disk_full;
  if (all)
    (void)au_spares_delete_all(spool);
  au_spares_fit(spool);
  bool good = tidy(spool, all);
  pthread_mutex_unlock(&spool->tidy_lock);
  return good;
}

bool au_spool_let_go(au_spool_t *spool) {
  int error = errno;
  if (au_spares_delete_all(spool)) {
    errno = error;
    return true;
  }
  uint64_t before = au_spool_kept_bytes(spool);
  atomic_fetch_add(&spool->usage->disk_full, 1);
  bool good = spool->recovered && au_spool_tidy(spool);
  uint64_t after = au_spool_kept_bytes(spool);
  errno = error;
  if (!good || after >= before)
    return false;
  if (!atomic_exchange(&spool->let_go, true))
    au_log(AU_LOG_WARNING,
           "the disk of the spool is full: %" PRIu64
           " bytes of stored events, kept in case the database falls back, "
           "made room for new ones",
           before - after);
  return true;
}
