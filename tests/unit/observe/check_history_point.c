/* SPDX-License-Identifier: MIT
 *
 * check_history_point - the figures of a snapshot's line, and lines that are
 * none.
 */
#include "observe/history_point.h"
#include "support/suite.h"

#include <string.h>

#define TIME "\"timestamp\":\"2026-01-01T12:00:00.000Z\""
#define RATE(value) "\"throughput_events_per_second\":" value
#define REST "\"utilization_percent\":\"50.00\",\"drop_rate_percent\":\"0.25\""
#define LINE(rate) "{" TIME ",\"buffer\":{" RATE(rate) "," REST "}}"

CASE("history_point", NULL, NULL);

static const char *const good[] = {
    LINE("\"12.5\""),
    LINE("12.5"),
    LINE("\"1.25e1\""),
    "{" TIME "," RATE("\"12.5\"") "," REST ",\"more\":[1,{\"a\":null}]}",
};

TEST_EACH(figures_are_read, sizeof(good) / sizeof(good[0])) {
  au_history_point_t point;
  ck_assert(au_history_point_read(good[_i], strlen(good[_i]), &point));
  ck_assert_int_eq(point.at_us, INT64_C(1767268800000000));
  ck_assert_double_eq(point.value[AU_HISTORY_RATE], 12.5);
  ck_assert_double_eq(point.value[AU_HISTORY_FILL], 50);
  ck_assert_double_eq(point.value[AU_HISTORY_DROP], 0.25);
}

static const char *const bad[] = {
    "",
    "{}",
    "{" TIME "," REST "}",
    "{" RATE("\"1\"") "," REST "}",
    "{\"timestamp\":\"yesterday\"," RATE("\"1\"") "," REST "}",
    "{\"timestamp\":null," RATE("\"1\"") "," REST "}",
    LINE("\"\""),
    LINE("\"-1\""),
    LINE("\"nan\""),
    LINE("\"inf\""),
    LINE("\"1e16\""),
    LINE("\"1x\""),
    LINE("null"),
    LINE("{}"),
    LINE("\"0000000000000000000000000000000000000001\""),
    "{" TIME "," RATE("\"1\"") "," REST,
    "{" TIME "," RATE("\"1\"") "," REST "]",
};

TEST_EACH(what_is_no_snapshot_has_none, sizeof(bad) / sizeof(bad[0])) {
  au_history_point_t point;
  ck_assert(!au_history_point_read(bad[_i], strlen(bad[_i]), &point));
}

int main(void) { return run_tests("history_point"); }
