/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/cloudevents_binary.h"

#include "base/base64.h"
#include "base/hex.h"
#include "base/json.h"
#include "event/storable.h"

#include <string.h>

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

/* A header as a member of a JSON object, with a comma after it. */
static void put_attribute(au_bytes_t *json, const char *name,
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

/* Whether all of it is one value of JSON; false, too, when out of memory. */
static bool is_json(au_json_scan_t *scan, au_dialect_t dialect,
                    const char *text, size_t size, bool *out_nomem) {
  au_json_scan_begin(scan, dialect, text, size);
  au_token_t token = au_json_scan_next(scan);
  if (token.kind == AU_TOKEN_END)
    return false;
  token = au_json_scan_skip(scan, token);
  if (!au_token_is_broken(token))
    token = au_json_scan_next(scan);
  *out_nomem = token.kind == AU_TOKEN_NOMEM;
  return token.kind == AU_TOKEN_END;
}

static void put_data(au_bytes_t *json, const au_cloudevents_form_t *form,
                     au_json_scan_t *scan, const char *body, size_t size) {
  au_dialect_t dialect = form->is_lenient ? AU_DIALECT_NAN : AU_DIALECT_STRICT;
  bool is_nomem = false;
  if (size == 0) {
    au_bytes_put_string(json, "\"data\":null");
  } else if (form->is_json && is_json(scan, dialect, body, size, &is_nomem)) {
    au_bytes_put_string(json, "\"data\":");
    au_bytes_put(json, body, size);
  } else if (au_storable_is_text(body, size)) {
    au_bytes_put_string(json, "\"data\":");
    au_json_put_string(json, body, size);
  } else {
    au_bytes_put_string(json, "\"data_base64\":\"");
    au_base64_put(json, body, size);
    au_bytes_put_u8(json, '"');
  }
  json->failed |= is_nomem;
}

void au_cloudevents_put_structured(au_bytes_t *json,
                                   const au_cloudevents_form_t *form,
                                   au_json_scan_t *scan, const char *body,
                                   size_t size) {
  au_bytes_put_u8(json, '{');
  for (size_t i = 0; i < form->attributes; i++)
    put_attribute(json, form->attribute[i].name, form->attribute[i].value);
  if (form->content_type != NULL) {
    au_bytes_put_string(json, "\"datacontenttype\":");
    au_json_put_text(json, form->content_type);
    au_bytes_put_u8(json, ',');
  }
  put_data(json, form, scan, body, size);
  au_bytes_put_u8(json, '}');
}
