/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * array - the part of base/array.h that is charged.
 */
#include "base/array.h"

#include "base/block.h"

void *au_array_double_charged(void *items, size_t *capacity, size_t item_size,
                              au_account_t *account) {
  size_t more = *capacity == 0 ? 16 : *capacity; /* items */
  size_t before_bytes = *capacity * item_size;
  size_t more_bytes = more * item_size;
  if (account != NULL && !au_account_charge(account, more_bytes))
    return NULL;
  void *moved = au_block_resize(items, before_bytes, before_bytes + more_bytes);
  if (moved != NULL)
    *capacity += more;
  else if (account != NULL)
    au_account_release(account, more_bytes);
  return moved;
}

void au_array_free_charged(void *items, size_t capacity, size_t item_size,
                           au_account_t *account) {
  au_block_free(items, capacity * item_size);
  if (account != NULL && capacity > 0)
    au_account_release(account, capacity * item_size);
}
