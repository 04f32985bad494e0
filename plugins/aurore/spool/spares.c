/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/spares.h"

/* Takes the room for one of what waiting rows leave. */
static bool take_room(au_spool_t *spool) {
  au_usage_t *usage = spool->usage;
  uint64_t size = spool->segment_bytes;
  uint64_t before = atomic_load(&usage->spare_bytes);
  do {
    if (atomic_load(&usage->bytes) + before + size > spool->max_bytes)
      return false;
  } while (!atomic_compare_exchange_weak(&usage->spare_bytes, &before,
                                         before + size));
  return true;
}

/* false: there is no room for one more, or there are enough. */
static bool reserve(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  bool is_wanted = spool->spare_count < AU_SPARES_MAX && take_room(spool);
  spool->spare_count += is_wanted ? 1 : 0;
  pthread_mutex_unlock(&spool->lock);
  return is_wanted;
}

static void give_back_locked(au_spool_t *spool) {
  spool->spare_count--;
  atomic_fetch_sub(&spool->usage->spare_bytes, spool->segment_bytes);
}

static void give_back(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  give_back_locked(spool);
  pthread_mutex_unlock(&spool->lock);
}

bool au_spares_make(au_spool_t *spool, au_segment_t *segment) {
  if (segment->failed || segment->unreadable ||
      segment->size != spool->segment_bytes || !reserve(spool))
    return false;
  if (au_segment_spare(&spool->store, segment) == 0)
    return true;
  give_back(spool);
  return false;
}

void au_spares_add(au_spool_t *spool, au_segment_t *spare) {
  au_segment_t **end = &spare;
  while (*end != NULL)
    end = &(*end)->next;
  pthread_mutex_lock(&spool->lock);
  *end = spool->spares;
  spool->spares = spare;
  pthread_mutex_unlock(&spool->lock);
}

void au_spares_recover(au_spool_t *spool, uint64_t number) {
  au_segment_t *spare = au_segment_open_spare(&spool->store, number);
  if (spare == NULL)
    return;
  /* Numbers are given once, but for those of segments that nobody has seen. */
  if (number < spool->next_number && spare->size == spool->segment_bytes &&
      reserve(spool))
    au_spares_add(spool, spare);
  else
    au_segment_delete_spare(&spool->store, spare);
}

au_segment_t *au_spares_take(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  au_segment_t *spare = spool->spares;
  if (spare != NULL) {
    spool->spares = spare->next;
    give_back_locked(spool);
  }
  pthread_mutex_unlock(&spool->lock);
  return spare;
}

bool au_spares_delete(au_spool_t *spool, au_segment_t *spare) {
  bool has_some = spare != NULL;
  while (spare != NULL) {
    au_segment_t *next = spare->next;
    au_segment_delete_spare(&spool->store, spare);
    give_back(spool);
    spare = next;
  }
  return has_some;
}

bool au_spares_delete_all(au_spool_t *spool) {
  pthread_mutex_lock(&spool->lock);
  au_segment_t *spares = spool->spares;
  spool->spares = NULL;
  pthread_mutex_unlock(&spool->lock);
  return au_spares_delete(spool, spares);
}

void au_spares_fit(au_spool_t *spool) {
  au_usage_t *usage = spool->usage;
  while (atomic_load(&usage->bytes) + atomic_load(&usage->spare_bytes) >
         spool->max_bytes) {
    au_segment_t *spare = au_spares_take(spool);
    if (spare == NULL)
      return;
    au_segment_delete_spare(&spool->store, spare);
  }
}

void au_spares_close(au_spool_t *spool) {
  for (au_segment_t *spare = au_spares_take(spool); spare != NULL;
       spare = au_spares_take(spool))
    au_segment_close(&spool->store, spare);
}
