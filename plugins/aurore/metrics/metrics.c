/* SPDX-License-Identifier: MIT
 * Part of metrics/; calls event/, base/.
 *
 * All values of all series are in one array of 64-bit atomics, whose length
 * is known at build time. A metric has a run of cells:
 *
 *   counter    one cell a series
 *   gauge      one cell: the bits of a double
 *   histogram  a series is one cell for each bucket (not cumulative, so that an
 *              observation touches one) and one for the sum, in microseconds
 *
 * Two labels: the series of (a, b) is a * size of b + b.
 *
 * The list of services is made once by its writer and never changed; readers
 * hold a reference while they visit it, so its lock is never held for longer
 * than the counting of references.
 */
#include "metrics/metrics.h"

#include "aurore_config.h"

#include "base/clock.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const reason_name[] = {
    "invalid", "too_large", "rate_limited", "unauthorized", "unavailable"};
/* Classes of SQLSTATE, and what has none; "other" must be the last. */
static const char *const class_name[] = {
    "08", "0A", "0B", "21", "22", "23", "25", "26",         "28",   "2B", "2D",
    "34", "3B", "3D", "3F", "40", "42", "44", "53",         "54",   "55", "57",
    "58", "72", "F0", "HV", "P0", "XX", "AU", "connection", "other"};
static const char *const operation_name[] = {
    "store", "query", "business", "dead_letter", "retention", "migrate"};
static const char *const route_name[] = {
    "events_post", "events_get", "otlp_logs", "metrics",
    "health",      "dlq",        "page",      "other"};
/* "other" must be the last. */
static const char *const status_name[] = {
    "200", "201", "202", "204", "207", "400", "401", "403", "404", "405",
    "408", "409", "413", "415", "429", "431", "500", "501", "503", "other"};

/* Why a connection was refused. */
static const char *const crowded_name[] = {"limit", "address"};
static const char *const version_name[] = {AURORE_VERSION};
static const char *const file_name[] = {"certificate", "key", "client_ca",
                                        "tokens"};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

_Static_assert(LENGTH(reason_name) == AU_REASON_COUNT, "a name a reason");
_Static_assert(LENGTH(crowded_name) == AU_CROWDED_COUNT, "a name a reason");
_Static_assert(LENGTH(operation_name) == AU_OPERATION_COUNT,
               "a name an operation");
_Static_assert(LENGTH(file_name) == AU_FILE_COUNT, "a name a file");
_Static_assert(LENGTH(route_name) == AU_ROUTE_COUNT, "a name a route");

enum { CLASS_CONNECTION = LENGTH(class_name) - 2 };

/* How many values a label has. A metric by service has no cells here. */
enum {
  SIZE_NONE = 1,
  SIZE_REASON = LENGTH(reason_name),
  SIZE_CLASS = LENGTH(class_name),
  SIZE_OPERATION = LENGTH(operation_name),
  SIZE_ROUTE = LENGTH(route_name),
  SIZE_STATUS = LENGTH(status_name),
  SIZE_CROWDED = LENGTH(crowded_name),
  SIZE_FILE = LENGTH(file_name),
  SIZE_VERSION = LENGTH(version_name),
  SIZE_SERVICE = 0
};

static const char *const *const label_values[] = {
    [AU_LABEL_NONE] = NULL,
    [AU_LABEL_REASON] = reason_name,
    [AU_LABEL_CLASS] = class_name,
    [AU_LABEL_OPERATION] = operation_name,
    [AU_LABEL_ROUTE] = route_name,
    [AU_LABEL_STATUS] = status_name,
    [AU_LABEL_FILE] = file_name,
    [AU_LABEL_SERVICE] = NULL,
    [AU_LABEL_CROWDED] = crowded_name,
    [AU_LABEL_VERSION] = version_name};

/* Cells of one series, by kind. */
enum {
  WIDTH_COUNTER = 1,
  WIDTH_GAUGE = 1,
  WIDTH_HISTOGRAM = AU_BUCKET_COUNT + 1
};
enum { SUM_CELL = AU_BUCKET_COUNT };

#define US_PER_MS 1000.0
/* Some thirty years: the sum of many such is still far from its end. */
#define OBSERVED_MAX_MS 1e12

/* Where the cells of each metric begin: every metric begins after the last
 * cell of the one before it. */
enum {
#define METRIC(id, name, kind, side, component, a, b, help)                    \
  BEGIN_##id, LAST_##id = BEGIN_##id + SIZE_##a * SIZE_##b * WIDTH_##kind - 1,
#include "metrics/metrics.def"
#undef METRIC
  CELL_COUNT
};

static _Atomic uint64_t cell[CELL_COUNT];

typedef struct row {
  au_metric_info_t info;
  unsigned begin;   /* the first cell */
  unsigned size[2]; /* values of each label */
  unsigned width;   /* cells of a series */
} row_t;

#define LABEL_NAME_NONE NULL
#define LABEL_NAME_REASON "reason"
#define LABEL_NAME_CLASS "class"
#define LABEL_NAME_OPERATION "operation"
#define LABEL_NAME_ROUTE "route"
#define LABEL_NAME_STATUS "status"
#define LABEL_NAME_FILE "file"
#define LABEL_NAME_SERVICE "service"
#define LABEL_NAME_CROWDED "reason"
#define LABEL_NAME_VERSION "version"

static const row_t table[AU_METRIC_COUNT] = {
#define METRIC(id, name_, kind_, side_, component_, a, b, help_)               \
  [AU_M_##id] = {.info = {.name = (name_),                                     \
                          .kind = AU_##kind_,                                  \
                          .side = AU_SIDE_##side_,                             \
                          .component = (component_),                           \
                          .label = {AU_LABEL_##a, AU_LABEL_##b},               \
                          .label_name = {LABEL_NAME_##a, LABEL_NAME_##b},      \
                          .help = (help_)},                                    \
                 .begin = BEGIN_##id,                                          \
                 .size = {SIZE_##a, SIZE_##b},                                 \
                 .width = WIDTH_##kind_},
#include "metrics/metrics.def"
#undef METRIC
};

/* Each as a number and as its text. */
#define BUCKETS(X)                                                             \
  X(0.1)                                                                       \
  X(0.25)                                                                      \
  X(0.5)                                                                       \
  X(1)                                                                         \
  X(2.5)                                                                       \
  X(5) X(10) X(25) X(50) X(100) X(250) X(500) X(1000) X(2500) X(5000) X(10000)
#define BOUND(ms) (double)(ms),
#define LABEL(ms) #ms,

const double au_bucket_bounds_ms[AU_BUCKET_COUNT] = {BUCKETS(BOUND)
                                                         BOUND(INFINITY)};
const char *const au_bucket_labels[AU_BUCKET_COUNT] = {BUCKETS(LABEL) "+Inf"};

/* --- writing ---------------------------------------------------------------
 *
 * Relaxed order everywhere: a value says nothing of any other, and nobody
 * concludes from one cell what another holds. */

static void add(_Atomic uint64_t *to, uint64_t n) {
  atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static uint64_t load(const _Atomic uint64_t *from) {
  return atomic_load_explicit(from, memory_order_relaxed);
}

/* The first cell of a series; NULL when there is no such metric of this kind
 * or no such label, which is not counted. */
static _Atomic uint64_t *find(au_metric_t metric, au_metric_kind_t kind,
                              unsigned a, unsigned b) {
  if ((unsigned)metric >= AU_METRIC_COUNT)
    return NULL;
  const row_t *row = &table[metric];
  if (row->info.kind != kind || a >= row->size[0] || b >= row->size[1])
    return NULL;
  return &cell[row->begin + (a * row->size[1] + b) * row->width];
}

void au_metrics_count(au_metric_t metric, unsigned label, uint64_t n) {
  _Atomic uint64_t *counter = find(metric, AU_COUNTER, label, 0);
  if (counter != NULL && n > 0)
    add(counter, n);
}

void au_metrics_count_failure(const char *sqlstate) {
  unsigned index = CLASS_CONNECTION;
  if (sqlstate != NULL && sqlstate[0] != '\0') {
    index = 0;
    while (index < CLASS_CONNECTION &&
           strncmp(class_name[index], sqlstate, 2) != 0)
      index++;
    if (index == CLASS_CONNECTION)
      index = SIZE_CLASS - 1;
  }
  au_metrics_count(AU_M_BATCH_FAILURES, index, 1);
}

/* Whether the three digits are those of the status. */
static bool is_status(const char *name, unsigned status) {
  return (unsigned)(name[0] - '0') == status / 100 &&
         (unsigned)(name[1] - '0') == status / 10 % 10 &&
         (unsigned)(name[2] - '0') == status % 10;
}

void au_metrics_count_request(au_route_label_t route, unsigned http_status) {
  unsigned index = 0;
  while (index < SIZE_STATUS - 1 && !is_status(status_name[index], http_status))
    index++;
  _Atomic uint64_t *counter =
      find(AU_M_HTTP_REQUESTS, AU_COUNTER, route, index);
  if (counter != NULL)
    add(counter, 1);
}

void au_metrics_count_query(au_operation_t operation, double duration_ms,
                            double slow_ms) {
  au_metrics_observe(AU_M_QUERY_DURATION, operation, duration_ms);
  au_metrics_count(AU_M_QUERIES, operation, 1);
  if (duration_ms > slow_ms)
    au_metrics_count(AU_M_SLOW_QUERIES, operation, 1);
}

void au_metrics_use_connection(bool is_used) {
  au_metrics_add(AU_M_POOL_IDLE, is_used ? -1 : 1);
  au_metrics_add(AU_M_POOL_ACTIVE, is_used ? 1 : -1);
}

void au_metrics_set_counter(au_metric_t metric, uint64_t value) {
  _Atomic uint64_t *counter = find(metric, AU_COUNTER, 0, 0);
  if (counter != NULL)
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static uint64_t bits_of(double value) {
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

static double value_of(uint64_t bits) {
  double value = 0;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

void au_metrics_set(au_metric_t metric, double value) {
  _Atomic uint64_t *gauge = find(metric, AU_GAUGE, 0, 0);
  if (gauge != NULL)
    atomic_store_explicit(gauge, bits_of(value), memory_order_relaxed);
}

static _Atomic int64_t begun_us;

void au_metrics_begin(void) {
  int64_t none = 0;
  (void)atomic_compare_exchange_strong(&begun_us, &none, au_clock_wall_us());
  au_metrics_set(AU_M_INFO, 1);
}

int64_t au_metrics_begun_us(void) { return atomic_load(&begun_us); }

void au_metrics_add(au_metric_t metric, int64_t delta) {
  _Atomic uint64_t *gauge = find(metric, AU_GAUGE, 0, 0);
  if (gauge == NULL)
    return;
  uint64_t before = load(gauge);
  uint64_t after = 0;
  do
    after = bits_of(value_of(before) + (double)delta);
  while (!atomic_compare_exchange_weak_explicit(
      gauge, &before, after, memory_order_relaxed, memory_order_relaxed));
}

unsigned au_bucket_of(double ms) {
  unsigned bucket = 0;
  while (ms > au_bucket_bounds_ms[bucket])
    bucket++;
  return bucket;
}

void au_metrics_observe(au_metric_t metric, unsigned label, double ms) {
  au_metrics_observe_many(metric, label, ms, 1);
}

void au_metrics_observe_many(au_metric_t metric, unsigned label, double ms,
                             uint64_t n) {
  _Atomic uint64_t *series = find(metric, AU_HISTOGRAM, label, 0);
  if (series == NULL || n == 0)
    return;
  if (!(ms > 0)) /* a clock that stepped back; also what is not a number */
    ms = 0;
  if (ms > OBSERVED_MAX_MS)
    ms = OBSERVED_MAX_MS;
  add(&series[au_bucket_of(ms)], n);
  add(&series[SUM_CELL], n * (uint64_t)(ms * US_PER_MS + 0.5));
}

/* --- the services ----------------------------------------------------------*/

typedef struct services {
  unsigned references; /* protected by services_lock */
  size_t count;
  au_service_count_t entry[]; /* and after the entries their names */
} services_t;

static pthread_mutex_t services_lock = PTHREAD_MUTEX_INITIALIZER;
static services_t *services; /* NULL: none; protected by services_lock */

/* Gives a reference back; the last one frees. */
static void release_services(services_t *list) {
  if (list == NULL)
    return;
  pthread_mutex_lock(&services_lock);
  bool last = --list->references == 0;
  pthread_mutex_unlock(&services_lock);
  if (last)
    free(list);
}

static services_t *acquire_services(void) {
  pthread_mutex_lock(&services_lock);
  services_t *list = services;
  if (list != NULL)
    list->references++;
  pthread_mutex_unlock(&services_lock);
  return list;
}

static void replace_services(services_t *list) {
  pthread_mutex_lock(&services_lock);
  services_t *before = services;
  services = list;
  pthread_mutex_unlock(&services_lock);
  release_services(before);
}

/* A service may really be called "other": two series of one name would make a
 * scrape fail, so equal names become one. */
static void put_service(services_t *list, char **text,
                        const au_service_count_t *service) {
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->entry[i].service, service->service) == 0) {
      list->entry[i].count += service->count;
      return;
    }
  size_t size = strlen(service->service) + 1;
  memcpy(*text, service->service, size);
  list->entry[list->count++] =
      (au_service_count_t){.service = *text, .count = service->count};
  *text += size;
}

void au_metrics_set_services(const au_service_count_t *given, size_t count) {
  size_t text_size = 0;
  for (size_t i = 0; i < count; i++)
    text_size += strlen(given[i].service) + 1;
  services_t *list =
      malloc(sizeof(*list) + count * sizeof(list->entry[0]) + text_size);
  if (list == NULL)
    return; /* the services of before stay; the next call comes soon */
  list->references = 1;
  list->count = 0;
  char *text = (char *)&list->entry[count];
  for (size_t i = 0; i < count; i++)
    put_service(list, &text, &given[i]);
  replace_services(list);
}

/* --- reading ---------------------------------------------------------------*/

uint64_t au_metrics_counter(au_metric_t metric, unsigned label) {
  const _Atomic uint64_t *counter = find(metric, AU_COUNTER, label, 0);
  if (counter == NULL)
    return 0;
  uint64_t sum = 0;
  for (unsigned b = 0; b < table[metric].size[1]; b++)
    sum += load(&counter[b]);
  return sum;
}

double au_metrics_gauge(au_metric_t metric) {
  const _Atomic uint64_t *gauge = find(metric, AU_GAUGE, 0, 0);
  return gauge != NULL ? value_of(load(gauge)) : 0;
}

static void (*_Atomic current_sampler)(void);

void au_metrics_set_sampler(void (*sampler)(void)) {
  atomic_store(&current_sampler, sampler);
}

void au_metrics_sample(void) {
  void (*sampler)(void) = atomic_load(&current_sampler);
  if (sampler != NULL)
    sampler();
}

const au_metric_info_t *au_metric_info(au_metric_t metric) {
  return &table[metric].info;
}

const char *au_metric_unit(au_metric_t metric) {
  static const char *const unit[] = {"ms", "seconds", "bytes", "percent"};
  const char *end = strrchr(table[metric].info.name, '_');
  for (size_t i = 0; end != NULL && i < LENGTH(unit); i++)
    if (strcmp(end + 1, unit[i]) == 0)
      return unit[i];
  return "";
}

static void read_cells(au_series_t *series, const _Atomic uint64_t *from) {
  switch (table[series->metric].info.kind) {
  case AU_COUNTER:
    series->counter = load(from);
    break;
  case AU_GAUGE:
    series->value = value_of(load(from));
    break;
  case AU_HISTOGRAM:
    for (unsigned i = 0; i < AU_BUCKET_COUNT; i++) {
      series->count += load(&from[i]);
      series->bucket[i] = series->count;
    }
    series->sum = (double)load(&from[SUM_CELL]) / US_PER_MS;
    break;
  }
}

static void visit_cells(au_metric_t metric, au_series_visitor_t visit,
                        void *context) {
  const row_t *row = &table[metric];
  const char *const *first = label_values[row->info.label[0]];
  const char *const *second = label_values[row->info.label[1]];
  for (unsigned a = 0; a < row->size[0]; a++)
    for (unsigned b = 0; b < row->size[1]; b++) {
      au_series_t series = {.metric = metric,
                            .label_value = {first != NULL ? first[a] : NULL,
                                            second != NULL ? second[b] : NULL},
                            .label = {a, b}};
      read_cells(&series,
                 &cell[row->begin + (a * row->size[1] + b) * row->width]);
      if (row->info.kind != AU_GAUGE || !isnan(series.value))
        visit(&series, context);
    }
}

static void visit_services(au_metric_t metric, au_series_visitor_t visit,
                           void *context) {
  services_t *list = acquire_services();
  for (size_t i = 0; list != NULL && i < list->count; i++) {
    const au_series_t series = {.metric = metric,
                                .label_value = {list->entry[i].service, NULL},
                                .value = (double)list->entry[i].count};
    visit(&series, context);
  }
  release_services(list);
}

void au_metrics_visit(const au_side_t *side_or_null, au_series_visitor_t visit,
                      void *context) {
  for (unsigned i = 0; i < AU_METRIC_COUNT; i++) {
    const au_metric_info_t *info = &table[i].info;
    if (side_or_null != NULL && info->side != *side_or_null)
      continue;
    if (info->label[0] == AU_LABEL_SERVICE)
      visit_services((au_metric_t)i, visit, context);
    else
      visit_cells((au_metric_t)i, visit, context);
  }
}

void au_metrics_reset(void) {
  for (unsigned i = 0; i < CELL_COUNT; i++)
    atomic_store_explicit(&cell[i], 0, memory_order_relaxed);
  atomic_store(&begun_us, 0);
  replace_services(NULL);
}
