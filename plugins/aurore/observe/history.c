/* SPDX-License-Identifier: MIT
 * Part of observe/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * The lines in memory are a ring; the file and the answers get these same
 * bytes.
 */
#include "observe/history.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/timestamp.h"
#include "metrics/metrics.h"
#include "observe/history_file.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct line {
  char *text; /* without its newline; owned */
  size_t size;
  bool has_point;
  au_history_point_t point;
} line_t;

struct au_history {
  /* Constant after start. */
  au_history_config_t config;
  au_history_file_t file;
  pthread_t thread;

  /* The thread's own. */
  _Atomic bool is_failing; /* logged */

  pthread_mutex_t lock; /* protects: all below */
  pthread_cond_t wake;
  bool stop;
  line_t line[AU_HISTORY_SNAPSHOTS]; /* a ring */
  size_t count;
  size_t next;
};

/* --- the ring --------------------------------------------------------------*/

/* Keeps a copy of a line; drops the line when out of memory. */
static void keep_line(const char *text, size_t size, void *context) {
  au_history_t *history = context;
  line_t kept = {.size = size};
  kept.has_point = au_history_point_read(text, size, &kept.point);
  kept.text = malloc(size);
  if (kept.text == NULL)
    return;
  memcpy(kept.text, text, size);
  pthread_mutex_lock(&history->lock);
  line_t *line = &history->line[history->next];
  char *oldest = line->text;
  *line = kept;
  history->next = (history->next + 1) % AU_HISTORY_SNAPSHOTS;
  if (history->count < AU_HISTORY_SNAPSHOTS)
    history->count++;
  pthread_mutex_unlock(&history->lock);
  free(oldest);
}

/* The n-th oldest of the newest "count". The caller holds the lock. */
static const line_t *line_locked(const au_history_t *history, size_t count,
                                 size_t n) {
  return &history->line[(history->next + AU_HISTORY_SNAPSHOTS - count + n) %
                        AU_HISTORY_SNAPSHOTS];
}

void au_history_put(au_history_t *history, size_t limit, au_bytes_t *json) {
  au_bytes_put_u8(json, '[');
  pthread_mutex_lock(&history->lock);
  size_t count = history->count < limit ? history->count : limit;
  for (size_t i = 0; i < count; i++) {
    const line_t *line = line_locked(history, count, i);
    if (i > 0)
      au_bytes_put_u8(json, ',');
    au_bytes_put(json, line->text, line->size);
  }
  pthread_mutex_unlock(&history->lock);
  au_bytes_put_u8(json, ']');
}

void au_history_visit(au_history_t *history, au_history_visitor_t visit,
                      void *context) {
  if (history == NULL)
    return;
  pthread_mutex_lock(&history->lock);
  for (size_t i = 0; i < history->count; i++) {
    const line_t *line = line_locked(history, history->count, i);
    if (line->has_point)
      visit(&line->point, context);
  }
  pthread_mutex_unlock(&history->lock);
}

/* --- a snapshot ------------------------------------------------------------*/

static void put_snapshot(const au_history_snapshot_t *snapshot,
                         au_bytes_t *json) {
  char now[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(au_clock_wall_us(), now);
  au_bytes_printf(
      json,
      "{\"timestamp\":\"%s\",\"buffer\":{\"size\":%" PRIu64
      ",\"capacity\":%" PRIu64 ",\"utilization_percent\":\"%.2f\""
      ",\"total_enqueued\":%" PRIu64 ",\"total_dropped\":%" PRIu64
      ",\"drop_rate_percent\":\"%.2f\""
      ",\"throughput_events_per_second\":\"%.2f\"},\"circuitBreaker\":"
      "{\"state\":\"%s\",\"failureCount\":%u,\"successCount\":%u}}",
      now, snapshot->buffer.events, snapshot->buffer.capacity,
      snapshot->buffer.utilization_percent,
      au_metrics_counter(AU_M_EVENTS_ENQUEUED, 0),
      au_metrics_counter(AU_M_EVENTS_DROPPED, 0),
      au_metrics_gauge(AU_M_EVENTS_DROP_RATE),
      au_metrics_gauge(AU_M_EVENTS_THROUGHPUT),
      au_breaker_state_text(snapshot->breaker.state),
      snapshot->breaker.failures, snapshot->breaker.successes);
}

/* A change for the worse or the better is logged, not every attempt. */
static void write_file(au_history_t *history, const au_bytes_t *line) {
  char error[512] = "out of memory";
  au_status_t status = au_history_file_append(
      &history->file, (char *)line->data, line->size, error, sizeof(error));
  if (!au_log_changed(&history->is_failing, status != AU_OK))
    return;
  if (status == AU_OK)
    au_log(AU_LOG_NOTICE, "the history file \"%s\" can be written again",
           history->file.path);
  else
    au_log(AU_LOG_WARNING,
           "the history will have gaps: %s; trying again with each snapshot",
           error);
}

void au_history_take(au_history_t *history) {
  au_history_snapshot_t snapshot;
  au_metrics_sample();
  if (!history->config.snapshot(&snapshot, history->config.context))
    return;
  au_bytes_t line = AU_BYTES_INIT;
  put_snapshot(&snapshot, &line);
  if (!line.failed)
    keep_line((const char *)line.data, line.size, history);
  au_bytes_put_u8(&line, '\n');
  if (!line.failed && history->file.path[0] != '\0')
    write_file(history, &line);
  au_bytes_fini(&line);
}

/* --- the thread ------------------------------------------------------------*/

static bool wait_until(au_history_t *history, int64_t until_ns) {
  const struct timespec until = au_clock_timespec(until_ns);
  pthread_mutex_lock(&history->lock);
  while (!history->stop && au_clock_monotonic_ns() < until_ns)
    pthread_cond_timedwait(&history->wake, &history->lock, &until);
  bool stop = history->stop;
  pthread_mutex_unlock(&history->lock);
  return !stop;
}

static void *history_main(void *argument) {
  au_history_t *history = argument;
  int64_t interval_ns = au_clock_seconds_ns(history->config.interval_s);
  int64_t due_ns = au_clock_monotonic_ns() + interval_ns;
  while (wait_until(history, due_ns)) {
    au_history_take(history);
    /* Skip the times that passed while the disk was slow. */
    int64_t now_ns = au_clock_monotonic_ns();
    due_ns += ((now_ns - due_ns) / interval_ns + 1) * interval_ns;
  }
  return NULL;
}

/* --- start and end ---------------------------------------------------------*/

static void read_file(au_history_t *history) {
  char error[512] = "out of memory";
  size_t ignored = 0;
  au_status_t status =
      au_history_file_read(&history->file, AU_HISTORY_SNAPSHOTS, keep_line,
                           history, &ignored, error, sizeof(error));
  if (status != AU_OK)
    au_log(AU_LOG_WARNING, "starting a new history: %s", error);
  if (ignored > 0)
    au_log(AU_LOG_NOTICE,
           "ignored %zu lines of history file \"%s\" that are not snapshots",
           ignored, history->file.path);
}

static void release(au_history_t *history) {
  pthread_cond_destroy(&history->wake);
  pthread_mutex_destroy(&history->lock);
  for (size_t i = 0; i < history->count; i++)
    free(history->line[i].text);
  free(history);
}

au_status_t au_history_start(const au_history_config_t *config,
                             au_history_t **out_history) {
  au_history_t *history = calloc(1, sizeof(*history));
  if (history == NULL)
    return AU_NOMEM;
  history->config = *config;
  history->file =
      (au_history_file_t){.io = config->io != NULL ? config->io : &au_io_system,
                          .path = config->path,
                          .max_bytes = config->max_bytes};
  if (au_thread_condition(&history->wake) != 0) {
    free(history);
    return AU_NOMEM;
  }
  pthread_mutex_init(&history->lock, NULL);
  if (history->file.path[0] != '\0')
    read_file(history);
  if (au_thread_start(&history->thread, "au-history", history_main, history) !=
      0) {
    release(history);
    return AU_NOMEM;
  }
  *out_history = history;
  return AU_OK;
}

void au_history_destroy(au_history_t *history) {
  if (history == NULL)
    return;
  pthread_mutex_lock(&history->lock);
  history->stop = true;
  pthread_cond_signal(&history->wake);
  pthread_mutex_unlock(&history->lock);
  pthread_join(history->thread, NULL);
  release(history);
}
