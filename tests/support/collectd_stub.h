/* SPDX-License-Identifier: MIT
 *
 * collectd_stub - the functions of collectd that the glue calls, for tests:
 * the daemon's program cannot be linked against. It records what it is given.
 *
 * Threads: one.
 */
#ifndef SUPPORT_COLLECTD_STUB_H
#define SUPPORT_COLLECTD_STUB_H

#include "collectd.h"

#include "plugin.h"

typedef struct stub_log {
  int severity;
  char line[1024];
} stub_log_t;

extern value_list_t *stub_values; /* "values" points to a copy of the one */
extern size_t stub_value_count;
extern stub_log_t stub_logs[64];
extern size_t stub_log_count;
extern notification_t stub_notifications[8];
extern size_t stub_notification_count;
extern size_t stub_registrations; /* of types, those that replace included */

/* The callbacks that were registered last; NULL: none. */
extern struct stub_plugin {
  char name[32];
  int (*config)(oconfig_item_t *block);
  plugin_init_cb init;
  plugin_read_cb read;
  plugin_flush_cb flush;
  plugin_shutdown_cb shutdown;
  plugin_notification_cb notification;
} stub_plugin;

/* What time it is, and the interval of the plugin. */
extern cdtime_t stub_now;
extern cdtime_t stub_interval;

/* "host/plugin-instance/type-instance", as collectd names a value. */
void stub_identity(const value_list_t *list, char *text, size_t size);
/* The value of that identity, which must have been dispatched. */
const value_list_t *stub_value_of(const char *identity);

/* Forgets everything. */
void stub_reset(void);

#endif
