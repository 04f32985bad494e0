/* SPDX-License-Identifier: MIT */
#include "collectd.h"

#include "plugin.h"

#include "glue.h"

#include "report.h"

#include "base/log.h"
#include "metrics/metrics.h"
#include "observe/notification.h"
#include "pipeline.h"

#define ERROR_SIZE 900
#define PATH_SIZE 512

static au_side_t own_side;

/* --- sinks -----------------------------------------------------------------*/

/* The prefix is written out: collectd knows no name of a plugin in threads that
 * it has not made. */
static void log_line(au_log_level_t level, const char *line) {
  static const int severity[] = {[AU_LOG_ERROR] = LOG_ERR,
                                 [AU_LOG_WARNING] = LOG_WARNING,
                                 [AU_LOG_NOTICE] = LOG_NOTICE,
                                 [AU_LOG_INFO] = LOG_INFO};
  plugin_log(severity[level], "aurore: %s", line);
}

/* A notification of a metric has the identity of its value. */
static const char *component_of(const char *type) {
  for (unsigned i = 0; i < AU_METRIC_COUNT; i++) {
    const au_metric_info_t *info = au_metric_info((au_metric_t)i);
    if (strcmp(info->name, type) == 0)
      return info->component;
  }
  return "";
}

static void notify(au_severity_t severity, const char *type,
                   const char *message) {
  static const int notification_severity[] = {
      [AU_SEVERITY_FAILURE] = NOTIF_FAILURE,
      [AU_SEVERITY_WARNING] = NOTIF_WARNING,
      [AU_SEVERITY_OKAY] = NOTIF_OKAY};
  notification_t notification = {.severity = notification_severity[severity],
                                 .time = cdtime(),
                                 .plugin = AU_REPORT_PLUGIN};
  (void)snprintf(notification.message, sizeof(notification.message), "%s",
                 message);
  (void)snprintf(notification.host, sizeof(notification.host), "%s",
                 hostname_g);
  (void)snprintf(notification.plugin_instance,
                 sizeof(notification.plugin_instance), "%s",
                 component_of(type));
  (void)snprintf(notification.type, sizeof(notification.type), "%s", type);
  /* Having no listener is not a failure. */
  (void)plugin_dispatch_notification(&notification);
}

/* --- configuration ---------------------------------------------------------*/

/* Finds "-C FILE" among the NUL-terminated arguments of collectd; NULL when it
 * is not there. The byte after "size" must be a NUL too. */
static const char *find_config_argument(const char *arguments, size_t size) {
  char wanted_by = '\0'; /* the flag whose value the argument is */
  for (const char *argument = arguments; argument < arguments + size;
       argument += strlen(argument) + 1) {
    if (wanted_by == 'C')
      return argument;
    if (wanted_by == 'P' || argument[0] != '-') {
      wanted_by = '\0';
      continue;
    }
    /* Flags may be written together, with their value right after them. */
    const char *flag = strpbrk(argument + 1, "CP");
    if (flag == NULL)
      continue;
    if (flag[0] == 'C' && flag[1] != '\0')
      return flag + 1;
    if (flag[1] == '\0')
      wanted_by = flag[0];
  }
  return NULL;
}

/* Appends where to look. collectd gives a plugin neither the file nor the line
 * of an option; the best we can name is the file collectd was started with. */
static void put_place(char *error, size_t error_size) {
  char arguments[4096] = "";
  FILE *file = fopen("/proc/self/cmdline", "re");
  if (file == NULL)
    return;
  size_t size = fread(arguments, 1, sizeof(arguments) - 1, file);
  fclose(file);
  const char *path = size > 0 ? find_config_argument(arguments, size) : NULL;
  if (path == NULL)
    path = "/etc/collectd/collectd.conf";
  size_t length = strlen(error);
  (void)snprintf(error + length, error_size - length,
                 "; look in \"%.*s\" and the files it includes", PATH_SIZE,
                 path);
}

static au_status_t check_shape(const oconfig_item_t *item, char *error,
                               size_t error_size) {
  if (item->children_num == 0 && item->values_num == 1)
    return AU_OK;
  if (item->children_num > 0)
    (void)snprintf(error, error_size,
                   "the plugin %s has no block <%.100s>; an option has a name "
                   "and one value",
                   au_side_name(own_side), item->key);
  else
    (void)snprintf(
        error, error_size,
        "option \"%.100s\" of the plugin %s must have exactly one value, "
        "not %d",
        item->key, au_side_name(own_side), item->values_num);
  return AU_INVALID;
}

static au_status_t set_option(au_options_t *options, const oconfig_item_t *item,
                              char *error, size_t error_size) {
  au_status_t status = check_shape(item, error, error_size);
  if (status != AU_OK)
    return status;
  const oconfig_value_t *given = &item->values[0];
  au_given_t value = {.type = AU_VALUE_STRING};
  if (given->type == OCONFIG_TYPE_NUMBER) {
    value.type = AU_VALUE_NUMBER;
    value.number = given->value.number;
  } else if (given->type == OCONFIG_TYPE_BOOLEAN) {
    value.type = AU_VALUE_BOOLEAN;
    value.boolean = given->value.boolean != 0;
  } else {
    value.string = given->value.string;
  }
  return au_options_set(options, own_side, item->key, &value, error,
                        error_size);
}

static int on_config(oconfig_item_t *block) {
  au_options_t *options = au_pipeline_options();
  if (options == NULL) {
    au_log(AU_LOG_ERROR, "could not read the options of %s: out of memory",
           au_side_name(own_side));
    return -1;
  }
  int result = 0;
  for (int i = 0; i < block->children_num; i++) {
    char error[ERROR_SIZE] = "";
    if (set_option(options, &block->children[i], error, sizeof(error)) == AU_OK)
      continue;
    put_place(error, sizeof(error));
    au_log(AU_LOG_ERROR, "%s", error);
    result = -1;
  }
  return result;
}

/* --- callbacks -------------------------------------------------------------*/

static int on_read(user_data_t *user_data) {
  (void)user_data;
  au_report_dispatch(own_side);
  /* An unreachable database is a value, not a failed read. */
  return 0;
}

/* HOST/PLUGIN[-INSTANCE]/TYPE[-INSTANCE] */
static bool is_ours(const char *identifier) {
  const char *plugin = strchr(identifier, '/');
  size_t length = strlen(AU_REPORT_PLUGIN);
  return plugin != NULL && strncmp(plugin + 1, AU_REPORT_PLUGIN, length) == 0 &&
         (plugin[1 + length] == '-' || plugin[1 + length] == '/');
}

static int on_flush(cdtime_t timeout, const char *identifier,
                    user_data_t *user_data) {
  (void)timeout;
  (void)user_data;
  if (identifier == NULL || identifier[0] == '\0' || is_ours(identifier))
    au_pipeline_flush();
  return 0;
}

static const char *severity_name(int severity) {
  return severity == NOTIF_FAILURE   ? "failure"
         : severity == NOTIF_WARNING ? "warning"
         : severity == NOTIF_OKAY    ? "okay"
                                     : "unknown";
}

static au_notification_value_t value_of(const notification_meta_t *meta) {
  au_notification_value_t value = {.name = meta->name};
  switch (meta->type) {
  case NM_TYPE_STRING:
    value.kind = AU_NOTIFICATION_STRING;
    value.value.string = meta->nm_value.nm_string;
    break;
  case NM_TYPE_SIGNED_INT:
    value.kind = AU_NOTIFICATION_SIGNED;
    value.value.signed_int = meta->nm_value.nm_signed_int;
    break;
  case NM_TYPE_UNSIGNED_INT:
    value.kind = AU_NOTIFICATION_UNSIGNED;
    value.value.unsigned_int = meta->nm_value.nm_unsigned_int;
    break;
  case NM_TYPE_DOUBLE:
    value.kind = AU_NOTIFICATION_DOUBLE;
    value.value.number = meta->nm_value.nm_double;
    break;
  case NM_TYPE_BOOLEAN:
    value.kind = AU_NOTIFICATION_BOOLEAN;
    value.value.boolean = meta->nm_value.nm_boolean;
    break;
  }
  return value;
}

static int on_notification(const notification_t *notification,
                           user_data_t *user_data) {
  (void)user_data;
  au_notification_value_t values[AU_NOTIFICATION_VALUES];
  au_notification_t event = {.time_us =
                                 (int64_t)CDTIME_T_TO_US(notification->time),
                             .severity = severity_name(notification->severity),
                             .host = notification->host,
                             .plugin = notification->plugin,
                             .plugin_instance = notification->plugin_instance,
                             .type = notification->type,
                             .type_instance = notification->type_instance,
                             .message = notification->message,
                             .values = values};
  for (const notification_meta_t *meta = notification->meta;
       meta != NULL && event.values_count < AU_NOTIFICATION_VALUES;
       meta = meta->next)
    values[event.values_count++] = value_of(meta);
  au_notification_put(&event);
  return 0;
}

static int on_shutdown(void) { return au_pipeline_stop() == AU_OK ? 0 : -1; }

static int on_init(void) {
  char error[ERROR_SIZE] = "";
  au_report_register_types(own_side);
  au_status_t status = au_pipeline_start(own_side, error, sizeof(error));
  const char *name = au_side_name(own_side);
  if (status == AU_OK) {
    if (own_side == AU_SIDE_WRITER && au_pipeline_options()->notifications)
      plugin_register_notification(name, on_notification, NULL);
    return 0;
  }
  if (status == AU_INVALID)
    put_place(error, sizeof(error));
  au_log(AU_LOG_ERROR,
         "the plugin %s does not start, and collectd goes on without it: %s",
         name, error);
  au_notify(AU_SEVERITY_FAILURE, "start", "%s does not start: %s", name, error);
  return -1;
}

void au_glue_register(au_side_t side) {
  own_side = side;
  const char *name = au_side_name(side);
  au_log_set_sink(log_line);
  au_notify_set_sink(notify);
  au_pipeline_register(side);
  au_options_t *options = au_pipeline_options();
  if (options != NULL)
    options->host_version = PACKAGE_VERSION; /* collectd's, of its config.h */
  plugin_register_complex_config(name, on_config);
  plugin_register_init(name, on_init);
  /* Under the plugin's own name, so that collectd takes it away when the init
   * callback fails. */
  plugin_register_complex_read(NULL, name, on_read, 0, NULL);
  plugin_register_flush(name, on_flush, NULL);
  plugin_register_shutdown(name, on_shutdown);
}
