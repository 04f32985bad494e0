/* SPDX-License-Identifier: MIT
 *
 * fuzz_option_value - any text as the value of an option. A number is the one
 * that the C library reads; what is refused is refused with a reason that names
 * the option.
 */
#include "config/option_value.h"
#include "config/options.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_values(const char *text) {
  double value = 0;
  double bytes = 0;
  bool flag = false;
  bool is_number = au_option_number(text, &value);
  fuzz_require(!is_number || value == strtod(text, NULL),
               "a number reads as another");
  fuzz_require(!is_number || value < 0 || text[0] == '+' ||
                   (au_option_bytes(text, &bytes) && bytes == value),
               "a number is no number of bytes");
  (void)au_option_bytes(text, &bytes);
  (void)au_option_boolean(text, &flag);
  fuzz_require(!au_option_is_time_of_day(text) || strlen(text) == 5,
               "a time of day has another length");
  fuzz_require(!au_option_is_listen(text) || strchr(text, ':') != NULL,
               "an address has no port");
}

static void set_option(const au_option_info_t *info, const au_given_t *value) {
  static au_options_t options;
  char error[512] = "";
  fuzz_require(au_options_init(&options) == AU_OK, "out of memory");
  au_status_t status = au_options_set(&options, info->side, info->name, value,
                                      error, sizeof(error));
  fuzz_require(status == AU_OK || status == AU_INVALID, "out of memory");
  fuzz_require(status == AU_OK || strstr(error, info->name) != NULL,
               "a value is refused without the name of its option");
  au_options_fini(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  size_t count = 0;
  au_option_info_t info;
  while (au_option_info(count, &info))
    count++;
  fuzz_require(au_option_info(fuzz_take_below(&input, count), &info),
               "there are no options");
  au_given_t value = {.type = (au_given_type_t)fuzz_take_below(&input, 3)};
  char *text = fuzz_text(input);
  check_values(text);
  value.string = text;
  value.number = strtod(text, NULL);
  value.boolean = text[0] == 't';
  set_option(&info, &value);
  free(text);
  return 0;
}
