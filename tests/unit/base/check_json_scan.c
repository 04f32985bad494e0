/* SPDX-License-Identifier: MIT
 *
 * check_json_scan - JSON token by token: what is JSON and what is not, what is
 * wrong and where, and the text of strings.
 */
#include "base/json_scan.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static au_json_scan_t scan;
static char *copy; /* of its very size: checkers see a step too far */

static void set_up(void) { scan = (au_json_scan_t){.size = 0}; }

static void tear_down(void) {
  au_json_scan_fini(&scan);
  free(copy);
  copy = NULL;
}

static void begin(au_dialect_t dialect, const char *text, size_t size) {
  free(copy);
  copy = malloc(size + (size == 0 ? 1 : 0));
  ck_assert_ptr_nonnull(copy);
  memcpy(copy, text, size);
  au_json_scan_begin(&scan, dialect, copy, size);
}

/* A letter for each token. */
static void tokens_of(au_dialect_t dialect, const char *text, char *to,
                      size_t room) {
  static const char letters[] = "{[)ksntfz.";
  begin(dialect, text, strlen(text));
  size_t count = 0;
  au_token_t token = {.kind = AU_TOKEN_KEY};
  while (token.kind < AU_TOKEN_END && count + 1 < room) {
    token = au_json_scan_next(&scan);
    if (token.kind < AU_TOKEN_INVALID)
      to[count++] = letters[token.kind];
  }
  to[count] = '\0';
}

CASE("tokens", set_up, tear_down);

static const struct {
  const char *text;
  const char *tokens; /* a dot at the end: it is JSON */
} texts[] = {
    {"", "."},
    {" \t\r\n", "."},
    {"1", "n."},
    {"\"\"", "s."},
    {"true false null", "tfz."},
    {"{}", "{)."},
    {"[]", "[)."},
    {"{}{}[]1\"a\"", "{){)[)ns."},
    {"{\"a\":1,\"b\":[true,{\"c\":null}]}", "{knk[t{kz)))."},
    {" { \"a\" : [ 1 , 2 ] , \"b\" : { } } ", "{k[nn)k{))."},
    {"[[[[]]]]", "[[[[))))."},
    {"-0.5e+10", "n."},
    {"[0,-0,0.0,1E5,1e-5,10.25]", "[nnnnnn)."},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00aF\"", "s."},
};

TEST_EACH(what_is_json, sizeof(texts) / sizeof(texts[0])) {
  char tokens[64];
  tokens_of(AU_DIALECT_STRICT, texts[_i].text, tokens, sizeof(tokens));
  ck_assert_str_eq(tokens, texts[_i].tokens);
  tokens_of(AU_DIALECT_NAN, texts[_i].text, tokens, sizeof(tokens));
  ck_assert_str_eq(tokens, texts[_i].tokens);
}

static const struct {
  const char *text;
  const char *fault;
  size_t at;
} faults[] = {
    {"{", "unexpected end of JSON", 1},
    {"[1", "unexpected end of JSON", 2},
    {"[1,", "unexpected end of JSON", 3},
    {"{\"a\"", "unexpected end of JSON", 4},
    {"{\"a\":", "unexpected end of JSON", 5},
    {"{\"a\":1", "unexpected end of JSON", 6},
    {"\"a", "unexpected end of JSON", 2},
    {"\"a\\", "unexpected end of JSON", 3},
    {"\"a\\u12", "unexpected end of JSON", 6},
    {"tru", "unexpected end of JSON", 3},
    {"-", "unexpected end of JSON", 1},
    {"1.", "unexpected end of JSON", 2},
    {"1e", "unexpected end of JSON", 2},
    {"x", "unexpected character", 0},
    {"]", "unexpected character", 0},
    {"{}]", "unexpected character", 2},
    {"{},", "unexpected character", 2},
    {"[1,]", "unexpected character", 3},
    {"[,1]", "unexpected character", 1},
    {"{\"a\":}", "unexpected character", 5},
    {"[nul]", "unexpected character", 1},
    {"[NaN]", "unexpected character", 1},
    {"[Infinity]", "unexpected character", 1},
    {"[-Infinity]", "malformed number", 2},
    {"[+1]", "unexpected character", 1},
    {"[-x]", "malformed number", 2},
    {"[1.x]", "malformed number", 3},
    {"[1e+]", "malformed number", 4},
    {"[01]", "expected ',' or ']'", 2},
    {"[0x10]", "expected ',' or ']'", 2},
    {"[1}", "expected ',' or ']'", 2},
    {"[1 true]", "expected ',' or ']'", 3},
    {"{\"a\":1]", "expected ',' or '}'", 6},
    {"{\"a\":1 \"b\"", "expected ',' or '}'", 7},
    {"{\"a\" 1}", "expected ':'", 5},
    {"{a:1}", "expected a key in double quotes", 1},
    {"{1:2}", "expected a key in double quotes", 1},
    {"{\"a\":1,}", "expected a key in double quotes", 7},
    {"[\"a\tb\"]", "control character in a string", 3},
    {"[\"a\\x\"]", "invalid escape in a string", 4},
    {"[\"\\u12g4\"]", "invalid escape in a string", 6},
    {"[1\f]", "expected ',' or ']'", 2},
    {"\v1", "unexpected character", 0},
    {"[1, /* no */ 2]", "unexpected character", 4},
};

TEST_EACH(what_is_not_json, sizeof(faults) / sizeof(faults[0])) {
  begin(AU_DIALECT_STRICT, faults[_i].text, strlen(faults[_i].text));
  au_token_t token = {.kind = AU_TOKEN_KEY};
  while (token.kind < AU_TOKEN_END)
    token = au_json_scan_next(&scan);
  ck_assert_int_eq(token.kind, AU_TOKEN_INVALID);
  ck_assert_str_eq(scan.fault, faults[_i].fault);
  ck_assert_uint_eq(scan.at, faults[_i].at);
}

TEST(a_nul_is_a_character_like_any_other) {
  begin(AU_DIALECT_STRICT, "1\0", 2);
  ck_assert_int_eq(au_json_scan_next(&scan).kind, AU_TOKEN_NUMBER);
  ck_assert_int_eq(au_json_scan_next(&scan).kind, AU_TOKEN_INVALID);
  ck_assert_uint_eq(scan.at, 1);
  begin(AU_DIALECT_STRICT, "\"\\\0\"", 4);
  ck_assert_int_eq(au_json_scan_next(&scan).kind, AU_TOKEN_INVALID);
}

TEST(words_of_python_are_null) {
  char tokens[64];
  tokens_of(AU_DIALECT_NAN, "{\"a\":NaN,\"b\":[Infinity,-Infinity]}", tokens,
            sizeof(tokens));
  ck_assert_str_eq(tokens, "{kzk[zz)).");
  tokens_of(AU_DIALECT_NAN, "[NaNs]", tokens, sizeof(tokens));
  ck_assert_str_eq(tokens, "[z");
  tokens_of(AU_DIALECT_NAN, "[Inf]", tokens, sizeof(tokens));
  ck_assert_str_eq(tokens, "[");
}

TEST(a_value_is_passed_over) {
  begin(AU_DIALECT_STRICT, "[1,{\"a\":[2,{}]},3]", 18);
  ck_assert_int_eq(au_json_scan_next(&scan).kind, AU_TOKEN_ARRAY);
  au_token_t token = au_json_scan_next(&scan);
  ck_assert_int_eq(au_json_scan_skip(&scan, token).kind, AU_TOKEN_NUMBER);
  token = au_json_scan_next(&scan);
  ck_assert_int_eq(token.kind, AU_TOKEN_OBJECT);
  ck_assert_uint_eq(au_json_scan_level(&scan), 2);
  ck_assert_int_eq(au_json_scan_skip(&scan, token).kind, AU_TOKEN_CLOSE);
  ck_assert_uint_eq(au_json_scan_level(&scan), 1);
  token = au_json_scan_next(&scan);
  ck_assert_int_eq(token.kind, AU_TOKEN_NUMBER);
  ck_assert_int_eq(token.text[0], '3');
}

TEST(what_is_passed_over_may_be_broken) {
  begin(AU_DIALECT_STRICT, "[1,{\"a\":[2,{]}", 14);
  au_token_t token = au_json_scan_next(&scan);
  ck_assert_int_eq(au_json_scan_skip(&scan, token).kind, AU_TOKEN_INVALID);
  ck_assert_uint_eq(scan.at, 12);
}

TEST(a_million_brackets_need_a_byte_each) {
  enum { DEPTH = 1000000 };
  char *text = malloc(DEPTH);
  ck_assert_ptr_nonnull(text);
  memset(text, '[', DEPTH);
  au_budget_t budget = {.max = 3000000};
  au_account_t account = {.budget = &budget};
  au_json_scan_charge(&scan, &account);
  begin(AU_DIALECT_STRICT, text, DEPTH);
  au_token_t token = au_json_scan_next(&scan);
  ck_assert_int_eq(au_json_scan_skip(&scan, token).kind, AU_TOKEN_INVALID);
  ck_assert_uint_eq(au_json_scan_level(&scan), DEPTH);
  budget.max = 100000;
  au_json_scan_fini(&scan);
  begin(AU_DIALECT_STRICT, text, DEPTH);
  token = au_json_scan_next(&scan);
  ck_assert_int_eq(au_json_scan_skip(&scan, token).kind, AU_TOKEN_NOMEM);
  au_json_scan_fini(&scan);
  free(text);
}

/* --- text ---*/

CASE("text", set_up, tear_down);

static const struct {
  const char *json;
  const char *text;
  size_t size;
} strings[] = {
    {"\"plain\"", "plain", 5},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
    {"\"a\\u0041\\u00e9\\u20AC.\"", "aA\xC3\xA9\xE2\x82\xAC.", 8},
    {"\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80", 4},
    {"\"\\ud800\\udc00\\uDBFF\\uDFFF\"", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", 8},
    {"\"\\u0000\"", "\0", 1},
    {"\"\\ud83d\"", "\0", 1},
    {"\"\\ude00x\"", "\0x", 2},
    {"\"\\ud83d\\u0041\"", "\0A", 2},
    {"\"\\ud83d\\ud83d\\ude00\"", "\0\xF0\x9F\x98\x80", 5},
    {"\"\\ud83d\\n\"", "\0\n", 2},
    {"\"\\\\ud83d\"", "\\ud83d", 6},
};

TEST_EACH(text_of_strings, sizeof(strings) / sizeof(strings[0])) {
  au_bytes_t to = AU_BYTES_INIT;
  begin(AU_DIALECT_STRICT, strings[_i].json, strlen(strings[_i].json));
  au_token_t token = au_json_scan_next(&scan);
  ck_assert_int_eq(token.kind, AU_TOKEN_STRING);
  ck_assert_int_eq(token.has_escape, strchr(strings[_i].json, '\\') != NULL);
  au_token_put_text(token, &to);
  ck_assert_uint_eq(to.size, strings[_i].size);
  ck_assert_mem_eq(to.data, strings[_i].text, to.size);
  au_bytes_fini(&to);
}

int main(void) { return run_tests("json_scan"); }
