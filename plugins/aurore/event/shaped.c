/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/shaped.h"

#include <string.h>

static const char BOM[] = "\xEF\xBB\xBF";
#define BOM_SIZE 3

void au_shaped_init(au_shaped_t *reader, au_intake_t *intake) {
  *reader = (au_shaped_t){.intake = intake};
  au_mapping_init(&reader->mapping, intake);
}

void au_shaped_charge(au_shaped_t *reader, au_account_t *account) {
  au_mapping_charge(&reader->mapping, account);
  au_json_scan_charge(&reader->scan, account);
  au_json_scan_charge(&reader->within, account);
  au_members_charge(&reader->envelope, account);
}

void au_shaped_fini(au_shaped_t *reader) {
  au_mapping_fini(&reader->mapping);
  au_json_scan_fini(&reader->scan);
  au_json_scan_fini(&reader->within);
  au_members_fini(&reader->envelope);
}

/* Why a scan has ended early; "start" is where its text is in the body. */
static au_intake_result_t explain(au_shaped_t *reader,
                                  const au_json_scan_t *scan, au_token_t token,
                                  size_t start) {
  return token.kind == AU_TOKEN_NOMEM
             ? AU_INTAKE_NOMEM
             : au_intake_malformed(reader->intake, scan->fault,
                                   start + scan->at);
}

/* --- events ---------------------------------------------------------------*/

/* An object begins that is an event; *last becomes its last token. */
static au_intake_result_t push_event(au_shaped_t *reader, au_json_scan_t *scan,
                                     au_token_t first, au_token_t *last) {
  au_mapping_t *mapping = &reader->mapping;
  au_members_begin(&mapping->members, au_mapping_dialect(reader->shape));
  *last = au_members_read(&mapping->members, scan);
  if (last->kind != AU_TOKEN_CLOSE)
    return AU_INTAKE_DONE; /* the caller sees why */
  first.size = (size_t)(last->text + last->size - first.text);
  return au_mapping_push(mapping, reader->shape, first);
}

/* A value begins where an event should be. */
static au_intake_result_t push_value(au_shaped_t *reader, au_json_scan_t *scan,
                                     au_token_t first, au_token_t *last) {
  if (first.kind == AU_TOKEN_OBJECT)
    return push_event(reader, scan, first, last);
  *last = au_json_scan_skip(scan, first);
  return au_token_is_broken(*last) ? AU_INTAKE_DONE
                                   : au_intake_refuse_value(reader->intake);
}

/* --- events within an object ----------------------------------------------*/

/* The array of events within an object; AU_FOUND_NOTHING: there is none. */
static au_found_t find_events(au_shaped_t *reader, au_found_t object) {
  const au_shape_t *shape = reader->shape;
  const au_paths_t *paths = &shape->field[AU_SHAPE_EVENTS];
  au_members_t *members = &reader->envelope;
  au_members_begin(members, au_mapping_dialect(shape));
  for (size_t i = 0; i < paths->count; i++) {
    au_found_t found =
        au_members_follow(members, object, shape, &paths->path[i], 0);
    bool is_empty = found.kind == AU_TOKEN_STRING && found.size == 0;
    if (found.kind != AU_TOKEN_END && found.kind != AU_TOKEN_NULL && !is_empty)
      return found.kind == AU_TOKEN_ARRAY ? found : AU_FOUND_NOTHING;
  }
  return AU_FOUND_NOTHING;
}

/* Pushes the events within an object, which is valid. */
static au_intake_result_t push_within(au_shaped_t *reader, au_found_t object) {
  au_found_t events = find_events(reader, object);
  if (reader->envelope.failed)
    return AU_INTAKE_NOMEM;
  if (events.kind != AU_TOKEN_ARRAY)
    return au_intake_refuse_no_events(reader->intake);
  au_json_scan_t *scan = &reader->within;
  au_json_scan_begin(scan, au_mapping_dialect(reader->shape), events.text,
                     events.size);
  au_token_t token = au_json_scan_next(scan); /* its bracket */
  au_intake_result_t result = AU_INTAKE_DONE;
  while (result == AU_INTAKE_DONE && !au_token_is_broken(token)) {
    token = au_json_scan_next(scan);
    if (token.kind == AU_TOKEN_CLOSE)
      return AU_INTAKE_DONE;
    result = push_value(reader, scan, token, &token);
  }
  return result == AU_INTAKE_DONE ? AU_INTAKE_NOMEM : result;
}

/* A value begins that is an event, or has events within it. */
static au_intake_result_t push_outer(au_shaped_t *reader, au_token_t first,
                                     au_token_t *last) {
  au_json_scan_t *scan = &reader->scan;
  bool has_events = reader->shape->field[AU_SHAPE_EVENTS].count > 0;
  if (!has_events || first.kind != AU_TOKEN_OBJECT)
    return push_value(reader, scan, first, last);
  *last = au_json_scan_skip(scan, first);
  if (au_token_is_broken(*last))
    return AU_INTAKE_DONE;
  first.size = (size_t)(last->text + last->size - first.text);
  return push_within(reader, first);
}

/* --- bodies ---------------------------------------------------------------*/

/* An array of events: to its end. */
static au_intake_result_t push_array(au_shaped_t *reader, au_token_t *last) {
  au_intake_result_t result = AU_INTAKE_DONE;
  while (result == AU_INTAKE_DONE) {
    au_token_t token = au_json_scan_next(&reader->scan);
    *last = token;
    if (token.kind == AU_TOKEN_CLOSE || au_token_is_broken(token))
      return AU_INTAKE_DONE;
    result = push_outer(reader, token, last);
    if (au_token_is_broken(*last))
      return result;
  }
  return result;
}

static au_intake_result_t read_json(au_shaped_t *reader, const char *body,
                                    size_t start, size_t size) {
  au_json_scan_t *scan = &reader->scan;
  bool has_events = reader->shape->field[AU_SHAPE_EVENTS].count > 0;
  au_json_scan_begin(scan, au_mapping_dialect(reader->shape), body + start,
                     size - start);
  for (size_t values = 0;; values++) {
    au_token_t token = au_json_scan_next(scan);
    if (token.kind == AU_TOKEN_END && values > 0)
      return AU_INTAKE_DONE;
    if (token.kind == AU_TOKEN_END)
      return au_intake_malformed(reader->intake, "unexpected end of JSON",
                                 size);
    bool is_array = token.kind == AU_TOKEN_ARRAY;
    reader->intake->is_single = values == 0 && !is_array && !has_events;
    au_intake_result_t result = is_array ? push_array(reader, &token)
                                         : push_outer(reader, token, &token);
    if (result != AU_INTAKE_DONE)
      return result;
    if (au_token_is_broken(token))
      return explain(reader, scan, token, start);
  }
}

/* Whether a text is one value and nothing else, of which *out_first is the
 * first token; why not is in *out_last. */
static bool is_one_value(au_shaped_t *reader, const char *text, size_t size,
                         au_token_t *out_first, au_token_t *out_last) {
  au_json_scan_t *scan = &reader->scan;
  au_json_scan_begin(scan, au_mapping_dialect(reader->shape), text, size);
  *out_first = au_json_scan_next(scan);
  *out_last = au_json_scan_skip(scan, *out_first);
  if (au_token_is_broken(*out_last) || out_first->kind == AU_TOKEN_END)
    return false;
  size_t at = scan->at;
  *out_last = au_json_scan_next(scan);
  if (out_last->kind == AU_TOKEN_END)
    return true;
  if (out_last->kind != AU_TOKEN_INVALID && out_last->kind != AU_TOKEN_NOMEM) {
    scan->at = at;
    scan->fault = "more than one JSON value in a line";
    out_last->kind = AU_TOKEN_INVALID;
  }
  return false;
}

/* The line is read to its end before anything of it is taken. */
static au_intake_result_t read_line(au_shaped_t *reader, const char *line,
                                    size_t size) {
  au_json_scan_t *scan = &reader->scan;
  au_token_t first;
  au_token_t last;
  if (!is_one_value(reader, line, size, &first, &last)) {
    if (first.kind == AU_TOKEN_END)
      return AU_INTAKE_DONE; /* a blank line */
    if (last.kind == AU_TOKEN_NOMEM)
      return AU_INTAKE_NOMEM;
    return au_intake_refuse_text(reader->intake, scan->fault, scan->at);
  }
  au_json_scan_begin(scan, au_mapping_dialect(reader->shape), line, size);
  au_intake_result_t result =
      push_outer(reader, au_json_scan_next(scan), &last);
  return result == AU_INTAKE_DONE && au_token_is_broken(last) ? AU_INTAKE_NOMEM
                                                              : result;
}

/* The bytes of the line that begins at "start", without its end. */
static size_t line_size(const char *body, size_t start, size_t size) {
  const char *end = memchr(body + start, '\n', size - start);
  return end != NULL ? (size_t)(end - body) - start : size - start;
}

static au_intake_result_t read_lines(au_shaped_t *reader, const char *body,
                                     size_t start, size_t size) {
  au_intake_result_t result = AU_INTAKE_DONE;
  while (result == AU_INTAKE_DONE && start < size) {
    size_t length = line_size(body, start, size);
    result = read_line(reader, body + start, length);
    start += length + 1;
  }
  return result;
}

static bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static size_t skip_space(const char *body, size_t at, size_t size) {
  while (at < size && is_space(body[at]))
    at++;
  return at;
}

/* Several lines of which the first is one object are NDJSON. */
static au_intake_result_t read_guessed(au_shaped_t *reader, const char *body,
                                       size_t start, size_t size) {
  start = skip_space(body, start, size);
  if (start == size || (body[start] != '{' && body[start] != '['))
    return au_intake_malformed(reader->intake, "expected '{' or '['", start);
  size_t length = line_size(body, start, size);
  bool has_more = skip_space(body, start + length, size) < size;
  au_token_t first;
  au_token_t last;
  return has_more && body[start] == '{' &&
                 is_one_value(reader, body + start, length, &first, &last)
             ? read_lines(reader, body, start, size)
             : read_json(reader, body, start, size);
}

au_intake_result_t au_shaped_read(au_shaped_t *reader, const au_shape_t *shape,
                                  au_shaped_form_t form, const char *body,
                                  size_t size) {
  bool has_bom = size >= BOM_SIZE && memcmp(body, BOM, BOM_SIZE) == 0;
  size_t start = has_bom ? BOM_SIZE : 0;
  reader->shape = shape;
  switch (form) {
  case AU_SHAPED_LINES:
    return read_lines(reader, body, start, size);
  case AU_SHAPED_GUESS:
    return read_guessed(reader, body, start, size);
  case AU_SHAPED_JSON:
  default:
    return read_json(reader, body, start, size);
  }
}
