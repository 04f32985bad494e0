/* SPDX-License-Identifier: MIT
 *
 * Notifications as events: what they become, what is cut or left out, and what
 * is counted of those that cannot be kept. The buffer is a fake.
 */
#include "support/short_memory.h"

#include "base/clock.h"
#include "metrics/metrics.h"
#include "observe/notification.h"
#include "support/fake_buffer.h"
#include "support/limits.h"
#include "support/log_capture.h"
#include "support/suite.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TIME_US INT64_C(1700000000123456)

static au_limits_t limits;
static au_buffer_t *buffer;

static void setup(void) {
  is_test = true;
  no_threads = false;
  au_metrics_reset();
  release_log();
  limits = (au_limits_t)DEFAULT_LIMITS;
  buffer = fake_buffer_open();
  ck_assert_int_eq(au_notification_start(&limits, buffer), AU_OK);
}

static void teardown(void) {
  fake_buffer_release();
  au_notification_stop();
  fake_buffer_close();
}

/* With other limits. */
static void start_again(void) {
  au_notification_stop();
  fake_buffer_close();
  buffer = fake_buffer_open();
  ck_assert_int_eq(au_notification_start(&limits, buffer), AU_OK);
}

static const au_notification_t plain = {.time_us = TIME_US,
                                        .severity = "failure",
                                        .host = "h",
                                        .plugin = "df",
                                        .plugin_instance = "root",
                                        .type = "percent_bytes",
                                        .type_instance = "used",
                                        .message = "it is full"};

static uint64_t rejected(au_reason_t reason) {
  return au_metrics_counter(AU_M_EVENTS_REJECTED, reason);
}

/* Waits until that number of appends was tried. */
static void await_calls(uint64_t calls) {
  int64_t deadline_ns = au_clock_monotonic_ns() + 60 * AU_NS_PER_S;
  while (fake_buffer_calls() < calls)
    ck_assert_int_lt(au_clock_monotonic_ns(), deadline_ns);
}

/* The one event that the notification has become. */
static au_event_t kept(const au_notification_t *notice) {
  uint64_t calls = fake_buffer_calls();
  au_notification_put(notice);
  await_calls(calls + 1);
  return fake_buffer_event(0);
}

static void check_text(au_slice_t slice, const char *wanted) {
  ck_assert_uint_eq(slice.size, strlen(wanted));
  ck_assert_mem_eq(slice.data, wanted, slice.size);
}

#define ORIGIN                                                                 \
  "{\"severity\":\"failure\",\"host\":\"h\",\"plugin\":\"df\","                \
  "\"plugin_instance\":\"root\",\"type\":\"percent_bytes\","                   \
  "\"type_instance\":\"used\""

CASE("events", setup, teardown);

TEST(a_notification_becomes_an_event) {
  au_event_t event = kept(&plain);
  check_text(event.service, "collectd/df");
  check_text(event.message, "it is full");
  check_text(event.metadata, ORIGIN "}");
  ck_assert_int_eq(event.occurred_at_us, TIME_US);
  ck_assert_int_le(llabs(event.ingested_at_us - au_clock_wall_us()),
                   60 * AU_US_PER_S);
  ck_assert_uint_eq(fake_buffer_taken(), 1);
}

TEST(its_own_values_come_too) {
  const au_notification_value_t values[] = {
      {"text", AU_NOTIFICATION_STRING, {.string = "a \"b\"\n"}},
      {"low", AU_NOTIFICATION_SIGNED, {.signed_int = INT64_MIN}},
      {"high", AU_NOTIFICATION_UNSIGNED, {.unsigned_int = UINT64_MAX}},
      {"half", AU_NOTIFICATION_DOUBLE, {.number = 0.5}},
      {"none", AU_NOTIFICATION_DOUBLE, {.number = (double)NAN}},
      {"endless", AU_NOTIFICATION_DOUBLE, {.number = (double)INFINITY}},
      {"yes", AU_NOTIFICATION_BOOLEAN, {.boolean = true}},
      {"no", AU_NOTIFICATION_BOOLEAN, {.boolean = false}},
      {"null", AU_NOTIFICATION_STRING, {.string = NULL}}};
  au_notification_t notice = plain;
  notice.values = values;
  notice.values_count = sizeof(values) / sizeof(values[0]);
  check_text(kept(&notice).metadata,
             ORIGIN ",\"meta\":{\"text\":\"a \\\"b\\\"\\n\","
                    "\"low\":-9223372036854775808,"
                    "\"high\":18446744073709551615,\"half\":0.5,"
                    "\"none\":null,\"endless\":null,\"yes\":true,"
                    "\"no\":false,\"null\":null}}");
}

TEST(a_name_may_be_empty) {
  au_notification_t notice = plain;
  notice.plugin = notice.plugin_instance = notice.message = "";
  au_event_t event = kept(&notice);
  check_text(event.service, "collectd");
  check_text(event.message, "(no message)");
}

TEST(what_is_no_text_is_repaired) {
  au_notification_t notice = plain;
  notice.plugin = "d\xff";
  notice.host = "\xc3";
  notice.message = "half \xe2\x82";
  au_event_t event = kept(&notice);
  check_text(event.service, "collectd/d\xef\xbf\xbd");
  check_text(event.message, "half \xef\xbf\xbd\xef\xbf\xbd");
  ck_assert_uint_eq(fake_buffer_taken(), 1);
}

/* By characters, never within one. */
TEST(text_is_cut_to_its_limit) {
  limits.service_max_length = 10;
  limits.message_max_length = 3;
  start_again();
  au_notification_t notice = plain;
  notice.plugin = "\xc3\xa9\xc3\xa9\xc3\xa9";
  notice.message = "\xe2\x82\xac\xff\xf0\x9f\x98\x80\xe2\x82\xac";
  au_event_t event = kept(&notice);
  check_text(event.service, "collectd/\xc3\xa9");
  check_text(event.message, "\xe2\x82\xac\xef\xbf\xbd\xf0\x9f\x98\x80");
}

TEST_EACH(metadata_that_is_too_much_is_left_out, 8) {
  static const struct {
    size_t bytes;
    size_t keys;
    size_t depth;
    int members; /* 0: none, 1: its origin, 2: its values too */
  } row[] = {{16384, 100, 5, 2}, {16384, 8, 5, 2}, {16384, 7, 5, 1},
             {16384, 6, 5, 1},   {16384, 5, 5, 0}, {16384, 100, 0, 1},
             {130, 100, 5, 1},   {20, 100, 5, 0}};
  limits.metadata_max_bytes = row[_i].bytes;
  limits.metadata_max_keys = row[_i].keys;
  limits.metadata_max_depth = row[_i].depth;
  start_again();
  const au_notification_value_t value = {
      "n", AU_NOTIFICATION_SIGNED, {.signed_int = 1}};
  au_notification_t notice = plain;
  notice.values = &value;
  notice.values_count = 1;
  au_event_t event = kept(&notice);
  if (row[_i].members == 0)
    ck_assert_ptr_null(event.metadata.data);
  else
    check_text(event.metadata, row[_i].members == 2 ? ORIGIN
                                   ",\"meta\":{\"n\":1}}"
                                                    : ORIGIN "}");
  ck_assert_uint_eq(rejected(AU_REASON_INVALID), 0);
}

TEST_EACH(a_time_that_cannot_be_is_now, 5) {
  static const int64_t wrong[] = {0, -1, INT64_MIN, INT64_MAX,
                                  INT64_C(4133980800000000)};
  au_notification_t notice = plain;
  notice.time_us = wrong[_i];
  ck_assert_int_le(llabs(kept(&notice).occurred_at_us - au_clock_wall_us()),
                   60 * AU_US_PER_S);
}

/* --- what cannot be kept ---------------------------------------------------
 */

CASE("losses", setup, teardown);

TEST_EACH(a_refusal_is_counted, 4) {
  static const struct {
    fake_answer_t answer;
    uint64_t unavailable;
  } row[] = {{FAKE_FULL, 0}, /* the buffer counts what it has no room for */
             {FAKE_CLOSED, 2},
             {FAKE_NOMEM, 2},
             {FAKE_IO, 2}};
  capture_log();
  watch_log_for("notification");
  fake_buffer_answer(row[_i].answer);
  au_notification_put(&plain);
  au_notification_put(&plain);
  await_calls(2);
  fake_buffer_answer(FAKE_OK);
  (void)kept(&plain); /* the other two are over */
  ck_assert_uint_eq(rejected(AU_REASON_UNAVAILABLE), row[_i].unavailable);
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 1);
  ck_assert_uint_eq(logged(AU_LOG_ERROR) + logged(AU_LOG_NOTICE), 0);
  ck_assert_uint_eq(log_matches(), 1);
  ck_assert_uint_eq(fake_buffer_taken(), 1);
}

TEST_EACH(what_is_not_synced_is_counted, 2) {
  fake_buffer_tell(AU_IO);
  fake_buffer_answer(_i == 0 ? FAKE_RACE : FAKE_BEFORE);
  au_notification_put(&plain);
  au_notification_stop();
  ck_assert_uint_eq(rejected(AU_REASON_UNAVAILABLE), 1);
  ck_assert_uint_eq(fake_buffer_taken(), 0);
}

/* Putting one never waits, whatever the buffer does. */
TEST(the_queue_is_bounded) {
  fake_buffer_answer(FAKE_HOLD);
  au_notification_put(&plain);
  fake_buffer_wait_pending(1);
  for (int i = 0; i < AU_NOTIFICATION_QUEUE + 10; i++)
    au_notification_put(&plain);
  ck_assert_uint_eq(rejected(AU_REASON_UNAVAILABLE), 10);
  fake_buffer_answer(FAKE_RACE);
  au_notification_stop(); /* what waits is kept first */
  ck_assert_uint_eq(fake_buffer_taken(), 1 + AU_NOTIFICATION_QUEUE);
}

TEST(before_and_after_nothing_is_taken) {
  au_notification_stop();
  au_notification_stop();
  au_notification_put(&plain);
  ck_assert_uint_eq(fake_buffer_calls(), 0);
  ck_assert_uint_eq(rejected(AU_REASON_UNAVAILABLE), 0);
}

/* As when the buffer itself has something to report: from within its append. */
TEST(one_put_while_another_is_kept) {
  fake_buffer_answer(FAKE_HOLD);
  au_notification_put(&plain);
  fake_buffer_wait_pending(1);
  au_notification_put(&plain);
  fake_buffer_answer(FAKE_RACE);
  await_calls(2);
  au_notification_stop();
  ck_assert_uint_eq(fake_buffer_taken(), 2);
}

#define TELLERS 4
#define EACH 200

static void *teller_main(void *argument) {
  (void)argument;
  for (int i = 0; i < EACH; i++)
    au_notification_put(&plain);
  return NULL;
}

TEST(none_is_lost_uncounted_among_many_threads) {
  pthread_t thread[TELLERS];
  fake_buffer_answer(FAKE_RACE);
  for (int i = 0; i < TELLERS; i++)
    ck_assert_int_eq(pthread_create(&thread[i], NULL, teller_main, NULL), 0);
  for (int i = 0; i < TELLERS; i++)
    pthread_join(thread[i], NULL);
  au_notification_stop();
  ck_assert_uint_eq(fake_buffer_taken() + rejected(AU_REASON_UNAVAILABLE),
                    (uint64_t)TELLERS * EACH);
  ck_assert_uint_ge(fake_buffer_taken(), 1);
}

static uint64_t counted(void) {
  return fake_buffer_taken() + rejected(AU_REASON_UNAVAILABLE) +
         rejected(AU_REASON_INVALID);
}

/* The n-th allocation fails, for every n: each is kept, or counted. */
TEST(short_of_memory) {
  const au_notification_value_t value = {
      "n", AU_NOTIFICATION_SIGNED, {.signed_int = 1}};
  au_notification_t notice = plain;
  notice.values = &value;
  notice.values_count = 1;
  capture_log();
  uint64_t puts = 0;
  long n = 1;
  for (bool failed = true; failed; n++) {
    au_notification_stop(); /* and its memory with it */
    ck_assert_int_eq(au_notification_start(&limits, buffer), AU_OK);
    fail_memory(n, 1);
    PRODUCT((au_notification_put(&notice), 0));
    puts++;
    int64_t deadline_ns = au_clock_monotonic_ns() + 60 * AU_NS_PER_S;
    while (counted() < puts)
      ck_assert_int_lt(au_clock_monotonic_ns(), deadline_ns);
    failed = memory_failed();
    ck_assert_uint_eq(counted(), puts);
  }
  ck_assert_int_gt(n, 5);
  ck_assert_uint_ge(rejected(AU_REASON_UNAVAILABLE), 1);
  ck_assert_uint_ge(fake_buffer_taken(), 1);
}

TEST(a_start_that_fails_takes_nothing) {
  au_notification_stop();
  no_threads = true;
  ck_assert_int_eq(au_notification_start(&limits, NULL), AU_NOMEM);
  no_threads = false;
  au_status_t status = AU_NOMEM;
  for (long n = 1; status != AU_OK; n++) {
    au_notification_put(&plain);
    fail_memory(n, 1);
    status = PRODUCT(au_notification_start(&limits, NULL));
    ck_assert_int_eq(status, memory_failed() ? AU_NOMEM : AU_OK);
  }
  ck_assert_uint_eq(counted(), 0);
}

int main(void) { return run_tests("notification"); }
