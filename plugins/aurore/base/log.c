/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/log.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#define LINE_SIZE 1001  /* 1000 bytes and a NUL */
#define NOTICE_SIZE 251 /* 250 bytes and a NUL */

/* Atomic, so that a sink that is set late is still seen whole. */
static _Atomic(au_log_sink_t) log_sink;
static _Atomic(au_notify_sink_t) notify_sink;

void au_log_set_sink(au_log_sink_t sink) { atomic_store(&log_sink, sink); }

void au_notify_set_sink(au_notify_sink_t sink) {
  atomic_store(&notify_sink, sink);
}

/* One line in the literal sense: a reason that came from elsewhere (libpq ends
 * its messages with a newline) loses its control characters. */
AU_PRINTF(3, 0)
static void format_line(char *line, size_t size, const char *format,
                        va_list arguments) {
  int wanted = vsnprintf(line, size, format, arguments);
  if (wanted < 0) {
    (void)snprintf(line, size, "could not format a message");
    return;
  }
  size_t length = (size_t)wanted;
  if (length >= size) {
    length = au_utf8_whole(line, size - 1);
    line[length] = '\0';
  }
  while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == ' '))
    line[--length] = '\0';
  for (char *c = line; *c != '\0'; c++)
    if ((unsigned char)*c < 0x20 || *c == 0x7F)
      *c = ' ';
}

void au_log(au_log_level_t level, const char *format, ...) {
  char line[LINE_SIZE];
  va_list arguments;
  va_start(arguments, format);
  format_line(line, sizeof(line), format, arguments);
  va_end(arguments);

  au_log_sink_t sink = atomic_load(&log_sink);
  if (sink != NULL) {
    sink(level, line);
    return;
  }
  static const char *const name[] = {"error", "warning", "notice", "info"};
  (void)fprintf(stderr, "aurore: %s: %s\n", name[level], line);
}

void au_notify(au_severity_t severity, const char *type, const char *format,
               ...) {
  au_notify_sink_t sink = atomic_load(&notify_sink);
  if (sink == NULL)
    return;
  char message[NOTICE_SIZE];
  va_list arguments;
  va_start(arguments, format);
  format_line(message, sizeof(message), format, arguments);
  va_end(arguments);
  sink(severity, type, message);
}
