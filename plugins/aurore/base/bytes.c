/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * It grows by doubling, a large one by a quarter, so that a buffer that is
 * reused soon stops allocating.
 */
#include "base/bytes.h"

#include "base/block.h"

#include <stdarg.h>
#include <stdio.h>

#define CAPACITY_MIN 64
/* From here on a buffer grows by a quarter: doubling one of 36 MiB would charge
 * for 28 MiB that it does not need. */
#define DOUBLES_UP_TO ((size_t)1 << 20)

void au_bytes_fini(au_bytes_t *bytes) {
  au_block_free(bytes->data, bytes->capacity);
  if (bytes->account != NULL && bytes->capacity > 0)
    au_account_release(bytes->account, bytes->capacity);
  *bytes = (au_bytes_t){.account = bytes->account};
}

void *au_bytes_give_away(au_bytes_t *bytes, size_t *out_capacity) {
  void *data = bytes->data;
  *out_capacity = bytes->capacity;
  *bytes = (au_bytes_t){.account = bytes->account};
  return data;
}

void au_bytes_clear(au_bytes_t *bytes, size_t keep) {
  if (bytes->capacity > keep) {
    au_bytes_fini(bytes);
    return;
  }
  bytes->size = 0;
  bytes->failed = false;
}

static size_t larger(size_t capacity) {
  if (capacity < DOUBLES_UP_TO)
    return capacity * 2;
  return capacity > PTRDIFF_MAX / 2 ? PTRDIFF_MAX : capacity + capacity / 4;
}

/* What is more than really needed is charged as far as there is room for it: if
 * only what is needed were, each further byte would move all of them. */
static bool charge(const au_bytes_t *bytes, size_t wanted, size_t *capacity) {
  if (bytes->account == NULL)
    return true;
  size_t more = *capacity - wanted;
  while (!au_account_charge(bytes->account, wanted + more - bytes->capacity)) {
    if (more == 0)
      return false;
    more /= 2;
  }
  *capacity = wanted + more;
  return true;
}

/* The slow path of reserve: there is not enough room. */
static bool grow(au_bytes_t *bytes, size_t size) {
  size_t wanted = 0;
  bool fits = !__builtin_add_overflow(bytes->size, size, &wanted) &&
              wanted <= PTRDIFF_MAX;
  size_t capacity =
      bytes->capacity < CAPACITY_MIN ? CAPACITY_MIN : bytes->capacity;
  while (fits && capacity < wanted)
    capacity = larger(capacity);
  if (!fits || !charge(bytes, wanted, &capacity)) {
    bytes->failed = true;
    return false;
  }
  uint8_t *data = au_block_resize(bytes->data, bytes->capacity, capacity);
  if (data == NULL) {
    if (bytes->account != NULL)
      au_account_release(bytes->account, capacity - bytes->capacity);
    bytes->failed = true;
    return false;
  }
  bytes->data = data;
  bytes->capacity = capacity;
  return true;
}

bool au_bytes_reserve(au_bytes_t *bytes, size_t size) {
  bool fits = bytes->data != NULL && size <= bytes->capacity - bytes->size;
  return !bytes->failed && (fits || grow(bytes, size));
}

void au_bytes_printf(au_bytes_t *bytes, const char *format, ...) {
  if (!au_bytes_reserve(bytes, CAPACITY_MIN))
    return;
  size_t room = bytes->capacity - bytes->size;
  va_list arguments;
  va_start(arguments, format);
  int length =
      vsnprintf((char *)bytes->data + bytes->size, room, format, arguments);
  va_end(arguments);
  if (length < 0) {
    bytes->failed = true;
    return;
  }
  if ((size_t)length >= room) {
    /* One more for the NUL that vsnprintf writes and nobody counts. */
    if (!au_bytes_reserve(bytes, (size_t)length + 1))
      return;
    va_start(arguments, format);
    (void)vsnprintf((char *)bytes->data + bytes->size, (size_t)length + 1,
                    format, arguments);
    va_end(arguments);
  }
  bytes->size += (size_t)length;
}

const char *au_bytes_text(au_bytes_t *bytes) {
  if (!au_bytes_reserve(bytes, 1))
    return NULL;
  bytes->data[bytes->size] = '\0';
  return (const char *)bytes->data;
}
