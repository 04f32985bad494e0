/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/number.h"

size_t au_number_format(uint64_t number, char text[AU_NUMBER_SIZE]) {
  size_t digits = 1;
  for (uint64_t rest = number / 10; rest > 0; rest /= 10)
    digits++;
  text[digits] = '\0';
  for (size_t at = digits; at-- > 0; number /= 10)
    text[at] = (char)('0' + number % 10);
  return digits;
}

void au_number_put(au_bytes_t *bytes, uint64_t number) {
  char text[AU_NUMBER_SIZE];
  size_t digits = au_number_format(number, text);
  au_bytes_put(bytes, text, digits);
}
