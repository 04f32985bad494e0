/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * block - see base/block.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap */
#endif

#include "base/block.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Larger ones are mapped. The buffers of a batch of 500 usual events are not:
 * each page of a mapping costs a fault. */
#define MALLOC_MAX ((size_t)128 << 10)

/* A checker of addresses sees a step too far only in malloc's memory; one of
 * threads does not know mremap(), and takes what is mapped where a mapping was
 * moved from for the same memory. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MAPS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MAPS false
#endif
#endif
#ifndef MAPS
#define MAPS true
#endif

static bool is_mapped(size_t size) { return MAPS && size > MALLOC_MAX; }

static void *map(size_t size) {
  void *block = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     /* cppcheck-suppress invalidFunctionArg */
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  /* cppcheck-suppress memleak */
  return block != MAP_FAILED ? block : NULL;
}

static void *remap(void *block, size_t old_size, size_t size) {
  void *moved = mremap(block, old_size, size, MREMAP_MAYMOVE);
  return moved != MAP_FAILED ? moved : NULL;
}

void *au_block_resize(void *block, size_t old_size, size_t size) {
  bool was_mapped = is_mapped(old_size);
  if (is_mapped(size) == was_mapped)
    return was_mapped ? remap(block, old_size, size) : realloc(block, size);
  void *moved = is_mapped(size) ? map(size) : malloc(size);
  if (moved == NULL)
    return NULL;
  if (old_size > 0)
    memcpy(moved, block, old_size < size ? old_size : size);
  au_block_free(block, old_size);
  return moved;
}

void au_block_free(void *block, size_t size) {
  if (is_mapped(size))
    (void)munmap(block, size); /* cannot fail: it is a whole mapping */
  else
    free(block);
}
