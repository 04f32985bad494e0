/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/otlp.h"

#include "base/utf8.h"
#include "event/name.h"
#include "event/otlp_record.h"

#include <stdlib.h>

/* What a mark adds to metadata, and a metadata that is nothing but one. */
#define MARK_BYTES (sizeof(",\"truncated\":true") - 1)
/* No bound on the text of an id. */
#define UID_MAX (SIZE_MAX - 1)
#define ONLY_MARK_BYTES (sizeof("{\"truncated\":true}") - 1)

/* The rows of one request: how much is left for them, and what those that are
 * to come need at least. */
typedef struct room {
  size_t left;    /* bytes */
  size_t records; /* to come */
  size_t plain;   /* what they take without resource and scope */
  size_t bare;    /* and without attributes */
} room_t;

struct au_otlp_reader {
  au_intake_t *intake;
  au_otlp_maker_t maker;
  au_slice_t body;
  room_t room;
  bool is_over;    /* the rows are more than there is room for */
  bool is_planned; /* it is read again, and "room" is known */
};

au_otlp_reader_t *au_otlp_reader_create(au_intake_t *intake) {
  au_otlp_reader_t *reader = calloc(1, sizeof(*reader));
  if (reader == NULL)
    return NULL;
  reader->intake = intake;
  au_otlp_maker_init(&reader->maker, intake->limits, NULL);
  au_otlp_maker_clear(&reader->maker);
  return reader;
}

void au_otlp_reader_destroy(au_otlp_reader_t *reader) {
  if (reader == NULL)
    return;
  au_otlp_maker_fini(&reader->maker);
  free(reader);
}

void au_otlp_reader_charge(au_otlp_reader_t *reader, au_account_t *account) {
  au_otlp_maker_fini(&reader->maker);
  au_otlp_maker_init(&reader->maker, reader->intake->limits, account);
  au_otlp_maker_clear(&reader->maker);
}

static au_intake_result_t malformed(au_otlp_reader_t *reader,
                                    const void *place) {
  size_t byte = (size_t)((const char *)place - reader->body.data);
  return au_intake_malformed(reader->intake, "malformed message", byte);
}

/* --- events ---------------------------------------------------------------*/

static au_slice_t slice_of(const au_bytes_t *bytes) {
  return (au_slice_t){.data = (const char *)bytes->data, .size = bytes->size};
}

/* The bytes of the row that the record has become. */
static size_t row_size(const au_otlp_maker_t *maker) {
  const au_event_t event = {.service = slice_of(&maker->service),
                            .message = slice_of(&maker->message),
                            .metadata = maker->metadata};
  /* It may be numbered (event/row.h). */
  return au_row_size(&event) + au_row_prefix_size(AU_ROW_NUMBERED);
}

/* Gives the event the id that the record bears, if it does. false: out of
 * memory. */
static bool identify(au_otlp_reader_t *reader, au_slice_t service) {
  au_otlp_maker_t *maker = &reader->maker;
  const au_otlp_any_t *uid = &maker->record.uid;
  au_slice_t text;
  if (uid->kind == AU_OTLP_NONE || uid->kind == AU_OTLP_BOOL ||
      uid->kind == AU_OTLP_ARRAY || uid->kind == AU_OTLP_MAP)
    return true;
  if (!au_otlp_text(&maker->writer, uid, UID_MAX, &text)) {
    if (!au_otlp_write(&maker->writer, uid, maker->is_own, UID_MAX))
      return true; /* a number is not malformed */
    text = slice_of(&maker->writer.value.json);
  }
  au_uuid_t id;
  au_status_t status = au_name_of_field(service, text, &id);
  if (status == AU_OK)
    au_validator_identify(&reader->intake->event, &id);
  return status != AU_NOMEM && !maker->writer.scratch.failed &&
         !maker->writer.value.json.failed;
}

static au_intake_result_t push(au_otlp_reader_t *reader, au_slice_t service) {
  const au_otlp_maker_t *maker = &reader->maker;
  au_intake_t *intake = reader->intake;
  au_validator_t *event = &intake->event;
  bool has_time = maker->occurred_at_us != INT64_MIN;
  au_intake_result_t result = au_intake_begin_event(intake);
  if (result != AU_INTAKE_DONE)
    return result;
  au_validator_field(event, AU_FIELD_TIMESTAMP);
  if (has_time)
    au_validator_time(event, maker->occurred_at_us);
  else
    au_validator_assume_time(event, intake->now_us);
  au_validator_field(event, AU_FIELD_SERVICE);
  au_validator_string(event, service.data, service.size, AU_TEXT_PLAIN);
  au_validator_field(event, AU_FIELD_MESSAGE);
  au_validator_string(event, (const char *)maker->message.data,
                      maker->message.size, AU_TEXT_PLAIN);
  if (maker->metadata.data != NULL)
    au_validator_metadata(event, maker->metadata.data, maker->metadata.size);
  if (!identify(reader, service))
    return AU_INTAKE_NOMEM;
  return au_intake_end_event(intake);
}

/* --- room -----------------------------------------------------------------*/

/* What the record takes without resource and scope, and without attributes, if
 * it is "size" bytes now. */
static void measure(const au_otlp_maker_t *maker, size_t size,
                    size_t *out_plain, size_t *out_bare) {
  *out_plain = size - maker->context_bytes + MARK_BYTES;
  *out_bare = *out_plain - maker->attribute_bytes;
}

/* Cuts the text to so many bytes, at a character. */
static au_slice_t cut(au_slice_t text, size_t max) {
  if (text.size > max)
    text.size = au_utf8_whole(text.data, max);
  return text;
}

/* Pushes the record as a row of at most "most" bytes. What is still larger,
 * since there is not even room for all messages, has the mark for its metadata,
 * and its message is cut. */
static au_intake_result_t push_within(au_otlp_reader_t *reader, size_t most) {
  au_otlp_maker_t *maker = &reader->maker;
  au_slice_t service = slice_of(&maker->service);
  if (row_size(maker) > most) {
    static const char only_mark[] = "{\"truncated\":true}";
    const au_event_t empty = {
        .metadata = {.data = only_mark, .size = ONLY_MARK_BYTES}};
    size_t texts =
        most - au_row_size(&empty) - au_row_prefix_size(AU_ROW_NUMBERED);
    service = cut(service, texts / 2);
    au_slice_t message = cut(slice_of(&maker->message), texts - service.size);
    maker->message.size = message.size;
    maker->metadata = empty.metadata;
  }
  return push(reader, service);
}

/* Makes the metadata again, so that the row has at most "most" bytes. */
static bool make(au_otlp_reader_t *reader, au_otlp_context_t context,
                 bool has_attributes, size_t most) {
  const au_event_t without = {.service = slice_of(&reader->maker.service),
                              .message = slice_of(&reader->maker.message),
                              .metadata = {.data = "", .size = 0}};
  size_t least = au_row_size(&without) + au_row_prefix_size(AU_ROW_NUMBERED);
  return au_otlp_maker_make(&reader->maker, context, has_attributes,
                            most > least ? most - least : 0);
}

/* Pushes the record, with as much in it as there is room for. */
static au_intake_result_t push_planned(au_otlp_reader_t *reader) {
  room_t *room = &reader->room;
  size_t plain = 0;
  size_t bare = 0;
  size_t most = row_size(&reader->maker);
  measure(&reader->maker, most, &plain, &bare);
  room->plain -= plain;
  room->bare -= bare;
  size_t share = room->left / room->records--;
  if (most + room->plain > room->left) {
    bool has_attributes = bare + room->bare <= room->left;
    most = has_attributes ? room->left - room->bare : share;
    if (!make(reader, AU_OTLP_CONTEXT_NONE, has_attributes, most))
      return malformed(reader, reader->maker.record.message.data);
  }
  const au_rows_t *rows = &reader->intake->rows;
  size_t before = rows->bytes.size;
  size_t count = rows->count;
  au_intake_result_t result = push_within(reader, most);
  room->left -= rows->bytes.size - before;
  if (rows->count > count && rows->row[count].kind != AU_ROW_NUMBERED)
    room->left -= au_row_prefix_size(AU_ROW_NUMBERED);
  return result;
}

/* Pushes the record while there is room, and measures what all of them need. */
static au_intake_result_t push_first(au_otlp_reader_t *reader) {
  const au_otlp_maker_t *maker = &reader->maker;
  size_t plain = 0;
  size_t bare = 0;
  size_t size = row_size(maker);
  measure(maker, size, &plain, &bare);
  reader->room.plain += plain;
  reader->room.bare += bare;
  reader->room.records++;
  if (!reader->is_over && size > reader->room.left) {
    reader->is_over = true;
    au_intake_discard(reader->intake);
  }
  if (reader->is_over)
    return AU_INTAKE_DONE;
  reader->room.left -= size;
  return push(reader, slice_of(&maker->service));
}

/* --- messages -------------------------------------------------------------*/

static au_intake_result_t read_record(au_otlp_reader_t *reader,
                                      au_slice_t message) {
  au_otlp_maker_t *maker = &reader->maker;
  if (!au_otlp_maker_read(maker, message) ||
      !au_otlp_maker_make(maker, AU_OTLP_CONTEXT_ALL, true, SIZE_MAX))
    return malformed(reader, message.data);
  if (au_otlp_maker_has_failed(maker))
    return AU_INTAKE_NOMEM;
  au_intake_result_t result =
      reader->is_planned ? push_planned(reader) : push_first(reader);
  return result == AU_INTAKE_DONE && au_otlp_maker_has_failed(maker)
             ? AU_INTAKE_NOMEM
             : result;
}

static au_intake_result_t read_scope(au_otlp_reader_t *reader,
                                     au_slice_t message) {
  if (!au_otlp_maker_scope(&reader->maker, message))
    return malformed(reader, message.data);
  au_protobuf_t reading = au_protobuf_open(message.data, message.size);
  au_protobuf_field_t field;
  au_intake_result_t result = AU_INTAKE_DONE;
  while (result == AU_INTAKE_DONE && au_protobuf_next(&reading, &field))
    if (au_protobuf_is(&field, 2, AU_PROTOBUF_BYTES))
      result = read_record(reader, au_otlp_slice(&field));
  return result;
}

static au_intake_result_t read_resource(au_otlp_reader_t *reader,
                                        au_slice_t message) {
  if (!au_otlp_maker_resource(&reader->maker, message))
    return malformed(reader, message.data);
  if (reader->maker.service.failed)
    return AU_INTAKE_NOMEM;
  au_protobuf_t reading = au_protobuf_open(message.data, message.size);
  au_protobuf_field_t field;
  au_intake_result_t result = AU_INTAKE_DONE;
  while (result == AU_INTAKE_DONE && au_protobuf_next(&reading, &field))
    if (au_protobuf_is(&field, 2, AU_PROTOBUF_BYTES))
      result = read_scope(reader, au_otlp_slice(&field));
  return result;
}

static au_intake_result_t read_request(au_otlp_reader_t *reader) {
  au_protobuf_t reading =
      au_protobuf_open(reader->body.data, reader->body.size);
  au_protobuf_field_t field;
  au_intake_result_t result = AU_INTAKE_DONE;
  while (result == AU_INTAKE_DONE && au_protobuf_next(&reading, &field))
    if (au_protobuf_is(&field, 1, AU_PROTOBUF_BYTES))
      result = read_resource(reader, au_otlp_slice(&field));
  return result;
}

/* Counts the records in "message", whose messages of the next level are in
 * field "number"; false: malformed, and "*out_place" is where. */
static bool count_records(au_slice_t message, unsigned level, size_t *count,
                          const void **out_place) {
  /* Of a request, of ResourceLogs, of ScopeLogs. */
  static const uint32_t number[] = {1, 2, 2};
  au_protobuf_t open[3] = {au_protobuf_open(message.data, message.size)};
  au_protobuf_field_t field;
  for (;;) {
    if (!au_protobuf_next(&open[level], &field)) {
      *out_place = open[level].at;
      if (open[level].is_malformed)
        return false;
      if (level == 0)
        return true;
      level--;
    } else if (au_protobuf_is(&field, number[level], AU_PROTOBUF_BYTES)) {
      if (level == 2)
        (*count)++;
      else
        open[++level] = au_protobuf_open(field.data, field.size);
    }
  }
}

static au_intake_result_t read_twice(au_otlp_reader_t *reader) {
  reader->room = (room_t){.left = AU_OTLP_ROWS_MAX};
  reader->is_over = false;
  reader->is_planned = false;
  au_intake_result_t result = read_request(reader);
  if (result != AU_INTAKE_DONE || !reader->is_over)
    return result;
  reader->room.left = AU_OTLP_ROWS_MAX;
  reader->is_planned = true;
  return read_request(reader);
}

au_intake_result_t au_otlp_read(au_otlp_reader_t *reader, au_slice_t body,
                                au_slice_t service, bool is_own) {
  size_t records = 0;
  const void *place = NULL;
  reader->body = body;
  if (!count_records(body, 0, &records, &place))
    return malformed(reader, place);
  if (records > reader->intake->limits->otlp_max_records)
    return AU_INTAKE_TOO_MANY;
  reader->intake->max_events = records;
  reader->maker.is_own = is_own;
  reader->maker.otherwise = service;
  au_intake_result_t result = read_twice(reader);
  au_otlp_maker_clear(&reader->maker);
  return result;
}
