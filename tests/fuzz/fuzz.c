/* SPDX-License-Identifier: MIT
 *
 * fuzz - see fuzz.h.
 */
#include "fuzz/fuzz.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <yajl/yajl_parse.h>

void fuzz_fail(const char *what) {
  fprintf(stderr, "fuzz: %s\n", what);
  abort();
}

static void ignore_line(au_log_level_t level, const char *line) {
  (void)level;
  (void)line;
}

static void ignore_notification(au_severity_t severity, const char *type,
                                const char *message) {
  (void)severity;
  (void)type;
  (void)message;
}

void fuzz_be_quiet(void) {
  au_log_set_sink(ignore_line);
  au_notify_set_sink(ignore_notification);
}

uint8_t fuzz_take_byte(fuzz_input_t *input) {
  return (uint8_t)fuzz_take_number(input, 1);
}

uint64_t fuzz_take_number(fuzz_input_t *input, size_t bytes) {
  uint64_t number = 0;
  for (size_t i = 0; i < bytes && input->size > 0; i++) {
    number |= (uint64_t)*input->data++ << 8 * i;
    input->size--;
  }
  return number;
}

size_t fuzz_take_below(fuzz_input_t *input, size_t limit) {
  return fuzz_take_number(input, limit > 256 ? 4 : 1) % limit;
}

fuzz_input_t fuzz_take_part(fuzz_input_t *input, size_t max) {
  fuzz_input_t part = {.data = input->data,
                       .size = max < input->size ? max : input->size};
  if (part.size > 0)
    input->data += part.size;
  input->size -= part.size;
  return part;
}

fuzz_input_t fuzz_take_line(fuzz_input_t *input) {
  const uint8_t *end =
      input->size > 0 ? memchr(input->data, '\n', input->size) : NULL;
  fuzz_input_t line = fuzz_take_part(
      input, end != NULL ? (size_t)(end - input->data) : input->size);
  (void)fuzz_take_byte(input);
  return line;
}

void *fuzz_copy(const void *data, size_t size) {
  /* Not malloc(0), which may have room for a byte; nor aligned by chance. */
  void *copy = malloc(size > 0 ? size : 1);
  fuzz_require(copy != NULL, "out of memory");
  if (size > 0)
    memcpy(copy, data, size);
  return copy;
}

char *fuzz_text(fuzz_input_t part) {
  size_t size = part.size > 0 ? strnlen((const char *)part.data, part.size) : 0;
  char *text = malloc(size + 1);
  fuzz_require(text != NULL, "out of memory");
  if (size > 0)
    memcpy(text, part.data, size);
  text[size] = '\0';
  return text;
}

const char *fuzz_file(const void *data, size_t size) {
  static int fd = -1;
  static char path[64];
  if (fd < 0)
    fd = memfd_create("fuzz", MFD_CLOEXEC);
  fuzz_require(fd >= 0 && ftruncate(fd, 0) == 0 &&
                   pwrite(fd, data, size, 0) == (ssize_t)size,
               "the file cannot be written");
  snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
  return path;
}

/* Values that began in the array around the text, and what is open. */
typedef struct shape {
  size_t values;
  size_t depth;
} shape_t;

static int take_value(void *context) {
  shape_t *shape = context;
  shape->values += shape->depth == 1;
  return 1;
}

static int take_boolean(void *context, int value) {
  (void)value;
  return take_value(context);
}

static int take_number(void *context, const char *text, size_t size) {
  (void)text;
  (void)size;
  return take_value(context);
}

static int take_string(void *context, const unsigned char *text, size_t size) {
  (void)text;
  (void)size;
  return take_value(context);
}

static int open_value(void *context) {
  (void)take_value(context);
  ((shape_t *)context)->depth++;
  return 1;
}

static int close_value(void *context) {
  ((shape_t *)context)->depth--;
  return 1;
}

/* Within an array: else YAJL waits for the end of a string that follows. */
void fuzz_require_json(const void *text, size_t size, const char *what) {
  static const yajl_callbacks callbacks = {.yajl_null = take_value,
                                           .yajl_boolean = take_boolean,
                                           .yajl_number = take_number,
                                           .yajl_string = take_string,
                                           .yajl_start_map = open_value,
                                           .yajl_end_map = close_value,
                                           .yajl_start_array = open_value,
                                           .yajl_end_array = close_value};
  shape_t shape = {.values = 0};
  yajl_handle handle = yajl_alloc(&callbacks, NULL, &shape);
  fuzz_require(handle != NULL, "out of memory");
  fuzz_require(yajl_parse(handle, (const uint8_t *)"[", 1) == yajl_status_ok &&
                   yajl_parse(handle, text, size) == yajl_status_ok &&
                   shape.depth == 1 && shape.values == 1 &&
                   yajl_parse(handle, (const uint8_t *)"]", 1) ==
                       yajl_status_ok &&
                   shape.depth == 0,
               what);
  yajl_free(handle);
}
