/* SPDX-License-Identifier: MIT
 *
 * check_json_run - where the plain text of a JSON string ends, in either form,
 * wherever it begins and however long it is.
 */
#include "base/json_run.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

/* More than two steps of the widest form. */
#define SIZE_MAX_TRIED 40

typedef au_json_run_t (*form_t)(const char *text, size_t size);

/* A short run, by its own step if it has one. */
static au_json_run_t run_short(const char *from, size_t size) {
  au_json_run_t run = au_json_run_short(from, size);
  ck_assert_uint_le(run.size, AU_JSON_RUN_SHORT);
  return run.size < AU_JSON_RUN_SHORT ? run : au_json_run(from, size);
}

static const form_t forms[] = {au_json_run, au_json_run_portable, run_short};

#define FORMS (int)(sizeof(forms) / sizeof(forms[0]))

static char *text; /* of its very size: checkers see a step too far */

static void tear_down(void) {
  free(text);
  text = NULL;
}

static void fill(size_t size) {
  free(text);
  text = malloc(size > 0 ? size : 1);
  ck_assert_ptr_nonnull(text);
  memset(text, 'x', size);
}

static void require(form_t run, size_t size, size_t expected, bool is_high) {
  const au_json_run_t found = run(text, size);
  ck_assert_uint_eq(found.size, expected);
  ck_assert_int_eq(found.high != 0, is_high);
}

CASE("run", NULL, tear_down);

/* Each byte at each place of texts of each size. */
TEST_EACH(ends_at_what_a_string_may_not_have, FORMS) {
  for (size_t size = 0; size <= SIZE_MAX_TRIED; size++) {
    fill(size);
    require(forms[_i], size, size, false);
    for (size_t at = 0; at < size; at++) {
      for (unsigned byte = 0; byte < 256; byte++) {
        bool is_end = byte < 0x20 || byte == '"' || byte == '\\';
        text[at] = (char)byte;
        require(forms[_i], size, is_end ? at : size, byte >= 0x80);
      }
      text[at] = 'x';
    }
  }
}

/* What comes after the end says nothing about what is before it. */
TEST_EACH(what_is_beyond_the_end_is_not_looked_at, FORMS) {
  for (size_t end = 0; end < SIZE_MAX_TRIED; end++) {
    fill(SIZE_MAX_TRIED);
    memset(text + end, 0xC3, SIZE_MAX_TRIED - end);
    text[end] = '"';
    require(forms[_i], SIZE_MAX_TRIED, end, false);
  }
}

TEST_EACH(what_is_not_ascii_is_kept_to_the_end, FORMS) {
  for (size_t at = 0; at < SIZE_MAX_TRIED; at++) {
    fill(SIZE_MAX_TRIED);
    text[at] = (char)0xFF;
    require(forms[_i], SIZE_MAX_TRIED, SIZE_MAX_TRIED, true);
  }
}

int main(void) { return run_tests("json_run"); }
