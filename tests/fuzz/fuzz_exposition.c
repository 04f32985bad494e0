/* SPDX-License-Identifier: MIT
 *
 * fuzz_exposition - any text as a header Accept: it is one of the formats, and
 * it is the text format unless OpenMetrics is named.
 */
#include "fuzz/fuzz.h"
#include "metrics/exposition.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = fuzz_text((fuzz_input_t){.data = data, .size = size});
  au_exposition_t format = au_exposition_choose(text);
  fuzz_require(format == AU_EXPOSITION_TEXT ||
                   (format == AU_EXPOSITION_OPENMETRICS &&
                    strcasestr(text, "openmetrics-text") != NULL),
               "a format that nobody has asked for");
  fuzz_require(au_exposition_content_type(format) != NULL, "it has no type");
  free(text);
  return 0;
}
