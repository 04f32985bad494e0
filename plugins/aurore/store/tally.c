/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/. */
#include "store/tally.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

void au_tally_fini(au_tally_t *tally) {
  free(tally->entry);
  free(tally->slot);
  *tally = (au_tally_t){.count = 0};
}

void au_tally_clear(au_tally_t *tally) {
  tally->count = 0;
  if (tally->slots > 0)
    memset(tally->slot, 0, tally->slots * sizeof(*tally->slot));
}

/* FNV-1a (Fowler, Noll, Vo; its 64-bit offset and prime): short keys, and
 * nobody gains from collisions within one batch of bounded size. */
static uint64_t hash_of(int64_t minute, au_slice_t service) {
  uint64_t hash = UINT64_C(14695981039346656037) ^ (uint64_t)minute;
  for (size_t i = 0; i < service.size; i++)
    hash = (hash ^ (uint8_t)service.data[i]) * UINT64_C(1099511628211);
  return hash;
}

static size_t find_slot(const au_tally_t *tally, uint64_t hash, int64_t minute,
                        au_slice_t service) {
  size_t at = (size_t)(hash ^ (hash >> 32)) & (tally->slots - 1);
  while (tally->slot[at] != 0) {
    const au_tally_entry_t *e = &tally->entry[tally->slot[at] - 1];
    if (e->hash == hash && e->minute == minute &&
        e->service.size == service.size &&
        memcmp(e->service.data, service.data, service.size) == 0)
      break;
    at = (at + 1) & (tally->slots - 1);
  }
  return at;
}

static bool grow(au_tally_t *tally) {
  size_t capacity = tally->capacity == 0 ? 64 : tally->capacity * 2;
  au_tally_entry_t *entry =
      realloc(tally->entry, capacity * sizeof(*tally->entry));
  if (entry == NULL)
    return false;
  tally->entry = entry;
  size_t slots = capacity * 4;
  uint32_t *slot = calloc(slots, sizeof(*slot));
  if (slot == NULL)
    return false;
  free(tally->slot);
  tally->slot = slot;
  tally->slots = slots;
  tally->capacity = capacity;
  for (size_t i = 0; i < tally->count; i++) {
    const au_tally_entry_t *e = &entry[i];
    slot[find_slot(tally, e->hash, e->minute, e->service)] = (uint32_t)i + 1;
  }
  return true;
}

au_status_t au_tally_add(au_tally_t *tally, int64_t us, au_slice_t service) {
  if (tally->count == tally->capacity && !grow(tally))
    return AU_NOMEM;
  int64_t minute = us / AU_US_PER_MINUTE;
  uint64_t hash = hash_of(minute, service);
  size_t at = find_slot(tally, hash, minute, service);
  if (tally->slot[at] == 0) {
    tally->entry[tally->count] =
        (au_tally_entry_t){.minute = minute, .service = service, .hash = hash};
    tally->slot[at] = (uint32_t)++tally->count;
  }
  tally->entry[tally->slot[at] - 1].count++;
  return AU_OK;
}
