/* SPDX-License-Identifier: MIT
 *
 * fuzz_json_reader - any bytes as a request body, read in both ways (event/
 * json.c): token by token with YAJL behind it, and by YAJL alone. Whatever
 * comes, the outcome is the same: the result and its words, the counts, each
 * row to the byte, and what is told of each event that is refused.
 *
 * The first byte of the input chooses the form of the body, the limits and what
 * the request goes by; the rest is the body.
 */
#include "event/json.h"
#include "event/reader.h"
#include "fuzz/events.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static bool is_equal(const void *a, size_t a_size, const void *b,
                     size_t b_size) {
  return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

/* Ids that are made are others each time: they are put out of the rows. */
static void drop_made_ids(au_intake_t *intake) {
  uint8_t *row = intake->rows.bytes.data;
  for (size_t i = 0; i < intake->rows.count; i++) {
    const au_row_extent_t *extent = &intake->rows.row[i];
    if (extent->kind == AU_ROW_EVENT) {
      const au_row_t parts = au_row_split(extent->kind, row, extent->size);
      au_uuid_t id = au_row_event_id(&parts);
      uint8_t *place = memmem(row, extent->size, id.byte, sizeof(id.byte));
      fuzz_require(place != NULL, "an id is not in its row");
      memset(place, 0, sizeof(id.byte));
      memset(intake->ids[i].byte, 0, sizeof(intake->ids[i].byte));
    }
    row += extent->size;
  }
}

static void compare_rows(const au_intake_t *a, const au_intake_t *b) {
  fuzz_require(a->rows.count == b->rows.count, "one has more rows");
  for (size_t i = 0; i < a->rows.count; i++)
    fuzz_require(a->rows.row[i].size == b->rows.row[i].size &&
                     a->rows.row[i].kind == b->rows.row[i].kind,
                 "a row is another one");
  fuzz_require(is_equal(a->rows.bytes.data, a->rows.bytes.size,
                        b->rows.bytes.data, b->rows.bytes.size),
               "a row has other bytes");
  fuzz_require(is_equal(a->ids, a->rows.count * sizeof(*a->ids), b->ids,
                        b->rows.count * sizeof(*b->ids)),
               "an id is another one");
}

static void compare_errors(const au_intake_t *a, const au_intake_t *b) {
  fuzz_require(a->errors_count == b->errors_count &&
                   a->errors_listed == b->errors_listed,
               "one refuses more");
  for (size_t i = 0; i < a->total; i++)
    fuzz_require(au_intake_is_refused(a, i) == au_intake_is_refused(b, i),
                 "another event is refused");
  for (size_t i = 0; i < a->errors_listed; i++) {
    const au_intake_error_t *one = &a->errors[i];
    const au_intake_error_t *other = &b->errors[i];
    fuzz_require(one->index == other->index &&
                     one->fields_omitted == other->fields_omitted &&
                     is_equal(a->errors_json.data + one->offset, one->size,
                              b->errors_json.data + other->offset, other->size),
                 "something else is told of a refused event");
  }
}

static void compare(au_intake_t *a, au_intake_t *b) {
  fuzz_require(a->total == b->total && a->attempted == b->attempted &&
                   a->is_single == b->is_single,
               "the counts differ");
  fuzz_require(a->has_time == b->has_time &&
                   (!a->has_time || a->time_us == b->time_us),
               "the request has another time");
  fuzz_require(strcmp(a->message, b->message) == 0, "the words differ");
  drop_made_ids(a);
  drop_made_ids(b);
  compare_rows(a, b);
  compare_errors(a, b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static au_reader_t both[2];
  static au_reader_t parsed[2];
  if (size == 0)
    return 0;
  uint8_t choice = data[0];
  au_reader_t *one = fuzz_chosen_reader(both, choice);
  au_reader_t *other = fuzz_chosen_reader(parsed, choice);
  au_json_reader_parse_only(other->json);
  char *body = fuzz_copy(data + 1, size - 1);
  fuzz_require(fuzz_read_chosen(one, choice, body, size - 1) ==
                   fuzz_read_chosen(other, choice, body, size - 1),
               "one takes it, and one does not");
  compare(&one->intake, &other->intake);
  free(body);
  return 0;
}
