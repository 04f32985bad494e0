/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder. */
#include "api/letter_claim.h"

#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects: first,
                                                            and all claims */
static au_letter_claim_t *first;

static bool has_locked(const au_letter_claim_t *claim, const au_uuid_t *id) {
  for (size_t i = 0; i < claim->count; i++)
    if (memcmp(&claim->id[i], id, sizeof(*id)) == 0)
      return true;
  return false;
}

bool au_letter_claim_add(au_letter_claim_t *claim, const au_uuid_t *id) {
  pthread_mutex_lock(&lock);
  const au_letter_claim_t *other = first;
  while (other != NULL && !has_locked(other, id))
    other = other->next;
  bool is_free = other == NULL && claim->count < claim->capacity;
  if (is_free && claim->count == 0) {
    claim->next = first;
    first = claim;
  }
  if (is_free)
    claim->id[claim->count++] = *id;
  pthread_mutex_unlock(&lock);
  return is_free;
}

void au_letter_claim_clear(au_letter_claim_t *claim) {
  pthread_mutex_lock(&lock);
  au_letter_claim_t **at = &first;
  while (*at != NULL && *at != claim)
    at = &(*at)->next;
  if (*at != NULL)
    *at = claim->next;
  claim->count = 0;
  pthread_mutex_unlock(&lock);
}
