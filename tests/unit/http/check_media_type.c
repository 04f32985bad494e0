/* SPDX-License-Identifier: MIT
 *
 * check_media_type - what a Content-Type says.
 */
#include "http/media_type.h"
#include "support/suite.h"

static const struct {
  const char *value;
  bool is_json;
  bool is_utf8;
} cases[] = {
    {"application/json", true, true},
    {"Application/JSON", true, true},
    {" application/json ", true, true},
    {"application/json;", true, true},
    {"application/json ; profile=x", true, true},
    {"application/json;charset=utf-8", true, true},
    {"application/json; charset=UTF-8", true, true},
    {"application/json; charset=\"utf-8\"", true, true},
    {"application/json; Charset=utf8", true, true},
    {"application/json; charset=\"UTF8\" ", true, true},
    {"application/json; charset=us-ascii", true, true},
    {"application/json; charset=\"US-ASCII\"; x=y", true, true},
    {"application/json; x=\"charset=latin1\"", true, true},
    {"application/json; x=\"\\\"; charset=latin1\"", true, true},
    {"application/json; notcharset=latin1", true, true},
    {"application/json; charset2=latin1", true, true},
    {"application/json; charset", true, true},
    {"application/json; ; charset=utf-8", true, true},
    {"application/json; charset=latin1", true, false},
    {"application/json; charset=\"latin1\"", true, false},
    {"application/json; charset=", true, false},
    {"application/json; charset=\"\"", true, false},
    {"application/json; charset=\"utf-8", true, false},
    {"application/json; charset=utf-8\"", true, false},
    {"application/json; charset=utf-16", true, false},
    {"application/json; charset=utf-8x", true, false},
    {"application/json; charset=utf", true, false},
    {"application/json; charset = latin1", true, false},
    {"application/json; x=\"a;b\"; charset=latin1", true, false},
    {"application/json; charset=utf-8; charset=latin1", true, false},
    {"application/json; charset=latin1; charset=utf-8", true, false},
    {"application/jsonx", false, true},
    {"application/json,application/json", false, true},
    {"application", false, true},
    {"", false, true},
    {";charset=latin1", false, false},
};

CASE("media type", NULL, NULL);

TEST_EACH(a_type_and_its_charset, sizeof(cases) / sizeof(cases[0])) {
  ck_assert_msg(au_media_type_is(cases[_i].value, "application/json") ==
                    cases[_i].is_json,
                "the type of %s", cases[_i].value);
  ck_assert_msg(au_media_type_is_utf8(cases[_i].value) == cases[_i].is_utf8,
                "the charset of %s", cases[_i].value);
}

static const struct {
  const char *value;
  bool is_json;
} suffixes[] = {
    {"application/reports+json", true},
    {" application/X+JSON ; charset=utf-8", true},
    {"a+json", true},
    {"application/json", false},
    {"+json", false},
    {"application/x+jsonl", false},
    {"application/x+json,y+json", false},
    {"text/plain;x=+json", false},
    {"", false},
};

TEST_EACH(a_suffix, sizeof(suffixes) / sizeof(suffixes[0])) {
  ck_assert_int_eq(au_media_type_has_suffix(suffixes[_i].value, "+json"),
                   suffixes[_i].is_json);
}

int main(void) { return run_tests("media_type"); }
