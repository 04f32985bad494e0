/* SPDX-License-Identifier: MIT
 *
 * fuzz_json_members - any bytes as the body of POST /dlq/reprocess: what is
 * taken is one whole JSON object (or would be, were its text UTF-8), and its
 * members are C strings.
 */
#include "base/json_members.h"

#include "base/json_object.h"
#include "base/utf8.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static size_t bytes;

static void take(void *context, const char *name, au_json_kind_t kind,
                 const char *value) {
  fuzz_require(context == &bytes, "the context is another");
  bytes += strlen(name) + strlen(value);
  if (kind == AU_JSON_NULL || kind == AU_JSON_NESTED)
    fuzz_require(*value == '\0', "nothing has a value");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = fuzz_copy(data, size);
  bytes = 0;
  bool is_taken = au_json_members_read(text, size, take, &bytes) == AU_OK;
  bool is_utf8 = au_utf8_length(text, size) >= 0;
  if (is_utf8)
    fuzz_require(is_taken == au_json_object_is_whole(text, size),
                 "two readers see two things");
  /* "\u0000" is six bytes, and two here. */
  fuzz_require(bytes <= size || !is_taken, "members come of nothing");
  free(text);
  return 0;
}
