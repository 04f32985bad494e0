/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/cloudevents.h"

#include "base/base64.h"
#include "base/timestamp.h"
#include "base/utf8.h"
#include "event/cloudevents_binary.h"
#include "event/members.h"
#include "event/name.h"
#include "event/storable.h"
#include "event/trim.h"

#include <stdlib.h>
#include <string.h>

/* Kept from request to request. */
#define KEEP_BYTES ((size_t)32 << 10)

/* The attributes that become fields, and those that are the data. */
typedef enum part {
  SPECVERSION,
  ID,
  SOURCE,
  TYPE,
  TIME,
  TEXTS, /* those before are text */
  DATA = TEXTS,
  DATA_BASE64,
  PARTS
} part_t;

static const char *const part_name[PARTS] = {
    "specversion", "id", "source", "type", "time", "data", "data_base64"};

struct au_cloudevents {
  au_intake_t *intake;
  bool is_lenient;
  au_json_scan_t scan;   /* of the body */
  au_json_scan_t within; /* of a value */
  au_members_t members;
  au_bytes_t event; /* one of binary mode, in JSON */

  /* The event that is being read. */
  au_found_t found[PARTS];
  au_bytes_t text[TEXTS];
  au_bytes_t decoded;
  au_bytes_t service;
  au_value_t value;
  au_trim_t trim;
  bool is_time_kept;   /* it could not be read */
  bool is_source_kept; /* the service is not all of it */
  bool is_cut;
  bool failed; /* out of memory, for something that was decoded */
};

au_cloudevents_t *au_cloudevents_create(au_intake_t *intake) {
  au_cloudevents_t *reader = calloc(1, sizeof(*reader));
  if (reader == NULL)
    return NULL;
  reader->intake = intake;
  au_trim_init(&reader->trim, intake->limits, NULL);
  return reader;
}

void au_cloudevents_destroy(au_cloudevents_t *reader) {
  if (reader == NULL)
    return;
  au_json_scan_fini(&reader->scan);
  au_json_scan_fini(&reader->within);
  au_members_fini(&reader->members);
  au_bytes_fini(&reader->event);
  for (int i = 0; i < TEXTS; i++)
    au_bytes_fini(&reader->text[i]);
  au_bytes_fini(&reader->decoded);
  au_bytes_fini(&reader->service);
  au_value_fini(&reader->value);
  au_trim_fini(&reader->trim);
  free(reader);
}

void au_cloudevents_charge(au_cloudevents_t *reader, au_account_t *account) {
  au_json_scan_charge(&reader->scan, account);
  au_json_scan_charge(&reader->within, account);
  au_members_charge(&reader->members, account);
  reader->event.account = account;
  for (int i = 0; i < TEXTS; i++)
    reader->text[i].account = account;
  reader->decoded.account = account;
  reader->service.account = account;
  au_value_charge(&reader->value, account);
  au_trim_init(&reader->trim, reader->intake->limits, account);
}

static au_dialect_t dialect_of(const au_cloudevents_t *reader) {
  return reader->is_lenient ? AU_DIALECT_NAN : AU_DIALECT_STRICT;
}

static au_slice_t slice_of(const au_bytes_t *bytes) {
  const char *data = (const char *)bytes->data;
  return (au_slice_t){.data = data != NULL ? data : "", .size = bytes->size};
}

/* --- values ---------------------------------------------------------------*/

static au_slice_t decode(au_cloudevents_t *reader, au_token_t token) {
  if (!token.has_escape)
    return (au_slice_t){.data = token.text, .size = token.size};
  au_bytes_clear(&reader->decoded, KEEP_BYTES);
  au_token_put_text(token, &reader->decoded);
  reader->failed |= reader->decoded.failed;
  return slice_of(&reader->decoded);
}

static bool is_sound_token(au_cloudevents_t *reader, au_token_t token) {
  if (token.kind == AU_TOKEN_NUMBER)
    return au_storable_number(token.text, token.size) == AU_STORABLE;
  if (token.kind != AU_TOKEN_STRING && token.kind != AU_TOKEN_KEY)
    return true;
  au_slice_t text = decode(reader, token);
  return au_storable_is_text(text.data, text.size);
}

static void copy_token(au_cloudevents_t *reader, au_token_t token,
                       bool is_map) {
  au_value_t *value = &reader->value;
  switch (token.kind) {
  case AU_TOKEN_OBJECT:
    au_value_open(value, '{');
    break;
  case AU_TOKEN_ARRAY:
    au_value_open(value, '[');
    break;
  case AU_TOKEN_CLOSE:
    au_value_close(value, is_map ? '}' : ']');
    break;
  case AU_TOKEN_KEY:
  case AU_TOKEN_STRING: {
    au_slice_t text = decode(reader, token);
    /* What is longer than all of it is found to be so from its beginning. */
    size_t size = text.size > value->max ? value->max + 1 : text.size;
    if (token.kind == AU_TOKEN_KEY)
      au_value_key(value, text.data, size);
    else
      au_value_string(value, text.data, size);
    break;
  }
  case AU_TOKEN_NUMBER:
    au_value_number(value, token.text, token.size);
    break;
  case AU_TOKEN_TRUE:
  case AU_TOKEN_FALSE:
    au_value_literal(value, token.kind == AU_TOKEN_TRUE ? "true" : "false");
    break;
  case AU_TOKEN_NULL:
  case AU_TOKEN_END:
  case AU_TOKEN_INVALID:
  case AU_TOKEN_NOMEM:
    au_value_literal(value, "null");
    break;
  }
}

/* Writes a value that was found into "value". Returns whether all of it can be
 * stored as it is. */
static bool copy_value(au_cloudevents_t *reader, au_found_t found) {
  au_json_scan_t *scan = &reader->within;
  bool is_string = found.kind == AU_TOKEN_STRING;
  bool is_sound = true;
  au_value_begin(&reader->value, reader->intake->limits->metadata_max_bytes);
  if (is_string || found.kind == AU_TOKEN_NUMBER) {
    copy_token(reader, found, false);
    return is_sound_token(reader, found);
  }
  au_json_scan_begin(scan, dialect_of(reader), found.text, found.size);
  for (;;) {
    au_token_t token = au_json_scan_next(scan);
    if (token.kind == AU_TOKEN_END)
      return is_sound;
    if (au_token_is_broken(token)) { /* it was read before: out of memory */
      reader->value.json.failed = true;
      return true;
    }
    copy_token(reader, token,
               token.kind == AU_TOKEN_CLOSE && token.text[0] == '}');
    is_sound = is_sound && is_sound_token(reader, token);
  }
}

/* --- metadata -------------------------------------------------------------*/

static void put_string(au_cloudevents_t *reader, const char *name,
                       au_slice_t text) {
  au_value_begin(&reader->value, reader->intake->limits->metadata_max_bytes);
  au_value_string(&reader->value, text.data, text.size);
  (void)au_trim_put(&reader->trim, name, strlen(name), &reader->value);
}

/* Puts so much of the text as there is room for. */
static void put_cut(au_cloudevents_t *reader, const char *name, au_slice_t text,
                    bool is_base64) {
  static const char around[] = ",\"\":\"\"},\"truncated\":true";
  size_t max = reader->intake->limits->metadata_max_bytes;
  size_t taken = reader->trim.json.size + strlen(name) + sizeof(around) - 1;
  size_t room = max > taken ? max - taken : 0;
  size_t size = text.size < room ? text.size : room;
  reader->trim.is_short = true; /* also if it fits after all */
  while (size > 0) {
    size = is_base64 ? size / 4 * 4 : au_utf8_whole(text.data, size);
    au_value_begin(&reader->value, max);
    au_value_string(&reader->value, text.data, size);
    size_t written = reader->value.json.size;
    if (written <= room + 2 || reader->value.json.failed)
      break;
    /* Escapes made it longer: they may be anywhere. */
    size_t over = written - room - 2;
    size -= over / 6 + 1 < size ? over / 6 + 1 : size;
  }
  if (size > 0)
    (void)au_trim_put(&reader->trim, name, strlen(name), &reader->value);
}

/* Puts it, or what fits of it if there is a mark. */
static void put_whole_or_cut(au_cloudevents_t *reader, const char *name,
                             au_slice_t text, bool is_base64) {
  au_trim_t *trim = &reader->trim;
  size_t max = reader->intake->limits->metadata_max_bytes;
  au_value_begin(&reader->value, max);
  au_value_string(&reader->value, text.data,
                  text.size > max ? max + 1 : text.size);
  if (!au_trim_put(trim, name, strlen(name), &reader->value) && trim->has_mark)
    put_cut(reader, name, text, is_base64);
}

static void put_data_text(au_cloudevents_t *reader, au_slice_t text) {
  if (au_storable_is_text(text.data, text.size)) {
    put_whole_or_cut(reader, part_name[DATA], text, false);
    return;
  }
  /* "text" may be in "decoded", which is not used meanwhile. */
  au_bytes_t base64 = {.account = reader->decoded.account};
  au_base64_put(&base64, text.data, text.size);
  reader->trim.json.failed |= base64.failed;
  put_whole_or_cut(reader, part_name[DATA_BASE64], slice_of(&base64), true);
  au_bytes_fini(&base64);
}

static void put_data(au_cloudevents_t *reader, au_found_t data) {
  const au_limits_t *limits = reader->intake->limits;
  bool is_sound = copy_value(reader, data) || reader->is_lenient;
  au_slice_t text = {.data = data.text, .size = data.size};
  if (data.kind == AU_TOKEN_STRING && !is_sound) { /* with its quotes */
    text.data--;
    text.size += 2;
  } else if (data.kind == AU_TOKEN_STRING) {
    text = decode(reader, data);
  }
  if (!is_sound) {
    put_data_text(reader, text);
    return;
  }
  if (reader->value.depth > limits->metadata_max_depth)
    reader->is_cut = true;
  if (!au_trim_put(&reader->trim, part_name[DATA], strlen(part_name[DATA]),
                   &reader->value) &&
      reader->trim.has_mark)
    put_data_text(reader, text);
}

/* What is not a field of its own; a member of null is not there. */
static void put_others(au_cloudevents_t *reader) {
  const au_members_t *members = &reader->members;
  for (size_t i = 0; i < members->count; i++) {
    const au_member_t *member = &members->member[i];
    if (member->is_taken || member->value.kind == AU_TOKEN_NULL)
      continue;
    au_slice_t name = au_members_name(members, i);
    (void)copy_value(reader, member->value);
    (void)au_trim_put(&reader->trim, name.data, name.size, &reader->value);
  }
}

static void put_data_base64(au_cloudevents_t *reader, au_found_t data) {
  const char *name = part_name[DATA_BASE64];
  if (data.kind == AU_TOKEN_STRING) {
    put_whole_or_cut(reader, name, decode(reader, data), true);
    return;
  }
  (void)copy_value(reader, data); /* not as it should be, but not lost */
  (void)au_trim_put(&reader->trim, name, strlen(name), &reader->value);
}

static bool has(const au_cloudevents_t *reader, part_t part) {
  return reader->found[part].kind != AU_TOKEN_END &&
         reader->found[part].kind != AU_TOKEN_NULL;
}

static void make_metadata(au_cloudevents_t *reader) {
  bool has_mark = reader->is_cut;
  do {
    au_trim_begin(&reader->trim, has_mark);
    if (has(reader, ID))
      put_string(reader, "id", slice_of(&reader->text[ID]));
    if (reader->is_time_kept)
      put_string(reader, "time", slice_of(&reader->text[TIME]));
    if (reader->is_source_kept)
      put_string(reader, "source", slice_of(&reader->text[SOURCE]));
    put_others(reader);
    if (has(reader, DATA))
      put_data(reader, reader->found[DATA]);
    if (has(reader, DATA_BASE64))
      put_data_base64(reader, reader->found[DATA_BASE64]);
    if (reader->is_cut && !has_mark)
      reader->trim.is_short = true; /* begin again */
    has_mark = true;
  } while (!au_trim_end(&reader->trim));
}

/* --- fields ---------------------------------------------------------------*/

/* The last characters of a text, at most "max" of them: from a '/' on if there
 * is one. */
static au_slice_t cut_from_left(au_slice_t text, size_t max) {
  ptrdiff_t length = au_utf8_length(text.data, text.size);
  size_t at = 0;
  if (length < 0 || (size_t)length <= max)
    return text;
  for (size_t over = (size_t)length - max; over > 0; over--)
    at += au_utf8_sequence(text.data + at, text.size - at);
  const char *slash = memchr(text.data + at, '/', text.size - at);
  if (slash != NULL && slash + 1 < text.data + text.size)
    at = (size_t)(slash - text.data);
  return (au_slice_t){.data = text.data + at, .size = text.size - at};
}

/* Repaired if the event is read leniently. */
static au_slice_t repair(au_cloudevents_t *reader, au_bytes_t *to,
                         au_slice_t text, size_t max) {
  if (!reader->is_lenient)
    return text;
  au_bytes_clear(to, KEEP_BYTES);
  reader->is_cut |= au_storable_put_text(to, text.data, text.size, max);
  return slice_of(to);
}

static void push_service(au_cloudevents_t *reader) {
  au_validator_t *event = &reader->intake->event;
  size_t max = reader->intake->limits->service_max_length;
  au_slice_t whole = slice_of(&reader->text[SOURCE]);
  au_slice_t service = repair(reader, &reader->service, whole, SIZE_MAX);
  au_slice_t cut = cut_from_left(service, max);
  reader->is_source_kept = cut.size < service.size;
  reader->is_cut |= reader->is_source_kept;
  if (reader->is_lenient && au_utf8_is_blank(cut.data, cut.size))
    cut = (au_slice_t){.data = "unknown_service", .size = 15};
  au_validator_field(event, AU_FIELD_SERVICE);
  au_validator_string(event, cut.data, cut.size, AU_TEXT_DECODED);
}

static void push_message(au_cloudevents_t *reader) {
  au_validator_t *event = &reader->intake->event;
  au_slice_t message =
      repair(reader, &reader->service, slice_of(&reader->text[TYPE]),
             reader->intake->limits->message_max_length);
  if (reader->is_lenient && message.size == 0)
    message = (au_slice_t){.data = "(no message)", .size = 12};
  au_validator_field(event, AU_FIELD_MESSAGE);
  au_validator_string(event, message.data, message.size, AU_TEXT_DECODED);
}

static void push_time(au_cloudevents_t *reader) {
  au_intake_t *intake = reader->intake;
  au_slice_t text = slice_of(&reader->text[TIME]);
  int64_t us = 0;
  reader->is_time_kept = false;
  au_validator_field(&intake->event, AU_FIELD_TIMESTAMP);
  bool is_read =
      has(reader, TIME) && au_timestamp_parse(text.data, text.size, &us);
  if (is_read) {
    au_validator_time(&intake->event, us);
  } else if (has(reader, TIME) && !reader->is_lenient) {
    au_validator_string(&intake->event, text.data, text.size, AU_TEXT_DECODED);
  } else {
    reader->is_time_kept = has(reader, TIME);
    au_validator_assume_time(&intake->event, intake->now_us);
  }
}

/* false: out of memory. */
static bool push_id(au_cloudevents_t *reader) {
  au_slice_t id = slice_of(&reader->text[ID]);
  au_uuid_t uuid;
  if (id.size == 0)
    return true;
  if (!au_name_of_text("ce", slice_of(&reader->text[SOURCE]), id, &uuid))
    return false;
  au_validator_identify(&reader->intake->event, &uuid);
  return true;
}

/* Finds the parts, and decodes those that are text. */
static void find_parts(au_cloudevents_t *reader) {
  au_members_t *members = &reader->members;
  au_members_mark_repeated(members);
  for (int part = 0; part < PARTS; part++) {
    const au_slice_t name = {.data = part_name[part],
                             .size = strlen(part_name[part])};
    size_t index = au_members_find(members, name);
    reader->found[part] = AU_FOUND_NOTHING;
    if (index == SIZE_MAX)
      continue;
    au_found_t found = members->member[index].value;
    members->member[index].is_taken = true;
    reader->found[part] = found;
    if (part >= TEXTS)
      continue;
    au_bytes_clear(&reader->text[part], KEEP_BYTES);
    if (found.kind == AU_TOKEN_STRING)
      au_token_put_text(found, &reader->text[part]);
    else if (found.kind == AU_TOKEN_NUMBER)
      au_bytes_put(&reader->text[part], found.text, found.size);
  }
}

/* "1", or "1." and digits. */
static bool is_version_1(au_slice_t version) {
  if (version.size == 0 || version.data[0] != '1')
    return false;
  for (size_t i = 2; i < version.size; i++)
    if (version.data[i] < '0' || version.data[i] > '9')
      return false;
  return version.size == 1 || (version.size > 2 && version.data[1] == '.');
}

static bool is_cloudevent(const au_cloudevents_t *reader) {
  return is_version_1(slice_of(&reader->text[SPECVERSION])) &&
         (reader->is_lenient ||
          (reader->text[ID].size > 0 && reader->text[SOURCE].size > 0 &&
           reader->text[TYPE].size > 0));
}

static bool has_failed(const au_cloudevents_t *reader) {
  bool failed = reader->failed || reader->members.failed ||
                reader->service.failed || reader->trim.json.failed;
  for (int i = 0; i < TEXTS; i++)
    failed |= reader->text[i].failed;
  return failed;
}

/* Pushes the event of which "members" has the members. */
static au_intake_result_t push_members(au_cloudevents_t *reader) {
  au_intake_t *intake = reader->intake;
  reader->failed = false;
  for (int i = 0; i < TEXTS; i++)
    au_bytes_clear(&reader->text[i], KEEP_BYTES);
  find_parts(reader);
  if (reader->members.failed)
    return AU_INTAKE_NOMEM;
  if (!is_cloudevent(reader))
    return has_failed(reader) ? AU_INTAKE_NOMEM
                              : au_intake_refuse_cloudevent(intake);
  au_intake_result_t result = au_intake_begin_event(intake);
  if (result != AU_INTAKE_DONE)
    return result;
  reader->is_cut = false;
  push_time(reader);
  push_service(reader);
  push_message(reader);
  if (!push_id(reader))
    return AU_INTAKE_NOMEM;
  make_metadata(reader);
  if (has_failed(reader))
    return AU_INTAKE_NOMEM;
  if (!au_trim_is_empty(&reader->trim)) {
    au_validator_field(&intake->event, AU_FIELD_METADATA);
    au_validator_metadata(&intake->event, (const char *)reader->trim.json.data,
                          reader->trim.json.size);
  }
  return au_intake_end_event(intake);
}

/* --- bodies ---------------------------------------------------------------*/

/* Pushes the value that begins; *last becomes its last token. */
static au_intake_result_t push_value(au_cloudevents_t *reader, au_token_t first,
                                     au_token_t *last) {
  if (first.kind == AU_TOKEN_OBJECT) {
    au_members_begin(&reader->members, dialect_of(reader));
    *last = au_members_read(&reader->members, &reader->scan);
    return au_token_is_broken(*last) ? AU_INTAKE_DONE : push_members(reader);
  }
  *last = au_json_scan_skip(&reader->scan, first);
  return au_token_is_broken(*last) ? AU_INTAKE_DONE
                                   : au_intake_refuse_value(reader->intake);
}

static au_intake_result_t push_array(au_cloudevents_t *reader,
                                     au_token_t *last) {
  for (;;) {
    *last = au_json_scan_next(&reader->scan);
    if (last->kind == AU_TOKEN_CLOSE || au_token_is_broken(*last))
      return AU_INTAKE_DONE;
    au_intake_result_t result = push_value(reader, *last, last);
    if (result != AU_INTAKE_DONE || au_token_is_broken(*last))
      return result;
  }
}

static au_intake_result_t read_json(au_cloudevents_t *reader, bool is_batch,
                                    const char *body, size_t size) {
  au_json_scan_t *scan = &reader->scan;
  au_json_scan_begin(scan, dialect_of(reader), body, size);
  au_token_t token = au_json_scan_next(scan);
  au_intake_result_t result = AU_INTAKE_DONE;
  if (token.kind == AU_TOKEN_END)
    return au_intake_malformed(reader->intake, "unexpected end of JSON", size);
  if (is_batch && token.kind != AU_TOKEN_ARRAY && !au_token_is_broken(token))
    return au_intake_malformed(reader->intake, "expected an array", 0);
  reader->intake->is_single = !is_batch;
  if (!au_token_is_broken(token))
    result = is_batch ? push_array(reader, &token)
                      : push_value(reader, token, &token);
  if (result != AU_INTAKE_DONE)
    return result;
  if (!au_token_is_broken(token))
    token = au_json_scan_next(scan);
  if (token.kind == AU_TOKEN_END)
    return AU_INTAKE_DONE;
  if (token.kind == AU_TOKEN_NOMEM)
    return AU_INTAKE_NOMEM;
  return au_intake_malformed(
      reader->intake,
      token.kind == AU_TOKEN_INVALID ? scan->fault : "more than one JSON value",
      scan->at);
}

au_intake_result_t au_cloudevents_read(au_cloudevents_t *reader,
                                       const au_cloudevents_form_t *form,
                                       const char *body, size_t size) {
  static const char BOM[] = "\xEF\xBB\xBF";
  reader->is_lenient = form->is_lenient;
  if (form->mode == AU_CLOUDEVENTS_BINARY) {
    au_bytes_clear(&reader->event, KEEP_BYTES);
    au_cloudevents_put_structured(&reader->event, form, &reader->scan, body,
                                  size);
    if (reader->event.failed)
      return AU_INTAKE_NOMEM;
    body = (const char *)reader->event.data;
    size = reader->event.size;
  } else if (size >= sizeof(BOM) - 1 &&
             memcmp(body, BOM, sizeof(BOM) - 1) == 0) {
    body += sizeof(BOM) - 1;
    size -= sizeof(BOM) - 1;
  }
  au_intake_result_t result =
      read_json(reader, form->mode == AU_CLOUDEVENTS_BATCHED, body, size);
  au_bytes_clear(&reader->event, KEEP_BYTES);
  au_members_begin(&reader->members, AU_DIALECT_STRICT);
  return result;
}
