/* SPDX-License-Identifier: MIT */
#include "support/short_memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_long memory_calls;
static atomic_long memory_first; /* the call that fails; 0: none does */
static atomic_long memory_count; /* how many fail from there on */
_Thread_local bool is_test;

static bool lacks_memory(void) {
  long first = atomic_load(&memory_first);
  if (first == 0 || is_test)
    return false;
  long call = atomic_fetch_add(&memory_calls, 1) + 1;
  if (call < first || call - first >= atomic_load(&memory_count))
    return false;
  errno = ENOMEM;
  return true;
}

/* The linker's names for --wrap.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size) {
  return lacks_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
  return lacks_memory() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
  return lacks_memory() ? NULL : __real_realloc(memory, size);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

void fail_memory(long n, long count) {
  atomic_store(&memory_calls, 0);
  atomic_store(&memory_count, count);
  atomic_store(&memory_first, n);
}

bool memory_failed(void) {
  long first = atomic_exchange(&memory_first, 0);
  return first > 0 && atomic_load(&memory_calls) >= first;
}
