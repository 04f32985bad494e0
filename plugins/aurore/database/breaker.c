/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * Changes are told in order and without a lock held: each is put into a short
 * queue under the lock, and the thread that finds nobody delivering takes that
 * part and delivers until the queue is empty. The queue cannot grow without
 * end: when it is full its newest entry is extended to the newest state, which
 * loses a step in between and never the last one.
 */
#include "database/breaker.h"

#include <limits.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#define CHANGES_MAX 8

/* How long to wait when another thread's probe is on its way: there is no time
 * to name, so ask again soon. */
#define PROBE_POLL_NS INT64_C(50000000)

#define WAIT_MIN_NS INT64_C(1000000)

typedef struct change {
  au_breaker_state_t from;
  au_breaker_state_t to;
  unsigned failures;
} change_t;

struct au_breaker {
  au_breaker_config_t config; /* constant */

  pthread_mutex_t lock; /* protects all below */
  au_breaker_state_t state;
  uint64_t generation; /* number of changes of state */
  unsigned failures;
  unsigned successes;
  bool probing;  /* the probe is on its way */
  unsigned owed; /* users with something that was not taken */
  int64_t open_until_ns;
  uint64_t random; /* of the jitter */
  int64_t last_failure_us;
  au_database_error_t last_error;
  change_t changes[CHANGES_MAX];
  size_t change_count;
  bool delivering; /* a thread is in deliver */
};

au_status_t au_breaker_create(const au_breaker_config_t *config,
                              au_breaker_t **out_breaker) {
  au_breaker_t *breaker = calloc(1, sizeof(*breaker));
  if (breaker == NULL)
    return AU_NOMEM;
  pthread_mutex_init(&breaker->lock, NULL);
  breaker->config = *config;
  breaker->random = config->jitter_seed;
  *out_breaker = breaker;
  return AU_OK;
}

void au_breaker_destroy(au_breaker_t *breaker) {
  if (breaker == NULL)
    return;
  pthread_mutex_destroy(&breaker->lock);
  free(breaker);
}

static void change_locked(au_breaker_t *breaker, au_breaker_state_t to) {
  change_t change = {
      .from = breaker->state, .to = to, .failures = breaker->failures};
  breaker->state = to;
  breaker->generation++;
  breaker->successes = 0;
  breaker->probing = false;
  if (breaker->change_count < CHANGES_MAX) {
    breaker->changes[breaker->change_count++] = change;
    return;
  }
  change_t *newest = &breaker->changes[CHANGES_MAX - 1];
  newest->to = to;
  newest->failures = change.failures;
}

/* splitmix64: the state is a counter, so that any seed is a good one. */
static uint64_t next_random(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

/* Opens it, or puts the next probe off. */
static void open_locked(au_breaker_t *breaker, int64_t now_ns) {
  int64_t wait_ns = breaker->config.timeout_ns;
  if (breaker->config.jitter_seed != 0)
    wait_ns -=
        (int64_t)(next_random(&breaker->random) % ((uint64_t)wait_ns / 4 + 1));
  if (__builtin_add_overflow(now_ns, wait_ns, &breaker->open_until_ns))
    breaker->open_until_ns = INT64_MAX;
  if (breaker->state != AU_BREAKER_OPEN)
    change_locked(breaker, AU_BREAKER_OPEN);
}

/* Unlocks, and delivers the changes that are queued. */
static void unlock_and_deliver(au_breaker_t *breaker) {
  bool mine = breaker->change_count > 0 && !breaker->delivering;
  if (mine)
    breaker->delivering = true;
  while (mine && breaker->change_count > 0) {
    change_t change = breaker->changes[0];
    breaker->change_count--;
    for (size_t i = 0; i < breaker->change_count; i++)
      breaker->changes[i] = breaker->changes[i + 1];
    pthread_mutex_unlock(&breaker->lock);
    if (breaker->config.change != NULL && change.from != change.to)
      breaker->config.change(change.from, change.to, change.failures,
                             breaker->config.context);
    pthread_mutex_lock(&breaker->lock);
  }
  if (mine)
    breaker->delivering = false;
  pthread_mutex_unlock(&breaker->lock);
}

static bool allow_locked(au_breaker_t *breaker, int64_t now_ns,
                         au_permit_t *out_permit, int64_t *out_retry_ns) {
  bool probe = breaker->state != AU_BREAKER_CLOSED;
  if (breaker->state == AU_BREAKER_OPEN && now_ns < breaker->open_until_ns) {
    *out_retry_ns = breaker->open_until_ns;
    return false;
  }
  if (probe && breaker->probing) {
    *out_retry_ns = now_ns + PROBE_POLL_NS;
    return false;
  }
  breaker->probing = probe;
  *out_permit =
      (au_permit_t){.generation = breaker->generation, .probe = probe};
  return true;
}

bool au_breaker_allow(au_breaker_t *breaker, int64_t now_ns,
                      au_permit_t *out_permit, int64_t *out_retry_ns) {
  pthread_mutex_lock(&breaker->lock);
  bool allowed = allow_locked(breaker, now_ns, out_permit, out_retry_ns);
  unlock_and_deliver(breaker);
  return allowed;
}

bool au_breaker_may_allow(au_breaker_t *breaker, int64_t now_ns) {
  pthread_mutex_lock(&breaker->lock);
  bool may =
      breaker->state != AU_BREAKER_OPEN || now_ns >= breaker->open_until_ns;
  pthread_mutex_unlock(&breaker->lock);
  return may;
}

static void probe_succeeded_locked(au_breaker_t *breaker) {
  unsigned successes = breaker->successes + 1;
  if (successes >= breaker->config.successes) {
    change_locked(breaker, AU_BREAKER_CLOSED);
    return;
  }
  if (breaker->state == AU_BREAKER_OPEN)
    change_locked(breaker, AU_BREAKER_HALF_OPEN);
  breaker->successes = successes;
}

void au_breaker_success(au_breaker_t *breaker, au_permit_t permit) {
  pthread_mutex_lock(&breaker->lock);
  if (permit.generation == breaker->generation) {
    breaker->failures = 0;
    breaker->probing = false;
    if (permit.probe)
      probe_succeeded_locked(breaker);
  }
  unlock_and_deliver(breaker);
}

void au_breaker_failure(au_breaker_t *breaker, au_permit_t permit,
                        int64_t now_ns, int64_t wall_us,
                        const au_database_error_t *error) {
  pthread_mutex_lock(&breaker->lock);
  breaker->last_failure_us = wall_us;
  if (error != NULL)
    breaker->last_error = *error;
  if (permit.generation == breaker->generation) {
    if (breaker->failures < UINT_MAX)
      breaker->failures++;
    breaker->probing = false;
    if (permit.probe || breaker->failures >= breaker->config.failures)
      open_locked(breaker, now_ns);
  }
  unlock_and_deliver(breaker);
}

void au_breaker_refused(au_breaker_t *breaker, au_permit_t permit,
                        int64_t wall_us, const au_database_error_t *error) {
  pthread_mutex_lock(&breaker->lock);
  breaker->last_failure_us = wall_us;
  breaker->last_error = *error;
  if (permit.generation == breaker->generation) {
    breaker->probing = false;
    if (permit.probe)
      probe_succeeded_locked(breaker);
  }
  unlock_and_deliver(breaker);
}

void au_breaker_owe(au_breaker_t *breaker, bool *reported, bool owes) {
  pthread_mutex_lock(&breaker->lock);
  if (owes && !*reported)
    breaker->owed++;
  else if (!owes && *reported)
    breaker->owed--;
  *reported = owes;
  pthread_mutex_unlock(&breaker->lock);
}

bool au_breaker_is_owed(au_breaker_t *breaker) {
  pthread_mutex_lock(&breaker->lock);
  bool is_owed = breaker->owed > 0;
  pthread_mutex_unlock(&breaker->lock);
  return is_owed;
}

void au_breaker_cancel(au_breaker_t *breaker, au_permit_t permit) {
  pthread_mutex_lock(&breaker->lock);
  if (permit.generation == breaker->generation)
    breaker->probing = false;
  pthread_mutex_unlock(&breaker->lock);
}

const char *au_breaker_state_text(au_breaker_state_t state) {
  static const char *const text[] = {[AU_BREAKER_CLOSED] = "CLOSED",
                                     [AU_BREAKER_OPEN] = "OPEN",
                                     [AU_BREAKER_HALF_OPEN] = "HALF_OPEN"};
  return text[state];
}

au_breaker_snapshot_t au_breaker_snapshot(au_breaker_t *breaker) {
  pthread_mutex_lock(&breaker->lock);
  au_breaker_snapshot_t snapshot = {.state = breaker->state,
                                    .failures = breaker->failures,
                                    .successes = breaker->successes,
                                    .last_failure_us =
                                        breaker->last_failure_us};
  pthread_mutex_unlock(&breaker->lock);
  return snapshot;
}

int64_t au_breaker_last_error(au_breaker_t *breaker,
                              au_database_error_t *out_error) {
  pthread_mutex_lock(&breaker->lock);
  int64_t at_us = breaker->last_failure_us;
  *out_error = breaker->last_error;
  pthread_mutex_unlock(&breaker->lock);
  return at_us;
}

void au_backoff_init(au_backoff_t *backoff, int64_t min_ns, int64_t max_ns,
                     uint64_t seed) {
  if (min_ns < WAIT_MIN_NS)
    min_ns = WAIT_MIN_NS;
  if (max_ns < min_ns)
    max_ns = min_ns;
  *backoff = (au_backoff_t){
      .min_ns = min_ns, .max_ns = max_ns, .ceiling_ns = min_ns, .random = seed};
}

int64_t au_backoff_next(au_backoff_t *backoff) {
  uint64_t span = (uint64_t)backoff->ceiling_ns + 1;
  int64_t wait_ns = (int64_t)(next_random(&backoff->random) % span);
  backoff->ceiling_ns = backoff->ceiling_ns > backoff->max_ns / 2
                            ? backoff->max_ns
                            : backoff->ceiling_ns * 2;
  return wait_ns < WAIT_MIN_NS ? WAIT_MIN_NS : wait_ns;
}

void au_backoff_reset(au_backoff_t *backoff) {
  backoff->ceiling_ns = backoff->min_ns;
}
