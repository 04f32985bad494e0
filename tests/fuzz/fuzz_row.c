/* SPDX-License-Identifier: MIT
 *
 * fuzz_row - any bytes as a row, of either layout and kind. A tuple that is
 * taken is made of the same bytes when its event is encoded again; nothing is
 * read outside of a row, whatever its lengths say.
 */
#include "event/row.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static bool is_within(au_slice_t slice, const au_row_t *row) {
  const uint8_t *data = (const uint8_t *)slice.data;
  return slice.size == 0 ||
         (data >= row->tuple && data + slice.size <= row->tuple + row->size);
}

/* What may be asked of any row, sound or not. */
static void check_parts(const au_row_t *row) {
  au_slice_t service = au_row_service(row);
  fuzz_require(is_within(service, row), "a service is outside of its row");
  (void)au_row_ingested_at_us(row);
  au_uuid_t name = au_row_name(row);
  au_uuid_t id = au_row_event_id(row);
  fuzz_require(memcmp(&name, &id, 12) == 0, "a name is not that of its id");
}

static void check_event(const au_row_t *row, const au_event_t *event) {
  fuzz_require(is_within(event->service, row) &&
                   is_within(event->message, row) &&
                   is_within(event->metadata, row),
               "a text is outside of its row");
  au_uuid_t id = au_row_event_id(row);
  au_slice_t service = au_row_service(row);
  fuzz_require(au_row_ingested_at_us(row) == event->ingested_at_us &&
                   memcmp(&id, &event->id, sizeof(id)) == 0 &&
                   service.data == event->service.data &&
                   service.size == event->service.size,
               "a part is not that of the event");
  au_rows_t rows = {.count = 0};
  fuzz_require(au_rows_append(&rows, event) == AU_OK, "out of memory");
  fuzz_require(rows.row[0].size == row->size &&
                   memcmp(rows.bytes.data, row->tuple, row->size) == 0,
               "an event becomes another row");
  au_rows_fini(&rows);
}

static void check_row(au_row_kind_t kind, const uint8_t *bytes, size_t size) {
  uint8_t *copy = fuzz_copy(bytes, size);
  au_row_t row = au_row_split(kind, copy, size);
  au_event_t event;
  check_parts(&row);
  if (au_row_decode(row.tuple, row.size, &event) == AU_OK)
    check_event(&row, &event);
  free(copy);
}

/* A row of layout 1 becomes one of the present layout. */
static void check_upgrade(fuzz_input_t input) {
  uint8_t *copy = fuzz_copy(input.data, input.size);
  au_bytes_t rows = AU_BYTES_INIT;
  au_row_kind_t kind = au_row_put_upgraded(&rows, copy, input.size);
  fuzz_require(!rows.failed, "out of memory");
  fuzz_require(rows.size >= au_row_prefix_size(kind),
               "a dead letter has no id");
  check_row(kind, rows.data, rows.size);
  au_bytes_fini(&rows);
  free(copy);
}

/* A sound tuple, of whatever the input says. */
static void make_tuple(fuzz_input_t *input, au_rows_t *rows) {
  au_event_t event = {.ingested_at_us = (int64_t)fuzz_take_number(input, 8),
                      .occurred_at_us = (int64_t)fuzz_take_number(input, 8)};
  fuzz_input_t part = fuzz_take_line(input);
  event.service = (au_slice_t){
      .data = part.size > 0 ? (const char *)part.data : "", .size = part.size};
  part = fuzz_take_line(input);
  event.message = (au_slice_t){
      .data = part.size > 0 ? (const char *)part.data : "", .size = part.size};
  if (input->size > 0)
    event.metadata =
        (au_slice_t){.data = (const char *)input->data, .size = input->size};
  fuzz_require(au_rows_append(rows, &event) == AU_OK, "out of memory");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  switch (fuzz_take_byte(&input)) {
  case '1':
    check_upgrade(input);
    break;
  case 'd':
    if (input.size >= au_row_prefix_size(AU_ROW_REPROCESS))
      check_row(AU_ROW_REPROCESS, input.data, input.size);
    break;
  case 'n':
    if (input.size >= au_row_prefix_size(AU_ROW_NUMBERED))
      check_row(AU_ROW_NUMBERED, input.data, input.size);
    break;
  case 'm': { /* one byte of a sound tuple is another, and it is cut */
    size_t at = fuzz_take_number(&input, 2);
    uint8_t byte = fuzz_take_byte(&input);
    size_t cut = fuzz_take_byte(&input);
    au_rows_t rows = {.count = 0};
    make_tuple(&input, &rows);
    rows.bytes.data[at % rows.bytes.size] ^= byte;
    check_row(AU_ROW_EVENT, rows.bytes.data,
              rows.bytes.size - (cut < rows.bytes.size ? cut : 0));
    au_rows_fini(&rows);
    break;
  }
  default:
    check_row(AU_ROW_EVENT, input.data, input.size);
    break;
  }
  return 0;
}
