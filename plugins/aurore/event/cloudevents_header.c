/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/cloudevents_header.h"

#include "base/hex.h"
#include "base/json.h"

/* A quoted string (RFC 9110, 5.6.4) from its first quote to its last. */
static bool is_quoted(const char *value, size_t size) {
  if (size < 2 || value[0] != '"' || value[size - 1] != '"')
    return false;
  for (size_t at = 1; at < size - 1; at++) {
    if (value[at] == '"')
      return false;
    if (value[at] == '\\' && ++at == size - 1)
      return false;
  }
  return true;
}

static void put_decoded(au_bytes_t *to, const char *value, size_t size,
                        bool has_quotes) {
  for (size_t at = 0; at < size; at++) {
    char byte = value[at];
    if (has_quotes && byte == '\\' && at + 1 < size)
      byte = value[++at];
    uint8_t escape = 0;
    if (byte == '%' && size - at > 2 &&
        au_hex_read(value + at + 1, &escape, 1) && escape != 0) {
      byte = (char)escape;
      at += 2;
    }
    au_bytes_put_u8(to, (uint8_t)byte);
  }
}

void au_cloudevents_put_header(au_bytes_t *json, const char *name,
                               const char *value) {
  au_bytes_t decoded = {.account = json->account};
  size_t size = strlen(value);
  bool has_quotes = is_quoted(value, size);
  for (const char *from = name; *from != '\0'; from++) {
    bool is_capital = *from >= 'A' && *from <= 'Z';
    au_bytes_put_u8(&decoded,
                    (uint8_t)(is_capital ? *from - 'A' + 'a' : *from));
  }
  au_json_put_string(json, (const char *)decoded.data, decoded.size);
  au_bytes_put_u8(json, ':');
  decoded.size = 0;
  if (has_quotes)
    put_decoded(&decoded, value + 1, size - 2, true);
  else
    put_decoded(&decoded, value, size, false);
  au_json_put_string(json, (const char *)decoded.data, decoded.size);
  au_bytes_put_u8(json, ',');
  json->failed |= decoded.failed;
  au_bytes_fini(&decoded);
}
