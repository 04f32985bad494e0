/* SPDX-License-Identifier: MIT
 *
 * check_bytes - the byte buffer, the clocks and the log: what everything else
 * is built on.
 */
#include "base/budget.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static au_bytes_t bytes;

static void empty(void) { bytes = (au_bytes_t)AU_BYTES_INIT; }
static void drop(void) { au_bytes_fini(&bytes); }

/* --- bytes ----------------------------------------------------------------*/

CASE("buffer", empty, drop);

TEST(puts_follow_each_other) {
  au_bytes_put_u8(&bytes, 1);
  au_bytes_put(&bytes, "\2\3\4\5\6\7\x8\x9\xA\xB\xC\xD\xE\xF", 14);
  au_bytes_put(&bytes, "\x10\x11", 2);
  au_bytes_put_string(&bytes, "\x12");
  ck_assert_uint_eq(bytes.size, 18);
  for (uint8_t i = 0; i < 18; i++)
    ck_assert_uint_eq(bytes.data[i], i + 1);
}

TEST(grows_and_keeps_what_it_holds) {
  for (unsigned i = 0; i < 100000; i++)
    au_bytes_put(&bytes, &i, sizeof(i));
  ck_assert(!bytes.failed);
  ck_assert_uint_eq(bytes.size, 400000);
  for (unsigned i = 0; i < 100000; i++)
    ck_assert_mem_eq(bytes.data + sizeof(i) * (size_t)i, &i, sizeof(i));
}

TEST(an_empty_put_changes_nothing) {
  au_bytes_put(&bytes, NULL, 0);
  au_bytes_put_string(&bytes, "");
  ck_assert_uint_eq(bytes.size, 0);
  ck_assert(!bytes.failed);
}

TEST(extend_returns_the_room_it_counted) {
  au_bytes_put_u8(&bytes, 'a');
  uint8_t *room = au_bytes_extend(&bytes, 3);
  ck_assert_ptr_eq(room, bytes.data + 1);
  memset(room, 'b', 3);
  ck_assert_str_eq(au_bytes_text(&bytes), "abbb");
}

TEST(printf_of_any_length) {
  char *expected = malloc(70000);
  ck_assert_ptr_nonnull(expected);
  for (int length = 0; length < 66000; length += length < 300 ? 1 : 997) {
    au_bytes_clear(&bytes, 0);
    au_bytes_printf(&bytes, "%*s|%d", length, "x", length);
    snprintf(expected, 70000, "%*s|%d", length, "x", length);
    ck_assert_str_eq(au_bytes_text(&bytes), expected);
    ck_assert_uint_eq(bytes.size, strlen(expected));
  }
  free(expected);
}

TEST(text_is_terminated_and_the_nul_not_counted) {
  ck_assert_str_eq(au_bytes_text(&bytes), "");
  for (int i = 0; i < 64; i++) /* up to a full buffer */
    au_bytes_put_u8(&bytes, 'x');
  ck_assert_uint_eq(strlen(au_bytes_text(&bytes)), 64);
  ck_assert_uint_eq(bytes.size, 64);
}

/* The smallest size that must fail, whatever the machine has. */
TEST(failure_is_sticky_until_cleared) {
  au_bytes_put_string(&bytes, "kept");
  ck_assert(!au_bytes_reserve(&bytes, PTRDIFF_MAX));
  ck_assert(bytes.failed);
  ck_assert(!au_bytes_reserve(&bytes, 0));
  ck_assert_ptr_null(au_bytes_extend(&bytes, 1));
  ck_assert_ptr_null(au_bytes_text(&bytes));
  au_bytes_put_string(&bytes, "lost");
  au_bytes_put_u8(&bytes, 1);
  au_bytes_printf(&bytes, "%d", 1);
  ck_assert_uint_eq(bytes.size, 4);
  ck_assert_mem_eq(bytes.data, "kept", 4);
  au_bytes_clear(&bytes, 1024);
  au_bytes_put_string(&bytes, "new");
  ck_assert_str_eq(au_bytes_text(&bytes), "new");
}

TEST(a_size_that_wraps_fails) {
  au_bytes_put_u8(&bytes, 1);
  ck_assert(!au_bytes_reserve(&bytes, SIZE_MAX));
  ck_assert(bytes.failed);
}

/* All the room there is, in few steps: each may move what is held. */
TEST(the_last_of_a_budget_is_taken_in_few_steps) {
  enum { ROOM = 300000 };
  au_budget_t budget = {.max = ROOM};
  au_account_t account = {.budget = &budget};
  bytes.account = &account;
  size_t capacity = 0;
  int steps = 0;
  while (!bytes.failed) {
    au_bytes_put_u8(&bytes, 'x');
    steps += bytes.capacity != capacity;
    capacity = bytes.capacity;
  }
  ck_assert_uint_eq(bytes.size, ROOM);
  ck_assert_uint_eq(budget.held, ROOM);
  ck_assert_int_lt(steps, 50);
  au_bytes_fini(&bytes); /* before its account ends */
  bytes.account = NULL;
  ck_assert_uint_eq(budget.held, 0);
}

TEST(clear_keeps_memory_up_to_a_bound) {
  (void)au_bytes_extend(&bytes, 1000);
  size_t capacity = bytes.capacity;
  au_bytes_clear(&bytes, capacity);
  ck_assert_uint_eq(bytes.capacity, capacity);
  ck_assert_uint_eq(bytes.size, 0);
  au_bytes_clear(&bytes, capacity - 1);
  ck_assert_uint_eq(bytes.capacity, 0);
  ck_assert_ptr_null(bytes.data);
}

/* --- clock ----------------------------------------------------------------*/

CASE("clock", NULL, NULL);

TEST(seconds_become_nanoseconds) {
  ck_assert_int_eq(au_clock_seconds_ns(0), 0);
  ck_assert_int_eq(au_clock_seconds_ns(0.1), 100000000);
  ck_assert_int_eq(au_clock_seconds_ns(30), INT64_C(30000000000));
  ck_assert_int_eq(au_clock_seconds_ns(-1), 0);
  ck_assert_int_eq(au_clock_seconds_ns((double)NAN), 0);
  /* Endless, and "now + endless" does not wrap. */
  int64_t endless = au_clock_seconds_ns(1e300);
  ck_assert_int_gt(endless, AU_NS_PER_S * 86400 * 365 * 100);
  ck_assert_int_gt(INT64_MAX - endless, au_clock_monotonic_ns());
}

TEST(a_deadline_is_split) {
  struct timespec t = au_clock_timespec(INT64_C(12345678901));
  ck_assert_int_eq(t.tv_sec, 12);
  ck_assert_int_eq(t.tv_nsec, 345678901);
  t = au_clock_timespec(-1);
  ck_assert_int_eq(t.tv_sec, 0);
  ck_assert_int_eq(t.tv_nsec, 0);
}

TEST(clocks_go_on) {
  int64_t before = au_clock_monotonic_ns();
  ck_assert_int_ge(au_clock_monotonic_ns(), before);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  ck_assert_int_ge(au_clock_wall_us() / AU_US_PER_S, now.tv_sec - 1);
}

/* --- log ------------------------------------------------------------------*/

static char line[2048];
static char type[64];
static int level;

static void take_line(au_log_level_t line_level, const char *text) {
  level = (int)line_level;
  snprintf(line, sizeof(line), "%s", text);
}

static void take_notice(au_severity_t severity, const char *what,
                        const char *message) {
  level = (int)severity;
  snprintf(type, sizeof(type), "%s", what);
  snprintf(line, sizeof(line), "%s", message);
}

static void set_sinks(void) {
  line[0] = type[0] = '\0';
  level = -1;
  au_log_set_sink(take_line);
  au_notify_set_sink(take_notice);
}

static void unset_sinks(void) {
  au_log_set_sink(NULL);
  au_notify_set_sink(NULL);
}

CASE("log", set_sinks, unset_sinks);

TEST(a_line_reaches_the_sink) {
  au_log(AU_LOG_NOTICE, "could not open \"%s\": %s", "a", "no such file");
  ck_assert_int_eq(level, AU_LOG_NOTICE);
  ck_assert_str_eq(line, "could not open \"a\": no such file");
}

TEST(a_line_is_one_line) {
  au_log(AU_LOG_ERROR, "%s", "first\nsecond\t\x01third\n\n");
  ck_assert_str_eq(line, "first second  third");
}

TEST(a_long_line_is_cut_between_characters) {
  char text[1200];
  for (size_t lead = 0; lead < 5; lead++) {
    memset(text, 'a', lead);
    for (size_t at = lead; at < 1100; at += 4)
      memcpy(text + at, "\xF0\x9F\x98\x80", 5);
    au_log(AU_LOG_INFO, "%s", text);
    size_t whole = (1000 - lead) / 4 * 4 + lead;
    ck_assert_uint_eq(strlen(line), whole);
    ck_assert_mem_eq(line, text, whole);
  }
  memset(text, 'b', 1100);
  text[1100] = '\0';
  au_log(AU_LOG_INFO, "%s", text);
  ck_assert_uint_eq(strlen(line), 1000);
}

TEST(a_notice_reaches_its_sink) {
  au_notify(AU_SEVERITY_OKAY, "circuit_breaker_state", "closed after %d s", 3);
  ck_assert_int_eq(level, AU_SEVERITY_OKAY);
  ck_assert_str_eq(type, "circuit_breaker_state");
  ck_assert_str_eq(line, "closed after 3 s");
  char text[400];
  memset(text, 'c', sizeof(text) - 1);
  text[sizeof(text) - 1] = '\0';
  au_notify(AU_SEVERITY_FAILURE, "x", "%s", text);
  ck_assert_uint_eq(strlen(line), 250);
}

TEST(without_a_sink_a_notice_goes_nowhere) {
  au_notify_set_sink(NULL);
  au_notify(AU_SEVERITY_OKAY, "x", "y");
  ck_assert_int_eq(level, -1);
}

int main(void) { return run_tests("bytes"); }
