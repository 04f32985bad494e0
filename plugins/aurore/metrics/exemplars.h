/* SPDX-License-Identifier: MIT
 * Part of metrics/; calls event/, base/.
 *
 * exemplars - of each bucket of http_request_duration_ms the last request that
 * bore a trace: from a bucket of slow requests to the trace of one of them.
 * Their number is that of the buckets, whatever clients send.
 *
 * Threads: any. Keeping never waits: one that would is left out.
 */
#ifndef AURORE_METRICS_EXEMPLARS_H
#define AURORE_METRICS_EXEMPLARS_H

#include "event/trace.h"
#include "metrics/metrics.h"

typedef struct au_exemplar {
  char trace_id[AU_TRACE_ID_SIZE + 1]; /* "": there is none */
  double ms;
  int64_t at_us; /* since 1970 */
} au_exemplar_t;

/* A request of the route took that long; "traceparent" is its header (NULL: it
 * had none). One that names no trace, or a trace that its client does not
 * record, is not kept. To be called after the observation, so that no bucket
 * has an exemplar and no observation. */
void au_exemplars_keep(au_route_label_t route, double ms,
                       const char *traceparent);

/* Copies those of a route, one for each bucket. */
void au_exemplars_take(au_route_label_t route,
                       au_exemplar_t out_exemplar[AU_BUCKET_COUNT]);

/* Forgets all (for tests). */
void au_exemplars_reset(void);

#endif
