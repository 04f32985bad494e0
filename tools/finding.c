/* SPDX-License-Identifier: MIT */
#include "tools/finding.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_SIZE 2048

static const struct {
  const char *word;
  const char *color;
} states[CTL_STATES] = {[CTL_OK] = {"ok", "\033[32m"},
                        [CTL_WARNING] = {"warning", "\033[33m"},
                        [CTL_PROBLEM] = {"problem", "\033[31m"}};

void ctl_findings_init(ctl_findings_t *findings) {
  const char *no_color = getenv("NO_COLOR");
  *findings =
      (ctl_findings_t){.is_colored = isatty(STDOUT_FILENO) &&
                                     (no_color == NULL || no_color[0] == '\0')};
}

static void AU_PRINTF(1, 0) print(const char *format, va_list arguments) {
  char text[TEXT_SIZE];
  vsnprintf(text, sizeof(text), format, arguments);
  text[au_utf8_whole(text, strlen(text))] = '\0';
  for (const char *c = text; *c != '\0'; c++)
    putchar((unsigned char)*c < ' ' || *c == 0x7F ? ' ' : *c);
  putchar('\n');
}

void ctl_find(ctl_findings_t *findings, ctl_state_t state, const char *what,
              const char *format, ...) {
  va_list arguments;
  findings->count[state]++;
  printf("%s%-7s%s  %s: ", findings->is_colored ? states[state].color : "",
         states[state].word, findings->is_colored ? "\033[0m" : "", what);
  va_start(arguments, format);
  print(format, arguments);
  va_end(arguments);
}

void ctl_advise(const ctl_findings_t *findings, const char *format, ...) {
  va_list arguments;
  (void)findings;
  fputs("         do: ", stdout);
  va_start(arguments, format);
  print(format, arguments);
  va_end(arguments);
}

void ctl_findings_sum(const ctl_findings_t *findings) {
  printf("%u ok, %u warning%s, %u problem%s\n", findings->count[CTL_OK],
         findings->count[CTL_WARNING],
         findings->count[CTL_WARNING] == 1 ? "" : "s",
         findings->count[CTL_PROBLEM],
         findings->count[CTL_PROBLEM] == 1 ? "" : "s");
}
