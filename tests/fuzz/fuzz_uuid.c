/* SPDX-License-Identifier: MIT
 *
 * fuzz_uuid - any bytes as an id: what is taken is written as it was read, but
 * for the case of its digits.
 */
#include "base/uuid.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = fuzz_copy(data, size);
  au_uuid_t uuid;
  char written[AU_UUID_TEXT_SIZE];
  if (au_uuid_parse(text, size, &uuid)) {
    au_uuid_format(&uuid, written);
    fuzz_require(size == AU_UUID_TEXT_SIZE - 1 &&
                     strncasecmp(text, written, size) == 0,
                 "an id reads as another");
  }
  free(text);
  return 0;
}
