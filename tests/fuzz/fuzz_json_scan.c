/* SPDX-License-Identifier: MIT
 *
 * fuzz_json_scan - any bytes, token by token, beside what YAJL makes of them:
 * both take the same for JSON, and find the same tokens with the same text.
 *
 * Where they differ by design the text is not compared: YAJL takes \f and \v
 * for white space, and has no words for what is not a number.
 */
#include "base/json_parser.h"
#include "base/json_scan.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* A byte for each token, and the text of strings and numbers. */
static au_bytes_t of_yajl;
static au_bytes_t of_scan;
static size_t level; /* of YAJL */

static int put(char letter, const void *text, size_t size) {
  au_bytes_put_u8(&of_yajl, (uint8_t)letter);
  au_bytes_put(&of_yajl, text, size);
  au_bytes_put_u8(&of_yajl, '\n');
  return 1;
}

static int on_null(void *context) {
  (void)context;
  return put('z', "", 0);
}

static int on_boolean(void *context, int value) {
  (void)context;
  return put(value != 0 ? 't' : 'f', "", 0);
}

static int on_number(void *context, const char *text, size_t size) {
  (void)context;
  return put('n', text, size);
}

static int on_string(void *context, const unsigned char *text, size_t size) {
  (void)context;
  return put('s', text, size);
}

static int on_key(void *context, const unsigned char *text, size_t size) {
  (void)context;
  return put('k', text, size);
}

static int on_map(void *context) {
  (void)context;
  level++;
  return put('{', "", 0);
}

static int on_array(void *context) {
  (void)context;
  level++;
  return put('[', "", 0);
}

static int on_close(void *context) {
  (void)context;
  level--;
  return put(')', "", 0);
}

static const yajl_callbacks callbacks = {.yajl_null = on_null,
                                         .yajl_boolean = on_boolean,
                                         .yajl_number = on_number,
                                         .yajl_string = on_string,
                                         .yajl_start_map = on_map,
                                         .yajl_map_key = on_key,
                                         .yajl_end_map = on_close,
                                         .yajl_start_array = on_array,
                                         .yajl_end_array = on_close};

/* Whether YAJL takes it. */
static bool read_yajl(const char *text, size_t size) {
  static au_json_parser_t *parser;
  if (parser == NULL)
    parser = au_json_parser_create(&callbacks, NULL);
  fuzz_require(parser != NULL, "out of memory");
  au_bytes_clear(&of_yajl, SIZE_MAX);
  level = 0;
  bool is_json = au_json_parser_feed(parser, text, size) == AU_JSON_OK &&
                 au_json_parser_feed(parser, "\n", 1) == AU_JSON_OK &&
                 level == 0;
  /* A string without an end takes this into it. */
  size_t before = of_yajl.size;
  is_json = is_json && au_json_parser_feed(parser, "[]\n", 3) == AU_JSON_OK &&
            of_yajl.size == before + 4;
  au_json_parser_reset(parser);
  return is_json;
}

static bool read_scan(const char *text, size_t size, au_dialect_t dialect) {
  static const char letters[] = "{[)ksntfz";
  static au_json_scan_t scan;
  au_bytes_clear(&of_scan, SIZE_MAX);
  au_json_scan_begin(&scan, dialect, text, size);
  for (;;) {
    au_token_t token = au_json_scan_next(&scan);
    fuzz_require(token.kind != AU_TOKEN_NOMEM, "out of memory");
    fuzz_require(scan.at <= size, "it is beyond the end");
    if (token.kind == AU_TOKEN_INVALID)
      fuzz_require(scan.fault != NULL && scan.fault[0] != '\0',
                   "no word of what is wrong");
    if (token.kind >= AU_TOKEN_END)
      return token.kind == AU_TOKEN_END;
    fuzz_require(token.text >= text && token.text + token.size <= text + size,
                 "a token is not of the text");
    au_bytes_put_u8(&of_scan, (uint8_t)letters[token.kind]);
    if (token.kind == AU_TOKEN_KEY || token.kind == AU_TOKEN_STRING)
      au_token_put_text(token, &of_scan);
    else if (token.kind == AU_TOKEN_NUMBER)
      au_bytes_put(&of_scan, token.text, token.size);
    au_bytes_put_u8(&of_scan, '\n');
  }
}

static bool has(const char *text, size_t size, const char *part) {
  return size > 0 && memmem(text, size, part, strlen(part)) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = fuzz_copy(data, size);
  bool is_strict = read_scan(text, size, AU_DIALECT_STRICT);
  bool may_differ = size > 0 && (memchr(text, '\f', size) != NULL ||
                                 memchr(text, '\v', size) != NULL);
  if (!may_differ) {
    bool is_json = read_yajl(text, size);
    fuzz_require(is_json == is_strict, "one takes it, and one does not");
    /* The last three are of the "[]" above. Of half a surrogate pair YAJL makes
     * something else. */
    bool is_alike = !has(text, size, "\\uD") && !has(text, size, "\\ud");
    if (is_json && is_alike)
      fuzz_require(of_yajl.size == of_scan.size + 4 &&
                       (of_scan.size == 0 ||
                        memcmp(of_yajl.data, of_scan.data, of_scan.size) == 0),
                   "the tokens are others");
  }
  if (is_strict) {
    au_bytes_t strict = of_scan;
    of_scan = (au_bytes_t)AU_BYTES_INIT;
    fuzz_require(read_scan(text, size, AU_DIALECT_NAN) &&
                     of_scan.size == strict.size,
                 "what is JSON is none with more words");
    au_bytes_fini(&strict);
  }
  free(text);
  return 0;
}
