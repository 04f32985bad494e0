/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/array.h"

#include <stdlib.h>

#define FIRST_CAPACITY 16

void *au_array_double(void *items, size_t *capacity, size_t item_size) {
  size_t wanted = *capacity == 0 ? FIRST_CAPACITY : *capacity * 2;
  void *moved = reallocarray(items, wanted, item_size);
  if (moved != NULL)
    *capacity = wanted;
  return moved;
}
