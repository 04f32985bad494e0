/* SPDX-License-Identifier: MIT
 *
 * check_exemplars - which traces are kept, in which bucket, and for how long.
 */
#include "metrics/exemplars.h"
#include "support/suite.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define OTHER "0af7651916cd43dd8448eb211c80319c"
#define HEADER(trace, flags) "00-" trace "-00f067aa0ba902b7-" flags

static au_exemplar_t taken[AU_BUCKET_COUNT];

static void setup(void) { au_exemplars_reset(); }

/* How many buckets of the route have one. */
static unsigned take(au_route_label_t route) {
  unsigned found = 0;
  au_exemplars_take(route, taken);
  for (unsigned i = 0; i < AU_BUCKET_COUNT; i++)
    if (taken[i].trace_id[0] != '\0')
      found++;
  return found;
}

CASE("exemplars", setup, NULL);

TEST(trace_is_in_the_bucket_of_its_duration) {
  for (unsigned i = 0; i + 1 < AU_BUCKET_COUNT; i++) {
    au_exemplars_reset();
    double bound = au_bucket_bounds_ms[i];
    au_exemplars_keep(AU_ROUTE_DLQ, bound, HEADER(TRACE, "01"));
    ck_assert_uint_eq(take(AU_ROUTE_DLQ), 1);
    ck_assert_str_eq(taken[i].trace_id, TRACE);
    ck_assert_double_eq(taken[i].ms, bound);
    au_exemplars_keep(AU_ROUTE_DLQ, bound * 1.001, HEADER(OTHER, "01"));
    ck_assert_uint_eq(take(AU_ROUTE_DLQ), 2);
    ck_assert_str_eq(taken[i + 1].trace_id, OTHER);
  }
  ck_assert_uint_eq(take(AU_ROUTE_EVENTS_POST), 0);
}

TEST(last_one_stays) {
  au_exemplars_keep(AU_ROUTE_EVENTS_POST, 7, HEADER(TRACE, "01"));
  au_exemplars_keep(AU_ROUTE_EVENTS_POST, 9, HEADER(OTHER, "01"));
  ck_assert_uint_eq(take(AU_ROUTE_EVENTS_POST), 1);
  ck_assert_uint_eq(au_bucket_of(7), au_bucket_of(9));
  ck_assert_str_eq(taken[au_bucket_of(9)].trace_id, OTHER);
  ck_assert_double_eq(taken[au_bucket_of(9)].ms, 9);
  ck_assert_int_gt(taken[au_bucket_of(9)].at_us, 0);
}

static const char *const passed_over[] = {
    NULL,
    "",
    "no trace",
    HEADER("00000000000000000000000000000000", "01"),
    HEADER(TRACE, "00"), /* nobody records it */
    HEADER(TRACE, "02"),
};

TEST_EACH(no_trace_is_no_exemplar,
          sizeof(passed_over) / sizeof(passed_over[0])) {
  au_exemplars_keep(AU_ROUTE_DLQ, 1, passed_over[_i]);
  ck_assert_uint_eq(take(AU_ROUTE_DLQ), 0);
}

TEST(unknown_route_is_passed_over) {
  au_exemplars_keep(AU_ROUTE_COUNT, 1, HEADER(TRACE, "01"));
  for (unsigned i = 0; i < AU_ROUTE_COUNT; i++)
    ck_assert_uint_eq(take((au_route_label_t)i), 0);
}

static void *keep_many(void *argument) {
  const char *header = argument;
  for (unsigned i = 0; i < 20000; i++)
    au_exemplars_keep(AU_ROUTE_DLQ, 1, header);
  return NULL;
}

TEST(many_threads_never_mix_two) {
  static char first[] = HEADER(TRACE, "01");
  static char second[] = HEADER(OTHER, "01");
  pthread_t thread[2];
  ck_assert_int_eq(pthread_create(&thread[0], NULL, keep_many, first), 0);
  ck_assert_int_eq(pthread_create(&thread[1], NULL, keep_many, second), 0);
  for (unsigned i = 0; i < 20000; i++)
    if (take(AU_ROUTE_DLQ) > 0) {
      const char *id = taken[au_bucket_of(1)].trace_id;
      ck_assert(strcmp(id, TRACE) == 0 || strcmp(id, OTHER) == 0);
    }
  pthread_join(thread[0], NULL);
  pthread_join(thread[1], NULL);
  ck_assert_uint_eq(take(AU_ROUTE_DLQ), 1);
}

int main(void) { return run_tests("exemplars"); }
