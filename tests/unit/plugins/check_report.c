/* SPDX-License-Identifier: MIT
 *
 * The values that collectd gets, their names and their types. collectd is a
 * stub.
 */
#include "support/collectd_stub.h"

#include "report.h"
#include "types.h"

#include "metrics/metrics.h"
#include "support/suite.h"

static void setup(void) {
  stub_reset();
  au_metrics_reset();
}

static void teardown(void) {
  au_metrics_reset();
  stub_reset();
}

/* --- values ----------------------------------------------------------------
 */

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

CASE("values", setup, teardown);

TEST(every_identity_is_dispatched_once) {
  const au_service_count_t services[] = {
      {"a/b", 4}, {"a_b", 3}, {"/a/b", 2}, {"other", 1}};
  au_metrics_set_services(services, 4);
  dispatch_all();
  char(*all)[700] = calloc(stub_value_count, sizeof(*all));
  ck_assert_ptr_nonnull(all);
  for (size_t i = 0; i < stub_value_count; i++)
    stub_identity(&stub_values[i], all[i], sizeof(all[i]));
  qsort(all, stub_value_count, sizeof(*all), compare_text);
  for (size_t i = 1; i < stub_value_count; i++)
    ck_assert_str_ne(all[i - 1], all[i]);
  free(all);
}

TEST(every_value_is_as_collectd_wants_it) {
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

/* write_prometheus puts the type instance elsewhere when there is none in one
 * value of a type and one in another. */
TEST(a_type_has_one_form) {
  dispatch_all();
  for (size_t i = 0; i < stub_value_count; i++)
    for (size_t j = 0; j < i; j++)
      if (strcmp(stub_values[i].type, stub_values[j].type) == 0)
        ck_assert_int_eq(stub_values[i].type_instance[0] != '\0',
                         stub_values[j].type_instance[0] != '\0');
}

static double service_value(const char *name) {
  char identity_text[200];
  (void)snprintf(identity_text, sizeof(identity_text),
                 "/aurore-business/business_events_by_service-%s", name);
  return stub_value_of(identity_text)->values[0].gauge;
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
TEST(a_service_that_leaves_the_largest_ends_at_zero) {
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

static int64_t derive_of(const char *name) {
  return stub_value_of(name)->values[0].derive;
}

static double gauge_of(const char *name) {
  return stub_value_of(name)->values[0].gauge;
}

TEST(values_have_their_names_and_kinds) {
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
  ck_assert_double_eq(gauge_of("/aurore-buffer/buffer_size-"), 12.5);
  ck_assert_int_eq(derive_of("/aurore-events/events_enqueued-"), 7);
  ck_assert_int_eq(derive_of("/aurore-events/events_rejected-invalid"), 3);
  ck_assert_int_eq(derive_of("/aurore-batch/batch_failures-08"), 1);
  ck_assert_int_eq(derive_of("/aurore-business/business_events-"),
                   1234567890123);
  ck_assert_double_eq(
      gauge_of("/aurore-business/business_events_by_service-auth-service"), 42);
  ck_assert_int_eq(derive_of("/aurore-events_post/http_request-202"), 1);
  ck_assert_int_eq(derive_of("/aurore-events_post/http_request-other"), 0);
  ck_assert_int_eq(derive_of("/aurore-database/db_query-store"), 1);
  ck_assert_int_eq(derive_of("/aurore-database/db_slow_queries-store"), 1);
  ck_assert_int_eq(derive_of("/aurore-batch/batch_insert_time_ms_bucket-5"), 0);
  ck_assert_int_eq(derive_of("/aurore-batch/batch_insert_time_ms_bucket-10"),
                   1);
  ck_assert_int_eq(derive_of("/aurore-batch/batch_insert_time_ms_bucket-+Inf"),
                   1);
  ck_assert_int_eq(derive_of("/aurore-batch/batch_insert_time_ms_count-"), 1);
  ck_assert_double_eq(gauge_of("/aurore-batch/batch_insert_time_ms_sum-"), 7.5);
  ck_assert_int_eq(derive_of("/aurore-store/db_query_duration_ms_bucket-5"), 1);
  ck_assert_int_eq(derive_of("/aurore-store/db_query_duration_ms_count-"), 1);
}

/* --- names -----------------------------------------------------------------
 */

CASE("names", setup, teardown);

TEST(a_name_that_fits_stays_as_it_is) {
  char name[DATA_MAX_NAME_LEN];
  ck_assert_str_eq(named("auth-service"), "auth-service");
  ck_assert_str_eq(named(""), "");
  ck_assert_str_eq(named("~1234abc"), "~1234abc");
  ck_assert_str_eq(named("a~1234abcg"), "a~1234abcg");
  memset(name, 'x', sizeof(name));
  name[127] = '\0';
  ck_assert_str_eq(named(name), name);
}

TEST(a_name_that_is_changed_is_marked) {
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

TEST(control_characters_are_changed) {
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

TEST(a_name_that_is_cut_is_marked) {
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

TEST(no_character_is_cut_in_two) {
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

/* --- types -----------------------------------------------------------------
 */

static void count_type(const au_type_t *type, void *context) {
  (void)type;
  ++*(size_t *)context;
}

CASE("types", setup, teardown);

TEST(missing_types_are_registered) {
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

TEST(types_that_are_known_are_left_alone) {
  register_all();
  stub_registrations = 0;
  register_all();
  ck_assert_uint_eq(stub_registrations, 0);
}

TEST(a_type_that_is_known_otherwise_is_replaced) {
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

TEST(a_side_registers_its_own_types) {
  au_report_register_types(AU_SIDE_WRITER);
  ck_assert_ptr_nonnull(plugin_get_ds("events_processed"));
  ck_assert_ptr_null(plugin_get_ds("events_enqueued"));
}

int main(void) { return run_tests("report"); }
