/* SPDX-License-Identifier: MIT */
#include "collectd.h"

#include "plugin.h"

#include "report.h"

#include "base/array.h"
#include "types.h"

#include <math.h>

/* "~" and eight hexadecimal digits. */
#define MARK_LENGTH 9

/* --- types -----------------------------------------------------------------*/

static data_source_t source_of(const au_type_t *type) {
  data_source_t source = {
      .name = "value", .min = (double)NAN, .max = (double)NAN};
  source.type = type->is_derive ? DS_TYPE_DERIVE : DS_TYPE_GAUGE;
  if (type->is_derive)
    source.min = 0; /* a restart begins at zero, and is no negative rate */
  return source;
}

static bool is_known(const au_type_t *type) {
  const data_set_t *known = plugin_get_ds(type->name);
  const data_source_t source = source_of(type);
  return known != NULL && known->ds_num == 1 &&
         known->ds[0].type == source.type &&
         strcmp(known->ds[0].name, source.name) == 0;
}

static void register_type(const au_type_t *type, void *context) {
  (void)context;
  if (is_known(type))
    return;
  data_source_t source = source_of(type);
  data_set_t set = {.ds_num = 1, .ds = &source};
  (void)snprintf(set.type, sizeof(set.type), "%s", type->name);
  /* The set is copied; a failure is logged by collectd. */
  (void)plugin_register_data_set(&set);
}

void au_report_register_types(au_side_t side) {
  au_types_visit(&side, register_type, NULL);
}

/* --- names -----------------------------------------------------------------*/

static uint32_t checksum(const char *text) { /* FNV-1a */
  uint32_t hash = UINT32_C(2166136261);
  for (; *text != '\0'; text++)
    hash = (hash ^ (uint8_t)*text) * UINT32_C(16777619);
  return hash;
}

static bool has_mark(const char *name) {
  size_t length = strlen(name);
  return length >= MARK_LENGTH && name[length - MARK_LENGTH] == '~' &&
         strspn(name + length - MARK_LENGTH + 1, "0123456789abcdef") ==
             MARK_LENGTH - 1;
}

/* The bytes of the control character at "text", 0 when there is none there: the
 * ASCII ones and those of U+0080 to U+009F. */
static size_t control_length(const char *text) {
  uint8_t first = (uint8_t)text[0];
  if (first < 0x20 || first == 0x7F)
    return 1;
  uint8_t second = (uint8_t)text[1];
  return first == 0xC2 && second >= 0x80 && second <= 0x9F ? 2 : 0;
}

/* Like collectd's escape_slashes, but for control characters, too; what does
 * not fit is left out. */
static void escape(const char *name, char *instance, size_t size) {
  if (strcmp(name, "/") == 0)
    name = "root";
  else if (name[0] == '/')
    name++;
  size_t length = 0;
  while (*name != '\0' && length + 1 < size) {
    size_t control = control_length(name);
    instance[length] = *name;
    if (*name == '/' || control > 0)
      instance[length] = '_';
    length++;
    name += control > 0 ? control : 1;
  }
  instance[length] = '\0';
}

void au_report_name(const char *name, char *instance, size_t size) {
  escape(name, instance, size);
  if (strcmp(name, instance) == 0 && !has_mark(name))
    return;
  size_t length = strlen(instance);
  if (length + MARK_LENGTH >= size) {
    length = size - 1 - MARK_LENGTH;
    while (length > 0 && ((uint8_t)instance[length] & 0xC0) == 0x80)
      length--; /* never half a character */
  }
  (void)snprintf(instance + length, size - length, "~%08" PRIx32,
                 checksum(name));
}

/* --- values ----------------------------------------------------------------*/

/* Names, owned, in the order in which they came. */
typedef struct names {
  char **name;
  size_t count;
  size_t capacity;
} names_t;

typedef struct reading {
  cdtime_t time;
  cdtime_t interval;
  names_t services; /* that were dispatched */
} reading_t;

/* Out of memory: the name is not remembered, so its series is not ended. */
static void names_add(names_t *names, const char *name) {
  char **grown = au_array_grow(names->name, &names->capacity, names->count,
                               sizeof(*grown));
  if (grown == NULL)
    return;
  names->name = grown;
  char *copy = strdup(name);
  if (copy != NULL)
    names->name[names->count++] = copy;
}

/* "guess": the index where it probably is. */
static bool names_has(const names_t *names, const char *name, size_t guess) {
  if (guess < names->count && strcmp(names->name[guess], name) == 0)
    return true;
  for (size_t i = 0; i < names->count; i++)
    if (strcmp(names->name[i], name) == 0)
      return true;
  return false;
}

static void names_clear(names_t *names) {
  for (size_t i = 0; i < names->count; i++)
    free(names->name[i]);
  free(names->name);
  *names = (names_t){.count = 0};
}

static void dispatch(const reading_t *reading, au_metric_t metric,
                     au_type_part_t part, const char *plugin_instance,
                     const char *type_instance, value_t value) {
  value_list_t list = VALUE_LIST_INIT;
  list.values = &value;
  list.values_len = 1;
  list.time = reading->time;
  list.interval = reading->interval;
  (void)snprintf(list.plugin, sizeof(list.plugin), AU_REPORT_PLUGIN);
  au_report_name(plugin_instance, list.plugin_instance,
                 sizeof(list.plugin_instance));
  (void)snprintf(list.type, sizeof(list.type), "%s",
                 au_type(metric, part).name);
  au_report_name(type_instance, list.type_instance, sizeof(list.type_instance));
  /* This fails only for want of memory; the next reading comes soon. */
  (void)plugin_dispatch_values(&list);
}

static void dispatch_histogram(const reading_t *reading,
                               const au_series_t *series) {
  const char *instance = series->label_value[0] != NULL
                             ? series->label_value[0]
                             : au_metric_info(series->metric)->component;
  for (unsigned i = 0; i < AU_BUCKET_COUNT; i++)
    dispatch(reading, series->metric, AU_TYPE_BUCKET, instance,
             au_bucket_labels[i],
             (value_t){.derive = (derive_t)series->bucket[i]});
  dispatch(reading, series->metric, AU_TYPE_COUNT, instance, "",
           (value_t){.derive = (derive_t)series->count});
  dispatch(reading, series->metric, AU_TYPE_SUM, instance, "",
           (value_t){.gauge = series->sum});
}

static void dispatch_series(const au_series_t *series, void *context) {
  reading_t *reading = context;
  const au_metric_info_t *info = au_metric_info(series->metric);
  if (info->kind == AU_HISTOGRAM) {
    dispatch_histogram(reading, series);
    return;
  }
  const char *plugin_instance = info->component;
  const char *type_instance = series->label_value[0];
  if (series->label_value[1] != NULL) {
    plugin_instance = series->label_value[0];
    type_instance = series->label_value[1];
  }
  value_t value = {.gauge = series->value};
  if (info->kind == AU_COUNTER)
    value.derive = (derive_t)series->counter;
  dispatch(reading, series->metric, AU_TYPE_PLAIN, plugin_instance,
           type_instance != NULL ? type_instance : "", value);
  if (info->label[0] == AU_LABEL_SERVICE && type_instance != NULL)
    names_add(&reading->services, type_instance);
}

/* --- services that are no longer among the largest -------------------------
 *
 * collectd keeps a value that is no longer dispatched for some more intervals,
 * and shows what it was last. By then the events of such a service are counted
 * in "other", so it is dispatched once more, as zero. */

/* Of the last reading; only one reading runs at a time. */
static names_t services_before;

static void end_services(const reading_t *reading) {
  for (size_t i = 0; i < services_before.count; i++)
    if (!names_has(&reading->services, services_before.name[i], i))
      dispatch(reading, AU_M_BUSINESS_BY_SERVICE, AU_TYPE_PLAIN,
               au_metric_info(AU_M_BUSINESS_BY_SERVICE)->component,
               services_before.name[i], (value_t){.gauge = 0});
}

void au_report_dispatch(au_side_t side) {
  au_metrics_sample();
  reading_t reading = {.time = cdtime(), .interval = plugin_get_interval()};
  au_metrics_visit(&side, dispatch_series, &reading);
  if (side != AU_SIDE_WRITER)
    return;
  end_services(&reading);
  names_clear(&services_before);
  services_before = reading.services;
}
