/* SPDX-License-Identifier: MIT */
#include "support/bodies.h"

#include "event/row.h"
#include "support/limits.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

au_limits_t limits;
au_reader_t reader;
au_intake_t *const intake = &reader.intake;
au_bytes_t body;

void set_up_reader(void) {
  limits = (au_limits_t)DEFAULT_LIMITS;
  body = (au_bytes_t)AU_BYTES_INIT;
  ck_assert_int_eq(au_reader_init(&reader, &limits), AU_OK);
}

void tear_down_reader(void) {
  au_bytes_fini(&body);
  au_reader_fini(&reader);
}

au_intake_result_t parse_bytes(au_format_t format, const void *data,
                               size_t size) {
  char *copy = malloc(size + 1);
  ck_assert_ptr_nonnull(copy);
  if (size > 0)
    memcpy(copy + 1, data, size);
  au_intake_result_t result =
      au_reader_read(&reader, format, copy + 1, size, NOW);
  free(copy);
  if (result == AU_INTAKE_DONE)
    ck_assert_uint_eq(intake->rows.count + intake->errors_count, intake->total);
  else
    ck_assert_uint_eq(intake->rows.count + intake->errors_count + intake->total,
                      0);
  return result;
}

au_intake_result_t parse(const char *json) {
  return parse_bytes(AU_FORMAT_JSON, json, strlen(json));
}

au_intake_result_t parse_lines(const char *lines) {
  return parse_bytes(AU_FORMAT_NDJSON, lines, strlen(lines));
}

au_intake_result_t parse_body(void) {
  ck_assert(!body.failed);
  return parse_bytes(AU_FORMAT_JSON, body.data, body.size);
}

const char *errors_of(size_t n) {
  static char text[16384];
  ck_assert_uint_lt(n, intake->errors_listed);
  const au_intake_error_t *error = &intake->errors[n];
  ck_assert_uint_le(error->offset + error->size, intake->errors_json.size);
  snprintf(text, sizeof(text), "%.*s", (int)error->size,
           (const char *)intake->errors_json.data + error->offset);
  return text;
}

au_event_t event_of(size_t n) {
  ck_assert_uint_lt(n, intake->rows.count);
  size_t offset = 0;
  for (size_t i = 0; i < n; i++)
    offset += intake->rows.row[i].size;
  au_event_t event;
  const au_row_t row =
      au_row_split(intake->rows.row[n].kind, intake->rows.bytes.data + offset,
                   intake->rows.row[n].size);
  ck_assert_int_eq(au_row_decode(row.tuple, row.size, &event), AU_OK);
  ck_assert_mem_eq(&event.id, &intake->ids[n], sizeof(event.id));
  ck_assert_int_eq(event.ingested_at_us, NOW);
  return event;
}

void assert_slice(au_slice_t slice, const char *text) {
  ck_assert_msg(slice.size == strlen(text) &&
                    memcmp(slice.data, text, slice.size) == 0,
                "\"%.*s\" is not \"%s\"", (int)slice.size, slice.data, text);
}

const char *with(const char *fields) {
  static char json[8192];
  snprintf(json, sizeof(json),
           "{\"timestamp\":1700000000,\"service\":\"s\",\"message\":\"m\"%s%s}",
           fields[0] != '\0' ? "," : "", fields);
  return json;
}

void assert_accepted(const char *json) {
  ck_assert_int_eq(parse(json), AU_INTAKE_DONE);
  ck_assert_msg(intake->rows.count == 1 && intake->errors_count == 0,
                "%.200s: %s", json,
                intake->errors_count > 0 ? errors_of(0) : "nothing");
}

void assert_refused(const char *json, const char *errors) {
  ck_assert_int_eq(parse(json), AU_INTAKE_DONE);
  ck_assert_msg(intake->errors_count == 1 && intake->rows.count == 0,
                "not refused: %.200s", json);
  ck_assert_str_eq(errors_of(0), errors);
}
