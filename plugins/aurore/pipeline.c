/* SPDX-License-Identifier: MIT */
#include "pipeline.h"

#include "api/routes.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "database/breaker.h"
#include "database/database.h"
#include "database/leader.h"
#include "database/query_pool.h"
#include "http/server.h"
#include "metrics/metrics.h"
#include "observe/health.h"
#include "observe/history.h"
#include "observe/notification.h"
#include "spool/buffer.h"
#include "store/business.h"
#include "store/retention.h"
#include "store/writer.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* After the deadline of the drain every wait of a writer ends at once; this is
 * only to be sure that a stop is never waited for without a bound. */
#define JOIN_GRACE_NS (10 * AU_NS_PER_S)
/* With a spool, a drain that stores nothing for so long is given up; looked at
 * every tick. */
#define SILENCE_NS (2 * AU_NS_PER_S)
#define DRAIN_TICK_NS (50 * AU_NS_PER_MS)

/* How a drain gets on. */
typedef struct drain {
  uint64_t remaining; /* events, when that last changed */
  int64_t progress_ns;
} drain_t;

/* For what other plugins open later. */
#define GUEST_DESCRIPTORS 64
/* A connection to the database: its socket, and what is read while it is made:
 * names, passwords, certificates. */
#define DATABASE_DESCRIPTORS 4
/* Beside the writers and the queries: retention, business metrics, the
 * migrations, and one that is just being replaced. */
#define DATABASE_OTHERS 4

static struct {
  /* The main thread's. */
  bool registered[2];
  au_options_t options;
  bool has_options;
  au_api_t api; /* with "http" */
  au_http_t *http;
  au_history_t *history;
  au_query_pool_t *query;
  au_business_t *business;
  int abort_fd; /* -1: none */

  pthread_mutex_t lock; /* protects: what flush, the sampler, the history and
                           the writers' threads read */
  au_retention_t *retention;
  au_buffer_t *buffer;
  au_breaker_t *breaker; /* the writers' */
  au_breaker_t *reader_breaker;
  au_slots_t *slots;
  au_leader_t leader;
  au_writer_t *writer[AU_LANES_MAX];
  unsigned writers;
  const au_http_t *sampled_http;
} pipeline = {.abort_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

void au_pipeline_register(au_side_t side) { pipeline.registered[side] = true; }

au_options_t *au_pipeline_options(void) {
  if (pipeline.has_options)
    return &pipeline.options;
  if (au_options_init(&pipeline.options) != AU_OK) {
    au_options_fini(&pipeline.options);
    return NULL;
  }
  pipeline.has_options = true;
  return &pipeline.options;
}

/* Called by read callbacks and by the metrics routes. */
static void sample_health(void) {
  pthread_mutex_lock(&pipeline.lock);
  au_health_input_t input = {
      .buffer = pipeline.buffer,
      .writer_expected = pipeline.registered[AU_SIDE_WRITER],
      .database_connected = pipeline.writers > 0,
      .unbound = pipeline.sampled_http != NULL
                     ? au_http_unbound(pipeline.sampled_http)
                     : 0};
  if (pipeline.sampled_http != NULL)
    au_http_sample(pipeline.sampled_http);
  for (unsigned i = 0; i < pipeline.writers; i++)
    if (!au_writer_is_connected(pipeline.writer[i]))
      input.database_connected = false;
  au_health_sample(&input);
  pthread_mutex_unlock(&pipeline.lock);
}

static au_status_t open_buffer(char *error, size_t error_size) {
  if (pipeline.buffer != NULL)
    return AU_OK;
  const au_options_t *options = &pipeline.options;
  const au_buffer_config_t config = {
      .lanes = options->lanes,
      .capacity = options->capacity,
      .max_bytes = options->max_bytes,
      .directory =
          options->spool_directory[0] != '\0' ? options->spool_directory : NULL,
      .durability = options->durability,
      .sync_interval_s = options->sync_interval_s,
      .keep_s = options->keep_stored_s,
      .keep_bytes = options->keep_stored_bytes};
  au_buffer_t *buffer = NULL;
  au_status_t status = au_buffer_open(&config, &buffer, error, error_size);
  if (status != AU_OK)
    return status;
  pthread_mutex_lock(&pipeline.lock);
  pipeline.buffer = buffer;
  pthread_mutex_unlock(&pipeline.lock);
  au_metrics_set_sampler(sample_health);
  return AU_OK;
}

/* Called by the history. */
static bool snapshot(au_history_snapshot_t *out, void *context) {
  (void)context;
  pthread_mutex_lock(&pipeline.lock);
  bool is_there = pipeline.buffer != NULL;
  *out = (au_history_snapshot_t){.breaker = {.state = AU_BREAKER_CLOSED}};
  if (is_there)
    au_buffer_usage(pipeline.buffer, &out->buffer);
  if (pipeline.breaker != NULL)
    out->breaker = au_breaker_snapshot(pipeline.breaker);
  pthread_mutex_unlock(&pipeline.lock);
  return is_there;
}

static au_status_t start_history(char *error, size_t error_size) {
  const au_options_t *options = &pipeline.options;
  const au_history_config_t config = {.path = options->history_file,
                                      .interval_s = options->history_interval_s,
                                      .max_bytes = options->history_max_bytes,
                                      .snapshot = snapshot};
  au_status_t status = au_history_start(&config, &pipeline.history);
  if (status != AU_OK)
    snprintf(error, error_size, "could not start the history: out of memory");
  return status;
}

uint64_t au_pipeline_descriptors(const au_options_t *options, unsigned lanes,
                                 bool is_memory) {
  return GUEST_DESCRIPTORS + au_http_descriptors(options) +
         au_buffer_descriptors(lanes, is_memory) +
         DATABASE_DESCRIPTORS * (uint64_t)au_pipeline_sessions(options, lanes);
}

unsigned au_pipeline_sessions(const au_options_t *options, unsigned lanes) {
  return lanes + options->query_connections + DATABASE_OTHERS;
}

/* MaxConnections, or what the limit of open files leaves of it: the spool and
 * the database must never lack a descriptor because of clients. */
static unsigned connections_max(void) {
  const au_options_t *options = &pipeline.options;
  uint64_t limit = au_descriptors_raise();
  uint64_t used = au_descriptors_open();
  uint64_t reserved =
      au_pipeline_descriptors(options, au_buffer_lanes(pipeline.buffer),
                              options->spool_directory[0] == '\0');
  uint64_t left = limit > used + reserved ? limit - used - reserved : 1;
  if (left >= options->max_connections)
    return options->max_connections;
  au_log(AU_LOG_WARNING,
         "lowered MaxConnections from %u to %" PRIu64 ": at most %" PRIu64
         " files may be open, of which %" PRIu64 " are, and %" PRIu64
         " are kept for the spool, the database and "
         "collectd; raise the limit (LimitNOFILE of collectd's systemd unit)",
         options->max_connections, left, limit, used, reserved);
  return (unsigned)left;
}

static au_status_t start_http(char *error, size_t error_size) {
  const au_http_config_t config = {.options = &pipeline.options,
                                   .routes = au_routes,
                                   .routes_count = au_routes_count,
                                   .context = &pipeline.api,
                                   .connections_max = connections_max()};
  au_api_init(&pipeline.api, &pipeline.options, pipeline.buffer,
              pipeline.history);
  au_api_set_database(&pipeline.api, pipeline.query, pipeline.breaker);
  au_status_t status =
      au_http_start(&config, &pipeline.http, error, error_size);
  if (status != AU_OK)
    au_api_fini(&pipeline.api);
  return status;
}

static au_status_t start_buffer_side(char *error, size_t error_size) {
  if (!pipeline.registered[AU_SIDE_WRITER])
    au_log(AU_LOG_WARNING, "the plugin event_writer is not loaded: accepting "
                           "events until the buffer is full, and storing none");
  au_status_t status = start_history(error, error_size);
  if (status == AU_OK)
    status = start_http(error, error_size);
  if (status != AU_OK)
    return status;
  pthread_mutex_lock(&pipeline.lock);
  pipeline.sampled_http = pipeline.http;
  pthread_mutex_unlock(&pipeline.lock);
  return AU_OK;
}

/* Retention runs too: the database may not be the one it was before. Called
 * by the writers' threads. */
static void wake_retention(void) {
  pthread_mutex_lock(&pipeline.lock);
  if (pipeline.retention != NULL)
    au_retention_wake(pipeline.retention);
  pthread_mutex_unlock(&pipeline.lock);
}

static au_status_t start_retention(void) {
  au_retention_t *retention = NULL;
  au_status_t status =
      au_retention_start(&pipeline.options, pipeline.breaker, pipeline.slots,
                         &pipeline.leader, pipeline.buffer, &retention);
  pthread_mutex_lock(&pipeline.lock);
  pipeline.retention = retention;
  pthread_mutex_unlock(&pipeline.lock);
  return status;
}

static void stop_retention(void) {
  pthread_mutex_lock(&pipeline.lock);
  au_retention_t *retention = pipeline.retention;
  pipeline.retention = NULL;
  pthread_mutex_unlock(&pipeline.lock);
  au_retention_stop(retention);
}

static void breaker_changed(au_breaker_state_t from, au_breaker_state_t to,
                            unsigned failures, void *context) {
  (void)from;
  (void)context;
  au_metrics_set(AU_M_BREAKER_STATE, to);
  switch (to) {
  case AU_BREAKER_OPEN:
    au_log(AU_LOG_WARNING,
           "circuit breaker open after %u failures in a row; probing the "
           "database every BreakerTimeout",
           failures);
    au_notify(AU_SEVERITY_FAILURE, "circuit_breaker_state",
              "circuit breaker open after %u failures in a row", failures);
    break;
  case AU_BREAKER_HALF_OPEN:
    au_log(AU_LOG_NOTICE, "circuit breaker half-open: the database responds");
    au_notify(AU_SEVERITY_WARNING, "circuit_breaker_state",
              "circuit breaker half-open");
    break;
  case AU_BREAKER_CLOSED:
    au_log(AU_LOG_NOTICE, "circuit breaker closed");
    au_notify(AU_SEVERITY_OKAY, "circuit_breaker_state",
              "circuit breaker closed");
    wake_retention(); /* it has left the database alone meanwhile */
    break;
  }
}

static au_status_t start_writers(void) {
  const au_writer_config_t base = {.options = &pipeline.options,
                                   .breaker = pipeline.breaker,
                                   .slots = pipeline.slots,
                                   .leader = &pipeline.leader,
                                   .first_lane =
                                       au_buffer_lane(pipeline.buffer, 0),
                                   .abort_fd = pipeline.abort_fd,
                                   .reached = wake_retention};
  for (unsigned i = 0; i < au_buffer_lanes(pipeline.buffer); i++) {
    au_writer_config_t config = base;
    config.lane = au_buffer_lane(pipeline.buffer, i);
    au_writer_t *writer = NULL;
    au_status_t status = au_writer_start(&config, &writer);
    if (status != AU_OK)
      return status;
    pthread_mutex_lock(&pipeline.lock);
    pipeline.writer[pipeline.writers++] = writer;
    pthread_mutex_unlock(&pipeline.lock);
  }
  return AU_OK;
}

/* Writers and readers have breakers of their own: that one is answered says
 * nothing about the other. */
static au_status_t create_breakers(void) {
  const au_options_t *options = &pipeline.options;
  au_breaker_config_t config = {
      .failures = options->breaker_failures,
      .successes = options->breaker_successes,
      .timeout_ns = au_clock_seconds_ns(options->breaker_timeout_s)};
  au_leader_init(&pipeline.leader);
  pipeline.abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (pipeline.abort_fd < 0 ||
      au_breaker_create(&config, &pipeline.reader_breaker) != AU_OK ||
      au_slots_create(&pipeline.slots) != AU_OK)
    return AU_NOMEM;
  au_breaker_t *breaker = NULL;
  config.jitter_seed = (uint64_t)au_clock_monotonic_ns() | 1;
  config.change = breaker_changed;
  au_status_t status = au_breaker_create(&config, &breaker);
  pthread_mutex_lock(&pipeline.lock);
  pipeline.breaker = breaker;
  pthread_mutex_unlock(&pipeline.lock);
  return status;
}

/* What libpq cannot read no database will ever answer. */
static au_status_t check_conninfo(char *error, size_t error_size) {
  au_database_error_t own;
  au_status_t status =
      au_database_check_conninfo(pipeline.options.conninfo, &own);
  if (status != AU_OK)
    snprintf(error, error_size,
             "option \"ConnInfo\" of the plugin event_writer must be a "
             "connection string or URI of libpq, or the name of a database: %s",
             own.message);
  return status;
}

static au_status_t start_writer_side(char *error, size_t error_size) {
  au_status_t conninfo = check_conninfo(error, error_size);
  if (conninfo != AU_OK)
    return conninfo;
  if (!pipeline.registered[AU_SIDE_BUFFER]) {
    au_log(AU_LOG_WARNING, "the plugin event_buffer is not loaded: there is "
                           "nothing to store");
    au_metrics_set_sampler(sample_health);
    return AU_OK;
  }
  const au_options_t *options = &pipeline.options;
  au_status_t status = create_breakers();
  if (status == AU_OK)
    status = start_writers();
  if (status == AU_OK)
    status = start_retention();
  if (status == AU_OK)
    status =
        au_query_pool_start(options, pipeline.reader_breaker, pipeline.slots,
                            &pipeline.leader, &pipeline.query);
  if (status == AU_OK)
    status = au_business_start(options, pipeline.breaker, pipeline.slots,
                               &pipeline.leader, &pipeline.business);
  if (status == AU_OK && pipeline.http != NULL)
    au_api_set_database(&pipeline.api, pipeline.query, pipeline.breaker);
  if (status == AU_OK && options->notifications)
    status = au_notification_start(&options->limits, pipeline.buffer);
  if (status != AU_OK)
    snprintf(error, error_size, "could not start the writers: out of memory");
  return status;
}

au_status_t au_pipeline_start(au_side_t side, char *error, size_t error_size) {
  au_metrics_begin();
  if (au_pipeline_options() == NULL) {
    snprintf(error, error_size, "out of memory");
    return AU_NOMEM;
  }
  au_status_t status =
      au_options_finish(&pipeline.options, side, error, error_size);
  if (status != AU_OK)
    return status;
  /* The writers need the buffer, whichever side is started first. */
  if (pipeline.registered[AU_SIDE_BUFFER] && pipeline.buffer == NULL) {
    if (side != AU_SIDE_BUFFER)
      status = au_options_finish(&pipeline.options, AU_SIDE_BUFFER, error,
                                 error_size);
    if (status == AU_OK)
      status = open_buffer(error, error_size);
    if (status != AU_OK)
      return status;
  }
  return side == AU_SIDE_BUFFER ? start_buffer_side(error, error_size)
                                : start_writer_side(error, error_size);
}

void au_pipeline_flush(void) {
  pthread_mutex_lock(&pipeline.lock);
  if (pipeline.buffer != NULL)
    au_buffer_flush(pipeline.buffer);
  pthread_mutex_unlock(&pipeline.lock);
}

static uint64_t events_remaining(void) {
  uint64_t events = 0;
  for (unsigned i = 0; i < au_buffer_lanes(pipeline.buffer); i++)
    events += au_lane_waiting(au_buffer_lane(pipeline.buffer, i));
  return events;
}

/* Whether a drain gains anything. What is in a spool may as well wait there
 * while the database is away, silent or refuses. */
static bool may_drain(drain_t *drain) {
  if (pipeline.options.spool_directory[0] == '\0')
    return true;
  int64_t now_ns = au_clock_monotonic_ns();
  uint64_t remaining = events_remaining();
  if (remaining != drain->remaining) {
    drain->remaining = remaining;
    drain->progress_ns = now_ns;
  }
  bool is_open =
      au_breaker_snapshot(pipeline.breaker).state != AU_BREAKER_CLOSED;
  return !is_open && now_ns - drain->progress_ns < SILENCE_NS;
}

/* Waits for a writer to store what is left, for as long as that gets on.
 * Whether it has ended. */
static bool drain_writer(au_writer_t *writer, drain_t *drain,
                         int64_t deadline_ns) {
  int64_t now_ns = au_clock_monotonic_ns();
  while (now_ns < deadline_ns && may_drain(drain)) {
    int64_t until_ns = now_ns + DRAIN_TICK_NS;
    if (au_writer_join(writer, until_ns < deadline_ns ? until_ns : deadline_ns))
      return true;
    now_ns = au_clock_monotonic_ns();
  }
  return false;
}

/* Lets the writers drain until the deadline, then makes them give up. false
 * when one does not end: what it uses may not be freed then. */
static bool stop_writers(int64_t deadline_ns) {
  pthread_mutex_lock(&pipeline.lock);
  unsigned writers = pipeline.writers;
  pipeline.writers = 0; /* the sampler sees none from now on */
  pthread_mutex_unlock(&pipeline.lock);
  bool aborted = false;
  bool all_ended = true;
  drain_t drain = {.progress_ns = au_clock_monotonic_ns()};
  for (unsigned i = 0; i < writers; i++) {
    bool ended = drain_writer(pipeline.writer[i], &drain, deadline_ns);
    if (!ended) {
      if (!aborted && eventfd_write(pipeline.abort_fd, 1) == 0)
        aborted = true;
      ended = au_writer_join(pipeline.writer[i],
                             au_clock_monotonic_ns() + JOIN_GRACE_NS);
    }
    if (ended)
      au_writer_destroy(pipeline.writer[i]);
    else
      au_log(AU_LOG_ERROR, "the writer of lane %u did not end in time", i);
    all_ended = all_ended && ended;
  }
  return all_ended;
}

static au_status_t stop_buffer(bool writers_ended) {
  au_buffer_t *buffer = pipeline.buffer;
  if (buffer == NULL)
    return AU_OK;
  au_status_t status = AU_OK;
  uint64_t events = events_remaining();
  if (events > 0 && pipeline.options.spool_directory[0] != '\0') {
    au_log(
        AU_LOG_NOTICE,
        "%" PRIu64
        " events remain in the spool; they will be stored after the next start",
        events);
  } else if (events > 0) {
    au_log(AU_LOG_ERROR,
           "%" PRIu64 " accepted events are lost: they were in memory and "
           "could not be stored within ShutdownTimeout",
           events);
    status = AU_UNAVAILABLE;
  }
  pthread_mutex_lock(&pipeline.lock);
  pipeline.buffer = NULL;
  pthread_mutex_unlock(&pipeline.lock);
  if (writers_ended)
    au_buffer_destroy(buffer);
  return status;
}

/* Lets load balancers see that we are about to go, while all else goes on. */
static void say_goodbye(void) {
  if (pipeline.http == NULL || pipeline.options.drain_time_s <= 0)
    return;
  int64_t end_ns = au_clock_monotonic_ns() +
                   au_clock_seconds_ns(pipeline.options.drain_time_s);
  au_http_leave(pipeline.http);
  au_log(AU_LOG_NOTICE, "accepting events for another %.3g s (DrainTime)",
         pipeline.options.drain_time_s);
  for (int64_t now_ns = au_clock_monotonic_ns(); now_ns < end_ns;
       now_ns = au_clock_monotonic_ns())
    (void)poll(NULL, 0, au_clock_poll_ms(end_ns - now_ns));
}

/* Nothing new comes in, and the lanes are to store what waits. */
static void close_intake(void) {
  if (pipeline.http != NULL)
    au_http_quiesce(pipeline.http);
  if (pipeline.query != NULL)
    au_query_pool_close(pipeline.query);
  au_notification_stop();
  if (pipeline.buffer != NULL)
    au_buffer_close_intake(pipeline.buffer);
  for (unsigned i = 0; i < pipeline.writers; i++)
    au_lane_stop(au_buffer_lane(pipeline.buffer, i));
}

/* No request waits for a query any more. */
static void stop_http(void) {
  pthread_mutex_lock(&pipeline.lock);
  pipeline.sampled_http = NULL;
  pthread_mutex_unlock(&pipeline.lock);
  if (pipeline.http == NULL)
    return;
  au_http_stop(pipeline.http);
  au_http_destroy(pipeline.http);
  au_api_fini(&pipeline.api);
  pipeline.http = NULL;
}

/* What the threads had in common. */
static void free_shared(void) {
  au_breaker_destroy(pipeline.breaker);
  pipeline.breaker = NULL;
  au_breaker_destroy(pipeline.reader_breaker);
  pipeline.reader_breaker = NULL;
  au_slots_destroy(pipeline.slots);
  pipeline.slots = NULL;
  if (pipeline.abort_fd >= 0) {
    au_leader_fini(&pipeline.leader);
    close(pipeline.abort_fd);
  }
  pipeline.abort_fd = -1;
  if (pipeline.has_options)
    au_options_fini(&pipeline.options);
  pipeline.has_options = false;
}

au_status_t au_pipeline_stop(void) {
  say_goodbye();
  int64_t deadline_ns =
      au_clock_monotonic_ns() +
      (pipeline.has_options
           ? au_clock_seconds_ns(pipeline.options.shutdown_timeout_s)
           : 0);
  close_intake();
  stop_retention();
  au_business_stop(pipeline.business);
  pipeline.business = NULL;
  bool writers_ended = stop_writers(deadline_ns);
  /* Queries may go on while the writers empty the buffer, and no longer. */
  au_query_pool_stop(pipeline.query);
  stop_http();
  au_query_pool_destroy(pipeline.query);
  pipeline.query = NULL;
  au_history_destroy(pipeline.history);
  pipeline.history = NULL;
  au_metrics_set_sampler(NULL);
  au_status_t status = stop_buffer(writers_ended);
  if (!writers_ended)
    return AU_UNAVAILABLE; /* it may still use the rest */
  free_shared();
  return status;
}
