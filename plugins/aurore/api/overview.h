/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * overview - how it stands, for GET /: the verdict and what speaks against it,
 * and what is known of each lane.
 *
 * Threads: from the hooks of a route.
 */
#ifndef AURORE_API_OVERVIEW_H
#define AURORE_API_OVERVIEW_H

#include "api/health.h"
#include "database/breaker.h"
#include "observe/health.h"
#include "spool/buffer.h"

/* Sentences about what is wrong; more are left out. */
#define AU_REASONS_MAX 12
#define AU_REASON_SIZE 400

typedef struct au_lane_overview {
  unsigned lane;
  const char *state; /* "fenced", "blocked", "refused", "storing", "waiting",
                        "empty" */
  uint64_t waiting;
  double oldest_age_s;
  double since_stored_s; /* -1: never */
  au_lane_error_t error; /* at_us 0: none */
} au_lane_overview_t;

typedef struct au_overview {
  au_health_t health;
  const char *ready; /* as /ready says */
  bool database_up;
  double latency_ms;
  au_breaker_snapshot_t breaker;
  au_database_error_t error; /* what the writers last failed with ... */
  int64_t error_at_us;       /* ... and when; 0: nothing */
  au_buffer_usage_t buffer;
  unsigned pool_waiting;
  unsigned lanes;
  au_lane_overview_t lane[AU_LANES_MAX];
  unsigned reasons;
  char reason[AU_REASONS_MAX][AU_REASON_SIZE];
} au_overview_t;

/* "probe" has asked the database, and that ended with "status". */
void au_overview_take(au_overview_t *overview, au_request_t *request,
                      const au_probe_t *probe, au_status_t status);

#endif
