/* SPDX-License-Identifier: MIT */
#include "tools/top_state.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "tools/tree.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const counters[CTL_RATES] = {
    [CTL_RATE_ACCEPTED] = "events_enqueued_total",
    [CTL_RATE_FULL] = "events_dropped_total",
    [CTL_RATE_REJECTED] = "events_rejected_total",
    [CTL_RATE_STORED] = "events_processed_total",
    [CTL_RATE_DUPLICATES] = "events_duplicate_total",
    [CTL_RATE_DEAD] = "dead_letters_total",
    [CTL_RATE_FAILURES] = "batch_failures_total"};

void ctl_top_init(ctl_top_t *top, const char *url) {
  *top = (ctl_top_t){.url = url, .latency_ms = nan("")};
}

static void copy_text(char *to, size_t size, const char *text) {
  snprintf(to, size, "%s", text != NULL ? text : "");
  to[au_utf8_whole(to, strlen(to))] = '\0';
}

/* --- /health/detailed ------------------------------------------------------
 */

static void take_health(ctl_top_t *top, ctl_tree_t *health) {
  ctl_tree_t *server = ctl_tree_member(health, "server");
  ctl_tree_t *database = ctl_tree_member(health, "database");
  ctl_tree_t *error = ctl_tree_member(database, "lastError");
  ctl_tree_t *pool = ctl_tree_member(database, "connectionPool");
  ctl_tree_t *breaker = ctl_tree_member(health, "circuitBreaker");
  ctl_tree_t *environment = ctl_tree_member(health, "environment");
  copy_text(top->status, sizeof(top->status), ctl_tree_text(health, "status"));
  copy_text(top->reason, sizeof(top->reason), ctl_tree_text(server, "reason"));
  copy_text(top->version, sizeof(top->version),
            ctl_tree_text(environment, "pluginVersion"));
  copy_text(top->collectd, sizeof(top->collectd),
            ctl_tree_text(environment, "collectdVersion"));
  copy_text(top->database, sizeof(top->database),
            ctl_tree_text(database, "database"));
  copy_text(top->error, sizeof(top->error), ctl_tree_text(error, "message"));
  copy_text(top->error_at, sizeof(top->error_at), ctl_tree_text(error, "at"));
  copy_text(top->breaker, sizeof(top->breaker),
            ctl_tree_text(breaker, "state"));
  top->uptime_s = ctl_tree_double(health, "uptime");
  top->latency_ms = ctl_tree_double(database, "queryLatencyMs");
  top->breaker_failures = ctl_tree_double(breaker, "failureCount");
  top->pool_active = ctl_tree_double(pool, "active");
  top->pool_idle = ctl_tree_double(pool, "idle");
  top->pool_waiting = ctl_tree_double(pool, "waiting");
  top->memory_bytes = ctl_tree_double(ctl_tree_member(health, "memory"), "rss");
}

/* --- /metrics/prometheus ---------------------------------------------------
 */

static void keep_moment(ctl_top_t *top) {
  const ctl_moment_t *newest =
      &top->past[(top->past_next + CTL_MOMENTS_MAX - 1) % CTL_MOMENTS_MAX];
  /* A server that has started anew counts from 0. */
  if (top->past_count > 0 &&
      top->now.total[CTL_RATE_ACCEPTED] < newest->total[CTL_RATE_ACCEPTED])
    top->past_count = 0;
  if (top->past_count > 0 && top->now.at_ns - newest->at_ns < AU_NS_PER_S)
    return;
  top->past[top->past_next] = top->now;
  top->past_next = (top->past_next + 1) % CTL_MOMENTS_MAX;
  if (top->past_count < CTL_MOMENTS_MAX)
    top->past_count++;
}

static double known(double value) { return isnan(value) ? 0 : value; }

static void take_metrics(ctl_top_t *top, const char *text) {
  static const struct {
    const char *name;
    size_t offset;
  } gauges[] = {
      {"buffer_size", offsetof(ctl_top_t, buffer_size)},
      {"buffer_capacity", offsetof(ctl_top_t, buffer_capacity)},
      {"buffer_utilization_percent", offsetof(ctl_top_t, buffer_percent)},
      {"buffer_bytes", offsetof(ctl_top_t, buffer_bytes)},
      {"buffer_oldest_age_seconds", offsetof(ctl_top_t, oldest_s)},
      {"lanes_fenced", offsetof(ctl_top_t, fenced)},
      {"lanes_blocked", offsetof(ctl_top_t, blocked)},
      {"dead_letters_pending", offsetof(ctl_top_t, dead_waiting)},
      {"retention_overdue_days", offsetof(ctl_top_t, overdue_days)},
      {"events_lost_total", offsetof(ctl_top_t, lost)}};
  for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
    double value = known(ctl_samples_sum(text, gauges[i].name));
    memcpy((char *)top + gauges[i].offset, &value, sizeof(value));
  }
  top->now.at_ns = au_clock_monotonic_ns();
  for (size_t i = 0; i < CTL_RATES; i++)
    top->now.total[i] = known(ctl_samples_sum(text, counters[i]));
  ctl_samples_histogram(text, "spool_sync_time_ms", &top->now.sync);
  ctl_samples_histogram(text, "event_commit_latency_ms", &top->now.commit);
  keep_moment(top);
}

/* --- asking ----------------------------------------------------------------
 */

static bool fail(ctl_top_t *top, ctl_answer_t *answer) {
  copy_text(top->trouble, sizeof(top->trouble), ctl_answer_text(answer));
  top->is_refused = answer->status != 0 && !ctl_answer_is_temporary(answer);
  return false;
}

static bool ask_both(ctl_top_t *top, ctl_client_t *client,
                     ctl_answer_t *answer) {
  ctl_client_ask(client, "GET", "/health/detailed", NULL, NULL, 0, answer);
  ctl_tree_t *health = ctl_tree_parse(&answer->body);
  bool is_health = ctl_tree_text(health, "status") != NULL &&
                   ctl_tree_member(health, "circuitBreaker") != NULL;
  if (is_health)
    take_health(top, health);
  ctl_tree_free(health);
  if (!is_health)
    return fail(top, answer);
  ctl_client_ask(client, "GET", "/metrics/prometheus", NULL, NULL, 0, answer);
  const char *text =
      answer->status == 200 ? au_bytes_text(&answer->body) : NULL;
  if (text == NULL)
    return fail(top, answer);
  take_metrics(top, text);
  return true;
}

bool ctl_top_ask(ctl_top_t *top, ctl_client_t *client) {
  ctl_answer_t answer = {.status = 0};
  bool is_answered = ask_both(top, client, &answer);
  ctl_answer_fini(&answer);
  if (!is_answered)
    return false;
  top->trouble[0] = '\0';
  top->is_refused = false;
  top->is_known = true;
  top->answered_ns = au_clock_monotonic_ns();
  return true;
}

/* --- the last minute -------------------------------------------------------
 */

const ctl_moment_t *ctl_top_before(const ctl_top_t *top) {
  const ctl_moment_t *oldest = NULL;
  for (size_t i = 0; i < top->past_count; i++) {
    const ctl_moment_t *one =
        &top->past[(top->past_next + CTL_MOMENTS_MAX - 1 - i) %
                   CTL_MOMENTS_MAX];
    if (top->now.at_ns - one->at_ns > CTL_WINDOW_S * AU_NS_PER_S)
      break;
    if (one->at_ns < top->now.at_ns)
      oldest = one;
  }
  return oldest;
}

double ctl_top_window_s(const ctl_top_t *top) {
  const ctl_moment_t *before = ctl_top_before(top);
  return before != NULL
             ? (double)(top->now.at_ns - before->at_ns) / (double)AU_NS_PER_S
             : 0;
}

double ctl_top_rate(const ctl_top_t *top, ctl_rate_t rate) {
  const ctl_moment_t *before = ctl_top_before(top);
  if (before == NULL)
    return nan("");
  double more = top->now.total[rate] - before->total[rate];
  return (more > 0 ? more : 0) / ctl_top_window_s(top);
}
