/* SPDX-License-Identifier: MIT
 *
 * header_timeout - see http/header_timeout.h.
 */
#include "http/header_timeout.h"

#include "base/clock.h"
#include "base/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#define PERIOD_MAX_NS AU_NS_PER_S

struct au_watch {
  au_watch_t *next;
  au_watch_t *previous;
  int fd;
  _Atomic int64_t due_ns; /* monotonic; 0: not waited for */
};

struct au_watchdog {
  int64_t timeout_ns; /* immutable */
  pthread_t thread;
  pthread_mutex_t lock; /* protects: the list and "stop"; held over shutdown, so
                           that no descriptor is closed (and given to somebody
                           else) meanwhile */
  pthread_cond_t wake;
  au_watch_t *first;
  bool stop;
};

void au_watch_header_due(const au_watchdog_t *watchdog, au_watch_t *watch) {
  if (watch != NULL)
    atomic_store_explicit(&watch->due_ns,
                          au_clock_monotonic_ns() + 2 * watchdog->timeout_ns,
                          memory_order_relaxed);
}

void au_watch_header_came(au_watch_t *watch) {
  if (watch != NULL)
    atomic_store_explicit(&watch->due_ns, 0, memory_order_relaxed);
}

au_watch_t *au_watchdog_add(au_watchdog_t *watchdog, int fd) {
  au_watch_t *watch = calloc(1, sizeof(*watch));
  if (watch == NULL)
    return NULL;
  watch->fd = fd;
  au_watch_header_due(watchdog, watch);
  pthread_mutex_lock(&watchdog->lock);
  watch->next = watchdog->first;
  if (watch->next != NULL)
    watch->next->previous = watch;
  watchdog->first = watch;
  pthread_mutex_unlock(&watchdog->lock);
  return watch;
}

void au_watchdog_remove(au_watchdog_t *watchdog, au_watch_t *watch) {
  if (watch == NULL)
    return;
  pthread_mutex_lock(&watchdog->lock);
  if (watch->next != NULL)
    watch->next->previous = watch->previous;
  if (watch->previous != NULL)
    watch->previous->next = watch->next;
  else
    watchdog->first = watch->next;
  pthread_mutex_unlock(&watchdog->lock);
  free(watch);
}

static void cut_late(const au_watchdog_t *watchdog, int64_t now_ns) {
  for (au_watch_t *w = watchdog->first; w != NULL; w = w->next) {
    int64_t due_ns = atomic_load_explicit(&w->due_ns, memory_order_relaxed);
    if (due_ns == 0 || now_ns < due_ns)
      continue;
    /* libmicrohttpd sees the end of the connection, and closes it. */
    shutdown(w->fd, SHUT_RDWR);
    au_watch_header_came(w);
  }
}

static void *watchdog_main(void *argument) {
  au_watchdog_t *watchdog = argument;
  int64_t period_ns = watchdog->timeout_ns / 2;
  if (period_ns > PERIOD_MAX_NS)
    period_ns = PERIOD_MAX_NS;
  pthread_mutex_lock(&watchdog->lock);
  while (!watchdog->stop) {
    struct timespec until =
        au_clock_timespec(au_clock_monotonic_ns() + period_ns);
    pthread_cond_timedwait(&watchdog->wake, &watchdog->lock, &until);
    cut_late(watchdog, au_clock_monotonic_ns());
  }
  pthread_mutex_unlock(&watchdog->lock);
  return NULL;
}

au_status_t au_watchdog_start(int64_t timeout_ns,
                              au_watchdog_t **out_watchdog) {
  au_watchdog_t *watchdog = calloc(1, sizeof(*watchdog));
  if (watchdog == NULL || au_thread_condition(&watchdog->wake) != 0) {
    free(watchdog);
    return AU_NOMEM;
  }
  watchdog->timeout_ns = timeout_ns;
  pthread_mutex_init(&watchdog->lock, NULL);
  if (au_thread_start(&watchdog->thread, "au-watchdog", watchdog_main,
                      watchdog) != 0) {
    pthread_cond_destroy(&watchdog->wake);
    pthread_mutex_destroy(&watchdog->lock);
    free(watchdog);
    return AU_NOMEM;
  }
  *out_watchdog = watchdog;
  return AU_OK;
}

void au_watchdog_stop(au_watchdog_t *watchdog) {
  if (watchdog == NULL)
    return;
  pthread_mutex_lock(&watchdog->lock);
  watchdog->stop = true;
  pthread_cond_signal(&watchdog->wake);
  pthread_mutex_unlock(&watchdog->lock);
  pthread_join(watchdog->thread, NULL);
  pthread_cond_destroy(&watchdog->wake);
  pthread_mutex_destroy(&watchdog->lock);
  free(watchdog);
}
