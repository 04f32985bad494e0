/* SPDX-License-Identifier: MIT
 * Part of observe/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * A notification waits as a copy of itself. As an event it is tried with its
 * origin and its own values, with its origin alone, and without metadata; the
 * first form that passes is kept.
 */
#include "observe/notification.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/timestamp.h"
#include "base/utf8.h"
#include "event/intake.h"
#include "metrics/metrics.h"
#include "spool/buffer.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of texts, kept from event to event. */
#define KEEP_BYTES ((size_t)16 << 10)

/* One block of memory: the item, its values, and all text. */
typedef struct item {
  struct item *next;
  au_notification_t notice;
  au_notification_value_t value[];
} item_t;

typedef enum form { FORM_WHOLE, FORM_ORIGIN, FORM_BARE, FORM_COUNT } form_t;

static struct {
  pthread_mutex_t lock; /* protects: all in this struct */
  pthread_cond_t wake;
  bool has_wake;
  bool is_open; /* started, and not stopped */
  item_t *first;
  item_t *last;
  size_t count;
  bool is_done; /* the append that was waited for */
  au_status_t result;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The thread's own, but for start and stop. */
static struct {
  pthread_t thread;
  au_buffer_t *buffer;
  au_intake_t intake;
  au_bytes_t texts; /* of the event, repaired */
  _Atomic bool is_losing;
} worker;

/* --- a copy of a notification ----------------------------------------------*/

static size_t values_of(const au_notification_t *notice) {
  return notice->values_count < AU_NOTIFICATION_VALUES ? notice->values_count
                                                       : AU_NOTIFICATION_VALUES;
}

static size_t text_size(const char *text) {
  return text != NULL ? strlen(text) + 1 : 0;
}

/* The bytes of all texts. */
static size_t texts_size(const au_notification_t *notice) {
  size_t size = text_size(notice->severity) + text_size(notice->host) +
                text_size(notice->plugin) + text_size(notice->plugin_instance) +
                text_size(notice->type) + text_size(notice->type_instance) +
                text_size(notice->message);
  for (size_t i = 0; i < values_of(notice); i++) {
    const au_notification_value_t *value = &notice->values[i];
    size += text_size(value->name);
    if (value->kind == AU_NOTIFICATION_STRING)
      size += text_size(value->value.string);
  }
  return size;
}

/* Points "*text" to a copy at "at"; returns where the next one goes. */
static char *copy_text(char *at, const char **text) {
  size_t size = text_size(*text);
  if (size == 0)
    return at;
  memcpy(at, *text, size);
  *text = at;
  return at + size;
}

/* NULL when out of memory. */
static item_t *make_item(const au_notification_t *notice) {
  size_t count = values_of(notice);
  size_t fixed = sizeof(item_t) + count * sizeof(au_notification_value_t);
  item_t *item = malloc(fixed + texts_size(notice));
  if (item == NULL)
    return NULL;
  item->next = NULL;
  item->notice = *notice;
  item->notice.values = item->value;
  item->notice.values_count = count;
  char *at = (char *)item + fixed;
  at = copy_text(at, &item->notice.severity);
  at = copy_text(at, &item->notice.host);
  at = copy_text(at, &item->notice.plugin);
  at = copy_text(at, &item->notice.plugin_instance);
  at = copy_text(at, &item->notice.type);
  at = copy_text(at, &item->notice.type_instance);
  at = copy_text(at, &item->notice.message);
  for (size_t i = 0; i < count; i++) {
    item->value[i] = notice->values[i];
    at = copy_text(at, &item->value[i].name);
    if (item->value[i].kind == AU_NOTIFICATION_STRING)
      at = copy_text(at, &item->value[i].value.string);
  }
  return item;
}

/* --- a notification as an event --------------------------------------------*/

/* Up to "max" characters of the text, as valid UTF-8, until the next call. */
static au_slice_t repair(const char *text, size_t max) {
  au_bytes_t *texts = &worker.texts;
  size_t start = texts->size;
  au_utf8_put_repaired(texts, text, strlen(text), max);
  size_t size = texts->size - start;
  au_bytes_put_u8(texts, 0); /* so that an empty one has an address */
  if (texts->failed || texts->data == NULL)
    return (au_slice_t){.data = "", .size = 0};
  return (au_slice_t){.data = (const char *)texts->data + start, .size = size};
}

static void push_text(au_validator_t *event, au_field_t field, const char *text,
                      size_t max_length) {
  au_slice_t repaired = repair(text, max_length);
  au_validator_field(event, field);
  au_validator_string(event, repaired.data, repaired.size, AU_TEXT_DECODED);
}

static void push_name(au_metadata_t *metadata, const char *name) {
  au_slice_t repaired = repair(name, SIZE_MAX);
  au_metadata_key(metadata, repaired.data, repaired.size, AU_TEXT_DECODED);
}

static void push_string(au_metadata_t *metadata, const char *text) {
  if (text == NULL) {
    au_metadata_literal(metadata, "null");
    return;
  }
  au_slice_t repaired = repair(text, SIZE_MAX);
  au_metadata_string(metadata, repaired.data, repaired.size, AU_TEXT_DECODED);
}

static void push_value(au_metadata_t *metadata,
                       const au_notification_value_t *value) {
  char number[64];
  int size = 0;
  switch (value->kind) {
  case AU_NOTIFICATION_STRING:
    push_string(metadata, value->value.string);
    return;
  case AU_NOTIFICATION_BOOLEAN:
    au_metadata_literal(metadata, value->value.boolean ? "true" : "false");
    return;
  case AU_NOTIFICATION_SIGNED:
    size =
        snprintf(number, sizeof(number), "%" PRId64, value->value.signed_int);
    break;
  case AU_NOTIFICATION_UNSIGNED:
    size =
        snprintf(number, sizeof(number), "%" PRIu64, value->value.unsigned_int);
    break;
  case AU_NOTIFICATION_DOUBLE: /* JSON has no infinity and no NaN */
    if (!isfinite(value->value.number)) {
      au_metadata_literal(metadata, "null");
      return;
    }
    size = snprintf(number, sizeof(number), "%.17g", value->value.number);
    break;
  }
  au_metadata_number(metadata, number, (size_t)size);
}

static void push_origin(au_metadata_t *metadata,
                        const au_notification_t *notice) {
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
    push_name(metadata, member[i].name);
    push_string(metadata, member[i].text);
  }
}

static void push_metadata(au_validator_t *event,
                          const au_notification_t *notice, form_t form) {
  au_validator_field(event, AU_FIELD_METADATA);
  au_metadata_t *metadata = au_validator_object(event);
  push_origin(metadata, notice);
  if (form == FORM_WHOLE && notice->values_count > 0) {
    push_name(metadata, "meta");
    au_metadata_open(metadata, '{');
    for (size_t i = 0; i < notice->values_count; i++) {
      push_name(metadata, notice->values[i].name);
      push_value(metadata, &notice->values[i]);
    }
    au_metadata_close(metadata, '}');
  }
  au_metadata_end(metadata);
}

/* Whether the event passes in this form; its row is in the intake then. */
static bool passes(const au_notification_t *notice, form_t form) {
  au_intake_t *intake = &worker.intake;
  au_validator_t *event = &intake->event;
  int64_t now_us = au_clock_wall_us();
  bool has_time =
      notice->time_us != 0 && au_timestamp_is_valid(notice->time_us);
  char service[256];
  (void)snprintf(service, sizeof(service), "collectd%s%.200s",
                 notice->plugin[0] != '\0' ? "/" : "", notice->plugin);
  au_bytes_clear(&worker.texts, KEEP_BYTES);
  au_intake_begin(intake, now_us);
  if (au_intake_begin_event(intake) != AU_INTAKE_DONE)
    return false;
  au_validator_field(event, AU_FIELD_TIMESTAMP);
  if (has_time)
    au_validator_time(event, notice->time_us);
  else
    au_validator_assume_time(event, now_us);
  push_text(event, AU_FIELD_SERVICE, service,
            intake->limits->service_max_length);
  push_text(event, AU_FIELD_MESSAGE,
            notice->message[0] != '\0' ? notice->message : "(no message)",
            intake->limits->message_max_length);
  if (form != FORM_BARE)
    push_metadata(event, notice, form);
  if (worker.texts.failed || au_intake_end_event(intake) != AU_INTAKE_DONE)
    return false;
  au_intake_end(intake);
  return intake->rows.count == 1;
}

/* --- the queue -------------------------------------------------------------*/

static void count_unavailable(void) {
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_UNAVAILABLE, 1);
}

void au_notification_put(const au_notification_t *notice) {
  pthread_mutex_lock(&queue.lock);
  bool is_open = queue.is_open;
  /* Not beyond the bound while the thread is slow: not even for a moment. */
  bool has_room = queue.count < AU_NOTIFICATION_QUEUE;
  if (is_open && has_room)
    queue.count++;
  pthread_mutex_unlock(&queue.lock);
  if (!is_open)
    return;
  item_t *item = has_room ? make_item(notice) : NULL;
  if (item == NULL)
    count_unavailable();
  if (!has_room)
    return;
  pthread_mutex_lock(&queue.lock);
  if (item == NULL || !queue.is_open) {
    queue.count--;
  } else {
    if (queue.first == NULL)
      queue.first = item;
    else
      queue.last->next = item;
    queue.last = item;
    item = NULL;
    pthread_cond_signal(&queue.wake);
  }
  pthread_mutex_unlock(&queue.lock);
  free(item);
}

/* Waits for the next one; NULL: stopped, and nothing is left. */
static item_t *next_item(void) {
  pthread_mutex_lock(&queue.lock);
  while (queue.first == NULL && queue.is_open)
    pthread_cond_wait(&queue.wake, &queue.lock);
  item_t *item = queue.first;
  if (item != NULL) {
    queue.first = item->next;
    queue.count--;
  }
  pthread_mutex_unlock(&queue.lock);
  return item;
}

/* --- into the buffer -------------------------------------------------------*/

static void append_done(au_waiter_t *waiter, au_status_t status) {
  (void)waiter;
  pthread_mutex_lock(&queue.lock);
  queue.is_done = true;
  queue.result = status;
  pthread_cond_signal(&queue.wake);
  pthread_mutex_unlock(&queue.lock);
}

/* Returns when the rows are kept or refused: the buffer completes every append,
 * at the latest when it is closed. */
static au_status_t append(const au_rows_t *rows) {
  au_waiter_t waiter = {.done = append_done};
  pthread_mutex_lock(&queue.lock);
  queue.is_done = false;
  pthread_mutex_unlock(&queue.lock);
  au_status_t status = au_buffer_append(worker.buffer, rows, &waiter);
  if (status != AU_PENDING)
    return status;
  pthread_mutex_lock(&queue.lock);
  while (!queue.is_done)
    pthread_cond_wait(&queue.wake, &queue.lock);
  status = queue.result;
  pthread_mutex_unlock(&queue.lock);
  return status;
}

/* Logs a change, not every loss. */
static void log_loss(bool is_lost, const char *why) {
  if (au_log_changed(&worker.is_losing, is_lost) && is_lost)
    au_log(AU_LOG_WARNING, "could not store a notification: %s", why);
}

static void keep(const item_t *item) {
  form_t form = FORM_WHOLE;
  while (form < FORM_COUNT && !passes(&item->notice, form))
    form++;
  if (form == FORM_COUNT) {
    au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_INVALID, 1);
    log_loss(true, "it is not a valid event, not even without metadata");
    return;
  }
  au_status_t status = append(&worker.intake.rows);
  if (status != AU_OK && status != AU_FULL) /* which the buffer counts */
    count_unavailable();
  log_loss(status != AU_OK, status == AU_FULL ? "the buffer is full"
                                              : "the buffer takes no events");
}

static void *notice_main(void *argument) {
  (void)argument;
  item_t *item;
  while ((item = next_item()) != NULL) {
    keep(item);
    free(item);
  }
  return NULL;
}

/* --- start and stop --------------------------------------------------------*/

/* Returns whether it was open before. */
static bool set_open(bool is_open) {
  pthread_mutex_lock(&queue.lock);
  bool was_open = queue.is_open;
  queue.is_open = is_open;
  if (was_open)
    pthread_cond_broadcast(&queue.wake);
  pthread_mutex_unlock(&queue.lock);
  return was_open;
}

static void free_worker(void) {
  au_intake_fini(&worker.intake);
  au_bytes_fini(&worker.texts);
}

au_status_t au_notification_start(const au_limits_t *limits,
                                  au_buffer_t *buffer) {
  if (!queue.has_wake && pthread_cond_init(&queue.wake, NULL) != 0)
    return AU_NOMEM;
  queue.has_wake = true;
  au_intake_init(&worker.intake, limits);
  worker.buffer = buffer;
  worker.is_losing = false;
  (void)set_open(true);
  if (au_thread_start(&worker.thread, "au-notices", notice_main, NULL) == 0)
    return AU_OK;
  (void)set_open(false);
  free_worker();
  return AU_NOMEM;
}

void au_notification_stop(void) {
  if (!set_open(false))
    return;
  pthread_join(worker.thread, NULL);
  free_worker();
}
