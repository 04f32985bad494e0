/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * thread - starting a thread of ours inside somebody else's process: named,
 * joinable, with every signal blocked, so that the host's signals go to the
 * threads it made for them.
 */
#ifndef AURORE_BASE_THREAD_H
#define AURORE_BASE_THREAD_H

#include <pthread.h>

/* "name": at most 15 bytes. Returns 0 or an errno, as pthread_create. */
int au_thread_start(pthread_t *out_thread, const char *name,
                    void *(*main)(void *), void *argument);

/* A condition variable for waits on CLOCK_MONOTONIC. Returns 0 or an errno. */
int au_thread_condition(pthread_cond_t *condition);

#endif
