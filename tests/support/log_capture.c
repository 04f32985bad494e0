/* SPDX-License-Identifier: MIT */
#include "support/log_capture.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct {
  pthread_mutex_t lock;
  unsigned lines[AU_LOG_INFO + 1];
  unsigned notifications[AU_SEVERITY_OKAY + 1];
  char warning[1024];
  char part[64];
  unsigned matches;
} log_seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void note_line(au_log_level_t level, const char *line) {
  pthread_mutex_lock(&log_seen.lock);
  log_seen.lines[level]++;
  if (level == AU_LOG_WARNING)
    snprintf(log_seen.warning, sizeof(log_seen.warning), "%s", line);
  if (log_seen.part[0] != '\0' && strstr(line, log_seen.part) != NULL)
    log_seen.matches++;
  pthread_mutex_unlock(&log_seen.lock);
}

static void note_notification(au_severity_t severity, const char *type,
                              const char *message) {
  (void)type;
  (void)message;
  pthread_mutex_lock(&log_seen.lock);
  log_seen.notifications[severity]++;
  pthread_mutex_unlock(&log_seen.lock);
}

void capture_log(void) {
  pthread_mutex_lock(&log_seen.lock);
  memset(log_seen.lines, 0, sizeof(log_seen.lines));
  memset(log_seen.notifications, 0, sizeof(log_seen.notifications));
  log_seen.warning[0] = log_seen.part[0] = '\0';
  pthread_mutex_unlock(&log_seen.lock);
  au_log_set_sink(note_line);
  au_notify_set_sink(note_notification);
}

void release_log(void) {
  au_log_set_sink(NULL);
  au_notify_set_sink(NULL);
}

static void drop_line(au_log_level_t level, const char *line) {
  (void)level;
  (void)line;
}

void ignore_log(void) {
  au_log_set_sink(drop_line);
  au_notify_set_sink(NULL);
}

static unsigned read_count(const unsigned *count) {
  pthread_mutex_lock(&log_seen.lock);
  unsigned value = *count;
  pthread_mutex_unlock(&log_seen.lock);
  return value;
}

static void await_count(const unsigned *count, unsigned least) {
  while (read_count(count) < least)
    poll(NULL, 0, 5);
}

unsigned logged(au_log_level_t level) {
  return read_count(&log_seen.lines[level]);
}

unsigned notified(au_severity_t severity) {
  return read_count(&log_seen.notifications[severity]);
}

const char *last_warning(void) {
  static _Thread_local char copy[sizeof(log_seen.warning)];
  pthread_mutex_lock(&log_seen.lock);
  strcpy(copy, log_seen.warning);
  pthread_mutex_unlock(&log_seen.lock);
  return copy;
}

void await_logged(au_log_level_t level, unsigned count) {
  await_count(&log_seen.lines[level], count);
}

void await_notified(au_severity_t severity, unsigned count) {
  await_count(&log_seen.notifications[severity], count);
}

void watch_log_for(const char *part) {
  pthread_mutex_lock(&log_seen.lock);
  snprintf(log_seen.part, sizeof(log_seen.part), "%s", part);
  log_seen.matches = 0;
  pthread_mutex_unlock(&log_seen.lock);
}

unsigned log_matches(void) { return read_count(&log_seen.matches); }

void await_log_match(void) { await_count(&log_seen.matches, 1); }
