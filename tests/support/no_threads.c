/* SPDX-License-Identifier: MIT
 *
 * no_threads - the half of short_memory.h that needs --wrap=pthread_create.
 */
#include "support/short_memory.h"

#include <errno.h>
#include <pthread.h>

bool no_threads;

/* The linker's names for --wrap.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*main)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*main)(void *), void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*main)(void *), void *argument) {
  return no_threads ? EAGAIN
                    : __real_pthread_create(thread, attributes, main, argument);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
