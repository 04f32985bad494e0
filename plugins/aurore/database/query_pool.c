/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/. */
#include "database/query_pool.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How long a connection is kept without work, and how often it is looked at. */
#define KEEP_NS (60 * AU_NS_PER_S)
#define LOOK_NS AU_NS_PER_S
/* A query's time is over on the server first; then its silence is a fault. */
#define GRACE_NS (5 * AU_NS_PER_S)
/* A client that seems to be gone may still wait for its answer this long (see
 * au_database_bound). */
#define PEER_GRACE_NS AU_NS_PER_S
#define LANES 2

typedef struct lane {
  pthread_cond_t wake;
  au_query_job_t *first;
  au_query_job_t **last;
  unsigned waiting;
  unsigned limit;
} lane_t;

typedef struct worker {
  au_query_pool_t *query;
  lane_t *lane;
  pthread_t thread;
  bool started;

  /* The thread's own. */
  au_database_t *database;
  bool connected; /* as it was counted */
  int64_t used_ns;
} worker_t;

struct au_query_pool {
  /* Immutable after start. */
  const au_options_t *options;
  au_breaker_t *breaker;
  const au_slots_t *slots;
  au_leader_t *leader;
  int stop_fd;
  unsigned workers;
  worker_t *worker;

  _Atomic unsigned active;
  _Atomic unsigned connected;
  _Atomic bool in_trouble; /* logged; cleared when a query succeeds */

  pthread_mutex_t lock; /* protects: all below */
  lane_t lane[LANES];
  bool closed;
  bool stop;
};

static bool is_stopped(const au_query_pool_t *query) {
  struct pollfd fd = {.fd = query->stop_fd, .events = POLLIN};
  return poll(&fd, 1, 0) > 0;
}

/* Keeps the number of connections true. */
static void count_connection(worker_t *worker) {
  bool connected = au_database_is_connected(worker->database);
  if (connected == worker->connected)
    return;
  worker->connected = connected;
  atomic_fetch_add(&worker->query->connected, connected ? 1U : -1U);
}

/* Whether the failure says something about the database, rather than about the
 * query or its time. */
static bool is_connection_fault(const worker_t *worker,
                                const au_query_job_t *job, au_status_t status,
                                const au_database_error_t *error) {
  static const char *const classes[] = {"08", "53", "57", "58", "XX"};
  if (status == AU_UNAVAILABLE) {
    bool is_over = job->lane == AU_QUERY_SHORT &&
                   au_clock_monotonic_ns() >= job->deadline_ns;
    return !is_over && !is_stopped(worker->query) &&
           !au_slots_are_short(worker->query->slots) &&
           !au_database_is_peer_gone(job->peer_fd);
  }
  if (status != AU_INVALID || strcmp(error->sqlstate, "57014") == 0)
    return false; /* 57014: cancelled, or timed out */
  for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
    if (strncmp(error->sqlstate, classes[i], 2) == 0)
      return true;
  return false;
}

/* Gives the permit back. */
static void report_outcome(const worker_t *worker, const au_query_job_t *job,
                           au_permit_t permit, au_status_t status,
                           const au_database_error_t *error) {
  au_breaker_t *breaker = worker->query->breaker;
  if (status == AU_OK)
    au_breaker_success(breaker, permit);
  else if (is_connection_fault(worker, job, status, error))
    au_breaker_failure(breaker, permit, au_clock_monotonic_ns(),
                       au_clock_wall_us(), error);
  else
    au_breaker_cancel(breaker, permit);
}

/* Connects; the breaker's probe also asks whether the connection works. */
static au_status_t reach(worker_t *worker, bool probe,
                         au_database_error_t *error) {
  au_status_t status = au_database_connect(worker->database, error);
  if (status == AU_OK && probe)
    status = au_database_exec_within(worker->database,
                                     worker->query->options->connect_timeout_s,
                                     "SELECT 1", NULL, error);
  count_connection(worker);
  return status;
}

static au_status_t run(worker_t *worker, au_query_job_t *job,
                       au_database_error_t *error) {
  int64_t start_ns = au_clock_monotonic_ns();
  atomic_fetch_add(&worker->query->active, 1);
  au_metrics_use_connection(true);
  au_status_t status = job->run(job, worker->database, error);
  au_metrics_use_connection(false);
  atomic_fetch_sub(&worker->query->active, 1);
  if (job->operation != AU_OPERATION_COUNT)
    au_metrics_count_query(job->operation, au_clock_elapsed_ms(start_ns),
                           worker->query->options->slow_query_s * 1000.0);
  return status;
}

/* An error of a query is one of ours, of the schema or of a right. */
static void log_change(au_query_pool_t *query, au_status_t status,
                       const au_database_error_t *error) {
  if (status == AU_OK && au_log_changed(&query->in_trouble, false))
    au_log(AU_LOG_NOTICE, "queries work again");
  if (status == AU_INVALID && strcmp(error->sqlstate, "57014") != 0 &&
      au_log_changed(&query->in_trouble, true))
    au_log(AU_LOG_WARNING,
           "could not run a query: %s; answering 503 until queries work again",
           error->message);
}

/* Nobody needs the answer any more, or it would come too late. */
static bool is_stale(const au_query_job_t *job, int64_t now_ns) {
  return now_ns >= job->deadline_ns ||
         (now_ns - job->submitted_ns >= PEER_GRACE_NS &&
          au_database_is_peer_gone(job->peer_fd));
}

static au_status_t run_job(worker_t *worker, au_query_job_t *job) {
  au_query_pool_t *query = worker->query;
  int64_t now_ns = au_clock_monotonic_ns();
  au_permit_t permit;
  int64_t retry_ns = 0;
  if (au_slots_are_short(query->slots)) {
    au_database_disconnect(worker->database);
    return AU_UNAVAILABLE;
  }
  if (is_stale(job, now_ns) ||
      !au_breaker_allow(query->breaker, now_ns, &permit, &retry_ns)) {
    /* Jobs may come so often that the connection is never idle. */
    (void)au_database_check(worker->database);
    return AU_UNAVAILABLE;
  }
  au_database_bound(worker->database,
                    job->lane == AU_QUERY_SHORT ? job->deadline_ns
                                                : job->deadline_ns + GRACE_NS,
                    job->peer_fd);
  au_database_error_t error = {.fault = AU_FAULT_NONE};
  au_status_t status = reach(worker, permit.probe, &error);
  bool is_settled = status != AU_OK || permit.probe;
  if (is_settled)
    report_outcome(worker, job, permit, status, &error);
  if (status == AU_OK) {
    status = run(worker, job, &error);
    if (!is_settled)
      report_outcome(worker, job, permit, status, &error);
    log_change(query, status, &error);
  }
  au_database_bound(worker->database, 0, -1);
  return status == AU_UNAVAILABLE && is_stopped(query) ? AU_CLOSED : status;
}

static void serve(worker_t *worker, au_query_job_t *job) {
  au_status_t status = run_job(worker, job);
  count_connection(worker);
  worker->used_ns = au_clock_monotonic_ns();
  job->done(job, status); /* it may be gone now */
}

/* Looks at a connection that has nothing to do. */
static void check_idle(worker_t *worker) {
  if (au_clock_monotonic_ns() - worker->used_ns >= KEEP_NS ||
      au_slots_are_short(worker->query->slots))
    au_database_disconnect(worker->database);
  else
    (void)au_database_check(worker->database);
  count_connection(worker);
}

static au_query_job_t *pop_locked(lane_t *lane) {
  au_query_job_t *job = lane->first;
  if (job == NULL)
    return NULL;
  lane->first = job->next;
  if (lane->first == NULL)
    lane->last = &lane->first;
  lane->waiting--;
  return job;
}

/* The next job; NULL: look at the connection, or stop. */
static au_query_job_t *next_job(worker_t *worker, bool *out_stop) {
  au_query_pool_t *query = worker->query;
  lane_t *lane = worker->lane;
  pthread_mutex_lock(&query->lock);
  struct timespec until = au_clock_timespec(au_clock_monotonic_ns() + LOOK_NS);
  if (!query->stop && lane->first == NULL && worker->connected)
    pthread_cond_timedwait(&lane->wake, &query->lock, &until);
  else if (!query->stop && lane->first == NULL)
    pthread_cond_wait(&lane->wake, &query->lock);
  *out_stop = query->stop;
  au_query_job_t *job = query->stop ? NULL : pop_locked(lane);
  pthread_mutex_unlock(&query->lock);
  return job;
}

static void *worker_main(void *argument) {
  worker_t *worker = argument;
  bool stop = false;
  while (!stop) {
    au_query_job_t *job = next_job(worker, &stop);
    if (job != NULL)
      serve(worker, job);
    else if (!stop)
      check_idle(worker);
  }
  au_database_disconnect(worker->database);
  count_connection(worker);
  return NULL;
}

au_status_t au_query_pool_submit(au_query_pool_t *query, au_query_job_t *job) {
  double timeout_s =
      job->timeout_s > 0 ? job->timeout_s : query->options->query_timeout_s;
  job->next = NULL;
  job->submitted_ns = au_clock_monotonic_ns();
  job->deadline_ns = job->submitted_ns + au_clock_seconds_ns(timeout_s);
  if (!au_breaker_may_allow(query->breaker, job->submitted_ns))
    return AU_UNAVAILABLE;
  lane_t *lane = &query->lane[job->lane];
  au_status_t status = AU_PENDING;
  pthread_mutex_lock(&query->lock);
  if (query->stop || (query->closed && job->lane == AU_QUERY_NORMAL)) {
    status = AU_CLOSED;
  } else if (lane->waiting >= lane->limit) {
    status = AU_FULL;
  } else {
    *lane->last = job;
    lane->last = &job->next;
    lane->waiting++;
    pthread_cond_signal(&lane->wake);
  }
  pthread_mutex_unlock(&query->lock);
  return status;
}

static double left_s(const au_query_job_t *job) {
  int64_t left_ns = job->deadline_ns - au_clock_monotonic_ns();
  return left_ns > 0 ? (double)left_ns / (double)AU_NS_PER_S : 0;
}

au_status_t au_query_exec(const au_query_job_t *job, au_database_t *database,
                          const char *sql, au_result_t *out_result,
                          au_database_error_t *error) {
  return au_database_exec_within(database, left_s(job), sql, out_result, error);
}

au_status_t au_query_rows(const au_query_job_t *job, au_database_t *database,
                          const char *sql, au_row_taker_t take, void *context,
                          au_database_error_t *error) {
  return au_database_rows(database, left_s(job), sql, take, context, error);
}

au_query_pool_usage_t au_query_pool_usage(au_query_pool_t *query) {
  au_query_pool_usage_t usage = {.active = atomic_load(&query->active)};
  unsigned connected = atomic_load(&query->connected);
  usage.idle = connected > usage.active ? connected - usage.active : 0;
  pthread_mutex_lock(&query->lock);
  for (int i = 0; i < LANES; i++)
    usage.waiting += query->lane[i].waiting;
  pthread_mutex_unlock(&query->lock);
  return usage;
}

static au_status_t start_worker(worker_t *worker, const char *name) {
  const au_options_t *options = worker->query->options;
  const au_database_config_t config = {
      .conninfo = options->conninfo,
      .connect_timeout_s = options->connect_timeout_s,
      .statement_timeout_s = options->query_timeout_s,
      .stop_fd = worker->query->stop_fd,
      .slots = worker->query->slots,
      .leader = worker->query->leader,
      .application_name = "collectd aurore query"};
  au_status_t status = au_database_create(&config, &worker->database);
  if (status != AU_OK)
    return status;
  worker->started =
      au_thread_start(&worker->thread, name, worker_main, worker) == 0;
  return worker->started ? AU_OK : AU_NOMEM;
}

static au_status_t start_workers(au_query_pool_t *query) {
  query->workers = query->options->query_connections + 1;
  query->worker = calloc(query->workers, sizeof(*query->worker));
  if (query->worker == NULL)
    return AU_NOMEM;
  au_status_t status = AU_OK;
  for (unsigned i = 0; i < query->workers && status == AU_OK; i++) {
    bool is_last = i == query->workers - 1;
    char name[16];
    snprintf(name, sizeof(name), "au-query-%u", i % 100);
    query->worker[i].query = query;
    query->worker[i].lane =
        &query->lane[is_last ? AU_QUERY_SHORT : AU_QUERY_NORMAL];
    status = start_worker(&query->worker[i], is_last ? "au-probe" : name);
  }
  return status;
}

au_status_t au_query_pool_start(const au_options_t *options,
                                au_breaker_t *breaker, const au_slots_t *slots,
                                au_leader_t *leader,
                                au_query_pool_t **out_query) {
  *out_query = NULL;
  au_query_pool_t *query = calloc(1, sizeof(*query));
  if (query == NULL)
    return AU_NOMEM;
  query->options = options;
  query->breaker = breaker;
  query->slots = slots;
  query->leader = leader;
  pthread_mutex_init(&query->lock, NULL);
  bool good = true;
  for (int i = 0; i < LANES; i++) {
    query->lane[i].last = &query->lane[i].first;
    query->lane[i].limit = AU_QUERY_QUEUE * options->query_connections;
    good = au_thread_condition(&query->lane[i].wake) == 0 && good;
  }
  query->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (!good || query->stop_fd < 0 || start_workers(query) != AU_OK) {
    au_query_pool_stop(query);
    au_query_pool_destroy(query);
    return AU_NOMEM;
  }
  *out_query = query;
  return AU_OK;
}

void au_query_pool_close(au_query_pool_t *query) {
  pthread_mutex_lock(&query->lock);
  query->closed = true;
  pthread_mutex_unlock(&query->lock);
}

/* Those that nobody will run any more. */
static void complete_waiting(au_query_pool_t *query, lane_t *lane) {
  au_query_job_t *job;
  do {
    pthread_mutex_lock(&query->lock);
    job = pop_locked(lane);
    pthread_mutex_unlock(&query->lock);
    if (job != NULL)
      job->done(job, AU_CLOSED);
  } while (job != NULL);
}

void au_query_pool_stop(au_query_pool_t *query) {
  if (query == NULL)
    return;
  pthread_mutex_lock(&query->lock);
  query->stop = true;
  for (int i = 0; i < LANES; i++)
    pthread_cond_broadcast(&query->lane[i].wake);
  pthread_mutex_unlock(&query->lock);
  /* It fails only when the counter is full: then it is readable already. */
  if (query->stop_fd >= 0)
    (void)eventfd_write(query->stop_fd, 1);
  for (unsigned i = 0; query->worker != NULL && i < query->workers; i++) {
    worker_t *worker = &query->worker[i];
    if (worker->started)
      pthread_join(worker->thread, NULL);
    worker->started = false;
  }
  for (int i = 0; i < LANES; i++)
    complete_waiting(query, &query->lane[i]);
}

void au_query_pool_destroy(au_query_pool_t *query) {
  if (query == NULL)
    return;
  for (unsigned i = 0; query->worker != NULL && i < query->workers; i++)
    au_database_destroy(query->worker[i].database);
  free(query->worker);
  if (query->stop_fd >= 0)
    close(query->stop_fd);
  for (int i = 0; i < LANES; i++)
    pthread_cond_destroy(&query->lane[i].wake);
  pthread_mutex_destroy(&query->lock);
  free(query);
}
