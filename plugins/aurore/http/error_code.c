/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/. */
#include "http/error_code.h"

#include "base/json.h"

#include <microhttpd.h>

static const struct {
  const char *name;
  unsigned status;
  const char *word; /* NULL: the number of the status instead */
} codes[AU_ERROR_CODE_COUNT] = {
#define ERROR_CODE(name, status, word)                                         \
  [AU_ERROR_##name] = {#name, (status), (word)},
#include "http/error_code.def"
#undef ERROR_CODE
};

unsigned au_error_status(au_error_code_t code) { return codes[code].status; }

const char *au_error_name(au_error_code_t code) { return codes[code].name; }

void au_error_put(au_bytes_t *json, au_error_code_t code, const char *message) {
  unsigned status = codes[code].status;
  if (codes[code].word != NULL)
    au_bytes_printf(json, "{\"status\":\"%s\"", codes[code].word);
  else
    au_bytes_printf(json, "{\"statusCode\":%u", status);
  au_bytes_put_string(json, ",\"message\":");
  au_json_put_text(json, message);
  au_bytes_printf(json, ",\"error\":\"%s\",\"errorCode\":\"%s\"",
                  MHD_get_reason_phrase_for(status), codes[code].name);
}
