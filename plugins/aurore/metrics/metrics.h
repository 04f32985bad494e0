/* SPDX-License-Identifier: MIT
 * Part of metrics/; calls event/, base/.
 *
 * metrics - all that is reported, by the one table in metrics.def: name, kind,
 * component, labels and help. The values dispatched to collectd, types.db, the
 * Prometheus text and the reference page come from it, and tests hold them
 * against it.
 *
 * A metric has a fixed set of series, known at build time: one, or one per
 * value of its label (or per pair of values). Only the label "service" is
 * open; its series come from au_metrics_set_services.
 *
 * Threads: count, observe and set from any thread (relaxed atomics; nothing
 * orders on them). Reading takes no lock and never blocks, but for the list of
 * services, whose lock is held for a copy only.
 */
#ifndef AURORE_METRICS_METRICS_H
#define AURORE_METRICS_METRICS_H

#include "base/side.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The plugins call these; all else in libaurore is hidden. */
#pragma GCC visibility push(default)

typedef enum au_metric_kind {
  AU_COUNTER,
  AU_GAUGE,
  AU_HISTOGRAM
} au_metric_kind_t;

typedef enum au_metric {
#define METRIC(id, ...) AU_M_##id,
#include "metrics/metrics.def"
#undef METRIC
  AU_METRIC_COUNT
} au_metric_t;

typedef enum au_label {
  AU_LABEL_NONE,
  AU_LABEL_REASON,
  AU_LABEL_CLASS,
  AU_LABEL_OPERATION,
  AU_LABEL_ROUTE,
  AU_LABEL_STATUS,
  AU_LABEL_FILE,
  AU_LABEL_SERVICE,
  AU_LABEL_CROWDED,
  AU_LABEL_VERSION
} au_label_t;

typedef enum au_reason {
  AU_REASON_INVALID,
  AU_REASON_TOO_LARGE,
  AU_REASON_RATE_LIMITED,
  AU_REASON_UNAUTHORIZED,
  AU_REASON_UNAVAILABLE,
  AU_REASON_COUNT
} au_reason_t;

/* Why a connection was refused. */
typedef enum au_crowded {
  AU_CROWDED_LIMIT,   /* MaxConnections */
  AU_CROWDED_ADDRESS, /* MaxConnectionsPerAddress */
  AU_CROWDED_COUNT
} au_crowded_t;

typedef enum au_operation {
  AU_OPERATION_STORE,
  AU_OPERATION_QUERY,
  AU_OPERATION_BUSINESS,
  AU_OPERATION_DEAD_LETTER,
  AU_OPERATION_RETENTION,
  AU_OPERATION_MIGRATE,
  AU_OPERATION_COUNT
} au_operation_t;

typedef enum au_route_label {
  AU_ROUTE_EVENTS_POST,
  AU_ROUTE_EVENTS_GET,
  AU_ROUTE_OTLP_LOGS,
  AU_ROUTE_METRICS,
  AU_ROUTE_HEALTH,
  AU_ROUTE_DLQ,
  AU_ROUTE_PAGE,
  AU_ROUTE_OTHER,
  AU_ROUTE_COUNT
} au_route_label_t;

typedef enum au_config_file {
  AU_FILE_CERTIFICATE,
  AU_FILE_KEY,
  AU_FILE_CLIENT_CA,
  AU_FILE_TOKENS,
  AU_FILE_COUNT
} au_config_file_t;

#define AU_BUCKET_COUNT 17 /* 16 bounds and +Inf */

/* When counting began, in microseconds since 1970; the first call of "begin"
 * says so, and sets "info". 0: it has not been called. */
void au_metrics_begin(void);
int64_t au_metrics_begun_us(void);

/* Adds "n" to a counter. The label arguments are values of the enums above, or
 * the index of a status or class (below); 0 where there is no label. */
void au_metrics_count(au_metric_t metric, unsigned label, uint64_t n);
void au_metrics_count_failure(const char *sqlstate); /* NULL: "connection" */
void au_metrics_count_request(au_route_label_t route, unsigned http_status);
void au_metrics_count_query(au_operation_t operation, double duration_ms,
                            double slow_ms); /* duration, total and slow */
/* A connection of ours begins to work, or has ended. */
void au_metrics_use_connection(bool is_used);

/* Sets a counter that is kept elsewhere (business_events_total). */
void au_metrics_set_counter(au_metric_t metric, uint64_t value);
/* A gauge that is not a number has no series. */
void au_metrics_set(au_metric_t metric, double value);
/* For gauges that count things. */
void au_metrics_add(au_metric_t metric, int64_t delta);
void au_metrics_observe(au_metric_t metric, unsigned label, double ms);
/* "n" observations of the same value. */
void au_metrics_observe_many(au_metric_t metric, unsigned label, double ms,
                             uint64_t n);

/* Of a metric with two labels: the sum over the second one. */
uint64_t au_metrics_counter(au_metric_t metric, unsigned label);
double au_metrics_gauge(au_metric_t metric);

/* The largest services, largest first, and at the end "other" when there are
 * more. Copied; equal names become one, with the sum. */
typedef struct au_service_count {
  const char *service; /* UTF-8 */
  uint64_t count;
} au_service_count_t;
void au_metrics_set_services(const au_service_count_t *services, size_t count);

/* Called by read callbacks just before they visit: refreshes the gauges that
 * are sampled (buffer, process, health, rates). Set once by pipeline.c. */
void au_metrics_set_sampler(void (*sampler)(void));
void au_metrics_sample(void);

typedef struct au_metric_info {
  const char *name; /* plain, with _total */
  au_metric_kind_t kind;
  au_side_t side;
  const char *component;
  au_label_t label[2];
  const char *label_name[2]; /* "route", or NULL */
  const char *help;
} au_metric_info_t;

/* The metric's row of the table; static. */
const au_metric_info_t *au_metric_info(au_metric_t metric);

/* "ms", "seconds", "bytes" or "percent", as the end of the name says; else ""
 * (a number of things, or a state). */
const char *au_metric_unit(au_metric_t metric);

/* The upper bounds in ms; the last one is +Inf. */
extern const double au_bucket_bounds_ms[AU_BUCKET_COUNT];
/* The same as labels: "0.1", "0.25", ..., "+Inf". */
extern const char *const au_bucket_labels[AU_BUCKET_COUNT];
/* The bucket that an observation is counted in. */
unsigned au_bucket_of(double ms);

/* One series as it is now. */
typedef struct au_series {
  au_metric_t metric;
  const char *label_value[2];       /* NULL where there is no label; borrowed */
  unsigned label[2];                /* their numbers; 0 for a service */
  double value;                     /* gauge */
  uint64_t counter;                 /* counter */
  uint64_t bucket[AU_BUCKET_COUNT]; /* histogram, cumulative */
  uint64_t count;                   /* == bucket[AU_BUCKET_COUNT - 1] */
  double sum;                       /* ms */
} au_series_t;

typedef void (*au_series_visitor_t)(const au_series_t *series, void *context);

/* Calls "visit" for every series of every metric of the side (or of both), in
 * the order of the table; zeros too. No lock is held during a call. */
void au_metrics_visit(const au_side_t *side_or_null, au_series_visitor_t visit,
                      void *context);

/* Forgets every value (for tests). */
void au_metrics_reset(void);

#pragma GCC visibility pop

#endif
