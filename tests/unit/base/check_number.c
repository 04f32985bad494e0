/* SPDX-License-Identifier: MIT
 *
 * Whole numbers in digits are those that printf writes.
 */
#include "base/number.h"

#include "support/suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void check_one(uint64_t number) {
  char expected[32];
  char text[AU_NUMBER_SIZE];
  int digits = snprintf(expected, sizeof(expected), "%" PRIu64, number);
  ck_assert_uint_eq(au_number_format(number, text), (size_t)digits);
  ck_assert_str_eq(text, expected);
}

CASE("number", NULL, NULL);

TEST(around_each_power_of_ten) {
  check_one(0);
  uint64_t power = 1;
  for (int i = 0; i < 20; i++, power *= 10) {
    check_one(power - 1);
    check_one(power);
    check_one(power + 1);
  }
  check_one(UINT64_MAX);
}

TEST(it_is_appended) {
  au_bytes_t bytes = AU_BYTES_INIT;
  au_bytes_put_string(&bytes, "a");
  au_number_put(&bytes, 429);
  au_number_put(&bytes, 0);
  ck_assert_str_eq(au_bytes_text(&bytes), "a4290");
  au_bytes_fini(&bytes);
}

int main(void) { return run_tests("number"); }
