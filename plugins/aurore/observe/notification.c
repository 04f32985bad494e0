/* SPDX-License-Identifier: MIT
 *
 * notification - see observe/notification.h.
 *
 * A notification waits as three pieces of JSON: the event without metadata, its
 * origin, and the notification's own values. The event is tried with all of
 * them, with the origin alone, and bare; the first form that passes is kept.
 */
#include "observe/notification.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "event/ingest.h"
#include "metrics/metrics.h"
#include "spool/buffer.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX_US INT64_C(4133980800000000) /* 2101-01-01 */

typedef struct item {
  struct item *next;
  au_bytes_t event;  /* {"timestamp":...,"service":...,"message":... */
  au_bytes_t origin; /* "severity":...,... */
  au_bytes_t values; /* "name":value,...; empty: none */
} item_t;

typedef enum form { FORM_WHOLE, FORM_ORIGIN, FORM_BARE, FORM_COUNT } form_t;

static struct {
  pthread_mutex_t lock; /* protects: all in this struct */
  pthread_cond_t wake;
  bool has_wake;
  bool is_open; /* started, and not stopped */
  const au_limits_t *limits;
  item_t *first;
  item_t *last;
  size_t count;
  bool is_told; /* the append that was waited for */
  au_status_t told;
} notices = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The thread's own, but for start and stop. */
static struct {
  pthread_t thread;
  au_buffer_t *buffer;
  au_ingest_t ingest;
  _Atomic bool is_losing;
} keeper;

/* --- a notification as JSON ------------------------------------------------
 */

/* The bytes of at most "max" characters; a byte that is none counts as one. */
static size_t clip(const char *text, size_t max) {
  size_t size = strlen(text);
  size_t at = 0;
  for (size_t n = 0; at < size && n < max; n++) {
    size_t sequence = au_utf8_sequence(text + at, size - at);
    at += sequence > 0 ? sequence : 1;
  }
  return at;
}

static void put_event(const au_notification_t *notice,
                      const au_limits_t *limits, au_bytes_t *json) {
  int64_t time_us = notice->time_us;
  if (time_us <= 0 || time_us >= TIME_MAX_US)
    time_us = au_clock_wall_us();
  char service[256];
  (void)snprintf(service, sizeof(service), "collectd%s%.200s",
                 notice->plugin[0] != '\0' ? "/" : "", notice->plugin);
  const char *message =
      notice->message[0] != '\0' ? notice->message : "(no message)";
  au_bytes_printf(json, "{\"timestamp\":%" PRId64 ".%06" PRId64 ",\"service\":",
                  time_us / AU_US_PER_S, time_us % AU_US_PER_S);
  au_json_put_string(json, service, clip(service, limits->service_max_length));
  au_bytes_put_string(json, ",\"message\":");
  au_json_put_string(json, message, clip(message, limits->message_max_length));
}

static void put_origin(const au_notification_t *notice, au_bytes_t *json) {
  const struct {
    const char *name;
    const char *text;
  } member[] = {{"severity", notice->severity},
                {"host", notice->host},
                {"plugin", notice->plugin},
                {"plugin_instance", notice->plugin_instance},
                {"type", notice->type},
                {"type_instance", notice->type_instance}};
  for (size_t i = 0; i < sizeof(member) / sizeof(member[0]); i++) {
    au_bytes_printf(json, "%s\"%s\":", i > 0 ? "," : "", member[i].name);
    au_json_put_text(json, member[i].text);
  }
}

static void put_value(const au_notification_value_t *value, au_bytes_t *json) {
  switch (value->kind) {
  case AU_NOTIFICATION_STRING:
    au_json_put_text(json, value->value.string);
    break;
  case AU_NOTIFICATION_SIGNED:
    au_bytes_printf(json, "%" PRId64, value->value.signed_int);
    break;
  case AU_NOTIFICATION_UNSIGNED:
    au_bytes_printf(json, "%" PRIu64, value->value.unsigned_int);
    break;
  case AU_NOTIFICATION_DOUBLE: /* JSON has no number that is none */
    if (isfinite(value->value.number))
      au_bytes_printf(json, "%.17g", value->value.number);
    else
      au_bytes_put_string(json, "null");
    break;
  case AU_NOTIFICATION_BOOLEAN:
    au_bytes_put_string(json, value->value.boolean ? "true" : "false");
    break;
  }
}

static void put_values(const au_notification_t *notice, au_bytes_t *json) {
  for (size_t i = 0; i < notice->values_count && i < AU_NOTIFICATION_VALUES;
       i++) {
    if (i > 0)
      au_bytes_put_u8(json, ',');
    au_json_put_text(json, notice->values[i].name);
    au_bytes_put_u8(json, ':');
    put_value(&notice->values[i], json);
  }
}

static void free_item(item_t *item) {
  au_bytes_fini(&item->event);
  au_bytes_fini(&item->origin);
  au_bytes_fini(&item->values);
  free(item);
}

/* NULL when out of memory. */
static item_t *make_item(const au_notification_t *notice,
                         const au_limits_t *limits) {
  item_t *item = calloc(1, sizeof(*item));
  if (item == NULL)
    return NULL;
  put_event(notice, limits, &item->event);
  put_origin(notice, &item->origin);
  put_values(notice, &item->values);
  if (!item->event.failed && !item->origin.failed && !item->values.failed)
    return item;
  free_item(item);
  return NULL;
}

/* --- the queue -------------------------------------------------------------
 */

static void count_unavailable(void) {
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_UNAVAILABLE, 1);
}

void au_notification_put(const au_notification_t *notice) {
  pthread_mutex_lock(&notices.lock);
  bool is_open = notices.is_open;
  /* Not beyond the bound while the thread is slow: not even for a moment. */
  bool has_room = notices.count < AU_NOTIFICATION_QUEUE;
  if (is_open && has_room)
    notices.count++;
  au_limits_t limits =
      is_open ? *notices.limits : (au_limits_t)AU_LIMITS_DEFAULT;
  pthread_mutex_unlock(&notices.lock);
  if (!is_open)
    return;
  item_t *item = has_room ? make_item(notice, &limits) : NULL;
  if (item == NULL)
    count_unavailable();
  if (!has_room)
    return;
  pthread_mutex_lock(&notices.lock);
  if (item == NULL || !notices.is_open) {
    notices.count--;
  } else {
    if (notices.first == NULL)
      notices.first = item;
    else
      notices.last->next = item;
    notices.last = item;
    item = NULL;
    pthread_cond_signal(&notices.wake);
  }
  pthread_mutex_unlock(&notices.lock);
  if (item != NULL)
    free_item(item);
}

/* Waits for the next one; NULL: stopped, and nothing is left. */
static item_t *next_item(void) {
  pthread_mutex_lock(&notices.lock);
  while (notices.first == NULL && notices.is_open)
    pthread_cond_wait(&notices.wake, &notices.lock);
  item_t *item = notices.first;
  if (item != NULL) {
    notices.first = item->next;
    notices.count--;
  }
  pthread_mutex_unlock(&notices.lock);
  return item;
}

/* --- into the buffer -------------------------------------------------------
 */

static void told(au_waiter_t *waiter, au_status_t status) {
  (void)waiter;
  pthread_mutex_lock(&notices.lock);
  notices.is_told = true;
  notices.told = status;
  pthread_cond_signal(&notices.wake);
  pthread_mutex_unlock(&notices.lock);
}

/* The buffer tells every append its end, at the latest when it is closed. */
static au_status_t append(const au_rows_t *rows) {
  au_waiter_t waiter = {.done = told};
  pthread_mutex_lock(&notices.lock);
  notices.is_told = false;
  pthread_mutex_unlock(&notices.lock);
  au_status_t status = au_buffer_append(keeper.buffer, rows, &waiter);
  if (status != AU_PENDING)
    return status;
  pthread_mutex_lock(&notices.lock);
  while (!notices.is_told)
    pthread_cond_wait(&notices.wake, &notices.lock);
  status = notices.told;
  pthread_mutex_unlock(&notices.lock);
  return status;
}

/* Whether the event passes in this form; its row is in the ingest then. */
static bool passes(const item_t *item, form_t form) {
  au_bytes_t json = AU_BYTES_INIT;
  au_bytes_put(&json, item->event.data, item->event.size);
  if (form != FORM_BARE) {
    au_bytes_put_string(&json, ",\"metadata\":{");
    au_bytes_put(&json, item->origin.data, item->origin.size);
    if (form == FORM_WHOLE && item->values.size > 0) {
      au_bytes_put_string(&json, ",\"meta\":{");
      au_bytes_put(&json, item->values.data, item->values.size);
      au_bytes_put_u8(&json, '}');
    }
    au_bytes_put_u8(&json, '}');
  }
  au_bytes_put_u8(&json, '}');
  bool good =
      !json.failed &&
      au_ingest_parse(&keeper.ingest, AU_INGEST_JSON, (const char *)json.data,
                      json.size, au_clock_wall_us()) == AU_INGEST_DONE &&
      keeper.ingest.rows.count == 1;
  au_bytes_fini(&json);
  return good;
}

/* A change is told, not every loss. */
static void tell(bool is_lost, const char *why) {
  if (au_log_changed(&keeper.is_losing, is_lost) && is_lost)
    au_log(AU_LOG_WARNING, "could not store a notification: %s", why);
}

static void keep(const item_t *item) {
  form_t form = FORM_WHOLE;
  while (form < FORM_COUNT && !passes(item, form))
    form++;
  if (form == FORM_COUNT) {
    au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_INVALID, 1);
    tell(true, "it is not a valid event, not even without metadata");
    return;
  }
  au_status_t status = append(&keeper.ingest.rows);
  if (status != AU_OK && status != AU_FULL) /* that one is counted */
    count_unavailable();
  tell(status != AU_OK,
       status == AU_FULL ? "the buffer is full" : "the buffer takes no events");
}

static void *notice_main(void *argument) {
  (void)argument;
  item_t *item;
  while ((item = next_item()) != NULL) {
    keep(item);
    free_item(item);
  }
  return NULL;
}

/* --- start and stop --------------------------------------------------------
 */

au_status_t au_notification_start(const au_limits_t *limits,
                                  au_buffer_t *buffer) {
  if (!notices.has_wake && pthread_cond_init(&notices.wake, NULL) != 0)
    return AU_NOMEM;
  notices.has_wake = true;
  if (au_ingest_init(&keeper.ingest, limits) != AU_OK)
    return AU_NOMEM;
  keeper.buffer = buffer;
  keeper.is_losing = false;
  pthread_mutex_lock(&notices.lock);
  notices.limits = limits;
  notices.is_open = true;
  pthread_mutex_unlock(&notices.lock);
  if (au_thread_start(&keeper.thread, "au-notices", notice_main, NULL) == 0)
    return AU_OK;
  pthread_mutex_lock(&notices.lock);
  notices.is_open = false;
  pthread_mutex_unlock(&notices.lock);
  au_ingest_fini(&keeper.ingest);
  return AU_NOMEM;
}

void au_notification_stop(void) {
  pthread_mutex_lock(&notices.lock);
  bool was_open = notices.is_open;
  notices.is_open = false;
  if (was_open)
    pthread_cond_broadcast(&notices.wake);
  pthread_mutex_unlock(&notices.lock);
  if (!was_open)
    return;
  pthread_join(keeper.thread, NULL);
  au_ingest_fini(&keeper.ingest);
}
