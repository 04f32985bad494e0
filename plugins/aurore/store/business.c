/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * Metrics are one block of memory: the struct, its three lists, and their
 * names.
 */
#include "store/business.h"

#include "base/clock.h"
#include "database/database.h"
#include "database/schema.h"
#include "database/task.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Minutes are folded this long after their end: few batches still need them. */
#define FOLD_AFTER_US (INT64_C(120) * AU_US_PER_S)
/* Counters folded in one transaction, which holds their rows for some
 * milliseconds; and transactions in one round, so that a backlog of counters
 * does not keep the metrics from being read. */
#define FOLD_ROWS 2000
#define FOLDS_MAX 20
/* A reading takes milliseconds; one that takes this long is given up. */
#define DEADLINE_S 10.0

#define MINUTES_A_DAY 1440.0

struct au_business {
  /* Constant after start. */
  const au_options_t *options;
  au_task_t *task;

  /* The task's own. */
  au_database_t *database;
  bool is_migrated; /* on this connection */
  au_task_trouble_t trouble;
};

/* --- what is published -----------------------------------------------------*/

typedef struct holder {
  au_business_metrics_t metrics;
  unsigned references; /* protected by current_lock */
} holder_t;

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static holder_t *current; /* NULL: none; protected by current_lock */

const au_business_metrics_t *au_business_acquire(void) {
  pthread_mutex_lock(&current_lock);
  holder_t *holder = current;
  if (holder != NULL)
    holder->references++;
  pthread_mutex_unlock(&current_lock);
  return holder != NULL ? &holder->metrics : NULL;
}

static void release(holder_t *holder) {
  if (holder == NULL)
    return;
  pthread_mutex_lock(&current_lock);
  bool last = --holder->references == 0;
  pthread_mutex_unlock(&current_lock);
  if (last)
    free(holder);
}

void au_business_release(const au_business_metrics_t *metrics) {
  if (metrics != NULL)
    release(metrics->holder);
}

static void publish_metrics(holder_t *holder) {
  pthread_mutex_lock(&current_lock);
  holder_t *before = current;
  current = holder;
  pthread_mutex_unlock(&current_lock);
  release(before);
  if (holder == NULL)
    return;
  const au_business_metrics_t *metrics = &holder->metrics;
  au_metrics_set_counter(AU_M_BUSINESS_EVENTS, metrics->total);
  au_metrics_set(AU_M_BUSINESS_LAST_24H, (double)metrics->last_day);
  au_metrics_set(AU_M_BUSINESS_LAST_HOUR, (double)metrics->last_hour);
  au_metrics_set(AU_M_BUSINESS_PER_MINUTE, au_business_per_minute(metrics));
  au_metrics_set(AU_M_DEAD_LETTERS_PENDING, (double)metrics->dead_letters);
  au_metrics_set_services(metrics->service, metrics->services);
}

double au_business_per_minute(const au_business_metrics_t *metrics) {
  return (double)metrics->last_day / MINUTES_A_DAY;
}

/* --- from the database's answer --------------------------------------------*/

static bool read_count(const au_result_t *result, size_t row, uint64_t *out) {
  const char *text = au_result_text(result, row, 2);
  if (text == NULL || text[0] < '0' || text[0] > '9')
    return false;
  char *end = NULL;
  errno = 0;
  *out = strtoull(text, &end, 10);
  return errno == 0 && *end == '\0';
}

/* Where the next entry of each list goes. */
typedef struct filling {
  au_business_metrics_t *metrics;
  au_service_count_t *service;
  au_service_count_t *top;
  au_hour_count_t *hour;
  char *text;
  size_t services_max;
} filling_t;

static const char *keep_text(filling_t *filling, const char *text) {
  size_t size = strlen(text) + 1;
  char *kept = memcpy(filling->text, text, size);
  filling->text += size;
  return kept;
}

static void take_service(filling_t *filling, const char *name, uint64_t count) {
  au_business_metrics_t *metrics = filling->metrics;
  const au_service_count_t service = {.service = keep_text(filling, name),
                                      .count = count};
  if (metrics->tops < AU_BUSINESS_TOP)
    filling->top[metrics->tops++] = service;
  if (metrics->services < filling->services_max)
    filling->service[metrics->services++] = service;
}

/* One row of aurore.figures. What is not known is passed over: a newer schema
 * may report more. */
static bool take_row(filling_t *filling, const au_result_t *result,
                     size_t row) {
  au_business_metrics_t *metrics = filling->metrics;
  const char *kind = au_result_text(result, row, 0);
  const char *name = au_result_text(result, row, 1);
  uint64_t count = 0;
  if (kind == NULL || !read_count(result, row, &count))
    return false;
  if (strcmp(kind, "total") == 0)
    metrics->total = count;
  else if (strcmp(kind, "last_day") == 0)
    metrics->last_day = count;
  else if (strcmp(kind, "last_hour") == 0)
    metrics->last_hour = count;
  else if (strcmp(kind, "dead_letters") == 0)
    metrics->dead_letters = count;
  else if (strcmp(kind, "service") == 0 && name != NULL)
    take_service(filling, name, count);
  else if (strcmp(kind, "hour") == 0 && name != NULL)
    filling->hour[metrics->hours++] =
        (au_hour_count_t){.hour = keep_text(filling, name), .count = count};
  return true;
}

/* The rest. A service may itself be called "other". */
static void add_other(filling_t *filling) {
  static const char other[] = "other";
  au_business_metrics_t *metrics = filling->metrics;
  uint64_t named = 0;
  au_service_count_t *entry = NULL;
  for (size_t i = 0; i < metrics->services; i++) {
    named += filling->service[i].count;
    if (strcmp(filling->service[i].service, other) == 0)
      entry = &filling->service[i];
  }
  if (named >= metrics->total)
    return;
  if (entry == NULL) {
    entry = &filling->service[metrics->services++];
    *entry = (au_service_count_t){.service = other};
  }
  entry->count += metrics->total - named;
}

/* NULL: out of memory, or "*out_valid" is false. */
static holder_t *make_metrics(const au_result_t *result, size_t services_max,
                              int64_t as_of_us, bool *out_valid) {
  size_t rows = au_result_rows(result);
  size_t text_size = 0;
  for (size_t row = 0; row < rows; row++) {
    const char *name = au_result_text(result, row, 1);
    text_size += name != NULL ? strlen(name) + 1 : 0;
  }
  *out_valid = true;
  size_t list_size = (rows + 1) * sizeof(au_service_count_t);
  _Static_assert(sizeof(au_hour_count_t) == sizeof(au_service_count_t),
                 "the lists have entries of one size");
  holder_t *holder = calloc(1, sizeof(*holder) + 3 * list_size + text_size);
  if (holder == NULL)
    return NULL;
  au_business_metrics_t *metrics = &holder->metrics;
  holder->references = 1;
  metrics->holder = holder;
  metrics->as_of_us = as_of_us;
  filling_t filling = {.metrics = metrics, .services_max = services_max};
  filling.service = (au_service_count_t *)(holder + 1);
  filling.top = filling.service + rows + 1;
  filling.hour = (au_hour_count_t *)(filling.top + rows + 1);
  filling.text = (char *)(filling.hour + rows + 1);
  metrics->service = filling.service;
  metrics->top = filling.top;
  metrics->hour = filling.hour;
  for (size_t row = 0; row < rows && *out_valid; row++)
    *out_valid = take_row(&filling, result, row);
  *out_valid = *out_valid && rows > 0;
  if (!*out_valid) {
    free(holder);
    return NULL;
  }
  add_other(&filling);
  return holder;
}

/* --- the thread ------------------------------------------------------------*/

/* Sends one string, and counts it. */
static au_status_t ask(au_business_t *business, const char *sql,
                       au_result_t *out_result, au_database_error_t *error) {
  const au_options_t *options = business->options;
  double timeout_s = options->statement_timeout_s < DEADLINE_S
                         ? options->statement_timeout_s
                         : DEADLINE_S;
  int64_t start_ns = au_clock_monotonic_ns();
  au_metrics_use_connection(true);
  au_status_t status = au_database_exec_within(business->database, timeout_s,
                                               sql, out_result, error);
  au_metrics_use_connection(false);
  au_metrics_count_query(AU_OPERATION_BUSINESS, au_clock_elapsed_ms(start_ns),
                         options->slow_query_s * 1000.0);
  return status;
}

static au_status_t make_ready(au_business_t *business,
                              au_database_error_t *error) {
  if (!au_database_check(business->database))
    business->is_migrated = false;
  au_status_t status = au_database_connect(business->database, error);
  if (status == AU_OK && !business->is_migrated)
    status = au_schema_migrate(business->database, error);
  business->is_migrated = status == AU_OK;
  return status;
}

static au_status_t fold(au_business_t *business, au_database_error_t *error) {
  char sql[128];
  (void)snprintf(sql, sizeof(sql),
                 "SELECT aurore.fold(to_timestamp(%" PRId64 "), %d)",
                 (au_clock_wall_us() - FOLD_AFTER_US) / AU_US_PER_S, FOLD_ROWS);
  for (int i = 0; i < FOLDS_MAX; i++) {
    au_result_t result = {NULL};
    au_status_t status = ask(business, sql, &result, error);
    if (status != AU_OK)
      return status;
    const char *text = au_result_text(&result, 0, 0);
    bool is_last = text == NULL || strtol(text, NULL, 10) < FOLD_ROWS;
    au_result_fini(&result);
    if (is_last)
      break;
  }
  return AU_OK;
}

static au_status_t read_metrics(au_business_t *business,
                                au_database_error_t *error) {
  unsigned wanted = business->options->business_services;
  int64_t now_us = au_clock_wall_us();
  char sql[160];
  (void)snprintf(sql, sizeof(sql),
                 "SELECT kind, name, n FROM aurore.figures("
                 "to_timestamp(%" PRId64 "), %u)",
                 now_us / AU_US_PER_S,
                 wanted > AU_BUSINESS_TOP ? wanted : AU_BUSINESS_TOP);
  au_result_t result = {NULL};
  au_status_t status = ask(business, sql, &result, error);
  if (status != AU_OK)
    return status;
  bool is_valid = true;
  holder_t *holder = make_metrics(&result, wanted, now_us, &is_valid);
  au_result_fini(&result);
  if (holder != NULL) {
    publish_metrics(holder);
    return AU_OK;
  }
  au_database_error_set(error, "%s",
                        is_valid ? "out of memory"
                                 : "unexpected result of aurore.figures()");
  return is_valid ? AU_NOMEM : AU_INVALID;
}

/* The metrics are read even if nothing can be folded: they are right anyway. */
static au_status_t work(au_business_t *business, const char **out_action,
                        au_database_error_t *error) {
  *out_action = "read the business metrics";
  au_status_t status = make_ready(business, error);
  if (status != AU_OK)
    return status;
  au_status_t folded = fold(business, error);
  if (folded != AU_OK && folded != AU_INVALID)
    return folded;
  au_database_error_t read_error;
  status = read_metrics(business, &read_error);
  if (status != AU_OK) {
    *error = read_error;
    business->is_migrated = false; /* another database may answer now */
    return status;
  }
  *out_action = "fold the business counters";
  return folded;
}

static bool run(void *context, au_database_t *database, int64_t *out_wait_ns) {
  au_business_t *business = context;
  business->database = database;
  au_database_error_t error;
  const char *action;
  au_status_t status = work(business, &action, &error);
  au_task_report(&business->trouble, action, status, &error);
  *out_wait_ns = au_clock_seconds_ns(business->options->business_interval_s);
  return status == AU_OK;
}

au_status_t au_business_start(const au_options_t *options,
                              au_breaker_t *breaker, const au_slots_t *slots,
                              au_leader_t *leader,
                              au_business_t **out_business) {
  *out_business = NULL;
  au_business_t *business = calloc(1, sizeof(*business));
  if (business == NULL)
    return AU_NOMEM;
  business->options = options;
  business->trouble.recovered = "the business metrics are read again";
  const au_task_config_t config = {.thread_name = "au-business",
                                   .application_name =
                                       "collectd aurore figures",
                                   .options = options,
                                   .breaker = breaker,
                                   .slots = slots,
                                   .leader = leader,
                                   .run = run,
                                   .context = business};
  au_status_t status = au_task_start(&config, &business->task);
  if (status == AU_OK)
    *out_business = business;
  else
    free(business);
  return status;
}

void au_business_stop(au_business_t *business) {
  if (business == NULL)
    return;
  au_task_stop(business->task);
  publish_metrics(NULL);
  free(business);
}
