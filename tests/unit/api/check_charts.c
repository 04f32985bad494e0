/* SPDX-License-Identifier: MIT
 *
 * check_charts - what is drawn of an hour of snapshots.
 */
#include "api/charts.h"

#include "support/files.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>

/* 2026-01-01T12:00:00Z */
#define NOW_US INT64_C(1767268800000000)

static char directory[64];
static char path[96];
static au_bytes_t html;

static void setup(void) {
  make_directory(directory);
  snprintf(path, sizeof(path), "%s/history", directory);
  html = (au_bytes_t)AU_BYTES_INIT;
}

static void teardown(void) {
  au_bytes_fini(&html);
  remove_directory(directory);
}

/* A snapshot of so many seconds before noon of that day. */
static void add(unsigned seconds_before, const char *rate, const char *fill) {
  FILE *file = fopen(path, "a");
  ck_assert_ptr_nonnull(file);
  unsigned at = 12 * 3600 - seconds_before;
  fprintf(file,
          "{\"timestamp\":\"2026-01-01T%02u:%02u:%02u.000Z\",\"buffer\":{"
          "\"utilization_percent\":\"%s\",\"drop_rate_percent\":\"0.00\","
          "\"throughput_events_per_second\":\"%s\"}}\n",
          at / 3600, at / 60 % 60, at % 60, fill, rate);
  fclose(file);
}

static bool no_figures(au_history_snapshot_t *out, void *context) {
  (void)out;
  (void)context;
  return false;
}

static const char *draw(void) {
  const au_history_config_t config = {.path = path,
                                      .interval_s = 3600,
                                      .max_bytes = 1 << 20,
                                      .snapshot = no_figures};
  au_history_t *history = NULL;
  ck_assert_int_eq(au_history_start(&config, &history), AU_OK);
  au_charts_put(&html, history, NOW_US);
  au_history_destroy(history);
  const char *text = au_bytes_text(&html);
  ck_assert_ptr_nonnull(text);
  return text;
}

static void check_has(const char *text, const char *part) {
  ck_assert_msg(strstr(text, part) != NULL, "there is no %s in:\n%s", part,
                text);
}

static void check_no(const char *text, const char *part) {
  ck_assert_msg(strstr(text, part) == NULL, "there is %s in:\n%s", part, text);
}

/* The path of a class in the chart of an id, up to its end. */
static const char *path_of(const char *text, const char *id,
                           const char *class) {
  static char found[4096];
  char start[64];
  snprintf(start, sizeof(start), "<svg id=\"%s\"", id);
  const char *at = strstr(text, start);
  ck_assert_ptr_nonnull(at);
  snprintf(start, sizeof(start), "<path class=\"%s\" d=\"", class);
  at = strstr(at, start);
  ck_assert_ptr_nonnull(at);
  at += strlen(start);
  size_t size = strcspn(at, "\"");
  ck_assert_uint_lt(size, sizeof(found));
  memcpy(found, at, size);
  found[size] = '\0';
  return found;
}

CASE("charts", setup, teardown);

TEST(nothing_yet) {
  const char *text = draw();
  check_has(text, "no snapshots yet");
  ck_assert_str_eq(path_of(text, "chart-rate", "line"), "");
  ck_assert_str_eq(path_of(text, "chart-rate", "area"), "");
  check_has(text, "<th scope=\"row\">11:50 to 12:00</th><td>none</td>");
}

TEST(no_history_is_an_empty_one) {
  au_charts_put(&html, NULL, NOW_US);
  check_has(au_bytes_text(&html), "no snapshots yet");
}

TEST(line_of_some_minutes) {
  add(150, "0.00", "0.00");
  add(90, "10.00", "50.00");
  add(30, "5.00", "100.00");
  const char *text = draw();
  ck_assert_str_eq(path_of(text, "chart-rate", "line"),
                   "M575 98.0h0L585 4.0L595 51.0");
  ck_assert_str_eq(path_of(text, "chart-rate", "area"),
                   "M575 98L575 98.0L585 4.0L595 51.0V98Z");
  ck_assert_str_eq(path_of(text, "chart-fill", "line"),
                   "M575 98.0h0L585 51.0L595 4.0");
  check_has(text, "highest 10 /s at 11:58, last 5.00 /s");
  check_has(text, "highest 100.00 % at 11:59, last 100.00 %");
  check_has(text, "highest 0.00 %, last 0.00 %");
  check_has(text, "<th scope=\"row\">11:50 to 12:00</th><td>10 /s</td>"
                  "<td>100.00 %</td><td>0.00 %</td>");
  check_has(text, "<th scope=\"row\">11:00 to 11:10</th><td>none</td>");
  check_has(text, "<span>11:00</span><span>11:30</span><span>12:00 UTC</span>");
}

TEST(highest_of_a_minute_is_drawn) {
  add(50, "1.00", "0.00");
  add(40, "8.00", "0.00");
  add(20, "2.00", "0.00");
  const char *text = draw();
  ck_assert_str_eq(path_of(text, "chart-rate", "line"), "M595 4.0h0");
  check_has(text, "highest 8.00 /s at 11:59, last 2.00 /s");
}

TEST(small_values_stay_low) {
  add(30, "0.50", "1.00");
  const char *text = draw();
  ck_assert_str_eq(path_of(text, "chart-rate", "line"), "M595 51.0h0");
  ck_assert_str_eq(path_of(text, "chart-fill", "line"), "M595 97.1h0");
  ck_assert_str_eq(path_of(text, "chart-drop", "line"), "M595 98.0h0");
}

TEST(long_gap_stays_open) {
  add(10 * 60 - 30, "1.00", "0.00");
  add(7 * 60 - 30, "1.00", "0.00"); /* three minutes: one line */
  add(3 * 60 - 30, "1.00", "0.00"); /* four: another one */
  const char *text = draw();
  ck_assert_str_eq(path_of(text, "chart-rate", "line"),
                   "M505 4.0h0L535 4.0M575 4.0h0");
  ck_assert_str_eq(path_of(text, "chart-rate", "area"),
                   "M505 98L505 4.0L535 4.0V98ZM575 98L575 4.0V98Z");
}

TEST(other_times_are_left_out) {
  add(3600, "9.00", "0.00"); /* an hour, to the second */
  add(3599, "3.00", "0.00");
  add(0, "4.00", "0.00");
  const char *text = draw();
  ck_assert_str_eq(path_of(text, "chart-rate", "line"), "M5 27.5h0M595 4.0h0");
  check_no(text, "9.00");
}

int main(void) { return run_tests("charts"); }
