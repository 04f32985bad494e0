/* SPDX-License-Identifier: MIT
 * Part of observe/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * history_file - a file of lines, each a JSON object, that is renamed to
 * FILE.1 before it would become longer than its bound; an older FILE.1 goes.
 *
 * The file is opened for each line, so that whoever moves or removes it is
 * followed. A line that was cut off (a crash, a full disk) harms no other: it
 * is ended before the next one is written, and ignored when the file is read.
 *
 * Threads: one at a time. Nothing is held between two calls.
 */
#ifndef AURORE_OBSERVE_HISTORY_FILE_H
#define AURORE_OBSERVE_HISTORY_FILE_H

#include "base/io.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes of a line, its end included; a longer one is ignored on reading. */
#define AU_HISTORY_LINE_MAX 1024

typedef struct au_history_file {
  const au_io_t *io;
  const char *path; /* borrowed */
  uint64_t max_bytes;
} au_history_file_t;

/* Appends a line, which must end with a newline, and is not changed (writev
 * knows no const). AU_IO: it was not written, "error" says why; AU_NOMEM. */
AU_MUST_CHECK au_status_t au_history_file_append(const au_history_file_t *file,
                                                 char *line, size_t size,
                                                 char *error,
                                                 size_t error_size);

typedef void (*au_line_taker_t)(const char *line, size_t size, void *context);

/* Calls "take" with the newest lines, at most "lines", from the oldest to the
 * newest, without their newlines; reads no more than lines *
 * AU_HISTORY_LINE_MAX bytes of each file. A file that is not there holds
 * nothing. Lines that are not a JSON object are ignored, and counted in
 * "out_passed". AU_IO: a file cannot be read ("error" says why); AU_NOMEM. */
AU_MUST_CHECK au_status_t au_history_file_read(
    const au_history_file_t *file, size_t lines, au_line_taker_t take,
    void *context, size_t *out_passed, char *error, size_t error_size);

#endif
