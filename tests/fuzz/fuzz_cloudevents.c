/* SPDX-License-Identifier: MIT
 *
 * fuzz_cloudevents - any bytes as CloudEvents, in each of the modes, with any
 * headers. Whatever comes, each event that was taken is one that PostgreSQL
 * takes; and in binary mode nothing but its attributes decides.
 *
 * The first byte of the input chooses the mode, the limits and the rest; in
 * binary mode lines follow, each a name, a space and a value, up to an empty
 * one. What is left is the body.
 */
#include "fuzz/events.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define FUZZ_NOW_US INT64_C(1700000000123456)
#define ATTRIBUTES_MAX 16

typedef struct headers {
  char *text[ATTRIBUTES_MAX];
  au_cloudevents_attribute_t attribute[ATTRIBUTES_MAX];
  size_t count;
} headers_t;

static void take_headers(fuzz_input_t *input, headers_t *headers) {
  while (headers->count < ATTRIBUTES_MAX) {
    fuzz_input_t line = fuzz_take_line(input);
    if (line.size == 0)
      return;
    char *text = fuzz_text(line);
    char *space = strchr(text, ' ');
    if (space != NULL)
      *space = '\0';
    headers->text[headers->count] = text;
    headers->attribute[headers->count++] = (au_cloudevents_attribute_t){
        .name = text, .value = space != NULL ? space + 1 : ""};
  }
}

static au_reader_t *reader_of(bool is_narrow) {
  static const au_limits_t narrow = NARROW_LIMITS;
  static au_reader_t readers[2];
  return fuzz_reader(readers, &narrow, is_narrow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  uint8_t first = fuzz_take_byte(&input);
  au_reader_t *reader = reader_of((first & 4) != 0);
  const au_intake_t *intake = &reader->intake;
  headers_t headers = {.count = 0};
  au_cloudevents_form_t form = {.mode =
                                    (au_cloudevents_mode_t)((first & 3) % 3),
                                .is_lenient = (first & 8) != 0,
                                .is_json = (first & 16) != 0,
                                .content_type = first & 32 ? "a/b" : NULL,
                                .attribute = headers.attribute};
  if (form.mode == AU_CLOUDEVENTS_BINARY)
    take_headers(&input, &headers);
  form.attributes = headers.count;
  char *body = fuzz_copy(input.data, input.size);
  au_reader_cloudevents(reader, &form);
  au_intake_result_t result = au_reader_read(reader, AU_FORMAT_CLOUDEVENTS,
                                             body, input.size, FUZZ_NOW_US);
  fuzz_require(result != AU_INTAKE_NOMEM, "out of memory");
  fuzz_require(form.mode != AU_CLOUDEVENTS_BINARY || result == AU_INTAKE_DONE,
               "an event of binary mode is malformed");
  if (result == AU_INTAKE_DONE)
    fuzz_require_events(intake);
  au_reader_clear(reader);
  free(body);
  for (size_t i = 0; i < headers.count; i++)
    free(headers.text[i]);
  return 0;
}
