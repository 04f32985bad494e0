/* SPDX-License-Identifier: MIT
 *
 * check_json_members - the members of a flat JSON object, and what is none.
 */
#include "base/json_members.h"

#include "base/bytes.h"
#include "support/suite.h"

#include <string.h>

static au_bytes_t taken;

static void take(void *context, const char *name, au_json_kind_t kind,
                 const char *value) {
  static const char kinds[] = "0bns{";
  ck_assert_ptr_eq(context, &taken);
  au_bytes_printf(&taken, "%s %c%s;", name, kinds[kind], value);
}

static au_status_t read_text(const char *text, size_t size) {
  au_bytes_clear(&taken, 0);
  return au_json_members_read(text, size, take, &taken);
}

static void forget(void) { au_bytes_fini(&taken); }

static const struct {
  const char *text;
  const char *members;
} objects[] = {
    {"{}", ""},
    {" {\"a\":1} \r\n", "a n1;"},
    {"{\"a\":-1.50e3,\"b\":\"x\\ny\",\"c\":true,\"d\":false,\"e\":null}",
     "a n-1.50e3;b sx\ny;c btrue;d bfalse;e 0;"},
    {"{\"a\":1,\"a\":2,\"\":\"\"}", "a n1;a n2; s;"},
    /* What is nested is passed over, names and all. */
    {"{\"a\":{\"b\":1,\"c\":[{}]},\"d\":[[1],\"x\",null,true],\"e\":2}",
     "a {;d {;e n2;"},
    /* A NUL ends nothing, and makes no other text. */
    {"{\"a\\u0000b\":\"x\\u0000y\"}", "a\xC0\x80"
                                      "b sx\xC0\x80y;"},
};

static const char *const others[] = {
    "",
    " ",
    "1",
    "null",
    "true",
    "\"x\"",
    "[]",
    "[{}]",
    "{",
    "{\"a\"}",
    "{\"a\":}",
    "{} {}",
    "{},{}",
    "{} 1",
    "1 {}",
    "{}]",
    "{}] [",
    "{}],[{}",
    "{}][",
    "{\"a\":1}}",
    "{} \"x",
    "{}{",
    "{\"a\":1,}",
    "{'a':1}",
    "{} tru",
    "{\"a\":[1}",
    "{\"a\":",
    "]",
    "] {} [",
    "\xEF\xBB\xBF{}",
    /* Out of the object, and into what never ends. */
    "{}]\"x",
    "{} ] 12",
};

CASE("json_members", NULL, forget);

TEST_EACH(members_come_in_order, COUNT_OF(objects)) {
  const char *text = objects[_i].text;
  ck_assert_int_eq(read_text(text, strlen(text)), AU_OK);
  ck_assert_str_eq(au_bytes_text(&taken), objects[_i].members);
}

TEST_EACH(anything_else_is_refused, COUNT_OF(others)) {
  ck_assert_int_eq(read_text(others[_i], strlen(others[_i])), AU_INVALID);
}

TEST(no_beginning_of_an_object_is_one) {
  const char *text = objects[4].text;
  for (size_t size = 0; size < strlen(text); size++)
    ck_assert_int_eq(read_text(text, size), AU_INVALID);
}

int main(void) { return run_tests("json_members"); }
