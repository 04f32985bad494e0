/* SPDX-License-Identifier: MIT */
#include "tools/conf_scan.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define WORD LETTERS DIGITS "_"
/* What a number or an address may have beside that. */
#define BARE WORD ".:+-[]"

typedef enum token {
  TOKEN_END,
  TOKEN_EOL,
  TOKEN_OPEN,
  TOKEN_CLOSE,
  TOKEN_SLASH,
  TOKEN_WORD, /* may be a key */
  TOKEN_VALUE,
  TOKEN_BAD
} token_t;

/* What a token of the last two kinds is. */
typedef struct value {
  au_given_type_t type;
  size_t string;
  double number;
  bool boolean;
} value_t;

static size_t span(const ctl_conf_scan_t *scan, const char *characters) {
  size_t length = 0;
  while (scan->at + length < scan->end && scan->at[length] != '\0' &&
         strchr(characters, scan->at[length]) != NULL)
    length++;
  return length;
}

/* The length of an end of line, or 0. */
static size_t eol_at(const ctl_conf_scan_t *scan, const char *at) {
  if (at < scan->end && *at == '\n')
    return 1;
  return scan->end - at >= 2 && at[0] == '\r' && at[1] == '\n' ? 2 : 0;
}

static void skip_blanks(ctl_conf_scan_t *scan) {
  for (;;) {
    scan->at += span(scan, " \t\b");
    size_t eol = scan->at < scan->end && *scan->at == '\\'
                     ? eol_at(scan, scan->at + 1)
                     : 0;
    if (eol == 0)
      break;
    scan->at += 1 + eol;
    scan->number++;
  }
  if (scan->at < scan->end && *scan->at == '#')
    while (scan->at < scan->end && *scan->at != '\n')
      scan->at++;
}

/* --- values ----------------------------------------------------------------
 */

static bool is_all(const char *text, const char *characters) {
  return *text != '\0' && text[strspn(text, characters)] == '\0';
}

static bool is_number(const char *text) {
  if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
    return is_all(text + 2, DIGITS "abcdefABCDEF");
  text += *text == '+' || *text == '-' ? 1 : 0;
  size_t whole = strspn(text, DIGITS);
  if (text[whole] == '\0')
    return whole > 0;
  if (text[whole] != '.')
    return false;
  text += whole + 1;
  size_t fraction = strspn(text, DIGITS);
  text += fraction;
  if (fraction == 0 || *text == '\0')
    return fraction > 0;
  return (*text == 'e' || *text == 'E') && (text[1] == '+' || text[1] == '-') &&
         is_all(text + 2, DIGITS);
}

/* An address, as it may be written without quotes: with a port behind it an
 * IPv6 address has brackets. */
static bool is_address(const char *text) {
  char host[64];
  struct in6_addr parsed;
  const char *begin = text[0] == '[' ? text + 1 : text;
  const char *port = text[0] == '[' ? strchr(text, ']') : strrchr(text, ':');
  const char *end = port != NULL ? port : text + strlen(text);
  if (inet_pton(AF_INET6, text, &parsed) == 1)
    return true;
  if (text[0] == '[' && port != NULL)
    port = port[1] == ':' ? port + 1 : NULL;
  if (end < begin || (size_t)(end - begin) >= sizeof(host) ||
      (text[0] == '[' && port == NULL && (*end != ']' || end[1] != '\0')) ||
      (port != NULL && !is_all(port + 1, DIGITS)))
    return false;
  memcpy(host, begin, (size_t)(end - begin));
  host[end - begin] = '\0';
  return inet_pton(text[0] == '[' ? AF_INET6 : AF_INET, host, &parsed) == 1;
}

/* As collectd takes them: in lower case alone. */
static bool is_boolean(const char *text, bool *out_value) {
  static const char *const words[] = {"false", "true", "no",
                                      "yes",   "off",  "on"};
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
    if (strcmp(text, words[i]) == 0) {
      *out_value = i % 2 == 1;
      return true;
    }
  return false;
}

static token_t scan_bare(ctl_conf_scan_t *scan, ctl_conf_line_t *line,
                         value_t *value) {
  size_t length = span(scan, BARE);
  if (length == 0) {
    line->error = "a character that must be in quotes";
    return TOKEN_BAD;
  }
  *value = (value_t){.type = AU_VALUE_STRING, .string = line->text.size};
  au_bytes_put(&line->text, scan->at, length);
  au_bytes_put_u8(&line->text, '\0');
  scan->at += length;
  const char *text = ctl_conf_line_text(line, value->string);
  if (is_boolean(text, &value->boolean)) {
    value->type = AU_VALUE_BOOLEAN;
    return TOKEN_VALUE;
  }
  if (is_number(text)) {
    value->type = AU_VALUE_NUMBER;
    value->number = strtod(text, NULL);
    return TOKEN_VALUE;
  }
  if (is_all(text, WORD))
    return TOKEN_WORD;
  line->error = "text that must be in quotes";
  return is_address(text) ? TOKEN_VALUE : TOKEN_BAD;
}

/* Behind the first quote. */
static token_t scan_quoted(ctl_conf_scan_t *scan, ctl_conf_line_t *line,
                           value_t *value) {
  *value = (value_t){.type = AU_VALUE_STRING, .string = line->text.size};
  for (; scan->at < scan->end && *scan->at != '"'; scan->at++) {
    if (*scan->at == '\0')
      break;
    if (*scan->at == '\\' && scan->at + 1 < scan->end) {
      size_t eol = eol_at(scan, ++scan->at);
      if (eol > 0) { /* it goes on in the next line */
        scan->at += eol;
        scan->number++;
        scan->at += span(scan, " \t\b");
        scan->at--;
        continue;
      }
    }
    scan->number += *scan->at == '\n' ? 1 : 0;
    au_bytes_put(&line->text, scan->at, 1);
  }
  au_bytes_put_u8(&line->text, '\0');
  if (scan->at == scan->end || *scan->at != '"') {
    line->error = "a quote that is not closed";
    return TOKEN_BAD;
  }
  scan->at++;
  return TOKEN_VALUE;
}

static token_t next_token(ctl_conf_scan_t *scan, ctl_conf_line_t *line,
                          value_t *value) {
  skip_blanks(scan);
  if (scan->at == scan->end)
    return TOKEN_END;
  size_t eol = eol_at(scan, scan->at);
  if (eol > 0) {
    scan->at += eol;
    scan->number++;
    return TOKEN_EOL;
  }
  static const char marks[] = "<>/\"";
  const char *mark = *scan->at != '\0' ? strchr(marks, *scan->at) : NULL;
  if (mark == NULL)
    return scan_bare(scan, line, value);
  scan->at++;
  switch (*mark) {
  case '<':
    return TOKEN_OPEN;
  case '>':
    return TOKEN_CLOSE;
  case '/':
    return TOKEN_SLASH;
  default:
    return scan_quoted(scan, line, value);
  }
}

/* --- lines -----------------------------------------------------------------
 */

static ctl_conf_kind_t refuse(ctl_conf_line_t *line, const char *error) {
  if (line->error == NULL)
    line->error = error;
  return CTL_CONF_ERROR;
}

/* Takes the values, and the token after them. */
static token_t take_values(ctl_conf_scan_t *scan, ctl_conf_line_t *line) {
  for (;;) {
    value_t value;
    token_t token = next_token(scan, line, &value);
    if (token != TOKEN_WORD && token != TOKEN_VALUE)
      return token;
    if (line->values_count == CTL_CONF_VALUES_MAX) {
      line->error = "too many values";
      return TOKEN_BAD;
    }
    size_t i = line->values_count++;
    line->values[i].type = value.type;
    line->values[i].string = value.string;
    line->values[i].number = value.number;
    line->values[i].boolean = value.boolean;
  }
}

static ctl_conf_kind_t scan_block(ctl_conf_scan_t *scan,
                                  ctl_conf_line_t *line) {
  value_t value;
  ctl_conf_kind_t kind = CTL_CONF_BLOCK;
  token_t token = next_token(scan, line, &value);
  if (token == TOKEN_SLASH) {
    kind = CTL_CONF_CLOSE;
    token = next_token(scan, line, &value);
  }
  if (token != TOKEN_WORD)
    return refuse(line, "\"<\" without the name of a block after it");
  line->key = value.string;
  if (take_values(scan, line) != TOKEN_CLOSE)
    return refuse(line, "a block whose name is not followed by \">\"");
  token = next_token(scan, line, &value);
  if (token == TOKEN_END)
    return refuse(line, "the end of the file in a line without its end");
  return token == TOKEN_EOL ? kind : refuse(line, "text after \">\"");
}

static ctl_conf_kind_t scan_option(ctl_conf_scan_t *scan,
                                   ctl_conf_line_t *line) {
  token_t token = take_values(scan, line);
  if (token == TOKEN_EOL && line->values_count > 0)
    return CTL_CONF_OPTION;
  if (token == TOKEN_END)
    return refuse(line, "the end of the file in a line without its end");
  return refuse(line, token == TOKEN_EOL ? "an option without a value"
                                         : "text that must be in quotes");
}

void ctl_conf_scan(ctl_conf_scan_t *scan, ctl_conf_line_t *line) {
  value_t value;
  ctl_conf_scan_t before = *scan;
  au_bytes_clear(&line->text, SIZE_MAX);
  line->number = scan->number;
  line->values_count = 0;
  line->error = NULL;
  switch (next_token(scan, line, &value)) {
  case TOKEN_END:
    line->kind = CTL_CONF_END;
    break;
  case TOKEN_EOL:
    line->kind = CTL_CONF_EMPTY;
    break;
  case TOKEN_OPEN:
    line->kind = scan_block(scan, line);
    break;
  case TOKEN_WORD:
    line->key = value.string;
    line->kind = scan_option(scan, line);
    break;
  case TOKEN_CLOSE:
  case TOKEN_SLASH:
  case TOKEN_VALUE:
  case TOKEN_BAD:
    line->kind = refuse(line, "a line that begins with no name of an option");
    break;
  }
  if (line->text.failed)
    line->kind = refuse(line, "out of memory");
  if (line->kind == CTL_CONF_ERROR)
    *scan = before;
}

const char *ctl_conf_line_text(ctl_conf_line_t *line, size_t offset) {
  return line->text.failed || offset >= line->text.size
             ? ""
             : (const char *)line->text.data + offset;
}

void ctl_conf_line_fini(ctl_conf_line_t *line) { au_bytes_fini(&line->text); }
