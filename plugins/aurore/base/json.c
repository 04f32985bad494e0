/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * Runs of plain characters are copied whole; only an escape interrupts a run.
 */
#include "base/json.h"

#include "base/utf8.h"

#include <string.h>

static bool needs_escape(unsigned char c) {
  return c < 0x20 || c == '"' || c == '\\';
}

static void put_escape(au_bytes_t *json, unsigned char c) {
  static const char short_form[] = "\"\"\\\\\bb\ff\nn\rr\tt";
  for (size_t i = 0; i + 1 < sizeof(short_form); i += 2)
    if (c == (unsigned char)short_form[i]) {
      au_bytes_put_u8(json, '\\');
      au_bytes_put_u8(json, (uint8_t)short_form[i + 1]);
      return;
    }
  au_bytes_printf(json, "\\u00%02x", c);
}

void au_json_put_escaped(au_bytes_t *json, const char *text, size_t size) {
  size_t run = 0;
  for (size_t at = 0; at < size; at++) {
    unsigned char c = (unsigned char)text[at];
    if (!needs_escape(c))
      continue;
    au_bytes_put(json, text + run, at - run);
    put_escape(json, c);
    run = at + 1;
  }
  if (run < size)
    au_bytes_put(json, text + run, size - run);
}

/* As au_json_put_escaped, for text that is known not to be valid UTF-8. */
static void put_repaired(au_bytes_t *json, const char *text, size_t size) {
  au_bytes_t valid = AU_BYTES_INIT;
  au_utf8_put_repaired(&valid, text, size, SIZE_MAX);
  au_json_put_escaped(json, (const char *)valid.data, valid.size);
  json->failed |= valid.failed;
  au_bytes_fini(&valid);
}

void au_json_put_string(au_bytes_t *json, const char *text, size_t size) {
  au_bytes_put_u8(json, '"');
  if (au_utf8_length(text, size) >= 0)
    au_json_put_escaped(json, text, size);
  else
    put_repaired(json, text, size);
  au_bytes_put_u8(json, '"');
}

void au_json_put_text(au_bytes_t *json, const char *text) {
  if (text == NULL)
    au_bytes_put(json, "null", 4);
  else
    au_json_put_string(json, text, strlen(text));
}
