/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * A backslash outside of a string is invalid JSON, and inside of one it begins
 * an escape. So the escapes are found from left to right, without knowing where
 * strings begin.
 */
#include "event/storable.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#define ESCAPE_SIZE 6 /* \uXXXX */

static const char nul_escape[ESCAPE_SIZE] = {'\\', 'u', '0', '0', '0', '0'};

/* numeric_in of PostgreSQL refuses an exponent of INT_MAX / 2 or more, even of
 * zero; this is well below, and far above what the digits allow. */
#define EXPONENT_MAX INT64_C(100000000)

au_unstorable_t au_storable_text(const char *text, size_t size,
                                 au_text_kind_t kind, ptrdiff_t *out_length) {
  if (kind == AU_TEXT_ASCII) {
    *out_length = (ptrdiff_t)size;
    return AU_STORABLE;
  }
  *out_length = au_utf8_length(text, size);
  if (*out_length < 0)
    return AU_UNSTORABLE_ENCODING;
  /* JSON has no control characters but by an escape. */
  if (kind == AU_TEXT_DECODED && size > 0 && memchr(text, 0, size) != NULL)
    return AU_UNSTORABLE_CHARACTER;
  return AU_STORABLE;
}

bool au_storable_is_text(const char *text, size_t size) {
  ptrdiff_t length = 0;
  return au_storable_text(text, size, AU_TEXT_DECODED, &length) == AU_STORABLE;
}

/* The bytes of a run of at most "*max" characters that can be stored; less are
 * left of "*max" after it. */
static size_t sound_run(const char *text, size_t size, size_t *max) {
  size_t at = 0;
  size_t left = *max;
  while (left > 0 && at < size && text[at] != '\0') {
    size_t sequence = au_utf8_sequence(text + at, size - at);
    if (sequence == 0)
      break;
    at += sequence;
    left--;
  }
  *max = left;
  return at;
}

static void put_replacement(au_bytes_t *to) {
  au_bytes_put_string(to, "\xEF\xBF\xBD"); /* U+FFFD */
}

bool au_storable_put_text(au_bytes_t *to, const char *text, size_t size,
                          size_t max) {
  size_t at = 0;
  while (at < size && max > 0) {
    size_t run = sound_run(text + at, size - at, &max);
    au_bytes_put(to, text + at, run);
    at += run;
    if (at == size || max == 0)
      break;
    put_replacement(to);
    at++;
    max--;
  }
  return at < size;
}

void au_storable_put_escaped(au_bytes_t *json, const char *text, size_t size) {
  size_t max = SIZE_MAX;
  for (size_t at = 0; at < size;) {
    size_t run = sound_run(text + at, size - at, &max);
    au_json_put_escaped(json, text + at, run);
    at += run;
    if (at == size)
      break;
    put_replacement(json);
    at++;
  }
}

/* --- numbers --------------------------------------------------------------*/

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The exponent that "text" (after the e) spells, held within +-EXPONENT_MAX
 * and one more. */
static int64_t read_exponent(const char *text, const char *end) {
  bool is_negative = text < end && *text == '-';
  int64_t exponent = 0;
  for (; text < end; text++)
    if (is_digit(*text) && exponent <= EXPONENT_MAX)
      exponent = exponent * 10 + (*text - '0');
  if (exponent > EXPONENT_MAX)
    exponent = EXPONENT_MAX + 1;
  return is_negative ? -exponent : exponent;
}

/* Short and without an exponent, as nearly all numbers are. */
static bool is_short(const char *text, size_t size) {
  if (size > 32)
    return false;
  for (size_t at = 0; at < size; at++)
    if (text[at] == 'e' || text[at] == 'E')
      return false;
  return true;
}

au_unstorable_t au_storable_number(const char *text, size_t size) {
  if (is_short(text, size))
    return AU_STORABLE;
  const char *end = text + size;
  const char *at = text;
  int64_t integer = 0;     /* digits before the point, leading zeros left out */
  int64_t zeros = 0;       /* between the point and the first other digit */
  int64_t decimals = 0;    /* digits after the point */
  bool is_zero = true;     /* so far */
  bool is_decimal = false; /* the point has been passed */
  for (; at < end && *at != 'e' && *at != 'E'; at++) {
    if (*at == '.')
      is_decimal = true;
    if (!is_digit(*at))
      continue;
    decimals += is_decimal ? 1 : 0;
    is_zero = is_zero && *at == '0';
    if (is_zero)
      zeros += is_decimal ? 1 : 0;
    else
      integer += is_decimal ? 0 : 1;
  }
  int64_t exponent = at < end ? read_exponent(at + 1, end) : 0;
  if (exponent > EXPONENT_MAX || exponent < -EXPONENT_MAX)
    return AU_UNSTORABLE_NUMBER;

  /* Now written out: the exponent moves the point. */
  integer = (integer > 0 ? integer : -zeros) + exponent;
  if (is_zero || integer < 1)
    integer = 1; /* the zero before the point */
  decimals = decimals > exponent ? decimals - exponent : 0;
  return integer + decimals > AU_NUMBER_MAX_DIGITS ? AU_UNSTORABLE_NUMBER
                                                   : AU_STORABLE;
}

/* --- surrogates -----------------------------------------------------------*/

/* The code of the \uXXXX that "at" starts with, or -1 when it is none. */
static int read_escape(const char *at, const char *end) {
  uint8_t code[2];
  if (end - at < ESCAPE_SIZE || at[0] != '\\' || at[1] != 'u' ||
      !au_hex_read(at + 2, code, sizeof(code)))
    return -1;
  return code[0] << 8 | code[1];
}

static bool is_high(int code) { return (code & 0xFC00) == 0xD800; }
static bool is_low(int code) { return code >= 0 && (code & 0xFC00) == 0xDC00; }

/* Bytes of the escape at "at", which is a backslash; "out_is_lone" tells
 * whether it is a lone surrogate. */
static ptrdiff_t measure_escape(const char *at, const char *end,
                                bool *out_is_lone) {
  int code = read_escape(at, end);
  *out_is_lone = false;
  if (code < 0)
    return end - at < 2 ? end - at : 2;
  if (is_high(code) && is_low(read_escape(at + ESCAPE_SIZE, end)))
    return (ptrdiff_t)2 * ESCAPE_SIZE;
  *out_is_lone = is_high(code) || is_low(code);
  return ESCAPE_SIZE;
}

const char *au_storable_find_surrogate(const char *at, const char *end) {
  while (at < end) {
    at = memchr(at, '\\', (size_t)(end - at));
    if (at == NULL)
      return NULL;
    bool is_lone = false;
    ptrdiff_t size = measure_escape(at, end, &is_lone);
    if (is_lone)
      return at;
    at += size;
  }
  return NULL;
}

bool au_storable_mark_surrogates(const char *json, size_t size,
                                 au_bytes_t *out_copy) {
  out_copy->size = 0;
  const char *end = json + size;
  const char *lone = size > 0 ? au_storable_find_surrogate(json, end) : NULL;
  if (lone == NULL)
    return true;
  au_bytes_put(out_copy, json, size);
  if (out_copy->failed)
    return false;
  for (; lone != NULL;
       lone = au_storable_find_surrogate(lone + ESCAPE_SIZE, end))
    memcpy(out_copy->data + (lone - json), nul_escape, ESCAPE_SIZE);
  return true;
}
