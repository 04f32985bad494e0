/* SPDX-License-Identifier: MIT
 *
 * fake_buffer - see fake_buffer.h.
 */
#include "support/fake_buffer.h"

#include "base/thread.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct au_buffer {
  pthread_mutex_t lock; /* protects: all below */
  pthread_cond_t changed;
  pthread_t teller;
  fake_answer_t answer;
  au_status_t tell;
  au_waiter_t *pending; /* a stack, linked by "next"; "bytes": its events */
  unsigned pending_count;
  bool release;
  au_status_t watch_answer;
  au_watches_t watches;
  unsigned watched;
  au_status_t stored; /* what they are told */
  bool stores;
  bool stop;
  uint64_t taken;
  uint64_t calls;
  au_bytes_t tuples; /* of the last append */
  au_row_extent_t *row;
  size_t count;
  au_buffer_usage_t usage;
  const char *trouble;
  unsigned retry_after_s;
};

static au_buffer_t fake;

/* Tells all that watch. Holds the lock. */
static void tell_stored(void) {
  au_watch_t *taken = au_watches_take_all(&fake.watches);
  fake.watched = 0;
  au_status_t status = fake.stored;
  pthread_cond_broadcast(&fake.changed);
  pthread_mutex_unlock(&fake.lock);
  au_watches_complete(taken, status);
  pthread_mutex_lock(&fake.lock);
}

static void *teller_main(void *argument) {
  (void)argument;
  pthread_mutex_lock(&fake.lock);
  while (!fake.stop) {
    if (fake.stores && fake.watched > 0) {
      tell_stored();
      continue;
    }
    if (fake.pending == NULL || !fake.release) {
      pthread_cond_wait(&fake.changed, &fake.lock);
      continue;
    }
    au_waiter_t *waiter = fake.pending;
    fake.pending = waiter->next;
    au_status_t status = fake.tell;
    if (status == AU_OK)
      fake.taken += waiter->bytes;
    /* As the spool: no lock is held, and the waiter is not touched after. */
    pthread_mutex_unlock(&fake.lock);
    waiter->done(waiter, status);
    pthread_mutex_lock(&fake.lock);
    fake.pending_count--;
    pthread_cond_broadcast(&fake.changed);
  }
  pthread_mutex_unlock(&fake.lock);
  return NULL;
}

au_buffer_t *fake_buffer_open(void) {
  fake = (au_buffer_t){.answer = FAKE_OK,
                       .tell = AU_OK,
                       .retry_after_s = 7,
                       .watch_answer = AU_PENDING,
                       .usage = {.capacity = 1000, .max_bytes = 1 << 20}};
  pthread_mutex_init(&fake.lock, NULL);
  ck_assert_int_eq(au_thread_condition(&fake.changed), 0);
  ck_assert_int_eq(au_thread_start(&fake.teller, "teller", teller_main, NULL),
                   0);
  return &fake;
}

void fake_buffer_close(void) {
  pthread_mutex_lock(&fake.lock);
  ck_assert_ptr_null(fake.pending);
  ck_assert_uint_eq(fake.watched, 0);
  fake.stop = true;
  pthread_cond_broadcast(&fake.changed);
  pthread_mutex_unlock(&fake.lock);
  /* Whoever was told last may be here before the teller has counted it. */
  pthread_join(fake.teller, NULL);
  ck_assert_uint_eq(fake.pending_count, 0);
  au_bytes_fini(&fake.tuples);
  free(fake.row);
  pthread_cond_destroy(&fake.changed);
  pthread_mutex_destroy(&fake.lock);
}

#define LOCKED(statement)                                                      \
  do {                                                                         \
    pthread_mutex_lock(&fake.lock);                                            \
    statement;                                                                 \
    pthread_cond_broadcast(&fake.changed);                                     \
    pthread_mutex_unlock(&fake.lock);                                          \
  } while (0)

void fake_buffer_answer(fake_answer_t answer) {
  LOCKED(fake.answer = answer; fake.release = answer == FAKE_RACE);
}

void fake_buffer_tell(au_status_t status) { LOCKED(fake.tell = status); }

void fake_buffer_set_usage(uint64_t events, uint64_t capacity) {
  LOCKED(fake.usage.events = events; fake.usage.capacity = capacity);
}

void fake_buffer_set_trouble(const char *trouble) {
  LOCKED(fake.trouble = trouble);
}

void fake_buffer_set_retry_after(unsigned seconds) {
  LOCKED(fake.retry_after_s = seconds);
}

void fake_buffer_wait_pending(unsigned count) {
  pthread_mutex_lock(&fake.lock);
  while (fake.pending_count < count)
    pthread_cond_wait(&fake.changed, &fake.lock);
  pthread_mutex_unlock(&fake.lock);
}

unsigned fake_buffer_pending(void) {
  unsigned count = 0;
  LOCKED(count = fake.pending_count);
  return count;
}

void fake_buffer_release(void) { LOCKED(fake.release = true); }

uint64_t fake_buffer_taken(void) {
  uint64_t taken = 0;
  LOCKED(taken = fake.taken);
  return taken;
}

uint64_t fake_buffer_calls(void) {
  uint64_t calls = 0;
  LOCKED(calls = fake.calls);
  return calls;
}

au_event_t fake_buffer_event(size_t index) {
  au_event_t event;
  pthread_mutex_lock(&fake.lock);
  ck_assert_uint_lt(index, fake.count);
  const uint8_t *tuple = fake.tuples.data;
  for (size_t i = 0; i < index; i++)
    tuple += fake.row[i].size;
  const au_row_t row =
      au_row_split(fake.row[index].kind, tuple, fake.row[index].size);
  ck_assert_int_eq(au_row_decode(row.tuple, row.size, &event), AU_OK);
  pthread_mutex_unlock(&fake.lock);
  return event;
}

static void keep_copy(const au_rows_t *rows) {
  au_bytes_clear(&fake.tuples, SIZE_MAX);
  au_bytes_put(&fake.tuples, rows->bytes.data, rows->bytes.size);
  free(fake.row);
  fake.row = calloc(rows->count, sizeof(*fake.row));
  ck_assert(fake.row != NULL && !fake.tuples.failed);
  memcpy(fake.row, rows->row, rows->count * sizeof(*fake.row));
  fake.count = rows->count;
}

static au_status_t refusal(fake_answer_t answer) {
  switch (answer) {
  case FAKE_FULL:
    return AU_FULL;
  case FAKE_CLOSED:
    return AU_CLOSED;
  case FAKE_NOMEM:
    return AU_NOMEM;
  case FAKE_IO:
    return AU_IO;
  case FAKE_OK:
  case FAKE_HOLD:
  case FAKE_BEFORE:
  case FAKE_RACE:
    break;
  }
  return AU_OK;
}

au_status_t au_buffer_append(au_buffer_t *buffer, const au_rows_t *rows,
                             au_waiter_t *waiter) {
  ck_assert_ptr_eq(buffer, &fake);
  ck_assert_uint_gt(rows->count, 0);
  pthread_mutex_lock(&fake.lock);
  fake.calls++;
  fake_answer_t answer = fake.answer;
  au_status_t status = refusal(answer);
  au_status_t tell = fake.tell;
  if (status == AU_OK) {
    keep_copy(rows);
    if (answer == FAKE_OK || (answer == FAKE_BEFORE && tell == AU_OK))
      fake.taken += rows->count;
    if (answer != FAKE_OK)
      status = AU_PENDING;
  }
  if (answer == FAKE_HOLD || answer == FAKE_RACE) {
    waiter->bytes = rows->count;
    waiter->next = fake.pending;
    fake.pending = waiter;
    fake.pending_count++;
    pthread_cond_broadcast(&fake.changed);
  }
  pthread_mutex_unlock(&fake.lock);
  if (answer == FAKE_BEFORE)
    waiter->done(waiter, tell);
  return status;
}

void fake_buffer_answer_watch(au_status_t status) {
  LOCKED(fake.watch_answer = status);
}

void fake_buffer_wait_watched(unsigned count) {
  pthread_mutex_lock(&fake.lock);
  while (fake.watched < count)
    pthread_cond_wait(&fake.changed, &fake.lock);
  pthread_mutex_unlock(&fake.lock);
}

unsigned fake_buffer_watched(void) {
  unsigned count = 0;
  LOCKED(count = fake.watched);
  return count;
}

void fake_buffer_store(au_status_t status, bool from_now_on) {
  pthread_mutex_lock(&fake.lock);
  fake.stored = status;
  fake.stores = true;
  pthread_cond_broadcast(&fake.changed);
  while (!from_now_on && fake.watched > 0)
    pthread_cond_wait(&fake.changed, &fake.lock);
  fake.stores = from_now_on;
  pthread_mutex_unlock(&fake.lock);
}

au_status_t au_buffer_watch(const au_waiter_t *appended, au_watch_t *watch) {
  ck_assert(appended->done != NULL);
  pthread_mutex_lock(&fake.lock);
  au_status_t status = fake.watch_answer;
  if (status == AU_PENDING) {
    au_watches_add(&fake.watches, watch);
    fake.watched++;
    pthread_cond_broadcast(&fake.changed);
  }
  pthread_mutex_unlock(&fake.lock);
  return status;
}

bool au_buffer_unwatch(au_watch_t *watch) {
  pthread_mutex_lock(&fake.lock);
  bool was_listed = au_watches_remove(&fake.watches, watch);
  fake.watched -= was_listed ? 1 : 0;
  pthread_mutex_unlock(&fake.lock);
  return was_listed;
}

bool au_buffer_is_full(const au_buffer_t *buffer) {
  bool is_full = false;
  LOCKED(is_full = buffer->usage.events >= buffer->usage.capacity);
  return is_full;
}

void au_buffer_usage(au_buffer_t *buffer, au_buffer_usage_t *out) {
  LOCKED(*out = buffer->usage);
}

unsigned au_buffer_retry_after_s(au_buffer_t *buffer) {
  unsigned seconds = 0;
  LOCKED(seconds = buffer->retry_after_s);
  return seconds;
}

const char *au_buffer_trouble(au_buffer_t *buffer) {
  const char *trouble = NULL;
  LOCKED(trouble = buffer->trouble);
  return trouble;
}

/* It has none. */
unsigned au_buffer_lanes(const au_buffer_t *buffer) {
  (void)buffer;
  return 0;
}

au_lane_t *au_buffer_lane(au_buffer_t *buffer, unsigned index) {
  (void)buffer;
  (void)index;
  return NULL;
}
