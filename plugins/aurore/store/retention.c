/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/. */
#include "store/retention.h"

#include "base/clock.h"
#include "base/log.h"
#include "database/database.h"
#include "database/schema.h"
#include "database/task.h"
#include "metrics/metrics.h"
#include "store/event_keys.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAYS_BEHIND 1
#define DAYS_AHEAD 7

/* The days ahead are many, so that looking seldom is enough. */
#define PERIOD_NS (INT64_C(3600) * AU_NS_PER_S)

/* How long a detach may wait for the queries that still use the partition,
 * until that is logged. Then it is half-done, and is finished the same way. */
#define DETACH_TIMEOUT_S 600.0

struct au_retention {
  /* Constant after start. */
  const au_options_t *options;
  au_buffer_t *buffer;
  au_task_t *task;

  /* The task's own. */
  au_database_t *database;
  bool is_elsewhere; /* another process drops */
  au_task_trouble_t make;
  au_task_trouble_t drop;
  au_task_trouble_t turn;
};

static void count_query(const au_retention_t *retention, int64_t start_ns) {
  au_metrics_count_query(AU_OPERATION_RETENTION, au_clock_elapsed_ms(start_ns),
                         retention->options->slow_query_s * 1000.0);
}

static au_status_t make_partitions(au_retention_t *retention,
                                   au_database_error_t *error) {
  int64_t today = au_schema_day(au_clock_wall_us());
  int64_t start_ns = au_clock_monotonic_ns();
  au_status_t status = au_schema_ensure_partitions(
      retention->database, today - DAYS_BEHIND, today + DAYS_AHEAD, error);
  count_query(retention, start_ns);
  return status;
}

/* --- dropping --------------------------------------------------------------*/

/* RetentionTime; it has been checked to be "HH:MM". */
static int64_t time_of_day_us(const au_retention_t *retention) {
  const char *text = retention->options->retention_time;
  return (strtol(text, NULL, 10) * 60 + strtol(text + 3, NULL, 10)) *
         AU_US_PER_MINUTE;
}

/* Days before this one are dropped. A day that an event in our buffer belongs
 * to is kept until that is stored: while its day is being dropped it could not
 * be. */
static int64_t first_day_kept(const au_retention_t *retention) {
  int64_t now_us = au_clock_wall_us();
  int64_t day = au_schema_day(now_us - time_of_day_us(retention)) -
                retention->options->retention_days;
  au_buffer_usage_t usage = {.events = 0};
  if (retention->buffer != NULL)
    au_buffer_usage(retention->buffer, &usage);
  if (usage.events == 0)
    return day;
  int64_t oldest_us =
      now_us - (int64_t)(usage.oldest_age_s * (double)AU_US_PER_S);
  int64_t oldest_day = au_schema_day(oldest_us);
  return oldest_day < day ? oldest_day : day;
}

/* Between the processes that may drop; it ends with the session. Behind a
 * pooler there is no such lock, and two that drop at once may fail each other;
 * they try again. */
static au_status_t take_turn(au_retention_t *retention,
                             au_database_error_t *error) {
  retention->is_elsewhere = false;
  if (au_database_is_pooled(retention->database))
    return AU_OK;
  au_result_t result = {NULL};
  au_status_t status = au_database_exec(
      retention->database, "SELECT pg_try_advisory_lock(1096110671, 4)",
      &result, error);
  if (status != AU_OK)
    return status;
  const char *text = au_result_text(&result, 0, 0);
  retention->is_elsewhere = text == NULL || strcmp(text, "t") != 0;
  au_result_fini(&result);
  return AU_OK;
}

/* A partition on its way out. */
typedef struct leaving {
  unsigned long oid;
  char name[64];
  char statement[256]; /* "": it is detached */
} leaving_t;

/* "*out" has the oid 0 when there is none. */
static au_status_t find_leaving(au_retention_t *retention, leaving_t *out,
                                au_database_error_t *error) {
  char sql[192];
  (void)snprintf(sql, sizeof(sql),
                 "SELECT partition, name, statement FROM aurore.next_drop("
                 "date '1970-01-01' + (%" PRId64 "), %u, interval '%.5s')",
                 first_day_kept(retention), retention->options->retention_days,
                 retention->options->retention_time);
  *out = (leaving_t){.oid = 0};
  au_result_t result = {NULL};
  au_status_t status =
      au_database_exec(retention->database, sql, &result, error);
  if (status != AU_OK)
    return status;
  const char *oid = au_result_text(&result, 0, 0);
  const char *name = au_result_text(&result, 0, 1);
  const char *statement = au_result_text(&result, 0, 2);
  if (oid != NULL && name != NULL) {
    out->oid = strtoul(oid, NULL, 10);
    (void)snprintf(out->name, sizeof(out->name), "%s", name);
    (void)snprintf(out->statement, sizeof(out->statement), "%s",
                   statement != NULL ? statement : "");
  }
  au_result_fini(&result);
  return AU_OK;
}

static au_status_t finish(au_retention_t *retention, const leaving_t *leaving,
                          au_database_error_t *error) {
  char sql[64];
  (void)snprintf(sql, sizeof(sql), "SELECT aurore.finish_drop(%lu)",
                 leaving->oid);
  au_result_t result = {NULL};
  au_status_t status =
      au_database_exec(retention->database, sql, &result, error);
  if (status != AU_OK)
    return status;
  const char *events = au_result_text(&result, 0, 0);
  au_log(AU_LOG_NOTICE,
         "dropped the partition \"%s\" with %s events, which are older than "
         "RetentionDays",
         leaving->name, events != NULL ? events : "its");
  au_result_fini(&result);
  return AU_OK;
}

/* Drops what is to be dropped, one partition after the other. */
static au_status_t drop_partitions(au_retention_t *retention,
                                   au_database_error_t *error) {
  if (retention->options->retention_days == 0)
    return AU_OK;
  au_status_t status = take_turn(retention, error);
  while (status == AU_OK && !retention->is_elsewhere) {
    leaving_t leaving;
    int64_t start_ns = au_clock_monotonic_ns();
    status = find_leaving(retention, &leaving, error);
    if (status == AU_OK && leaving.oid == 0)
      break;
    if (status == AU_OK && leaving.statement[0] != '\0')
      status = au_database_exec_alone(retention->database, DETACH_TIMEOUT_S,
                                      leaving.statement, error);
    if (status == AU_OK)
      status = finish(retention, &leaving, error);
    count_query(retention, start_ns);
  }
  return status;
}

/* --- ids of clients
 * ---------------------------------------------------------*/

/* Tells DedupWindow, also while no event comes that has an id of its own, and
 * forgets the ids that are old enough. */
static au_status_t turn_event_keys(au_retention_t *retention,
                                   au_database_error_t *error) {
  if (retention->buffer == NULL)
    return AU_OK;
  au_event_keys_t keys = {.count = 0};
  au_event_keys_init(&keys, retention->options,
                     au_lane_spool(au_buffer_lane(retention->buffer, 0)));
  bool is_turned = false;
  int64_t start_ns = au_clock_monotonic_ns();
  au_status_t status =
      au_event_keys_turn(&keys, retention->database, &is_turned, error);
  count_query(retention, start_ns);
  return status;
}

/* --- the task --------------------------------------------------------------*/

/* AU_OK: everything that was due is done. */
static au_status_t work(au_retention_t *retention) {
  au_database_t *database = retention->database;
  au_database_error_t error;
  au_status_t status = au_database_connect(database, &error);
  if (status == AU_OK)
    status = au_schema_migrate(database, &error);
  bool is_ready = status == AU_OK;
  if (is_ready)
    status = make_partitions(retention, &error);
  au_task_report(&retention->make, "make the partitions of the next days",
                 status, &error);
  if (is_ready && au_database_is_connected(database)) {
    au_status_t dropped = drop_partitions(retention, &error);
    au_task_report(&retention->drop, "drop the events of old days", dropped,
                   &error);
    status = status == AU_OK ? dropped : status;
  }
  if (is_ready && au_database_is_connected(database)) {
    au_status_t turned = turn_event_keys(retention, &error);
    au_task_report(&retention->turn,
                   "forget the ids that are older than "
                   "DedupWindow",
                   turned, &error);
    status = status == AU_OK ? turned : status;
  }
  au_database_disconnect(database);
  return status;
}

/* The wait when all is well: until soon after RetentionTime, or less. */
static int64_t until_next(const au_retention_t *retention) {
  int64_t since_us =
      (au_clock_wall_us() - time_of_day_us(retention)) % AU_US_PER_DAY;
  if (since_us < 0)
    since_us += AU_US_PER_DAY;
  int64_t until_ns =
      (AU_US_PER_DAY - since_us) * (AU_NS_PER_S / AU_US_PER_S) + AU_NS_PER_S;
  return until_ns < PERIOD_NS ? until_ns : PERIOD_NS;
}

static bool run(void *context, au_database_t *database, int64_t *out_wait_ns) {
  au_retention_t *retention = context;
  retention->database = database;
  au_status_t status = work(retention);
  *out_wait_ns = until_next(retention);
  /* Another process that drops may end without having done so; or it was us,
   * and the server has not noticed yet that our session is over. */
  return status == AU_OK && !retention->is_elsewhere;
}

au_status_t au_retention_start(const au_options_t *options,
                               au_breaker_t *breaker, const au_slots_t *slots,
                               au_buffer_t *buffer,
                               au_retention_t **out_retention) {
  *out_retention = NULL;
  au_retention_t *retention = calloc(1, sizeof(*retention));
  if (retention == NULL)
    return AU_NOMEM;
  retention->options = options;
  retention->buffer = buffer;
  retention->make.recovered = "the partitions of the next days are made";
  retention->drop.recovered = "the events of old days are dropped";
  retention->turn.recovered =
      "ids that are older than DedupWindow are forgotten";
  const au_task_config_t config = {.thread_name = "au-janitor",
                                   .application_name =
                                       "collectd aurore janitor",
                                   .options = options,
                                   .breaker = breaker,
                                   .slots = slots,
                                   .run = run,
                                   .context = retention};
  au_status_t status = au_task_start(&config, &retention->task);
  if (status == AU_OK)
    *out_retention = retention;
  else
    free(retention);
  return status;
}

void au_retention_stop(au_retention_t *retention) {
  if (retention == NULL)
    return;
  au_task_stop(retention->task);
  free(retention);
}

void au_retention_wake(au_retention_t *retention) {
  au_task_wake(retention->task);
}
