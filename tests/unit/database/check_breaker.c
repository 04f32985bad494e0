/* SPDX-License-Identifier: MIT
 *
 * check_breaker - the circuit breaker against a model of it, alone and under
 * threads; the backoff by its bounds.
 */
#include "database/breaker.h"
#include "support/suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000000)
#define TIMEOUT (30 * SECOND)
#define FAILURES 5
#define SUCCESSES 2

/* What was reported, in order. */
typedef struct told {
  au_breaker_state_t from[64];
  au_breaker_state_t to[64];
  unsigned failures[64];
  size_t count;
} told_t;

static void remember(au_breaker_state_t from, au_breaker_state_t to,
                     unsigned failures, void *context) {
  told_t *told = context;
  ck_assert_uint_lt(told->count, 64);
  told->from[told->count] = from;
  told->to[told->count] = to;
  told->failures[told->count] = failures;
  told->count++;
}

static au_breaker_t *make_breaker(told_t *told) {
  const au_breaker_config_t config = {.failures = FAILURES,
                                      .successes = SUCCESSES,
                                      .timeout_ns = TIMEOUT,
                                      .change = told != NULL ? remember : NULL,
                                      .context = told};
  au_breaker_t *breaker = NULL;
  ck_assert_int_eq(au_breaker_create(&config, &breaker), AU_OK);
  return breaker;
}

static au_permit_t allow(au_breaker_t *breaker, int64_t now) {
  au_permit_t permit;
  int64_t retry = 0;
  ck_assert(au_breaker_allow(breaker, now, &permit, &retry));
  return permit;
}

static int64_t refused(au_breaker_t *breaker, int64_t now) {
  au_permit_t permit;
  int64_t retry = 0;
  ck_assert(!au_breaker_allow(breaker, now, &permit, &retry));
  ck_assert_int_gt(retry, now);
  return retry;
}

static void fail_times(au_breaker_t *breaker, int64_t now, unsigned times) {
  for (unsigned i = 0; i < times; i++)
    au_breaker_failure(breaker, allow(breaker, now), now, 1, NULL);
}

static au_breaker_state_t state_of(au_breaker_t *breaker) {
  return au_breaker_snapshot(breaker).state;
}

CASE("rules", NULL, NULL);

TEST(opens_after_failures_in_a_row) {
  told_t told = {.count = 0};
  au_breaker_t *breaker = make_breaker(&told);
  fail_times(breaker, 0, FAILURES - 1);
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_CLOSED);
  fail_times(breaker, 7, 1);
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_OPEN);
  ck_assert_int_eq(refused(breaker, 8), 7 + TIMEOUT);
  ck_assert_uint_eq(told.count, 1);
  ck_assert_int_eq(told.to[0], AU_BREAKER_OPEN);
  ck_assert_uint_eq(told.failures[0], FAILURES);
  au_breaker_destroy(breaker);
}

TEST(a_success_between_starts_the_count_again) {
  au_breaker_t *breaker = make_breaker(NULL);
  for (int i = 0; i < 10; i++) {
    fail_times(breaker, 0, FAILURES - 1);
    au_breaker_success(breaker, allow(breaker, 0));
    ck_assert_uint_eq(au_breaker_snapshot(breaker).failures, 0);
  }
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_CLOSED);
  au_breaker_destroy(breaker);
}

TEST(one_probe_is_made_at_a_time) {
  au_breaker_t *breaker = make_breaker(NULL);
  fail_times(breaker, 0, FAILURES);
  refused(breaker, TIMEOUT - 1);
  au_permit_t probe = allow(breaker, TIMEOUT);
  ck_assert(probe.probe);
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_OPEN);
  refused(breaker, TIMEOUT);
  au_breaker_success(breaker, probe);
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_HALF_OPEN);
  ck_assert_uint_eq(au_breaker_snapshot(breaker).successes, 1);
  probe = allow(breaker, TIMEOUT);
  refused(breaker, TIMEOUT);
  au_breaker_success(breaker, probe);
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_CLOSED);
  ck_assert(!allow(breaker, TIMEOUT).probe);
  au_breaker_destroy(breaker);
}

/* An outage of an hour is one change of state. */
TEST(probes_that_fail_are_no_change) {
  told_t told = {.count = 0};
  au_breaker_t *breaker = make_breaker(&told);
  fail_times(breaker, 0, FAILURES);
  int64_t now = 0;
  for (unsigned i = 1; i <= 100; i++) {
    now += TIMEOUT;
    refused(breaker, now - 1);
    fail_times(breaker, now, 1);
    ck_assert_int_eq(state_of(breaker), AU_BREAKER_OPEN);
    ck_assert_uint_eq(au_breaker_snapshot(breaker).failures, FAILURES + i);
  }
  ck_assert_uint_eq(told.count, 1);
  /* And it ends at once, without another timeout. */
  for (int i = 0; i < SUCCESSES; i++)
    au_breaker_success(breaker, allow(breaker, now + TIMEOUT));
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_CLOSED);
  au_breaker_destroy(breaker);
}

TEST(probes_of_many_hosts_are_spread) {
  int64_t least = INT64_MAX;
  int64_t most = 0;
  for (uint64_t seed = 1; seed <= 200; seed++) {
    const au_breaker_config_t config = {.failures = 1,
                                        .successes = 1,
                                        .timeout_ns = TIMEOUT,
                                        .jitter_seed = seed};
    au_breaker_t *breaker = NULL;
    ck_assert_int_eq(au_breaker_create(&config, &breaker), AU_OK);
    fail_times(breaker, 0, 1);
    int64_t next = refused(breaker, 0);
    least = next < least ? next : least;
    most = next > most ? next : most;
    au_breaker_destroy(breaker);
  }
  ck_assert_int_ge(least, TIMEOUT / 4 * 3);
  ck_assert_int_le(most, TIMEOUT);
  ck_assert_int_gt(most - least, TIMEOUT / 5);
}

TEST(reason_of_the_last_failure_is_kept) {
  au_breaker_t *breaker = make_breaker(NULL);
  au_database_error_t error = {.sqlstate = "57P03", .message = "starting up"};
  au_database_error_t last;
  ck_assert_int_eq(au_breaker_last_error(breaker, &last), 0);
  au_breaker_failure(breaker, allow(breaker, 0), 0, 7, &error);
  au_breaker_success(breaker, allow(breaker, 0));
  ck_assert_int_eq(au_breaker_last_error(breaker, &last), 7);
  ck_assert_str_eq(last.sqlstate, "57P03");
  ck_assert_str_eq(last.message, "starting up");
  au_breaker_destroy(breaker);
}

TEST(a_failed_probe_opens_for_the_whole_timeout) {
  told_t told = {.count = 0};
  au_breaker_t *breaker = make_breaker(&told);
  fail_times(breaker, 0, FAILURES);
  au_breaker_success(breaker, allow(breaker, TIMEOUT));
  int64_t now = TIMEOUT + 3 * SECOND;
  au_breaker_failure(breaker, allow(breaker, now), now, 42, NULL);
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_OPEN);
  ck_assert_int_eq(refused(breaker, now), now + TIMEOUT);
  ck_assert_int_eq(au_breaker_snapshot(breaker).last_failure_us, 42);
  /* The success of the probe before does not count any more. */
  now += TIMEOUT;
  au_breaker_success(breaker, allow(breaker, now));
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_HALF_OPEN);
  au_breaker_success(breaker, allow(breaker, now));
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_CLOSED);
  ck_assert_uint_eq(told.count, 5); /* open, half-open, open, half-, closed */
  for (size_t i = 1; i < told.count; i++)
    ck_assert_int_eq(told.from[i], told.to[i - 1]);
  au_breaker_destroy(breaker);
}

TEST(a_cancelled_probe_makes_room_for_the_next) {
  au_breaker_t *breaker = make_breaker(NULL);
  fail_times(breaker, 0, FAILURES);
  au_breaker_cancel(breaker, allow(breaker, TIMEOUT));
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_OPEN);
  ck_assert(allow(breaker, TIMEOUT).probe);
  au_breaker_destroy(breaker);
}

TEST(a_late_answer_has_no_say) {
  au_breaker_t *breaker = make_breaker(NULL);
  au_permit_t slow_success = allow(breaker, 0);
  au_permit_t slow_failure = allow(breaker, 0);
  au_permit_t slow_cancel = allow(breaker, 0);
  fail_times(breaker, 0, FAILURES);
  au_breaker_success(breaker, slow_success);
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_OPEN);
  au_permit_t probe = allow(breaker, TIMEOUT);
  au_breaker_failure(breaker, slow_failure, TIMEOUT, 1, NULL);
  au_breaker_cancel(breaker, slow_cancel);
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_OPEN);
  refused(breaker, TIMEOUT); /* the probe is still on its way */
  au_breaker_success(breaker, probe);
  ck_assert_uint_eq(au_breaker_snapshot(breaker).successes, 1);
  au_breaker_destroy(breaker);
}

/* A listener that uses the breaker itself: many changes come up while one is
 * reported, more than are kept; the last one reported is the state. */
static told_t restless_told;

static void restless(au_breaker_state_t from, au_breaker_state_t to,
                     unsigned failures, void *context) {
  static int64_t now = TIMEOUT;
  static bool is_nested;
  au_breaker_t **breaker = context;
  remember(from, to, failures, &restless_told);
  if (is_nested)
    return;
  is_nested = true;
  for (int i = 0; i < 10; i++) {
    now += 2 * TIMEOUT;
    au_breaker_success(*breaker, allow(*breaker, now));
    au_breaker_failure(*breaker, allow(*breaker, now), now, 1, NULL);
  }
  is_nested = false;
}

TEST(changes_are_reported_in_order) {
  au_breaker_t *breaker = NULL;
  const au_breaker_config_t config = {.failures = 1,
                                      .successes = 1,
                                      .timeout_ns = TIMEOUT,
                                      .change = restless,
                                      .context = &breaker};
  restless_told.count = 0;
  ck_assert_int_eq(au_breaker_create(&config, &breaker), AU_OK);
  ck_assert(au_breaker_may_allow(breaker, 0));
  fail_times(breaker, 0, 1);
  ck_assert_uint_gt(restless_told.count, 4);
  ck_assert_uint_lt(restless_told.count, 21);
  for (size_t i = 1; i < restless_told.count; i++)
    ck_assert_int_eq(restless_told.from[i], restless_told.to[i - 1]);
  ck_assert_int_eq(restless_told.to[restless_told.count - 1], AU_BREAKER_OPEN);
  ck_assert_int_eq(state_of(breaker), AU_BREAKER_OPEN);
  ck_assert(!au_breaker_may_allow(breaker, 0));
  ck_assert(au_breaker_may_allow(breaker, 1000 * TIMEOUT));
  au_breaker_destroy(breaker);
  au_breaker_destroy(NULL);
}

TEST(an_endless_timeout_does_not_wrap) {
  const au_breaker_config_t config = {
      .failures = 1, .successes = 1, .timeout_ns = INT64_MAX};
  au_breaker_t *breaker = NULL;
  ck_assert_int_eq(au_breaker_create(&config, &breaker), AU_OK);
  fail_times(breaker, SECOND, 1);
  ck_assert_int_eq(refused(breaker, 2 * SECOND), INT64_MAX);
  au_breaker_destroy(breaker);
}

/* The model: the same rules, written in another way. A permit is a number;
 * those that still have a say are in "live". */
typedef struct model {
  int state;
  unsigned failures;
  unsigned successes;
  int64_t opened;
  bool probe_out;
} model_t;

typedef struct attempt {
  au_permit_t permit;
  bool live;
  bool probe;
} attempt_t;

static void forget(attempt_t *attempts, size_t count) {
  for (size_t i = 0; i < count; i++)
    attempts[i].live = false;
}

static bool model_allow(model_t *model, int64_t now, bool *probe) {
  *probe = model->state != AU_BREAKER_CLOSED;
  if (model->state == AU_BREAKER_OPEN && now - model->opened < TIMEOUT)
    return false;
  if (*probe && model->probe_out)
    return false;
  model->probe_out = *probe;
  return true;
}

static void model_success(model_t *model, attempt_t *attempt,
                          attempt_t *attempts, size_t count) {
  if (!attempt->live)
    return;
  model->failures = 0;
  if (!attempt->probe)
    return;
  model->probe_out = false;
  bool was_open = model->state == AU_BREAKER_OPEN;
  model->state = AU_BREAKER_HALF_OPEN;
  if (++model->successes == SUCCESSES) {
    model->state = AU_BREAKER_CLOSED;
    model->successes = 0;
  }
  if (was_open || model->state == AU_BREAKER_CLOSED)
    forget(attempts, count);
}

static void model_failure(model_t *model, attempt_t *attempt, int64_t now,
                          attempt_t *attempts, size_t count) {
  if (!attempt->live)
    return;
  model->failures++;
  if (attempt->probe)
    model->probe_out = false;
  else if (model->failures < FAILURES)
    return;
  model->opened = now;
  if (model->state == AU_BREAKER_OPEN)
    return;
  model->state = AU_BREAKER_OPEN;
  model->successes = 0;
  forget(attempts, count);
}

#define ATTEMPTS 8

CASE("model", NULL, NULL);

typedef struct attempts {
  attempt_t attempt[ATTEMPTS];
  size_t count;
} attempts_t;

static void begin_attempt(au_breaker_t *breaker, model_t *model,
                          attempts_t *under_way, int64_t now) {
  attempt_t attempt = {.live = true};
  int64_t retry = 0;
  bool allowed = model_allow(model, now, &attempt.probe);
  ck_assert_int_eq(au_breaker_allow(breaker, now, &attempt.permit, &retry),
                   allowed);
  if (allowed)
    under_way->attempt[under_way->count++] = attempt;
  else
    ck_assert_int_gt(retry, now);
}

/* "action" 4 and 5: it succeeds; 6 to 8: it fails; else it is cancelled. */
static void end_attempt(au_breaker_t *breaker, model_t *model,
                        attempts_t *under_way, size_t pick, int action,
                        int64_t now) {
  attempt_t attempt = under_way->attempt[pick];
  under_way->attempt[pick] = under_way->attempt[--under_way->count];
  if (action < 6) {
    model_success(model, &attempt, under_way->attempt, under_way->count);
    au_breaker_success(breaker, attempt.permit);
  } else if (action < 9) {
    model_failure(model, &attempt, now, under_way->attempt, under_way->count);
    au_breaker_failure(breaker, attempt.permit, now, now / 1000, NULL);
  } else {
    if (attempt.live && attempt.probe)
      model->probe_out = false;
    au_breaker_cancel(breaker, attempt.permit);
  }
}

TEST_EACH(does_what_the_model_does, 10) {
  unsigned seed = (unsigned)_i + 1;
  au_breaker_t *breaker = make_breaker(NULL);
  model_t model = {.state = AU_BREAKER_CLOSED};
  attempts_t under_way = {.count = 0};
  int64_t now = 0;
  for (int step = 0; step < 20000; step++) {
    now += rand_r(&seed) % 50 == 0 ? TIMEOUT : rand_r(&seed) % (int)SECOND;
    int action = rand_r(&seed) % 10;
    if (under_way.count == 0 || (action < 4 && under_way.count < ATTEMPTS))
      begin_attempt(breaker, &model, &under_way, now);
    else
      end_attempt(breaker, &model, &under_way,
                  (size_t)rand_r(&seed) % under_way.count, action, now);
    au_breaker_snapshot_t snapshot = au_breaker_snapshot(breaker);
    ck_assert_int_eq((int)snapshot.state, model.state);
    ck_assert_uint_eq(snapshot.failures, model.failures);
    ck_assert_uint_eq(snapshot.successes, model.successes);
  }
  au_breaker_destroy(breaker);
}

/* Many threads and a clock that runs fast: the changes are reported one at a
 * time and in order, and never are two probes out. */
typedef struct crowd {
  au_breaker_t *breaker;
  _Atomic int64_t clock;
  _Atomic int probes;
  _Atomic int telling;
  _Atomic int last; /* what was reported last */
  _Atomic unsigned told;
  _Atomic bool wrong;
} crowd_t;

static void watch(au_breaker_state_t from, au_breaker_state_t to,
                  unsigned failures, void *context) {
  crowd_t *crowd = context;
  (void)failures;
  if (atomic_fetch_add(&crowd->telling, 1) != 0 ||
      atomic_load(&crowd->last) != (int)from)
    atomic_store(&crowd->wrong, true);
  /* The lock is not held: the breaker can be asked. */
  (void)au_breaker_snapshot(crowd->breaker);
  atomic_store(&crowd->last, (int)to);
  atomic_fetch_add(&crowd->told, 1);
  atomic_fetch_sub(&crowd->telling, 1);
}

static void *work(void *argument) {
  crowd_t *crowd = argument;
  unsigned seed = (unsigned)(uintptr_t)&seed;
  for (int i = 0; i < 5000; i++) {
    int64_t now = atomic_fetch_add(&crowd->clock, SECOND);
    au_permit_t permit;
    int64_t retry;
    if (!au_breaker_allow(crowd->breaker, now, &permit, &retry))
      continue;
    if (permit.probe && atomic_fetch_add(&crowd->probes, 1) != 0)
      atomic_store(&crowd->wrong, true);
    /* Before the permit is given back: afterwards the next one is out. */
    if (permit.probe)
      atomic_fetch_sub(&crowd->probes, 1);
    if (rand_r(&seed) % 3 == 0)
      au_breaker_success(crowd->breaker, permit);
    else
      au_breaker_failure(crowd->breaker, permit, now, 1, NULL);
  }
  return NULL;
}

TEST(a_crowd_sees_one_order) {
  crowd_t crowd = {.last = AU_BREAKER_CLOSED};
  const au_breaker_config_t config = {.failures = 2,
                                      .successes = 1,
                                      .timeout_ns = 10 * SECOND,
                                      .change = watch,
                                      .context = &crowd};
  ck_assert_int_eq(au_breaker_create(&config, &crowd.breaker), AU_OK);
  pthread_t threads[4];
  for (size_t i = 0; i < 4; i++)
    ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &crowd), 0);
  for (size_t i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  ck_assert(!atomic_load(&crowd.wrong));
  ck_assert_uint_gt(atomic_load(&crowd.told), 10);
  ck_assert_int_eq((int)state_of(crowd.breaker), atomic_load(&crowd.last));
  au_breaker_destroy(crowd.breaker);
}

#define MS INT64_C(1000000)

CASE("backoff", NULL, NULL);

TEST(waits_grow_to_the_maximum_with_full_jitter) {
  int64_t longest[20] = {0};
  for (uint64_t seed = 0; seed < 200; seed++) {
    au_backoff_t backoff;
    au_backoff_init(&backoff, 100 * MS, 30 * SECOND, seed);
    int64_t ceiling = 100 * MS;
    for (int i = 0; i < 20; i++) {
      int64_t wait = au_backoff_next(&backoff);
      ck_assert_int_ge(wait, MS);
      ck_assert_int_le(wait, ceiling);
      longest[i] = wait > longest[i] ? wait : longest[i];
      ceiling = ceiling * 2 > 30 * SECOND ? 30 * SECOND : ceiling * 2;
    }
    au_backoff_reset(&backoff);
    ck_assert_int_le(au_backoff_next(&backoff), 100 * MS);
  }
  ck_assert_int_gt(longest[0], 90 * MS);
  ck_assert_int_gt(longest[3], 700 * MS);
  ck_assert_int_gt(longest[19], 27 * SECOND);
}

TEST(waits_are_spread_evenly) {
  au_backoff_t backoff;
  au_backoff_init(&backoff, SECOND, SECOND, 1);
  unsigned bucket[10] = {0};
  for (int i = 0; i < 10000; i++)
    bucket[au_backoff_next(&backoff) * 10 / (SECOND + 1)]++;
  for (int i = 0; i < 10; i++) {
    ck_assert_uint_gt(bucket[i], 800);
    ck_assert_uint_lt(bucket[i], 1200);
  }
}

TEST(odd_bounds_are_put_right) {
  au_backoff_t backoff;
  au_backoff_init(&backoff, 0, 0, 1);
  for (int i = 0; i < 100; i++)
    ck_assert_int_eq(au_backoff_next(&backoff), MS);
  au_backoff_init(&backoff, SECOND, INT64_MAX, 1);
  for (int i = 0; i < 100; i++)
    ck_assert_int_ge(au_backoff_next(&backoff), MS);
}

int main(void) { return run_tests("breaker"); }
