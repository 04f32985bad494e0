/* SPDX-License-Identifier: MIT
 *
 * The text for Prometheus: what each format asks for, and promtool's opinion.
 */
#include "metrics/exposition.h"

#include "aurore_config.h"

#include "metrics/exemplars.h"
#include "metrics/metrics.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static au_bytes_t text;

static void setup(void) {
  au_metrics_reset();
  au_exemplars_reset();
  text = (au_bytes_t)AU_BYTES_INIT;
}

static void teardown(void) { au_bytes_fini(&text); }

static const char *expose(au_exposition_t format) {
  au_bytes_clear(&text, SIZE_MAX);
  au_exposition_put(&text, format);
  ck_assert(!text.failed);
  const char *all = au_bytes_text(&text);
  ck_assert_ptr_nonnull(all);
  return all;
}

/* The text must have this line; the newlines keep it from being a part. */
static void check_line(const char *all, const char *line) {
  char whole[512];
  snprintf(whole, sizeof(whole), "\n%s\n", line);
  ck_assert_msg(strstr(all, whole) != NULL, "there is no line: %s", line);
}

static void check_no(const char *all, const char *part) {
  ck_assert_msg(strstr(all, part) == NULL, "there is: %s", part);
}

CASE("exposition", setup, teardown);

TEST(content_types_are_those_of_the_formats) {
  ck_assert_str_eq(au_exposition_content_type(AU_EXPOSITION_TEXT),
                   "text/plain; version=0.0.4; charset=utf-8");
  ck_assert_str_eq(
      au_exposition_content_type(AU_EXPOSITION_OPENMETRICS),
      "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

static const struct {
  const char *accept;
  au_exposition_t format;
} choices[] = {
    {NULL, AU_EXPOSITION_TEXT},
    {"", AU_EXPOSITION_TEXT},
    {",;,", AU_EXPOSITION_TEXT},
    {"*/*", AU_EXPOSITION_TEXT},
    {"application/*", AU_EXPOSITION_TEXT},
    {"application/json", AU_EXPOSITION_TEXT},
    {"text/html, text/plain;q=0.1", AU_EXPOSITION_TEXT},
    {"application/openmetrics-text", AU_EXPOSITION_OPENMETRICS},
    {"Application/OpenMetrics-Text ; Version=1.0.0 ; Q=0.1",
     AU_EXPOSITION_OPENMETRICS},
    {"application/openmetrics-text; version=0.0.1", AU_EXPOSITION_TEXT},
    {"application/openmetrics-text; version=1.0.01", AU_EXPOSITION_TEXT},
    {"application/openmetrics-text; version=2.0.0", AU_EXPOSITION_TEXT},
    {"application/openmetrics-text; version=", AU_EXPOSITION_TEXT},
    {"application/openmetrics-text;q=0", AU_EXPOSITION_TEXT},
    {"application/openmetrics-text;q=x", AU_EXPOSITION_TEXT},
    {"application/openmetrics-text;q=nan", AU_EXPOSITION_TEXT},
    {"application/openmetrics-textual", AU_EXPOSITION_TEXT},
    {"x application/openmetrics-text", AU_EXPOSITION_TEXT},
    /* What Prometheus 2.42 asks for. */
    {"application/openmetrics-text;version=1.0.0,application/"
     "openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/"
     "*;q=0.1",
     AU_EXPOSITION_OPENMETRICS},
    {"text/plain;q=0.5, application/openmetrics-text;q=0.5",
     AU_EXPOSITION_OPENMETRICS},
    {"text/plain, application/openmetrics-text;q=0.9", AU_EXPOSITION_TEXT},
    {"text/*, application/openmetrics-text;q=0.9", AU_EXPOSITION_TEXT},
    {"*/*, application/openmetrics-text;q=0.9", AU_EXPOSITION_TEXT},
    /* The most specific range speaks for the text format. */
    {"*/*, text/plain;q=0.5, application/openmetrics-text;q=0.6",
     AU_EXPOSITION_OPENMETRICS},
    {"text/plain;q=0, */*, application/openmetrics-text;q=0.1",
     AU_EXPOSITION_OPENMETRICS},
    {"text/*;q=0.2, */*, application/openmetrics-text;q=0.3",
     AU_EXPOSITION_OPENMETRICS},
    {"application/openmetrics-text;q=0.2, application/openmetrics-text;q=0.8, "
     "text/plain;q=0.5",
     AU_EXPOSITION_OPENMETRICS},
};

TEST_EACH(the_header_accept_chooses_the_format,
          sizeof(choices) / sizeof(choices[0])) {
  ck_assert_msg(au_exposition_choose(choices[_i].accept) == choices[_i].format,
                "%s",
                choices[_i].accept != NULL ? choices[_i].accept : "(none)");
}

TEST(values_are_written_in_full) {
  au_metrics_set(AU_M_BUFFER_UTILIZATION, 0.1);
  au_metrics_set(AU_M_BUFFER_BYTES, 1099511627776.0);
  au_metrics_set(AU_M_BUFFER_OLDEST_AGE, 1.0 / 3);
  au_metrics_set(AU_M_EVENTS_THROUGHPUT, (double)NAN);
  au_metrics_set(AU_M_PROCESS_CPU, -(double)INFINITY);
  au_metrics_count(AU_M_EVENTS_ENQUEUED, 0, UINT64_C(9007199254740993));
  const char *all = expose(AU_EXPOSITION_TEXT);
  check_line(all, "buffer_utilization_percent 0.1");
  check_line(all, "buffer_bytes 1099511627776");
  check_line(all, "buffer_oldest_age_seconds 0.3333333333333333");
  check_no(all, "\nevents_throughput_per_second "); /* NaN: there is none */
  check_line(all, "process_cpu_usage_percent -Inf");
  check_line(all, "events_enqueued_total 9007199254740993");
}

TEST(labels_and_histograms) {
  au_metrics_count_request(AU_ROUTE_EVENTS_POST, 429);
  au_metrics_observe(AU_M_HTTP_DURATION, AU_ROUTE_DLQ, 0.3);
  au_metrics_observe(AU_M_HTTP_DURATION, AU_ROUTE_DLQ, 99999);
  const char *all = expose(AU_EXPOSITION_TEXT);
  check_line(all, "http_request_total{route=\"events_post\",status=\"429\"} 1");
  check_line(all, "http_request_duration_ms_bucket{route=\"dlq\",le=\"0.25\"} "
                  "0");
  check_line(all, "http_request_duration_ms_bucket{route=\"dlq\",le=\"0.5\"} "
                  "1");
  check_line(all, "http_request_duration_ms_bucket{route=\"dlq\",le=\"10000\"} "
                  "1");
  check_line(all, "http_request_duration_ms_bucket{route=\"dlq\",le=\"+Inf\"} "
                  "2");
  check_line(all, "http_request_duration_ms_sum{route=\"dlq\"} 99999.3");
  check_line(all, "http_request_duration_ms_count{route=\"dlq\"} 2");
  check_line(all, "spool_sync_time_ms_bucket{le=\"+Inf\"} 0");
  check_line(all, "spool_sync_time_ms_sum 0");
}

TEST(names_of_services_are_escaped) {
  const au_service_count_t services[] = {
      {"a\"b\\c\nd", 3}, {"caf\xc3\xa9/bar", 2}, {"other", 1}};
  au_metrics_set_services(services, 3);
  const char *all = expose(AU_EXPOSITION_TEXT);
  check_line(all, "business_events_by_service{service=\"a\\\"b\\\\c\\nd\"} 3");
  check_line(all, "business_events_by_service{service=\"caf\xc3\xa9/bar\"} 2");
  check_line(all, "business_events_by_service{service=\"other\"} 1");
}

TEST(every_metric_is_announced_once) {
  static const char *const type[] = {[AU_COUNTER] = "counter",
                                     [AU_GAUGE] = "gauge",
                                     [AU_HISTOGRAM] = "histogram"};
  const char *all = expose(AU_EXPOSITION_TEXT);
  size_t announced = 0;
  for (const char *at = all; (at = strstr(at, "# TYPE ")) != NULL; at++)
    announced++;
  ck_assert_uint_eq(announced, AU_METRIC_COUNT);
  for (unsigned i = 0; i < AU_METRIC_COUNT; i++) {
    const au_metric_info_t *info = au_metric_info((au_metric_t)i);
    char line[512];
    snprintf(line, sizeof(line), "# TYPE %s %s", info->name, type[info->kind]);
    check_line(all, line);
    snprintf(line, sizeof(line), "# HELP %s %s\n", info->name, info->help);
    ck_assert_ptr_nonnull(strstr(all, line));
  }
  check_no(all, "# UNIT");
  check_no(all, "# EOF");
  ck_assert_int_eq(all[text.size - 1], '\n');
}

TEST(openmetrics_names_families_and_units) {
  const char *all = expose(AU_EXPOSITION_OPENMETRICS);
  check_line(all, "# TYPE events_enqueued counter");
  check_line(all, "events_enqueued_total 0");
  check_line(all, "# TYPE buffer_bytes gauge\n# UNIT buffer_bytes bytes");
  check_line(all, "# UNIT spool_sync_time_ms ms");
  check_no(all, "# TYPE events_enqueued_total");
  check_no(all, "# UNIT buffer_size");
  const char end[] = "\n# EOF\n";
  ck_assert_str_eq(all + text.size - strlen(end), end);
}

/* The line's text after the name and its labels. */
static const char *after(const char *all, const char *name) {
  char start[256];
  snprintf(start, sizeof(start), "\n%s ", name);
  const char *found = strstr(all, start);
  ck_assert_msg(found != NULL, "there is no %s", name);
  return found + strlen(start);
}

TEST(openmetrics_tells_since_when) {
  check_no(expose(AU_EXPOSITION_OPENMETRICS), "_created");
  au_metrics_begin();
  int64_t begun_us = au_metrics_begun_us();
  au_metrics_begin();
  ck_assert_int_eq(au_metrics_begun_us(), begun_us);
  const char *all = expose(AU_EXPOSITION_OPENMETRICS);
  const char *const names[] = {
      "events_enqueued_created", "batch_failures_created{class=\"08\"}",
      "spool_sync_time_ms_created",
      "http_request_duration_ms_created{route=\"dlq\"}"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    ck_assert_double_eq_tol(strtod(after(all, names[i]), NULL),
                            (double)begun_us / 1e6, 0.001);
  check_no(all, "buffer_size_created");
  /* The database has counted for longer than this process. */
  check_no(all, "business_events_created");
  check_no(expose(AU_EXPOSITION_TEXT), "_created");
}

TEST(release_is_told) {
  au_metrics_begin();
  check_line(expose(AU_EXPOSITION_TEXT),
             "info{version=\"" AURORE_VERSION "\"} 1");
}

TEST(openmetrics_names_traces) {
  au_metrics_observe(AU_M_HTTP_DURATION, AU_ROUTE_DLQ, 0.3);
  au_exemplars_keep(AU_ROUTE_DLQ, 0.3,
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  const char *all = expose(AU_EXPOSITION_OPENMETRICS);
  const char wanted[] =
      "1 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.3 ";
  const char *found =
      after(all, "http_request_duration_ms_bucket{route=\"dlq\",le=\"0.5\"}");
  ck_assert_int_eq(strncmp(found, wanted, strlen(wanted)), 0);
  ck_assert_double_gt(strtod(found + strlen(wanted), NULL), 0);
  check_line(all, "http_request_duration_ms_bucket{route=\"dlq\",le=\"1\"} 1");
  check_no(strstr(all, "trace_id") + 1, "trace_id"); /* one alone */
  check_no(expose(AU_EXPOSITION_TEXT), "trace_id");
}

/* What promtool has to say of style is known: the contract's names are in
 * milliseconds, as the replaced service's were, and one is in days. */
static bool is_known(const char *line) {
  return strstr(line,
                "_ms metric names should not contain abbreviated units") !=
             NULL ||
         strstr(line, "retention_overdue_days use base unit") != NULL;
}

/* promtool must parse all of it. */
TEST(promtool_takes_it) {
  if (system("command -v promtool >/dev/null") != 0) {
    printf("promtool_takes_it: skipped: promtool was not found (the Debian "
           "package prometheus has it)\n");
    return;
  }
  const au_service_count_t services[] = {{"a\"b\\c\nd", 3}, {"other", 1}};
  au_metrics_set_services(services, 2);
  expose(AU_EXPOSITION_TEXT);
  char path[] = "/tmp/check_exposition_XXXXXX";
  int fd = mkstemp(path);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(write(fd, text.data, text.size), (ssize_t)text.size);
  close(fd);
  char command[128];
  snprintf(command, sizeof(command), "promtool check metrics <%s 2>&1", path);
  FILE *promtool = popen(command, "r");
  ck_assert_ptr_nonnull(promtool);
  char line[512];
  while (fgets(line, sizeof(line), promtool) != NULL)
    ck_assert_msg(is_known(line), "promtool: %s", line);
  int status = pclose(promtool);
  unlink(path);
  ck_assert(WIFEXITED(status));
  ck_assert_int_eq(WEXITSTATUS(status), 3); /* parsed, with words on style */
}

int main(void) { return run_tests("exposition"); }
