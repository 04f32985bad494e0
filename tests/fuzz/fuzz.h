/* SPDX-License-Identifier: MIT
 *
 * fuzz - what the targets share: an input that is taken apart, a check that
 * ends the run, memory of the very size of what is in it (so that the address
 * sanitizer sees one byte too many), files, and JSON at its strictest.
 *
 * A target is one file, fuzz_MODULE.c, which gives any bytes to the module and
 * requires what must hold whatever they are. Its first inputs are the files in
 * corpus/MODULE.
 *
 * Threads: one at a time.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What libFuzzer calls. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run, and says what does not hold, unless it is true. */
void fuzz_fail(const char *what) __attribute__((noreturn));
static inline void fuzz_require(bool is_true, const char *what) {
  if (!is_true)
    fuzz_fail(what);
}

/* From now on nothing is logged or notified. */
void fuzz_be_quiet(void);

/* What is left of an input. After its end every byte is 0. */
typedef struct fuzz_input {
  const uint8_t *data;
  size_t size;
} fuzz_input_t;

uint8_t fuzz_take_byte(fuzz_input_t *input);
/* Little endian. */
uint64_t fuzz_take_number(fuzz_input_t *input, size_t bytes);
/* 0 to limit - 1. */
size_t fuzz_take_below(fuzz_input_t *input, size_t limit);
/* The next bytes, at most "max" of them and at most what is left. */
fuzz_input_t fuzz_take_part(fuzz_input_t *input, size_t max);
/* A part that ends before the next newline, which is taken too. */
fuzz_input_t fuzz_take_line(fuzz_input_t *input);

/* Copies that the caller frees; the text ends with a NUL, and is cut at one. */
void *fuzz_copy(const void *data, size_t size);
char *fuzz_text(fuzz_input_t part);

/* A file in memory that has these bytes: its path, until the next call. */
const char *fuzz_file(const void *data, size_t size);

/* Requires that it is one JSON value, in valid UTF-8. */
void fuzz_require_json(const void *text, size_t size, const char *what);

#endif
