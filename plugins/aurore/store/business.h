/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * business - the business metrics: a thread that folds the counters of past
 * minutes and reads the metrics every BusinessInterval, on a connection of its
 * own, and publishes them, to the metrics and to whoever asks.
 *
 * The events themselves are never counted: writers add to aurore.event_count in
 * the transaction that stores them, and schema/007_business.sql says how the
 * counters are folded and read, so that the metrics are count(*) exactly, at a
 * cost that does not grow with the events.
 *
 * It is a task (database/task.h). When the metrics cannot be read, the last
 * ones stay, with their time.
 *
 * Threads: start and stop from one thread; acquire and release from any, at any
 * time. They take a lock for the counting of references only.
 */
#ifndef AURORE_STORE_BUSINESS_H
#define AURORE_STORE_BUSINESS_H

#include "base/status.h"
#include "config/options.h"
#include "database/breaker.h"
#include "database/leader.h"
#include "database/slots.h"
#include "metrics/metrics.h"

/* The number of "top" services. */
#define AU_BUSINESS_TOP 10

typedef struct au_hour_count {
  const char *hour; /* "2026-11-24 04:00", UTC */
  uint64_t count;
} au_hour_count_t;

/* Never changed once it was published. */
typedef struct au_business_metrics {
  int64_t as_of_us; /* when they were asked for, by our clock */
  uint64_t total;   /* events in the database */
  uint64_t last_day;
  uint64_t last_hour;
  uint64_t dead_letters; /* not yet reprocessed */
  /* The BusinessServices largest, the largest first; then "other" when there
   * are more. No name comes twice; the counts add up to the total. */
  const au_service_count_t *service;
  size_t services;
  const au_service_count_t *top; /* at most AU_BUSINESS_TOP */
  size_t tops;
  const au_hour_count_t *hour; /* of the last day, in order; none is empty */
  size_t hours;
  void *holder; /* of business.c */
} au_business_metrics_t;

typedef struct au_business au_business_t;

/* Borrows "options", "breaker", "slots" and "leader" until stop; all but the
 * first may be NULL. A database that is away is no error. AU_NOMEM: not
 * started.
 */
AU_MUST_CHECK au_status_t au_business_start(const au_options_t *options,
                                            au_breaker_t *breaker,
                                            const au_slots_t *slots,
                                            au_leader_t *leader,
                                            au_business_t **out_business);

/* Ends every wait and the thread, frees, forgets the metrics. NULL: nothing. */
void au_business_stop(au_business_t *business);

/* The last metrics that were read, or NULL when there are none yet; given back
 * with release (NULL: nothing). */
const au_business_metrics_t *au_business_acquire(void);
void au_business_release(const au_business_metrics_t *metrics);

/* The events of the last day, a minute. */
double au_business_per_minute(const au_business_metrics_t *metrics);

#endif
