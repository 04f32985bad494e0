/* SPDX-License-Identifier: MIT
 * Part of metrics/; calls event/, base/.
 *
 * The two formats differ little: OpenMetrics names the family of a counter
 * without _total, knows units, escapes quotes in help texts, too, tells since
 * when is counted (_created), names traces (exemplars), and marks its end.
 */
#include "metrics/exposition.h"

#include "base/clock.h"
#include "metrics/exemplars.h"
#include "metrics/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TOTAL "_total"

/* --- which of the two ------------------------------------------------------*/

/* One range of an Accept header: "text/plain;version=0.0.4;q=0.5". */
typedef struct range {
  char type[64];
  bool is_version; /* of ours, or none is asked for */
  double quality;
} range_t;

/* Cuts leading and trailing blanks; returns the new length. */
static size_t strip(const char **text, size_t size) {
  while (size > 0 && (**text == ' ' || **text == '\t')) {
    (*text)++;
    size--;
  }
  while (size > 0 && ((*text)[size - 1] == ' ' || (*text)[size - 1] == '\t'))
    size--;
  return size;
}

static bool is_parameter(const char *text, size_t size, const char *name) {
  size_t length = strlen(name);
  return size >= length && strncasecmp(text, name, length) == 0;
}

static range_t read_range(const char *text, size_t size) {
  range_t range = {.is_version = true, .quality = 1};
  const char *end = text + size;
  for (bool is_first = true; text < end; is_first = false) {
    const char *stop = memchr(text, ';', (size_t)(end - text));
    const char *part = text;
    size_t length = strip(&part, (size_t)((stop != NULL ? stop : end) - text));
    if (is_first)
      (void)snprintf(range.type, sizeof(range.type), "%.*s", (int)length, part);
    else if (is_parameter(part, length, "q="))
      range.quality =
          strtod(part + 2, NULL); /* ends at a ; or , at the latest */
    else if (is_parameter(part, length, "version="))
      range.is_version = length == strlen("version=1.0.0") &&
                         strncmp(part + 8, "1.0.0", 5) == 0;
    text = stop != NULL ? stop + 1 : end;
  }
  return range;
}

au_exposition_t au_exposition_choose(const char *accept) {
  double open_metrics = 0;
  double text_format[3] = {-1, -1, -1}; /* text/plain, text/any, any */
  static const char *const text_type[] = {"text/plain", "text/*", "*/*"};
  while (accept != NULL && *accept != '\0') {
    size_t size = strcspn(accept, ",");
    range_t range = read_range(accept, size);
    accept += size + (accept[size] == ',');
    if (strcasecmp(range.type, "application/openmetrics-text") == 0 &&
        range.is_version && range.quality > open_metrics)
      open_metrics = range.quality;
    for (size_t i = 0; i < 3; i++)
      if (strcasecmp(range.type, text_type[i]) == 0 &&
          range.quality > text_format[i])
        text_format[i] = range.quality;
  }
  double text = 0; /* the most specific range that speaks of it decides */
  for (size_t i = 3; i-- > 0;)
    if (text_format[i] >= 0)
      text = text_format[i];
  return open_metrics > 0 && open_metrics >= text ? AU_EXPOSITION_OPENMETRICS
                                                  : AU_EXPOSITION_TEXT;
}

/* --- the text --------------------------------------------------------------*/

typedef struct target {
  au_bytes_t *text;
  au_exposition_t format;
  unsigned announced; /* metrics whose HELP and TYPE have been written */
} target_t;

const char *au_exposition_content_type(au_exposition_t format) {
  return format == AU_EXPOSITION_OPENMETRICS
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

static void put_escaped(au_bytes_t *text, const char *value, bool quotes) {
  for (const char *c = value; *c != '\0'; c++) {
    if (*c == '\n')
      au_bytes_put_string(text, "\\n");
    else if (*c == '\\')
      au_bytes_put_string(text, "\\\\");
    else if (*c == '"' && quotes)
      au_bytes_put_string(text, "\\\"");
    else
      au_bytes_put_u8(text, (uint8_t)*c);
  }
}

/* The shortest form that reads back as the same number. */
static void put_number(au_bytes_t *text, double value) {
  if (isinf(value)) {
    au_bytes_put_string(text, value > 0 ? "+Inf" : "-Inf");
  } else {
    char digits[32];
    int precision = 15;
    do
      (void)snprintf(digits, sizeof(digits), "%.*g", precision, value);
    while (strtod(digits, NULL) != value && ++precision <= 17);
    au_bytes_put_string(text, digits);
  }
}

static void announce(const target_t *target, au_metric_t metric) {
  static const char *const type[] = {[AU_COUNTER] = "counter",
                                     [AU_GAUGE] = "gauge",
                                     [AU_HISTOGRAM] = "histogram"};
  const au_metric_info_t *info = au_metric_info(metric);
  bool openmetrics = target->format == AU_EXPOSITION_OPENMETRICS;
  const char *unit = au_metric_unit(metric);
  int length = (int)strlen(info->name); /* of the family's name */
  if (openmetrics && info->kind == AU_COUNTER)
    length -= (int)strlen(TOTAL);
  au_bytes_printf(target->text, "# HELP %.*s ", length, info->name);
  put_escaped(target->text, info->help, openmetrics);
  au_bytes_printf(target->text, "\n# TYPE %.*s %s\n", length, info->name,
                  type[info->kind]);
  if (openmetrics && unit[0] != '\0')
    au_bytes_printf(target->text, "# UNIT %.*s %s\n", length, info->name, unit);
}

/* Name and labels; "bound" is the bucket's, or NULL. "cut" is how much of the
 * name's end the suffix replaces. */
static void put_cut_name(au_bytes_t *text, const au_series_t *series,
                         size_t cut, const char *suffix, const char *bound) {
  const au_metric_info_t *info = au_metric_info(series->metric);
  char before = '{';
  au_bytes_printf(text, "%.*s%s", (int)(strlen(info->name) - cut), info->name,
                  suffix);
  for (unsigned i = 0; i < 2; i++) {
    if (series->label_value[i] == NULL)
      continue;
    au_bytes_printf(text, "%c%s=\"", before, info->label_name[i]);
    put_escaped(text, series->label_value[i], true);
    au_bytes_put_u8(text, '"');
    before = ',';
  }
  if (bound != NULL) {
    au_bytes_printf(text, "%cle=\"%s\"", before, bound);
    before = ',';
  }
  au_bytes_put_string(text, before == ',' ? "} " : " ");
}

static void put_name(au_bytes_t *text, const au_series_t *series,
                     const char *suffix, const char *bound) {
  put_cut_name(text, series, 0, suffix, bound);
}

static double seconds(int64_t us) { return (double)us / (double)AU_US_PER_S; }

/* Since when is counted. What the database counts is older than this process.
 */
static void put_created(const target_t *target, const au_series_t *series) {
  int64_t begun_us = au_metrics_begun_us();
  if (target->format != AU_EXPOSITION_OPENMETRICS || begun_us == 0 ||
      series->metric == AU_M_BUSINESS_EVENTS)
    return;
  bool is_counter = au_metric_info(series->metric)->kind == AU_COUNTER;
  put_cut_name(target->text, series, is_counter ? strlen(TOTAL) : 0, "_created",
               NULL);
  au_bytes_printf(target->text, "%.3f\n", seconds(begun_us));
}

static void put_exemplar(au_bytes_t *text, const au_exemplar_t *exemplar) {
  if (exemplar->trace_id[0] == '\0')
    return;
  au_bytes_printf(text, " # {trace_id=\"%s\"} ", exemplar->trace_id);
  put_number(text, exemplar->ms);
  au_bytes_printf(text, " %.3f", seconds(exemplar->at_us));
}

static void put_histogram(const target_t *target, const au_series_t *series) {
  au_bytes_t *text = target->text;
  au_exemplar_t exemplar[AU_BUCKET_COUNT] = {{.trace_id = ""}};
  if (target->format == AU_EXPOSITION_OPENMETRICS &&
      series->metric == AU_M_HTTP_DURATION)
    au_exemplars_take((au_route_label_t)series->label[0], exemplar);
  for (unsigned i = 0; i < AU_BUCKET_COUNT; i++) {
    put_name(text, series, "_bucket", au_bucket_labels[i]);
    au_bytes_printf(text, "%" PRIu64, series->bucket[i]);
    put_exemplar(text, &exemplar[i]);
    au_bytes_put_u8(text, '\n');
  }
  put_name(text, series, "_sum", NULL);
  put_number(text, series->sum);
  au_bytes_put_u8(text, '\n');
  put_name(text, series, "_count", NULL);
  au_bytes_printf(text, "%" PRIu64 "\n", series->count);
}

static void put_series(const au_series_t *series, void *context) {
  target_t *target = context;
  /* A metric by service may have no series yet; it is announced all the same,
   * in its place. */
  while (target->announced <= series->metric)
    announce(target, (au_metric_t)target->announced++);
  au_bytes_t *text = target->text;
  switch (au_metric_info(series->metric)->kind) {
  case AU_COUNTER:
    put_name(text, series, "", NULL);
    au_bytes_printf(text, "%" PRIu64 "\n", series->counter);
    put_created(target, series);
    break;
  case AU_GAUGE:
    put_name(text, series, "", NULL);
    put_number(text, series->value);
    au_bytes_put_u8(text, '\n');
    break;
  case AU_HISTOGRAM:
    put_histogram(target, series);
    put_created(target, series);
    break;
  }
}

void au_exposition_put(au_bytes_t *text, au_exposition_t format) {
  target_t target = {.text = text, .format = format};
  au_metrics_visit(NULL, put_series, &target);
  if (format == AU_EXPOSITION_OPENMETRICS)
    au_bytes_put_string(text, "# EOF\n");
}
