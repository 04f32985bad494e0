/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * Two eventfds: "stop" ends every wait for good, those for the database
 * included; "wake" ends the present wait between two runs.
 */
#include "database/task.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SQLSTATE_DEADLOCK "40P01"
/* How often an idle connection is looked at: it may be lost, or the writers may
 * be in need of it. */
#define LOOK_NS AU_NS_PER_S

struct au_task {
  au_task_config_t config;
  int stop_fd;
  int wake_fd;
  pthread_t thread;

  /* The thread's own. */
  au_database_t *database;
  au_backoff_t backoff;
};

/* Runs when it may; returns how long to wait until the next time. */
static int64_t run_once(au_task_t *task) {
  au_breaker_t *breaker = task->config.breaker;
  bool may_run = !au_slots_are_short(task->config.slots) &&
                 (breaker == NULL ||
                  au_breaker_snapshot(breaker).state == AU_BREAKER_CLOSED);
  int64_t wait_ns = 0;
  if (!may_run ||
      !task->config.run(task->config.context, task->database, &wait_ns))
    return au_backoff_next(&task->backoff);
  au_backoff_reset(&task->backoff);
  return wait_ns;
}

/* Waits for the time to pass, or to be woken. false: stop. */
static bool wait_for_work(au_task_t *task, int64_t wait_ns) {
  struct pollfd fds[2] = {{.fd = task->stop_fd, .events = POLLIN},
                          {.fd = task->wake_fd, .events = POLLIN}};
  int64_t deadline_ns = au_clock_monotonic_ns() + wait_ns;
  int count = 0;
  for (int64_t left_ns = wait_ns; left_ns > 0 && count <= 0;
       left_ns = deadline_ns - au_clock_monotonic_ns()) {
    if (au_slots_are_short(task->config.slots))
      au_database_disconnect(task->database);
    if (left_ns > LOOK_NS && au_database_check(task->database))
      left_ns = LOOK_NS;
    count = poll(fds, 2, au_clock_poll_ms(left_ns));
  }
  eventfd_t wakes;
  (void)eventfd_read(task->wake_fd, &wakes); /* nothing, if nobody woke us */
  return poll(fds, 1, 0) <= 0;
}

static void *task_main(void *argument) {
  au_task_t *task = argument;
  while (wait_for_work(task, run_once(task)))
    ;
  return NULL;
}

static void task_free(au_task_t *task) {
  au_database_destroy(task->database);
  if (task->stop_fd >= 0)
    close(task->stop_fd);
  if (task->wake_fd >= 0)
    close(task->wake_fd);
  free(task);
}

static au_status_t make_database(au_task_t *task) {
  const au_options_t *options = task->config.options;
  const au_database_config_t config = {
      .conninfo = options->conninfo,
      .connect_timeout_s = options->connect_timeout_s,
      .statement_timeout_s = options->statement_timeout_s,
      .stop_fd = task->stop_fd,
      .slots = task->config.slots,
      .leader = task->config.leader,
      .application_name = task->config.application_name};
  return au_database_create(&config, &task->database);
}

au_status_t au_task_start(const au_task_config_t *config,
                          au_task_t **out_task) {
  *out_task = NULL;
  au_task_t *task = calloc(1, sizeof(*task));
  if (task == NULL)
    return AU_NOMEM;
  task->config = *config;
  task->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  task->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  /* Tasks that were started together do not wait for the same times. */
  au_backoff_init(&task->backoff,
                  au_clock_seconds_ns(config->options->backoff_min_s),
                  au_clock_seconds_ns(config->options->backoff_max_s),
                  (uint64_t)au_clock_monotonic_ns());
  if (task->stop_fd < 0 || task->wake_fd < 0 || make_database(task) != AU_OK ||
      au_thread_start(&task->thread, config->thread_name, task_main, task) !=
          0) {
    task_free(task);
    return AU_NOMEM;
  }
  *out_task = task;
  return AU_OK;
}

void au_task_wake(au_task_t *task) { (void)eventfd_write(task->wake_fd, 1); }

void au_task_stop(au_task_t *task) {
  if (task == NULL)
    return;
  (void)eventfd_write(task->stop_fd, 1);
  pthread_join(task->thread, NULL);
  task_free(task);
}

void au_task_report(au_task_trouble_t *trouble, const char *action,
                    au_status_t status, const au_database_error_t *error) {
  if (status == AU_OK) {
    if (au_log_changed(&trouble->is_on, false))
      au_log(AU_LOG_NOTICE, "%s", trouble->recovered);
  } else if (status != AU_UNAVAILABLE &&
             strcmp(error->sqlstate, SQLSTATE_DEADLOCK) != 0 &&
             au_log_changed(&trouble->is_on, true)) {
    au_log(AU_LOG_WARNING, "could not %s: %s; trying again", action,
           error->message);
  }
}
