/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * timestamp - the times of an event: text or number to microseconds since
 * 1970-01-01T00:00:00Z, and back to text. Pure; any thread.
 */
#ifndef AURORE_BASE_TIMESTAMP_H
#define AURORE_BASE_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether an event may have this time, in microseconds since 1970: that of the
 * years 1970 to 2100 (UTC). */
bool au_timestamp_is_valid(int64_t us);

/* Reads the "timestamp" of an event given as text: an ISO 8601 date or
 * date-time, or a Unix epoch in decimal digits (with a fraction or without).
 *
 * A date-time is YYYY-MM-DD, then T, t or a space, then HH:MM, HH:MM:SS or
 * HH:MM:SS with "." or "," and one to nine digits, then nothing (UTC), Z, z,
 * +HH, +HHMM or +HH:MM (or -). 24:00:00 is the next midnight, and second 60 is
 * the first of the next minute. An epoch below 1e11 is in seconds, below 1e14
 * in milliseconds, below 1e17 in microseconds, else in nanoseconds. What is
 * finer than a microsecond is cut, never rounded.
 *
 * false when it is neither, or outside the years 1970 to 2100 (UTC). */
bool au_timestamp_parse(const char *text, size_t size, int64_t *out_us);

/* The same for a JSON number, as it is written in the document (a fraction
 * and an exponent are allowed). */
bool au_timestamp_parse_number(const char *text, size_t size, int64_t *out_us);

#define AU_TIMESTAMP_TEXT_SIZE 25 /* "2026-11-24T08:24:26.123Z" and a NUL */

/* ISO 8601, UTC, milliseconds (cut, not rounded), for the years 0 to 9999; a
 * time outside them is written as the nearest one inside. */
void au_timestamp_format(int64_t us, char text[AU_TIMESTAMP_TEXT_SIZE]);

#define AU_TIMESTAMP_US_TEXT_SIZE                                              \
  28 /* "2026-11-24T08:24:26.123456Z", a NUL                                   \
      */

/* The same to the microsecond. */
void au_timestamp_format_us(int64_t us, char text[AU_TIMESTAMP_US_TEXT_SIZE]);

#endif
