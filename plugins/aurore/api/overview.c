/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder. */
#include "api/overview.h"

#include "api/routes.h"
#include "base/clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Days before the end of a certificate that it is spoken of. */
#define CERTIFICATE_DAYS 14
#define DAY_S 86400.0

static void AU_PRINTF(2, 3)
    add_reason(au_overview_t *overview, const char *format, ...) {
  if (overview->reasons == AU_REASONS_MAX)
    return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(overview->reason[overview->reasons++], AU_REASON_SIZE, format,
            arguments);
  va_end(arguments);
}

/* --- lanes ------------------------------------------------------------- */

static const char *state_of(au_lane_t *lane, uint64_t waiting,
                            bool is_database_up, int64_t now_ns) {
  if (au_lane_is_fenced(lane))
    return "fenced";
  if (au_lane_is_blocked(lane, now_ns))
    return "blocked";
  if (au_lane_is_refused(lane))
    return "refused";
  if (waiting == 0)
    return "empty";
  return is_database_up ? "storing" : "waiting";
}

static void take_lane(au_lane_overview_t *out, au_lane_t *lane,
                      bool is_database_up) {
  int64_t now_ns = au_clock_monotonic_ns();
  int64_t stored_ns = au_lane_drained_ns(lane);
  *out = (au_lane_overview_t){
      .lane = au_lane_index(lane),
      .waiting = au_lane_waiting(lane),
      .oldest_age_s = (double)au_lane_oldest_age_ns(lane) / (double)AU_NS_PER_S,
      .since_stored_s =
          stored_ns == 0 ? -1
                         : (double)(now_ns - stored_ns) / (double)AU_NS_PER_S};
  out->state = state_of(lane, out->waiting, is_database_up, now_ns);
  (void)au_lane_last_error(lane, &out->error);
}

static void take_lanes(au_overview_t *overview, au_buffer_t *buffer) {
  overview->lanes = au_buffer_lanes(buffer);
  if (overview->lanes > AU_LANES_MAX)
    overview->lanes = AU_LANES_MAX;
  for (unsigned i = 0; i < overview->lanes; i++)
    take_lane(&overview->lane[i], au_buffer_lane(buffer, i),
              overview->database_up);
}

/* --- reasons ----------------------------------------------------------- */

static void judge_database(au_overview_t *overview) {
  const au_database_error_t *error = &overview->error;
  bool has_code = error->sqlstate[0] != '\0';
  if (!overview->database_up && overview->error_at_us != 0)
    add_reason(overview,
               "The database does not answer: %s%s%s%s. Events wait in the "
               "buffer.",
               error->message, has_code ? " (SQLSTATE " : "", error->sqlstate,
               has_code ? ")" : "");
  else if (!overview->database_up)
    add_reason(overview, "The database does not answer. Events wait in the "
                         "buffer.");
  if (overview->breaker.state != AU_BREAKER_CLOSED)
    add_reason(overview,
               "The circuit breaker is %s: the database is tried "
               "now and then.",
               au_breaker_state_text(overview->breaker.state));
}

static void judge_buffer(au_overview_t *overview, const char *ready_reason) {
  const au_buffer_usage_t *buffer = &overview->buffer;
  if (ready_reason != NULL)
    add_reason(overview, "Events are not accepted: %s.", ready_reason);
  else if (buffer->utilization_percent >= 70)
    add_reason(overview, "The buffer is %.0f %% full.",
               buffer->utilization_percent);
  double dropped = au_metrics_gauge(AU_M_EVENTS_DROP_RATE);
  if (dropped > 0)
    add_reason(overview,
               "%.2f %% of the last minute's events were refused, since the "
               "buffer was full.",
               dropped);
}

static void judge_lanes(au_overview_t *overview) {
  for (unsigned i = 0; i < overview->lanes; i++) {
    const au_lane_overview_t *lane = &overview->lane[i];
    if (lane->state[0] == 'f')
      add_reason(overview,
                 "Lane %u is fenced and takes no events: another process has "
                 "its spool.",
                 lane->lane);
    else if (lane->state[0] == 'b' || lane->state[0] == 'r')
      add_reason(overview, "Lane %u: the database refuses every event: %s",
                 lane->lane, lane->error.message);
  }
}

static void judge_rest(au_overview_t *overview) {
  double letters = au_metrics_gauge(AU_M_DEAD_LETTERS_PENDING);
  if (letters > 0)
    add_reason(overview,
               letters == 1 ? "%.0f dead letter waits to be dealt with."
                            : "%.0f dead letters wait to be dealt with.",
               letters);
  double days = au_metrics_gauge(AU_M_CERTIFICATE_EXPIRY) / DAY_S;
  if (days < CERTIFICATE_DAYS) /* not so without one: NaN */
    add_reason(overview, "The TLS certificate ends in %.0f days.", days);
}

void au_overview_take(au_overview_t *overview, au_request_t *request,
                      const au_probe_t *probe, au_status_t status) {
  au_api_t *api = au_api_of(request);
  *overview = (au_overview_t){.latency_ms = probe->latency_ms};
  overview->health = au_assess_all(request, probe, status);
  overview->database_up = au_assess_database(api, probe, status) != AU_CRITICAL;
  const char *reason = NULL;
  (void)au_assess_ready(request, &overview->ready, &reason);
  au_buffer_usage(api->buffer, &overview->buffer);
  au_breaker_t *breaker = atomic_load(&api->breaker);
  overview->breaker.state = AU_BREAKER_CLOSED;
  if (breaker != NULL) {
    overview->breaker = au_breaker_snapshot(breaker);
    overview->error_at_us = au_breaker_last_error(breaker, &overview->error);
  }
  au_query_pool_t *query = atomic_load(&api->query);
  overview->pool_waiting =
      query != NULL ? au_query_pool_usage(query).waiting : 0;
  take_lanes(overview, api->buffer);
  judge_buffer(overview, reason);
  judge_database(overview);
  judge_lanes(overview);
  judge_rest(overview);
}
