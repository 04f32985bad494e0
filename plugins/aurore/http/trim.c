/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * trim - gives memory back to the system after a load.
 *
 * What is freed below the size from which the C library maps memory stays in
 * its arenas, with holes that only malloc_trim() gives back. It does so for
 * the whole process, of which we are guests: it changes no setting of the
 * allocator, but holds the lock of one arena after the other for some
 * milliseconds. So it is called once after a peak, when it has been quiet for a
 * while, and by a thread of its own, so that no request waits for it. A peak
 * that was small is left alone.
 */
#include "http/private.h"

#include "base/clock.h"
#include "base/thread.h"

#include <malloc.h>

#define TICK_NS (2 * AU_NS_PER_S)
#define PEAK_BYTES ((uint64_t)4 << 20)
#define PEAK_CONNECTIONS 128
#define QUIET_BYTES ((uint64_t)1 << 20)

/* Called every TICK_NS. */
static void check(au_http_t *http) {
  au_budget_t *all = &http->memory.all;
  uint64_t highest = au_budget_take_highest(all);
  double connections = au_metrics_gauge(AU_M_HTTP_CONNECTIONS);
  bool is_peak = highest >= PEAK_BYTES || connections >= PEAK_CONNECTIONS;
  bool is_quiet = highest < QUIET_BYTES && connections < PEAK_CONNECTIONS;
  if (is_peak)
    http->is_trim_due = true;
  if (!http->is_trim_due || !is_quiet)
    return;
  http->is_trim_due = false;
#ifdef __GLIBC__
  (void)malloc_trim(0);
#endif
}

static void *trim_main(void *argument) {
  au_http_t *http = argument;
  pthread_mutex_lock(&http->lock);
  while (!http->stop) {
    struct timespec until =
        au_clock_timespec(au_clock_monotonic_ns() + TICK_NS);
    pthread_cond_timedwait(&http->retry, &http->lock, &until);
    if (http->stop)
      break;
    pthread_mutex_unlock(&http->lock);
    check(http);
    pthread_mutex_lock(&http->lock);
  }
  pthread_mutex_unlock(&http->lock);
  return NULL;
}

void au_trim_start(au_http_t *http) {
  http->has_trim_thread =
      au_thread_start(&http->trim_thread, "au-memory", trim_main, http) == 0;
}

void au_trim_stop(au_http_t *http) {
  if (http->has_trim_thread)
    pthread_join(http->trim_thread, NULL);
  http->has_trim_thread = false;
}
