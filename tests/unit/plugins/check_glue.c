/* SPDX-License-Identifier: MIT
 *
 * The callbacks that both plugins share: options, start and stop, the log and
 * notifications, both ways. collectd is a stub, the pipeline the few lines
 * below.
 */
#include "support/collectd_stub.h"

#include "glue.h"

#include "base/log.h"
#include "metrics/metrics.h"
#include "observe/notification.h"
#include "pipeline.h"
#include "support/suite.h"

/* --- the pipeline ----------------------------------------------------------
 */

static au_options_t options;
static bool has_memory;
static au_status_t start_status;
static au_status_t stop_status;
static unsigned flushes;
static unsigned registered[2];
static unsigned samples;

void au_pipeline_register(au_side_t side) { registered[side]++; }

au_options_t *au_pipeline_options(void) { return has_memory ? &options : NULL; }

au_status_t au_pipeline_start(au_side_t side, char *error, size_t error_size) {
  (void)side;
  if (start_status != AU_OK)
    (void)snprintf(error, error_size, "the reason");
  return start_status;
}

void au_pipeline_flush(void) { flushes++; }

au_status_t au_pipeline_stop(void) { return stop_status; }

static au_notification_t noticed;
static au_notification_value_t noticed_values[AU_NOTIFICATION_VALUES];

/* The text stays the caller's. */
void au_notification_put(const au_notification_t *notice) {
  noticed = *notice;
  memcpy(noticed_values, notice->values,
         notice->values_count * sizeof(noticed_values[0]));
}

static void count_sample(void) { samples++; }

static void setup(void) {
  stub_reset();
  au_metrics_reset();
  ck_assert_int_eq(au_options_init(&options), AU_OK);
  has_memory = true;
  start_status = stop_status = AU_OK;
  flushes = samples = registered[0] = registered[1] = 0;
  au_glue_register(AU_SIDE_BUFFER);
}

static void teardown(void) {
  au_options_fini(&options);
  au_metrics_set_sampler(NULL);
  au_metrics_reset();
  stub_reset();
}

/* --- configuration ---------------------------------------------------------
 */

static int configure(au_side_t side, oconfig_item_t *items, int count) {
  char key[] = "Plugin";
  oconfig_item_t block = {.key = key, .children = items, .children_num = count};
  au_glue_register(side);
  return stub_plugin.config(&block);
}

static int notify_plugin(const notification_t *notification) {
  options.notifications = true;
  au_glue_register(AU_SIDE_WRITER);
  ck_assert_int_eq(stub_plugin.init(), 0);
  return stub_plugin.notification(notification, NULL);
}

static char *text(const char *constant) {
  static char copy[8][128];
  static unsigned next;
  next = (next + 1) % 8;
  strcpy(copy[next], constant);
  return copy[next];
}

static void check_log(size_t index, const char *part) {
  ck_assert_uint_gt(stub_log_count, index);
  ck_assert_msg(strstr(stub_logs[index].line, part) != NULL,
                "\"%s\" does not say %s", stub_logs[index].line, part);
}

CASE("configuration", setup, teardown);

TEST(a_block_sets_options) {
  oconfig_value_t spool = {.type = OCONFIG_TYPE_STRING,
                           .value.string = text("/spool")};
  oconfig_value_t capacity = {.type = OCONFIG_TYPE_NUMBER, .value.number = 5};
  oconfig_item_t items[] = {
      {.key = text("SpoolDirectory"), .values = &spool, .values_num = 1},
      {.key = text("capacity"), .values = &capacity, .values_num = 1}};
  ck_assert_int_eq(configure(AU_SIDE_BUFFER, items, 2), 0);
  ck_assert_str_eq(options.spool_directory, "/spool");
  ck_assert_uint_eq(options.capacity, 5);
  oconfig_value_t yes = {.type = OCONFIG_TYPE_BOOLEAN, .value.boolean = 1};
  oconfig_item_t item = {
      .key = text("Notifications"), .values = &yes, .values_num = 1};
  ck_assert_int_eq(configure(AU_SIDE_WRITER, &item, 1), 0);
  ck_assert(options.notifications);
  ck_assert_int_eq(configure(AU_SIDE_WRITER, NULL, 0), 0);
  ck_assert_uint_eq(stub_log_count, 0);
}

TEST(every_mistake_in_a_block_is_logged) {
  oconfig_value_t values[2] = {
      {.type = OCONFIG_TYPE_NUMBER, .value.number = 0},
      {.type = OCONFIG_TYPE_NUMBER, .value.number = 3}};
  oconfig_item_t child = {
      .key = text("Path"), .values = values, .values_num = 1};
  oconfig_item_t items[] = {
      {.key = text("Capacity"), .values = values, .values_num = 1},
      {.key = text("Capasity"), .values = values, .values_num = 1},
      {.key = text("Capacity"), .values = values, .values_num = 2},
      {.key = text("Capacity")},
      {.key = text("Listen"), .children = &child, .children_num = 1},
      {.key = text("Lanes"), .values = &values[1], .values_num = 1}};
  ck_assert_int_eq(configure(AU_SIDE_BUFFER, items, 6), -1);
  ck_assert_uint_eq(stub_log_count, 5);
  check_log(0, "aurore: option \"Capacity\" of the plugin event_buffer must be "
               "a whole number (1 to 1000000000), not 0; look in \"/");
  check_log(1, "no option \"Capasity\"; the nearest is \"Capacity\";");
  check_log(2, "must have exactly one value, not 2");
  check_log(3, "must have exactly one value, not 0");
  check_log(4, "the plugin event_buffer has no block <Listen>");
  for (size_t i = 0; i < stub_log_count; i++)
    ck_assert_int_eq(stub_logs[i].severity, LOG_ERR);
  ck_assert_uint_eq(options.lanes, 3); /* the rest was read */
}

TEST(without_memory_nothing_is_configured) {
  has_memory = false;
  ck_assert_int_eq(configure(AU_SIDE_WRITER, NULL, 0), -1);
  check_log(0, "could not read the options of event_writer: out of memory");
}

/* --- the other callbacks ---------------------------------------------------
 */

CASE("callbacks", setup, teardown);

TEST(a_start_registers_types) {
  ck_assert_int_eq(stub_plugin.init(), 0);
  ck_assert_ptr_nonnull(plugin_get_ds("buffer_size"));
  ck_assert_uint_eq(registered[AU_SIDE_BUFFER], 1);
  ck_assert_uint_eq(registered[AU_SIDE_WRITER], 0);
  ck_assert_uint_eq(stub_log_count, 0);
}

TEST(a_start_that_fails_says_why) {
  start_status = AU_INVALID;
  au_glue_register(AU_SIDE_WRITER);
  ck_assert_int_eq(stub_plugin.init(), -1);
  check_log(0,
            "aurore: the plugin event_writer does not start, and collectd goes "
            "on without it: the reason; look in \"/");
  start_status = AU_NOMEM;
  ck_assert_int_eq(stub_plugin.init(), -1);
  ck_assert_str_eq(
      stub_logs[1].line,
      "aurore: the plugin event_writer does not start, and collectd goes on "
      "without it: the reason");
}

TEST(a_side_dispatches_its_own_values) {
  au_metrics_set_sampler(count_sample);
  au_glue_register(AU_SIDE_WRITER);
  ck_assert_int_eq(stub_plugin.read(NULL), 0);
  ck_assert_uint_eq(samples, 1);
  stub_value_of("/aurore-batch/events_processed-");
  for (size_t i = 0; i < stub_value_count; i++)
    ck_assert_str_ne(stub_values[i].plugin_instance, "buffer");
  stub_reset();
  au_glue_register(AU_SIDE_BUFFER);
  ck_assert_int_eq(stub_plugin.read(NULL), 0);
  ck_assert_uint_eq(samples, 2);
  stub_value_of("/aurore-buffer/buffer_size-");
  for (size_t i = 0; i < stub_value_count; i++)
    ck_assert_str_ne(stub_values[i].plugin_instance, "batch");
}

TEST(a_stop_that_lost_events_fails) {
  ck_assert_int_eq(stub_plugin.shutdown(), 0);
  stop_status = AU_UNAVAILABLE;
  ck_assert_int_eq(stub_plugin.shutdown(), -1);
}

TEST(a_flush_of_something_else_is_not_ours) {
  static const char *const ours[] = {NULL, "", "host/aurore-buffer/buffer_size",
                                     "host/aurore/x"};
  static const char *const others[] = {"host/cpu-0/cpu-idle", "aurore",
                                       "host/auroreal/x", "host/aurore",
                                       "aurore/cpu/cpu-idle"};
  for (unsigned i = 0; i < 4; i++)
    ck_assert_int_eq(stub_plugin.flush(0, ours[i], NULL), 0);
  ck_assert_uint_eq(flushes, 4);
  for (unsigned i = 0; i < 5; i++)
    ck_assert_int_eq(stub_plugin.flush(0, others[i], NULL), 0);
  ck_assert_uint_eq(flushes, 4);
}

TEST(lines_reach_the_log) {
  static const int severity[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO};
  au_log(AU_LOG_ERROR, "one %d", 1);
  au_log(AU_LOG_WARNING, "100%% of it"); /* is no format any more */
  au_log(AU_LOG_NOTICE, "three");
  au_log(AU_LOG_INFO, "four");
  ck_assert_uint_eq(stub_log_count, 4);
  for (unsigned i = 0; i < 4; i++)
    ck_assert_int_eq(stub_logs[i].severity, severity[i]);
  ck_assert_str_eq(stub_logs[0].line, "aurore: one 1");
  ck_assert_str_eq(stub_logs[1].line, "aurore: 100% of it");
}

TEST(notifications_have_the_identity_of_their_value) {
  static const int severity[] = {NOTIF_FAILURE, NOTIF_WARNING, NOTIF_OKAY};
  for (unsigned i = 0; i < 3; i++)
    au_notify((au_severity_t)i, "circuit_breaker_state", "it is %u", i);
  au_notify(AU_SEVERITY_OKAY, "something_else", "x");
  ck_assert_uint_eq(stub_notification_count, 4);
  for (unsigned i = 0; i < 3; i++) {
    const notification_t *notification = &stub_notifications[i];
    ck_assert_int_eq(notification->severity, severity[i]);
    ck_assert_str_eq(notification->host, "stub.example");
    ck_assert_str_eq(notification->plugin, "aurore");
    ck_assert_str_eq(notification->plugin_instance, "database");
    ck_assert_str_eq(notification->type, "circuit_breaker_state");
    ck_assert_uint_ne(notification->time, 0);
  }
  ck_assert_str_eq(stub_notifications[1].message, "it is 1");
  ck_assert_str_eq(stub_notifications[3].plugin_instance, "");
}

TEST_EACH(a_notification_of_collectd_is_passed_on, 4) {
  static const char *const severity[] = {"failure", "warning", "okay",
                                         "unknown"};
  static const int given[] = {NOTIF_FAILURE, NOTIF_WARNING, NOTIF_OKAY, 0};
  notification_meta_t last = {
      .name = "last", .type = NM_TYPE_BOOLEAN, .nm_value.nm_boolean = true};
  notification_meta_t half = {.name = "half",
                              .type = NM_TYPE_DOUBLE,
                              .nm_value.nm_double = 0.5,
                              .next = &last};
  notification_meta_t high = {.name = "high",
                              .type = NM_TYPE_UNSIGNED_INT,
                              .nm_value.nm_unsigned_int = UINT64_MAX,
                              .next = &half};
  notification_meta_t low = {.name = "low",
                             .type = NM_TYPE_SIGNED_INT,
                             .nm_value.nm_signed_int = -1,
                             .next = &high};
  notification_meta_t first = {.name = "first",
                               .type = NM_TYPE_STRING,
                               .nm_value.nm_string = "text",
                               .next = &low};
  notification_t notification = {.severity = given[_i],
                                 .time = TIME_T_TO_CDTIME_T(1700000000),
                                 .message = "m",
                                 .host = "h",
                                 .plugin = "p",
                                 .plugin_instance = "pi",
                                 .type = "t",
                                 .type_instance = "ti",
                                 .meta = &first};
  ck_assert_int_eq(notify_plugin(&notification), 0);
  ck_assert_str_eq(noticed.severity, severity[_i]);
  ck_assert_int_eq(noticed.time_us, INT64_C(1700000000000000));
  ck_assert_str_eq(noticed.message, "m");
  ck_assert_str_eq(noticed.host, "h");
  ck_assert_str_eq(noticed.plugin, "p");
  ck_assert_str_eq(noticed.plugin_instance, "pi");
  ck_assert_str_eq(noticed.type, "t");
  ck_assert_str_eq(noticed.type_instance, "ti");
  ck_assert_uint_eq(noticed.values_count, 5);
  const au_notification_value_t *values = noticed_values;
  ck_assert_str_eq(values[0].name, "first");
  ck_assert_str_eq(values[0].value.string, "text");
  ck_assert_int_eq(values[1].value.signed_int, -1);
  ck_assert_uint_eq(values[2].value.unsigned_int, UINT64_MAX);
  ck_assert_double_eq(values[3].value.number, 0.5);
  ck_assert(values[4].value.boolean);
  for (unsigned i = 0; i < 5; i++)
    ck_assert_int_eq(values[i].kind, (au_notification_kind_t)i);
}

TEST(of_many_values_so_many_are_passed_on) {
  static notification_meta_t meta[AU_NOTIFICATION_VALUES + 1];
  for (unsigned i = 0; i < AU_NOTIFICATION_VALUES; i++)
    meta[i] =
        (notification_meta_t){.type = NM_TYPE_BOOLEAN, .next = &meta[i + 1]};
  notification_t notification = {.meta = meta};
  ck_assert_int_eq(notify_plugin(&notification), 0);
  ck_assert_uint_eq(noticed.values_count, AU_NOTIFICATION_VALUES);
}

TEST(only_the_writer_asks_for_notifications_and_only_if_set) {
  au_glue_register(AU_SIDE_WRITER);
  ck_assert_str_eq(stub_plugin.name, "event_writer");
  ck_assert_int_eq(stub_plugin.init(), 0);
  ck_assert(stub_plugin.notification == NULL);
  options.notifications = true;
  au_glue_register(AU_SIDE_BUFFER);
  ck_assert_str_eq(stub_plugin.name, "event_buffer");
  ck_assert_int_eq(stub_plugin.init(), 0);
  ck_assert(stub_plugin.notification == NULL);
  au_glue_register(AU_SIDE_WRITER);
  start_status = AU_NOMEM;
  ck_assert_int_eq(stub_plugin.init(), -1);
  ck_assert(stub_plugin.notification == NULL);
}

int main(void) { return run_tests("glue"); }
