/* SPDX-License-Identifier: MIT
 *
 * check_parameters - query parameters and what is refused of them.
 */
#include "http/parameters.h"
#include "support/suite.h"

#include <stdio.h>
#include <string.h>

static au_refusals_t refusals;
static au_parameter_t known[2];

static void setup(void) {
  refusals = (au_refusals_t){.count = 0};
  known[0] = (au_parameter_t){.name = "one"};
  known[1] = (au_parameter_t){.name = "two"};
}

static void teardown(void) { au_refusals_fini(&refusals); }

static void sort(const char *name, const char *value) {
  au_parameter_sort(known, 2, name, value, &refusals);
}

static void expect_errors(const char *errors) {
  au_bytes_t json = AU_BYTES_INIT;
  au_refusals_put(&refusals, &json);
  char expected[2048];
  snprintf(expected, sizeof(expected),
           "{\"status\":\"error\",\"message\":\"Invalid query\","
           "\"error\":\"Bad Request\",\"errorCode\":\"INVALID_QUERY\","
           "\"errors\":%s}",
           errors);
  ck_assert_str_eq(au_bytes_text(&json), expected);
  au_bytes_fini(&json);
}

CASE("parameters", setup, teardown);

TEST(known_parameters_are_sorted) {
  sort("two", "2");
  sort("one", NULL);
  ck_assert_str_eq(known[0].value, "");
  ck_assert_str_eq(known[1].value, "2");
  ck_assert(au_parameter_is_given(&known[0], "isInt", &refusals));
  ck_assert_uint_eq(refusals.count, 0);
  expect_errors("[]");
}

TEST(unknown_parameters_are_refused_and_their_names_cut) {
  char longest[200];
  memset(longest, 'x', 199);
  longest[199] = '\0';
  sort("One", "1");
  sort("a\"b\xFF", "");
  sort(longest, "");
  expect_errors(
      "[{\"field\":\"One\",\"constraints\":{\"whitelistValidation\":"
      "\"property One should not exist\"}},{\"field\":\"a\\\"b"
      "\xEF\xBF\xBD\",\"constraints\":{\"whitelistValidation\":"
      "\"property a\\\"b\xEF\xBF\xBD should not exist\"}},{\"field\":"
      "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "xxx\",\"constraints\":{\"whitelistValidation\":\"property "
      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "x should not exist\"}}]");
}

TEST(a_bounded_number_of_unknown_parameters_is_named) {
  for (int i = 0; i < 1000; i++) {
    char name[16];
    snprintf(name, sizeof(name), "p%d", i);
    sort(name, "1");
  }
  ck_assert_uint_eq(refusals.count, AU_PARAMETERS_UNKNOWN_MAX);
}

/* Two constraints of one name in an object would be no JSON that all read
 * alike. */
TEST(an_unknown_parameter_is_refused_once) {
  sort("x", "1");
  sort("x", "2");
  sort("y", "1");
  sort("x", "3");
  ck_assert_uint_eq(refusals.count, 2);
  expect_errors("[{\"field\":\"x\",\"constraints\":{\"whitelistValidation\":"
                "\"property x should not exist\"}},{\"field\":\"y\","
                "\"constraints\":{\"whitelistValidation\":\"property y should "
                "not exist\"}}]");
}

TEST(a_repeated_parameter_is_refused_once) {
  sort("one", "1");
  sort("one", "1");
  sort("one", "2");
  ck_assert_int_eq(au_parameter_integer(&known[0], 1, 9, 5, &refusals), 5);
  expect_errors("[{\"field\":\"one\",\"constraints\":{\"isInt\":\"one must be "
                "given only once\"}}]");
}

static const struct {
  const char *text;
  int64_t value; /* when it is good */
  const char *constraint;
} numbers[] = {
    {"1", 1, NULL},
    {"10000", 10000, NULL},
    {"007", 7, NULL},
    {"0", 0, "min"},
    {"-0", 0, "min"},
    {"-1", 0, "min"},
    {"-99999999999999999999", 0, "min"},
    {"10001", 0, "max"},
    {"9223372036854775808", 0, "max"},
    {"99999999999999999999999999", 0, "max"},
    {"", 0, "isInt"},
    {"-", 0, "isInt"},
    {"+1", 0, "isInt"},
    {" 1", 0, "isInt"},
    {"1 ", 0, "isInt"},
    {"1.0", 0, "isInt"},
    {"1e2", 0, "isInt"},
    {"0x10", 0, "isInt"},
    {"one", 0, "isInt"},
    {"NaN", 0, "isInt"},
    {"\xD9\xA1", 0, "isInt"},
};

TEST_EACH(integers_have_a_form_and_a_range,
          sizeof(numbers) / sizeof(numbers[0])) {
  sort("one", numbers[_i].text);
  int64_t value = au_parameter_integer(&known[0], 1, 10000, 77, &refusals);
  if (numbers[_i].constraint == NULL) {
    ck_assert_int_eq(value, numbers[_i].value);
    ck_assert_uint_eq(refusals.count, 0);
  } else {
    ck_assert_int_eq(value, 77);
    ck_assert_uint_eq(refusals.count, 1);
    ck_assert_ptr_nonnull(strstr((const char *)au_bytes_text(&refusals.json),
                                 numbers[_i].constraint));
  }
}

TEST(an_integer_that_is_not_given_is_the_default) {
  ck_assert_int_eq(au_parameter_integer(&known[0], 1, 9, 5, &refusals), 5);
  ck_assert_uint_eq(refusals.count, 0);
}

TEST(text_may_be_required) {
  ck_assert_ptr_null(au_parameter_text(&known[0], AU_OPTIONAL, &refusals));
  ck_assert_uint_eq(refusals.count, 0);
  ck_assert_ptr_null(au_parameter_text(&known[0], AU_REQUIRED, &refusals));
  sort("two", "gr\xC3\xB6\xC3\x9F"
              "e");
  ck_assert_str_eq(au_parameter_text(&known[1], AU_REQUIRED, &refusals),
                   "gr\xC3\xB6\xC3\x9F"
                   "e");
  expect_errors("[{\"field\":\"one\",\"constraints\":{\"isString\":\"one must "
                "be a string\",\"isNotEmpty\":\"one is required\"}}]");
}

static const struct {
  const char *text;
  const char *constraint;
} texts[] = {
    {"", "isNotEmpty"},
    {"  \t", "isNotEmpty"},
    {"\xE3\x80\x80", "isNotEmpty"}, /* an ideographic space */
    {"a\xC0\x80", "isStorable"},    /* what "%00" becomes */
    {"\xFF", "isStorable"},
    {"\xED\xA0\x80", "isStorable"},
};

TEST_EACH(bad_text_is_refused, sizeof(texts) / sizeof(texts[0])) {
  sort("one", texts[_i].text);
  ck_assert_ptr_null(au_parameter_text(&known[0], AU_OPTIONAL, &refusals));
  ck_assert_uint_eq(refusals.count, 1);
  ck_assert_ptr_nonnull(
      strstr(au_bytes_text(&refusals.json), texts[_i].constraint));
}

TEST(times_are_read_or_refused) {
  int64_t us = 0;
  sort("one", "2026-11-24T08:24:26.123456+02:00");
  ck_assert(au_parameter_time(&known[0], &us, &refusals));
  ck_assert_int_eq(us, INT64_C(1795501466123456));
  ck_assert_uint_eq(refusals.count, 0);
  ck_assert(!au_parameter_time(&known[1], &us, &refusals));
  ck_assert_uint_eq(refusals.count, 2);
  sort("two", "yesterday");
  ck_assert(!au_parameter_time(&known[1], &us, &refusals));
  ck_assert_uint_eq(refusals.count, 3);
  sort("two", "yesterday");
  ck_assert(!au_parameter_time(&known[1], &us, &refusals));
  ck_assert_uint_eq(refusals.count, 4);
  ck_assert_ptr_nonnull(strstr(au_bytes_text(&refusals.json), "only once"));
}

TEST(choices_are_known_by_their_names) {
  static const char *const names[] = {"DESC", "ASC", NULL};
  ck_assert_uint_eq(au_parameter_choice(&known[0], names, AU_CASE_ANY,
                                        "isSortOrder", &refusals),
                    0);
  sort("one", "aSc");
  ck_assert_uint_eq(au_parameter_choice(&known[0], names, AU_CASE_ANY,
                                        "isSortOrder", &refusals),
                    1);
  ck_assert_uint_eq(refusals.count, 0);
  ck_assert_uint_eq(au_parameter_choice(&known[0], names, AU_CASE_EXACT,
                                        "isSortOrder", &refusals),
                    0);
  expect_errors("[{\"field\":\"one\",\"constraints\":{\"isSortOrder\":\"one "
                "must be one of: DESC, ASC\"}}]");
}

int main(void) { return run_tests("parameters"); }
