/* SPDX-License-Identifier: MIT
 *
 * top_state - what the API says at a moment, and what has changed within the
 * last minute, as "top" shows it.
 */
#ifndef AURORECTL_TOP_STATE_H
#define AURORECTL_TOP_STATE_H

#include "tools/client.h"
#include "tools/samples.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTL_TEXT_SIZE 256
#define CTL_WINDOW_S 60
/* Moments that are kept, at least a second apart. */
#define CTL_MOMENTS_MAX (CTL_WINDOW_S + 2)

typedef enum ctl_rate {
  CTL_RATE_ACCEPTED,
  CTL_RATE_FULL, /* refused, since the buffer was full */
  CTL_RATE_REJECTED,
  CTL_RATE_STORED,
  CTL_RATE_DUPLICATES,
  CTL_RATE_DEAD,
  CTL_RATE_FAILURES, /* batches that failed */
  CTL_RATES
} ctl_rate_t;

/* Counters and histograms, as they were. */
typedef struct ctl_moment {
  int64_t at_ns;
  double total[CTL_RATES];
  ctl_histogram_t sync;
  ctl_histogram_t commit;
} ctl_moment_t;

typedef struct ctl_top {
  const char *url; /* borrowed */
  bool is_known;   /* there was an answer once */
  /* "": the last question was answered. */
  char trouble[CTL_TEXT_SIZE];
  bool is_refused;     /* the server does not want to talk to us */
  int64_t answered_ns; /* monotonic */

  char status[16];
  char reason[CTL_TEXT_SIZE]; /* why no events are taken; "" */
  char version[32];
  char collectd[32];
  double uptime_s;
  char database[16];
  char error[CTL_TEXT_SIZE]; /* of the database, the last; "" */
  char error_at[40];
  double latency_ms; /* NAN: not known */
  char breaker[16];
  double breaker_failures;
  double pool_active;
  double pool_idle;
  double pool_waiting;
  double memory_bytes;

  double buffer_size;
  double buffer_capacity;
  double buffer_percent;
  double buffer_bytes;
  double oldest_s;
  double fenced;
  double blocked;
  double dead_waiting;
  double overdue_days;
  double lost;

  ctl_moment_t now;
  ctl_moment_t past[CTL_MOMENTS_MAX]; /* a ring */
  size_t past_count;
  size_t past_next;
} ctl_top_t;

/* Nothing is known yet. "url", which is only shown, is borrowed. */
void ctl_top_init(ctl_top_t *top, const char *url);

/* Asks the server. false: no answer, and "trouble" says why; what was known
 * stays. */
bool ctl_top_ask(ctl_top_t *top, ctl_client_t *client);

/* The oldest moment within the last minute; NULL: there is only one. */
const ctl_moment_t *ctl_top_before(const ctl_top_t *top);
/* Seconds since then; 0: there was none. */
double ctl_top_window_s(const ctl_top_t *top);
/* A second, since then; NAN: not known yet. */
double ctl_top_rate(const ctl_top_t *top, ctl_rate_t rate);

#endif
