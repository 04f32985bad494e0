/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/value.h"

#include "event/storable.h"

#include <string.h>

/* Kept from value to value. */
#define KEEP_BYTES ((size_t)32 << 10)

void au_value_charge(au_value_t *value, au_account_t *account) {
  value->json.account = account;
}

void au_value_fini(au_value_t *value) { au_bytes_fini(&value->json); }

void au_value_begin(au_value_t *value, size_t max) {
  au_bytes_clear(&value->json, KEEP_BYTES);
  value->max = max;
  value->keys = 0;
  value->depth = 0;
  value->level = 0;
  value->needs_comma = false;
  value->is_long = false;
}

/* Whether the next token is kept: all of it, so that "json" is longer than
 * "max" by no more than one token. */
static bool is_kept(au_value_t *value) {
  if (value->json.size > value->max)
    value->is_long = true;
  return !value->is_long;
}

/* After a token. */
static void end_token(au_value_t *value, bool needs_comma) {
  value->needs_comma = needs_comma;
  (void)is_kept(value);
}

static void put(au_value_t *value, const char *text, size_t size) {
  if (!is_kept(value))
    return;
  if (value->needs_comma)
    au_bytes_put_u8(&value->json, ',');
  au_bytes_put(&value->json, text, size);
}

static void put_text(au_value_t *value, const char *text, size_t size) {
  if (!is_kept(value))
    return;
  put(value, "\"", 1);
  au_storable_put_escaped(&value->json, text, size);
  au_bytes_put_u8(&value->json, '"');
}

void au_value_key(au_value_t *value, const char *text, size_t size) {
  value->keys++;
  put_text(value, text, size);
  value->needs_comma = false;
  put(value, ":", 1);
  end_token(value, false);
}

void au_value_string(au_value_t *value, const char *text, size_t size) {
  put_text(value, text, size);
  end_token(value, true);
}

void au_value_number(au_value_t *value, const char *text, size_t size) {
  if (au_storable_number(text, size) != AU_STORABLE) {
    au_value_string(value, text, size);
    return;
  }
  put(value, text, size);
  end_token(value, true);
}

void au_value_literal(au_value_t *value, const char *text) {
  put(value, text, strlen(text));
  end_token(value, true);
}

void au_value_open(au_value_t *value, char bracket) {
  if (++value->level > value->depth)
    value->depth = value->level;
  put(value, &bracket, 1);
  end_token(value, false);
}

void au_value_close(au_value_t *value, char bracket) {
  value->level--;
  value->needs_comma = false;
  put(value, &bracket, 1);
  end_token(value, true);
}
