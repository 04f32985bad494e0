/* SPDX-License-Identifier: MIT
 *
 * fuzz_otlp - any bytes as logs of OpenTelemetry, in Protocol Buffers or JSON.
 * Whatever comes, it is malformed, or none of it is refused and each record is
 * an event that PostgreSQL takes; and what JSON is turned into is well-formed.
 *
 * The first byte of the input chooses the form of the body and the limits; the
 * rest is the body.
 */
#include "event/otlp.h"
#include "fuzz/events.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static au_reader_t *reader_of(bool is_narrow) {
  static const au_limits_t narrow = NARROW_LIMITS;
  static au_reader_t readers[2];
  return fuzz_reader(readers, &narrow, is_narrow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  bool is_json = (data[0] & 1) != 0;
  au_reader_t *reader = reader_of((data[0] & 2) != 0);
  const au_intake_t *intake = &reader->intake;
  char *body = fuzz_copy(data + 1, size - 1);
  au_reader_service(reader,
                    (au_slice_t){.data = "own", .size = data[0] & 4 ? 3 : 0});
  switch (au_reader_read(reader, is_json ? AU_FORMAT_OTLP_JSON : AU_FORMAT_OTLP,
                         body, size - 1, FUZZ_NOW_US)) {
  case AU_INTAKE_DONE:
    fuzz_require(intake->errors_count == 0, "a record is refused");
    fuzz_require(intake->total <= intake->limits->otlp_max_records,
                 "too many records");
    fuzz_require(intake->rows.bytes.size <= AU_OTLP_ROWS_MAX,
                 "the rows have no end");
    fuzz_require_events(intake);
    break;
  case AU_INTAKE_MALFORMED:
    fuzz_require(intake->message[0] != '\0', "no word of what is wrong");
    fuzz_require(!is_json ||
                     strstr(intake->message, "malformed message") == NULL,
                 "JSON was turned into a malformed message");
    break;
  case AU_INTAKE_TOO_MANY:
    break;
  case AU_INTAKE_NOMEM:
  default:
    fuzz_require(false, "out of memory");
    break;
  }
  au_reader_clear(reader);
  free(body);
  return 0;
}
