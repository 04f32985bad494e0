/* SPDX-License-Identifier: MIT
 *
 * short_memory - the n-th allocation of the program fails, in whichever thread;
 * so does the creation of threads.
 *
 * The program is linked with --wrap for malloc, calloc and realloc, so what
 * other libraries allocate for themselves does not count; with --wrap for
 * pthread_create where it uses no_threads; and for au_buffer_append where it
 * uses a fake buffer, which is on the test's side.
 */
#ifndef SUPPORT_SHORT_MEMORY_H
#define SUPPORT_SHORT_MEMORY_H

#include <stdbool.h>

/* What the test's own thread allocates counts only within PRODUCT: check, too,
 * allocates, and gives up when it cannot. */
extern _Thread_local bool is_test;

/* The value of an expression, a call of what is tested. */
#define PRODUCT(expression)                                                    \
  __extension__({                                                              \
    is_test = false;                                                           \
    __typeof__(expression) product_value = (expression);                       \
    is_test = true;                                                            \
    product_value;                                                             \
  })

/* From now on the n-th allocation fails, and those after it, "count" in all. */
void fail_memory(long n, long count);
/* No allocation fails any more. Whether one has. */
bool memory_failed(void);

/* While it is set, no thread can be created. */
extern bool no_threads;

#endif
