/* SPDX-License-Identifier: MIT
 *
 * aurorectl - the command line of the event pipeline: sends events, handles
 * dead letters, finds what is wrong, makes tokens, looks into spools.
 */
#include "aurore_config.h"
#include "tools/ctl.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage_text[] =
    "Usage: aurorectl send   [OPTION]...              events from standard "
    "input to the API\n"
    "       aurorectl dlq    list|show|reprocess|delete  the dead letters\n"
    "       aurorectl doctor                          what is wrong, and what "
    "to do\n"
    "       aurorectl token  SCOPE                    a token, and its line "
    "for "
    "TokenFile\n"
    "       aurorectl top                             what matters now, in a "
    "terminal\n"
    "       aurorectl spool  check|stat|export|renew  a spool directory\n"
    "\n"
    "\"aurorectl COMMAND --help\" says more, and aurorectl(1) all.\n";

static const struct {
  const char *name;
  int (*run)(int argc, char **argv);
} commands[] = {{"dlq", ctl_dlq},     {"doctor", ctl_doctor},
                {"send", ctl_send},   {"spool", ctl_spool},
                {"token", ctl_token}, {"top", ctl_top}};

void ctl_say(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("aurorectl: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
}

int ctl_bad_usage(const char *usage) {
  fputs(usage, stderr);
  return CTL_USAGE;
}

int ctl_read_options(int argc, char **argv, const char *usage,
                     const struct option *options,
                     bool (*take)(void *context, int option, const char *value),
                     void *context) {
  for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
    if (c == 'h') {
      fputs(usage, stdout);
      return CTL_GOOD;
    }
    if (c == '?' || !take(context, c, optarg))
      return ctl_bad_usage(usage);
  }
  return CTL_GO_ON;
}

bool ctl_read_seconds(const char *text, double min, double max, double *out) {
  char *end = NULL;
  double value = strtod(text, &end);
  if (end == text || *end != '\0' || !isfinite(value) || value < min ||
      value > max)
    return false;
  *out = value;
  return true;
}

bool ctl_read_size(const char *text, uint64_t min, uint64_t max,
                   uint64_t *out) {
  static const struct {
    const char *name;
    uint64_t bytes;
  } units[] = {{"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
  size_t digits = strspn(text, "0123456789");
  if (digits == 0 || digits > 9)
    return false;
  uint64_t value = strtoull(text, NULL, 10);
  for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
    if (strcmp(text + digits, units[i].name) == 0) {
      *out = value * units[i].bytes;
      return *out >= min && *out <= max;
    }
  return false;
}

/* The program's older name is one of the commands. */
static bool is_called(const char *path, const char *name) {
  const char *slash = strrchr(path, '/');
  return strcmp(slash != NULL ? slash + 1 : path, name) == 0;
}

int main(int argc, char **argv) {
  if (argc > 0 && is_called(argv[0], "aurore-spool"))
    return ctl_spool(argc, argv);
  const char *name = argc > 1 ? argv[1] : "";
  for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
    if (strcmp(name, commands[i].name) == 0)
      return commands[i].run(argc - 1, argv + 1);
  bool is_help = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
  if (strcmp(name, "--version") == 0) {
    puts("aurorectl " AURORE_VERSION);
    return CTL_GOOD;
  }
  fputs(usage_text, is_help ? stdout : stderr);
  return is_help ? CTL_GOOD : CTL_USAGE;
}
