/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/ndjson.h"

#include <string.h>

static bool is_blank_line(const char *line, size_t size) {
  for (size_t at = 0; at < size; at++)
    if (line[at] != ' ' && line[at] != '\t' && line[at] != '\r')
      return false;
  return true;
}

au_intake_result_t au_ndjson_read(au_json_reader_t *reader, const char *body,
                                  size_t size) {
  size_t start = 0;
  au_intake_result_t result =
      au_json_open(reader, AU_JSON_LINE, body, size, &start);
  while (result == AU_INTAKE_DONE && start < size) {
    const char *end = memchr(body + start, '\n', size - start);
    size_t length = end != NULL ? (size_t)(end - body) - start : size - start;
    if (!is_blank_line(body + start, length))
      result = au_json_read_value(reader, start, length);
    start += length + 1;
  }
  return au_json_close(reader, result);
}
