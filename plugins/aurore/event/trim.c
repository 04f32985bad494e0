/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * What is put ends with room for the brackets that are still to be closed, and
 * for the mark; so whatever was put stays.
 */
#include "event/trim.h"

#include "base/json.h"
#include "event/storable.h"

#include <string.h>

/* Kept from event to event. */
#define KEEP_BYTES ((size_t)64 << 10)

static const char mark[] = "\"truncated\":true";
#define MARK_SIZE (sizeof(mark) - 1)
#define MARK_NAME "truncated"

void au_trim_init(au_trim_t *trim, const au_limits_t *limits,
                  au_account_t *account) {
  *trim = (au_trim_t){.limits = limits, .json = {.account = account}};
}

void au_trim_fini(au_trim_t *trim) { au_bytes_fini(&trim->json); }

void au_trim_begin(au_trim_t *trim, bool has_mark) {
  au_bytes_clear(&trim->json, KEEP_BYTES);
  trim->keys = 0;
  trim->level = 0;
  trim->needs_comma = false;
  trim->has_mark = has_mark;
  trim->is_short = false;
  au_bytes_put_u8(&trim->json, '{');
}

/* Whether what has been put since "start", with so many keys, may stay. */
static bool fits(const au_trim_t *trim, size_t keys) {
  const au_limits_t *limits = trim->limits;
  size_t after = trim->level + 1 + (trim->has_mark ? MARK_SIZE + 1 : 0);
  return trim->json.size + after <= limits->metadata_max_bytes &&
         trim->keys + keys + (trim->has_mark ? 1 : 0) <=
             limits->metadata_max_keys;
}

/* A name, and the comma before it. */
static void put_name(au_trim_t *trim, const char *name, size_t size) {
  au_bytes_t *json = &trim->json;
  if (trim->needs_comma)
    au_bytes_put_u8(json, ',');
  au_bytes_put_u8(json, '"');
  au_storable_put_escaped(json, name, size);
  au_bytes_put_string(json, "\":");
}

/* What was put from "start" on is left out again. */
static bool leave_out(au_trim_t *trim, size_t start) {
  trim->json.size = start;
  trim->is_short = true;
  return false;
}

/* Its name alone may be longer than all that may be put. */
static bool is_too_long(const au_trim_t *trim, size_t name_size) {
  return name_size > trim->limits->metadata_max_bytes;
}

/* The mark is put at the end. */
static bool is_replaced(const au_trim_t *trim, const char *name, size_t size) {
  return trim->has_mark && trim->level == 0 && size == strlen(MARK_NAME) &&
         memcmp(name, MARK_NAME, size) == 0;
}

bool au_trim_put(au_trim_t *trim, const char *name, size_t size,
                 const au_value_t *value) {
  au_bytes_t *json = &trim->json;
  size_t start = json->size;
  if (is_replaced(trim, name, size))
    return true;
  if (value->is_long || is_too_long(trim, size))
    return leave_out(trim, start);
  bool is_deep = trim->level + value->depth > trim->limits->metadata_max_depth;
  size_t keys = 1 + (is_deep ? 0 : value->keys);
  put_name(trim, name, size);
  if (is_deep)
    au_json_put_string(json, (const char *)value->json.data, value->json.size);
  else
    au_bytes_put(json, value->json.data, value->json.size);
  json->failed |= value->json.failed;
  if (!fits(trim, keys))
    return leave_out(trim, start);
  trim->keys += keys;
  trim->needs_comma = true;
  return true;
}

bool au_trim_open(au_trim_t *trim, const char *name, size_t size) {
  au_bytes_t *json = &trim->json;
  size_t start = json->size;
  if (is_replaced(trim, name, size) || is_too_long(trim, size) ||
      trim->level >= trim->limits->metadata_max_depth ||
      trim->level == AU_TRIM_LEVELS_MAX)
    return leave_out(trim, start);
  trim->start[trim->level] = start;
  trim->is_first[trim->level] = !trim->needs_comma;
  put_name(trim, name, size);
  au_bytes_put_u8(json, '{');
  trim->level++;
  if (!fits(trim, 1)) {
    trim->level--;
    return leave_out(trim, start);
  }
  trim->keys++;
  trim->needs_comma = false;
  return true;
}

void au_trim_close(au_trim_t *trim) {
  au_bytes_t *json = &trim->json;
  trim->level--;
  if (trim->needs_comma) {
    au_bytes_put_u8(json, '}');
    return;
  }
  json->size = trim->start[trim->level];
  trim->keys--;
  trim->needs_comma = !trim->is_first[trim->level];
}

bool au_trim_end(au_trim_t *trim) {
  au_bytes_t *json = &trim->json;
  if (trim->is_short && !trim->has_mark && !json->failed)
    return false;
  if (trim->has_mark) {
    size_t start = json->size;
    if (trim->needs_comma)
      au_bytes_put_u8(json, ',');
    au_bytes_put(json, mark, MARK_SIZE);
    /* With limits that small there is no mark. */
    if (json->size + 1 > trim->limits->metadata_max_bytes ||
        trim->keys + 1 > trim->limits->metadata_max_keys)
      json->size = start;
  }
  au_bytes_put_u8(json, '}');
  return true;
}

bool au_trim_is_empty(const au_trim_t *trim) { return trim->json.size <= 2; }
