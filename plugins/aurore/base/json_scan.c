/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/json_scan.h"

#include "base/hex.h"

#include <string.h>

/* Kept from text to text. */
#define KEEP_BYTES ((size_t)4 << 10)

#define ESCAPE_SIZE 6 /* \uXXXX */

typedef enum place {
  AT_VALUE,          /* a value; outside of all others, or the end */
  AT_VALUE_OR_CLOSE, /* after [ */
  AT_KEY,            /* after a comma of an object */
  AT_KEY_OR_CLOSE,   /* after { */
  AT_COMMA           /* a comma, or the end of the innermost value */
} place_t;

void au_json_scan_fini(au_json_scan_t *scan) { au_bytes_fini(&scan->open); }

void au_json_scan_charge(au_json_scan_t *scan, au_account_t *account) {
  scan->open.account = account;
}

void au_json_scan_begin(au_json_scan_t *scan, au_dialect_t dialect,
                        const char *text, size_t size) {
  au_bytes_clear(&scan->open, KEEP_BYTES);
  scan->dialect = dialect;
  scan->text = text;
  scan->size = size;
  scan->at = 0;
  scan->place = AT_VALUE;
  scan->fault = NULL;
}

size_t au_json_scan_level(const au_json_scan_t *scan) {
  return scan->open.size;
}

bool au_token_is_value(au_token_t token) {
  return token.kind != AU_TOKEN_CLOSE && token.kind < AU_TOKEN_END &&
         token.kind != AU_TOKEN_KEY;
}

/* --- characters -----------------------------------------------------------*/

static bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void skip_space(au_json_scan_t *scan) {
  while (scan->at < scan->size && is_space(scan->text[scan->at]))
    scan->at++;
}

/* The next character, or NUL at the end. */
static char peek(const au_json_scan_t *scan) {
  if (scan->at == scan->size)
    return '\0';
  return scan->text[scan->at];
}

static au_token_t fail(au_json_scan_t *scan, const char *fault) {
  bool is_end = scan->at >= scan->size;
  scan->fault = is_end ? "unexpected end of JSON" : fault;
  return (au_token_t){.kind = AU_TOKEN_INVALID};
}

/* The token from "start" to where the scan is now. */
static au_token_t token_from(const au_json_scan_t *scan, au_token_kind_t kind,
                             size_t start) {
  return (au_token_t){
      .kind = kind, .text = scan->text + start, .size = scan->at - start};
}

/* --- scalars --------------------------------------------------------------*/

/* After a value: what may come next. */
static void end_value(au_json_scan_t *scan) {
  scan->place = scan->open.size > 0 ? AT_COMMA : AT_VALUE;
}

/* The escape at the scan, a backslash. */
static bool take_escape(au_json_scan_t *scan) {
  scan->at++;
  char c = peek(scan);
  if (c == '\0' || strchr("\"\\/bfnrtu", c) == NULL)
    return false;
  scan->at++;
  for (int i = 0; i < 4 && c == 'u'; i++, scan->at++) {
    char digit = peek(scan);
    bool is_hex = is_digit(digit) || (digit >= 'a' && digit <= 'f') ||
                  (digit >= 'A' && digit <= 'F');
    if (!is_hex)
      return false;
  }
  return true;
}

/* The string at the scan, a quote. */
static au_token_t take_string(au_json_scan_t *scan, au_token_kind_t kind) {
  size_t start = ++scan->at;
  bool has_escape = false;
  for (;;) {
    if (scan->at == scan->size)
      return fail(scan, "");
    unsigned char c = (unsigned char)scan->text[scan->at];
    if (c == '"')
      break;
    if (c < 0x20)
      return fail(scan, "control character in a string");
    if (c != '\\') {
      scan->at++;
      continue;
    }
    has_escape = true;
    if (!take_escape(scan))
      return fail(scan, "invalid escape in a string");
  }
  au_token_t token = token_from(scan, kind, start);
  token.has_escape = has_escape;
  scan->at++;
  return token;
}

static bool take_digits(au_json_scan_t *scan) {
  size_t start = scan->at;
  while (is_digit(peek(scan)))
    scan->at++;
  return scan->at > start;
}

static bool take_number_text(au_json_scan_t *scan) {
  if (peek(scan) == '-')
    scan->at++;
  if (peek(scan) == '0')
    scan->at++;
  else if (!take_digits(scan))
    return false;
  if (peek(scan) == '.') {
    scan->at++;
    if (!take_digits(scan))
      return false;
  }
  if (peek(scan) == 'e' || peek(scan) == 'E') {
    scan->at++;
    if (peek(scan) == '+' || peek(scan) == '-')
      scan->at++;
    return take_digits(scan);
  }
  return true;
}

/* The word at the scan, if it is one that has a meaning. */
static bool take_word(au_json_scan_t *scan, au_token_kind_t *out_kind) {
  static const struct {
    const char *word;
    au_token_kind_t kind;
    au_dialect_t dialect;
  } words[] = {{"true", AU_TOKEN_TRUE, AU_DIALECT_STRICT},
               {"false", AU_TOKEN_FALSE, AU_DIALECT_STRICT},
               {"null", AU_TOKEN_NULL, AU_DIALECT_STRICT},
               {"NaN", AU_TOKEN_NULL, AU_DIALECT_NAN},
               {"Infinity", AU_TOKEN_NULL, AU_DIALECT_NAN},
               {"-Infinity", AU_TOKEN_NULL, AU_DIALECT_NAN}};
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    size_t size = strlen(words[i].word);
    if (words[i].dialect > scan->dialect || size > scan->size - scan->at ||
        memcmp(scan->text + scan->at, words[i].word, size) != 0)
      continue;
    scan->at += size;
    *out_kind = words[i].kind;
    return true;
  }
  return false;
}

/* Words that are cut by the end of the text end it too early. */
static au_token_t fail_word(au_json_scan_t *scan) {
  static const char *const words[] = {"true", "false", "null"};
  size_t rest = scan->size - scan->at;
  bool is_cut = false;
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
    is_cut |= rest < strlen(words[i]) &&
              memcmp(words[i], scan->text + scan->at, rest) == 0;
  if (is_cut)
    scan->at = scan->size;
  return fail(scan, "unexpected character");
}

static au_token_t take_scalar(au_json_scan_t *scan) {
  size_t start = scan->at;
  char c = peek(scan);
  au_token_kind_t kind = AU_TOKEN_NUMBER;
  if (c == '"') {
    au_token_t token = take_string(scan, AU_TOKEN_STRING);
    end_value(scan);
    return token;
  }
  if (!take_word(scan, &kind)) {
    if (c != '-' && !is_digit(c))
      return fail_word(scan);
    if (!take_number_text(scan))
      return fail(scan, "malformed number");
  }
  end_value(scan);
  return token_from(scan, kind, start);
}

/* --- brackets -------------------------------------------------------------*/

static au_token_t open_bracket(au_json_scan_t *scan, char bracket) {
  au_bytes_put_u8(&scan->open, (uint8_t)bracket);
  if (scan->open.failed)
    return (au_token_t){.kind = AU_TOKEN_NOMEM};
  scan->at++;
  bool is_object = bracket == '{';
  scan->place = is_object ? AT_KEY_OR_CLOSE : AT_VALUE_OR_CLOSE;
  return token_from(scan, is_object ? AU_TOKEN_OBJECT : AU_TOKEN_ARRAY,
                    scan->at - 1);
}

static bool is_in_object(const au_json_scan_t *scan) {
  return scan->open.size > 0 && scan->open.data[scan->open.size - 1] == '{';
}

/* Whether the innermost object or array ends here. */
static bool is_close(const au_json_scan_t *scan) {
  return scan->open.size > 0 && peek(scan) == (is_in_object(scan) ? '}' : ']');
}

static au_token_t close_bracket(au_json_scan_t *scan) {
  scan->at++;
  scan->open.size--;
  end_value(scan);
  return token_from(scan, AU_TOKEN_CLOSE, scan->at - 1);
}

/* --- tokens ---------------------------------------------------------------*/

static au_token_t take_key(au_json_scan_t *scan) {
  if (peek(scan) != '"')
    return fail(scan, "expected a key in double quotes");
  au_token_t key = take_string(scan, AU_TOKEN_KEY);
  if (key.kind != AU_TOKEN_KEY)
    return key;
  skip_space(scan);
  if (peek(scan) != ':')
    return fail(scan, "expected ':'");
  scan->at++;
  scan->place = AT_VALUE;
  return key;
}

static au_token_t take_value(au_json_scan_t *scan) {
  char c = peek(scan);
  return c == '{' || c == '[' ? open_bracket(scan, c) : take_scalar(scan);
}

/* The comma before the next token; false: there is none. */
static bool take_comma(au_json_scan_t *scan) {
  if (peek(scan) != ',')
    return false;
  scan->at++;
  scan->place = is_in_object(scan) ? AT_KEY : AT_VALUE;
  skip_space(scan);
  return true;
}

au_token_t au_json_scan_next(au_json_scan_t *scan) {
  skip_space(scan);
  if (scan->at == scan->size && scan->open.size == 0)
    return (au_token_t){.kind = AU_TOKEN_END};
  bool may_close = scan->place == AT_COMMA || scan->place == AT_KEY_OR_CLOSE ||
                   scan->place == AT_VALUE_OR_CLOSE;
  if (may_close && is_close(scan))
    return close_bracket(scan);
  if (scan->place == AT_COMMA && !take_comma(scan))
    return fail(scan, is_in_object(scan) ? "expected ',' or '}'"
                                         : "expected ',' or ']'");
  bool is_key = scan->place == AT_KEY || scan->place == AT_KEY_OR_CLOSE;
  return is_key ? take_key(scan) : take_value(scan);
}

au_token_t au_json_scan_skip(au_json_scan_t *scan, au_token_t first) {
  au_token_t token = first;
  if (first.kind != AU_TOKEN_OBJECT && first.kind != AU_TOKEN_ARRAY)
    return token;
  size_t outer = scan->open.size - 1;
  do
    token = au_json_scan_next(scan);
  while (scan->open.size > outer && token.kind != AU_TOKEN_INVALID &&
         token.kind != AU_TOKEN_NOMEM);
  return token;
}

/* --- text -----------------------------------------------------------------*/

/* The code of the \uXXXX at "at", or -1 when it is none. */
static int read_code(const char *at, const char *end) {
  uint8_t code[2];
  if (end - at < ESCAPE_SIZE || at[0] != '\\' || at[1] != 'u' ||
      !au_hex_read(at + 2, code, sizeof(code)))
    return -1;
  return code[0] << 8 | code[1];
}

static void put_code_point(au_bytes_t *to, unsigned code) {
  if (code < 0x80) {
    au_bytes_put_u8(to, (uint8_t)code);
    return;
  }
  if (code < 0x800) {
    au_bytes_put_u8(to, (uint8_t)(0xC0 | code >> 6));
  } else if (code < 0x10000) {
    au_bytes_put_u8(to, (uint8_t)(0xE0 | code >> 12));
    au_bytes_put_u8(to, (uint8_t)(0x80 | (code >> 6 & 0x3F)));
  } else {
    au_bytes_put_u8(to, (uint8_t)(0xF0 | code >> 18));
    au_bytes_put_u8(to, (uint8_t)(0x80 | (code >> 12 & 0x3F)));
    au_bytes_put_u8(to, (uint8_t)(0x80 | (code >> 6 & 0x3F)));
  }
  au_bytes_put_u8(to, (uint8_t)(0x80 | (code & 0x3F)));
}

/* Puts what the \uXXXX at "at", and its other half if it is half a pair, stand
 * for; returns what is after it. */
static const char *put_code(const char *at, const char *end, au_bytes_t *to) {
  int high = read_code(at, end);
  at += ESCAPE_SIZE;
  if ((high & 0xF800) != 0xD800) {
    put_code_point(to, (unsigned)high);
    return at;
  }
  int low = (high & 0xFC00) == 0xD800 ? read_code(at, end) : -1;
  if (low < 0 || (low & 0xFC00) != 0xDC00) {
    au_bytes_put_u8(to, 0); /* alone */
    return at;
  }
  put_code_point(to, 0x10000U + ((unsigned)(high & 0x3FF) << 10 |
                                 (unsigned)(low & 0x3FF)));
  return at + ESCAPE_SIZE;
}

void au_token_put_text(au_token_t token, au_bytes_t *to) {
  static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
  const char *at = token.text;
  const char *end = at + token.size;
  while (at < end) {
    const char *escape = memchr(at, '\\', (size_t)(end - at));
    const char *stop = escape != NULL ? escape : end;
    au_bytes_put(to, at, (size_t)(stop - at));
    at = stop;
    if (at == end)
      break;
    if (at[1] == 'u') {
      at = put_code(at, end, to);
      continue;
    }
    for (size_t i = 0; i + 1 < sizeof(escapes) - 1; i += 2)
      if (escapes[i] == at[1])
        au_bytes_put_u8(to, (uint8_t)escapes[i + 1]);
    at += 2;
  }
}
