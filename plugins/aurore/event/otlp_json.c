/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * The schema is a table; the callbacks of the parser keep a stack of the
 * objects and arrays that are open, each with the message that it is written
 * to. An object or array that nobody wants is skipped, whatever is in it.
 */
#include "event/otlp_json.h"

#include "base/hex.h"
#include "base/json_parser.h"
#include "event/otlp_value.h"
#include "event/storable.h"

#include <stdlib.h>
#include <string.h>

/* Kept from request to request. */
#define KEEP_BYTES ((size_t)32 << 10)
/* Objects and arrays that are open: a value in a value takes four. */
#define LEVELS_MAX (8 + 4 * AU_OTLP_DEPTH_MAX)
#define ID_SIZE_MAX 32

static const char END[] = "\n";
static const char BOM[] = "\xEF\xBB\xBF";
static const char NUL[] = "\\u0000";
#define NUL_SIZE (sizeof(NUL) - 1)

/* --- the schema -----------------------------------------------------------*/

typedef enum type {
  REQUEST,
  RESOURCE_LOGS,
  RESOURCE,
  SCOPE_LOGS,
  SCOPE,
  RECORD,
  PAIR,
  ANY,
  ARRAY,
  MAP
} type_t;

typedef enum kind {
  ONE,  /* a message */
  MANY, /* an array of messages */
  TEXT,
  ID,       /* bytes in hexadecimal */
  FIXED64,  /* whole numbers, in digits or in quotes */
  FIXED32,  /* the same */
  WHOLE,    /* the same, as a varint */
  SEVERITY, /* or its name */
  VALUE,    /* of an AnyValue; a string is one */
  NUMBER    /* of an AnyValue; in quotes, too */
} kind_t;

typedef struct field {
  type_t of;
  const char *name;
  uint32_t number;
  kind_t kind;
  type_t type; /* of a message */
} field_t;

static const field_t fields[] = {
    {REQUEST, "resourceLogs", 1, MANY, RESOURCE_LOGS},
    {RESOURCE_LOGS, "resource", 1, ONE, RESOURCE},
    {RESOURCE_LOGS, "scopeLogs", 2, MANY, SCOPE_LOGS},
    {RESOURCE_LOGS, "schemaUrl", 3, TEXT, 0},
    {RESOURCE, "attributes", 1, MANY, PAIR},
    {SCOPE_LOGS, "scope", 1, ONE, SCOPE},
    {SCOPE_LOGS, "logRecords", 2, MANY, RECORD},
    {SCOPE_LOGS, "schemaUrl", 3, TEXT, 0},
    {SCOPE, "name", 1, TEXT, 0},
    {SCOPE, "version", 2, TEXT, 0},
    {SCOPE, "attributes", 3, MANY, PAIR},
    {RECORD, "timeUnixNano", 1, FIXED64, 0},
    {RECORD, "observedTimeUnixNano", 11, FIXED64, 0},
    {RECORD, "severityNumber", 2, SEVERITY, 0},
    {RECORD, "severityText", 3, TEXT, 0},
    {RECORD, "body", 5, ONE, ANY},
    {RECORD, "attributes", 6, MANY, PAIR},
    {RECORD, "droppedAttributesCount", 7, WHOLE, 0},
    {RECORD, "flags", 8, FIXED32, 0},
    {RECORD, "traceId", 9, ID, 0},
    {RECORD, "spanId", 10, ID, 0},
    {RECORD, "eventName", 12, TEXT, 0},
    {PAIR, "key", 1, TEXT, 0},
    {PAIR, "value", 2, ONE, ANY},
    {ANY, "stringValue", 1, VALUE, 0},
    {ANY, "boolValue", 2, VALUE, 0},
    {ANY, "intValue", 3, NUMBER, 0},
    {ANY, "doubleValue", 4, NUMBER, 0},
    {ANY, "arrayValue", 5, ONE, ARRAY},
    {ANY, "kvlistValue", 6, ONE, MAP},
    /* In base64, as it is to be stored. */
    {ANY, "bytesValue", 7, VALUE, 0},
    {ARRAY, "values", 1, MANY, ANY},
    {MAP, "values", 1, MANY, PAIR},
};

/* Whether "text" is the name, or the one that the schema has: a capital is an
 * underscore and its small letter there. */
static bool is_name(const char *name, const char *text, size_t size) {
  if (size == strlen(name) && memcmp(name, text, size) == 0)
    return true;
  const char *end = text + size;
  for (; *name != '\0'; name++, text++) {
    bool is_capital = *name >= 'A' && *name <= 'Z';
    if (is_capital && (text == end || *text++ != '_'))
      return false;
    int letter = is_capital ? *name - 'A' + 'a' : *name;
    if (text == end || *text != letter)
      return false;
  }
  return text == end;
}

static const field_t *find_field(type_t of, const char *text, size_t size) {
  for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
    if (fields[i].of == of && is_name(fields[i].name, text, size))
      return &fields[i];
  return NULL;
}

/* --- state ----------------------------------------------------------------*/

/* An object or array that is open. */
typedef struct level {
  bool is_array;
  type_t type;     /* of the object, or of the array's elements */
  uint32_t number; /* of the array's elements */
  size_t place;    /* of the object's message; 0: it is the request */
} level_t;

struct au_otlp_json {
  au_intake_t *intake;
  au_json_parser_t *parser;
  au_bytes_t message;
  bool has_value;
  bool is_marked;       /* something of the record could not be read */
  const field_t *field; /* of the last key; NULL: unknown */
  size_t skipped;       /* levels that are open in what is skipped */
  const char *what;     /* is wrong */
  size_t depth;
  level_t level[LEVELS_MAX];
};

static level_t *top(au_otlp_json_t *json) {
  return json->depth > 0 ? &json->level[json->depth - 1] : NULL;
}

static int stop(au_otlp_json_t *json, const char *what) {
  json->what = what;
  return 0;
}

/* Whether the parser goes on. */
static int go_on(const au_otlp_json_t *json) {
  return json->message.failed ? 0 : 1;
}

static int skip(au_otlp_json_t *json) {
  json->skipped = 1;
  return 1;
}

/* --- scalars --------------------------------------------------------------*/

/* A scalar, as it is written; a string without its quotes. */
typedef struct scalar {
  enum { IS_NULL, IS_BOOL, IS_NUMBER, IS_STRING } is;
  const char *text;
  size_t size;
} scalar_t;

static size_t count_digits(const char *text, size_t size) {
  size_t at = 0;
  while (at < size && text[at] >= '0' && text[at] <= '9')
    at++;
  return at;
}

/* Whether JSON writes numbers like that. */
static bool is_number(const char *text, size_t size) {
  const char *end = text + size;
  if (text < end && *text == '-')
    text++;
  size_t digits = count_digits(text, (size_t)(end - text));
  if (digits == 0 || (*text == '0' && digits > 1))
    return false;
  text += digits;
  if (text < end && *text == '.') {
    text++;
    digits = count_digits(text, (size_t)(end - text));
    text += digits;
    if (digits == 0)
      return false;
  }
  if (text < end && (*text == 'e' || *text == 'E')) {
    text++;
    if (text < end && (*text == '-' || *text == '+'))
      text++;
    digits = count_digits(text, (size_t)(end - text));
    text += digits;
    if (digits == 0)
      return false;
  }
  return text == end;
}

/* Reads a whole number that is not negative and at most "max". */
static bool read_whole(const scalar_t *scalar, uint64_t max,
                       uint64_t *out_value) {
  uint64_t value = 0;
  if (scalar->is == IS_BOOL || scalar->size == 0 ||
      count_digits(scalar->text, scalar->size) != scalar->size)
    return false;
  for (size_t i = 0; i < scalar->size; i++)
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, (uint64_t)(scalar->text[i] - '0'),
                               &value))
      return false;
  *out_value = value;
  return value <= max;
}

/* SEVERITY_NUMBER_INFO2 is 10. */
static bool read_severity(const scalar_t *scalar, uint64_t *out_value) {
  static const char prefix[] = "SEVERITY_NUMBER_";
  static const char *const names[] = {"TRACE", "DEBUG", "INFO",
                                      "WARN",  "ERROR", "FATAL"};
  size_t start = sizeof(prefix) - 1;
  if (read_whole(scalar, INT32_MAX, out_value))
    return true;
  if (scalar->size < start || memcmp(scalar->text, prefix, start) != 0)
    return false;
  const char *text = scalar->text + start;
  size_t size = scalar->size - start;
  int last = size > 0 ? text[size - 1] : 0;
  uint64_t step = last >= '2' && last <= '4' ? (uint64_t)(last - '1') : 0;
  size -= step > 0 ? 1 : 0;
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    if (size == strlen(names[i]) && memcmp(text, names[i], size) == 0) {
      *out_value = 1 + 4 * i + step;
      return true;
    }
  *out_value = 0;
  return size == strlen("UNSPECIFIED") && step == 0 &&
         memcmp(text, "UNSPECIFIED", size) == 0;
}

static bool put_id(au_otlp_json_t *json, uint32_t number,
                   const scalar_t *scalar) {
  uint8_t id[ID_SIZE_MAX];
  size_t size = scalar->size / 2;
  if (scalar->is != IS_STRING || scalar->size % 2 != 0 || size > sizeof(id) ||
      !au_hex_read(scalar->text, id, size))
    return false;
  au_protobuf_put_bytes(&json->message, number, id, size);
  return true;
}

/* A scalar as an AnyValue. */
static void put_any(au_otlp_json_t *json, const scalar_t *scalar,
                    bool may_be_number) {
  au_bytes_t *message = &json->message;
  bool is_digits =
      scalar->is == IS_NUMBER || (scalar->is == IS_STRING && may_be_number &&
                                  is_number(scalar->text, scalar->size));
  if (scalar->is == IS_BOOL)
    au_protobuf_put_varint(message, 2, scalar->text[0] == 't');
  else if (is_digits)
    au_protobuf_put_bytes(message, AU_OTLP_NUMBER, scalar->text, scalar->size);
  else if (scalar->is == IS_STRING)
    au_protobuf_put_bytes(message, 1, scalar->text, scalar->size);
}

/* false: it cannot be read as what the field is. */
static bool put_scalar(au_otlp_json_t *json, const field_t *field,
                       const scalar_t *scalar) {
  au_bytes_t *message = &json->message;
  uint64_t value = 0;
  switch (field->kind) {
  case TEXT:
    au_protobuf_put_bytes(message, field->number, scalar->text, scalar->size);
    return true;
  case ID:
    return put_id(json, field->number, scalar);
  case FIXED64:
    if (!read_whole(scalar, UINT64_MAX, &value))
      return false;
    au_protobuf_put_fixed64(message, field->number, value);
    return true;
  case FIXED32:
    if (!read_whole(scalar, UINT32_MAX, &value))
      return false;
    au_protobuf_put_fixed32(message, field->number, (uint32_t)value);
    return true;
  case WHOLE:
  case SEVERITY:
    if (!(field->kind == WHOLE ? read_whole(scalar, UINT32_MAX, &value)
                               : read_severity(scalar, &value)))
      return false;
    au_protobuf_put_varint(message, field->number, value);
    return true;
  case VALUE:
  case NUMBER:
    put_any(json, scalar, field->kind == NUMBER);
    return true;
  case ONE:
  case MANY:
    break;
  }
  return false;
}

/* A value where an AnyValue should be: what it means is plain. */
static void put_bare(au_otlp_json_t *json, uint32_t number,
                     const scalar_t *scalar) {
  size_t place = au_protobuf_begin(&json->message, number);
  put_any(json, scalar, false);
  au_protobuf_end(&json->message, place);
}

static int take_scalar(au_otlp_json_t *json, const scalar_t *scalar) {
  const level_t *level = top(json);
  const field_t *field = json->field;
  if (json->skipped > 0)
    return 1;
  if (level == NULL)
    return stop(json, "expected an object");
  if (level->is_array) {
    if (level->type == ANY)
      put_bare(json, level->number, scalar);
    else if (scalar->is != IS_NULL)
      return stop(json, "expected an object");
    return go_on(json);
  }
  if (field == NULL || scalar->is == IS_NULL)
    return 1; /* null: it is not set */
  if (field->kind == MANY)
    return stop(json, "expected an array");
  if (field->kind == ONE && field->type != ANY)
    return stop(json, "expected an object");
  if (field->kind == ONE)
    put_bare(json, field->number, scalar);
  else if (!put_scalar(json, field, scalar))
    json->is_marked = true;
  return go_on(json);
}

/* --- callbacks ------------------------------------------------------------*/

static int on_null(void *context) {
  const scalar_t scalar = {.is = IS_NULL, .text = "", .size = 0};
  return take_scalar(context, &scalar);
}

static int on_boolean(void *context, int value) {
  const char *text = value != 0 ? "true" : "false";
  const scalar_t scalar = {.is = IS_BOOL, .text = text, .size = strlen(text)};
  return take_scalar(context, &scalar);
}

static int on_number(void *context, const char *text, size_t size) {
  const scalar_t scalar = {.is = IS_NUMBER, .text = text, .size = size};
  return take_scalar(context, &scalar);
}

static int on_string(void *context, const unsigned char *text, size_t size) {
  const scalar_t scalar = {
      .is = IS_STRING, .text = (const char *)text, .size = size};
  return take_scalar(context, &scalar);
}

static int on_map_key(void *context, const unsigned char *text, size_t size) {
  au_otlp_json_t *json = context;
  const level_t *level = top(json);
  if (json->skipped == 0 && level != NULL)
    json->field = find_field(level->type, (const char *)text, size);
  return 1;
}

/* An object begins that is a message; or it is too deep. */
static int open_message(au_otlp_json_t *json, type_t type, uint32_t number) {
  size_t place = au_protobuf_begin(&json->message, number);
  if (json->depth == LEVELS_MAX) {
    json->is_marked = true;
    return skip(json);
  }
  json->level[json->depth++] = (level_t){.type = type, .place = place};
  json->field = NULL;
  return go_on(json);
}

static int on_start_map(void *context) {
  au_otlp_json_t *json = context;
  const level_t *level = top(json);
  const field_t *field = json->field;
  if (json->skipped > 0) {
    json->skipped++;
    return 1;
  }
  if (level == NULL) {
    if (json->has_value)
      return stop(json, "more than one JSON value");
    json->has_value = true;
    json->level[json->depth++] = (level_t){.type = REQUEST};
    return 1;
  }
  if (level->is_array)
    return open_message(json, level->type, level->number);
  if (field == NULL)
    return skip(json);
  if (field->kind == MANY)
    return stop(json, "expected an array");
  if (field->kind == ONE)
    return open_message(json, field->type, field->number);
  json->is_marked = true;
  return skip(json);
}

static int on_end_map(void *context) {
  au_otlp_json_t *json = context;
  if (json->skipped > 0) {
    json->skipped--;
    return 1;
  }
  const level_t *level = &json->level[--json->depth];
  if (level->type == RECORD && json->is_marked) {
    au_protobuf_put_varint(&json->message, AU_OTLP_MARK, 1);
    json->is_marked = false;
  }
  if (level->place > 0)
    au_protobuf_end(&json->message, level->place);
  json->field = NULL;
  return go_on(json);
}

static int on_start_array(void *context) {
  au_otlp_json_t *json = context;
  const level_t *level = top(json);
  const field_t *field = json->field;
  if (json->skipped > 0) {
    json->skipped++;
    return 1;
  }
  if (level == NULL || level->is_array || (field != NULL && field->kind == ONE))
    return stop(json, "expected an object");
  if (field == NULL)
    return skip(json);
  if (field->kind != MANY || json->depth == LEVELS_MAX) {
    json->is_marked = true;
    return skip(json);
  }
  json->level[json->depth++] =
      (level_t){.is_array = true, .type = field->type, .number = field->number};
  return 1;
}

static int on_end_array(void *context) {
  au_otlp_json_t *json = context;
  if (json->skipped > 0)
    json->skipped--;
  else
    json->depth--;
  json->field = NULL;
  return 1;
}

static const yajl_callbacks callbacks = {.yajl_null = on_null,
                                         .yajl_boolean = on_boolean,
                                         .yajl_number = on_number,
                                         .yajl_string = on_string,
                                         .yajl_start_map = on_start_map,
                                         .yajl_map_key = on_map_key,
                                         .yajl_end_map = on_end_map,
                                         .yajl_start_array = on_start_array,
                                         .yajl_end_array = on_end_array};

/* --- the interface --------------------------------------------------------*/

au_otlp_json_t *au_otlp_json_create(au_intake_t *intake) {
  au_otlp_json_t *json = calloc(1, sizeof(*json));
  if (json == NULL)
    return NULL;
  json->intake = intake;
  json->parser = au_json_parser_create(&callbacks, json);
  if (json->parser == NULL) {
    free(json);
    return NULL;
  }
  return json;
}

void au_otlp_json_charge(au_otlp_json_t *json, au_account_t *account) {
  json->message.account = account;
  au_json_parser_charge(json->parser, account);
}

void au_otlp_json_destroy(au_otlp_json_t *json) {
  if (json == NULL)
    return;
  au_json_parser_destroy(json->parser);
  au_bytes_fini(&json->message);
  free(json);
}

void au_otlp_json_clear(au_otlp_json_t *json) {
  au_bytes_clear(&json->message, KEEP_BYTES);
}

/* What it means that the parser has stopped in "piece", which is at "offset" of
 * the body. */
static au_intake_result_t explain(au_otlp_json_t *json, au_json_result_t result,
                                  const char *piece, size_t size,
                                  size_t offset) {
  if (result == AU_JSON_NOMEM || json->message.failed)
    return AU_INTAKE_NOMEM;
  size_t within = 0;
  const char *what = au_json_parser_explain(json->parser, piece, size, &within);
  return au_intake_malformed(json->intake,
                             result == AU_JSON_CANCELED ? json->what : what,
                             offset + within);
}

static au_intake_result_t feed(au_otlp_json_t *json, const char *piece,
                               size_t size, size_t offset) {
  au_json_result_t result = au_json_parser_feed(json->parser, piece, size);
  return result == AU_JSON_OK ? AU_INTAKE_DONE
                              : explain(json, result, piece, size, offset);
}

/* Half a surrogate pair is read as U+0000, which becomes U+FFFD. */
static au_intake_result_t feed_body(au_otlp_json_t *json, au_slice_t body) {
  const char *end = body.data + body.size;
  bool has_bom = body.size >= sizeof(BOM) - 1 &&
                 memcmp(body.data, BOM, sizeof(BOM) - 1) == 0;
  const char *at = body.data + (has_bom ? sizeof(BOM) - 1 : 0);
  au_intake_result_t result = AU_INTAKE_DONE;
  while (result == AU_INTAKE_DONE && at < end) {
    const char *half = au_storable_find_surrogate(at, end);
    const char *stop_at = half != NULL ? half : end;
    size_t offset = (size_t)(at - body.data);
    result = feed(json, at, (size_t)(stop_at - at), offset);
    at = stop_at;
    if (result == AU_INTAKE_DONE && half != NULL) {
      result = feed(json, NUL, NUL_SIZE, (size_t)(at - body.data));
      at += NUL_SIZE;
    }
  }
  if (result == AU_INTAKE_DONE)
    result = feed(json, END, sizeof(END) - 1, body.size);
  if (result == AU_INTAKE_DONE &&
      (!json->has_value || json->depth > 0 || json->skipped > 0))
    result =
        au_intake_malformed(json->intake, "unexpected end of JSON", body.size);
  return result;
}

au_intake_result_t au_otlp_json_turn(au_otlp_json_t *json, au_slice_t body,
                                     au_slice_t *out_message) {
  au_otlp_json_clear(json);
  json->has_value = json->is_marked = false;
  json->field = NULL;
  json->skipped = json->depth = 0;
  au_intake_result_t result = feed_body(json, body);
  if (result == AU_INTAKE_DONE)
    au_json_parser_finish(json->parser);
  else
    au_json_parser_reset(json->parser);
  const char *data = (const char *)json->message.data;
  *out_message = (au_slice_t){.data = data != NULL ? data : "",
                              .size = json->message.size};
  return result;
}
