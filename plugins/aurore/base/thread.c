/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/thread.h"

#include <signal.h>
#include <time.h>

int au_thread_start(pthread_t *out_thread, const char *name,
                    void *(*main)(void *), void *argument) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(out_thread, NULL, main, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error == 0)
    pthread_setname_np(*out_thread, name);
  return error;
}

int au_thread_condition(pthread_cond_t *condition) {
  pthread_condattr_t attributes;
  int error = pthread_condattr_init(&attributes);
  if (error != 0)
    return error;
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  error = pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
  return error;
}
