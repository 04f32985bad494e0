/* SPDX-License-Identifier: MIT
 *
 * The options against the contract, which is written out here once more: each
 * one's default, its borders and what is just outside of them.
 */
#include "config/option_value.h"
#include "config/options.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (1024.0 * 1024)
#define GIB (1024 * MIB)

static au_options_t options;
static char error[1024];

static void setup(void) {
  ck_assert_int_eq(au_options_init(&options), AU_OK);
  error[0] = '\0';
}

static void teardown(void) { au_options_fini(&options); }

static au_status_t set_string(au_side_t side, const char *name,
                              const char *text) {
  const au_given_t value = {.type = AU_VALUE_STRING, .string = text};
  return au_options_set(&options, side, name, &value, error, sizeof(error));
}

static au_status_t set_number(au_side_t side, const char *name, double number) {
  const au_given_t value = {.type = AU_VALUE_NUMBER, .number = number};
  return au_options_set(&options, side, name, &value, error, sizeof(error));
}

static au_status_t set_boolean(au_side_t side, const char *name, bool boolean) {
  const au_given_t value = {.type = AU_VALUE_BOOLEAN, .boolean = boolean};
  return au_options_set(&options, side, name, &value, error, sizeof(error));
}

static au_status_t finish(au_side_t side) {
  return au_options_finish(&options, side, error, sizeof(error));
}

static void check_says(const char *part) {
  ck_assert_msg(strstr(error, part) != NULL, "\"%s\" does not say %s", error,
                part);
}

/* --- the numbers -----------------------------------------------------------
 */

typedef enum form { WHOLE32, WHOLE64, SIZE, FRACTION } form_t;

typedef struct number_option {
  const char *name;
  au_side_t side;
  form_t form;
  size_t offset;
  double initial;
  double min;
  double max;
  bool is_bytes;
} number_option_t;

#define AT(field) offsetof(au_options_t, field)
#define BUFFER AU_SIDE_BUFFER
#define WRITER AU_SIDE_WRITER

static const number_option_t numbers[] = {
    {"SyncInterval", BUFFER, FRACTION, AT(sync_interval_s), 0.2, 0.01, 60, 0},
    {"Capacity", BUFFER, WHOLE64, AT(capacity), 1e6, 1, 1e9, 0},
    {"MaxBytes", BUFFER, WHOLE64, AT(max_bytes), GIB, 65536, 1024 * GIB, 1},
    {"Lanes", BUFFER, WHOLE32, AT(lanes), 1, 1, 16, 0},
    {"Threads", BUFFER, WHOLE32, AT(threads), 2, 1, 64, 0},
    {"MaxConnections", BUFFER, WHOLE32, AT(max_connections), 1024, 1, 65536, 0},
    {"MaxConnectionsPerAddress", BUFFER, WHOLE32,
     AT(max_connections_per_address), 256, 0, 65536, 0},
    {"RequestTimeout", BUFFER, FRACTION, AT(request_timeout_s), 10, 1, 3600, 0},
    {"KeepAliveTimeout", BUFFER, FRACTION, AT(keep_alive_timeout_s), 65, 1,
     3600, 0},
    {"DrainTime", BUFFER, FRACTION, AT(drain_time_s), 0, 0, 300, 0},
    {"MaxBodyBytes", BUFFER, SIZE, AT(limits.max_body_bytes), MIB, 1024,
     64 * MIB, 1},
    {"MaxBatchEvents", BUFFER, SIZE, AT(limits.max_batch_events), 10000, 1,
     100000, 0},
    {"ServiceMaxLength", BUFFER, SIZE, AT(limits.service_max_length), 100, 1,
     1000, 0},
    {"MessageMaxLength", BUFFER, SIZE, AT(limits.message_max_length), 2000, 1,
     1e6, 0},
    {"MetadataMaxBytes", BUFFER, SIZE, AT(limits.metadata_max_bytes), 16384, 2,
     MIB, 1},
    {"MetadataMaxKeys", BUFFER, SIZE, AT(limits.metadata_max_keys), 100, 1,
     10000, 0},
    {"MetadataMaxDepth", BUFFER, SIZE, AT(limits.metadata_max_depth), 5, 0, 100,
     0},
    {"OtlpMaxBodyBytes", BUFFER, SIZE, AT(limits.otlp_max_body_bytes), 16 * MIB,
     1024, 64 * MIB, 1},
    {"OtlpMaxRecords", BUFFER, SIZE, AT(limits.otlp_max_records), 50000, 1,
     100000, 0},
    {"BodyMemory", BUFFER, SIZE, AT(body_memory), 96 << 20, 4 << 20,
     1099511627776, 0},
    {"RateLimit", BUFFER, FRACTION, AT(rate_limit), 0, 0, 1e9, 0},
    {"RateLimitPerAddress", BUFFER, FRACTION, AT(rate_limit_per_address), 0, 0,
     1e9, 0},
    {"HistoryInterval", BUFFER, FRACTION, AT(history_interval_s), 60, 1, 86400,
     0},
    {"HistoryMaxBytes", BUFFER, WHOLE64, AT(history_max_bytes), 16 * MIB, 4096,
     1024 * GIB, 1},
    {"KeepStored", BUFFER, FRACTION, AT(keep_stored_s), 600, 0, 604800, 0},
    {"KeepStoredBytes", BUFFER, WHOLE64, AT(keep_stored_bytes), 256 * MIB, 0,
     1024 * GIB, 1},
    {"BatchSize", WRITER, WHOLE32, AT(batch_size), 5000, 1, 100000, 0},
    {"DrainInterval", WRITER, FRACTION, AT(drain_interval_s), 0.1, 0.001, 3600,
     0},
    {"ShutdownTimeout", WRITER, FRACTION, AT(shutdown_timeout_s), 30, 0, 3600,
     0},
    {"StatementTimeout", WRITER, FRACTION, AT(statement_timeout_s), 30, 0.1,
     3600, 0},
    {"ConnectTimeout", WRITER, FRACTION, AT(connect_timeout_s), 5, 0.1, 300, 0},
    {"BreakerFailures", WRITER, WHOLE32, AT(breaker_failures), 5, 1, 1000, 0},
    {"BreakerSuccesses", WRITER, WHOLE32, AT(breaker_successes), 2, 1, 1000, 0},
    {"BreakerTimeout", WRITER, FRACTION, AT(breaker_timeout_s), 1, 0.1, 3600,
     0},
    {"BackoffMin", WRITER, FRACTION, AT(backoff_min_s), 0.1, 0.001, 3600, 0},
    {"BackoffMax", WRITER, FRACTION, AT(backoff_max_s), 2, 0.001, 3600, 0},
    {"RetentionDays", WRITER, WHOLE32, AT(retention_days), 30, 0, 36500, 0},
    {"DedupWindow", WRITER, FRACTION, AT(dedup_window_s), 86400, 0, 31536000,
     0},
    {"BusinessInterval", WRITER, FRACTION, AT(business_interval_s), 10, 0.1,
     86400, 0},
    {"BusinessServices", WRITER, WHOLE32, AT(business_services), 50, 0, 1000,
     0},
    {"SlowQuery", WRITER, FRACTION, AT(slow_query_s), 1, 0, 3600, 0},
    {"QueryMaxDays", WRITER, WHOLE32, AT(query_max_days), 30, 1, 36500, 0},
    {"QueryTimeout", WRITER, FRACTION, AT(query_timeout_s), 30, 0.1, 3600, 0},
    {"QueryConnections", WRITER, WHOLE32, AT(query_connections), 2, 1, 64, 0},
};

static double number_of(const number_option_t *option) {
  const char *member = (const char *)&options + option->offset;
  unsigned narrow = 0;
  uint64_t wide = 0;
  size_t size = 0;
  double fraction = 0;
  switch (option->form) {
  case WHOLE32:
    memcpy(&narrow, member, sizeof(narrow));
    return narrow;
  case WHOLE64:
    memcpy(&wide, member, sizeof(wide));
    return (double)wide;
  case SIZE:
    memcpy(&size, member, sizeof(size));
    return (double)size;
  case FRACTION:
    memcpy(&fraction, member, sizeof(fraction));
    return fraction;
  }
  return -1;
}

CASE("numbers", setup, teardown);

TEST_EACH(a_number_has_its_default, COUNT_OF(numbers)) {
  ck_assert_double_eq(number_of(&numbers[_i]), numbers[_i].initial);
}

static void check_accepted(const number_option_t *option, double number) {
  char text[32];
  ck_assert_int_eq(set_number(option->side, option->name, number), AU_OK);
  ck_assert_double_eq(number_of(option), number);
  /* In quotes it means the same. */
  snprintf(text, sizeof(text), "%.15g", number);
  ck_assert_int_eq(set_number(option->side, option->name, option->min), AU_OK);
  if (strchr(text, 'e') != NULL)
    snprintf(text, sizeof(text), "%.0f", number);
  ck_assert_int_eq(set_string(option->side, option->name, text), AU_OK);
  ck_assert_double_eq(number_of(option), number);
}

static void check_refused(const number_option_t *option, double number) {
  char text[32];
  double before = number_of(option);
  ck_assert_int_eq(set_number(option->side, option->name, number), AU_INVALID);
  ck_assert_double_eq(number_of(option), before);
  check_says(option->name);
  check_says(option->side == BUFFER ? "event_buffer" : "event_writer");
  snprintf(text, sizeof(text), "not %.15g", number);
  check_says(text);
}

TEST_EACH(a_number_is_held_to_its_range, COUNT_OF(numbers)) {
  const number_option_t *option = &numbers[_i];
  double step = option->form == FRACTION ? 0.0005 : 1;
  check_accepted(option, option->min);
  check_accepted(option, option->max);
  check_refused(option, option->min - step);
  check_refused(option, option->max + step);
  check_refused(option, -1e18);
  check_refused(option, 1e18);
  check_refused(option, strtod("nan", NULL));
  check_refused(option, strtod("inf", NULL));
}

TEST_EACH(a_whole_number_has_no_fraction, COUNT_OF(numbers)) {
  const number_option_t *option = &numbers[_i];
  if (option->form == FRACTION)
    check_accepted(option, option->min + 0.25);
  else
    check_refused(option, option->min + 0.5);
}

TEST_EACH(a_number_is_no_word_and_no_boolean, COUNT_OF(numbers)) {
  const number_option_t *option = &numbers[_i];
  static const char *const text[] = {"",
                                     " ",
                                     "many",
                                     "5 ",
                                     " 5",
                                     "0x10",
                                     "5s",
                                     "1,",
                                     "1.",
                                     ".5",
                                     "1e3",
                                     "--5",
                                     "+",
                                     "5K",
                                     "5KB",
                                     "nan",
                                     "inf",
                                     "1.2.3",
                                     "9999999999999999999999"};
  for (int i = 0; i < COUNT_OF(text); i++) {
    ck_assert_int_eq(set_string(option->side, option->name, text[i]),
                     AU_INVALID);
    check_says(option->name);
  }
  ck_assert_int_eq(set_boolean(option->side, option->name, true), AU_INVALID);
  check_says("not true");
  ck_assert_double_eq(number_of(option), option->initial);
}

TEST_EACH(only_sizes_have_units, COUNT_OF(numbers)) {
  const number_option_t *option = &numbers[_i];
  au_status_t expected = option->is_bytes ? AU_OK : AU_INVALID;
  ck_assert_int_eq(set_string(option->side, option->name, "64KiB"), expected);
  if (option->is_bytes)
    ck_assert_double_eq(number_of(option), 65536);
}

TEST(a_part_of_a_byte_is_no_size) {
  ck_assert_int_eq(set_string(BUFFER, "MaxBytes", "64.0001KiB"), AU_INVALID);
}

/* --- the others ------------------------------------------------------------
 */

CASE("others", setup, teardown);

TEST(texts_have_their_defaults) {
  ck_assert_str_eq(options.spool_directory, "");
  ck_assert_str_eq(options.token_file, "");
  ck_assert_str_eq(options.tls_certificate, "");
  ck_assert_str_eq(options.tls_key, "");
  ck_assert_str_eq(options.tls_client_ca, "");
  ck_assert_str_eq(options.history_file, "");
  ck_assert_str_eq(options.conninfo, "dbname=aurore_events");
  ck_assert_str_eq(options.retention_time, "02:00");
  ck_assert(!options.notifications);
  ck_assert(!options.durability_set);
  ck_assert_uint_eq(options.listen_count, 0);
}

TEST(texts_are_copied_and_have_one_value) {
  static const struct {
    const char *name;
    au_side_t side;
    size_t offset;
  } row[] = {{"SpoolDirectory", BUFFER, AT(spool_directory)},
             {"TokenFile", BUFFER, AT(token_file)},
             {"TLSCertificate", BUFFER, AT(tls_certificate)},
             {"TLSKey", BUFFER, AT(tls_key)},
             {"TLSClientCA", BUFFER, AT(tls_client_ca)},
             {"HistoryFile", BUFFER, AT(history_file)},
             {"ConnInfo", WRITER, AT(conninfo)}};
  for (int i = 0; i < COUNT_OF(row); i++) {
    char text[] = "/some/where";
    char *member = NULL;
    ck_assert_int_eq(set_string(row[i].side, row[i].name, text), AU_OK);
    ck_assert_int_eq(set_string(row[i].side, row[i].name, text), AU_OK);
    ck_assert_int_eq(set_string(row[i].side, row[i].name, "/else"), AU_INVALID);
    check_says("is set twice, to \"/some/where\" and to \"/else\"");
    text[0] = 'X';
    memcpy(&member, (const char *)&options + row[i].offset, sizeof(member));
    ck_assert_str_eq(member, "/some/where");
    ck_assert_int_eq(set_number(row[i].side, row[i].name, 5), AU_INVALID);
    check_says("must be");
    ck_assert_int_eq(set_boolean(row[i].side, row[i].name, false), AU_INVALID);
    check_says("not false");
  }
}

TEST(a_text_is_bounded) {
  char text[4098];
  memset(text, 'x', sizeof(text));
  text[4097] = '\0';
  ck_assert_int_eq(set_string(WRITER, "ConnInfo", text), AU_INVALID);
  check_says("not a string of 4097 bytes"); /* which may hold a password */
  text[4096] = '\0';
  ck_assert_int_eq(set_string(WRITER, "ConnInfo", text), AU_OK);
}

TEST(once) {
  ck_assert(!options.once_by_bytes);
  ck_assert_int_eq(set_string(BUFFER, "Once", "request"), AU_OK);
  ck_assert(options.once_by_bytes);
  ck_assert_int_eq(set_string(BUFFER, "Once", "None"), AU_OK);
  ck_assert(!options.once_by_bytes);
  ck_assert_int_eq(set_string(BUFFER, "Once", "always"), AU_INVALID);
  check_says("\"none\" or \"request\"");
}

TEST(booleans) {
  static const char *const yes[] = {"true", "yes", "on", "True", "YES"};
  static const char *const no[] = {"false", "no", "off", "False", "OFF"};
  for (int i = 0; i < COUNT_OF(yes); i++) {
    ck_assert_int_eq(set_string(WRITER, "Notifications", yes[i]), AU_OK);
    ck_assert(options.notifications);
    ck_assert_int_eq(set_string(WRITER, "Notifications", no[i]), AU_OK);
    ck_assert(!options.notifications);
  }
  ck_assert_int_eq(set_boolean(WRITER, "Notifications", true), AU_OK);
  ck_assert(options.notifications);
  ck_assert_int_eq(set_string(WRITER, "Notifications", "maybe"), AU_INVALID);
  check_says("(true or false), not \"maybe\"");
  ck_assert_int_eq(set_number(WRITER, "Notifications", 1), AU_INVALID);
}

TEST(accepted_statuses) {
  static const unsigned good[] = {200, 201, 202, 204, 0};
  static const unsigned bad[] = {1, 199, 203, 205, 100};
  ck_assert_uint_eq(options.accepted_status, 0);
  ck_assert(!options.is_lenient);
  for (int i = 0; i < COUNT_OF(good); i++) {
    ck_assert_int_eq(set_number(BUFFER, "AcceptedStatus", good[i]), AU_OK);
    ck_assert_uint_eq(options.accepted_status, good[i]);
    ck_assert_int_eq(set_number(BUFFER, "AcceptedStatus", bad[i]), AU_INVALID);
    check_says("(0, 200, 201, 202 or 204)");
    ck_assert_uint_eq(options.accepted_status, good[i]);
  }
  ck_assert_int_eq(set_number(BUFFER, "AcceptedStatus", 200.5), AU_INVALID);
  ck_assert_int_eq(set_string(BUFFER, "AcceptedStatus", "204"), AU_OK);
  ck_assert_int_eq(set_boolean(BUFFER, "AcceptedStatus", true), AU_INVALID);
  ck_assert_int_eq(set_boolean(BUFFER, "Lenient", true), AU_OK);
  ck_assert(options.is_lenient);
}

TEST(durabilities) {
  ck_assert_int_eq(set_string(BUFFER, "Durability", "interval"), AU_OK);
  ck_assert_int_eq(options.durability, AU_DURABILITY_INTERVAL);
  ck_assert(options.durability_set);
  ck_assert_int_eq(set_string(BUFFER, "Durability", "memory"), AU_OK);
  ck_assert_int_eq(options.durability, AU_DURABILITY_MEMORY);
  ck_assert_int_eq(set_string(BUFFER, "Durability", "Commit"), AU_OK);
  ck_assert_int_eq(options.durability, AU_DURABILITY_COMMIT);
  ck_assert_int_eq(set_string(BUFFER, "Durability", "safe"), AU_INVALID);
  check_says("\"commit\", \"interval\" or \"memory\"");
  check_says("not \"safe\"");
}

TEST(times_of_day) {
  static const char *const good[] = {"00:00", "23:59", "02:30"};
  static const char *const wrong[] = {"",      "2:00",  "24:00",    "12:60",
                                      "12-30", "12:3x", "02:00:00", "-1:00"};
  for (int i = 0; i < COUNT_OF(good); i++) {
    ck_assert_int_eq(set_string(WRITER, "RetentionTime", good[i]), AU_OK);
    ck_assert_str_eq(options.retention_time, good[i]);
  }
  for (int i = 0; i < COUNT_OF(wrong); i++)
    ck_assert_int_eq(set_string(WRITER, "RetentionTime", wrong[i]), AU_INVALID);
  check_says("\"00:00\" to \"23:59\"");
}

TEST(a_wrong_address_is_refused) {
  ck_assert_int_eq(set_string(BUFFER, "Listen", "127.0.0.1:0"), AU_INVALID);
  check_says("not \"127.0.0.1:0\"");
  check_says("PORT 1 to 65535");
}

TEST(addresses_add_up) {
  ck_assert_int_eq(set_string(BUFFER, "Listen", "127.0.0.1:1"), AU_OK);
  ck_assert_int_eq(set_string(BUFFER, "Listen", "127.0.0.1:1"), AU_OK);
  ck_assert_uint_eq(options.listen_count, 1);
  for (int i = 2; i <= AU_LISTEN_MAX; i++) {
    char text[32];
    snprintf(text, sizeof(text), "127.0.0.1:%d", i);
    ck_assert_int_eq(set_string(BUFFER, "Listen", text), AU_OK);
  }
  ck_assert_uint_eq(options.listen_count, AU_LISTEN_MAX);
  ck_assert_int_eq(set_string(BUFFER, "Listen", "127.0.0.1:17"), AU_INVALID);
  check_says("may be given at most 16 times");
  ck_assert_int_eq(finish(BUFFER), AU_OK);
  ck_assert_uint_eq(options.listen_count, AU_LISTEN_MAX);
}

TEST(origins_add_up) {
  ck_assert_int_eq(set_string(BUFFER, "AllowOrigin", ""), AU_OK);
  ck_assert_uint_eq(options.allow_origins, 0);
  ck_assert_int_eq(set_string(BUFFER, "AllowOrigin", "https://A:443"), AU_OK);
  ck_assert_int_eq(set_string(BUFFER, "AllowOrigin", "https://a"), AU_OK);
  ck_assert_uint_eq(options.allow_origins, 1);
  ck_assert_str_eq(options.allow_origin[0], "https://a");
  ck_assert_int_eq(set_string(BUFFER, "AllowOrigin", "null"), AU_INVALID);
  check_says("\"AllowOrigin\"");
  check_says("\"*\", or \"SCHEME://HOST\" or \"SCHEME://HOST:PORT\"");
  check_says("not \"null\"");
  ck_assert_int_eq(set_number(BUFFER, "AllowOrigin", 5), AU_INVALID);
  for (int i = 2; i <= AU_ORIGINS_MAX; i++) {
    char text[32];
    snprintf(text, sizeof(text), "https://a:%d", i);
    ck_assert_int_eq(set_string(BUFFER, "AllowOrigin", text), AU_OK);
  }
  ck_assert_uint_eq(options.allow_origins, AU_ORIGINS_MAX);
  ck_assert_int_eq(set_string(BUFFER, "AllowOrigin", "*"), AU_INVALID);
  check_says("may be given at most 64 times");
}

TEST(the_default_address_stands_alone) {
  ck_assert_int_eq(finish(BUFFER), AU_OK);
  ck_assert_int_eq(finish(BUFFER), AU_OK);
  ck_assert_uint_eq(options.listen_count, 1);
  ck_assert_str_eq(options.listen[0], "127.0.0.1:3000");
}

/* --- names -----------------------------------------------------------------
 */

CASE("names", setup, teardown);

TEST(names_are_matched_without_case) {
  ck_assert_int_eq(set_number(BUFFER, "cApAcItY", 7), AU_OK);
  ck_assert_uint_eq(options.capacity, 7);
}

TEST(a_name_that_does_not_exist) {
  ck_assert_int_eq(set_number(BUFFER, "Capacty", 7), AU_INVALID);
  check_says(
      "the plugin event_buffer has no option \"Capacty\"; the nearest is "
      "\"Capacity\"");
  ck_assert_int_eq(set_number(BUFFER, "BatchSize", 7), AU_INVALID);
  check_says("it is an option of event_writer");
  ck_assert_int_eq(set_number(WRITER, "Colour", 7), AU_INVALID);
  check_says("its options are ConnInfo, ConnectTimeout, StatementTimeout");
  check_says("Notifications"); /* the last one */
  ck_assert_int_eq(set_number(BUFFER, "Unheard-of", 7), AU_INVALID);
  check_says("HistoryMaxBytes");
  ck_assert_int_eq(set_number(WRITER, "", 7), AU_INVALID);
}

TEST(a_long_name_is_cut) {
  char name[5000];
  memset(name, 'n', sizeof(name));
  name[sizeof(name) - 1] = '\0';
  ck_assert_int_eq(set_number(BUFFER, name, 7), AU_INVALID);
  check_says("HistoryMaxBytes");
}

TEST(the_table_is_the_contract) {
  static const char *const others[] = {"Listen",
                                       "SpoolDirectory",
                                       "Durability",
                                       "TokenFile",
                                       "TLSCertificate",
                                       "TLSKey",
                                       "TLSClientCA",
                                       "HistoryFile",
                                       "AllowOrigin",
                                       "ConnInfo",
                                       "RetentionTime",
                                       "Notifications",
                                       "Lenient",
                                       "AcceptedStatus",
                                       "TraceContext",
                                       "AsyncCommit",
                                       "Once"};
  au_option_info_t info;
  size_t count = 0;
  for (; au_option_info(count, &info); count++) {
    bool found = false;
    for (int i = 0; i < COUNT_OF(numbers); i++)
      found = found || (strcmp(numbers[i].name, info.name) == 0 &&
                        numbers[i].side == info.side);
    for (int i = 0; i < COUNT_OF(others); i++)
      found = found || strcmp(others[i], info.name) == 0;
    ck_assert_msg(found, "%s is not in the contract", info.name);
    ck_assert_uint_gt(strlen(info.range_text), 0);
  }
  ck_assert_uint_eq(count, COUNT_OF(numbers) + COUNT_OF(others));
}

/* --- the whole -------------------------------------------------------------
 */

static char path[] = "/tmp/check_options_XXXXXX";

static void setup_file(void) {
  setup();
  strcpy(path + strlen(path) - 6, "XXXXXX");
  int fd = mkstemp(path);
  ck_assert_int_ge(fd, 0);
  close(fd);
}

static void teardown_file(void) {
  unlink(path);
  teardown();
}

CASE("whole", setup_file, teardown_file);

TEST(without_a_directory_events_wait_in_memory) {
  ck_assert_int_eq(finish(BUFFER), AU_OK);
  ck_assert_int_eq(options.durability, AU_DURABILITY_MEMORY);
}

TEST(with_a_directory_they_are_safe) {
  ck_assert_int_eq(set_string(BUFFER, "SpoolDirectory", "/tmp/s"), AU_OK);
  ck_assert_int_eq(finish(BUFFER), AU_OK);
  ck_assert_int_eq(options.durability, AU_DURABILITY_COMMIT);
}

/* What the database may take back must be in the spool. */
TEST(async_commit_needs_what_is_kept) {
  ck_assert_int_eq(finish(WRITER), AU_OK);
  ck_assert_int_eq(set_string(WRITER, "AsyncCommit", "true"), AU_OK);
  ck_assert_int_eq(finish(WRITER), AU_INVALID);
  check_says("AsyncCommit");
  check_says("SpoolDirectory");
  check_says("KeepStored");
  ck_assert_int_eq(set_string(BUFFER, "SpoolDirectory", "/tmp"), AU_OK);
  ck_assert_int_eq(finish(WRITER), AU_OK);
  ck_assert_int_eq(set_number(BUFFER, "KeepStored", 0), AU_OK);
  ck_assert_int_eq(finish(WRITER), AU_INVALID);
  check_says("AsyncCommit");
  check_says("KeepStored");
  ck_assert_int_eq(set_number(BUFFER, "KeepStored", 1), AU_OK);
  ck_assert_int_eq(set_number(BUFFER, "KeepStoredBytes", 0), AU_OK);
  ck_assert_int_eq(finish(WRITER), AU_INVALID);
  check_says("KeepStoredBytes");
}

TEST(safety_needs_a_directory) {
  ck_assert_int_eq(set_string(BUFFER, "Durability", "commit"), AU_OK);
  ck_assert_int_eq(finish(BUFFER), AU_INVALID);
  check_says("needs the option \"SpoolDirectory\" for Durability \"commit\"");
  ck_assert_int_eq(set_string(BUFFER, "Durability", "interval"), AU_OK);
  ck_assert_int_eq(finish(BUFFER), AU_INVALID);
  check_says("for Durability \"interval\"");
  ck_assert_int_eq(set_string(BUFFER, "Durability", "memory"), AU_OK);
  ck_assert_int_eq(finish(BUFFER), AU_OK);
}

/* As if the option had never been set. */
static void forget(const char *name) {
  memset(options.is_set, 0, sizeof(options.is_set));
  ck_assert_int_eq(set_string(BUFFER, name, ""), AU_OK);
  memset(options.is_set, 0, sizeof(options.is_set));
}

/* Neither shows its password. */
TEST(two_databases_are_an_error_that_names_both) {
  ck_assert_int_eq(
      set_string(WRITER, "ConnInfo",
                 "host=one password = 'it\\'s a secret' dbname=events"),
      AU_OK);
  ck_assert_int_eq(set_string(WRITER, "ConnInfo",
                              "postgresql://me:s@cret@two/events?password=x"),
                   AU_INVALID);
  check_says("option \"ConnInfo\" of the plugin event_writer is set twice, to "
             "\"host=one password = ... dbname=events\" and to "
             "\"postgresql://...@two/events\"");
}

TEST(no_password_is_shown) {
  static const char *const shown[][2] = {
      {"host=db password=SECRET application_name=http://a",
       "host=db password=... application_name=http://a"},
      {"password=a://SECRET", "password=..."},
      {"PASSWORD=SECRET host=a", "PASSWORD=... host=a"},
      {"sslpassword = 'SEC\\'RET' host=a", "sslpassword = ... host=a"},
      {"postgresql:///db?password=ab@SECRET", "postgresql://..."},
      {"postgresql://u:p@h/db?sslpassword=x@SECRET", "postgresql://..."},
      {"postgresql://u:SEC/RET@h/db", "postgresql://..."},
      {"postgresql://u:SE@CRET@h:5/db?x=y", "postgresql://...@h:5/db"},
      {"postgres://h1,h2:6/db?password=SECRET", "postgres://h1,h2:6/db"},
      {"events", "events"},
      {"host=a SECRET", "host=a"}};
  for (int i = 0; i < COUNT_OF(shown); i++) {
    char text[128];
    au_option_redact(shown[i][0], text, sizeof(text));
    ck_assert_str_eq(text, shown[i][1]);
  }
}

TEST(certificate_and_key_come_together) {
  ck_assert_int_eq(set_string(BUFFER, "TLSKey", path), AU_OK);
  ck_assert_int_eq(finish(BUFFER), AU_INVALID);
  check_says("needs the option \"TLSCertificate\" for TLSKey");
  ck_assert_int_eq(set_string(BUFFER, "TLSCertificate", path), AU_OK);
  ck_assert_int_eq(finish(BUFFER), AU_OK);
  forget("TLSKey");
  ck_assert_int_eq(finish(BUFFER), AU_INVALID);
  check_says("needs the option \"TLSKey\" for TLSCertificate");
  forget("TLSCertificate");
  ck_assert_int_eq(set_string(BUFFER, "TLSClientCA", path), AU_OK);
  ck_assert_int_eq(finish(BUFFER), AU_INVALID);
  check_says("needs the option \"TLSCertificate\" for TLSClientCA");
}

TEST(files_must_be_readable) {
  ck_assert_int_eq(set_string(BUFFER, "TokenFile", path), AU_OK);
  ck_assert_int_eq(finish(BUFFER), AU_OK);
  forget("TokenFile");
  ck_assert_int_eq(set_string(BUFFER, "TokenFile", "/nonexistent/t"), AU_OK);
  ck_assert_int_eq(finish(BUFFER), AU_INVALID);
  check_says("option \"TokenFile\"");
  check_says("\"/nonexistent/t\": No such file or directory");
  forget("TokenFile");
  ck_assert_int_eq(set_string(BUFFER, "TokenFile", "/tmp"), AU_OK);
  ck_assert_int_eq(finish(BUFFER), AU_INVALID);
  check_says("Is a directory");
  /* The writer's own options are in order. */
  ck_assert_int_eq(finish(WRITER), AU_OK);
}

TEST(backoff_has_its_bounds_in_order) {
  ck_assert_int_eq(set_number(WRITER, "BackoffMin", 5), AU_OK);
  ck_assert_int_eq(set_number(WRITER, "BackoffMax", 5), AU_OK);
  ck_assert_int_eq(finish(WRITER), AU_OK);
  ck_assert_int_eq(set_number(WRITER, "BackoffMax", 4.5), AU_OK);
  ck_assert_int_eq(finish(WRITER), AU_INVALID);
  check_says("5 seconds, more than \"BackoffMax\", 4.5 seconds");
}

TEST(a_finished_set_can_be_made_again) {
  ck_assert_int_eq(set_string(BUFFER, "Listen", "127.0.0.1:1"), AU_OK);
  au_options_fini(&options);
  au_options_fini(&options); /* nothing is left to free */
  ck_assert_int_eq(au_options_init(&options), AU_OK);
  ck_assert_uint_eq(options.listen_count, 0);
}

int main(void) { return run_tests("options"); }
