/* SPDX-License-Identifier: MIT */
#include "tools/samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line of the exposition: NAME{LABELS} VALUE, or without the braces. */
typedef struct sample {
  const char *labels; /* behind the brace; "" without them */
  size_t labels_size;
  double value;
} sample_t;

/* The next sample of the name at or behind "at"; NULL: there is none. Returns
 * where to look for the one after it. */
static const char *next_sample(const char *at, const char *name,
                               sample_t *out) {
  size_t length = strlen(name);
  for (const char *end; *at != '\0'; at = *end != '\0' ? end + 1 : end) {
    end = at + strcspn(at, "\n");
    if (strncmp(at, name, length) != 0 ||
        (at[length] != '{' && at[length] != ' '))
      continue;
    const char *value = at + length;
    *out = (sample_t){.labels = ""};
    if (*value == '{') {
      out->labels = ++value;
      /* A brace may stand in a label's value. */
      for (bool is_quoted = false; value < end && (is_quoted || *value != '}');
           value++) {
        if (*value == '\\' && value + 1 < end)
          value++;
        else if (*value == '"')
          is_quoted = !is_quoted;
      }
      out->labels_size = (size_t)(value - out->labels);
      value += value < end ? 1 : 0;
    }
    out->value = strtod(value, NULL);
    return *end != '\0' ? end + 1 : end;
  }
  return NULL;
}

/* Where the value of a label begins, within the quotes; NULL: it has none. */
static const char *label_of(const sample_t *sample, const char *label) {
  char wanted[64];
  int length = snprintf(wanted, sizeof(wanted), "%s=\"", label);
  const char *at = sample->labels;
  const char *end = at + sample->labels_size;
  while (length > 0 && at < end) {
    if (end - at > length && memcmp(at, wanted, (size_t)length) == 0)
      return at + length;
    bool is_quoted = false;
    for (; at < end && (is_quoted || *at != ','); at++) {
      if (*at == '\\' && at + 1 < end)
        at++;
      else if (*at == '"')
        is_quoted = !is_quoted;
    }
    at += at < end ? 1 : 0;
  }
  return NULL;
}

double ctl_samples_with(const char *text, const char *name, const char *label,
                        const char *value) {
  double sum = (double)NAN;
  sample_t sample;
  for (const char *at = text; (at = next_sample(at, name, &sample)) != NULL;) {
    const char *given = label != NULL ? label_of(&sample, label) : NULL;
    if (label != NULL &&
        (given == NULL || strncmp(given, value, strlen(value)) != 0 ||
         given[strlen(value)] != '"'))
      continue;
    sum = isnan(sum) ? sample.value : sum + sample.value;
  }
  return sum;
}

double ctl_samples_sum(const char *text, const char *name) {
  return ctl_samples_with(text, name, NULL, NULL);
}

static void add_bucket(ctl_histogram_t *histogram, double bound, double below) {
  size_t i = 0;
  while (i < histogram->count && histogram->bound[i] != bound)
    i++;
  if (i == CTL_BUCKETS_MAX)
    return;
  if (i == histogram->count) {
    histogram->count++;
    histogram->bound[i] = bound;
    histogram->below[i] = 0;
  }
  histogram->below[i] += below;
}

void ctl_samples_histogram(const char *text, const char *name,
                           ctl_histogram_t *out) {
  char bucket[128];
  sample_t sample;
  *out = (ctl_histogram_t){.count = 0};
  snprintf(bucket, sizeof(bucket), "%s_bucket", name);
  for (const char *at = text;
       (at = next_sample(at, bucket, &sample)) != NULL;) {
    const char *bound = label_of(&sample, "le");
    if (bound != NULL)
      add_bucket(out, strtod(bound, NULL), sample.value);
  }
}

/* Observations up to a bucket's bound, since then. A process that has started
 * anew counts from 0. */
static double since(const ctl_histogram_t *now, const ctl_histogram_t *before,
                    size_t i) {
  bool is_comparable =
      before->count == now->count &&
      before->below[before->count - 1] <= now->below[now->count - 1];
  double below = now->below[i] - (is_comparable ? before->below[i] : 0);
  return below > 0 ? below : 0;
}

double ctl_histogram_observed(const ctl_histogram_t *now,
                              const ctl_histogram_t *before) {
  return now->count == 0 ? 0 : since(now, before, now->count - 1);
}

double ctl_histogram_quantile(const ctl_histogram_t *now,
                              const ctl_histogram_t *before, double q) {
  double all = ctl_histogram_observed(now, before);
  double low = 0;
  double passed = 0;
  if (all <= 0)
    return (double)NAN;
  for (size_t i = 0; i < now->count; i++) {
    double below = since(now, before, i);
    double high = now->bound[i];
    if (below >= q * all && below > passed)
      return isinf(high)
                 ? low
                 : low + (high - low) * (q * all - passed) / (below - passed);
    passed = below;
    low = high;
  }
  return low;
}
