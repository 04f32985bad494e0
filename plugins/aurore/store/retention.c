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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAYS_BEHIND 1
#define DAYS_AHEAD 7

/* The days ahead are many, so that looking seldom is enough. */
#define PERIOD_NS (INT64_C(3600) * AU_NS_PER_S)

/* How long a detach may wait for the queries that still use the partition,
 * until that is logged. Then it is half-done, and is finished the same way. */
#define DETACH_TIMEOUT_S 600.0

/* How long the end of a process may be told. */
#define GOODBYE_S 1.0

/* How many partitions may be in the way before the rest waits, too. */
#define PASSED_MAX 64

/* So many times BackoffMax is the longest wait before a day that cannot be
 * dropped is tried again. */
#define PATIENCE 30

struct au_retention {
  /* Constant after start. */
  const au_options_t *options;
  au_leader_t *leader;
  au_buffer_t *buffer;
  au_task_t *task;
  char self[512]; /* what we are known by */
  char host[256]; /* what people know us by */
  bool is_mortal; /* nothing is left of us when we end */

  /* The task's own. */
  au_database_t *database;
  bool is_elsewhere; /* another process drops */
  bool has_told;
  char wish[320]; /* the wish of another host that was logged */
  char passed[PASSED_MAX][136];
  size_t passed_count;
  au_backoff_t patience;
  au_task_trouble_t make;
  au_task_trouble_t drop;
  au_task_trouble_t turn;
  char cause[AU_DATABASE_MESSAGE_SIZE]; /* as logged for "drop" */
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

/* The caller's part of what aurore.kept_from asks: today, RetentionTime having
 * passed; the day of the oldest event that waits here, which is kept until that
 * is stored; RetentionTime. */
static void put_days(au_bytes_t *sql, const au_retention_t *retention) {
  int64_t now_us = au_clock_wall_us();
  au_bytes_printf(sql, "date '1970-01-01' + (%" PRId64 "), ",
                  au_schema_day(now_us - time_of_day_us(retention)));
  au_buffer_usage_t usage = {.events = 0};
  if (retention->buffer != NULL)
    au_buffer_usage(retention->buffer, &usage);
  if (usage.events > 0)
    au_bytes_printf(sql, "date '1970-01-01' + (%" PRId64 "), ",
                    au_schema_day(now_us - (int64_t)(usage.oldest_age_s *
                                                     (double)AU_US_PER_S)));
  else
    au_bytes_put_string(sql, "NULL, ");
  au_bytes_printf(sql, "interval '%.5s'", retention->options->retention_time);
}

static au_status_t ask(au_retention_t *retention, au_bytes_t *sql,
                       au_result_t *result, au_database_error_t *error) {
  const char *text = au_database_text(sql, error);
  au_status_t status =
      text == NULL ? AU_NOMEM
                   : au_database_exec(retention->database, text, result, error);
  au_bytes_fini(sql);
  return status;
}

/* --- whose wish counts -----------------------------------------------------*/

/* What this process is known by: the id of its spool, or names that it will
 * have the next time, too. */
static void name_self(au_retention_t *retention) {
  const au_options_t *options = retention->options;
  if (gethostname(retention->host, sizeof(retention->host) - 1) != 0)
    retention->host[0] = '\0';
  retention->is_mortal = options->spool_directory == NULL ||
                         options->spool_directory[0] == '\0' ||
                         retention->buffer == NULL;
  if (retention->is_mortal) {
    (void)snprintf(retention->self, sizeof(retention->self), "%s %s",
                   retention->host,
                   options->listen_count > 0 ? options->listen[0] : "");
    return;
  }
  au_uuid_t id =
      au_spool_id(au_lane_spool(au_buffer_lane(retention->buffer, 0)));
  au_uuid_format(&id, retention->self);
}

/* Once for each other wish that keeps the events longer than ours. */
static void log_wish(au_retention_t *retention, const char *days,
                     const char *host) {
  char wish[sizeof(retention->wish)] = "";
  if (days != NULL && host != NULL &&
      strtoul(days, NULL, 10) != retention->options->retention_days)
    (void)snprintf(wish, sizeof(wish), "%s of \"%s\"", days, host);
  if (strcmp(wish, retention->wish) == 0)
    return;
  memcpy(retention->wish, wish, sizeof(wish));
  if (wish[0] == '\0')
    au_log(AU_LOG_NOTICE, "old days are dropped by our own RetentionDays, %u",
           retention->options->retention_days);
  else
    au_log(AU_LOG_NOTICE,
           "RetentionDays is %u here, but events are kept %s%s%s: host \"%s\" "
           "stores into this database, too, and keeps them longer",
           retention->options->retention_days,
           strcmp(days, "0") == 0 ? "for ever" : "for ",
           strcmp(days, "0") == 0 ? "" : days,
           strcmp(days, "0") == 0 ? "" : " days", host);
}

/* Tells the database our RetentionDays, and hears which counts. */
static au_status_t tell(au_retention_t *retention, au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SELECT days, host FROM aurore.tell_retention(");
  au_database_put_literal(&sql, retention->self, strlen(retention->self));
  au_bytes_put_u8(&sql, ',');
  au_database_put_literal(&sql, retention->host, strlen(retention->host));
  au_bytes_printf(&sql, ",%u)", retention->options->retention_days);
  au_result_t result = {NULL};
  retention->has_told = true; /* even if the answer is lost */
  au_status_t status = ask(retention, &sql, &result, error);
  if (status != AU_OK)
    return status;
  log_wish(retention, au_result_text(&result, 0, 0),
           au_result_text(&result, 0, 1));
  au_result_fini(&result);
  return AU_OK;
}

/* Without a spool directory nobody comes back: the next process of this host
 * need not go by what we wished. It is no loss when it cannot be said. A wish
 * whose answer was not waited for may still be on its way in the server: it
 * holds the lock of aurore.tell_retention until it has come true. */
static void say_goodbye(const au_retention_t *retention) {
  if (!retention->is_mortal || !retention->has_told)
    return;
  const au_database_config_t config = {.conninfo = retention->options->conninfo,
                                       .connect_timeout_s = GOODBYE_S,
                                       .statement_timeout_s = GOODBYE_S,
                                       .stop_fd = -1,
                                       .leader = retention->leader,
                                       .application_name =
                                           "collectd aurore janitor"};
  au_database_t *database = NULL;
  if (au_database_create(&config, &database) != AU_OK)
    return;
  au_database_bound(
      database, au_clock_monotonic_ns() + au_clock_seconds_ns(GOODBYE_S), -1);
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SELECT pg_advisory_xact_lock(1096110671, 5); "
                            "SELECT aurore.end_retention(");
  au_database_put_literal(&sql, retention->self, strlen(retention->self));
  au_bytes_put_u8(&sql, ')');
  const char *text = au_bytes_text(&sql);
  au_database_error_t error;
  if (text != NULL && au_database_connect(database, &error) == AU_OK)
    (void)!au_database_exec(database, text, NULL, &error);
  au_bytes_fini(&sql);
  au_database_destroy(database);
}

/* --- one day after the other -----------------------------------------------*/

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
  bool is_found;
  char schema[64];
  char name[64];
  char statement[256]; /* detaches it; "": it is detached */
  bool is_alone;       /* the statement may not be in a transaction */
  char reason[128];    /* why it cannot be dropped; "": it may be */
} leaving_t;

static void copy_text(char *out, size_t size, const char *text) {
  (void)snprintf(out, size, "%s", text != NULL ? text : "");
}

/* The next one, but for those that were passed over. */
static au_status_t find_leaving(au_retention_t *retention, leaving_t *out,
                                au_database_error_t *error) {
  *out = (leaving_t){.is_found = false};
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SELECT schema_name, name, statement, is_alone, "
                            "reason FROM aurore.next_leaving(");
  put_days(&sql, retention);
  au_bytes_put_string(&sql, ", ARRAY[");
  for (size_t i = 0; i < retention->passed_count; i++) {
    au_bytes_put_string(&sql, i > 0 ? "," : "");
    au_database_put_literal(&sql, retention->passed[i],
                            strlen(retention->passed[i]));
  }
  au_bytes_put_string(&sql, "]::text[])");
  au_result_t result = {NULL};
  au_status_t status = ask(retention, &sql, &result, error);
  if (status != AU_OK)
    return status;
  const char *name = au_result_text(&result, 0, 1);
  const char *is_alone = au_result_text(&result, 0, 3);
  out->is_found = name != NULL;
  out->is_alone = is_alone != NULL && is_alone[0] == 't';
  copy_text(out->schema, sizeof(out->schema), au_result_text(&result, 0, 0));
  copy_text(out->name, sizeof(out->name), name);
  copy_text(out->statement, sizeof(out->statement),
            au_result_text(&result, 0, 2));
  copy_text(out->reason, sizeof(out->reason), au_result_text(&result, 0, 4));
  au_result_fini(&result);
  return AU_OK;
}

/* What waits for others, waits shortly: meanwhile whoever comes waits for it.
 */
static au_status_t detach(au_retention_t *retention, const leaving_t *leaving,
                          au_database_error_t *error) {
  if (leaving->statement[0] == '\0')
    return AU_OK;
  if (leaving->is_alone)
    return au_database_exec_alone(retention->database, DETACH_TIMEOUT_S,
                                  leaving->statement, error);
  char sql[sizeof(leaving->statement) + 64];
  (void)snprintf(sql, sizeof(sql), "SET LOCAL lock_timeout = '1s'; %s",
                 leaving->statement);
  return au_database_exec(retention->database, sql, NULL, error);
}

/* Calls a function of the marked partition. */
static au_status_t call(au_retention_t *retention, const char *function,
                        const leaving_t *leaving, au_result_t *result,
                        au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_printf(&sql, "SELECT aurore.%s(", function);
  au_database_put_literal(&sql, leaving->schema, strlen(leaving->schema));
  au_bytes_put_u8(&sql, ',');
  au_database_put_literal(&sql, leaving->name, strlen(leaving->name));
  au_bytes_put_u8(&sql, ')');
  return ask(retention, &sql, result, error);
}

static au_status_t drop(au_retention_t *retention, const leaving_t *leaving,
                        au_database_error_t *error) {
  if (leaving->reason[0] != '\0') {
    au_database_error_set(error, "%s", leaving->reason);
    return AU_INVALID;
  }
  au_result_t result = {NULL};
  au_status_t status = detach(retention, leaving, error);
  if (status == AU_OK)
    status = call(retention, "settle_leaving", leaving, NULL, error);
  if (status == AU_OK)
    status = call(retention, "drop_leaving", leaving, &result, error);
  if (status != AU_OK)
    return status;
  const char *events = au_result_text(&result, 0, 0);
  if (events != NULL)
    au_log(AU_LOG_NOTICE,
           "dropped the partition \"%s\" with %s events, which are older than "
           "RetentionDays",
           leaving->name, events);
  au_result_fini(&result);
  return AU_OK;
}

/* It stays where it is for this time; the others go. */
static void pass_over(au_retention_t *retention, const leaving_t *leaving) {
  if (retention->passed_count < PASSED_MAX)
    (void)snprintf(retention->passed[retention->passed_count],
                   sizeof(retention->passed[0]), "%s.%s", leaving->schema,
                   leaving->name);
  retention->passed_count++;
}

/* Which partition it is about stands before PostgreSQL's own words. */
static void explain(const leaving_t *leaving, const au_database_error_t *own,
                    au_database_error_t *error) {
  *error = *own;
  (void)snprintf(error->message, sizeof(error->message), "\"%s\": %.*s",
                 leaving->name, (int)(sizeof(error->message) - 80),
                 own->message);
}

/* One of them. AU_INVALID: it was passed over, "error" says why. */
static au_status_t drop_next(au_retention_t *retention, bool *out_is_found,
                             au_database_error_t *error) {
  leaving_t leaving;
  int64_t start_ns = au_clock_monotonic_ns();
  *out_is_found = false;
  au_status_t status = find_leaving(retention, &leaving, error);
  if (status != AU_OK || !leaving.is_found)
    return status;
  *out_is_found = true;
  au_database_error_t own;
  status = drop(retention, &leaving, &own);
  count_query(retention, start_ns);
  if (status == AU_OK)
    return AU_OK;
  explain(&leaving, &own, error);
  if (status == AU_INVALID)
    pass_over(retention, &leaving);
  return status;
}

/* Drops what is to be dropped, one partition after the other. Those that cannot
 * be dropped are passed over; "error" is about the first of them. */
static au_status_t drop_partitions(au_retention_t *retention,
                                   au_database_error_t *error) {
  retention->passed_count = 0;
  au_status_t result = take_turn(retention, error);
  bool is_found = result == AU_OK && !retention->is_elsewhere;
  while (is_found && retention->passed_count < PASSED_MAX) {
    au_database_error_t own;
    au_status_t status = drop_next(retention, &is_found, &own);
    if (status == AU_OK)
      continue;
    if (result == AU_OK || status != AU_INVALID) {
      result = status;
      *error = own;
    }
    if (status != AU_INVALID)
      break;
  }
  return result;
}

/* What should be gone and is still there, whoever drops. */
static au_status_t measure(au_retention_t *retention,
                           au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SELECT aurore.overdue_days(");
  put_days(&sql, retention);
  au_bytes_put_u8(&sql, ')');
  au_result_t result = {NULL};
  au_status_t status = ask(retention, &sql, &result, error);
  if (status != AU_OK)
    return status;
  const char *days = au_result_text(&result, 0, 0);
  if (days != NULL)
    au_metrics_set(AU_M_RETENTION_OVERDUE, strtod(days, NULL));
  au_result_fini(&result);
  return AU_OK;
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

/* Tells, drops and measures. Nothing is dropped before it is known whose wish
 * counts. */
static au_status_t drop_old_days(au_retention_t *retention,
                                 au_database_error_t *error) {
  au_status_t status = tell(retention, error);
  if (status != AU_OK)
    return status;
  status = drop_partitions(retention, error);
  au_database_error_t own;
  if (!au_database_is_connected(retention->database))
    return status;
  au_status_t measured = measure(retention, &own);
  if (measured == AU_OK || status != AU_OK)
    return status;
  *error = own;
  return measured;
}

/* Says what keeps us from dropping when it begins, when it is another cause,
 * and when it is over. */
static void report_drop(au_retention_t *retention, au_status_t status,
                        const au_database_error_t *error) {
  if (status == AU_INVALID && retention->drop.is_on &&
      strcmp(error->message, retention->cause) != 0)
    retention->drop.is_on = false;
  if (status == AU_INVALID)
    copy_text(retention->cause, sizeof(retention->cause), error->message);
  au_task_report(&retention->drop, "drop the events of old days", status,
                 error);
}

/* AU_OK: everything that was due is done. AU_INVALID: what could be done is
 * done, and some days could not be dropped. */
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
  if (status == AU_INVALID)
    status = AU_UNAVAILABLE;
  if (is_ready && au_database_is_connected(database)) {
    au_status_t dropped = drop_old_days(retention, &error);
    report_drop(retention, dropped, &error);
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
  if (status == AU_INVALID) {
    /* Somebody has to do something first, who need not be waited for long. */
    int64_t wait_ns = au_backoff_next(&retention->patience);
    *out_wait_ns = wait_ns < *out_wait_ns ? wait_ns : *out_wait_ns;
    return true;
  }
  au_backoff_reset(&retention->patience);
  /* Another process that drops may end without having done so; or it was us,
   * and the server has not noticed yet that our session is over. */
  return status == AU_OK && !retention->is_elsewhere;
}

au_status_t au_retention_start(const au_options_t *options,
                               au_breaker_t *breaker, const au_slots_t *slots,
                               au_leader_t *leader, au_buffer_t *buffer,
                               au_retention_t **out_retention) {
  *out_retention = NULL;
  au_retention_t *retention = calloc(1, sizeof(*retention));
  if (retention == NULL)
    return AU_NOMEM;
  retention->options = options;
  retention->leader = leader;
  retention->buffer = buffer;
  name_self(retention);
  au_backoff_init(&retention->patience,
                  au_clock_seconds_ns(options->backoff_min_s),
                  au_clock_seconds_ns(PATIENCE * options->backoff_max_s),
                  (uint64_t)au_clock_monotonic_ns());
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
                                   .leader = leader,
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
  say_goodbye(retention);
  free(retention);
}

void au_retention_wake(au_retention_t *retention) {
  au_task_wake(retention->task);
}
