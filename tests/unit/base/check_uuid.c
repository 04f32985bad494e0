/* SPDX-License-Identifier: MIT
 *
 * check_uuid - ids and times.
 */
#include "event/event.h"

#include "base/clock.h"
#include "base/timestamp.h"
#include "support/suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- ids ------------------------------------------------------------------*/

/* What grows: 48 bits of milliseconds and 12 bits below them. */
static uint64_t tick_of(const au_uuid_t *uuid) {
  uint64_t tick = 0;
  for (int i = 0; i < 6; i++)
    tick = tick << 8 | uuid->byte[i];
  return tick << 12 | (uuid->byte[6] & 0x0FU) << 8 | uuid->byte[7];
}

static void assert_version(const au_uuid_t *uuid, unsigned version) {
  ck_assert_uint_eq(uuid->byte[6] >> 4, version);
  ck_assert_uint_eq(uuid->byte[8] >> 6, 2); /* the variant of the RFC */
}

CASE("ids", NULL, NULL);

TEST(v7_says_its_time) {
  int64_t before = au_clock_wall_us();
  au_uuid_t uuid = au_uuid_v7();
  int64_t after = au_clock_wall_us();
  assert_version(&uuid, 7);
  uint64_t tick = tick_of(&uuid);
  ck_assert_int_ge((int64_t)(tick >> 12), before / 1000);
  ck_assert_int_le((int64_t)(tick >> 12), after / 1000);
  /* The 12 bits are the part of the millisecond, to the microsecond. */
  int64_t us = (int64_t)((tick >> 12) * 1000 + (tick & 0xFFF) * 1000 / 4096);
  ck_assert_int_ge(us, before - 1);
  ck_assert_int_le(us, after + 1);
}

/* Far more than the clock has ticks for, so that many fall into one tick. */
TEST(v7_grows_strictly) {
  uint64_t last = 0;
  int wrong = 0;
  for (int i = 0; i < 300000; i++) {
    au_uuid_t uuid = au_uuid_v7();
    wrong += tick_of(&uuid) <= last || uuid.byte[6] >> 4 != 7;
    last = tick_of(&uuid);
  }
  ck_assert_int_eq(wrong, 0);
}

#define THREADS 8
#define IDS 20000

static uint64_t ticks[THREADS][IDS];

static void *make_ids(void *argument) {
  uint64_t *mine = argument;
  for (int i = 0; i < IDS; i++) {
    au_uuid_t uuid = au_uuid_v7();
    mine[i] = tick_of(&uuid);
  }
  return NULL;
}

static int compare_ticks(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left;
  uint64_t b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

TEST(v7_grows_strictly_over_all_threads) {
  pthread_t thread[THREADS];
  for (int t = 0; t < THREADS; t++)
    ck_assert_int_eq(pthread_create(&thread[t], NULL, make_ids, ticks[t]), 0);
  for (int t = 0; t < THREADS; t++)
    ck_assert_int_eq(pthread_join(thread[t], NULL), 0);
  size_t wrong = 0;
  for (int t = 0; t < THREADS; t++)
    for (int i = 1; i < IDS; i++)
      wrong += ticks[t][i] <= ticks[t][i - 1];
  ck_assert_uint_eq(wrong, 0);
  qsort(ticks, (size_t)THREADS * IDS, sizeof(uint64_t), compare_ticks);
  const uint64_t *all = &ticks[0][0];
  for (size_t i = 1; i < (size_t)THREADS * IDS; i++)
    wrong += all[i] == all[i - 1];
  ck_assert_uint_eq(wrong, 0);
}

static int compare_uuids(const void *left, const void *right) {
  return memcmp(left, right, sizeof(au_uuid_t));
}

TEST(random_bits_are_random) {
  enum { COUNT = 20000 };
  static au_uuid_t uuid[COUNT];
  unsigned ones[128] = {0};
  for (int i = 0; i < COUNT; i++) {
    uuid[i] = au_uuid_v4();
    assert_version(&uuid[i], 4);
    for (int bit = 0; bit < 128; bit++)
      ones[bit] += ((unsigned)uuid[i].byte[bit / 8] >> (7 - bit % 8)) & 1U;
  }
  for (int bit = 0; bit < 128; bit++) {
    if ((bit >= 48 && bit < 52) || bit == 64 || bit == 65)
      continue; /* version and variant */
    /* Seven standard deviations: once in some hundred thousand million runs. */
    ck_assert_uint_gt(ones[bit], COUNT / 2 - 495);
    ck_assert_uint_lt(ones[bit], COUNT / 2 + 495);
  }
  qsort(uuid, COUNT, sizeof(uuid[0]), compare_uuids);
  for (int i = 1; i < COUNT; i++)
    ck_assert_mem_ne(&uuid[i], &uuid[i - 1], sizeof(uuid[0]));
}

TEST(a_child_draws_its_own) {
  (void)au_uuid_v4(); /* a pool is there */
  int ends[2];
  ck_assert_int_eq(pipe(ends), 0);
  pid_t child = fork();
  ck_assert_int_ne(child, -1);
  if (child == 0) {
    au_uuid_t uuid = au_uuid_v4();
    _exit(write(ends[1], &uuid, sizeof(uuid)) == sizeof(uuid) ? 0 : 1);
  }
  au_uuid_t mine = au_uuid_v4();
  au_uuid_t theirs;
  ck_assert_int_eq(read(ends[0], &theirs, sizeof(theirs)), sizeof(theirs));
  ck_assert_mem_ne(&mine, &theirs, sizeof(mine));
  int status = 0;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  ck_assert_int_eq(status, 0);
  close(ends[0]);
  close(ends[1]);
}

TEST(text_and_back) {
  au_uuid_t uuid = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xFE, 0xDC,
                     0xBA, 0x98, 0x76, 0x54, 0x32, 0x10}};
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(&uuid, text);
  ck_assert_str_eq(text, "01234567-89ab-cdef-fedc-ba9876543210");
  au_uuid_t again;
  ck_assert(au_uuid_parse(text, 36, &again));
  ck_assert_mem_eq(&again, &uuid, sizeof(uuid));
  ck_assert(au_uuid_parse("01234567-89AB-CDEF-FEDC-BA9876543210", 36, &again));
  ck_assert_mem_eq(&again, &uuid, sizeof(uuid));
}

TEST(what_is_no_uuid) {
  static const char *const texts[] = {
      "",
      "01234567-89ab-cdef-fedc-ba987654321",
      "01234567-89ab-cdef-fedc-ba98765432100",
      "01234567089ab-cdef-fedc-ba9876543210",
      "01234567-89ab-cdef-fedc0ba9876543210",
      "0123456789abcdeffedcba9876543210",
      "{01234567-89ab-cdef-fedc-ba98765432}",
      "g1234567-89ab-cdef-fedc-ba9876543210",
      "01234567-89ab-cdef-fedc-ba987654321G",
      "01234567-89ab-cdef-fedc-ba987654321:",
      "01234567-89ab-cdef-fedc-ba9876543 10",
  };
  au_uuid_t uuid;
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
    ck_assert_msg(!au_uuid_parse(texts[i], strlen(texts[i]), &uuid), "%s",
                  texts[i]);
}

/* --- times ----------------------------------------------------------------*/

#define S INT64_C(1000000)
#define NOON (INT64_C(1767355200) * S) /* 2026-01-02T12:00:00Z */
#define END (INT64_C(4133980800) * S)  /* 2101-01-01T00:00:00Z */

static const struct {
  const char *text;
  int64_t us; /* -1: refused */
} texts[] = {
    {"2026-01-02T12:00:00Z", NOON},
    {"2026-01-02t12:00:00z", NOON},
    {"2026-01-02 12:00:00", NOON},
    {"2026-01-02T12:00", NOON},
    {"2026-01-02T12:00Z", NOON},
    {"2026-01-02T12:00+00", NOON},
    {"2026-01-02T12:00:00+00:00", NOON},
    {"2026-01-02T12:00:00-00:00", NOON},
    {"2026-01-02T13:30:00+01:30", NOON},
    {"2026-01-02T13:30:00+0130", NOON},
    {"2026-01-02T07:00:00-05", NOON},
    {"2026-01-01T12:01:00-23:59", NOON},
    {"2026-01-03T11:59:00+23:59", NOON},
    {"2026-01-02", NOON - 43200 * S},
    {"2026-01-01T24:00:00", NOON - 43200 * S},
    {"2026-01-01T24:00", NOON - 43200 * S},
    {"2026-01-01T24:00:00.000Z", NOON - 43200 * S},
    {"2026-01-02T11:59:60Z", NOON},
    {"2026-01-02T11:59:60.5Z", NOON + S / 2},
    {"2016-12-31T23:59:60Z", INT64_C(1483228800) * S},
    {"2026-01-02T12:00:00.1Z", NOON + 100000},
    {"2026-01-02T12:00:00,25Z", NOON + 250000},
    {"2026-01-02T12:00:00.123456", NOON + 123456},
    {"2026-01-02T12:00:00.123456789Z", NOON + 123456},
    {"2026-01-02T12:00:00.999999999Z", NOON + 999999},
    {"2026-01-02T12:00:00.000000001Z", NOON},
    {"2026-01-02T12:00:00.123+02:00", NOON + 123000 - 7200 * S},
    /* the borders, by instant */
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01", 0},
    {"1969-12-31T19:00:00-05:00", 0},
    {"1969-12-31T23:59:60Z", 0},
    {"2100-12-31T23:59:59.999999999Z", END - 1},
    {"2101-01-01T00:59:59.999999+01:00", END - 1},
    {"1969-12-31T23:59:59.999999Z", -1},
    {"1970-01-01T00:59:59+01:00", -1},
    {"2101-01-01T00:00:00Z", -1},
    {"2100-12-31T24:00:00Z", -1},
    {"2100-12-31T23:00:00-01:00", -1},
    {"2100-12-31T23:59:60Z", -1},
    {"0000-01-01", -1},
    {"9999-12-31T23:59:59Z", -1},
    /* the calendar */
    {"2024-02-29", INT64_C(1709164800) * S},
    {"2000-02-29", INT64_C(951782400) * S},
    {"2023-02-29", -1},
    {"2100-02-29", -1},
    {"2024-02-30", -1},
    {"2024-04-31", -1},
    {"2024-00-01", -1},
    {"2024-13-01", -1},
    {"2024-01-00", -1},
    {"2024-01-32", -1},
    /* the forms */
    {"", -1},
    {" ", -1},
    {"now", -1},
    {"2026", 2026 * S}, /* digits alone are an epoch */
    {"2026-01", -1},
    {"2026-1-2", -1},
    {"26-01-02", -1},
    {"20260102T120000Z", -1},
    {"2026-01-02T", -1},
    {"2026-01-02Z", -1},
    {"2026-01-02T12", -1},
    {"2026-01-02T12Z", -1},
    {"2026-01-02T12:0", -1},
    {"2026-01-02T12:00:", -1},
    {"2026-01-02T12:00:0", -1},
    {"2026-01-02T12:00:00.", -1},
    {"2026-01-02T12:00:00.Z", -1},
    {"2026-01-02T12:00:00.1234567890Z", -1},
    {"2026-01-02T12:00:00;5Z", -1},
    {"2026-01-02T25:00:00Z", -1},
    {"2026-01-02T24:00:01Z", -1},
    {"2026-01-02T24:01:00Z", -1},
    {"2026-01-02T24:00:00.000000001Z", -1},
    {"2026-01-02T24:00:60Z", -1},
    {"2026-01-02T12:60:00Z", -1},
    {"2026-01-02T12:00:61Z", -1},
    {"2026-01-02T12:00:00Zz", -1},
    {"2026-01-02T12:00:00 Z", -1},
    {"2026-01-02T12:00:00+", -1},
    {"2026-01-02T12:00:00+1", -1},
    {"2026-01-02T12:00:00+010", -1},
    {"2026-01-02T12:00:00+01:", -1},
    {"2026-01-02T12:00:00+01:0", -1},
    {"2026-01-02T12:00:00+01:000", -1},
    {"2026-01-02T12:00:00+24:00", -1},
    {"2026-01-02T12:00:00+00:60", -1},
    {"2026-01-02T12:00:00UTC", -1},
    {"2026-01-02  12:00:00", -1},
    {" 2026-01-02T12:00:00Z", -1},
    {"2026-01-02T12:00:00Z ", -1},
    {"+2026-01-02T12:00:00Z", -1},
    {"2026-W01-5", -1},
    {"2026-002", -1},
    {"Fri, 02 Jan 2026 12:00:00 GMT", -1},
    /* epochs */
    {"0", 0},
    {"1767355200", NOON},
    {"1767355200000", NOON},
    {"1767355200.123456789", NOON + 123456},
    {"1767355200.9999999", NOON + 999999},
    {"1767355200123.4567", NOON + 123456},
    {"1767355200000.0009", NOON},
    {"0001767355200", NOON},
    {"0.0000001", 0},
    {"4133980799", END - S},
    {"4133980799.999999999", END - 1},
    {"4133980799999.999999", END - 1},
    {"4133980800", -1}, /* seconds of 2101 */
    {"99999999999", -1},
    {"99999999999.999999", -1},
    {"100000000000", INT64_C(100000000) * S}, /* milliseconds, 1973 */
    {"4133980800000", -1},
    {"4133980799999999", END - 1}, /* microseconds */
    {"1767355200000000", NOON},
    {"1767355200123456.9", NOON + 123456},
    {"99999999999999", -1}, /* the last millisecond */
    {"100000000000000",
     INT64_C(100000000) * S},  /* the first microsecond, 1973 */
    {"4133980800000000", -1},  /* microseconds of 2101 */
    {"99999999999999999", -1}, /* the last one */
    {"100000000000000000",
     INT64_C(100000000) * S}, /* the first nanosecond, 1973 */
    {"1767355200123456789", NOON + 123456},
    {"1767355200123456999.99", NOON + 123456},
    {"4133980799999999999", END - 1},
    {"4133980800000000000", -1},
    {"9223372036854775808", -1},
    {"18446744073709551616", -1},
    {"99999999999999999999999999", -1},
    {"-1", -1},
    {"-0", -1},
    {"+1", -1},
    {"1.", -1},
    {".5", -1},
    {"1.5.5", -1},
    {"1,5", -1},
    {"1e9", -1}, /* no exponent in a text */
    {"0x10", -1},
    {"1 ", -1},
    {"1_000", -1},
    {"\xD9\xA1\xD9\xA2", -1}, /* digits, but not ours */
};

CASE("times", NULL, NULL);

TEST_EACH(text_times, COUNT_OF(texts)) {
  const char *text = texts[_i].text;
  /* A copy of its very size: memory checkers see a step too far. */
  size_t size = strlen(text);
  char *copy = malloc(size);
  ck_assert(copy != NULL || size == 0);
  for (size_t at = 0; at < size; at++)
    copy[at] = text[at];
  int64_t us = -1;
  bool is_time = au_timestamp_parse(copy, size, &us);
  free(copy);
  ck_assert_msg(is_time == (texts[_i].us != -1), "\"%s\"", text);
  if (is_time)
    ck_assert_msg(us == texts[_i].us, "\"%s\" is %lld", text, (long long)us);
}

TEST(a_nul_inside_is_no_time) {
  int64_t us = 0;
  ck_assert(!au_timestamp_parse("2026-01-02\0", 11, &us));
  ck_assert(!au_timestamp_parse("1\0", 2, &us));
}

static const struct {
  const char *text;
  int64_t us;
} numbers[] = {
    {"0", 0},
    {"-0", 0},
    {"-0.0e5", 0},
    {"1767355200", NOON},
    {"1767355200000", NOON},
    {"1767355200.123456789", NOON + 123456},
    {"1.7673552e9", NOON},
    {"1.7673552E+9", NOON},
    {"17673552e2", NOON},
    {"1767355200000e-3", NOON},
    {"1767355200000e0", NOON},
    {"1.7673552e12", NOON},
    {"1.767355200123456789e9", NOON + 123456},
    {"1767355200999999999e-9", NOON + 999999},
    {"0.00000000000000000000017673552e31", NOON},
    {"0e999999999999999999999999", 0},
    {"0.000e-99999999999999999999", 0},
    {"1e-400", 0},
    {"1e-99999999999999999999", 0},
    {"1e0", S},
    {"1e11", INT64_C(100000000) * S},
    {"9.9999999999e10", -1},
    {"1e13", -1},
    {"1.767355200123456789e18", NOON + 123456},
    {"1.7673552e15", NOON},
    {"1e14", INT64_C(100000000) * S},
    {"1e17", INT64_C(100000000) * S},
    {"1e19", -1},
    {"0.99999999999999999e17", -1},
    {"1767355200123456789e0", NOON + 123456},
    {"1767355200123456789000e-3", NOON + 123456},
    {"1e400", -1},
    {"1e99999999999999999999", -1},
    {"-1", -1},
    {"-1e-9", -1},
    {"-0.1", -1},
    {"1e", -1},
    {"1e+", -1},
    {"e1", -1},
    {"1.e1", -1},
    {"--1", -1},
    {"+1", -1},
    {"", -1},
    {"-", -1},
    {"NaN", -1},
};

TEST_EACH(number_times, COUNT_OF(numbers)) {
  const char *text = numbers[_i].text;
  int64_t us = -1;
  bool is_time = au_timestamp_parse_number(text, strlen(text), &us);
  ck_assert_msg(is_time == (numbers[_i].us != -1), "%s", text);
  if (is_time)
    ck_assert_msg(us == numbers[_i].us, "%s is %lld", text, (long long)us);
}

TEST(a_million_digits_end) {
  enum { SIZE = 1000000 };
  char *text = malloc(SIZE + 20);
  ck_assert_ptr_nonnull(text);
  memset(text, '0', SIZE);
  text[0] = '1';
  int64_t us = 0;
  ck_assert(!au_timestamp_parse(text, SIZE, &us));
  strcpy(text + SIZE, "e-999990"); /* 1e9 */
  ck_assert(au_timestamp_parse_number(text, SIZE + 8, &us));
  ck_assert_int_eq(us, INT64_C(1000000000) * S);
  text[0] = '0';
  text[1] = '.';
  ck_assert(au_timestamp_parse(text, SIZE, &us));
  ck_assert_int_eq(us, 0);
  free(text);
}

/* Every day there is, against the C library. */
TEST(every_day_and_back) {
  int64_t day = 0;
  for (; day * 86400 * S < END; day++) {
    time_t second = (time_t)(day * 86400 + (day * 7919) % 86400);
    struct tm tm;
    ck_assert_ptr_nonnull(gmtime_r(&second, &tm));
    char expected[64];
    snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
             tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
             tm.tm_min, tm.tm_sec, (int)(day % 1000));
    int64_t us = second * S + day % 1000 * 1000;
    char text[AU_TIMESTAMP_TEXT_SIZE];
    au_timestamp_format(us + day % 1000, text); /* cut to the millisecond */
    int64_t again = 0;
    if (strcmp(text, expected) != 0 ||
        !au_timestamp_parse(text, strlen(text), &again) || again != us)
      ck_abort_msg("%s is %s and %lld", expected, text, (long long)again);
  }
  ck_assert_int_eq(day, 47847);
}

static const struct {
  int64_t us;
  const char *text;
} formats[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {-1, "1969-12-31T23:59:59.999Z"},
    {-86400 * S, "1969-12-31T00:00:00.000Z"},
    {999, "1970-01-01T00:00:00.000Z"},
    {999999, "1970-01-01T00:00:00.999Z"},
    {NOON + 123999, "2026-01-02T12:00:00.123Z"},
    {INT64_C(-62167219200) * S, "0000-01-01T00:00:00.000Z"},
    {INT64_C(-62162208000) * S, "0000-02-28T00:00:00.000Z"},
    {INT64_C(-62162121600) * S, "0000-02-29T00:00:00.000Z"},
    {INT64_C(253402300800) * S - 1, "9999-12-31T23:59:59.999Z"},
    {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    {INT64_MAX, "9999-12-31T23:59:59.999Z"},
};

TEST_EACH(formats_of_all_years, COUNT_OF(formats)) {
  char text[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(formats[_i].us, text);
  ck_assert_str_eq(text, formats[_i].text);
}

int main(void) { return run_tests("event"); }
