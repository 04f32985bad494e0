/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * array - see base/array.h.
 */
#include "base/array.h"

#include "base/block.h"

#include <stdlib.h>

#define FIRST_CAPACITY 16

void *au_array_double(void *items, size_t *capacity, size_t item_size) {
  size_t wanted = *capacity == 0 ? FIRST_CAPACITY : *capacity * 2;
  void *moved = reallocarray(items, wanted, item_size);
  if (moved != NULL)
    *capacity = wanted;
  return moved;
}

void *au_array_double_charged(void *items, size_t *capacity, size_t item_size,
                              au_account_t *account) {
  size_t more =
      (*capacity == 0 ? FIRST_CAPACITY : *capacity) * item_size; /* twice it */
  if (account != NULL && !au_account_charge(account, more))
    return NULL;
  size_t before = *capacity * item_size;
  void *moved = au_block_resize(items, before, before + more);
  if (moved != NULL)
    *capacity += more / item_size;
  else if (account != NULL)
    au_account_release(account, more);
  return moved;
}

void au_array_free_charged(void *items, size_t capacity, size_t item_size,
                           au_account_t *account) {
  au_block_free(items, capacity * item_size);
  if (account != NULL && capacity > 0)
    au_account_release(account, capacity * item_size);
}
