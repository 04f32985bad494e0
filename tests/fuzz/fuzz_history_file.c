/* SPDX-License-Identifier: MIT
 *
 * fuzz_history_file - any bytes as the file of snapshots: the lines that are
 * given out are JSON objects, no more than were asked for, and the last of
 * them; a line that is appended is read whatever is before it.
 */
#include "fuzz/fuzz.h"
#include "observe/history_file.h"

#include <string.h>

typedef struct seen {
  size_t lines;
  bool has_own;
} seen_t;

static const char own[] = "{\"own\":true}";

static void take(const char *line, size_t size, void *context) {
  seen_t *seen = context;
  seen->lines++;
  seen->has_own = size == strlen(own) && memcmp(line, own, size) == 0;
  fuzz_require(size < AU_HISTORY_LINE_MAX, "a line is longer");
  fuzz_require_json(line, size, "a line is not JSON");
}

static seen_t read_file(const au_history_file_t *file, size_t lines) {
  seen_t seen = {.lines = 0};
  size_t passed = 0;
  char error[256] = "";
  fuzz_require(au_history_file_read(file, lines, take, &seen, &passed, error,
                                    sizeof(error)) == AU_OK,
               "the file cannot be read");
  fuzz_require(seen.lines + passed <= lines, "more lines than asked for");
  return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  size_t lines = 1 + fuzz_take_below(&input, 8);
  const au_history_file_t file = {.io = &au_io_system,
                                  .path = fuzz_file(input.data, input.size),
                                  .max_bytes = UINT64_MAX};
  (void)read_file(&file, lines);
  char line[sizeof(own) + 1];
  char error[256] = "";
  memcpy(line, own, sizeof(own) - 1);
  line[sizeof(own) - 1] = '\n';
  fuzz_require(au_history_file_append(&file, line, sizeof(own), error,
                                      sizeof(error)) == AU_OK,
               "a line cannot be appended");
  fuzz_require(read_file(&file, lines).has_own,
               "a line that was appended is not read");
  return 0;
}
