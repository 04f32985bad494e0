/* SPDX-License-Identifier: MIT
 *
 * The table of metrics against the contract, which is written out here once
 * more; the values under many threads; and the files made from the table.
 */
#include "metrics/metrics.h"
#include "support/files.h"
#include "support/suite.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void setup(void) { au_metrics_reset(); }

/* --- the contract ----------------------------------------------------------
 */

typedef struct promised {
  const char *name;
  au_metric_kind_t kind;
  const char *label[2];
  const char *component;
  unsigned series;
} promised_t;

static const promised_t contract[] = {
    {"buffer_size", AU_GAUGE, {NULL, NULL}, "buffer", 1},
    {"buffer_capacity", AU_GAUGE, {NULL, NULL}, "buffer", 1},
    {"buffer_utilization_percent", AU_GAUGE, {NULL, NULL}, "buffer", 1},
    {"buffer_bytes", AU_GAUGE, {NULL, NULL}, "buffer", 1},
    {"buffer_oldest_age_seconds", AU_GAUGE, {NULL, NULL}, "buffer", 1},
    {"buffer_health_status", AU_GAUGE, {NULL, NULL}, "buffer", 1},
    {"events_enqueued_total", AU_COUNTER, {NULL, NULL}, "events", 1},
    {"events_dropped_total", AU_COUNTER, {NULL, NULL}, "events", 1},
    {"events_rejected_total", AU_COUNTER, {"reason", NULL}, "events", 5},
    {"events_drop_rate_percent", AU_GAUGE, {NULL, NULL}, "events", 1},
    {"events_throughput_per_second", AU_GAUGE, {NULL, NULL}, "events", 1},
    {"spool_sync_time_ms", AU_HISTOGRAM, {NULL, NULL}, "spool", 1},
    {"spool_damaged_total", AU_COUNTER, {NULL, NULL}, "spool", 1},
    {"spool_kept_bytes", AU_GAUGE, {NULL, NULL}, "spool", 1},
    {"spool_spare_bytes", AU_GAUGE, {NULL, NULL}, "spool", 1},
    {"events_replayed_total", AU_COUNTER, {NULL, NULL}, "events", 1},
    {"events_lost_total", AU_COUNTER, {NULL, NULL}, "events", 1},
    {"lanes_fenced", AU_GAUGE, {NULL, NULL}, "health", 1},
    {"lanes_blocked", AU_GAUGE, {NULL, NULL}, "health", 1},
    {"batches_processed_total", AU_COUNTER, {NULL, NULL}, "batch", 1},
    {"events_processed_total", AU_COUNTER, {NULL, NULL}, "batch", 1},
    {"events_duplicate_total", AU_COUNTER, {NULL, NULL}, "events", 1},
    {"batch_processing_time_ms", AU_HISTOGRAM, {NULL, NULL}, "batch", 1},
    {"batch_insert_time_ms", AU_HISTOGRAM, {NULL, NULL}, "batch", 1},
    {"batch_failures_total", AU_COUNTER, {"class", NULL}, "batch", 31},
    {"event_commit_latency_ms", AU_HISTOGRAM, {NULL, NULL}, "batch", 1},
    {"dead_letters_total", AU_COUNTER, {NULL, NULL}, "batch", 1},
    {"dead_letters_pending", AU_GAUGE, {NULL, NULL}, "batch", 1},
    {"business_events_total", AU_COUNTER, {NULL, NULL}, "business", 1},
    {"business_events_by_service", AU_GAUGE, {"service", NULL}, "business", 0},
    {"business_events_last_24h", AU_GAUGE, {NULL, NULL}, "business", 1},
    {"business_events_last_hour", AU_GAUGE, {NULL, NULL}, "business", 1},
    {"business_events_per_minute", AU_GAUGE, {NULL, NULL}, "business", 1},
    {"health_status", AU_GAUGE, {NULL, NULL}, "health", 1},
    {"database_connection_status", AU_GAUGE, {NULL, NULL}, "database", 1},
    {"circuit_breaker_state", AU_GAUGE, {NULL, NULL}, "database", 1},
    {"db_query_duration_ms", AU_HISTOGRAM, {"operation", NULL}, "database", 6},
    {"db_query_total", AU_COUNTER, {"operation", NULL}, "database", 6},
    {"db_slow_queries_total", AU_COUNTER, {"operation", NULL}, "database", 6},
    {"db_connection_pool_active", AU_GAUGE, {NULL, NULL}, "database", 1},
    {"db_connection_pool_idle", AU_GAUGE, {NULL, NULL}, "database", 1},
    {"retention_overdue_days", AU_GAUGE, {NULL, NULL}, "database", 1},
    {"info", AU_GAUGE, {"version", NULL}, "process", 1},
    {"process_cpu_usage_percent", AU_GAUGE, {NULL, NULL}, "process", 1},
    {"process_memory_usage_bytes", AU_GAUGE, {NULL, NULL}, "process", 1},
    {"http_request_duration_ms", AU_HISTOGRAM, {"route", NULL}, "http", 8},
    {"http_request_total", AU_COUNTER, {"route", "status"}, "http", 8 * 20},
    {"certificate_expiry_seconds", AU_GAUGE, {NULL, NULL}, "http", 1},
    {"config_reload_failures_total", AU_COUNTER, {"file", NULL}, "http", 4},
    {"http_connections", AU_GAUGE, {NULL, NULL}, "http", 1},
    {"http_connections_refused_total", AU_COUNTER, {"reason", NULL}, "http", 2},
};

static bool is_same_text(const char *a, const char *b) {
  return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

CASE("table", setup, NULL);

TEST(the_table_is_the_contract) {
  ck_assert_uint_eq(AU_METRIC_COUNT, COUNT_OF(contract));
  for (int i = 0; i < COUNT_OF(contract); i++) {
    const au_metric_info_t *info = au_metric_info((au_metric_t)i);
    ck_assert_str_eq(info->name, contract[i].name);
    ck_assert_int_eq(info->kind, contract[i].kind);
    ck_assert_str_eq(info->component, contract[i].component);
    for (unsigned l = 0; l < 2; l++)
      ck_assert_msg(is_same_text(info->label_name[l], contract[i].label[l]),
                    "%s: label %u", info->name, l);
    ck_assert_uint_gt(strlen(info->help), 0);
  }
}

static void count_series(const au_series_t *series, void *context) {
  unsigned *counts = context;
  counts[series->metric]++;
  ck_assert_uint_eq(series->counter, 0);
  ck_assert_uint_eq(series->count, 0);
  ck_assert_double_eq(series->value, 0);
  for (unsigned l = 0; l < 2; l++)
    ck_assert_int_eq(series->label_value[l] != NULL,
                     contract[series->metric].label[l] != NULL);
}

TEST(every_series_is_there_from_the_start) {
  unsigned counts[AU_METRIC_COUNT] = {0};
  au_metrics_visit(NULL, count_series, counts);
  for (unsigned i = 0; i < AU_METRIC_COUNT; i++)
    ck_assert_msg(counts[i] == contract[i].series, "%s has %u series",
                  contract[i].name, counts[i]);
}

static void check_side(const au_series_t *series, void *context) {
  const au_side_t *side = context;
  ck_assert_int_eq(au_metric_info(series->metric)->side, *side);
}

TEST(a_side_is_visited_alone) {
  au_side_t side = AU_SIDE_BUFFER;
  au_metrics_visit(&side, check_side, &side);
  side = AU_SIDE_WRITER;
  au_metrics_visit(&side, check_side, &side);
}

TEST(buckets_are_those_of_the_contract) {
  static const char *const label[] = {
      "0.1", "0.25", "0.5", "1",    "2.5",  "5",    "10",    "25",  "50",
      "100", "250",  "500", "1000", "2500", "5000", "10000", "+Inf"};
  ck_assert_uint_eq(COUNT_OF(label), AU_BUCKET_COUNT);
  for (unsigned i = 0; i < AU_BUCKET_COUNT; i++) {
    ck_assert_str_eq(au_bucket_labels[i], label[i]);
    ck_assert_double_eq(au_bucket_bounds_ms[i], strtod(label[i], NULL));
  }
}

TEST(units_are_read_from_names) {
  ck_assert_str_eq(au_metric_unit(AU_M_BUFFER_OLDEST_AGE), "seconds");
  ck_assert_str_eq(au_metric_unit(AU_M_BUFFER_BYTES), "bytes");
  ck_assert_str_eq(au_metric_unit(AU_M_SPOOL_SYNC_TIME), "ms");
  ck_assert_str_eq(au_metric_unit(AU_M_PROCESS_CPU), "percent");
  ck_assert_str_eq(au_metric_unit(AU_M_EVENTS_ENQUEUED), "");
  ck_assert_str_eq(au_metric_unit(AU_M_BUFFER_SIZE), "");
}

/* --- values ----------------------------------------------------------------
 */

typedef struct wanted {
  au_metric_t metric;
  const char *label[2];
  unsigned found;
  au_series_t series;
} wanted_t;

static void look(const au_series_t *series, void *context) {
  wanted_t *wanted = context;
  if (series->metric != wanted->metric ||
      !is_same_text(series->label_value[0], wanted->label[0]) ||
      !is_same_text(series->label_value[1], wanted->label[1]))
    return;
  wanted->found++;
  wanted->series = *series;
}

static au_series_t series_of(au_metric_t metric, const char *a, const char *b) {
  wanted_t wanted = {.metric = metric, .label = {a, b}};
  au_metrics_visit(NULL, look, &wanted);
  ck_assert_uint_eq(wanted.found, 1);
  return wanted.series;
}

CASE("values", setup, setup);

TEST(counters_count_by_label) {
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_TOO_LARGE, 3);
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_UNAVAILABLE, 1);
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_TOO_LARGE, 4);
  ck_assert_uint_eq(series_of(AU_M_EVENTS_REJECTED, "too_large", NULL).counter,
                    7);
  ck_assert_uint_eq(
      series_of(AU_M_EVENTS_REJECTED, "unavailable", NULL).counter, 1);
  ck_assert_uint_eq(series_of(AU_M_EVENTS_REJECTED, "invalid", NULL).counter,
                    0);
  ck_assert_uint_eq(
      au_metrics_counter(AU_M_EVENTS_REJECTED, AU_REASON_TOO_LARGE), 7);
  au_metrics_set_counter(AU_M_BUSINESS_EVENTS, UINT64_C(1) << 53);
  ck_assert_uint_eq(au_metrics_counter(AU_M_BUSINESS_EVENTS, 0), UINT64_C(1)
                                                                     << 53);
}

TEST(what_is_not_in_the_table_touches_nothing) {
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_COUNT, 1);
  au_metrics_count(AU_M_BUFFER_SIZE, 0, 1);
  au_metrics_count(AU_METRIC_COUNT, 0, 1);
  au_metrics_set(AU_M_EVENTS_ENQUEUED, 1);
  au_metrics_set(AU_M_BUSINESS_BY_SERVICE, 1);
  au_metrics_add(AU_M_SPOOL_SYNC_TIME, 1);
  au_metrics_observe(AU_M_HTTP_DURATION, AU_ROUTE_COUNT, 1);
  au_metrics_observe(AU_M_BUFFER_SIZE, 0, 1);
  au_metrics_observe_many(AU_M_SPOOL_SYNC_TIME, 0, 1, 0);
  unsigned counts[AU_METRIC_COUNT] = {0};
  au_metrics_visit(NULL, count_series, counts); /* asserts zeros */
}

TEST(failures_are_counted_by_class) {
  au_metrics_count_failure("08006");
  au_metrics_count_failure("23505");
  au_metrics_count_failure("23514");
  au_metrics_count_failure("XX000");
  au_metrics_count_failure("AU001");
  au_metrics_count_failure(NULL);
  au_metrics_count_failure("");
  au_metrics_count_failure("99999");
  au_metrics_count_failure("co"); /* not the name "connection" */
  static const struct {
    const char *name;
    uint64_t count;
  } row[] = {{"08", 1}, {"23", 2},         {"XX", 1},   {"AU", 1},
             {"53", 0}, {"connection", 2}, {"other", 2}};
  for (int i = 0; i < COUNT_OF(row); i++)
    ck_assert_uint_eq(series_of(AU_M_BATCH_FAILURES, row[i].name, NULL).counter,
                      row[i].count);
}

TEST(requests_are_counted_by_route_and_status) {
  au_metrics_count_request(AU_ROUTE_EVENTS_POST, 202);
  au_metrics_count_request(AU_ROUTE_EVENTS_POST, 202);
  au_metrics_count_request(AU_ROUTE_EVENTS_POST, 429);
  au_metrics_count_request(AU_ROUTE_DLQ, 204);
  au_metrics_count_request(AU_ROUTE_OTHER, 418);
  au_metrics_count_request(AU_ROUTE_COUNT, 200);
  ck_assert_uint_eq(series_of(AU_M_HTTP_REQUESTS, "events_post", "202").counter,
                    2);
  ck_assert_uint_eq(series_of(AU_M_HTTP_REQUESTS, "events_post", "429").counter,
                    1);
  ck_assert_uint_eq(series_of(AU_M_HTTP_REQUESTS, "dlq", "204").counter, 1);
  ck_assert_uint_eq(series_of(AU_M_HTTP_REQUESTS, "other", "other").counter, 1);
  ck_assert_uint_eq(
      au_metrics_counter(AU_M_HTTP_REQUESTS, AU_ROUTE_EVENTS_POST), 3);
}

TEST(queries_are_slow_above_the_limit) {
  au_metrics_count_query(AU_OPERATION_RETENTION, 1000, 1000);
  au_metrics_count_query(AU_OPERATION_RETENTION, 1000.5, 1000);
  ck_assert_uint_eq(series_of(AU_M_QUERIES, "retention", NULL).counter, 2);
  ck_assert_uint_eq(series_of(AU_M_SLOW_QUERIES, "retention", NULL).counter, 1);
  ck_assert_uint_eq(series_of(AU_M_QUERY_DURATION, "retention", NULL).count, 2);
}

TEST(gauges_are_set_and_moved) {
  au_metrics_set(AU_M_BUFFER_UTILIZATION, 12.75);
  ck_assert_double_eq(au_metrics_gauge(AU_M_BUFFER_UTILIZATION), 12.75);
  au_metrics_add(AU_M_HTTP_CONNECTIONS, 3);
  au_metrics_add(AU_M_HTTP_CONNECTIONS, -1);
  ck_assert_double_eq(au_metrics_gauge(AU_M_HTTP_CONNECTIONS), 2);
}

static void count_gauge(const au_series_t *series, void *context) {
  unsigned *count = context;
  *count += series->metric == AU_M_CERTIFICATE_EXPIRY;
}

TEST(a_gauge_that_is_no_number_has_no_series) {
  unsigned count = 0;
  au_metrics_set(AU_M_CERTIFICATE_EXPIRY, (double)NAN);
  au_metrics_visit(NULL, count_gauge, &count);
  ck_assert_uint_eq(count, 0);
  au_metrics_set(AU_M_CERTIFICATE_EXPIRY, -1);
  au_metrics_visit(NULL, count_gauge, &count);
  ck_assert_uint_eq(count, 1);
}

TEST(a_bound_belongs_to_its_bucket) {
  for (unsigned i = 0; i < AU_BUCKET_COUNT - 1; i++) {
    au_metrics_reset();
    au_metrics_observe(AU_M_SPOOL_SYNC_TIME, 0, au_bucket_bounds_ms[i]);
    au_metrics_observe(AU_M_SPOOL_SYNC_TIME, 0,
                       nextafter(au_bucket_bounds_ms[i], 1e9));
    au_series_t series = series_of(AU_M_SPOOL_SYNC_TIME, NULL, NULL);
    for (unsigned b = 0; b < AU_BUCKET_COUNT; b++)
      ck_assert_uint_eq(series.bucket[b], b < i ? 0 : b == i ? 1 : 2);
    ck_assert_uint_eq(series.count, 2);
  }
}

TEST(sums_are_exact_to_the_microsecond) {
  for (int i = 0; i < 1000000; i++)
    au_metrics_observe(AU_M_SPOOL_SYNC_TIME, 0, 0.001);
  au_metrics_observe_many(AU_M_SPOOL_SYNC_TIME, 0, 0.123, 1000000000);
  au_series_t series = series_of(AU_M_SPOOL_SYNC_TIME, NULL, NULL);
  ck_assert_double_eq(series.sum, 1000.0 + 123000000.0);
  ck_assert_uint_eq(series.count, 1001000000);
}

TEST(odd_times_are_bounded) {
  au_metrics_observe(AU_M_SPOOL_SYNC_TIME, 0, -5);
  au_metrics_observe(AU_M_SPOOL_SYNC_TIME, 0, (double)NAN);
  au_metrics_observe(AU_M_SPOOL_SYNC_TIME, 0, (double)INFINITY);
  au_series_t series = series_of(AU_M_SPOOL_SYNC_TIME, NULL, NULL);
  ck_assert_uint_eq(series.bucket[0], 2);
  ck_assert_uint_eq(series.bucket[AU_BUCKET_COUNT - 2], 2);
  ck_assert_uint_eq(series.count, 3);
  ck_assert_double_eq(series.sum, 1e12);
}

/* --- services --------------------------------------------------------------
 */

static void append_service(const au_series_t *series, void *context) {
  char *text = context;
  if (series->metric != AU_M_BUSINESS_BY_SERVICE)
    return;
  size_t length = strlen(text);
  snprintf(text + length, 256 - length, "%s=%.0f ", series->label_value[0],
           series->value);
}

static void check_services(const char *expected) {
  char text[256] = "";
  au_metrics_visit(NULL, append_service, text);
  ck_assert_str_eq(text, expected);
}

TEST(services_are_copied_and_replaced) {
  char name[] = "auth";
  const au_service_count_t first[] = {{name, 10}, {"pay", 5}};
  au_metrics_set_services(first, 2);
  name[0] = 'X';
  check_services("auth=10 pay=5 ");
  const au_service_count_t second[] = {{"pay", 7}};
  au_metrics_set_services(second, 1);
  check_services("pay=7 ");
  au_metrics_set_services(NULL, 0);
  check_services("");
}

TEST(a_service_called_other_joins_the_rest) {
  const au_service_count_t given[] = {{"other", 10}, {"pay", 5}, {"other", 3}};
  au_metrics_set_services(given, 3);
  check_services("other=13 pay=5 ");
}

static void replace_while_visited(const au_series_t *series, void *context) {
  const au_service_count_t again[] = {{"new", 1}};
  if (series->metric != AU_M_BUSINESS_BY_SERVICE)
    return;
  ck_assert_str_eq(series->label_value[0], "old");
  au_metrics_set_services(again, 1); /* would wait for ever on a held lock */
  ck_assert_str_eq(series->label_value[0], "old");
  ++*(unsigned *)context;
}

TEST(no_lock_is_held_during_a_visit) {
  const au_service_count_t given[] = {{"old", 10}};
  unsigned visits = 0;
  au_metrics_set_services(given, 1);
  au_metrics_visit(NULL, replace_while_visited, &visits);
  ck_assert_uint_eq(visits, 1);
  check_services("new=1 ");
}

static unsigned samples;
static void count_sample(void) { samples++; }

TEST(the_sampler_is_called_while_it_is_set) {
  samples = 0;
  au_metrics_sample();
  au_metrics_set_sampler(count_sample);
  au_metrics_sample();
  au_metrics_set_sampler(NULL);
  au_metrics_sample();
  ck_assert_uint_eq(samples, 1);
}

/* --- threads ---------------------------------------------------------------
 */

enum { THREADS = 4, ROUNDS = 20000 };

static void *count_many(void *argument) {
  (void)argument;
  for (int i = 0; i < ROUNDS; i++) {
    au_metrics_count(AU_M_EVENTS_ENQUEUED, 0, 2);
    au_metrics_add(AU_M_HTTP_CONNECTIONS, i % 2 == 0 ? 3 : -2);
    au_metrics_observe(AU_M_HTTP_DURATION, AU_ROUTE_HEALTH, i % 3);
    au_metrics_count_request(AU_ROUTE_HEALTH, 200);
  }
  return NULL;
}

static atomic_bool stop_reading;

static void check_growth(const au_series_t *series, void *context) {
  uint64_t *seen = context;
  if (series->metric == AU_M_HTTP_DURATION &&
      strcmp(series->label_value[0], "health") == 0) {
    ck_assert_uint_ge(series->count, *seen);
    ck_assert_uint_eq(series->count, series->bucket[AU_BUCKET_COUNT - 1]);
    *seen = series->count;
  }
}

static void *read_many(void *argument) {
  (void)argument;
  uint64_t seen = 0;
  const au_service_count_t services[] = {{"a", 1}, {"b", 2}};
  for (size_t i = 0; !atomic_load(&stop_reading); i++) {
    au_metrics_set_services(services, i % 3);
    au_metrics_visit(NULL, check_growth, &seen);
  }
  return NULL;
}

CASE("threads", setup, setup);

TEST(nothing_is_lost_between_threads) {
  pthread_t writer[THREADS];
  pthread_t reader[2];
  atomic_store(&stop_reading, false);
  for (int i = 0; i < 2; i++)
    ck_assert_int_eq(pthread_create(&reader[i], NULL, read_many, NULL), 0);
  for (int i = 0; i < THREADS; i++)
    ck_assert_int_eq(pthread_create(&writer[i], NULL, count_many, NULL), 0);
  for (int i = 0; i < THREADS; i++)
    pthread_join(writer[i], NULL);
  atomic_store(&stop_reading, true);
  for (int i = 0; i < 2; i++)
    pthread_join(reader[i], NULL);
  ck_assert_uint_eq(au_metrics_counter(AU_M_EVENTS_ENQUEUED, 0),
                    2 * THREADS * ROUNDS);
  ck_assert_double_eq(au_metrics_gauge(AU_M_HTTP_CONNECTIONS),
                      THREADS * ROUNDS / 2);
  ck_assert_uint_eq(series_of(AU_M_HTTP_DURATION, "health", NULL).count,
                    THREADS * ROUNDS);
  ck_assert_uint_eq(au_metrics_counter(AU_M_HTTP_REQUESTS, AU_ROUTE_HEALTH),
                    THREADS * ROUNDS);
}

/* --- the files made from the table -----------------------------------------
 */

CASE("files", NULL, NULL);

TEST(types_db_is_made_from_the_table) {
  check_made_file("types.db", "types.db");
}

TEST(the_reference_is_made_from_the_table) {
  check_made_file("metrics.md", "docs/metrics.md");
}

int main(void) { return run_tests("metrics"); }
