/* SPDX-License-Identifier: MIT
 *
 * fuzz_utf8 - any bytes as text: the three readers of UTF-8 agree, what is
 * repaired is valid, and what is written as JSON is JSON.
 */
#include "base/json.h"
#include "base/utf8.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* Sequence by sequence; -1: there is a byte that starts none. */
static ptrdiff_t count(const char *text, size_t size) {
  ptrdiff_t length = 0;
  for (size_t at = 0; at < size; length++) {
    size_t step = au_utf8_sequence(text + at, size - at);
    if (step == 0)
      return -1;
    fuzz_require(step <= size - at, "a character ends after the text");
    at += step;
  }
  return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  size_t max = fuzz_take_below(&input, 64);
  char *text = fuzz_copy(input.data, input.size);
  ptrdiff_t length = count(text, input.size);
  fuzz_require(au_utf8_length(text, input.size) == length,
               "the length is not the number of characters");
  if (length >= 0)
    (void)au_utf8_is_blank(text, input.size);
  au_bytes_t out = AU_BYTES_INIT;
  au_utf8_put_repaired(&out, text, input.size, max);
  ptrdiff_t repaired = au_utf8_length((const char *)out.data, out.size);
  fuzz_require(!out.failed && repaired >= 0 && (size_t)repaired <= max,
               "what was repaired is not valid, or longer than asked for");
  fuzz_require(length < 0 || (size_t)length > max ||
                   (out.size == input.size &&
                    (out.size == 0 || memcmp(out.data, text, out.size) == 0)),
               "what was valid has changed");
  au_bytes_clear(&out, SIZE_MAX);
  au_json_put_string(&out, text, input.size);
  fuzz_require_json(out.data, out.size, "a text is not JSON");
  au_bytes_fini(&out);
  free(text);
  return 0;
}
