/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * All of it is integer arithmetic: a double would round what must be cut.
 *
 * The calendar is the proleptic Gregorian one. Its conversions count in years
 * that begin in March, so that the leap day is the last of a year, and in eras
 * of 400 years, which all have the same number of days.
 */
#include "base/timestamp.h"

#include "base/clock.h"

#define DAYS_PER_ERA 146097 /* 400 years */
#define EPOCH_DAYS 719468   /* 0000-03-01 to 1970-01-01 */
#define FIRST_DAY (-719528) /* 0000-01-01 */
#define LAST_DAY 2932896    /* 9999-12-31 */

/* 2101-01-01T00:00:00Z, the first instant that is too late. */
#define END_US (INT64_C(4133980800) * AU_US_PER_S)

/* An epoch from these numbers on is in milliseconds, microseconds and
 * nanoseconds. */
#define EPOCH_MS_FROM UINT64_C(100000000000)
#define EPOCH_US_FROM UINT64_C(100000000000000)
#define EPOCH_NS_FROM UINT64_C(100000000000000000)

/* The times that are read have no digit above this place: END_US * 1000. */
#define PLACE_MAX 18

/* Beyond any place that matters, and far from the end of int64_t. */
#define EXPONENT_MAX INT64_C(1000000000000)

bool au_timestamp_is_valid(int64_t us) { return us >= 0 && us < END_US; }

/* --- calendar -------------------------------------------------------------*/

static bool is_leap(int year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int month_days(int year, int month) {
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01 to a date of the years 0 to 9999. */
static int64_t days_of_date(int year, int month, int day) {
  int march_year = month <= 2 ? year - 1 : year;
  int era = (march_year >= 0 ? march_year : march_year - 399) / 400;
  int year_of_era = march_year - era * 400;
  int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;
  int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
                   day_of_year + day - 1;
  return (int64_t)era * DAYS_PER_ERA + day_of_era - EPOCH_DAYS;
}

static void date_of_days(int64_t days, int *year, int *month, int *day) {
  int64_t shifted = days + EPOCH_DAYS;
  int64_t era =
      (shifted >= 0 ? shifted : shifted - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
  int day_of_era = (int)(shifted - era * DAYS_PER_ERA);
  int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
                     day_of_era / 146096) /
                    365;
  int day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int march_month = (5 * day_of_year + 2) / 153;
  *day = day_of_year - (153 * march_month + 2) / 5 + 1;
  *month = march_month < 10 ? march_month + 3 : march_month - 9;
  *year = (int)(year_of_era + era * 400) + (*month <= 2 ? 1 : 0);
}

/* --- ISO 8601 -------------------------------------------------------------*/

/* What is left of a text that is read from left to right. */
typedef struct cursor {
  const char *at;
  const char *end;
} cursor_t;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Reads exactly "count" digits. */
static bool take_digits(cursor_t *cursor, int count, int *out_value) {
  if (cursor->end - cursor->at < count)
    return false;
  int value = 0;
  for (int i = 0; i < count; i++) {
    if (!is_digit(cursor->at[i]))
      return false;
    value = value * 10 + (cursor->at[i] - '0');
  }
  cursor->at += count;
  *out_value = value;
  return true;
}

/* Reads "c" if it comes next. */
static bool take_char(cursor_t *cursor, char c) {
  if (cursor->at == cursor->end || *cursor->at != c)
    return false;
  cursor->at++;
  return true;
}

static bool take_date(cursor_t *cursor, int64_t *out_days) {
  int year = 0;
  int month = 0;
  int day = 0;
  if (!take_digits(cursor, 4, &year) || !take_char(cursor, '-') ||
      !take_digits(cursor, 2, &month) || !take_char(cursor, '-') ||
      !take_digits(cursor, 2, &day))
    return false;
  if (month < 1 || month > 12 || day < 1 || day > month_days(year, month))
    return false;
  *out_days = days_of_date(year, month, day);
  return true;
}

/* One to nine digits after "." or ",", cut to microseconds; "out_rest": whether
 * any of them was not zero. */
static bool take_fraction(cursor_t *cursor, int64_t *out_us, bool *out_rest) {
  int count = 0;
  int64_t us = 0;
  bool rest = false;
  for (; cursor->at < cursor->end && is_digit(*cursor->at); cursor->at++) {
    if (++count > 9)
      return false;
    rest = rest || *cursor->at != '0';
    if (count <= 6)
      us = us * 10 + (*cursor->at - '0');
  }
  if (count == 0)
    return false;
  for (; count < 6; count++)
    us *= 10;
  *out_us = us;
  *out_rest = rest;
  return true;
}

/* HH:MM, HH:MM:SS, HH:MM:SS.fraction as microseconds of the day; a day's
 * length (24:00) and a little more (second 60) are possible. */
static bool take_time(cursor_t *cursor, int64_t *out_us) {
  int hour = 0;
  int minute = 0;
  int second = 0;
  int64_t fraction_us = 0;
  bool rest = false;
  if (!take_digits(cursor, 2, &hour) || !take_char(cursor, ':') ||
      !take_digits(cursor, 2, &minute))
    return false;
  if (take_char(cursor, ':')) {
    if (!take_digits(cursor, 2, &second))
      return false;
    if ((take_char(cursor, '.') || take_char(cursor, ',')) &&
        !take_fraction(cursor, &fraction_us, &rest))
      return false;
  }
  if (hour > 24 || minute > 59 || second > 60)
    return false;
  if (hour == 24 && (minute != 0 || second != 0 || rest))
    return false;
  *out_us =
      (hour * INT64_C(3600) + minute * INT64_C(60) + second) * AU_US_PER_S +
      fraction_us;
  return true;
}

/* Nothing, Z, +HH, +HHMM or +HH:MM, as seconds east of UTC. */
static bool take_offset(cursor_t *cursor, int64_t *out_s) {
  *out_s = 0;
  if (cursor->at == cursor->end || take_char(cursor, 'Z') ||
      take_char(cursor, 'z'))
    return true;
  bool is_west = take_char(cursor, '-');
  if (!is_west && !take_char(cursor, '+'))
    return false;
  int hour = 0;
  int minute = 0;
  if (!take_digits(cursor, 2, &hour))
    return false;
  bool has_colon = take_char(cursor, ':');
  if ((has_colon || cursor->at != cursor->end) &&
      !take_digits(cursor, 2, &minute))
    return false;
  if (hour > 23 || minute > 59)
    return false;
  int64_t offset_s = hour * INT64_C(3600) + minute * INT64_C(60);
  *out_s = is_west ? -offset_s : offset_s;
  return true;
}

static bool parse_iso(const char *text, size_t size, int64_t *out_us) {
  cursor_t cursor = {.at = text, .end = text + size};
  int64_t days = 0;
  int64_t time_us = 0;
  int64_t offset_s = 0;
  if (!take_date(&cursor, &days))
    return false;
  if (cursor.at != cursor.end) {
    if (!take_char(&cursor, 'T') && !take_char(&cursor, 't') &&
        !take_char(&cursor, ' '))
      return false;
    if (!take_time(&cursor, &time_us) || !take_offset(&cursor, &offset_s) ||
        cursor.at != cursor.end)
      return false;
  }
  int64_t us = days * AU_US_PER_DAY + time_us - offset_s * AU_US_PER_S;
  if (!au_timestamp_is_valid(us))
    return false;
  *out_us = us;
  return true;
}

/* --- epoch ----------------------------------------------------------------*/

/* The digits of a decimal number: "integer" of them are before the point,
 * which is not counted; then the exponent moves the point. */
typedef struct decimal {
  const char *digits; /* with the point among them, if there is one */
  size_t size;
  int64_t integer;
  int64_t exponent;
  bool is_negative;
} decimal_t;

static size_t count_digits(const cursor_t *cursor) {
  const char *at = cursor->at;
  while (at < cursor->end && is_digit(*at))
    at++;
  return (size_t)(at - cursor->at);
}

/* Digits, perhaps with a fraction. */
static bool take_plain(cursor_t *cursor, decimal_t *out) {
  out->digits = cursor->at;
  size_t count = count_digits(cursor);
  if (count == 0)
    return false;
  out->integer = (int64_t)count;
  cursor->at += count;
  if (take_char(cursor, '.')) {
    count = count_digits(cursor);
    if (count == 0)
      return false;
    cursor->at += count;
  }
  out->size = (size_t)(cursor->at - out->digits);
  return true;
}

/* Nothing, or an e and digits, perhaps with a sign. */
static bool take_exponent(cursor_t *cursor, int64_t *out_exponent) {
  *out_exponent = 0;
  if (!take_char(cursor, 'e') && !take_char(cursor, 'E'))
    return true;
  bool is_negative = take_char(cursor, '-');
  if (!is_negative)
    (void)take_char(cursor, '+');
  size_t count = count_digits(cursor);
  int64_t exponent = 0;
  for (size_t i = 0; i < count; i++)
    if (exponent < EXPONENT_MAX)
      exponent = exponent * 10 + (cursor->at[i] - '0');
  cursor->at += count;
  *out_exponent = is_negative ? -exponent : exponent;
  return count > 0;
}

/* The value without the digits below the power of ten "last", in units of that,
 * cut; false when it is too large to be a time. The caller sees to it that it
 * has no digit 18 places above "last". */
static bool take_places(const decimal_t *number, int64_t last,
                        uint64_t *out_value) {
  int64_t place = number->integer + number->exponent - 1; /* power of ten */
  uint64_t value = 0;
  int64_t added = last; /* the place of the last digit in "value" */
  for (size_t i = 0; i < number->size && place >= last; i++) {
    char c = number->digits[i];
    if (c == '.')
      continue;
    if (c != '0' && place > PLACE_MAX)
      return false;
    if (place <= PLACE_MAX)
      value = value * 10 + (uint64_t)(c - '0');
    added = place--;
  }
  /* The digits ended before the last place: the rest is zeros. */
  if (value != 0)
    for (; added > last; added--)
      value *= 10;
  *out_value = value;
  return true;
}

static bool parse_epoch(const decimal_t *number, int64_t *out_us) {
  uint64_t whole = 0;
  uint64_t us = 0;
  if (!take_places(number, 0, &whole))
    return false;
  int64_t last = whole < EPOCH_MS_FROM   ? -6
                 : whole < EPOCH_US_FROM ? -3
                 : whole < EPOCH_NS_FROM ? 0
                                         : 3;
  if (!take_places(number, last, &us))
    return false;
  *out_us = (int64_t)us;
  return au_timestamp_is_valid(*out_us);
}

static bool is_zero(const decimal_t *number) {
  for (size_t i = 0; i < number->size; i++)
    if (number->digits[i] != '0' && number->digits[i] != '.')
      return false;
  return true;
}

bool au_timestamp_parse(const char *text, size_t size, int64_t *out_us) {
  if (size >= 10 && text[4] == '-')
    return parse_iso(text, size, out_us);
  cursor_t cursor = {.at = text, .end = text + size};
  decimal_t number = {.exponent = 0};
  return take_plain(&cursor, &number) && cursor.at == cursor.end &&
         parse_epoch(&number, out_us);
}

bool au_timestamp_parse_number(const char *text, size_t size, int64_t *out_us) {
  cursor_t cursor = {.at = text, .end = text + size};
  decimal_t number = {.is_negative = take_char(&cursor, '-')};
  if (!take_plain(&cursor, &number) ||
      !take_exponent(&cursor, &number.exponent) || cursor.at != cursor.end)
    return false;
  if (number.is_negative && !is_zero(&number))
    return false;
  return parse_epoch(&number, out_us);
}

/* --- text -----------------------------------------------------------------*/

static char *put_digits(char *to, int value, int count) {
  for (int i = count - 1; i >= 0; i--) {
    to[i] = (char)('0' + value % 10);
    value /= 10;
  }
  return to + count;
}

/* With "digits" digits of the second's fraction, of six; the rest is cut. */
static void format(int64_t us, int digits, char *text) {
  if (us < FIRST_DAY * AU_US_PER_DAY)
    us = FIRST_DAY * AU_US_PER_DAY;
  if (us >= (LAST_DAY + 1) * AU_US_PER_DAY)
    us = (LAST_DAY + 1) * AU_US_PER_DAY - 1;
  int64_t days = us / AU_US_PER_DAY;
  int64_t rest_us = us % AU_US_PER_DAY;
  if (rest_us < 0) { /* before 1970: down, not towards it */
    rest_us += AU_US_PER_DAY;
    days--;
  }
  int year = 0;
  int month = 0;
  int day = 0;
  date_of_days(days, &year, &month, &day);
  int seconds = (int)(rest_us / AU_US_PER_S);
  int fraction = (int)(rest_us % AU_US_PER_S);
  for (int i = digits; i < 6; i++)
    fraction /= 10;
  const struct {
    int value;
    int digits;
    char after;
  } part[] = {{year, 4, '-'},
              {month, 2, '-'},
              {day, 2, 'T'},
              {seconds / 3600, 2, ':'},
              {seconds / 60 % 60, 2, ':'},
              {seconds % 60, 2, '.'},
              {fraction, digits, 'Z'}};
  for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
    text = put_digits(text, part[i].value, part[i].digits);
    *text++ = part[i].after;
  }
  *text = '\0';
}

void au_timestamp_format(int64_t us, char text[AU_TIMESTAMP_TEXT_SIZE]) {
  format(us, 3, text);
}

void au_timestamp_format_us(int64_t us, char text[AU_TIMESTAMP_US_TEXT_SIZE]) {
  format(us, 6, text);
}
