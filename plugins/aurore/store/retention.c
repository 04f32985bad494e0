/* SPDX-License-Identifier: MIT
 *
 * retention - see retention.h.
 *
 * Two eventfds: "stop" ends every wait for good, those for the database
 * included; "wake" ends the wait for the next hour.
 */
#include "store/retention.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "database/database.h"
#include "database/schema.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DAYS_BEHIND 1
#define DAYS_AHEAD 7

/* The days ahead are many, so that looking seldom is enough. */
#define LOOK_NS (INT64_C(3600) * AU_NS_PER_S)

#define US_PER_DAY (INT64_C(86400) * AU_US_PER_S)
#define US_PER_MINUTE (INT64_C(60) * AU_US_PER_S)

/* How long a detach may wait for the queries that still use the partition,
 * until that is told. Then it is half-done, and is finished in the same way. */
#define DETACH_TIMEOUT_S 600.0

#define SQLSTATE_DEADLOCK "40P01"

/* What is done at a look, and told about separately. */
typedef struct task {
  const char *could_not;
  const char *recovered;
  bool in_trouble;
} task_t;

struct au_retention {
  /* Constant after start. */
  const au_options_t *options;
  au_breaker_t *breaker;
  au_buffer_t *buffer;
  int stop_fd;
  int wake_fd;
  pthread_t thread;

  /* The thread's own. */
  au_database_t *database;
  au_backoff_t backoff;
  bool is_elsewhere; /* another process drops */
  task_t make;
  task_t drop;
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

/* --- dropping --------------------------------------------------------------
 */

/* RetentionTime; it has been checked to be "HH:MM". */
static int64_t time_of_day_us(const au_retention_t *retention) {
  const char *text = retention->options->retention_time;
  return (strtol(text, NULL, 10) * 60 + strtol(text + 3, NULL, 10)) *
         US_PER_MINUTE;
}

/* Days before this one are dropped. A day that an event in our buffer belongs
 * to is kept until that is stored: while its day is being dropped it could not
 * be. */
static int64_t first_day_kept(const au_retention_t *retention) {
  int64_t now_us = au_clock_wall_us();
  int64_t day = au_schema_day(now_us - time_of_day_us(retention)) -
                retention->options->retention_days;
  au_buffer_figures_t figures = {.events = 0};
  if (retention->buffer != NULL)
    au_buffer_figures(retention->buffer, &figures);
  if (figures.events == 0)
    return day;
  int64_t oldest_us =
      now_us - (int64_t)(figures.oldest_age_s * (double)AU_US_PER_S);
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

/* --- the thread ------------------------------------------------------------
 */

/* Says a change of state once. That the database is away is said by the
 * writers. Whoever looks at a partition that is being detached may meet us in a
 * deadlock, which is over when we hear of it. */
static void tell(task_t *task, au_status_t status,
                 const au_database_error_t *error) {
  if (status == AU_OK) {
    if (task->in_trouble)
      au_log(AU_LOG_NOTICE, "%s", task->recovered);
    task->in_trouble = false;
  } else if (status != AU_UNAVAILABLE && !task->in_trouble &&
             strcmp(error->sqlstate, SQLSTATE_DEADLOCK) != 0) {
    au_log(AU_LOG_WARNING, "could not %s: %s; trying again", task->could_not,
           error->message);
    task->in_trouble = true;
  }
}

/* One look. AU_OK: all that was to be done is done. */
static au_status_t work(au_retention_t *retention) {
  au_database_t *database = retention->database;
  au_database_error_t error;
  au_status_t status = au_database_connect(database, &error);
  if (status == AU_OK)
    status = au_schema_migrate(database, &error);
  bool is_ready = status == AU_OK;
  if (is_ready)
    status = make_partitions(retention, &error);
  tell(&retention->make, status, &error);
  if (is_ready && au_database_is_connected(database)) {
    au_status_t dropped = drop_partitions(retention, &error);
    tell(&retention->drop, dropped, &error);
    status = status == AU_OK ? dropped : status;
  }
  au_database_disconnect(database);
  return status;
}

/* Until the next look when all is well: soon after RetentionTime, or earlier.
 */
static int64_t until_next(const au_retention_t *retention) {
  int64_t since_us =
      (au_clock_wall_us() - time_of_day_us(retention)) % US_PER_DAY;
  if (since_us < 0)
    since_us += US_PER_DAY;
  int64_t until_ns =
      (US_PER_DAY - since_us) * (AU_NS_PER_S / AU_US_PER_S) + AU_NS_PER_S;
  return until_ns < LOOK_NS ? until_ns : LOOK_NS;
}

static bool is_readable(int fd) {
  struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
  return poll(&poll_fd, 1, 0) > 0;
}

/* Looks when it may; returns how long to wait until the next time. */
static int64_t look(au_retention_t *retention) {
  if (retention->breaker != NULL &&
      au_breaker_snapshot(retention->breaker).state != AU_BREAKER_CLOSED)
    return au_backoff_next(&retention->backoff);
  /* Another process that drops may end without having done so; or it was us,
   * and its session has not noticed yet. */
  if (work(retention) != AU_OK || retention->is_elsewhere)
    return au_backoff_next(&retention->backoff);
  au_backoff_reset(&retention->backoff);
  return until_next(retention);
}

/* Waits to be woken. false: stop. */
static bool rest(au_retention_t *retention, int64_t wait_ns) {
  int64_t deadline_ns = au_clock_monotonic_ns() + wait_ns;
  struct pollfd fds[2] = {{.fd = retention->stop_fd, .events = POLLIN},
                          {.fd = retention->wake_fd, .events = POLLIN}};
  int64_t left_ns = wait_ns;
  while (left_ns > 0) {
    int count = poll(fds, 2, au_clock_poll_ms(left_ns));
    if (count > 0)
      break;
    left_ns = deadline_ns - au_clock_monotonic_ns();
  }
  uint64_t wakes = 0;
  /* Nothing to read (EAGAIN) when nobody has woken us. */
  if (read(retention->wake_fd, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN)
    au_log(AU_LOG_WARNING, "could not read an eventfd of the janitor");
  return !is_readable(retention->stop_fd);
}

static void *retention_main(void *argument) {
  au_retention_t *retention = argument;
  while (rest(retention, look(retention)))
    ;
  return NULL;
}

static void signal_fd(int fd) {
  uint64_t one = 1;
  /* It fails only when the counter is full: then it is readable already. */
  if (write(fd, &one, sizeof(one)) < 0)
    return;
}

static void retention_free(au_retention_t *retention) {
  au_database_destroy(retention->database);
  if (retention->stop_fd >= 0)
    close(retention->stop_fd);
  if (retention->wake_fd >= 0)
    close(retention->wake_fd);
  free(retention);
}

static au_status_t make_database(au_retention_t *retention) {
  const au_options_t *options = retention->options;
  const au_database_config_t config = {
      .conninfo = options->conninfo,
      .connect_timeout_s = options->connect_timeout_s,
      .statement_timeout_s = options->statement_timeout_s,
      .stop_fd = retention->stop_fd,
      .application_name = "collectd aurore janitor"};
  return au_database_create(&config, &retention->database);
}

au_status_t au_retention_start(const au_options_t *options,
                               au_breaker_t *breaker, au_buffer_t *buffer,
                               au_retention_t **out_retention) {
  *out_retention = NULL;
  au_retention_t *retention = calloc(1, sizeof(*retention));
  if (retention == NULL)
    return AU_NOMEM;
  retention->options = options;
  retention->breaker = breaker;
  retention->buffer = buffer;
  retention->make =
      (task_t){.could_not = "make the partitions of the next days",
               .recovered = "the partitions of the next days are made"};
  retention->drop = (task_t){.could_not = "drop the events of old days",
                             .recovered = "the events of old days are dropped"};
  retention->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  retention->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  au_backoff_init(&retention->backoff,
                  au_clock_seconds_ns(options->backoff_min_s),
                  au_clock_seconds_ns(options->backoff_max_s),
                  (uint64_t)au_clock_wall_us());
  if (retention->stop_fd < 0 || retention->wake_fd < 0 ||
      make_database(retention) != AU_OK ||
      au_thread_start(&retention->thread, "au-janitor", retention_main,
                      retention) != 0) {
    retention_free(retention);
    return AU_NOMEM;
  }
  *out_retention = retention;
  return AU_OK;
}

void au_retention_stop(au_retention_t *retention) {
  if (retention == NULL)
    return;
  signal_fd(retention->stop_fd);
  pthread_join(retention->thread, NULL);
  retention_free(retention);
}

void au_retention_wake(au_retention_t *retention) {
  signal_fd(retention->wake_fd);
}
