/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * The layout of a tuple; each field follows its length:
 *
 *   0     2              14           34             46      50
 *   | 6   | 8, accept    | 16, event  | 8, event     | n,     | service ...
 *   |     |    time      |     id     |    time      |        |
 *
 * then n, message, and n, version 1, metadata, or -1 for no metadata.
 */
#include "event/row.h"

#include "base/array.h"
#include "base/timestamp.h"
#include "base/utf8.h"
#include "event/name.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS 6
#define TIME_SIZE 8
#define JSONB_VERSION 1

#define INGESTED_AT_OFFSET 6
#define EVENT_ID_OFFSET 18
#define SERVICE_OFFSET 50

/* The number of fields, and what the first three take. */
#define FIXED_SIZE 46

/* In layout 1 the tuple of an event that was put back ended with its dead
 * letter: 16 and the id. */
#define LAYOUT_1_REPROCESS_FIELDS 7
#define LAYOUT_1_LETTER_SIZE sizeof(au_uuid_t)
#define LAYOUT_1_SUFFIX_SIZE (4 + LAYOUT_1_LETTER_SIZE)

/* Kept from request to request. */
#define KEEP_BYTES ((size_t)128 << 10)
#define KEEP_ROWS 4096

void au_rows_charge(au_rows_t *rows, au_account_t *account) {
  rows->account = account;
  rows->bytes.account = account;
}

static void free_extents(au_rows_t *rows) {
  au_array_free_charged(rows->row, rows->capacity, sizeof(*rows->row),
                        rows->account);
  rows->row = NULL;
  rows->capacity = 0;
}

void au_rows_fini(au_rows_t *rows) {
  au_bytes_fini(&rows->bytes);
  free_extents(rows);
  *rows = (au_rows_t){.count = 0};
}

void au_rows_clear(au_rows_t *rows) {
  au_bytes_clear(&rows->bytes, KEEP_BYTES);
  rows->count = 0;
  if (rows->capacity > KEEP_ROWS)
    free_extents(rows);
}

/* A number of "size" bytes, at most 8. */
static inline uint64_t read_be(const uint8_t *data, size_t size) {
  uint64_t value = 0;
  memcpy((uint8_t *)&value + sizeof(value) - size, data, size);
  return be64toh(value);
}

static uint8_t *write_be32(uint8_t *to, uint32_t value) {
  uint32_t ordered = htobe32(value);
  memcpy(to, &ordered, sizeof(ordered));
  return to + sizeof(ordered);
}

/* Unsigned, as in time_of: a dead letter may hold any time. */
static uint8_t *write_time(uint8_t *to, int64_t us) {
  uint64_t ordered = htobe64((uint64_t)us - (uint64_t)AU_POSTGRES_EPOCH_US);
  to = write_be32(to, TIME_SIZE);
  memcpy(to, &ordered, sizeof(ordered));
  return to + sizeof(ordered);
}

static uint8_t *write_bytes(uint8_t *to, const void *data, size_t size) {
  if (size > 0) /* "data" may be NULL else */
    memcpy(to, data, size);
  return to + size;
}

size_t au_row_size(const au_event_t *event) {
  size_t size =
      FIXED_SIZE + 4 + event->service.size + 4 + event->message.size + 4;
  return event->metadata.data != NULL ? size + 1 + event->metadata.size : size;
}

/* The same, or 0 when that is more than a length of the format can say. */
static uint32_t tuple_size(const au_event_t *event) {
  uint64_t size = au_row_size(event);
  return size <= INT32_MAX ? (uint32_t)size : 0;
}

static uint8_t *write_uuid(uint8_t *to, const au_uuid_t *uuid) {
  to = write_be32(to, sizeof(uuid->byte));
  return write_bytes(to, uuid->byte, sizeof(uuid->byte));
}

static uint8_t *write_metadata(uint8_t *to, au_slice_t metadata) {
  if (metadata.data == NULL)
    return write_be32(to, UINT32_MAX); /* -1: NULL */
  to = write_be32(to, (uint32_t)metadata.size + 1);
  *to++ = JSONB_VERSION;
  return write_bytes(to, metadata.data, metadata.size);
}

static void write_tuple(uint8_t *to, const au_event_t *event) {
  *to++ = 0;
  *to++ = FIELDS;
  to = write_time(to, event->ingested_at_us);
  to = write_uuid(to, &event->id);
  to = write_time(to, event->occurred_at_us);
  to = write_be32(to, (uint32_t)event->service.size);
  to = write_bytes(to, event->service.data, event->service.size);
  to = write_be32(to, (uint32_t)event->message.size);
  to = write_bytes(to, event->message.data, event->message.size);
  (void)write_metadata(to, event->metadata);
}

/* "prefix" is what the kind has before the tuple. */
static inline au_status_t append(au_rows_t *rows, au_row_kind_t kind,
                                 const au_event_t *event, const void *prefix) {
  size_t prefix_size = au_row_prefix_size(kind);
  uint32_t size = tuple_size(event);
  if (size == 0)
    return AU_INVALID;
  au_row_extent_t *extent = au_array_grow_charged(
      rows->row, &rows->capacity, rows->count, sizeof(*extent), rows->account);
  if (extent == NULL)
    return AU_NOMEM;
  rows->row = extent;
  uint8_t *row = au_bytes_extend(&rows->bytes, prefix_size + size);
  if (row == NULL) {
    rows->bytes.failed = false; /* the rows before it are whole */
    return AU_NOMEM;
  }
  write_tuple(write_bytes(row, prefix, prefix_size), event);
  extent[rows->count++] =
      (au_row_extent_t){.size = (uint32_t)prefix_size + size, .kind = kind};
  return AU_OK;
}

au_status_t au_rows_append(au_rows_t *rows, const au_event_t *event) {
  return append(rows, AU_ROW_EVENT, event, NULL);
}

au_status_t au_rows_append_reprocess(au_rows_t *rows, const au_event_t *event,
                                     const au_uuid_t *dead_letter_id) {
  return append(rows, AU_ROW_REPROCESS, event, dead_letter_id);
}

au_status_t au_rows_append_identified(au_rows_t *rows,
                                      const au_event_t *event) {
  return append(rows, AU_ROW_IDENTIFIED, event, NULL);
}

au_status_t au_rows_append_numbered(au_rows_t *rows, const au_event_t *event,
                                    uint32_t number) {
  uint32_t ordered = htobe32(number);
  return append(rows, AU_ROW_NUMBERED, event, &ordered);
}

void au_rows_set_name(au_rows_t *rows, const au_uuid_t *name, au_uuid_t *ids) {
  uint8_t *row = rows->bytes.data;
  for (size_t i = 0; i < rows->count; i++) {
    const au_row_extent_t *extent = &rows->row[i];
    if (extent->kind == AU_ROW_NUMBERED) {
      size_t prefix_size = au_row_prefix_size(extent->kind);
      uint32_t number = (uint32_t)read_be(row, prefix_size);
      ids[i] = au_name_number(name, number);
      memcpy(row + prefix_size + EVENT_ID_OFFSET, ids[i].byte,
             sizeof(ids[i].byte));
    }
    row += extent->size;
  }
}

void au_rows_drop_numbers(au_rows_t *rows) {
  const uint8_t *from = rows->bytes.data;
  uint8_t *to = rows->bytes.data;
  for (size_t i = 0; i < rows->count; i++) {
    au_row_extent_t *extent = &rows->row[i];
    if (extent->kind == AU_ROW_NUMBERED) {
      uint32_t prefix_size = (uint32_t)au_row_prefix_size(extent->kind);
      *extent = (au_row_extent_t){.size = extent->size - prefix_size,
                                  .kind = AU_ROW_EVENT};
      from += prefix_size;
    }
    memmove(to, from, extent->size);
    from += extent->size;
    to += extent->size;
  }
  rows->bytes.size = (size_t)(to - rows->bytes.data);
}

au_row_t au_row_split(au_row_kind_t kind, const uint8_t *row, size_t size) {
  size_t prefix_size = au_row_prefix_size(kind);
  au_row_t parts = {
      .kind = kind, .tuple = row + prefix_size, .size = size - prefix_size};
  if (kind == AU_ROW_REPROCESS)
    memcpy(parts.dead_letter_id.byte, row, prefix_size);
  else if (kind == AU_ROW_NUMBERED)
    parts.number = (uint32_t)read_be(row, prefix_size);
  return parts;
}

au_uuid_t au_row_name(const au_row_t *row) {
  au_uuid_t id = au_row_event_id(row);
  return au_name_number(&id, row->number);
}

au_row_kind_t au_row_put_upgraded(au_bytes_t *rows, const uint8_t *row,
                                  size_t size) {
  if (size < FIXED_SIZE + LAYOUT_1_SUFFIX_SIZE ||
      read_be(row, 2) != LAYOUT_1_REPROCESS_FIELDS) {
    au_bytes_put(rows, row, size);
    return AU_ROW_EVENT;
  }
  au_bytes_put(rows, row + size - LAYOUT_1_LETTER_SIZE, LAYOUT_1_LETTER_SIZE);
  uint8_t *tuple = au_bytes_extend(rows, size - LAYOUT_1_SUFFIX_SIZE);
  if (tuple != NULL) {
    memcpy(tuple, row, size - LAYOUT_1_SUFFIX_SIZE);
    tuple[1] = FIELDS;
  }
  return AU_ROW_REPROCESS;
}

/* What is left of a tuple that is read field by field. */
typedef struct reader {
  const uint8_t *data;
  size_t size;
  bool failed;
} reader_t;

static const uint8_t *take(reader_t *reader, size_t size) {
  if (reader->failed || reader->size < size) {
    reader->failed = true;
    return NULL;
  }
  const uint8_t *data = reader->data;
  reader->data += size;
  reader->size -= size;
  return data;
}

/* A field of any length; data == NULL for NULL. */
static au_slice_t take_field(reader_t *reader) {
  const uint8_t *length = take(reader, 4);
  size_t size = length != NULL ? read_be(length, 4) : UINT32_MAX;
  if (size == UINT32_MAX)
    return (au_slice_t){.data = NULL};
  const uint8_t *data = take(reader, size);
  return (au_slice_t){.data = (const char *)data, .size = size};
}

static const uint8_t *take_fixed(reader_t *reader, size_t size) {
  au_slice_t field = take_field(reader);
  if (field.data == NULL || field.size != size)
    reader->failed = true;
  return reader->failed ? NULL : (const uint8_t *)field.data;
}

/* Unsigned, since a damaged tuple may hold a time that would overflow. */
static int64_t time_of(const uint8_t *data) {
  return (int64_t)(read_be(data, 8) + (uint64_t)AU_POSTGRES_EPOCH_US);
}

static int64_t take_time(reader_t *reader) {
  const uint8_t *data = take_fixed(reader, TIME_SIZE);
  return data != NULL ? time_of(data) : 0;
}

au_status_t au_row_decode(const uint8_t *tuple, size_t size,
                          au_event_t *out_event) {
  reader_t reader = {.data = tuple, .size = size};
  const uint8_t *fields = take(&reader, 2);
  if (fields == NULL || read_be(fields, 2) != FIELDS)
    return AU_INVALID;
  out_event->ingested_at_us = take_time(&reader);
  const uint8_t *id = take_fixed(&reader, sizeof(out_event->id.byte));
  if (id != NULL)
    memcpy(out_event->id.byte, id, sizeof(out_event->id.byte));
  out_event->occurred_at_us = take_time(&reader);
  out_event->service = take_field(&reader);
  out_event->message = take_field(&reader);
  out_event->metadata = take_field(&reader);
  if (reader.failed || reader.size != 0 || out_event->service.data == NULL ||
      out_event->message.data == NULL)
    return AU_INVALID;
  if (out_event->metadata.data == NULL)
    return AU_OK;
  if (out_event->metadata.size == 0 ||
      out_event->metadata.data[0] != JSONB_VERSION)
    return AU_INVALID;
  out_event->metadata.data++;
  out_event->metadata.size--;
  return AU_OK;
}

bool au_row_is_sound(const au_row_t *row) {
  au_event_t event;
  return au_row_decode(row->tuple, row->size, &event) == AU_OK &&
         au_timestamp_is_valid(event.ingested_at_us) &&
         row->number <= AU_ROW_NUMBER_MAX &&
         memchr(event.service.data, '\0', event.service.size) == NULL &&
         au_utf8_length(event.service.data, event.service.size) >= 0;
}

int64_t au_row_ingested_at_us(const au_row_t *row) {
  return row->size >= INGESTED_AT_OFFSET + TIME_SIZE
             ? time_of(row->tuple + INGESTED_AT_OFFSET)
             : 0;
}

au_uuid_t au_row_event_id(const au_row_t *row) {
  au_uuid_t id = {.byte = {0}};
  if (row->size >= EVENT_ID_OFFSET + sizeof(id.byte))
    memcpy(id.byte, row->tuple + EVENT_ID_OFFSET, sizeof(id.byte));
  return id;
}

au_slice_t au_row_service(const au_row_t *row) {
  au_slice_t service = {.data = "", .size = 0};
  if (row->size < SERVICE_OFFSET)
    return service;
  uint32_t size = (uint32_t)read_be(row->tuple + SERVICE_OFFSET - 4, 4);
  if (size > row->size - SERVICE_OFFSET)
    return service;
  service.data = (const char *)row->tuple + SERVICE_OFFSET;
  service.size = size;
  return service;
}
