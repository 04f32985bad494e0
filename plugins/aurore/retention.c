/* SPDX-License-Identifier: MIT
 *
 * retention - see retention.h.
 *
 * Two eventfds: "stop" ends every wait for good, those for the database
 * included; "wake" ends the wait for the next hour.
 */
#include "retention.h"

#include "clock.h"
#include "database.h"
#include "log.h"
#include "metrics.h"
#include "schema.h"
#include "thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DAYS_BEHIND 1
#define DAYS_AHEAD 7

/* The days ahead are many, so that looking seldom is enough. */
#define LOOK_NS (INT64_C(3600) * AU_NS_PER_S)

struct au_retention {
  /* Constant after start. */
  const au_options_t *options;
  au_breaker_t *breaker;
  int stop_fd;
  int wake_fd;
  pthread_t thread;

  /* The thread's own. */
  au_database_t *database;
  au_backoff_t backoff;
  bool in_trouble;
};

/* One look. AU_OK: all that was to be done is done. */
static au_status_t work(au_retention_t *retention, au_database_error_t *error) {
  au_database_t *database = retention->database;
  au_status_t status = au_database_connect(database, error);
  if (status == AU_OK)
    status = au_schema_migrate(database, error);
  if (status == AU_OK) {
    int64_t today = au_schema_day(au_clock_wall_us());
    int64_t start_ns = au_clock_monotonic_ns();
    status = au_schema_ensure_partitions(database, today - DAYS_BEHIND,
                                         today + DAYS_AHEAD, error);
    au_metrics_count_query(AU_OPERATION_RETENTION,
                           (double)(au_clock_monotonic_ns() - start_ns) /
                               (double)AU_NS_PER_MS,
                           retention->options->slow_query_s * 1000.0);
  }
  au_database_disconnect(database);
  return status;
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
  au_database_error_t error;
  au_status_t status = work(retention, &error);
  if (status == AU_OK) {
    if (retention->in_trouble)
      au_log(AU_LOG_NOTICE, "the partitions of the next days are made");
    retention->in_trouble = false;
    au_backoff_reset(&retention->backoff);
    return LOOK_NS;
  }
  /* That the database is away is said by the writers. */
  if (status != AU_UNAVAILABLE && !retention->in_trouble) {
    au_log(AU_LOG_WARNING,
           "could not make the partitions of the next days: %s; trying again",
           error.message);
    retention->in_trouble = true;
  }
  return au_backoff_next(&retention->backoff);
}

/* Waits to be woken. false: stop. */
static bool rest(au_retention_t *retention, int64_t wait_ns) {
  int64_t deadline_ns = au_clock_monotonic_ns() + wait_ns;
  struct pollfd fds[2] = {{.fd = retention->stop_fd, .events = POLLIN},
                          {.fd = retention->wake_fd, .events = POLLIN}};
  int64_t left_ns = wait_ns;
  while (left_ns > 0) {
    int count = poll(fds, 2, (int)(left_ns / AU_NS_PER_MS) + 1);
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
                               au_breaker_t *breaker,
                               au_retention_t **out_retention) {
  *out_retention = NULL;
  au_retention_t *retention = calloc(1, sizeof(*retention));
  if (retention == NULL)
    return AU_NOMEM;
  retention->options = options;
  retention->breaker = breaker;
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
