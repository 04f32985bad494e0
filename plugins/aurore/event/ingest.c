/* SPDX-License-Identifier: MIT
 *
 * ingest - the callbacks of the parser, which know where in the text they are,
 * and the three forms of a body.
 *
 *   top ──{──► event ──"metadata": {──► metadata
 *    │[          │ a value that is an object or an array where none may be
 *    ▼           ▼
 *   array ──[──► skipped
 *
 * From "skipped" the way leads back to where it came from.
 */
#include "event/ingest.h"

#include "base/array.h"
#include "base/json_parser.h"
#include "event/validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Kept from request to request; the rows have a bound of their own. */
#define KEEP_BYTES ((size_t)32 << 10)
#define KEEP_IDS ((size_t)2048)
#define KEEP_ERRORS ((size_t)1024)

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

typedef struct au_ingest_scratch {
  au_ingest_t *ingest;
  au_json_parser_t *parser;
  au_judge_t judge;
  au_bytes_t copy; /* of a body with lone surrogates */

  /* The parse that goes on. */
  const char *body;
  size_t size;
  au_ingest_format_t format;
  int64_t now_us;
  place_t place;
  place_t home;              /* where events stand: top or array */
  place_t outer;             /* where "skipped" leads back to */
  size_t skipped_level;      /* brackets open in what is skipped */
  bool has_value;            /* of the body, or of the line */
  au_ingest_result_t result; /* why a callback has canceled */
} scratch_t;

/* --- results --------------------------------------------------------------*/

static int cancel(scratch_t *scratch, au_ingest_result_t result) {
  scratch->result = result;
  return 0;
}

static bool accept(scratch_t *scratch, au_event_t *event) {
  au_ingest_t *ingest = scratch->ingest;
  au_uuid_t *ids = au_array_grow(ingest->ids, &ingest->ids_capacity,
                                 ingest->rows.count, sizeof(*ids));
  if (ids == NULL)
    return false;
  ingest->ids = ids;
  event->id = au_uuid_v7();
  event->ingested_at_us = scratch->now_us;
  ingest->ids[ingest->rows.count] = event->id;
  return au_rows_append(&ingest->rows, event) == AU_OK;
}

/* Notes that the newest event is refused for what has been put into errors_json
 * from "offset" on. */
static bool refuse(scratch_t *scratch, size_t offset) {
  au_ingest_t *ingest = scratch->ingest;
  if (ingest->errors_json.failed)
    return false;
  au_ingest_error_t *errors =
      au_array_grow(ingest->errors, &ingest->errors_capacity,
                    ingest->errors_count, sizeof(*errors));
  if (errors == NULL)
    return false;
  ingest->errors = errors;
  ingest->errors[ingest->errors_count++] =
      (au_ingest_error_t){.index = ingest->total - 1,
                          .offset = offset,
                          .size = ingest->errors_json.size - offset};
  return true;
}

static int finish_event(scratch_t *scratch) {
  au_bytes_t *json = &scratch->ingest->errors_json;
  size_t offset = json->size;
  au_event_t event = {.occurred_at_us = 0};
  bool done = false;
  au_status_t status = au_judge_finish(&scratch->judge, &event);
  if (status == AU_OK) {
    done = accept(scratch, &event);
  } else if (status == AU_INVALID) {
    au_judge_put_errors(&scratch->judge, json);
    done = refuse(scratch, offset);
  }
  return done ? 1 : cancel(scratch, AU_INGEST_NOMEM);
}

/* --- places ---------------------------------------------------------------*/

/* A value begins outside of every event. */
static int admit_value(scratch_t *scratch) {
  if (scratch->place != PLACE_TOP)
    return 1;
  /* One body, or one line, is one value. */
  if (scratch->has_value)
    return cancel(scratch, AU_INGEST_MALFORMED);
  scratch->has_value = true;
  return 1;
}

/* The same, and the value is an event, or should be. */
static int admit_event(scratch_t *scratch) {
  if (admit_value(scratch) == 0)
    return 0;
  au_ingest_t *ingest = scratch->ingest;
  if (ingest->total == ingest->limits->max_batch_events)
    return cancel(scratch, AU_INGEST_TOO_MANY);
  ingest->total++;
  if (scratch->place == PLACE_TOP && scratch->format == AU_INGEST_JSON)
    ingest->is_single = true;
  return 1;
}

/* A value that is not an object stands where an event should. */
static int refuse_value(scratch_t *scratch) {
  if (admit_event(scratch) == 0)
    return 0;
  au_bytes_t *json = &scratch->ingest->errors_json;
  size_t offset = json->size;
  au_judge_put_not_object(json);
  return refuse(scratch, offset) ? 1 : cancel(scratch, AU_INGEST_NOMEM);
}

static int skip(scratch_t *scratch) {
  scratch->outer = scratch->place;
  scratch->place = PLACE_SKIPPED;
  scratch->skipped_level = 1;
  return 1;
}

static int end_skipped(scratch_t *scratch) {
  if (--scratch->skipped_level == 0)
    scratch->place = scratch->outer;
  return 1;
}

/* --- callbacks ------------------------------------------------------------*/

/* A string without escapes stands in the body, see json_parser.h. */
static au_text_kind_t kind_of(const scratch_t *scratch,
                              const unsigned char *text) {
  uintptr_t offset = (uintptr_t)text - (uintptr_t)scratch->body;
  return offset < scratch->size ? AU_TEXT_PLAIN : AU_TEXT_DECODED;
}

static int on_literal(scratch_t *scratch, const char *text) {
  switch (scratch->place) {
  case PLACE_TOP:
  case PLACE_ARRAY:
    return refuse_value(scratch);
  case PLACE_EVENT:
    if (text[0] == 'n')
      au_judge_null(&scratch->judge);
    else
      au_judge_other(&scratch->judge);
    break;
  case PLACE_METADATA:
    au_metadata_literal(&scratch->judge.metadata, text);
    break;
  case PLACE_SKIPPED:
    break;
  }
  return 1;
}

static int on_null(void *context) { return on_literal(context, "null"); }

static int on_boolean(void *context, int value) {
  return on_literal(context, value != 0 ? "true" : "false");
}

static int on_number(void *context, const char *text, size_t size) {
  scratch_t *scratch = context;
  switch (scratch->place) {
  case PLACE_TOP:
  case PLACE_ARRAY:
    return refuse_value(scratch);
  case PLACE_EVENT:
    au_judge_number(&scratch->judge, text, size);
    break;
  case PLACE_METADATA:
    au_metadata_number(&scratch->judge.metadata, text, size);
    break;
  case PLACE_SKIPPED:
    break;
  }
  return 1;
}

static int on_string(void *context, const unsigned char *data, size_t size) {
  scratch_t *scratch = context;
  const char *text = (const char *)data;
  switch (scratch->place) {
  case PLACE_TOP:
  case PLACE_ARRAY:
    return refuse_value(scratch);
  case PLACE_EVENT:
    au_judge_string(&scratch->judge, text, size, kind_of(scratch, data));
    break;
  case PLACE_METADATA:
    au_metadata_string(&scratch->judge.metadata, text, size,
                       kind_of(scratch, data));
    break;
  case PLACE_SKIPPED:
    break;
  }
  return 1;
}

static int on_map_key(void *context, const unsigned char *data, size_t size) {
  scratch_t *scratch = context;
  const char *text = (const char *)data;
  if (scratch->place == PLACE_EVENT)
    au_judge_key(&scratch->judge, text, size);
  else if (scratch->place == PLACE_METADATA)
    au_metadata_key(&scratch->judge.metadata, text, size,
                    kind_of(scratch, data));
  return 1;
}

static int on_start_map(void *context) {
  scratch_t *scratch = context;
  switch (scratch->place) {
  case PLACE_TOP:
  case PLACE_ARRAY:
    if (admit_event(scratch) == 0)
      return 0;
    scratch->place = PLACE_EVENT;
    au_judge_begin(&scratch->judge);
    break;
  case PLACE_EVENT:
    if (au_judge_object(&scratch->judge) == NULL)
      return skip(scratch);
    scratch->place = PLACE_METADATA;
    break;
  case PLACE_METADATA:
    au_metadata_open(&scratch->judge.metadata, '{');
    break;
  case PLACE_SKIPPED:
    scratch->skipped_level++;
    break;
  }
  return 1;
}

static int on_end_map(void *context) {
  scratch_t *scratch = context;
  switch (scratch->place) {
  case PLACE_EVENT:
    scratch->place = scratch->home;
    return finish_event(scratch);
  case PLACE_METADATA:
    if (scratch->judge.metadata.level > 0) {
      au_metadata_close(&scratch->judge.metadata, '}');
      break;
    }
    au_metadata_end(&scratch->judge.metadata);
    scratch->place = PLACE_EVENT;
    break;
  case PLACE_SKIPPED:
    return end_skipped(scratch);
  case PLACE_TOP:
  case PLACE_ARRAY:
    break; /* no object is open there */
  }
  return 1;
}

static int on_start_array(void *context) {
  scratch_t *scratch = context;
  switch (scratch->place) {
  case PLACE_TOP:
    if (scratch->format == AU_INGEST_JSON) {
      int is_admitted = admit_value(scratch);
      scratch->home = scratch->place = PLACE_ARRAY;
      return is_admitted;
    }
    return refuse_value(scratch) != 0 ? skip(scratch) : 0;
  case PLACE_ARRAY:
    return refuse_value(scratch) != 0 ? skip(scratch) : 0;
  case PLACE_EVENT:
    au_judge_other(&scratch->judge);
    return skip(scratch);
  case PLACE_METADATA:
    au_metadata_open(&scratch->judge.metadata, '[');
    break;
  case PLACE_SKIPPED:
    scratch->skipped_level++;
    break;
  }
  return 1;
}

static int on_end_array(void *context) {
  scratch_t *scratch = context;
  switch (scratch->place) {
  case PLACE_ARRAY:
    scratch->place = PLACE_TOP;
    break;
  case PLACE_METADATA:
    au_metadata_close(&scratch->judge.metadata, ']');
    break;
  case PLACE_SKIPPED:
    return end_skipped(scratch);
  case PLACE_TOP:
  case PLACE_EVENT:
    break; /* no array is open there */
  }
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

/* --- bodies ---------------------------------------------------------------*/

static au_ingest_result_t malformed(scratch_t *scratch, const char *what,
                                    size_t byte) {
  au_ingest_t *ingest = scratch->ingest;
  (void)snprintf(ingest->message, sizeof(ingest->message), "%s at byte %zu",
                 what, byte);
  return AU_INGEST_MALFORMED;
}

/* What it means that the parser has stopped in the piece of the body from
 * "start" on. */
static au_ingest_result_t explain(scratch_t *scratch, au_json_result_t json,
                                  size_t start, size_t size) {
  if (json == AU_JSON_NOMEM)
    return AU_INGEST_NOMEM;
  if (json == AU_JSON_CANCELED && scratch->result != AU_INGEST_MALFORMED)
    return scratch->result;
  size_t offset = 0;
  const char *what = au_json_parser_explain(
      scratch->parser, scratch->body + start, size, &offset);
  if (json == AU_JSON_CANCELED)
    what = scratch->format == AU_INGEST_JSON
               ? "more than one JSON value"
               : "more than one JSON value in a line";
  return malformed(scratch, what, start + offset);
}

/* YAJL takes \f and \v for white space, JSON does not. Neither may stand in a
 * string. The first of them, or SIZE_MAX. */
static size_t find_false_space(const char *body, size_t size) {
  const char *feed = memchr(body, '\f', size);
  size_t before = feed != NULL ? (size_t)(feed - body) : size;
  const char *tab = memchr(body, '\v', before);
  if (tab != NULL)
    return (size_t)(tab - body);
  return feed != NULL ? before : SIZE_MAX;
}

/* Feeds one body, or one line, which must be one value. */
static au_ingest_result_t parse_piece(scratch_t *scratch, size_t start,
                                      size_t size) {
  scratch->has_value = false;
  scratch->place = scratch->home = PLACE_TOP;
  scratch->result = AU_INGEST_DONE;
  const char *piece = scratch->body + start;
  au_json_result_t json = au_json_parser_feed(scratch->parser, piece, size);
  if (json != AU_JSON_OK)
    return explain(scratch, json, start, size);
  json = au_json_parser_feed(scratch->parser, END, sizeof(END) - 1);
  if (json == AU_JSON_CANCELED || json == AU_JSON_NOMEM)
    return explain(scratch, json, start + size, 0);
  if (json != AU_JSON_OK || !scratch->has_value || scratch->place != PLACE_TOP)
    return malformed(scratch, "unexpected end of JSON", start + size);
  return AU_INGEST_DONE;
}

static bool is_blank_line(const char *line, size_t size) {
  for (size_t at = 0; at < size; at++)
    if (line[at] != ' ' && line[at] != '\t' && line[at] != '\r')
      return false;
  return true;
}

static au_ingest_result_t parse_lines(scratch_t *scratch, size_t start) {
  while (start < scratch->size) {
    const char *line = scratch->body + start;
    const char *end = memchr(line, '\n', scratch->size - start);
    size_t size = end != NULL ? (size_t)(end - line) : scratch->size - start;
    if (!is_blank_line(line, size)) {
      au_ingest_result_t result = parse_piece(scratch, start, size);
      if (result != AU_INGEST_DONE)
        return result;
    }
    start += size + 1;
  }
  return AU_INGEST_DONE;
}

static au_ingest_result_t parse_text(scratch_t *scratch) {
  size_t size = scratch->size;
  size_t false_space = find_false_space(scratch->body, size);
  if (false_space != SIZE_MAX)
    return malformed(scratch, "unexpected character", false_space);
  /* A mark of byte order is no JSON, but editors and spreadsheets put one. */
  size_t start = size >= BOM_SIZE && memcmp(scratch->body, BOM, BOM_SIZE) == 0
                     ? BOM_SIZE
                     : 0;
  return scratch->format == AU_INGEST_JSON
             ? parse_piece(scratch, start, size - start)
             : parse_lines(scratch, start);
}

/* --- the interface --------------------------------------------------------*/

au_status_t au_ingest_init(au_ingest_t *ingest, const au_limits_t *limits) {
  *ingest = (au_ingest_t){.limits = limits};
  scratch_t *scratch = calloc(1, sizeof(*scratch));
  if (scratch == NULL)
    return AU_NOMEM;
  scratch->ingest = ingest;
  au_judge_init(&scratch->judge, limits);
  scratch->parser = au_json_parser_create(&callbacks, scratch);
  if (scratch->parser == NULL) {
    free(scratch);
    return AU_NOMEM;
  }
  ingest->scratch = scratch;
  return AU_OK;
}

void au_ingest_fini(au_ingest_t *ingest) {
  scratch_t *scratch = ingest->scratch;
  if (scratch != NULL) {
    au_json_parser_destroy(scratch->parser);
    au_judge_fini(&scratch->judge);
    au_bytes_fini(&scratch->copy);
    free(scratch);
  }
  au_rows_fini(&ingest->rows);
  au_bytes_fini(&ingest->errors_json);
  free(ingest->ids);
  free(ingest->errors);
  *ingest = (au_ingest_t){.limits = NULL};
}

/* Forgets the last results, and gives back what a huge request has grown. */
static void clear(au_ingest_t *ingest) {
  ingest->is_single = false;
  ingest->total = 0;
  ingest->errors_count = 0;
  au_rows_clear(&ingest->rows);
  au_bytes_clear(&ingest->errors_json, KEEP_BYTES);
  if (ingest->ids_capacity > KEEP_IDS) {
    free(ingest->ids);
    ingest->ids = NULL;
    ingest->ids_capacity = 0;
  }
  if (ingest->errors_capacity > KEEP_ERRORS) {
    free(ingest->errors);
    ingest->errors = NULL;
    ingest->errors_capacity = 0;
  }
}

au_ingest_result_t au_ingest_parse(au_ingest_t *ingest,
                                   au_ingest_format_t format, const char *body,
                                   size_t size, int64_t now_us) {
  scratch_t *scratch = ingest->scratch;
  clear(ingest);
  ingest->message[0] = '\0';
  au_bytes_clear(&scratch->copy, KEEP_BYTES);
  if (size > 0 && !au_storable_mark_surrogates(body, size, &scratch->copy))
    return AU_INGEST_NOMEM;
  bool is_marked = scratch->copy.size > 0;
  scratch->body = is_marked ? (const char *)scratch->copy.data : body;
  if (size == 0)
    scratch->body = ""; /* "body" may be NULL then */
  scratch->size = size;
  scratch->format = format;
  scratch->now_us = now_us;

  au_ingest_result_t result = parse_text(scratch);
  if (result == AU_INGEST_DONE) {
    au_json_parser_finish(scratch->parser);
  } else {
    au_json_parser_reset(scratch->parser);
    clear(ingest); /* nothing of it may be taken */
  }
  scratch->body = NULL;
  return result;
}
