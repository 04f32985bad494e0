/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/json_scan.h"

#include "base/hex.h"
#include "base/json_run.h"

#include <string.h>

/* Kept from text to text. */
#define KEEP_BYTES ((size_t)4 << 10)

#define ESCAPE_SIZE 6 /* \uXXXX */

/* What is seldom done, or is long in any case, is kept out of what is done for
 * each token: that would save and restore registers for it each time. */
#define SELDOM __attribute__((noinline))

/* What may come next. */
typedef enum place {
  AT_VALUE,          /* a value; outside of all others, or the end */
  AT_VALUE_OR_CLOSE, /* after [ */
  AT_KEY_OR_CLOSE,   /* after { */
  AFTER_MEMBER,      /* of an object: a comma, or its end */
  AFTER_ELEMENT      /* of an array */
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
  scan->place = scan->after = AT_VALUE;
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
  return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The next character, or NUL at the end. */
static char peek(const au_json_scan_t *scan) {
  if (scan->at == scan->size)
    return '\0';
  return scan->text[scan->at];
}

/* The same after white space, which is passed. */
static inline char pass_space(au_json_scan_t *scan) {
  while (scan->at < scan->size) {
    char c = scan->text[scan->at];
    if (!is_space(c))
      return c;
    scan->at++;
  }
  return '\0';
}

static SELDOM void fail(au_json_scan_t *scan, const char *fault,
                        au_token_t *out_token) {
  bool is_end = scan->at >= scan->size;
  scan->fault = is_end ? "unexpected end of JSON" : fault;
  *out_token = (au_token_t){.kind = AU_TOKEN_INVALID};
}

/* The token from "start" to where the scan is now. */
static void put_token(const au_json_scan_t *scan, au_token_kind_t kind,
                      size_t start, au_token_t *out_token) {
  *out_token = (au_token_t){
      .kind = kind, .text = scan->text + start, .size = scan->at - start};
}

/* --- scalars --------------------------------------------------------------*/

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

/* The string at the scan, a quote, has an end at "scan->at", or a backslash, or
 * none. false: none. */
static bool pass_escapes(au_json_scan_t *scan, unsigned *high,
                         au_token_t *out_token) {
  while (peek(scan) == '\\') {
    if (!take_escape(scan)) {
      fail(scan, "invalid escape in a string", out_token);
      return false;
    }
    au_json_run_t run =
        au_json_run(scan->text + scan->at, scan->size - scan->at);
    scan->at += run.size;
    *high |= run.high;
  }
  if (peek(scan) == '"')
    return true;
  fail(scan, "control character in a string", out_token);
  return false;
}

/* The string at the scan, a quote, when it is not all plain. */
static SELDOM bool take_other_string(au_json_scan_t *scan, au_token_kind_t kind,
                                     size_t start, unsigned high,
                                     au_token_t *out_token) {
  bool has_escape = peek(scan) == '\\';
  if (!pass_escapes(scan, &high, out_token))
    return false;
  put_token(scan, kind, start, out_token);
  out_token->has_escape = has_escape;
  out_token->is_ascii = high == 0;
  scan->at++;
  return true;
}

/* The string at the scan, a quote. false: there is none. */
static bool take_string(au_json_scan_t *scan, au_token_kind_t kind,
                        au_token_t *out_token) {
  const char *text = scan->text + scan->at + 1;
  au_json_run_t run = au_json_run(text, scan->size - scan->at - 1);
  size_t start = scan->at + 1;
  scan->at = start + run.size;
  if (scan->at == scan->size || text[run.size] != '"')
    return take_other_string(scan, kind, start, run.high, out_token);
  scan->at++;
  *out_token = (au_token_t){
      .kind = kind, .is_ascii = run.high == 0, .text = text, .size = run.size};
  return true;
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
    if (words[i].word[0] != peek(scan) || words[i].dialect > scan->dialect)
      continue;
    size_t size = strlen(words[i].word);
    if (size > scan->size - scan->at ||
        memcmp(scan->text + scan->at, words[i].word, size) != 0)
      continue;
    scan->at += size;
    *out_kind = words[i].kind;
    return true;
  }
  return false;
}

/* Words that are cut by the end of the text end it too early. */
static void fail_word(au_json_scan_t *scan, au_token_t *out_token) {
  static const char *const words[] = {"true", "false", "null"};
  size_t rest = scan->size - scan->at;
  bool is_cut = false;
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
    is_cut |= rest < strlen(words[i]) &&
              memcmp(words[i], scan->text + scan->at, rest) == 0;
  if (is_cut)
    scan->at = scan->size;
  fail(scan, "unexpected character", out_token);
}

/* A number, or a word. */
static SELDOM void take_plain(au_json_scan_t *scan, char first,
                              au_token_t *out_token) {
  size_t start = scan->at;
  au_token_kind_t kind = AU_TOKEN_NUMBER;
  if (is_digit(first) || !take_word(scan, &kind)) {
    if (first != '-' && !is_digit(first)) {
      fail_word(scan, out_token);
      return;
    }
    if (!take_number_text(scan)) {
      fail(scan, "malformed number", out_token);
      return;
    }
  }
  scan->place = scan->after;
  put_token(scan, kind, start, out_token);
}

/* --- brackets -------------------------------------------------------------*/

static SELDOM void open_bracket(au_json_scan_t *scan, char bracket,
                                au_token_t *out_token) {
  au_bytes_put_u8(&scan->open, (uint8_t)bracket);
  if (scan->open.failed) {
    *out_token = (au_token_t){.kind = AU_TOKEN_NOMEM};
    return;
  }
  scan->at++;
  bool is_object = bracket == '{';
  scan->place = is_object ? AT_KEY_OR_CLOSE : AT_VALUE_OR_CLOSE;
  scan->after = is_object ? AFTER_MEMBER : AFTER_ELEMENT;
  put_token(scan, is_object ? AU_TOKEN_OBJECT : AU_TOKEN_ARRAY, scan->at - 1,
            out_token);
}

static void close_bracket(au_json_scan_t *scan, au_token_t *out_token) {
  scan->at++;
  scan->after = AT_VALUE;
  if (--scan->open.size > 0)
    scan->after = scan->open.data[scan->open.size - 1] == '{' ? AFTER_MEMBER
                                                              : AFTER_ELEMENT;
  scan->place = scan->after;
  put_token(scan, AU_TOKEN_CLOSE, scan->at - 1, out_token);
}

/* --- tokens ---------------------------------------------------------------*/

/* After a key or string. */
static inline void end_text(au_json_scan_t *scan, au_token_kind_t kind,
                            au_token_t *out_token) {
  scan->place = scan->after;
  if (kind == AU_TOKEN_STRING)
    return;
  if (pass_space(scan) != ':') {
    fail(scan, "expected ':'", out_token);
    return;
  }
  scan->at++;
  scan->place = AT_VALUE;
}

static SELDOM void take_long_text(au_json_scan_t *scan, au_token_kind_t kind,
                                  au_token_t *out_token) {
  if (take_string(scan, kind, out_token))
    end_text(scan, kind, out_token);
}

/* Most keys and strings are short, and have no escapes. */
static inline void take_text(au_json_scan_t *scan, au_token_kind_t kind,
                             au_token_t *out_token) {
  const char *text = scan->text + scan->at + 1;
  au_json_run_t run = au_json_run_short(text, scan->size - scan->at - 1);
  if (run.size == AU_JSON_RUN_SHORT || text[run.size] != '"') {
    take_long_text(scan, kind, out_token);
    return;
  }
  scan->at += run.size + 2; /* the quotes */
  *out_token = (au_token_t){
      .kind = kind, .is_ascii = run.high == 0, .text = text, .size = run.size};
  end_text(scan, kind, out_token);
}

/* A comma has been passed if one is due: "first" begins a key or a value. */
static inline void take_next(au_json_scan_t *scan, bool is_key, char first,
                             au_token_t *out_token) {
  if (first == '"')
    take_text(scan, is_key ? AU_TOKEN_KEY : AU_TOKEN_STRING, out_token);
  else if (is_key)
    fail(scan, "expected a key in double quotes", out_token);
  else if (first == '{' || first == '[')
    open_bracket(scan, first, out_token);
  else
    take_plain(scan, first, out_token);
}

void au_json_scan_read(au_json_scan_t *scan, au_token_t *out_token) {
  const place_t place = (place_t)scan->place;
  bool is_key = place == AT_KEY_OR_CLOSE || place == AFTER_MEMBER;
  char c = pass_space(scan);
  if (place != AT_VALUE && c == (is_key ? '}' : ']')) {
    close_bracket(scan, out_token);
    return;
  }
  if (place >= AFTER_MEMBER) {
    if (c != ',') {
      fail(scan, is_key ? "expected ',' or '}'" : "expected ',' or ']'",
           out_token);
      return;
    }
    scan->at++;
    c = pass_space(scan);
  } else if (scan->at == scan->size && scan->open.size == 0) {
    *out_token = (au_token_t){.kind = AU_TOKEN_END};
    return;
  }
  take_next(scan, is_key, c, out_token);
}

au_token_t au_json_scan_skip(au_json_scan_t *scan, au_token_t first) {
  au_token_t token = first;
  if (first.kind != AU_TOKEN_OBJECT && first.kind != AU_TOKEN_ARRAY)
    return token;
  size_t outer = scan->open.size - 1;
  do
    token = au_json_scan_next(scan);
  while (scan->open.size > outer && !au_token_is_broken(token));
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
