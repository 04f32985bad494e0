/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * Text is read twice at most. First token by token (base/json_scan.h), which is
 * several times as fast as YAJL and takes the same for JSON; what it does not
 * take, or what ends early, leaves no trace, and is read again by YAJL: what is
 * told of it, and at which byte, is YAJL's to say. (yyjson is not in Debian 12,
 * and simdjson is C++: a second runtime in somebody's collectd. Both build a
 * document first, where our fields are pushed on as they are met.)
 *
 * Either calls the same functions, which know where in the text they are:
 *
 *   top ──{──► event ──"metadata": {──► metadata
 *    │[          │ a value that is an object or an array where none may be
 *    ▼           ▼
 *   array ──[──► skipped
 *
 * From "skipped" the way leads back to where it came from.
 */
#include "event/json.h"

#include "base/json_parser.h"
#include "base/json_scan.h"
#include "event/storable.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Kept from request to request. */
#define KEEP_BYTES ((size_t)32 << 10)

/* Ends a number at the end of the body, and shows a string without an end. */
static const char END[] = "\n";

static const char BOM[] = "\xEF\xBB\xBF";
#define BOM_SIZE 3

typedef enum place {
  PLACE_TOP,      /* outside of every value */
  PLACE_ARRAY,    /* in the array of events */
  PLACE_EVENT,    /* in an event, not in one of its values */
  PLACE_METADATA, /* in its metadata */
  PLACE_SKIPPED   /* in a value that has been refused as a whole */
} place_t;

struct au_json_reader {
  au_intake_t *intake;
  au_validator_t *event;   /* the intake's */
  au_metadata_t *metadata; /* the event's */
  au_json_scan_t scan;
  au_json_parser_t *parser;
  bool is_parsed_only; /* without the scan */
  au_bytes_t decoded;  /* the text of a token that has escapes */
  au_bytes_t copy;     /* of a body with lone surrogates */

  /* The body that is open. */
  const char *body;
  size_t size;
  au_json_shape_t shape;

  /* The value that is being read. */
  place_t place;
  place_t home;              /* where events are: top or array */
  place_t outer;             /* where "skipped" leads back to */
  size_t skipped_level;      /* brackets open in what is skipped */
  bool has_value;            /* of the body, or of the line */
  bool has_event;            /* of the line: it is an object, and complete */
  au_intake_result_t result; /* why a callback has canceled */
};

/* --- places ---------------------------------------------------------------*/

/* What a callback returns for the result of a push. */
static int go_on(au_json_reader_t *reader, au_intake_result_t result) {
  reader->result = result;
  return result == AU_INTAKE_DONE;
}

/* Whether an event may begin here. */
static bool is_outside(const au_json_reader_t *reader) {
  return reader->place == PLACE_TOP || reader->place == PLACE_ARRAY;
}

/* A value begins outside of every event; "is_event": it is one, or should be.
 */
static int admit_value(au_json_reader_t *reader, bool is_event) {
  if (reader->place != PLACE_TOP)
    return 1;
  bool is_line = reader->shape == AU_JSON_LINE;
  /* One line is one value. */
  if (is_line && reader->has_value)
    return go_on(reader, AU_INTAKE_MALFORMED);
  reader->intake->is_single = is_event && !is_line && !reader->has_value;
  reader->has_value = true;
  return 1;
}

/* A value that is not an object is where an event should be. Of a line it is
 * known only at its end whether it is one value. */
static int refuse_value(au_json_reader_t *reader) {
  if (admit_value(reader, true) == 0)
    return 0;
  if (reader->shape == AU_JSON_LINE)
    return 1;
  return go_on(reader, au_intake_refuse_value(reader->intake));
}

/* The same for the end of an event. */
static int end_event(au_json_reader_t *reader) {
  reader->place = reader->home;
  if (reader->shape == AU_JSON_LINE) {
    reader->has_event = true;
    return 1;
  }
  return go_on(reader, au_intake_end_event(reader->intake));
}

static int skip(au_json_reader_t *reader) {
  reader->outer = reader->place;
  reader->place = PLACE_SKIPPED;
  reader->skipped_level = 1;
  return 1;
}

/* --- what is in the text --------------------------------------------------*/

/* Each returns 0 when no more is to be read. */

static int on_literal(au_json_reader_t *reader, const char *text) {
  if (is_outside(reader))
    return refuse_value(reader);
  if (reader->place == PLACE_METADATA)
    au_metadata_literal(reader->metadata, text);
  else if (reader->place == PLACE_EVENT && text[0] == 'n')
    au_validator_null(reader->event);
  else if (reader->place == PLACE_EVENT)
    au_validator_other(reader->event);
  return 1;
}

static int on_number(au_json_reader_t *reader, const char *text, size_t size) {
  if (is_outside(reader))
    return refuse_value(reader);
  if (reader->place == PLACE_EVENT)
    au_validator_number(reader->event, text, size);
  else if (reader->place == PLACE_METADATA)
    au_metadata_number(reader->metadata, text, size);
  return 1;
}

static int on_string(au_json_reader_t *reader, const char *text, size_t size,
                     au_text_kind_t kind) {
  if (is_outside(reader))
    return refuse_value(reader);
  if (reader->place == PLACE_EVENT)
    au_validator_string(reader->event, text, size, kind);
  else if (reader->place == PLACE_METADATA)
    au_metadata_string(reader->metadata, text, size, kind);
  return 1;
}

static int on_key(au_json_reader_t *reader, const char *text, size_t size,
                  au_text_kind_t kind) {
  if (reader->place == PLACE_EVENT)
    au_validator_key(reader->event, text, size);
  else if (reader->place == PLACE_METADATA)
    au_metadata_key(reader->metadata, text, size, kind);
  return 1;
}

/* An object or array begins in metadata, or in what is skipped. */
static int open_nested(au_json_reader_t *reader, char bracket) {
  if (reader->place == PLACE_METADATA)
    au_metadata_open(reader->metadata, bracket);
  else
    reader->skipped_level++;
  return 1;
}

/* One ends that is not the event, its metadata or the array of events. */
static int close_nested(au_json_reader_t *reader, char bracket) {
  if (reader->place == PLACE_METADATA)
    au_metadata_close(reader->metadata, bracket);
  else if (--reader->skipped_level == 0)
    reader->place = reader->outer;
  return 1;
}

static int on_object(au_json_reader_t *reader) {
  if (is_outside(reader)) {
    if (admit_value(reader, true) == 0)
      return 0;
    reader->place = PLACE_EVENT;
    return go_on(reader, au_intake_begin_event(reader->intake));
  }
  if (reader->place != PLACE_EVENT)
    return open_nested(reader, '{');
  if (au_validator_object(reader->event) == NULL)
    return skip(reader);
  reader->place = PLACE_METADATA;
  return 1;
}

static int on_object_end(au_json_reader_t *reader) {
  if (reader->place == PLACE_EVENT)
    return end_event(reader);
  if (reader->place != PLACE_METADATA || reader->metadata->level > 0)
    return close_nested(reader, '}');
  au_metadata_end(reader->metadata);
  reader->place = PLACE_EVENT;
  return 1;
}

static int on_array(au_json_reader_t *reader) {
  if (reader->place == PLACE_TOP && reader->shape == AU_JSON_BODY) {
    (void)admit_value(reader, false);
    reader->home = reader->place = PLACE_ARRAY;
    return 1;
  }
  if (is_outside(reader))
    return refuse_value(reader) != 0 ? skip(reader) : 0;
  if (reader->place != PLACE_EVENT)
    return open_nested(reader, '[');
  au_validator_other(reader->event);
  return skip(reader);
}

static int on_array_end(au_json_reader_t *reader) {
  if (reader->place != PLACE_ARRAY)
    return close_nested(reader, ']');
  reader->home = reader->place = PLACE_TOP;
  return 1;
}

/* --- token by token -------------------------------------------------------*/

static au_slice_t text_of(au_json_reader_t *reader, const au_token_t *token) {
  if (!token->has_escape)
    return (au_slice_t){.data = token->text, .size = token->size};
  reader->decoded.size = 0;
  au_token_put_text(*token, &reader->decoded);
  return (au_slice_t){.data = (const char *)reader->decoded.data,
                      .size = reader->decoded.size};
}

static int take_token(au_json_reader_t *reader, const au_token_t *token) {
  au_slice_t text;
  switch (token->kind) {
  case AU_TOKEN_OBJECT:
    return on_object(reader);
  case AU_TOKEN_ARRAY:
    return on_array(reader);
  case AU_TOKEN_CLOSE:
    return token->text[0] == '}' ? on_object_end(reader) : on_array_end(reader);
  case AU_TOKEN_KEY:
    text = text_of(reader, token);
    return on_key(reader, text.data, text.size, au_text_kind_of(*token));
  case AU_TOKEN_STRING:
    text = text_of(reader, token);
    return on_string(reader, text.data, text.size, au_text_kind_of(*token));
  case AU_TOKEN_NUMBER:
    return on_number(reader, token->text, token->size);
  case AU_TOKEN_TRUE:
    return on_literal(reader, "true");
  case AU_TOKEN_FALSE:
    return on_literal(reader, "false");
  case AU_TOKEN_NULL:
    return on_literal(reader, "null");
  case AU_TOKEN_END:
  case AU_TOKEN_INVALID:
  case AU_TOKEN_NOMEM:
  default:
    return 0;
  }
}

/* Whether all of it is JSON, and was taken. */
static bool scan_values(au_json_reader_t *reader, const char *text,
                        size_t size) {
  au_json_scan_begin(&reader->scan, AU_DIALECT_STRICT, text, size);
  au_token_t token;
  do
    au_json_scan_read(&reader->scan, &token);
  while (take_token(reader, &token) != 0);
  return token.kind == AU_TOKEN_END && reader->has_value &&
         !reader->decoded.failed;
}

/* --- YAJL -----------------------------------------------------------------*/

/* A string without escapes is in the body, see base/json_parser.h. */
static au_text_kind_t kind_of(const au_json_reader_t *reader,
                              const unsigned char *text) {
  uintptr_t offset = (uintptr_t)text - (uintptr_t)reader->body;
  return offset < reader->size ? AU_TEXT_PLAIN : AU_TEXT_DECODED;
}

static int yajl_on_null(void *context) { return on_literal(context, "null"); }

static int yajl_on_boolean(void *context, int value) {
  return on_literal(context, value != 0 ? "true" : "false");
}

static int yajl_on_number(void *context, const char *text, size_t size) {
  return on_number(context, text, size);
}

static int yajl_on_string(void *context, const unsigned char *text,
                          size_t size) {
  return on_string(context, (const char *)text, size, kind_of(context, text));
}

static int yajl_on_key(void *context, const unsigned char *text, size_t size) {
  return on_key(context, (const char *)text, size, kind_of(context, text));
}

static int yajl_on_object(void *context) { return on_object(context); }
static int yajl_on_object_end(void *context) { return on_object_end(context); }
static int yajl_on_array(void *context) { return on_array(context); }
static int yajl_on_array_end(void *context) { return on_array_end(context); }

static const yajl_callbacks callbacks = {.yajl_null = yajl_on_null,
                                         .yajl_boolean = yajl_on_boolean,
                                         .yajl_number = yajl_on_number,
                                         .yajl_string = yajl_on_string,
                                         .yajl_start_map = yajl_on_object,
                                         .yajl_map_key = yajl_on_key,
                                         .yajl_end_map = yajl_on_object_end,
                                         .yajl_start_array = yajl_on_array,
                                         .yajl_end_array = yajl_on_array_end};

/* --- bodies ---------------------------------------------------------------*/

/* The text is not JSON: "what" is wrong at this byte of the body, or of the
 * line, which begins at "start". A line is refused alone. */
static au_intake_result_t refuse_text(au_json_reader_t *reader,
                                      const char *what, size_t start,
                                      size_t byte) {
  if (reader->shape == AU_JSON_BODY)
    return au_intake_malformed(reader->intake, what, start + byte);
  au_json_parser_reset(reader->parser);
  return au_intake_refuse_text(reader->intake, what, byte);
}

/* What it means that the parser has stopped in the "size" bytes of the body
 * from "at" on; what is read begins at "start". */
static au_intake_result_t explain(au_json_reader_t *reader,
                                  au_json_result_t json, size_t start,
                                  size_t at, size_t size) {
  if (json == AU_JSON_NOMEM)
    return AU_INTAKE_NOMEM;
  if (json == AU_JSON_CANCELED && reader->result != AU_INTAKE_MALFORMED)
    return reader->result;
  size_t offset = 0;
  const char *what =
      au_json_parser_explain(reader->parser, reader->body + at, size, &offset);
  if (json == AU_JSON_CANCELED)
    what = "more than one JSON value in a line";
  return refuse_text(reader, what, start, at - start + offset);
}

/* YAJL takes \f and \v for white space, JSON does not. Neither may be in a
 * string. The first of them, or SIZE_MAX. */
static size_t find_false_space(const char *body, size_t size) {
  const char *feed = memchr(body, '\f', size);
  size_t before = feed != NULL ? (size_t)(feed - body) : size;
  const char *tab = memchr(body, '\v', before);
  if (tab != NULL)
    return (size_t)(tab - body);
  return feed != NULL ? before : SIZE_MAX;
}

/* A line was one value. */
static au_intake_result_t end_line(au_json_reader_t *reader) {
  if (reader->shape == AU_JSON_BODY)
    return AU_INTAKE_DONE;
  return reader->has_event ? au_intake_end_event(reader->intake)
                           : au_intake_refuse_value(reader->intake);
}

static void begin_value(au_json_reader_t *reader) {
  reader->has_value = reader->has_event = false;
  reader->place = reader->home = PLACE_TOP;
  reader->result = AU_INTAKE_DONE;
}

static au_intake_result_t parse_values(au_json_reader_t *reader, size_t start,
                                       size_t size) {
  const char *piece = reader->body + start;
  begin_value(reader);
  size_t false_space = find_false_space(piece, size);
  if (false_space != SIZE_MAX)
    return refuse_text(reader, "unexpected character", start, false_space);
  au_json_result_t json = au_json_parser_feed(reader->parser, piece, size);
  if (json != AU_JSON_OK)
    return explain(reader, json, start, start, size);
  json = au_json_parser_feed(reader->parser, END, sizeof(END) - 1);
  if (json == AU_JSON_CANCELED || json == AU_JSON_NOMEM)
    return explain(reader, json, start, start + size, 0);
  if (json != AU_JSON_OK || !reader->has_value || reader->place != PLACE_TOP)
    return refuse_text(reader, "unexpected end of JSON", start, size);
  return end_line(reader);
}

au_intake_result_t au_json_read_value(au_json_reader_t *reader, size_t start,
                                      size_t size) {
  au_intake_mark_t mark = au_intake_mark(reader->intake);
  begin_value(reader);
  if (!reader->is_parsed_only &&
      scan_values(reader, reader->body + start, size))
    return end_line(reader);
  au_intake_rewind(reader->intake, &mark);
  return parse_values(reader, start, size);
}

/* --- the interface --------------------------------------------------------*/

au_json_reader_t *au_json_reader_create(au_intake_t *intake) {
  au_json_reader_t *reader = calloc(1, sizeof(*reader));
  if (reader == NULL)
    return NULL;
  reader->intake = intake;
  reader->event = &intake->event;
  reader->metadata = &intake->event.metadata;
  reader->parser = au_json_parser_create(&callbacks, reader);
  if (reader->parser == NULL) {
    free(reader);
    return NULL;
  }
  return reader;
}

void au_json_reader_parse_only(au_json_reader_t *reader) {
  reader->is_parsed_only = true;
}

void au_json_reader_charge(au_json_reader_t *reader, au_account_t *account) {
  reader->copy.account = account;
  reader->decoded.account = account;
  au_json_scan_charge(&reader->scan, account);
  au_json_parser_charge(reader->parser, account);
}

void au_json_reader_destroy(au_json_reader_t *reader) {
  if (reader == NULL)
    return;
  au_json_parser_destroy(reader->parser);
  au_json_scan_fini(&reader->scan);
  au_bytes_fini(&reader->decoded);
  au_bytes_fini(&reader->copy);
  free(reader);
}

au_intake_result_t au_json_open(au_json_reader_t *reader, au_json_shape_t shape,
                                const char *body, size_t size,
                                size_t *out_start) {
  if (!au_storable_mark_surrogates(body, size, &reader->copy))
    return AU_INTAKE_NOMEM;
  bool is_marked = reader->copy.size > 0;
  reader->body = is_marked ? (const char *)reader->copy.data : body;
  reader->size = size;
  reader->shape = shape;
  /* A mark of byte order is no JSON, but editors and spreadsheets put one. */
  bool has_bom = size >= BOM_SIZE && memcmp(body, BOM, BOM_SIZE) == 0;
  *out_start = has_bom ? BOM_SIZE : 0;
  return AU_INTAKE_DONE;
}

au_intake_result_t au_json_close(au_json_reader_t *reader,
                                 au_intake_result_t result) {
  if (result == AU_INTAKE_DONE)
    au_json_parser_finish(reader->parser);
  else
    au_json_parser_reset(reader->parser);
  reader->body = NULL;
  au_bytes_clear(&reader->copy, KEEP_BYTES);
  au_bytes_clear(&reader->decoded, KEEP_BYTES);
  return result;
}

au_intake_result_t au_json_read(au_json_reader_t *reader, const char *body,
                                size_t size) {
  size_t start = 0;
  au_intake_result_t result =
      au_json_open(reader, AU_JSON_BODY, body, size, &start);
  if (result == AU_INTAKE_DONE)
    result = au_json_read_value(reader, start, size - start);
  return au_json_close(reader, result);
}
