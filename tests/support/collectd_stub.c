/* SPDX-License-Identifier: MIT
 *
 * collectd_stub - see collectd_stub.h.
 */
#include "support/collectd_stub.h"

#include <check.h>

static char stub_hostname[] = "stub.example";
char *hostname_g = stub_hostname;

value_list_t *stub_values;
size_t stub_value_count;
stub_log_t stub_logs[64];
size_t stub_log_count;
notification_t stub_notifications[8];
size_t stub_notification_count;
size_t stub_registrations;
struct stub_plugin stub_plugin;
cdtime_t stub_now;
cdtime_t stub_interval;

typedef struct type {
  data_set_t set;
  data_source_t source[2];
} type_t;

static type_t types[256];
static size_t type_count;

void stub_reset(void) {
  for (size_t i = 0; i < stub_value_count; i++)
    free(stub_values[i].values);
  free(stub_values);
  stub_values = NULL;
  stub_value_count = 0;
  stub_log_count = 0;
  stub_notification_count = 0;
  stub_registrations = 0;
  stub_plugin = (struct stub_plugin){.init = NULL};
  type_count = 0;
  stub_now = TIME_T_TO_CDTIME_T(1700000000);
  stub_interval = TIME_T_TO_CDTIME_T(10);
}

static type_t *find_type(const char *name) {
  for (size_t i = 0; i < type_count; i++)
    if (strcmp(types[i].set.type, name) == 0)
      return &types[i];
  return NULL;
}

const data_set_t *plugin_get_ds(const char *name) {
  const type_t *type = find_type(name);
  return type != NULL ? &type->set : NULL;
}

int plugin_register_data_set(const data_set_t *set) {
  type_t *type = find_type(set->type);
  if (type == NULL) {
    ck_assert_uint_lt(type_count, sizeof(types) / sizeof(types[0]));
    type = &types[type_count++];
  }
  ck_assert_uint_le(set->ds_num, 2);
  type->set = *set;
  memcpy(type->source, set->ds, set->ds_num * sizeof(set->ds[0]));
  type->set.ds = type->source;
  stub_registrations++;
  return 0;
}

int plugin_dispatch_values(const value_list_t *list) {
  ck_assert_uint_eq(list->values_len, 1);
  value_list_t *grown =
      realloc(stub_values, (stub_value_count + 1) * sizeof(*stub_values));
  ck_assert_ptr_nonnull(grown);
  stub_values = grown;
  value_list_t *copy = &stub_values[stub_value_count++];
  *copy = *list;
  copy->values = malloc(sizeof(*copy->values));
  ck_assert_ptr_nonnull(copy->values);
  copy->values[0] = list->values[0];
  return 0;
}

void stub_identity(const value_list_t *list, char *text, size_t size) {
  (void)snprintf(text, size, "%s/%s-%s/%s-%s", list->host, list->plugin,
                 list->plugin_instance, list->type, list->type_instance);
}

const value_list_t *stub_value_of(const char *wanted) {
  char text[700];
  for (size_t i = 0; i < stub_value_count; i++) {
    stub_identity(&stub_values[i], text, sizeof(text));
    if (strcmp(text, wanted) == 0)
      return &stub_values[i];
  }
  ck_abort_msg("%s was not dispatched", wanted);
}

/* -1: nobody listens, which is no error. */
int plugin_dispatch_notification(const notification_t *notification) {
  ck_assert_uint_lt(stub_notification_count, 8);
  stub_notifications[stub_notification_count++] = *notification;
  return -1;
}

void plugin_log(int severity, const char *format, ...) {
  ck_assert_uint_lt(stub_log_count, 64);
  stub_log_t *log = &stub_logs[stub_log_count++];
  va_list arguments;
  log->severity = severity;
  va_start(arguments, format);
  (void)vsnprintf(log->line, sizeof(log->line), format, arguments);
  va_end(arguments);
}

cdtime_t cdtime(void) { return stub_now++; }

cdtime_t plugin_get_interval(void) { return stub_interval; }

int plugin_register_complex_config(const char *name,
                                   int (*callback)(oconfig_item_t *)) {
  strcpy(stub_plugin.name, name);
  stub_plugin.config = callback;
  return 0;
}

int plugin_register_init(const char *name, plugin_init_cb callback) {
  ck_assert_str_eq(name, stub_plugin.name);
  stub_plugin.init = callback;
  return 0;
}

int plugin_register_complex_read(const char *group, const char *name,
                                 plugin_read_cb callback, cdtime_t interval,
                                 const user_data_t *user_data) {
  ck_assert(group == NULL && interval == 0 && user_data == NULL);
  ck_assert_str_eq(name, stub_plugin.name);
  stub_plugin.read = callback;
  return 0;
}

int plugin_register_flush(const char *name, plugin_flush_cb callback,
                          const user_data_t *user_data) {
  ck_assert_ptr_null(user_data);
  ck_assert_str_eq(name, stub_plugin.name);
  stub_plugin.flush = callback;
  return 0;
}

int plugin_register_shutdown(const char *name, plugin_shutdown_cb callback) {
  ck_assert_str_eq(name, stub_plugin.name);
  stub_plugin.shutdown = callback;
  return 0;
}

int plugin_register_notification(const char *name,
                                 plugin_notification_cb callback,
                                 const user_data_t *user_data) {
  ck_assert_ptr_null(user_data);
  ck_assert_str_eq(name, stub_plugin.name);
  stub_plugin.notification = callback;
  return 0;
}
