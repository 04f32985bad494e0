/* SPDX-License-Identifier: MIT
 *
 * fuzz_timestamp - any bytes as a time, as text and as a number of JSON. What
 * is taken is of the years that an event may have, and means the same when it
 * is written out and read again.
 */
#include "base/timestamp.h"
#include "fuzz/fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_time(int64_t us) {
  fuzz_require(au_timestamp_is_valid(us), "a time of no valid year is taken");
  char text[64];
  int64_t again = 0;
  au_timestamp_format(us, text);
  fuzz_require(strlen(text) == AU_TIMESTAMP_TEXT_SIZE - 1,
               "a time has another length");
  fuzz_require(au_timestamp_parse(text, strlen(text), &again) &&
                   again == us - us % 1000,
               "a time that was written reads as another");
  /* The microseconds in the place of the final Z. */
  snprintf(text + AU_TIMESTAMP_TEXT_SIZE - 2, 16, "%03dZ", (int)(us % 1000));
  fuzz_require(au_timestamp_parse(text, strlen(text), &again) && again == us,
               "microseconds do not read back");
  snprintf(text, sizeof(text), "%" PRId64 ".%06d", us / 1000000,
           (int)(us % 1000000));
  fuzz_require(au_timestamp_parse(text, strlen(text), &again) && again == us &&
                   au_timestamp_parse_number(text, strlen(text), &again) &&
                   again == us,
               "an epoch reads as another time");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  bool is_number = fuzz_take_byte(&input) == '#';
  char *text = fuzz_copy(input.data, input.size);
  int64_t us = 0;
  if (is_number ? au_timestamp_parse_number(text, input.size, &us)
                : au_timestamp_parse(text, input.size, &us))
    check_time(us);
  free(text);
  /* Any time at all can be written. */
  char written[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format((int64_t)fuzz_take_number(&input, 8), written);
  fuzz_require(strlen(written) == AU_TIMESTAMP_TEXT_SIZE - 1,
               "a time has another length");
  return 0;
}
