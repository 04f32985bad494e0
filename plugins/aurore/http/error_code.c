/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/. */
#include "http/error_code.h"

#include "base/json.h"
#include "base/number.h"

#include <microhttpd.h>

/* The most that a refusal has whose message is ours. */
#define USUAL_SIZE 192

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
  au_bytes_reserve(json, USUAL_SIZE);
  if (codes[code].word != NULL) {
    au_bytes_put_string(json, "{\"status\":\"");
    au_bytes_put_string(json, codes[code].word);
    au_bytes_put_u8(json, '"');
  } else {
    au_bytes_put_string(json, "{\"statusCode\":");
    au_number_put(json, status);
  }
  au_bytes_put_string(json, ",\"message\":");
  au_json_put_text(json, message);
  au_bytes_put_string(json, ",\"error\":\"");
  au_bytes_put_string(json, MHD_get_reason_phrase_for(status));
  au_bytes_put_string(json, "\",\"errorCode\":\"");
  au_bytes_put_string(json, codes[code].name);
  au_bytes_put_u8(json, '"');
}
