/* SPDX-License-Identifier: MIT
 *
 * What collectd gets from the plugins, and they from it: values, types, lines,
 * notifications, options. collectd is a stub, the pipeline a few lines below.
 */
#include "support/collectd_stub.h"

#include "glue.h"
#include "report.h"
#include "types.h"

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

/* --- values ----------------------------------------------------------------
 */

static void identity(const value_list_t *list, char *text, size_t size) {
  (void)snprintf(text, size, "%s/%s-%s/%s-%s", list->host, list->plugin,
                 list->plugin_instance, list->type, list->type_instance);
}

static const value_list_t *value_of(const char *wanted) {
  char text[700];
  for (size_t i = 0; i < stub_value_count; i++) {
    identity(&stub_values[i], text, sizeof(text));
    if (strcmp(text, wanted) == 0)
      return &stub_values[i];
  }
  ck_abort_msg("%s was not dispatched", wanted);
}

static void register_all(void) {
  au_report_register_types(AU_SIDE_BUFFER);
  au_report_register_types(AU_SIDE_WRITER);
}

static const char *named(const char *name) {
  static char instance[DATA_MAX_NAME_LEN];
  au_report_name(name, instance, sizeof(instance));
  return instance;
}

static void dispatch_all(void) {
  au_report_dispatch(AU_SIDE_BUFFER);
  au_report_dispatch(AU_SIDE_WRITER);
}

static int compare_text(const void *a, const void *b) { return strcmp(a, b); }

START_TEST(every_identity_is_dispatched_once) {
  const au_service_count_t services[] = {
      {"a/b", 4}, {"a_b", 3}, {"/a/b", 2}, {"other", 1}};
  au_metrics_set_services(services, 4);
  dispatch_all();
  char(*all)[700] = calloc(stub_value_count, sizeof(*all));
  ck_assert_ptr_nonnull(all);
  for (size_t i = 0; i < stub_value_count; i++)
    identity(&stub_values[i], all[i], sizeof(all[i]));
  qsort(all, stub_value_count, sizeof(*all), compare_text);
  for (size_t i = 1; i < stub_value_count; i++)
    ck_assert_str_ne(all[i - 1], all[i]);
  free(all);
}
END_TEST

START_TEST(every_value_is_as_collectd_wants_it) {
  register_all();
  au_report_dispatch(AU_SIDE_BUFFER);
  ck_assert_uint_gt(stub_value_count, 100);
  for (size_t i = 0; i < stub_value_count; i++) {
    const value_list_t *list = &stub_values[i];
    ck_assert_str_eq(list->plugin, "aurore");
    ck_assert_str_eq(list->host, ""); /* collectd fills it in */
    ck_assert_str_ne(list->plugin_instance, "");
    ck_assert_ptr_nonnull(plugin_get_ds(list->type));
    ck_assert_uint_eq(list->time, stub_values[0].time);
    ck_assert_uint_eq(list->interval, stub_interval);
    ck_assert_ptr_null(list->meta);
  }
}
END_TEST

/* write_prometheus puts the type instance elsewhere when there is none in one
 * value of a type and one in another. */
START_TEST(a_type_has_one_form) {
  dispatch_all();
  for (size_t i = 0; i < stub_value_count; i++)
    for (size_t j = 0; j < i; j++)
      if (strcmp(stub_values[i].type, stub_values[j].type) == 0)
        ck_assert_int_eq(stub_values[i].type_instance[0] != '\0',
                         stub_values[j].type_instance[0] != '\0');
}
END_TEST

static double service_value(const char *name) {
  char identity_text[200];
  (void)snprintf(identity_text, sizeof(identity_text),
                 "/aurore-business/business_events_by_service-%s", name);
  return value_of(identity_text)->values[0].gauge;
}

static unsigned dispatched_services(void) {
  unsigned count = 0;
  stub_reset();
  au_report_dispatch(AU_SIDE_WRITER);
  for (size_t i = 0; i < stub_value_count; i++)
    if (strcmp(stub_values[i].type, "business_events_by_service") == 0)
      count++;
  return count;
}

/* What collectd keeps of it would be counted twice. */
START_TEST(a_service_that_leaves_the_largest_ends_at_zero) {
  const au_service_count_t first[] = {{"a", 9}, {"b/b", 8}, {"c", 7}};
  au_metrics_set_services(first, 3);
  ck_assert_uint_eq(dispatched_services(), 3);
  ck_assert_double_eq(service_value("a"), 9);
  const au_service_count_t second[] = {{"d", 10}, {"a", 9}, {"other", 15}};
  au_metrics_set_services(second, 3);
  ck_assert_uint_eq(dispatched_services(), 5);
  ck_assert_double_eq(service_value("d"), 10);
  ck_assert_double_eq(service_value("a"), 9);
  ck_assert_double_eq(service_value("other"), 15);
  ck_assert_double_eq(service_value("c"), 0);
  ck_assert_double_eq(service_value(named("b/b")), 0);
  /* Once. */
  ck_assert_uint_eq(dispatched_services(), 3);
  au_metrics_set_services(NULL, 0);
  ck_assert_uint_eq(dispatched_services(), 3);
  ck_assert_double_eq(service_value("d"), 0);
  ck_assert_uint_eq(dispatched_services(), 0);
  /* The other side has no services, and ends none. */
  au_metrics_set_services(first, 3);
  ck_assert_uint_eq(dispatched_services(), 3);
  au_report_dispatch(AU_SIDE_BUFFER);
  ck_assert_uint_eq(dispatched_services(), 3);
}
END_TEST

START_TEST(values_have_their_names_and_kinds) {
  const au_service_count_t services[] = {{"auth-service", 42}};
  au_metrics_set(AU_M_BUFFER_SIZE, 12.5);
  au_metrics_count(AU_M_EVENTS_ENQUEUED, 0, 7);
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_INVALID, 3);
  au_metrics_count_failure("08006");
  au_metrics_set_counter(AU_M_BUSINESS_EVENTS, 1234567890123);
  au_metrics_set_services(services, 1);
  au_metrics_count_request(AU_ROUTE_EVENTS_POST, 202);
  au_metrics_count_query(AU_OPERATION_STORE, 3, 1);
  au_metrics_observe(AU_M_BATCH_INSERT_TIME, 0, 7.5);
  dispatch_all();
  ck_assert_double_eq(value_of("/aurore-buffer/buffer_size-")->values[0].gauge,
                      12.5);
  ck_assert_int_eq(
      value_of("/aurore-events/events_enqueued-")->values[0].derive, 7);
  ck_assert_int_eq(
      value_of("/aurore-events/events_rejected-invalid")->values[0].derive, 3);
  ck_assert_int_eq(
      value_of("/aurore-batch/batch_failures-08")->values[0].derive, 1);
  ck_assert_int_eq(
      value_of("/aurore-business/business_events-")->values[0].derive,
      1234567890123);
  ck_assert_double_eq(
      value_of("/aurore-business/business_events_by_service-auth-service")
          ->values[0]
          .gauge,
      42);
  ck_assert_int_eq(
      value_of("/aurore-events_post/http_request-202")->values[0].derive, 1);
  ck_assert_int_eq(
      value_of("/aurore-events_post/http_request-other")->values[0].derive, 0);
  ck_assert_int_eq(
      value_of("/aurore-database/db_query-store")->values[0].derive, 1);
  ck_assert_int_eq(
      value_of("/aurore-database/db_slow_queries-store")->values[0].derive, 1);
  ck_assert_int_eq(
      value_of("/aurore-batch/batch_insert_time_ms_bucket-5")->values[0].derive,
      0);
  ck_assert_int_eq(value_of("/aurore-batch/batch_insert_time_ms_bucket-10")
                       ->values[0]
                       .derive,
                   1);
  ck_assert_int_eq(value_of("/aurore-batch/batch_insert_time_ms_bucket-+Inf")
                       ->values[0]
                       .derive,
                   1);
  ck_assert_int_eq(
      value_of("/aurore-batch/batch_insert_time_ms_count-")->values[0].derive,
      1);
  ck_assert_double_eq(
      value_of("/aurore-batch/batch_insert_time_ms_sum-")->values[0].gauge,
      7.5);
  ck_assert_int_eq(
      value_of("/aurore-store/db_query_duration_ms_bucket-5")->values[0].derive,
      1);
  ck_assert_int_eq(
      value_of("/aurore-store/db_query_duration_ms_count-")->values[0].derive,
      1);
}
END_TEST

START_TEST(a_side_dispatches_its_own_values) {
  au_metrics_set_sampler(count_sample);
  ck_assert_int_eq(au_glue_read(AU_SIDE_WRITER), 0);
  ck_assert_uint_eq(samples, 1);
  value_of("/aurore-batch/events_processed-");
  for (size_t i = 0; i < stub_value_count; i++)
    ck_assert_str_ne(stub_values[i].plugin_instance, "buffer");
  stub_reset();
  ck_assert_int_eq(au_glue_read(AU_SIDE_BUFFER), 0);
  ck_assert_uint_eq(samples, 2);
  value_of("/aurore-buffer/buffer_size-");
  for (size_t i = 0; i < stub_value_count; i++)
    ck_assert_str_ne(stub_values[i].plugin_instance, "batch");
}
END_TEST

/* --- names -----------------------------------------------------------------
 */

START_TEST(a_name_that_fits_stays_as_it_is) {
  char name[DATA_MAX_NAME_LEN];
  ck_assert_str_eq(named("auth-service"), "auth-service");
  ck_assert_str_eq(named(""), "");
  ck_assert_str_eq(named("~1234abc"), "~1234abc");
  ck_assert_str_eq(named("a~1234abcg"), "a~1234abcg");
  memset(name, 'x', sizeof(name));
  name[127] = '\0';
  ck_assert_str_eq(named(name), name);
}
END_TEST

START_TEST(a_name_that_is_changed_is_marked) {
  char seen[8][DATA_MAX_NAME_LEN];
  static const char *const name[] = {"a/b",  "/a/b", "a_b",         "/",
                                     "root", "//",   "a_b~1234abcd"};
  for (unsigned i = 0; i < 7; i++) {
    strcpy(seen[i], named(name[i]));
    ck_assert_ptr_null(strchr(seen[i], '/'));
    for (unsigned j = 0; j < i; j++)
      ck_assert_str_ne(seen[i], seen[j]);
  }
  ck_assert_int_eq(strncmp(seen[0], "a_b~", 4), 0);
  ck_assert_uint_eq(strlen(seen[0]), 4 + 8);
  ck_assert_int_eq(strncmp(seen[1], "a_b~", 4), 0);
  ck_assert_str_eq(seen[2], "a_b");
  ck_assert_int_eq(strncmp(seen[3], "root~", 5), 0);
  ck_assert_str_eq(seen[4], "root");
  ck_assert_int_eq(strncmp(seen[6], "a_b~1234abcd~", 13), 0);
}
END_TEST

START_TEST(control_characters_are_changed) {
  char seen[5][DATA_MAX_NAME_LEN];
  static const char *const name[] = {"a\tb", "a\nb",
                                     "a\x7f"
                                     "b",
                                     "a\xC2\x85"
                                     "b",
                                     "a_b"};
  for (unsigned i = 0; i < 5; i++) {
    strcpy(seen[i], named(name[i]));
    ck_assert_int_eq(strncmp(seen[i], "a_b", 3), 0);
    for (unsigned j = 0; j < i; j++)
      ck_assert_str_ne(seen[i], seen[j]);
  }
  ck_assert_uint_eq(strlen(seen[3]), 3 + 9);
  ck_assert_int_eq(strncmp(named("\r"), "_~", 2), 0);
  /* U+00A0, quotes and backslashes are none. */
  ck_assert_str_eq(named("a\xC2\xA0\"\\"), "a\xC2\xA0\"\\");
  ck_assert_int_eq(strncmp(named("a\xC2"), "a\xC2", 3), 0);
}
END_TEST

START_TEST(a_name_that_is_cut_is_marked) {
  char one[400];
  char other[400];
  char first[DATA_MAX_NAME_LEN];
  memset(one, 'x', sizeof(one));
  one[399] = '\0';
  memcpy(other, one, sizeof(one));
  other[398] = 'y';
  strcpy(first, named(one));
  ck_assert_uint_eq(strlen(first), 127);
  ck_assert_str_ne(first, named(other));
  ck_assert_int_eq(strncmp(first, named(other), 119), 0);
  one[128] = '\0';
  ck_assert_uint_eq(strlen(named(one)), 127);
  ck_assert_str_ne(first, named(one));
}
END_TEST

START_TEST(no_character_is_cut_in_two) {
  for (unsigned shift = 0; shift < 4; shift++) {
    char name[300] = "";
    for (unsigned i = 0; i < shift; i++)
      strcat(name, "x");
    for (unsigned i = 0; i < 50; i++)
      strcat(name, "\xf0\x9f\x90\x98");
    const char *mark = strchr(named(name), '~');
    ck_assert_ptr_nonnull(mark);
    ck_assert_uint_le(strlen(named(name)), 127);
    size_t kept = (size_t)(mark - named(name)); /* the same static memory */
    ck_assert_uint_eq((kept - shift) % 4, 0);
    ck_assert_uint_ge(kept, 115);
  }
}
END_TEST

/* --- types -----------------------------------------------------------------
 */

static void count_type(const au_type_t *type, void *context) {
  (void)type;
  ++*(size_t *)context;
}

START_TEST(missing_types_are_registered) {
  size_t expected = 0;
  au_types_visit(NULL, count_type, &expected);
  register_all();
  ck_assert_uint_eq(stub_registrations, expected);
  const data_set_t *set = plugin_get_ds("events_enqueued");
  ck_assert_ptr_nonnull(set);
  ck_assert_uint_eq(set->ds_num, 1);
  ck_assert_str_eq(set->ds[0].name, "value");
  ck_assert_int_eq(set->ds[0].type, DS_TYPE_DERIVE);
  ck_assert_double_eq(set->ds[0].min, 0);
  ck_assert_double_nan(set->ds[0].max);
  set = plugin_get_ds("spool_sync_time_ms_sum");
  ck_assert_ptr_nonnull(set);
  ck_assert_int_eq(set->ds[0].type, DS_TYPE_GAUGE);
  ck_assert_double_nan(set->ds[0].min);
}
END_TEST

START_TEST(types_that_are_known_are_left_alone) {
  register_all();
  stub_registrations = 0;
  register_all();
  ck_assert_uint_eq(stub_registrations, 0);
}
END_TEST

START_TEST(a_type_that_is_known_otherwise_is_replaced) {
  data_source_t sources[2] = {{.name = "value", .type = DS_TYPE_GAUGE},
                              {.name = "more", .type = DS_TYPE_GAUGE}};
  data_set_t set = {.type = "events_enqueued", .ds_num = 1, .ds = sources};
  register_all();
  plugin_register_data_set(&set);
  set.ds_num = 2;
  strcpy(set.type, "buffer_size");
  plugin_register_data_set(&set);
  stub_registrations = 0;
  register_all();
  ck_assert_uint_eq(stub_registrations, 2);
  ck_assert_int_eq(plugin_get_ds("events_enqueued")->ds[0].type,
                   DS_TYPE_DERIVE);
  ck_assert_uint_eq(plugin_get_ds("buffer_size")->ds_num, 1);
}
END_TEST

START_TEST(a_side_registers_its_own_types) {
  au_report_register_types(AU_SIDE_WRITER);
  ck_assert_ptr_nonnull(plugin_get_ds("events_processed"));
  ck_assert_ptr_null(plugin_get_ds("events_enqueued"));
}
END_TEST

/* --- configuration ---------------------------------------------------------
 */

static int configure(au_side_t side, oconfig_item_t *items, int count) {
  char key[] = "Plugin";
  const oconfig_item_t block = {
      .key = key, .children = items, .children_num = count};
  return au_glue_config(side, &block);
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

START_TEST(a_block_sets_options) {
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
END_TEST

START_TEST(every_mistake_in_a_block_is_logged) {
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
  check_log(2, "must have one value, not 2");
  check_log(3, "must have one value, not 0");
  check_log(4, "the plugin event_buffer has no block <Listen>");
  for (size_t i = 0; i < stub_log_count; i++)
    ck_assert_int_eq(stub_logs[i].severity, LOG_ERR);
  ck_assert_uint_eq(options.lanes, 3); /* the rest was read */
}
END_TEST

START_TEST(without_memory_nothing_is_configured) {
  has_memory = false;
  ck_assert_int_eq(configure(AU_SIDE_WRITER, NULL, 0), -1);
  check_log(0, "could not read the options of event_writer: out of memory");
}
END_TEST

/* --- the other callbacks ---------------------------------------------------
 */

START_TEST(a_start_registers_types) {
  ck_assert_int_eq(au_glue_init(AU_SIDE_BUFFER), 0);
  ck_assert_ptr_nonnull(plugin_get_ds("buffer_size"));
  ck_assert_uint_eq(registered[AU_SIDE_BUFFER], 1);
  ck_assert_uint_eq(registered[AU_SIDE_WRITER], 0);
  ck_assert_uint_eq(stub_log_count, 0);
}
END_TEST

START_TEST(a_start_that_fails_says_why) {
  start_status = AU_INVALID;
  ck_assert_int_eq(au_glue_init(AU_SIDE_WRITER), -1);
  check_log(0, "aurore: the plugin event_writer does not start: the reason; "
               "look in \"/");
  start_status = AU_NOMEM;
  ck_assert_int_eq(au_glue_init(AU_SIDE_WRITER), -1);
  ck_assert_str_eq(
      stub_logs[1].line,
      "aurore: the plugin event_writer does not start: the reason");
}
END_TEST

START_TEST(a_stop_that_lost_events_fails) {
  ck_assert_int_eq(au_glue_shutdown(), 0);
  stop_status = AU_UNAVAILABLE;
  ck_assert_int_eq(au_glue_shutdown(), -1);
}
END_TEST

START_TEST(a_flush_of_something_else_is_not_ours) {
  static const char *const ours[] = {NULL, "", "host/aurore-buffer/buffer_size",
                                     "host/aurore/x"};
  static const char *const others[] = {"host/cpu-0/cpu-idle", "aurore",
                                       "host/auroreal/x", "host/aurore",
                                       "aurore/cpu/cpu-idle"};
  for (unsigned i = 0; i < 4; i++)
    ck_assert_int_eq(au_glue_flush(ours[i]), 0);
  ck_assert_uint_eq(flushes, 4);
  for (unsigned i = 0; i < 5; i++)
    ck_assert_int_eq(au_glue_flush(others[i]), 0);
  ck_assert_uint_eq(flushes, 4);
}
END_TEST

START_TEST(lines_reach_the_log) {
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
END_TEST

START_TEST(notifications_have_the_identity_of_their_value) {
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
END_TEST

START_TEST(a_notification_of_collectd_is_passed_on) {
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
  ck_assert_int_eq(au_glue_notification(&notification), 0);
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
END_TEST

START_TEST(of_many_values_so_many_are_passed_on) {
  static notification_meta_t meta[AU_NOTIFICATION_VALUES + 1];
  for (unsigned i = 0; i < AU_NOTIFICATION_VALUES; i++)
    meta[i] =
        (notification_meta_t){.type = NM_TYPE_BOOLEAN, .next = &meta[i + 1]};
  notification_t notification = {.meta = meta};
  ck_assert_int_eq(au_glue_notification(&notification), 0);
  ck_assert_uint_eq(noticed.values_count, AU_NOTIFICATION_VALUES);
}
END_TEST

START_TEST(notifications_are_wanted_when_the_option_is_set) {
  ck_assert(!au_glue_wants_notifications());
  options.notifications = true;
  ck_assert(au_glue_wants_notifications());
  has_memory = false;
  ck_assert(!au_glue_wants_notifications());
}
END_TEST

static void add_cases(Suite *suite) {
  TCase *values = add_case(suite, "values", setup, teardown);
  tcase_add_test(values, every_identity_is_dispatched_once);
  tcase_add_test(values, every_value_is_as_collectd_wants_it);
  tcase_add_test(values, a_type_has_one_form);
  tcase_add_test(values, values_have_their_names_and_kinds);
  tcase_add_test(values, a_side_dispatches_its_own_values);
  tcase_add_test(values, a_service_that_leaves_the_largest_ends_at_zero);
  TCase *names = add_case(suite, "names", setup, teardown);
  tcase_add_test(names, a_name_that_fits_stays_as_it_is);
  tcase_add_test(names, a_name_that_is_changed_is_marked);
  tcase_add_test(names, control_characters_are_changed);
  tcase_add_test(names, a_name_that_is_cut_is_marked);
  tcase_add_test(names, no_character_is_cut_in_two);
  TCase *types = add_case(suite, "types", setup, teardown);
  tcase_add_test(types, missing_types_are_registered);
  tcase_add_test(types, types_that_are_known_are_left_alone);
  tcase_add_test(types, a_type_that_is_known_otherwise_is_replaced);
  tcase_add_test(types, a_side_registers_its_own_types);
  TCase *configuration = add_case(suite, "configuration", setup, teardown);
  tcase_add_test(configuration, a_block_sets_options);
  tcase_add_test(configuration, every_mistake_in_a_block_is_logged);
  tcase_add_test(configuration, without_memory_nothing_is_configured);
  TCase *callbacks = add_case(suite, "callbacks", setup, teardown);
  tcase_add_test(callbacks, a_start_registers_types);
  tcase_add_test(callbacks, a_start_that_fails_says_why);
  tcase_add_test(callbacks, a_stop_that_lost_events_fails);
  tcase_add_test(callbacks, a_flush_of_something_else_is_not_ours);
  tcase_add_test(callbacks, lines_reach_the_log);
  tcase_add_test(callbacks, notifications_have_the_identity_of_their_value);
  tcase_add_loop_test(callbacks, a_notification_of_collectd_is_passed_on, 0, 4);
  tcase_add_test(callbacks, of_many_values_so_many_are_passed_on);
  tcase_add_test(callbacks, notifications_are_wanted_when_the_option_is_set);
}

int main(void) { return run_suite("report", add_cases); }
