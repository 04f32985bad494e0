/* SPDX-License-Identifier: MIT */
#include "tools/top_view.h"

#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NUMBER_SIZE 40
#define BAR_MAX 60
/* With fewer columns there is no bar, and rates are one below the other. */
#define NARROW 64

/* --- numbers for people ----------------------------------------------------
 */

static const char *decimal(double value, int digits, char text[NUMBER_SIZE]) {
  if (isnan(value))
    snprintf(text, NUMBER_SIZE, "-");
  else
    snprintf(text, NUMBER_SIZE, "%.*f", digits, value);
  return text;
}

/* A rate: two digits matter while it is small. */
static const char *rate_text(double value, char text[NUMBER_SIZE]) {
  return decimal(value, value < 10 ? 1 : 0, text);
}

static const char *size_text(double bytes, char text[NUMBER_SIZE]) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
    bytes /= 1024;
  snprintf(text, NUMBER_SIZE, "%.*f %s", unit > 0 && bytes < 100 ? 1 : 0, bytes,
           units[unit]);
  return text;
}

static const char *span_text(double seconds, char text[NUMBER_SIZE]) {
  if (isnan(seconds))
    snprintf(text, NUMBER_SIZE, "-");
  else if (seconds < 120)
    snprintf(text, NUMBER_SIZE, "%.1f s", seconds);
  else if (seconds < 7200)
    snprintf(text, NUMBER_SIZE, "%.0f min", seconds / 60);
  else if (seconds < 172800)
    snprintf(text, NUMBER_SIZE, "%.1f h", seconds / 3600);
  else
    snprintf(text, NUMBER_SIZE, "%.1f days", seconds / 86400);
  return text;
}

/* --- its parts -------------------------------------------------------------
 */

static void add_head(const ctl_top_t *top, ctl_lines_t *lines) {
  char span[NUMBER_SIZE];
  char day[32] = "";
  time_t now = (time_t)(au_clock_wall_us() / AU_US_PER_S);
  struct tm parts;
  if (gmtime_r(&now, &parts) != NULL)
    (void)strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S UTC", &parts);
  if (top->is_known)
    ctl_lines_add(lines, CTL_PLAIN, "aurore %s, collectd %s, up %s  %s  %s",
                  top->version, top->collectd, span_text(top->uptime_s, span),
                  top->url, day);
  else
    ctl_lines_add(lines, CTL_PLAIN, "aurore  %s  %s", top->url, day);
}

static ctl_color_t color_of(const char *status) {
  if (strcmp(status, "healthy") == 0)
    return CTL_GREEN;
  return strcmp(status, "critical") == 0 ? CTL_RED : CTL_YELLOW;
}

static void add_count(ctl_lines_t *lines, ctl_color_t color, double value,
                      const char *one, const char *many) {
  if (value > 0)
    ctl_lines_add(lines, color, "          %.0f %s", value,
                  value == 1 ? one : many);
}

static void add_reasons(const ctl_top_t *top, ctl_lines_t *lines) {
  bool is_away = strcmp(top->database, "connected") != 0;
  if (top->reason[0] != '\0')
    ctl_lines_add(lines, CTL_RED, "          no events are taken: %s",
                  top->reason);
  if (is_away)
    ctl_lines_add(lines, CTL_RED,
                  "          the database is away, events wait%s%s",
                  top->error[0] != '\0' ? ": " : "", top->error);
  add_count(lines, CTL_RED, top->fenced,
            "lane is fenced: another copy of the "
            "spool has stored",
            "lanes are fenced: another copy of the spool has stored");
  add_count(lines, CTL_RED, top->blocked,
            "lane is blocked: the database refuses every event",
            "lanes are blocked: the database refuses every event");
  if (top->blocked > 0 && top->error[0] != '\0')
    ctl_lines_add(lines, CTL_RED, "          %s", top->error);
  if (top->buffer_percent >= 70)
    ctl_lines_add(lines, top->buffer_percent >= 90 ? CTL_RED : CTL_YELLOW,
                  "          the buffer is %.0f %% full", top->buffer_percent);
  if (ctl_top_rate(top, CTL_RATE_FULL) > 0)
    ctl_lines_add(lines, CTL_RED,
                  "          events are refused, since the buffer is full");
  add_count(lines, CTL_RED, top->lost, "event is lost: the database fell back",
            "events are lost: the database fell back");
  add_count(lines, CTL_YELLOW, top->overdue_days,
            "day could not be dropped yet", "days could not be dropped yet");
}

static void add_status(const ctl_top_t *top, ctl_lines_t *lines) {
  char span[NUMBER_SIZE];
  if (top->trouble[0] != '\0') {
    ctl_lines_add(lines, CTL_RED, "status    no answer, asking again: %s",
                  top->trouble);
    if (top->is_known)
      ctl_lines_add(
          lines, CTL_FAINT, "          what follows is %s old",
          span_text((double)(au_clock_monotonic_ns() - top->answered_ns) /
                        (double)AU_NS_PER_S,
                    span));
    return;
  }
  ctl_lines_add(lines, color_of(top->status), "status    %s", top->status);
  add_reasons(top, lines);
}

static void add_rates(const ctl_top_t *top, unsigned width,
                      ctl_lines_t *lines) {
  static const struct {
    const char *name;
    bool is_bad;
  } names[CTL_RATES] = {[CTL_RATE_ACCEPTED] = {"accepted", false},
                        [CTL_RATE_FULL] = {"refused, buffer full", true},
                        [CTL_RATE_REJECTED] = {"refused, other", true},
                        [CTL_RATE_STORED] = {"stored", false},
                        [CTL_RATE_DUPLICATES] = {"duplicates", false},
                        [CTL_RATE_DEAD] = {"dead letters", true},
                        [CTL_RATE_FAILURES] = {"failed batches", true}};
  char rate[NUMBER_SIZE];
  double window_s = ctl_top_window_s(top);
  if (window_s > 0)
    ctl_lines_add(lines, CTL_PLAIN,
                  width < NARROW ? "a second, over %.0f s:"
                                 : "a second, over the last %.0f s, and since "
                                   "its start:",
                  window_s);
  else
    ctl_lines_add(lines, CTL_PLAIN, "a second, and since its start:");
  for (size_t i = 0; i < CTL_RATES; i++) {
    double value = ctl_top_rate(top, (ctl_rate_t)i);
    ctl_lines_add(lines, names[i].is_bad && value > 0 ? CTL_YELLOW : CTL_PLAIN,
                  "  %-20s %10s %14.0f", names[i].name, rate_text(value, rate),
                  top->now.total[i]);
  }
}

static void add_buffer(const ctl_top_t *top, unsigned width,
                       ctl_lines_t *lines) {
  char bar[BAR_MAX + 4] = "";
  char bytes[NUMBER_SIZE];
  char span[NUMBER_SIZE];
  double percent = fmin(fmax(top->buffer_percent, 0), 100);
  ctl_color_t color = percent >= 90   ? CTL_RED
                      : percent >= 70 ? CTL_YELLOW
                                      : CTL_PLAIN;
  if (width >= NARROW) {
    size_t size = width - 20 < BAR_MAX ? width - 20 : BAR_MAX;
    size_t full = (size_t)(percent / 100 * (double)size + 0.5);
    bar[0] = '[';
    memset(bar + 1, '#', full);
    memset(bar + 1 + full, '.', size - full);
    bar[size + 1] = ']';
    bar[size + 2] = ' ';
    bar[size + 3] = '\0';
  }
  ctl_lines_add(lines, color, "buffer    %s%.1f %%", bar, top->buffer_percent);
  ctl_lines_add(
      lines, CTL_PLAIN, "          %.0f of %.0f events, %s, oldest %s",
      top->buffer_size, top->buffer_capacity,
      size_text(top->buffer_bytes, bytes), span_text(top->oldest_s, span));
}

static void add_quantiles(ctl_lines_t *lines, const char *name,
                          const ctl_histogram_t *now,
                          const ctl_histogram_t *before) {
  char p50[NUMBER_SIZE];
  char p99[NUMBER_SIZE];
  ctl_lines_add(lines, CTL_PLAIN, "%-9s p50 %s ms, p99 %s ms, of %.0f", name,
                decimal(ctl_histogram_quantile(now, before, 0.5), 2, p50),
                decimal(ctl_histogram_quantile(now, before, 0.99), 2, p99),
                ctl_histogram_observed(now, before));
}

static void add_database(const ctl_top_t *top, ctl_lines_t *lines) {
  static const ctl_histogram_t none = {.count = 0};
  char latency[NUMBER_SIZE];
  const ctl_moment_t *before = ctl_top_before(top);
  bool is_closed = strcmp(top->breaker, "CLOSED") == 0;
  bool is_away = strcmp(top->database, "connected") != 0;
  ctl_lines_add(lines, is_away ? CTL_RED : CTL_PLAIN,
                "database  %s, answers in %s ms; connections: %.0f active, "
                "%.0f idle, %.0f waited for",
                top->database, decimal(top->latency_ms, 0, latency),
                top->pool_active, top->pool_idle, top->pool_waiting);
  if (top->error[0] != '\0')
    ctl_lines_add(lines, CTL_FAINT, "          last error %s: %s",
                  top->error_at, top->error);
  ctl_lines_add(lines, is_closed ? CTL_PLAIN : CTL_RED,
                "breaker   %s, %.0f failures", top->breaker,
                top->breaker_failures);
  ctl_lines_add(lines, top->fenced + top->blocked > 0 ? CTL_RED : CTL_PLAIN,
                "lanes     %.0f fenced, %.0f blocked", top->fenced,
                top->blocked);
  ctl_lines_add(lines, top->dead_waiting > 0 ? CTL_YELLOW : CTL_PLAIN,
                "letters   %.0f dead letters wait", top->dead_waiting);
  add_quantiles(lines, "sync", &top->now.sync,
                before != NULL ? &before->sync : &none);
  add_quantiles(lines, "commit", &top->now.commit,
                before != NULL ? &before->commit : &none);
}

void ctl_top_view(const ctl_top_t *top, unsigned width, ctl_lines_t *lines) {
  char bytes[NUMBER_SIZE];
  ctl_lines_clear(lines);
  add_head(top, lines);
  add_status(top, lines);
  if (!top->is_known)
    return;
  ctl_lines_add(lines, CTL_PLAIN, "%s", "");
  add_rates(top, width, lines);
  ctl_lines_add(lines, CTL_PLAIN, "%s", "");
  add_buffer(top, width, lines);
  add_database(top, lines);
  ctl_lines_add(lines, CTL_PLAIN, "memory    %s",
                size_text(top->memory_bytes, bytes));
}
