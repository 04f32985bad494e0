/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * It grows by doubling, so that a buffer that is reused soon stops allocating.
 */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPACITY_MIN 64

void au_bytes_fini(au_bytes_t *bytes) {
  free(bytes->data);
  *bytes = (au_bytes_t)AU_BYTES_INIT;
}

void au_bytes_clear(au_bytes_t *bytes, size_t keep) {
  if (bytes->capacity > keep) {
    au_bytes_fini(bytes);
    return;
  }
  bytes->size = 0;
  bytes->failed = false;
}

/* The slow path of reserve: there is not enough room. */
static bool grow(au_bytes_t *bytes, size_t size) {
  size_t wanted = 0;
  if (__builtin_add_overflow(bytes->size, size, &wanted) ||
      wanted > PTRDIFF_MAX) {
    bytes->failed = true;
    return false;
  }
  size_t capacity =
      bytes->capacity < CAPACITY_MIN ? CAPACITY_MIN : bytes->capacity;
  while (capacity < wanted)
    capacity = capacity > PTRDIFF_MAX / 2 ? PTRDIFF_MAX : capacity * 2;
  uint8_t *data = realloc(bytes->data, capacity);
  if (data == NULL) {
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
