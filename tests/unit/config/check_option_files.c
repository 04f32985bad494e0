/* SPDX-License-Identifier: MIT
 *
 * What the table of options says to people: the help of every option, and the
 * two files that are made from it, conf.d/aurore.conf and the manual page.
 */
#include "config/options.h"
#include "support/files.h"
#include "support/suite.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* --- the texts of the table ------------------------------------------------
 */

static void check_sentences(const char *name, const char *text) {
  ck_assert_msg(text != NULL && text[0] != '\0', "%s has no help", name);
  ck_assert_msg(isupper((unsigned char)text[0]),
                "%s: \"%s\" does not begin as a sentence", name, text);
  ck_assert_msg(text[strlen(text) - 1] == '.',
                "%s: \"%s\" does not end as a sentence", name, text);
  for (const char *at = text; *at != '\0'; at++)
    ck_assert_msg(*at >= ' ' && *at <= '~', "%s: not ASCII", name);
}

CASE("table", NULL, NULL);

TEST(every_option_has_its_help) {
  au_option_info_t info;
  for (size_t i = 0; au_option_info(i, &info); i++) {
    check_sentences(info.name, info.help);
    if (info.details != NULL)
      check_sentences(info.name, info.details);
  }
}

TEST(both_plugins_begin_with_a_group) {
  bool is_first[] = {[AU_SIDE_BUFFER] = true, [AU_SIDE_WRITER] = true};
  au_option_info_t info;
  for (size_t i = 0; au_option_info(i, &info); i++) {
    if (is_first[info.side])
      ck_assert_msg(info.group != NULL, "%s is in no group", info.name);
    is_first[info.side] = false;
  }
}

/* --- the files -------------------------------------------------------------
 */

CASE("files", NULL, NULL);

TEST(the_configuration_file_is_made_from_the_table) {
  check_made_file("aurore.conf", "conf.d/aurore.conf");
}

TEST(the_manual_page_is_made_from_the_table) {
  check_made_file("collectd-aurore.pod", "docs/man/collectd-aurore.pod");
}

static void check_is_allowed(au_side_t side, const char *name,
                             const char *text) {
  au_options_t options;
  char error[1024];
  const au_given_t value = {.type = AU_VALUE_STRING, .string = text};
  ck_assert_int_eq(au_options_init(&options), AU_OK);
  ck_assert_int_eq(
      au_options_set(&options, side, name, &value, error, sizeof(error)),
      AU_OK);
  au_options_fini(&options);
}

/* An option of the file: "  Name value" or "  #Name value"; prose has a space
 * after its "#". */
static bool read_option(const char *line, char name[64], char value[256],
                        bool *is_active) {
  const char *at = line + strspn(line, " ");
  *is_active = *at != '#';
  at += *is_active ? 0 : 1;
  if (at == line || sscanf(at, "%63[A-Za-z] %255[^\n]", name, value) != 2 ||
      at[0] == ' ')
    return false;
  size_t length = strlen(value);
  if (length >= 2 && value[0] == '"' && value[length - 1] == '"') {
    memmove(value, value + 1, length - 2);
    value[length - 2] = '\0';
  }
  return true;
}

static void check_conf_option(const au_option_info_t *info, const char *name,
                              const char *value, bool is_active,
                              const char *comment) {
  ck_assert_str_eq(name, info->name);
  if (is_active)
    check_is_allowed(info->side, name, value);
  else
    ck_assert_msg(strcmp(value, info->default_text) == 0,
                  "%s: the default is \"%s\", not \"%s\"", name,
                  info->default_text, value);
  ck_assert_msg(strstr(comment, info->default_text) != NULL,
                "%s: the comment above does not say \"%s\"", name,
                info->default_text);
  ck_assert_msg(strstr(comment, info->range_text) != NULL,
                "%s: the comment above does not say \"%s\"", name,
                info->range_text);
}

static size_t index_of(const char *name, au_side_t side) {
  au_option_info_t info;
  for (size_t i = 0; au_option_info(i, &info); i++)
    if (info.side == side && strcmp(info.name, name) == 0)
      return i;
  ck_abort_msg("there is no option %s", name);
}

TEST(the_installed_file_shows_every_option) {
  char line[512];
  char comment[4096] = ""; /* since the last empty line */
  unsigned seen[64] = {0};
  int side = -1;
  FILE *file = open_source_file("conf.d/aurore.conf");
  while (fgets(line, sizeof(line), file) != NULL) {
    char name[64];
    char value[256];
    bool is_active = false;
    if (strncmp(line, "<Plugin ", 8) == 0)
      side = strstr(line, "event_buffer") != NULL ? AU_SIDE_BUFFER
                                                  : AU_SIDE_WRITER;
    else if (line[0] == '<')
      side = -1;
    else if (line[0] == '\n')
      comment[0] = '\0';
    else if (side >= 0 && read_option(line, name, value, &is_active)) {
      au_option_info_t info;
      size_t index = index_of(name, (au_side_t)side);
      ck_assert(au_option_info(index, &info));
      check_conf_option(&info, name, value, is_active, comment);
      seen[index]++;
    } else if (strlen(comment) + strlen(line) < sizeof(comment)) {
      strcat(comment, line + strspn(line, " #"));
      comment[strlen(comment) - 1] = ' '; /* a range may be broken */
    }
  }
  fclose(file);
  au_option_info_t info;
  for (size_t i = 0; au_option_info(i, &info); i++)
    ck_assert_msg(seen[i] == 1, "%s stands there %u times", info.name, seen[i]);
}

int main(void) { return run_tests("option_files"); }
