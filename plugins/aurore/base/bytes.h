/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * bytes - a growing byte buffer with a sticky failure, so that a caller can
 * chain puts and check once (the idea is that of pgbouncer's pktbuf).
 *
 * A buffer that is charged to an account (base/budget.h) fails, too, when the
 * account may not hold more.
 *
 * Threads: one at a time. Ownership: the buffer owns its memory until fini.
 */
#ifndef AURORE_BASE_BYTES_H
#define AURORE_BASE_BYTES_H

#include "base/budget.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct au_bytes {
  uint8_t *data;   /* NULL until the first put */
  size_t size;     /* bytes in use */
  size_t capacity; /* bytes allocated */
  bool failed;     /* out of memory once; every later put does nothing */
  /* To whom "capacity" is charged; NULL: to nobody. Set while there is no
   * memory, and kept until the buffer is forgotten; borrowed. */
  au_account_t *account;
} au_bytes_t;

/* An empty buffer is all zero; this is the same in one word. */
#define AU_BYTES_INIT                                                          \
  { .data = NULL, .size = 0, .capacity = 0, .failed = false, .account = NULL }

/* Frees the memory and leaves an empty buffer. */
void au_bytes_fini(au_bytes_t *bytes);

/* Gives the memory away, and leaves an empty buffer: whoever takes it frees it
 * as a block of "out_capacity" bytes (base/block.h), and it stays charged. NULL
 * when there was none. */
void *au_bytes_give_away(au_bytes_t *bytes, size_t *out_capacity);

/* Empties the buffer and clears the failure; keeps the memory when it is at
 * most "keep" bytes, else frees it. */
void au_bytes_clear(au_bytes_t *bytes, size_t keep);

/* Makes room for "size" more bytes; false (and failed) when out of memory. */
bool au_bytes_reserve(au_bytes_t *bytes, size_t size);

/* Makes room, counts "size" bytes as used and returns where they start, for
 * the caller to fill; NULL when out of memory. Valid until the next call.
 * In the header, as the puts are: most are of a few bytes, and come by the
 * dozen for each event. */
static inline uint8_t *au_bytes_extend(au_bytes_t *bytes, size_t size) {
  bool fits = !bytes->failed && bytes->data != NULL &&
              size <= bytes->capacity - bytes->size;
  if (__builtin_expect(!fits, 0) && !au_bytes_reserve(bytes, size))
    return NULL;
  uint8_t *start = bytes->data + bytes->size;
  bytes->size += size;
  return start;
}

static inline void au_bytes_put(au_bytes_t *bytes, const void *data,
                                size_t size) {
  if (size == 0) /* "data" may be NULL then, which memcpy does not allow */
    return;
  uint8_t *start = au_bytes_extend(bytes, size);
  if (start != NULL)
    memcpy(start, data, size);
}

static inline void au_bytes_put_string(au_bytes_t *bytes, const char *text) {
  au_bytes_put(bytes, text, strlen(text));
}

static inline void au_bytes_put_u8(au_bytes_t *bytes, uint8_t value) {
  uint8_t *start = au_bytes_extend(bytes, 1);
  if (start != NULL)
    *start = value;
}

void au_bytes_printf(au_bytes_t *bytes, const char *format, ...)
    AU_PRINTF(2, 3);

/* Appends a NUL that is not counted, and returns the text; NULL when the
 * buffer has failed. Borrowed until the next call. */
const char *au_bytes_text(au_bytes_t *bytes);

#endif
