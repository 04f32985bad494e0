/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * array - arrays that grow by doubling.
 *
 * Threads: pure.
 */
#ifndef AURORE_BASE_ARRAY_H
#define AURORE_BASE_ARRAY_H

#include "base/budget.h"

#include <stddef.h>
#include <stdlib.h>

/* Makes room for one more item after the "count" that are there. Returns the
 * array, which may have moved; "*capacity" is in items, and 0 (with NULL) at
 * first. NULL when out of memory: the array is as it was, and still the
 * caller's. */
static inline void *au_array_grow(void *items, size_t *capacity, size_t count,
                                  size_t item_size) {
  if (count < *capacity)
    return items;
  size_t wanted = *capacity == 0 ? 16 : *capacity * 2;
  void *moved = reallocarray(items, wanted, item_size);
  if (moved != NULL)
    *capacity = wanted;
  return moved;
}

/* The same, with the array charged to an account (NULL: to none) and made of a
 * block (base/block.h). */
void *au_array_double_charged(void *items, size_t *capacity, size_t item_size,
                              au_account_t *account);

/* Doubles it only when there is no room for one more than "count". NULL: out of
 * memory, and the array is as it was. */
static inline void *au_array_grow_charged(void *items, size_t *capacity,
                                          size_t count, size_t item_size,
                                          au_account_t *account) {
  return count < *capacity
             ? items
             : au_array_double_charged(items, capacity, item_size, account);
}

/* Frees it, and what it was charged. */
void au_array_free_charged(void *items, size_t capacity, size_t item_size,
                           au_account_t *account);

#endif
