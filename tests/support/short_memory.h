/* SPDX-License-Identifier: MIT
 *
 * short_memory - the n-th allocation of the program fails, in whichever thread.
 * The program is linked with --wrap for malloc, calloc and realloc, so what
 * other libraries allocate for themselves does not count.
 */
#ifndef SUPPORT_SHORT_MEMORY_H
#define SUPPORT_SHORT_MEMORY_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* The linker's names for --wrap.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static atomic_long memory_calls;
static atomic_long memory_first; /* the call that fails; 0: none does */
static atomic_long memory_count; /* how many fail from there on */
/* What the test's own thread allocates counts only within PRODUCT: check, too,
 * allocates, and gives up when it cannot. */
static _Thread_local bool is_test;

/* The value of an expression, a call of what is tested. */
#define PRODUCT(expression)                                                    \
  __extension__({                                                              \
    is_test = false;                                                           \
    __typeof__(expression) product_value = (expression);                       \
    is_test = true;                                                            \
    product_value;                                                             \
  })

static inline bool lacks_memory(void) {
  long first = atomic_load(&memory_first);
  if (first == 0 || is_test)
    return false;
  long call = atomic_fetch_add(&memory_calls, 1) + 1;
  if (call < first || call - first >= atomic_load(&memory_count))
    return false;
  errno = ENOMEM;
  return true;
}

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

/* From now on the n-th allocation fails, and those after it, "count" in all. */
static inline void fail_memory(long n, long count) {
  atomic_store(&memory_calls, 0);
  atomic_store(&memory_count, count);
  atomic_store(&memory_first, n);
}

/* No allocation fails any more. Whether one has. */
static inline bool memory_failed(void) {
  long first = atomic_exchange(&memory_first, 0);
  return first > 0 && atomic_load(&memory_calls) >= first;
}

#endif
