/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * Arrays and maps are walked with a stack of those that are open.
 */
#include "event/otlp_value.h"

#include "base/base64.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Kept from value to value. */
#define KEEP_BYTES ((size_t)16 << 10)

/* Up to here every whole number is a double; the text of the largest double. */
#define EXACT_UP_TO 9007199254740992.0
#define DOUBLE_SIZE 320

/* Fields of AnyValue, by number; KeyValue is 1 key, 2 value, and the lists of
 * ArrayValue and KeyValueList are field 1. */
static const struct {
  au_otlp_kind_t kind;
  au_protobuf_type_t type;
} any_field[AU_OTLP_NUMBER + 1] = {
    [1] = {AU_OTLP_STRING, AU_PROTOBUF_BYTES},
    [2] = {AU_OTLP_BOOL, AU_PROTOBUF_VARINT},
    [3] = {AU_OTLP_INT, AU_PROTOBUF_VARINT},
    [4] = {AU_OTLP_DOUBLE, AU_PROTOBUF_FIXED64},
    [5] = {AU_OTLP_ARRAY, AU_PROTOBUF_BYTES},
    [6] = {AU_OTLP_MAP, AU_PROTOBUF_BYTES},
    [7] = {AU_OTLP_BYTES, AU_PROTOBUF_BYTES},
    [AU_OTLP_NUMBER] = {AU_OTLP_DIGITS, AU_PROTOBUF_BYTES}};

bool au_otlp_read_any(au_slice_t message, bool is_own, au_otlp_any_t *out_any) {
  *out_any = (au_otlp_any_t){.kind = AU_OTLP_NONE};
  au_protobuf_t reading = au_protobuf_open(message.data, message.size);
  au_protobuf_field_t field;
  while (au_protobuf_next(&reading, &field)) {
    if (field.number > AU_OTLP_NUMBER ||
        any_field[field.number].kind == AU_OTLP_NONE ||
        any_field[field.number].type != field.type ||
        (field.number == AU_OTLP_NUMBER && !is_own))
      continue;
    out_any->kind = any_field[field.number].kind;
    out_any->number = field.value;
    out_any->bytes = au_otlp_slice(&field);
  }
  return !reading.is_malformed;
}

bool au_otlp_read_pair(au_slice_t message, bool is_own,
                       au_otlp_pair_t *out_pair) {
  *out_pair = (au_otlp_pair_t){.key = {.data = "", .size = 0}};
  au_protobuf_t reading = au_protobuf_open(message.data, message.size);
  au_protobuf_field_t field;
  while (au_protobuf_next(&reading, &field)) {
    if (au_protobuf_is(&field, 1, AU_PROTOBUF_BYTES))
      out_pair->key = au_otlp_slice(&field);
    else if (au_protobuf_is(&field, 2, AU_PROTOBUF_BYTES) &&
             !au_otlp_read_any(au_otlp_slice(&field), is_own, &out_pair->value))
      return false;
  }
  return !reading.is_malformed;
}

/* --- scalars --------------------------------------------------------------*/

void au_otlp_writer_charge(au_otlp_writer_t *writer, au_account_t *account) {
  au_value_charge(&writer->value, account);
  writer->scratch.account = account;
}

void au_otlp_writer_fini(au_otlp_writer_t *writer) {
  au_value_fini(&writer->value);
  au_bytes_fini(&writer->scratch);
}

/* What is longer than "max" is found to be so from one byte more. */
static size_t bounded(size_t size, size_t max) {
  return size > max ? max + 1 : size;
}

static double double_of(uint64_t bits) {
  double number = 0;
  memcpy(&number, &bits, sizeof(number));
  return number;
}

/* The digits that read back as the same number: the fewest; of a whole number
 * that is beyond what each digit of a double can tell, all of them, since jsonb
 * holds it as such. */
static int format_double(double number, char text[DOUBLE_SIZE]) {
  size_t size = DOUBLE_SIZE;
  int length = 0;
  if (fabs(number) >= EXACT_UP_TO)
    return snprintf(text, size, "%.0f", number);
  for (int digits = 15; digits <= 17; digits++) {
    length = snprintf(text, size, "%.*g", digits, number);
    if (strtod(text, NULL) == number)
      break;
  }
  char *comma = strchr(text, ','); /* if the host has set a locale */
  if (comma != NULL)
    *comma = '.';
  return length;
}

static const char *name_of(double number) {
  if (isnan(number))
    return "NaN";
  return number > 0 ? "Infinity" : "-Infinity";
}

static au_slice_t put_base64(au_otlp_writer_t *writer, au_slice_t bytes,
                             size_t max) {
  au_bytes_t *scratch = &writer->scratch;
  au_bytes_clear(scratch, KEEP_BYTES);
  au_base64_put(scratch, bytes.data, bounded(bytes.size, max));
  const char *text = scratch->size > 0 ? (const char *)scratch->data : "";
  return (au_slice_t){.data = text, .size = scratch->size};
}

bool au_otlp_text(au_otlp_writer_t *writer, const au_otlp_any_t *any,
                  size_t max, au_slice_t *out_text) {
  double number = any->kind == AU_OTLP_DOUBLE ? double_of(any->number) : 0;
  if (any->kind == AU_OTLP_STRING) {
    *out_text = any->bytes;
  } else if (any->kind == AU_OTLP_BYTES) {
    *out_text = put_base64(writer, any->bytes, max);
  } else if (!isfinite(number)) {
    const char *name = name_of(number);
    *out_text = (au_slice_t){.data = name, .size = strlen(name)};
  } else {
    return false;
  }
  return true;
}

static void put_scalar(au_otlp_writer_t *writer, const au_otlp_any_t *any) {
  au_value_t *value = &writer->value;
  char text[DOUBLE_SIZE];
  int length = 0;
  au_slice_t own;
  if (au_otlp_text(writer, any, value->max, &own)) {
    au_value_string(value, own.data, bounded(own.size, value->max));
    value->json.failed |= writer->scratch.failed;
  } else if (any->kind == AU_OTLP_DIGITS) {
    au_value_number(value, any->bytes.data, any->bytes.size);
  } else if (any->kind == AU_OTLP_INT) {
    length = snprintf(text, sizeof(text), "%" PRId64, (int64_t)any->number);
    au_value_number(value, text, (size_t)length);
  } else if (any->kind == AU_OTLP_DOUBLE) {
    length = format_double(double_of(any->number), text);
    au_value_number(value, text, (size_t)length);
  } else if (any->kind == AU_OTLP_BOOL) {
    au_value_literal(value, any->number != 0 ? "true" : "false");
  } else {
    au_value_literal(value, "null");
  }
}

/* --- arrays and maps ------------------------------------------------------*/

/* Those that are open. */
typedef struct walk {
  au_otlp_writer_t *writer;
  bool is_own;
  size_t depth;
  struct {
    au_protobuf_t list;
    bool is_map;
  } open[AU_OTLP_DEPTH_MAX];
} walk_t;

/* A value begins: all of it if it is a scalar. */
static void put_any(walk_t *walk, const au_otlp_any_t *any) {
  bool is_map = any->kind == AU_OTLP_MAP;
  if (!is_map && any->kind != AU_OTLP_ARRAY) {
    put_scalar(walk->writer, any);
    return;
  }
  if (walk->depth == AU_OTLP_DEPTH_MAX) {
    walk->writer->is_cut = true;
    au_value_literal(&walk->writer->value, "null");
    return;
  }
  walk->open[walk->depth].list =
      au_protobuf_open(any->bytes.data, any->bytes.size);
  walk->open[walk->depth].is_map = is_map;
  walk->depth++;
  au_value_open(&walk->writer->value, is_map ? '{' : '[');
}

/* The next one of the innermost list. false: malformed. */
static bool put_element(walk_t *walk, au_slice_t message, bool is_map) {
  au_otlp_pair_t pair;
  if (!is_map) {
    if (!au_otlp_read_any(message, walk->is_own, &pair.value))
      return false;
  } else {
    if (!au_otlp_read_pair(message, walk->is_own, &pair))
      return false;
    au_value_key(&walk->writer->value, pair.key.data,
                 bounded(pair.key.size, walk->writer->value.max));
  }
  put_any(walk, &pair.value);
  return true;
}

bool au_otlp_write(au_otlp_writer_t *writer, const au_otlp_any_t *any,
                   bool is_own, size_t max) {
  walk_t walk;
  walk.writer = writer;
  walk.is_own = is_own;
  walk.depth = 0;
  writer->is_cut = false;
  au_value_begin(&writer->value, max);
  put_any(&walk, any);
  while (walk.depth > 0) {
    au_protobuf_t *list = &walk.open[walk.depth - 1].list;
    bool is_map = walk.open[walk.depth - 1].is_map;
    au_protobuf_field_t field;
    if (!au_protobuf_next(list, &field)) {
      if (list->is_malformed)
        return false;
      walk.depth--;
      au_value_close(&writer->value, is_map ? '}' : ']');
    } else if (au_protobuf_is(&field, 1, AU_PROTOBUF_BYTES) &&
               !put_element(&walk, au_otlp_slice(&field), is_map)) {
      return false;
    }
  }
  return true;
}
