/* SPDX-License-Identifier: MIT
 *
 * check_json_object - what is one whole JSON object, and what only begins as
 * one.
 */
#include "base/json_object.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static const char *const whole[] = {"{}", " {\"a\":1} \r\n\t",
                                    "{\"a\":[{},[1,\"]}\"],null,true]}",
                                    "{\"\xC3\xA9\":\"\\u0000\"}"};

static const char *const others[] = {
    "", " ", "null", "1", "\"{}\"", "[]", "[{}]", "{", "{\"a\":1", "{}}",
    "{} {}", "{},{}", "{} 1", "{} null",
    /* What follows is never finished, and may end as an object does. */
    "{}\"a", "{\"a\":1}\":1}", "{} tru", "{} 12", "{}[",
    /* Out of the object, and into another. */
    "{}]", "{}] [", "{}],[{}", "{}][{}", "{\"a\":\"\xFF\"}"};

CASE("json_object", NULL, NULL);

TEST_EACH(a_whole_object_is_one, COUNT_OF(whole)) {
  ck_assert(au_json_object_is_whole(whole[_i], strlen(whole[_i])));
}

TEST_EACH(anything_else_is_none, COUNT_OF(others)) {
  ck_assert(!au_json_object_is_whole(others[_i], strlen(others[_i])));
}

TEST(no_beginning_of_one_is_one) {
  const char *text = whole[2];
  for (size_t size = 0; size < strlen(text); size++)
    ck_assert(!au_json_object_is_whole(text, size));
}

int main(void) { return run_tests("json_object"); }
