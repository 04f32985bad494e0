/* SPDX-License-Identifier: MIT
 *
 * fuzz_shaped - any bytes as a body of events of any shape. Whatever comes, the
 * counts agree; what was accepted is an event that our own shape takes, too, so
 * that PostgreSQL can store it; and leniently no object is refused.
 *
 * The first line of the input chooses shape, form and limits: a letter each for
 * what is chosen, and after a '=' the paths of a field. The rest is the body.
 */
#include "base/json.h"
#include "event/reader.h"
#include "fuzz/events.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const au_limits_t narrow = {.max_body_bytes = 1048576,
                                   .max_batch_events = 5,
                                   .service_max_length = 4,
                                   .message_max_length = 6,
                                   .metadata_max_bytes = 40,
                                   .metadata_max_keys = 3,
                                   .metadata_max_depth = 2};

static void put_event(au_bytes_t *json, const au_event_t *event) {
  au_bytes_clear(json, SIZE_MAX);
  au_bytes_put_string(json, "{\"timestamp\":0,\"service\":");
  au_json_put_string(json, event->service.data, event->service.size);
  au_bytes_put_string(json, ",\"message\":");
  au_json_put_string(json, event->message.data, event->message.size);
  if (event->metadata.data != NULL) {
    au_bytes_put_string(json, ",\"metadata\":");
    au_bytes_put(json, event->metadata.data, event->metadata.size);
  }
  au_bytes_put_u8(json, '}');
}

/* Our own shape takes it as it is. */
static void check_event(au_reader_t *reader, const au_event_t *event) {
  static au_bytes_t json;
  put_event(&json, event);
  fuzz_require(au_reader_read(reader, AU_FORMAT_JSON, (const char *)json.data,
                              json.size, FUZZ_NOW_US) == AU_INTAKE_DONE &&
                   reader->intake.rows.count == 1,
               "an accepted event is refused as one of our own");
  au_event_t twin;
  fuzz_require(au_row_decode(reader->intake.rows.bytes.data,
                             reader->intake.rows.row[0].size, &twin) == AU_OK &&
                   twin.metadata.size == event->metadata.size,
               "an event changes on its way");
}

static void check_rows(const au_intake_t *intake, au_reader_t *reader) {
  size_t offset = 0;
  for (size_t i = 0; i < intake->rows.count; i++) {
    const au_row_t row =
        au_row_split(intake->rows.row[i].kind, intake->rows.bytes.data + offset,
                     intake->rows.row[i].size);
    au_event_t event;
    fuzz_require(au_row_decode(row.tuple, row.size, &event) == AU_OK,
                 "a row does not read back");
    check_event(reader, &event);
    offset += intake->rows.row[i].size;
  }
}

/* Only what is no object, or no JSON, may be refused. */
static void check_errors(const au_intake_t *intake) {
  for (size_t i = 0; i < intake->errors_listed; i++) {
    const char *json =
        (const char *)intake->errors_json.data + intake->errors[i].offset;
    size_t size = intake->errors[i].size;
    fuzz_require_json(json, size, "an error is not JSON");
    fuzz_require(memmem(json, size, "isObject", 8) != NULL ||
                     memmem(json, size, "isArray", 7) != NULL ||
                     memmem(json, size, "isJson", 6) != NULL,
                 "an object is refused");
  }
}

static void read_body(const au_shape_t *shape, au_format_t format,
                      fuzz_input_t body, bool is_narrow) {
  static au_reader_t readers[2];
  static au_reader_t again[2];
  au_reader_t *reader = fuzz_reader(readers, &narrow, is_narrow);
  char *text = fuzz_copy(body.data, body.size);
  const au_intake_t *intake = &reader->intake;
  au_reader_shape(reader, shape);
  au_intake_result_t result =
      au_reader_read(reader, format, text, body.size, FUZZ_NOW_US);
  fuzz_require(result != AU_INTAKE_NOMEM, "out of memory");
  if (result == AU_INTAKE_MALFORMED)
    fuzz_require(intake->message[0] != '\0', "no word of what is wrong");
  if (result == AU_INTAKE_DONE) {
    fuzz_require(intake->total == intake->rows.count + intake->errors_count,
                 "the counts do not agree");
    check_rows(intake, fuzz_reader(again, &narrow, is_narrow));
    if (shape->is_lenient)
      check_errors(intake);
  }
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char fields[] = "tsmie";
  fuzz_input_t input = {.data = data, .size = size};
  fuzz_input_t line = fuzz_take_line(&input);
  au_shape_t shape = {.is_lenient = fuzz_take_byte(&line) == 'l'};
  static const au_format_t formats[] = {AU_FORMAT_JSON, AU_FORMAT_NDJSON,
                                        AU_FORMAT_GUESS};
  au_format_t format = formats[fuzz_take_byte(&line) % 3];
  bool is_narrow = fuzz_take_byte(&line) == 'n';
  if (fuzz_take_byte(&line) == 's')
    au_bytes_put_string(&shape.service, "web");
  const char *field = strchr(fields, fuzz_take_byte(&line));
  char *paths = fuzz_text(line);
  if (field != NULL && *field != '\0' && *paths != '\0')
    (void)au_shape_set_field(&shape, (au_shape_field_t)(field - fields), paths);
  read_body(&shape, format, input, is_narrow);
  free(paths);
  au_shape_fini(&shape);
  return 0;
}
