/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * json_object - see json_object.h.
 *
 * YAJL does not say whether a value has begun after the last whole one: it
 * waits for the rest of a string for ever. So the text is read within an array,
 * which ends only if nothing is open.
 */
#include "base/json_object.h"

#include "base/json_parser.h"
#include "base/utf8.h"

typedef struct shape {
  size_t depth;   /* with the array */
  size_t objects; /* that began in the array */
  bool has_begun; /* the array: it is the only one */
} shape_t;

static int open_object(void *context) {
  shape_t *shape = context;
  shape->objects += shape->depth == 1;
  shape->depth++;
  return 1;
}

/* In the array there are no arrays, only around it. */
static int open_array(void *context) {
  shape_t *shape = context;
  bool is_allowed = shape->depth == 0 ? !shape->has_begun : shape->depth > 1;
  shape->has_begun = true;
  shape->depth++;
  return is_allowed;
}

/* Once the array has ended nothing may follow. */
static int close_any(void *context) {
  shape_t *shape = context;
  shape->depth--;
  return 1;
}

static int take_null(void *context) {
  const shape_t *shape = context;
  return shape->depth > 1;
}

static int take_boolean(void *context, int value) {
  (void)value;
  return take_null(context);
}

static int take_number(void *context, const char *text, size_t size) {
  (void)text;
  (void)size;
  return take_null(context);
}

static int take_string(void *context, const unsigned char *text, size_t size) {
  (void)text;
  (void)size;
  return take_null(context);
}

static const yajl_callbacks callbacks = {.yajl_null = take_null,
                                         .yajl_boolean = take_boolean,
                                         .yajl_number = take_number,
                                         .yajl_string = take_string,
                                         .yajl_start_map = open_object,
                                         .yajl_end_map = close_any,
                                         .yajl_start_array = open_array,
                                         .yajl_end_array = close_any};

bool au_json_object_is_whole(const char *text, size_t size) {
  shape_t shape = {.depth = 0};
  if (au_utf8_length(text, size) < 0)
    return false;
  au_json_parser_t *parser = au_json_parser_create(&callbacks, &shape);
  if (parser == NULL)
    return false;
  bool is_whole = au_json_parser_feed(parser, "[", 1) == AU_JSON_OK &&
                  au_json_parser_feed(parser, text, size) == AU_JSON_OK &&
                  shape.depth == 1 && shape.objects == 1 &&
                  au_json_parser_feed(parser, "]", 1) == AU_JSON_OK &&
                  shape.depth == 0;
  au_json_parser_destroy(parser);
  return is_whole;
}
