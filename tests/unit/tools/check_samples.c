/* SPDX-License-Identifier: MIT
 *
 * check_samples - values and histograms are read out of what is told to
 * Prometheus, whatever stands in the labels.
 */
#include "support/suite.h"
#include "tools/samples.h"

#include <stdio.h>

static const char text[] = "# HELP a is\n"
                           "# TYPE a gauge\n"
                           "a 1.5\n"
                           "ab 7\n"
                           "b{x=\"1\"} 2\n"
                           "b{y=\"}\\\"\",x=\"2\"} 3e1\n"
                           "b{xx=\"2\"} 100\n"
                           "c NaN\n"
                           "d{x=\"unfinished\n"
                           "e";

CASE("samples", NULL, NULL);

TEST(a_value_is_that_of_its_whole_name) {
  ck_assert_double_eq(ctl_samples_sum(text, "a"), 1.5);
  ck_assert_double_eq(ctl_samples_sum(text, "ab"), 7);
  ck_assert_double_nan(ctl_samples_sum(text, "x"));
  ck_assert_double_nan(ctl_samples_sum(text, "c"));
  ck_assert_double_nan(ctl_samples_sum(text, "e"));
  ck_assert_double_nan(ctl_samples_sum("", "a"));
}

TEST(series_are_added_up) {
  ck_assert_double_eq(ctl_samples_sum(text, "b"), 132);
  ck_assert_double_eq(ctl_samples_with(text, "b", "x", "1"), 2);
  ck_assert_double_eq(ctl_samples_with(text, "b", "x", "2"), 30);
  ck_assert_double_nan(ctl_samples_with(text, "b", "x", ""));
  ck_assert_double_nan(ctl_samples_with(text, "b", "z", "1"));
}

static ctl_histogram_t histogram(const char *of) {
  ctl_histogram_t made;
  ctl_samples_histogram(of, "h", &made);
  return made;
}

#define HISTOGRAM(one, two, all)                                               \
  "h_bucket{le=\"1\"} " #one "\nh_bucket{le=\"2\"} " #two                      \
  "\nh_bucket{le=\"+Inf\"} " #all "\n"

TEST(a_histogram_has_all_its_series) {
  ctl_histogram_t made = histogram("h_bucket{s=\"x\",le=\"1\"} 1\n"
                                   "h_bucket{s=\"x\",le=\"+Inf\"} 2\n"
                                   "h_bucket{s=\"y\",le=\"1\"} 10\n"
                                   "h_bucket{s=\"y\",le=\"+Inf\"} 20\n"
                                   "h_count 22\nh_bucket 5\n");
  ck_assert_uint_eq(made.count, 2);
  ck_assert_double_eq(made.bound[0], 1);
  ck_assert_double_infinite(made.bound[1]);
  ck_assert_double_eq(made.below[0], 11);
  ck_assert_double_eq(made.below[1], 22);
}

TEST(quantiles_are_within_a_bucket) {
  ctl_histogram_t none = {.count = 0};
  ctl_histogram_t now = histogram(HISTOGRAM(50, 100, 100));
  ck_assert_double_eq(ctl_histogram_observed(&now, &none), 100);
  ck_assert_double_eq(ctl_histogram_quantile(&now, &none, 0.25), 0.5);
  ck_assert_double_eq(ctl_histogram_quantile(&now, &none, 0.75), 1.5);
  /* Of what lies above every bound the last one is all that is known. */
  now = histogram(HISTOGRAM(0, 0, 10));
  ck_assert_double_eq(ctl_histogram_quantile(&now, &none, 0.5), 2);
  ck_assert_double_nan(ctl_histogram_quantile(&none, &none, 0.5));
}

TEST(only_what_came_since_counts) {
  ctl_histogram_t before = histogram(HISTOGRAM(50, 100, 100));
  ctl_histogram_t now = histogram(HISTOGRAM(50, 110, 110));
  ck_assert_double_eq(ctl_histogram_observed(&now, &before), 10);
  ck_assert_double_eq(ctl_histogram_quantile(&now, &before, 0.5), 1.5);
  ck_assert_double_nan(ctl_histogram_quantile(&before, &before, 0.5));
  /* A process that has started anew. */
  now = histogram(HISTOGRAM(4, 4, 4));
  ck_assert_double_eq(ctl_histogram_observed(&now, &before), 4);
}

TEST(more_buckets_than_there_is_room_for) {
  char many[4096];
  int size = 0;
  for (int i = 0; i < 2 * CTL_BUCKETS_MAX; i++)
    size += snprintf(many + size, sizeof(many) - (size_t)size,
                     "h_bucket{le=\"%d\"} %d\n", i, i);
  ck_assert_uint_eq(histogram(many).count, CTL_BUCKETS_MAX);
}

int main(void) { return run_tests("samples"); }
