/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * media_type - see http/media_type.h.
 */
#include "http/media_type.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t"

bool au_media_type_is(const char *value, const char *type) {
  size_t size = strlen(type);
  value += strspn(value, BLANKS);
  if (strncasecmp(value, type, size) != 0)
    return false;
  value += size;
  value += strspn(value, BLANKS);
  return *value == '\0' || *value == ';';
}

bool au_media_type_has_suffix(const char *value, const char *suffix) {
  size_t size = strcspn(value, ";");
  while (size > 0 && strchr(BLANKS, value[size - 1]) != NULL)
    size--;
  size_t length = strlen(suffix);
  return size > length &&
         strncasecmp(value + size - length, suffix, length) == 0 &&
         memchr(value, ',', size) == NULL;
}

/* The end of the parameter that begins here: a ';' outside of quotes, or the
 * end of the value. */
static const char *end_of_parameter(const char *text) {
  bool is_quoted = false;
  for (; *text != '\0' && (is_quoted || *text != ';'); text++) {
    if (*text == '"')
      is_quoted = !is_quoted;
    else if (is_quoted && *text == '\\' && text[1] != '\0')
      text++;
  }
  return text;
}

static bool is_utf8_name(const char *text, size_t size) {
  static const char *const names[] = {"utf-8", "utf8", "us-ascii"};
  while (size > 0 && strchr(BLANKS, text[size - 1]) != NULL)
    size--;
  if (size >= 2 && text[0] == '"' && text[size - 1] == '"') {
    text++;
    size -= 2;
  }
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    if (size == strlen(names[i]) && strncasecmp(text, names[i], size) == 0)
      return true;
  return false;
}

bool au_media_type_is_utf8(const char *value) {
  static const char name[] = "charset";
  value += strcspn(value, ";");
  while (*value == ';') {
    value++;
    value += strspn(value, BLANKS);
    const char *end = end_of_parameter(value);
    const char *after = value + sizeof(name) - 1;
    if (strncasecmp(value, name, sizeof(name) - 1) == 0) {
      after += strspn(after, BLANKS);
      if (*after == '=') {
        after++;
        after += strspn(after, BLANKS);
        if (after > end || !is_utf8_name(after, (size_t)(end - after)))
          return false;
      }
    }
    value = end;
  }
  return true;
}
