/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * The text is read within an array, which ends only if nothing is open; see
 * base/json_object.c.
 */
#include "base/json_members.h"

#include "base/bytes.h"
#include "base/json_parser.h"

#include <stdbool.h>

typedef struct reading {
  au_json_member_t take;
  void *context;
  size_t depth;   /* with the array: a member's value is at 2 */
  size_t objects; /* that are in the array */
  bool has_begun; /* the array: once it has ended, none may follow */
  au_bytes_t name;
  au_bytes_t value;
} reading_t;

/* In the array there may be one object, and in that anything. */
static bool is_allowed(const reading_t *reading, bool is_object) {
  return reading->depth > 1 ||
         (reading->depth == 1 && is_object && reading->objects == 0);
}

/* As a C string. */
static const char *text_of(au_bytes_t *to, const char *text, size_t size) {
  au_bytes_clear(to, 4096);
  for (size_t i = 0; i < size; i++)
    if (text[i] != '\0')
      au_bytes_put_u8(to, (uint8_t)text[i]);
    else
      au_bytes_put(to, "\xC0\x80", 2); /* U+0000, overlong */
  return au_bytes_text(to);
}

static int give(reading_t *reading, au_json_kind_t kind, const char *text,
                size_t size) {
  if (!is_allowed(reading, false))
    return 0;
  if (reading->depth != 2)
    return 1; /* it is within a member, or the array itself */
  const char *name = au_bytes_text(&reading->name);
  const char *value = text_of(&reading->value, text, size);
  if (name == NULL || value == NULL)
    return 0;
  reading->take(reading->context, name, kind, value);
  return 1;
}

static int take_null(void *context) {
  return give(context, AU_JSON_NULL, "", 0);
}

static int take_boolean(void *context, int value) {
  return value != 0 ? give(context, AU_JSON_BOOLEAN, "true", 4)
                    : give(context, AU_JSON_BOOLEAN, "false", 5);
}

static int take_number(void *context, const char *text, size_t size) {
  return give(context, AU_JSON_NUMBER, text, size);
}

static int take_string(void *context, const unsigned char *text, size_t size) {
  return give(context, AU_JSON_STRING, (const char *)text, size);
}

static int take_name(void *context, const unsigned char *text, size_t size) {
  reading_t *reading = context;
  return reading->depth != 2 ||
         text_of(&reading->name, (const char *)text, size) != NULL;
}

static int open_object(void *context) {
  reading_t *reading = context;
  if (!is_allowed(reading, true))
    return 0;
  reading->objects += reading->depth == 1;
  int goes_on = reading->depth < 2 ? 1 : give(reading, AU_JSON_NESTED, "", 0);
  reading->depth++;
  return goes_on;
}

static int open_array(void *context) {
  reading_t *reading = context;
  int goes_on = reading->depth == 0 ? !reading->has_begun
                                    : give(reading, AU_JSON_NESTED, "", 0);
  reading->has_begun = true;
  reading->depth++;
  return goes_on;
}

static int close_any(void *context) {
  reading_t *reading = context;
  reading->depth--;
  return 1;
}

static const yajl_callbacks callbacks = {.yajl_null = take_null,
                                         .yajl_boolean = take_boolean,
                                         .yajl_number = take_number,
                                         .yajl_string = take_string,
                                         .yajl_start_map = open_object,
                                         .yajl_map_key = take_name,
                                         .yajl_end_map = close_any,
                                         .yajl_start_array = open_array,
                                         .yajl_end_array = close_any};

static au_status_t status_of(const reading_t *reading,
                             au_json_result_t result) {
  if (result == AU_JSON_NOMEM || reading->name.failed || reading->value.failed)
    return AU_NOMEM;
  bool is_whole =
      result == AU_JSON_OK && reading->depth == 0 && reading->objects == 1;
  return is_whole ? AU_OK : AU_INVALID;
}

au_status_t au_json_members_read(const char *text, size_t size,
                                 au_json_member_t take, void *context) {
  reading_t reading = {.take = take, .context = context};
  au_json_parser_t *parser = au_json_parser_create(&callbacks, &reading);
  if (parser == NULL)
    return AU_NOMEM;
  au_json_result_t result = au_json_parser_feed(parser, "[", 1);
  if (result == AU_JSON_OK)
    result = au_json_parser_feed(parser, text, size);
  bool is_open = reading.depth == 1; /* the text has not ended the array */
  if (result == AU_JSON_OK)
    result = au_json_parser_feed(parser, "]", 1);
  au_json_parser_destroy(parser);
  if (result == AU_JSON_OK && !is_open)
    result = AU_JSON_INVALID;
  au_status_t status = status_of(&reading, result);
  au_bytes_fini(&reading.name);
  au_bytes_fini(&reading.value);
  return status;
}
