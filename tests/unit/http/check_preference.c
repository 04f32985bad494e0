/* SPDX-License-Identifier: MIT
 *
 * check_preference - what a Prefer asks for.
 */
#include "http/preference.h"
#include "support/suite.h"

static const struct {
  const char *header;
  const char *value; /* of "wait"; NULL: there is none */
} cases[] = {
    {"wait=5", "5"},
    {"Wait = 5", "5"},
    {"wait=\"5\"", "5"},
    {"wait", ""},
    {"wait=", ""},
    {"wait=\"\"", ""},
    {"wait=\"5", "5"},
    {" ,, wait=5", "5"},
    {"return=minimal,wait=5", "5"},
    {"return=minimal , wait=5;x=y", "5"},
    {"wait=5;wait=7", "5"},
    {"wait=5, wait=7", "5"},
    {"wait;x=\",\", wait=7", ""},
    {"wait=-5", "-5"},
    {"wait=1234567890123456789012345678901", "1234567890123456789012345678901"},
    {"wait=12345678901234567890123456789012", ""},
    {"x=\"a, wait=5\"", NULL},
    {"x=\"a\\\", wait=5\"", NULL},
    {"x;wait=5", NULL},
    {"x=\"a\", wait=5", "5"},
    {"x=\"\\\"\", wait=5", "5"},
    {"await=5", NULL},
    {"wait2=5", NULL},
    {"\"wait\"=5", NULL},
    {"=wait", NULL},
    {"respond-async", NULL},
    {",", NULL},
    {"", NULL},
    {"\"", NULL},
    {"x=\"\\", NULL},
};

CASE("preference", NULL, NULL);

TEST_EACH(the_first_of_its_name, COUNT_OF(cases)) {
  char value[AU_PREFERENCE_SIZE] = "untouched";
  bool is_there = au_preference_find(cases[_i].header, "wait", value);
  ck_assert_msg(is_there == (cases[_i].value != NULL), "%s", cases[_i].header);
  ck_assert_str_eq(value, is_there ? cases[_i].value : "untouched");
}

int main(void) { return run_tests("preference"); }
