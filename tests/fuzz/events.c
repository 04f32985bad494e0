/* SPDX-License-Identifier: MIT */
#include "fuzz/events.h"

#include "base/utf8.h"
#include "fuzz/fuzz.h"
#include "support/limits.h"

#include <string.h>

au_reader_t *fuzz_reader(au_reader_t pair[2], const au_limits_t *narrow,
                         bool is_narrow) {
  static const au_limits_t wide = DEFAULT_LIMITS;
  au_reader_t *reader = &pair[is_narrow ? 1 : 0];
  if (reader->json == NULL)
    fuzz_require(au_reader_init(reader, is_narrow ? narrow : &wide) == AU_OK,
                 "out of memory");
  return reader;
}

au_reader_t *fuzz_chosen_reader(au_reader_t pair[2], uint8_t choice) {
  static const au_limits_t narrow = {.max_body_bytes = 1048576,
                                     .max_batch_events = 3,
                                     .service_max_length = 4,
                                     .message_max_length = 6,
                                     .metadata_max_bytes = 24,
                                     .metadata_max_keys = 3,
                                     .metadata_max_depth = 2};
  return fuzz_reader(pair, &narrow, (choice & 2) != 0);
}

au_intake_result_t fuzz_read_chosen(au_reader_t *reader, uint8_t choice,
                                    const char *body, size_t size) {
  const au_naming_t naming = {.by = (au_named_by_t)((choice >> 2) % 3),
                              .digest = {.byte = {choice}}};
  au_reader_name(reader, &naming);
  return au_reader_read(reader,
                        (choice & 1) != 0 ? AU_FORMAT_NDJSON : AU_FORMAT_JSON,
                        body, size, FUZZ_NOW_US);
}

static void check_text(au_slice_t text, size_t max) {
  ptrdiff_t length = au_utf8_length(text.data, text.size);
  fuzz_require(length > 0 && (size_t)length <= max &&
                   memchr(text.data, 0, text.size) == NULL,
               "a text is empty, too long, or cannot be stored");
}

static void check_event(const au_limits_t *limits, const au_event_t *event) {
  check_text(event->service, limits->service_max_length);
  check_text(event->message, limits->message_max_length);
  fuzz_require(!au_utf8_is_blank(event->service.data, event->service.size),
               "a service is blank");
  if (event->metadata.data == NULL)
    return;
  fuzz_require(event->metadata.size <= limits->metadata_max_bytes,
               "metadata is too large");
  fuzz_require(memmem(event->metadata.data, event->metadata.size, "\\u0000",
                      6) == NULL ||
                   memmem(event->metadata.data, event->metadata.size,
                          "\\\\u0000", 7) != NULL,
               "metadata has a NUL");
  fuzz_require_json(event->metadata.data, event->metadata.size,
                    "metadata is not JSON");
}

void fuzz_require_events(const au_intake_t *intake) {
  const au_rows_t *rows = &intake->rows;
  size_t offset = 0;
  fuzz_require(intake->total == rows->count + intake->errors_count,
               "the counts do not agree");
  for (size_t i = 0; i < rows->count; i++) {
    const au_row_t row = au_row_split(
        rows->row[i].kind, rows->bytes.data + offset, rows->row[i].size);
    au_event_t event;
    fuzz_require(au_row_is_sound(&row) &&
                     au_row_decode(row.tuple, row.size, &event) == AU_OK,
                 "a row is not sound");
    fuzz_require(memcmp(&event.id, &intake->ids[i], sizeof(event.id)) == 0,
                 "an id is not that of its row");
    check_event(intake->limits, &event);
    offset += rows->row[i].size;
  }
  fuzz_require(offset == rows->bytes.size, "bytes belong to no row");
  for (size_t i = 0; i < intake->errors_listed; i++)
    fuzz_require_json(intake->errors_json.data + intake->errors[i].offset,
                      intake->errors[i].size, "an error is not JSON");
}
