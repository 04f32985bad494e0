/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * As long as no limit has been passed, "json" is at most metadata_max_bytes
 * long. After running out of memory (json.failed) puts do nothing.
 */
#include "event/metadata.h"

#include "base/json.h"

#include <string.h>

/* Kept from event to event. */
#define KEEP_BYTES ((size_t)64 << 10)

void au_metadata_init(au_metadata_t *metadata, const au_limits_t *limits) {
  *metadata = (au_metadata_t){.limits = limits};
}

void au_metadata_fini(au_metadata_t *metadata) {
  au_bytes_fini(&metadata->json);
}

static void pass(au_metadata_t *metadata, au_metadata_limit_t limit) {
  if (metadata->passed == AU_METADATA_WITHIN)
    metadata->passed = limit;
}

/* Whether "size" more bytes may come. */
static bool has_room(au_metadata_t *metadata, size_t size) {
  if (metadata->passed != AU_METADATA_WITHIN)
    return false;
  if (size <= metadata->limits->metadata_max_bytes - metadata->json.size)
    return true;
  pass(metadata, AU_METADATA_BYTES);
  return false;
}

/* Room for a comma, if one is due, and "size" bytes, or NULL. */
static uint8_t *extend(au_metadata_t *metadata, size_t size) {
  size_t comma = metadata->needs_comma ? 1 : 0;
  if (!has_room(metadata, size + comma))
    return NULL;
  uint8_t *to = au_bytes_extend(&metadata->json, size + comma);
  if (to != NULL && comma > 0)
    *to++ = ',';
  return to;
}

static void put(au_metadata_t *metadata, const char *text, size_t size) {
  uint8_t *to = extend(metadata, size);
  if (to != NULL)
    memcpy(to, text, size);
}

/* "mark" is what follows the quote, 0: nothing. */
static void put_plain(au_metadata_t *metadata, const char *text, size_t size,
                      char mark) {
  uint8_t *to = extend(metadata, size + (mark != 0 ? 3 : 2));
  if (to == NULL)
    return;
  to[0] = '"';
  if (size > 0)
    memcpy(to + 1, text, size);
  to[size + 1] = '"';
  if (mark != 0)
    to[size + 2] = (uint8_t)mark;
}

static void put_decoded(au_metadata_t *metadata, const char *text, size_t size,
                        char mark) {
  au_bytes_t *json = &metadata->json;
  put(metadata, "\"", 1);
  if (!has_room(metadata, size + 1))
    return;
  /* Escapes make it longer, but by no more than a factor. */
  au_json_put_escaped(json, text, size);
  au_bytes_put_u8(json, '"');
  if (mark != 0)
    au_bytes_put_u8(json, (uint8_t)mark);
  if (json->size > metadata->limits->metadata_max_bytes)
    pass(metadata, AU_METADATA_BYTES);
}

static void put_text(au_metadata_t *metadata, const char *text, size_t size,
                     au_text_kind_t kind, char mark) {
  ptrdiff_t length = 0;
  au_unstorable_t unstorable = au_storable_text(text, size, kind, &length);
  if (metadata->unstorable == AU_STORABLE)
    metadata->unstorable = unstorable;
  if (kind == AU_TEXT_DECODED)
    put_decoded(metadata, text, size, mark);
  else
    put_plain(metadata, text, size, mark);
}

void au_metadata_forget(au_metadata_t *metadata) {
  au_bytes_clear(&metadata->json, KEEP_BYTES);
}

void au_metadata_begin(au_metadata_t *metadata) {
  au_metadata_forget(metadata);
  metadata->keys = 0;
  metadata->level = 0;
  metadata->needs_comma = false;
  metadata->passed = AU_METADATA_WITHIN;
  metadata->unstorable = AU_STORABLE;
  put(metadata, "{", 1);
}

void au_metadata_end(au_metadata_t *metadata) {
  metadata->needs_comma = false;
  put(metadata, "}", 1);
}

void au_metadata_take(au_metadata_t *metadata, const char *json, size_t size) {
  au_metadata_begin(metadata);
  metadata->json.size = 0;
  put(metadata, json, size);
}

void au_metadata_key(au_metadata_t *metadata, const char *text, size_t size,
                     au_text_kind_t kind) {
  if (++metadata->keys > metadata->limits->metadata_max_keys)
    pass(metadata, AU_METADATA_KEYS);
  put_text(metadata, text, size, kind, ':');
  metadata->needs_comma = false;
}

void au_metadata_string(au_metadata_t *metadata, const char *text, size_t size,
                        au_text_kind_t kind) {
  put_text(metadata, text, size, kind, 0);
  metadata->needs_comma = true;
}

void au_metadata_number(au_metadata_t *metadata, const char *text,
                        size_t size) {
  au_unstorable_t unstorable = au_storable_number(text, size);
  if (metadata->unstorable == AU_STORABLE)
    metadata->unstorable = unstorable;
  put(metadata, text, size);
  metadata->needs_comma = true;
}

void au_metadata_literal(au_metadata_t *metadata, const char *text) {
  put(metadata, text, strlen(text));
  metadata->needs_comma = true;
}

void au_metadata_open(au_metadata_t *metadata, char bracket) {
  if (++metadata->level > metadata->limits->metadata_max_depth)
    pass(metadata, AU_METADATA_DEPTH);
  put(metadata, &bracket, 1);
  metadata->needs_comma = false;
}

void au_metadata_close(au_metadata_t *metadata, char bracket) {
  metadata->level--;
  metadata->needs_comma = false;
  put(metadata, &bracket, 1);
  metadata->needs_comma = true;
}
