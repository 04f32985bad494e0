/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/. */
#include "http/preference.h"

#include <string.h>
#include <strings.h>

#define BLANKS " \t"
#define WORD_ENDS ",;=\"" BLANKS

/* Passes what is left of a preference, its parameters: to the comma outside of
 * quotes, or to the end. */
static const char *pass_rest(const char *text) {
  bool is_quoted = false;
  for (; *text != '\0' && (is_quoted || *text != ','); text++) {
    if (*text == '"')
      is_quoted = !is_quoted;
    else if (is_quoted && *text == '\\' && text[1] != '\0')
      text++;
  }
  return text;
}

/* A word, or a text in quotes. */
static void read_value(const char *text, char out_value[AU_PREFERENCE_SIZE]) {
  bool is_quoted = *text == '"';
  text += is_quoted;
  size_t size = is_quoted ? strcspn(text, "\"") : strcspn(text, WORD_ENDS);
  if (size >= AU_PREFERENCE_SIZE)
    size = 0;
  memcpy(out_value, text, size);
  out_value[size] = '\0';
}

bool au_preference_find(const char *header, const char *name,
                        char out_value[AU_PREFERENCE_SIZE]) {
  for (const char *text = header; *text != '\0'; text = pass_rest(text)) {
    text += strspn(text, "," BLANKS);
    size_t size = strcspn(text, WORD_ENDS);
    bool is_it = size == strlen(name) && strncasecmp(text, name, size) == 0;
    if (!is_it)
      continue;
    text += size;
    text += strspn(text, BLANKS);
    out_value[0] = '\0';
    if (*text == '=')
      read_value(text + 1 + strspn(text + 1, BLANKS), out_value);
    return true;
  }
  return false;
}
