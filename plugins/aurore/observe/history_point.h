/* SPDX-License-Identifier: MIT
 * Part of observe/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * history_point - the figures of a snapshot that are drawn, read back from its
 * line: one of the file may be of another release, or written by somebody else.
 * Pure; any thread.
 */
#ifndef AURORE_OBSERVE_HISTORY_POINT_H
#define AURORE_OBSERVE_HISTORY_POINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum au_history_figure {
  AU_HISTORY_RATE, /* accepted events a second */
  AU_HISTORY_FILL, /* of the buffer, in percent */
  AU_HISTORY_DROP, /* refused since it was full, in percent */
  AU_HISTORY_FIGURES
} au_history_figure_t;

typedef struct au_history_point {
  int64_t at_us; /* since 1970 */
  double value[AU_HISTORY_FIGURES];
} au_history_point_t;

/* false: the line has no time, or one of the figures is not there, is not a
 * number, is negative or absurdly large. false when out of memory, too. */
bool au_history_point_read(const char *line, size_t size,
                           au_history_point_t *out_point);

#endif
