/* SPDX-License-Identifier: MIT
 *
 * fuzz_dead_letter_query - any bytes as the event of a dead letter, as the
 * database holds it. It is shown as JSON, and put back only as the row that it
 * is.
 */
#include "api/dead_letter_query.h"
#include "base/hex.h"
#include "fuzz/answers.h"
#include "fuzz/fuzz.h"

#include "event/row.h"

#include <stdlib.h>
#include <string.h>

static const au_query_job_t job;

/* bytea, as text; or text that is none. */
static char *write_bytea(fuzz_input_t bytes, bool is_hex) {
  if (!is_hex)
    return fuzz_text(bytes);
  char *text = malloc(2 * bytes.size + 3);
  fuzz_require(text != NULL, "out of memory");
  memcpy(text, "\\x", 2);
  *au_hex_write(text + 2, bytes.data, bytes.size) = '\0';
  return text;
}

static void check_shown(const char *bytea, const char *text,
                        const char *format) {
  static const char id[] = "0a0a0a0a-0000-4000-8000-000000000001";
  au_uuid_t uuid;
  fuzz_require(au_uuid_parse(id, strlen(id), &uuid), "no id");
  fuzz_answer = (fuzz_answer_t){
      .status = AU_OK,
      .rows = 1,
      .text = {id, id, text, text, text, "3", "1700000000123456", "t",
               "-9223372036854775808", bytea, format}};
  au_bytes_t json = AU_BYTES_INIT;
  au_database_error_t error;
  fuzz_require(au_dead_letter_show(&job, NULL, &uuid, &json, &error) == AU_OK,
               "out of memory");
  fuzz_require_json(json.data, json.size, "a dead letter is not JSON");
  au_bytes_fini(&json);
}

static void check_put_back(const char *bytea, const char *format,
                           fuzz_input_t bytes, bool is_hex) {
  fuzz_answer = (fuzz_answer_t){
      .status = AU_OK, .rows = 1, .text = {bytea, format, "3", "f"}};
  au_dead_letter_t letter = {.retry_count = 0};
  au_database_error_t error;
  fuzz_require(au_dead_letter_read(&job, NULL, &letter, &error) == AU_OK,
               "out of memory");
  fuzz_require(letter.is_found, "a dead letter is not found");
  if (letter.is_decoded) {
    au_rows_t rows = {.count = 0};
    fuzz_require(au_rows_append_reprocess(&rows, &letter.event, &letter.id) ==
                     AU_OK,
                 "out of memory");
    const au_row_t row =
        au_row_split(rows.row[0].kind, rows.bytes.data, rows.row[0].size);
    fuzz_require(is_hex && row.size == bytes.size &&
                     memcmp(row.tuple, bytes.data, row.size) == 0,
                 "another row is put back");
    fuzz_require(au_row_is_sound(&row), "a row is put back that is not sound");
    au_rows_fini(&rows);
  }
  au_dead_letter_fini(&letter);
}

/* A sound tuple with some bytes in the place of others. */
static void make_tuple(fuzz_input_t *input, au_rows_t *rows) {
  fuzz_input_t metadata = fuzz_take_line(input);
  fuzz_input_t service = fuzz_take_line(input);
  const au_event_t event = {
      .ingested_at_us = INT64_C(1700000000123456),
      .occurred_at_us = (int64_t)fuzz_take_number(input, 8),
      .service = {.data = service.size > 0 ? (const char *)service.data : "",
                  .size = service.size},
      .message = {.data = "message", .size = 7},
      .metadata = {.data =
                       metadata.size > 0 ? (const char *)metadata.data : NULL,
                   .size = metadata.size}};
  fuzz_require(au_rows_append(rows, &event) == AU_OK, "out of memory");
  for (size_t at = 0; input->size > 0 && at < 4; at++)
    rows->bytes.data[fuzz_take_below(input, rows->bytes.size)] ^=
        fuzz_take_byte(input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  uint8_t how = fuzz_take_byte(&input);
  au_rows_t rows = {.count = 0};
  bool is_hex = how != 't';
  fuzz_input_t bytes = input;
  if (how == 'm') {
    make_tuple(&input, &rows);
    bytes = (fuzz_input_t){.data = rows.bytes.data, .size = rows.bytes.size};
  }
  char *bytea = write_bytea(bytes, is_hex);
  char *text = fuzz_text(input);
  const char *format = how == 'f' ? text : "1";
  check_shown(bytea, text, format);
  check_put_back(bytea, format, bytes, is_hex);
  free(bytea);
  free(text);
  au_rows_fini(&rows);
  return 0;
}
