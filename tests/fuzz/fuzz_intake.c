/* SPDX-License-Identifier: MIT
 *
 * fuzz_intake - any bytes as a request body. Whatever comes, the counts agree,
 * what was accepted reads back and is accepted again as the same event, and
 * what is told of the rest is JSON.
 *
 * The first byte of the input chooses the form of the body, the limits and what
 * the request goes by; the rest is the body.
 */
#include "base/json.h"
#include "base/utf8.h"
#include "event/reader.h"
#include "fuzz/events.h"
#include "fuzz/fuzz.h"

#include <string.h>

static bool is_same(au_slice_t a, au_slice_t b) {
  return (a.data == NULL) == (b.data == NULL) && a.size == b.size &&
         (a.data == NULL || memcmp(a.data, b.data, a.size) == 0);
}

/* The event as a request of its own. */
static void write_event(au_bytes_t *json, const au_event_t *event) {
  au_bytes_clear(json, SIZE_MAX);
  /* Milliseconds, with the microseconds as a fraction; small ones would pass
   * for seconds, which are written so too. */
  if (event->occurred_at_us >= INT64_C(100000000000000))
    au_bytes_printf(json, "{\"timestamp\":%lld.%03d",
                    (long long)(event->occurred_at_us / 1000),
                    (int)(event->occurred_at_us % 1000));
  else
    au_bytes_printf(json, "{\"timestamp\":%lld.%06d",
                    (long long)(event->occurred_at_us / 1000000),
                    (int)(event->occurred_at_us % 1000000));
  au_bytes_put_string(json, ",\"service\":");
  au_json_put_string(json, event->service.data, event->service.size);
  au_bytes_put_string(json, ",\"message\":");
  au_json_put_string(json, event->message.data, event->message.size);
  if (event->metadata.data != NULL) {
    au_bytes_put_string(json, ",\"metadata\":");
    au_bytes_put(json, event->metadata.data, event->metadata.size);
  }
  au_bytes_put_u8(json, '}');
}

static void check_event(au_reader_t *again, au_bytes_t *json,
                        const au_event_t *event) {
  write_event(json, event);
  fuzz_require(!json->failed, "out of memory");
  fuzz_require(au_reader_read(again, AU_FORMAT_JSON, (const char *)json->data,
                              json->size, FUZZ_NOW_US) == AU_INTAKE_DONE,
               "an accepted event is not JSON");
  fuzz_require(again->intake.rows.count == 1, "an accepted event is refused");
  au_event_t twin;
  fuzz_require(au_row_decode(again->intake.rows.bytes.data,
                             again->intake.rows.row[0].size, &twin) == AU_OK,
               "a row does not read back");
  fuzz_require(twin.occurred_at_us == event->occurred_at_us &&
                   is_same(twin.service, event->service) &&
                   is_same(twin.message, event->message) &&
                   is_same(twin.metadata, event->metadata),
               "an event changes on its way");
}

/* What follows from the name of the request, and what does not; "name" is that
 * of the rows before, or nil. */
static void check_name(const au_intake_t *intake, const au_row_t *row,
                       au_uuid_t *name) {
  bool is_named = intake->naming.by == AU_NAMED_BY_KEY ||
                  (intake->naming.by == AU_NAMED_BY_BYTES && intake->has_time);
  if (row->kind == AU_ROW_IDENTIFIED)
    return;
  fuzz_require(row->kind == (is_named ? AU_ROW_NUMBERED : AU_ROW_EVENT),
               "a row is of another kind");
  if (row->kind == AU_ROW_EVENT)
    return;
  au_uuid_t own = au_row_name(row);
  if (au_uuid_is_nil(name))
    *name = own;
  fuzz_require(memcmp(name, &own, sizeof(own)) == 0, "a request has two names");
  fuzz_require(row->number < intake->total &&
                   !au_intake_is_refused(intake, row->number),
               "a number is that of no event");
}

static void check_rows(const au_intake_t *intake, au_reader_t *again,
                       au_bytes_t *json) {
  size_t offset = 0;
  au_uuid_t name = {.byte = {0}};
  for (size_t i = 0; i < intake->rows.count; i++) {
    const au_row_t row =
        au_row_split(intake->rows.row[i].kind, intake->rows.bytes.data + offset,
                     intake->rows.row[i].size);
    au_event_t event;
    fuzz_require(au_row_decode(row.tuple, row.size, &event) == AU_OK,
                 "a row does not read back");
    check_name(intake, &row, &name);
    fuzz_require(memcmp(&event.id, &intake->ids[i], sizeof(event.id)) == 0,
                 "an id is not that of its row");
    fuzz_require(au_utf8_length(event.service.data, event.service.size) > 0 &&
                     au_utf8_length(event.message.data, event.message.size) > 0,
                 "a text is empty, or not UTF-8");
    fuzz_require(event.metadata.data == NULL ||
                     event.metadata.size <= intake->limits->metadata_max_bytes,
                 "metadata is too large");
    check_event(again, json, &event);
    offset += intake->rows.row[i].size;
  }
  fuzz_require(offset == intake->rows.bytes.size, "bytes belong to no row");
}

static void check_errors(const au_intake_t *intake) {
  fuzz_require(intake->errors_listed <= intake->errors_count &&
                   intake->errors_json.size <= AU_ERRORS_JSON_MAX,
               "errors are without bound");
  for (size_t i = 0; i < intake->errors_listed; i++) {
    const au_intake_error_t *error = &intake->errors[i];
    fuzz_require(au_intake_is_refused(intake, error->index),
                 "an error of an event that was taken");
    fuzz_require(error->index < intake->total, "an error of no event");
    fuzz_require(i == 0 || error->index > intake->errors[i - 1].index,
                 "errors are out of order");
    fuzz_require(error->offset + error->size <= intake->errors_json.size,
                 "an error has no text");
    fuzz_require_json(intake->errors_json.data + error->offset, error->size,
                      "an error is not JSON");
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static au_reader_t parser[2];
  static au_reader_t again[2];
  static au_bytes_t json;
  if (size == 0)
    return 0;
  uint8_t choice = data[0];
  au_reader_t *reader = fuzz_chosen_reader(parser, choice);
  const au_intake_t *intake = &reader->intake;
  switch (fuzz_read_chosen(reader, choice, (const char *)data + 1, size - 1)) {
  case AU_INTAKE_DONE:
    fuzz_require(intake->total == intake->rows.count + intake->errors_count,
                 "the counts do not agree");
    fuzz_require(intake->total <= intake->limits->max_batch_events,
                 "too many events");
    check_rows(intake, fuzz_chosen_reader(again, choice), &json);
    check_errors(intake);
    break;
  case AU_INTAKE_MALFORMED:
    fuzz_require(intake->message[0] != '\0', "no word of what is wrong");
    break;
  case AU_INTAKE_TOO_MANY:
    break;
  case AU_INTAKE_NOMEM:
  default:
    fuzz_require(false, "out of memory");
    break;
  }
  return 0;
}
