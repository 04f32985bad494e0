/* SPDX-License-Identifier: MIT
 * Part of metrics/; calls event/, base/.
 */
#include "metrics/exemplars.h"

#include "base/clock.h"

#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Protected by the lock, which is held for a copy only. */
static au_exemplar_t exemplar[AU_ROUTE_COUNT][AU_BUCKET_COUNT];

void au_exemplars_keep(au_route_label_t route, double ms,
                       const char *traceparent) {
  au_trace_t trace;
  if ((unsigned)route >= AU_ROUTE_COUNT ||
      !au_trace_read(traceparent, &trace) || !trace.is_sampled)
    return;
  au_exemplar_t kept = {.ms = ms, .at_us = au_clock_wall_us()};
  memcpy(kept.trace_id, trace.trace_id, sizeof(kept.trace_id));
  if (pthread_mutex_trylock(&lock) != 0)
    return;
  exemplar[route][au_bucket_of(ms)] = kept;
  pthread_mutex_unlock(&lock);
}

void au_exemplars_take(au_route_label_t route,
                       au_exemplar_t out_exemplar[AU_BUCKET_COUNT]) {
  pthread_mutex_lock(&lock);
  memcpy(out_exemplar, exemplar[route], sizeof(exemplar[route]));
  pthread_mutex_unlock(&lock);
}

void au_exemplars_reset(void) {
  pthread_mutex_lock(&lock);
  memset(exemplar, 0, sizeof(exemplar));
  pthread_mutex_unlock(&lock);
}
