/* SPDX-License-Identifier: MIT
 *
 * samples - what the API tells Prometheus, read back: values by their name, and
 * histograms, of which two make the one of the time between them.
 */
#ifndef AURORECTL_SAMPLES_H
#define AURORECTL_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>

#define CTL_BUCKETS_MAX 32

/* The sum of all series of that name in the text; NAN: there is none. */
double ctl_samples_sum(const char *text, const char *name);
/* Of those with this label; "value" is as it is written. */
double ctl_samples_with(const char *text, const char *name, const char *label,
                        const char *value);

/* All series of a histogram together. */
typedef struct ctl_histogram {
  size_t count; /* of buckets; 0: there is none */
  double bound[CTL_BUCKETS_MAX];
  double below[CTL_BUCKETS_MAX]; /* observations up to the bound */
} ctl_histogram_t;

/* Adds up the buckets of all series of that name in a text of Prometheus. */
void ctl_samples_histogram(const char *text, const char *name,
                           ctl_histogram_t *out);
/* What has been observed since "before", and below what value lies the share
 * "q" of it: within a bucket as if it were even. NAN: nothing was observed.
 * What is above the last bound counts as that. */
double ctl_histogram_observed(const ctl_histogram_t *now,
                              const ctl_histogram_t *before);
double ctl_histogram_quantile(const ctl_histogram_t *now,
                              const ctl_histogram_t *before, double q);

#endif
