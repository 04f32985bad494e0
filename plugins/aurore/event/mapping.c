/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * A member of the object that becomes a field is marked as taken. What is left
 * in the end are the unknown ones: errors, or members of the metadata.
 */
#include "event/mapping.h"

#include "base/timestamp.h"
#include "base/utf8.h"
#include "event/name.h"
#include "event/storable.h"

#include <string.h>

/* Kept from event to event. */
#define KEEP_BYTES ((size_t)16 << 10)

#define NO_SERVICE "unknown_service"
#define NO_MESSAGE "(no message)"

/* UTF-8 has at most so many bytes a character. */
#define BYTES_MAX 4

void au_mapping_init(au_mapping_t *mapping, au_intake_t *intake) {
  *mapping = (au_mapping_t){.intake = intake, .event = &intake->event};
  au_trim_init(&mapping->trim, intake->limits, NULL);
}

void au_mapping_charge(au_mapping_t *mapping, au_account_t *account) {
  au_members_charge(&mapping->members, account);
  au_json_scan_charge(&mapping->scan, account);
  au_value_charge(&mapping->value, account);
  mapping->decoded.account = account;
  mapping->service.account = account;
  mapping->message.account = account;
  mapping->trim.json.account = account;
}

void au_mapping_fini(au_mapping_t *mapping) {
  au_members_fini(&mapping->members);
  au_json_scan_fini(&mapping->scan);
  au_bytes_fini(&mapping->decoded);
  au_bytes_fini(&mapping->service);
  au_bytes_fini(&mapping->message);
  au_value_fini(&mapping->value);
  au_trim_fini(&mapping->trim);
}

au_dialect_t au_mapping_dialect(const au_shape_t *shape) {
  return shape->is_lenient ? AU_DIALECT_NAN : AU_DIALECT_STRICT;
}

/* --- finding --------------------------------------------------------------*/

/* What a field is made of. */
typedef struct pick {
  au_found_t value;
  au_member_t *member; /* NULL: it is not, or a pointer has found it */
} pick_t;

static pick_t pick_name(au_mapping_t *mapping, au_slice_t name) {
  size_t index = au_members_find(&mapping->members, name);
  if (index == SIZE_MAX)
    return (pick_t){.value = AU_FOUND_NOTHING};
  au_member_t *member = &mapping->members.member[index];
  return (pick_t){.value = member->value, .member = member};
}

static pick_t pick_path(au_mapping_t *mapping, const au_path_t *path) {
  const au_shape_t *shape = mapping->shape;
  if (!path->is_pointer)
    return pick_name(mapping, au_shape_step(shape, path, 0));
  return (pick_t){.value = au_members_follow(&mapping->members, mapping->object,
                                             shape, path, 0)};
}

/* Whether it is there, and neither null nor "". */
static bool is_something(au_found_t value) {
  return value.kind != AU_TOKEN_END && value.kind != AU_TOKEN_NULL &&
         (value.kind != AU_TOKEN_STRING || value.size > 0);
}

/* The field "name", or the first of the paths in its place that leads to
 * something. */
static pick_t pick_field(au_mapping_t *mapping, au_shape_field_t field,
                         const char *name) {
  const au_paths_t *paths = &mapping->shape->field[field];
  if (paths->count == 0)
    return pick_name(mapping, (au_slice_t){.data = name, .size = strlen(name)});
  for (size_t i = 0; i < paths->count; i++) {
    pick_t pick = pick_path(mapping, &paths->path[i]);
    if (is_something(pick.value))
      return pick;
  }
  return (pick_t){.value = AU_FOUND_NOTHING};
}

static void take(pick_t pick) {
  if (pick.member != NULL)
    pick.member->is_taken = true;
}

/* The text of a string, until the next one. */
static au_slice_t text_of(au_mapping_t *mapping, au_found_t string) {
  if (!string.has_escape)
    return (au_slice_t){.data = string.text, .size = string.size};
  mapping->decoded.size = 0;
  au_token_put_text(string, &mapping->decoded);
  return (au_slice_t){.data = (const char *)mapping->decoded.data,
                      .size = mapping->decoded.size};
}

static const char *literal_of(au_token_kind_t kind) {
  return kind == AU_TOKEN_TRUE    ? "true"
         : kind == AU_TOKEN_FALSE ? "false"
                                  : "null";
}

/* --- as our own -----------------------------------------------------------*/

static void record_token(au_mapping_t *mapping, au_metadata_t *metadata,
                         au_token_t token) {
  bool is_text = token.kind == AU_TOKEN_KEY || token.kind == AU_TOKEN_STRING;
  au_slice_t text = is_text ? text_of(mapping, token) : (au_slice_t){NULL, 0};
  au_text_kind_t kind = au_text_kind_of(token);
  switch (token.kind) {
  case AU_TOKEN_KEY:
    au_metadata_key(metadata, text.data, text.size, kind);
    break;
  case AU_TOKEN_STRING:
    au_metadata_string(metadata, text.data, text.size, kind);
    break;
  case AU_TOKEN_NUMBER:
    au_metadata_number(metadata, token.text, token.size);
    break;
  case AU_TOKEN_OBJECT:
  case AU_TOKEN_ARRAY:
    au_metadata_open(metadata, token.text[0]);
    break;
  case AU_TOKEN_CLOSE:
    au_metadata_close(metadata, token.text[0]);
    break;
  case AU_TOKEN_TRUE:
  case AU_TOKEN_FALSE:
  case AU_TOKEN_NULL:
    au_metadata_literal(metadata, literal_of(token.kind));
    break;
  case AU_TOKEN_END:
  case AU_TOKEN_INVALID:
  case AU_TOKEN_NOMEM:
    break;
  }
}

static void record(au_mapping_t *mapping, au_found_t object) {
  au_metadata_t *metadata = au_validator_object(mapping->event);
  if (metadata == NULL)
    return;
  au_json_scan_t *scan = &mapping->scan;
  au_json_scan_begin(scan, mapping->members.dialect, object.text, object.size);
  au_token_t token = au_json_scan_next(scan); /* its bracket */
  while (token.kind < AU_TOKEN_END) {
    token = au_json_scan_next(scan);
    if (au_json_scan_level(scan) == 0)
      break;
    record_token(mapping, metadata, token);
  }
  mapping->decoded.failed |= token.kind == AU_TOKEN_NOMEM;
  au_metadata_end(metadata);
}

static void push_value(au_mapping_t *mapping, au_found_t value) {
  au_validator_t *event = mapping->event;
  switch (value.kind) {
  case AU_TOKEN_STRING: {
    au_slice_t text = text_of(mapping, value);
    au_validator_string(event, text.data, text.size, au_text_kind_of(value));
    break;
  }
  case AU_TOKEN_NUMBER:
    au_validator_number(event, value.text, value.size);
    break;
  case AU_TOKEN_NULL:
    au_validator_null(event);
    break;
  case AU_TOKEN_OBJECT:
    record(mapping, value);
    break;
  case AU_TOKEN_ARRAY:
  case AU_TOKEN_TRUE:
  case AU_TOKEN_FALSE:
    au_validator_other(event);
    break;
  case AU_TOKEN_CLOSE:
  case AU_TOKEN_KEY:
  case AU_TOKEN_END:
  case AU_TOKEN_INVALID:
  case AU_TOKEN_NOMEM:
    break;
  }
}

static void push_field(au_mapping_t *mapping, au_field_t field, pick_t pick) {
  take(pick);
  au_validator_field(mapping->event, field);
  push_value(mapping, pick.value);
}

static void push_strictly(au_mapping_t *mapping) {
  const au_bytes_t *service = &mapping->shape->service;
  push_field(mapping, AU_FIELD_TIMESTAMP,
             pick_field(mapping, AU_SHAPE_TIMESTAMP, "timestamp"));
  pick_t pick = pick_field(mapping, AU_SHAPE_SERVICE, "service");
  push_field(mapping, AU_FIELD_SERVICE, pick);
  if (service->size > 0 && !is_something(pick.value))
    au_validator_string(mapping->event, (const char *)service->data,
                        service->size, AU_TEXT_PLAIN);
  push_field(mapping, AU_FIELD_MESSAGE,
             pick_field(mapping, AU_SHAPE_MESSAGE, "message"));
}

static void push_rest_strictly(au_mapping_t *mapping) {
  const au_members_t *members = &mapping->members;
  pick_t metadata = pick_name(mapping, (au_slice_t){"metadata", 8});
  if (metadata.member != NULL && !metadata.member->is_taken)
    push_field(mapping, AU_FIELD_METADATA, metadata);
  for (size_t i = 0; i < members->count; i++) {
    au_slice_t name = au_members_name(members, i);
    if (!members->member[i].is_taken)
      au_validator_unknown(mapping->event, name.data, name.size);
  }
}

/* --- leniently ------------------------------------------------------------*/

static void copy_token(au_mapping_t *mapping, au_token_t token) {
  au_value_t *value = &mapping->value;
  bool is_text = token.kind == AU_TOKEN_KEY || token.kind == AU_TOKEN_STRING;
  au_slice_t text = is_text ? text_of(mapping, token) : (au_slice_t){NULL, 0};
  switch (token.kind) {
  case AU_TOKEN_KEY:
    au_value_key(value, text.data, text.size);
    break;
  case AU_TOKEN_STRING:
    au_value_string(value, text.data, text.size);
    break;
  case AU_TOKEN_NUMBER:
    au_value_number(value, token.text, token.size);
    break;
  case AU_TOKEN_OBJECT:
  case AU_TOKEN_ARRAY:
    au_value_open(value, token.text[0]);
    break;
  case AU_TOKEN_CLOSE:
    au_value_close(value, token.text[0]);
    break;
  case AU_TOKEN_TRUE:
  case AU_TOKEN_FALSE:
  case AU_TOKEN_NULL:
    au_value_literal(value, literal_of(token.kind));
    break;
  case AU_TOKEN_END:
  case AU_TOKEN_INVALID:
  case AU_TOKEN_NOMEM:
    break;
  }
}

/* Makes mapping->value of what was found, up to "max" bytes. */
static void copy_value(au_mapping_t *mapping, au_found_t found, size_t max) {
  au_json_scan_t *scan = &mapping->scan;
  au_value_begin(&mapping->value, max);
  if (found.kind != AU_TOKEN_OBJECT && found.kind != AU_TOKEN_ARRAY) {
    copy_token(mapping, found);
    return;
  }
  au_json_scan_begin(scan, mapping->members.dialect, found.text, found.size);
  au_token_t token;
  do {
    token = au_json_scan_next(scan);
    copy_token(mapping, token);
  } while (au_json_scan_level(scan) > 0 && token.kind < AU_TOKEN_END &&
           !mapping->value.is_long);
  mapping->decoded.failed |= token.kind == AU_TOKEN_NOMEM;
}

/* Appends the text of a field, or its JSON: at most "max" characters. */
static void put_text(au_mapping_t *mapping, au_found_t found, size_t max,
                     au_bytes_t *to) {
  au_slice_t text = {.data = found.text, .size = found.size};
  bool is_long = false;
  if (found.kind == AU_TOKEN_STRING) {
    text = text_of(mapping, found);
  } else if (found.kind != AU_TOKEN_NUMBER) {
    copy_value(mapping, found, max * BYTES_MAX);
    text = (au_slice_t){.data = (const char *)mapping->value.json.data,
                        .size = mapping->value.json.size};
    is_long = mapping->value.is_long;
    to->failed |= mapping->value.json.failed;
  }
  mapping->is_cut |=
      au_storable_put_text(to, text.data, text.size, max) || is_long;
}

static void push_text(au_mapping_t *mapping, au_field_t field,
                      const au_bytes_t *text) {
  au_validator_field(mapping->event, field);
  au_validator_string(mapping->event, (const char *)text->data, text->size,
                      AU_TEXT_PLAIN);
}

static bool read_time(au_mapping_t *mapping, au_found_t found,
                      int64_t *out_us) {
  if (found.kind == AU_TOKEN_NUMBER)
    return au_timestamp_parse_number(found.text, found.size, out_us);
  if (found.kind != AU_TOKEN_STRING)
    return false;
  au_slice_t text = text_of(mapping, found);
  return au_timestamp_parse(text.data, text.size, out_us);
}

/* A time that cannot be read stays with the unknown members. */
static void push_time(au_mapping_t *mapping) {
  pick_t pick = pick_field(mapping, AU_SHAPE_TIMESTAMP, "timestamp");
  int64_t us = 0;
  if (read_time(mapping, pick.value, &us)) {
    take(pick);
    au_validator_field(mapping->event, AU_FIELD_TIMESTAMP);
    au_validator_time(mapping->event, us);
    return;
  }
  if (!is_something(pick.value))
    take(pick);
  au_validator_assume_time(mapping->event, mapping->intake->now_us);
}

static void push_service(au_mapping_t *mapping) {
  size_t max = mapping->intake->limits->service_max_length;
  au_bytes_t *text = &mapping->service;
  const au_bytes_t *given = &mapping->shape->service;
  pick_t pick = pick_field(mapping, AU_SHAPE_SERVICE, "service");
  take(pick);
  au_bytes_clear(text, KEEP_BYTES);
  if (is_something(pick.value))
    put_text(mapping, pick.value, max, text);
  if (au_utf8_is_blank((const char *)text->data, text->size)) {
    text->size = 0;
    if (given->size > 0)
      au_bytes_put(text, given->data, given->size);
    else
      (void)au_storable_put_text(text, NO_SERVICE, strlen(NO_SERVICE), max);
  }
  push_text(mapping, AU_FIELD_SERVICE, text);
}

static void push_message(au_mapping_t *mapping) {
  size_t max = mapping->intake->limits->message_max_length;
  au_bytes_t *text = &mapping->message;
  pick_t pick = pick_field(mapping, AU_SHAPE_MESSAGE, "message");
  take(pick);
  au_bytes_clear(text, KEEP_BYTES);
  if (is_something(pick.value))
    put_text(mapping, pick.value, max, text);
  else
    (void)au_storable_put_text(text, NO_MESSAGE, strlen(NO_MESSAGE), max);
  push_text(mapping, AU_FIELD_MESSAGE, text);
}

static void put_members(au_mapping_t *mapping, size_t from, size_t to) {
  const au_members_t *members = &mapping->members;
  for (size_t i = from; i < to; i++) {
    if (members->member[i].is_taken)
      continue;
    au_slice_t name = au_members_name(members, i);
    copy_value(mapping, members->member[i].value,
               mapping->intake->limits->metadata_max_bytes);
    (void)au_trim_put(&mapping->trim, name.data, name.size, &mapping->value);
  }
}

/* The members of "metadata" follow those of the object, so that they win where
 * names are the same; but they are put first. */
static void push_rest_leniently(au_mapping_t *mapping) {
  au_members_t *members = &mapping->members;
  au_trim_t *trim = &mapping->trim;
  pick_t metadata = pick_name(mapping, (au_slice_t){"metadata", 8});
  bool is_free = metadata.member != NULL && !metadata.member->is_taken;
  bool is_object = is_free && metadata.value.kind == AU_TOKEN_OBJECT;
  size_t own = members->count;
  if (is_object || (is_free && metadata.value.kind == AU_TOKEN_NULL))
    take(metadata);
  if (is_object)
    au_members_add(members, metadata.value);
  au_members_mark_repeated(members);
  bool has_mark = mapping->is_cut;
  do {
    au_trim_begin(trim, has_mark);
    put_members(mapping, own, members->count);
    put_members(mapping, 0, own);
    has_mark = true;
  } while (!au_trim_end(trim));
  if (is_object || !au_trim_is_empty(trim))
    au_validator_metadata(mapping->event, (const char *)trim->json.data,
                          trim->json.size);
}

/* --- ids ------------------------------------------------------------------*/

/* What was found as an id is none, a UUID, or something of which one is made.
 */
typedef enum id_kind { ID_NONE, ID_UUID, ID_TEXT } id_kind_t;

static bool is_nil_uuid(au_slice_t text) {
  static const char hyphens[] = "00000000-0000-0000-0000-000000000000";
  static const char plain[] = "00000000000000000000000000000000";
  return (text.size == strlen(hyphens) &&
          memcmp(text.data, hyphens, text.size) == 0) ||
         (text.size == strlen(plain) &&
          memcmp(text.data, plain, text.size) == 0);
}

static id_kind_t read_id(au_mapping_t *mapping, au_found_t found,
                         au_uuid_t *out_id) {
  if (found.kind == AU_TOKEN_NUMBER)
    return ID_TEXT;
  if (found.kind != AU_TOKEN_STRING || found.size == 0)
    return ID_NONE;
  au_slice_t text = text_of(mapping, found);
  if (au_uuid_parse_id(text.data, text.size, out_id))
    return ID_UUID;
  return is_nil_uuid(text) ? ID_NONE : ID_TEXT;
}

/* The id that follows from the text and from the service as it is stored. */
static bool push_text_id(au_mapping_t *mapping, au_found_t found) {
  au_slice_t text = {.data = found.text, .size = found.size};
  au_uuid_t id;
  if (found.kind == AU_TOKEN_STRING)
    text = text_of(mapping, found);
  if (mapping->event->failed[AU_FIELD_SERVICE] != 0)
    return true; /* the event is refused */
  if (!au_name_of_text("id", mapping->event->service.slice, text, &id))
    return false;
  au_validator_identify(mapping->event, &id);
  return true;
}

/* The field event_id, which counts only where no other id was found. */
static void push_event_id(au_mapping_t *mapping) {
  pick_t pick = pick_name(mapping, (au_slice_t){"event_id", 8});
  au_uuid_t id;
  if (pick.member == NULL || pick.member->is_taken)
    return;
  if (!mapping->shape->is_lenient) {
    push_field(mapping, AU_FIELD_EVENT_ID, pick);
  } else if (read_id(mapping, pick.value, &id) == ID_UUID) {
    take(pick);
    au_validator_identify(mapping->event, &id);
  } else if (pick.value.kind == AU_TOKEN_NULL) {
    take(pick);
  }
}

static bool push_id(au_mapping_t *mapping) {
  pick_t pick = {.value = AU_FOUND_NOTHING};
  au_uuid_t id;
  if (mapping->shape->field[AU_SHAPE_ID].count > 0)
    pick = pick_field(mapping, AU_SHAPE_ID, "");
  switch (read_id(mapping, pick.value, &id)) {
  case ID_UUID:
    take(pick);
    au_validator_identify(mapping->event, &id);
    return true;
  case ID_TEXT:
    if (!mapping->shape->is_lenient)
      take(pick);
    return push_text_id(mapping, pick.value);
  case ID_NONE:
  default:
    push_event_id(mapping);
    return true;
  }
}

/* --- an event -------------------------------------------------------------*/

static bool has_failed(const au_mapping_t *mapping) {
  return mapping->members.failed || mapping->decoded.failed ||
         mapping->service.failed || mapping->message.failed ||
         mapping->value.json.failed || mapping->trim.json.failed;
}

au_intake_result_t au_mapping_push(au_mapping_t *mapping,
                                   const au_shape_t *shape, au_found_t object) {
  au_intake_result_t result = au_intake_begin_event(mapping->intake);
  if (result != AU_INTAKE_DONE)
    return result;
  mapping->shape = shape;
  mapping->object = object;
  mapping->is_cut = false;
  au_bytes_clear(&mapping->decoded, KEEP_BYTES);
  if (shape->is_lenient) {
    push_time(mapping);
    push_service(mapping);
    push_message(mapping);
  } else {
    push_strictly(mapping);
  }
  bool is_done = push_id(mapping);
  if (shape->is_lenient)
    push_rest_leniently(mapping);
  else
    push_rest_strictly(mapping);
  if (!is_done || has_failed(mapping))
    return AU_INTAKE_NOMEM;
  return au_intake_end_event(mapping->intake);
}
