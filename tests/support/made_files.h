/* SPDX-License-Identifier: MIT
 *
 * made_files - a file that is made from a table in the code is what
 * tests/tools/tables writes; "make tables" writes it anew.
 */
#ifndef SUPPORT_MADE_FILES_H
#define SUPPORT_MADE_FILES_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline char *read_all(FILE *file) {
  size_t size = 0;
  size_t room = 1 << 20;
  char *text = malloc(room);
  ck_assert_ptr_nonnull(text);
  size = fread(text, 1, room - 1, file);
  text[size] = '\0';
  return text;
}

/* The program "tables" writes "what" as the file "path" of the source has it.
 */
static inline void check_made_file(const char *what, const char *path) {
  const char *source = getenv("top_srcdir");
  const char *build = getenv("top_builddir");
  char text[1024];
  snprintf(text, sizeof(text), "%s/tests/tools/tables %s",
           build != NULL ? build : ".", what);
  FILE *program = popen(text, "r");
  ck_assert_ptr_nonnull(program);
  char *made = read_all(program);
  ck_assert_int_eq(pclose(program), 0);
  snprintf(text, sizeof(text), "%s/%s", source != NULL ? source : ".", path);
  FILE *file = fopen(text, "r");
  ck_assert_msg(file != NULL, "could not open %s", text);
  char *held = read_all(file);
  fclose(file);
  ck_assert_msg(strcmp(made, held) == 0,
                "%s is not what \"tests/tools/tables %s\" writes", path, what);
  free(made);
  free(held);
}

#endif
