/* SPDX-License-Identifier: MIT
 *
 * screen - a terminal that is redrawn in place, and left as it was found. Plain
 * ANSI sequences, which every terminal of today has, are enough for lines that
 * are rewritten; ncurses would be one more library for that.
 *
 * A picture is one write: the cursor goes home, each line overwrites the one
 * before and clears its rest, and what follows the last one is cleared. Nothing
 * is blank in between, so nothing flickers.
 */
#ifndef AURORECTL_SCREEN_H
#define AURORECTL_SCREEN_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum ctl_color {
  CTL_PLAIN,
  CTL_GREEN,
  CTL_YELLOW,
  CTL_RED,
  CTL_FAINT,
  CTL_COLORS
} ctl_color_t;

/* Lines of a picture. */
#define CTL_LINES_MAX 64

typedef struct ctl_lines {
  size_t count;
  struct {
    ctl_color_t color;
    size_t text; /* where it begins in "texts" */
  } line[CTL_LINES_MAX];
  au_bytes_t texts; /* NUL-terminated, one behind the other */
} ctl_lines_t;

/* No lines; their memory is used again. */
void ctl_lines_clear(ctl_lines_t *lines);
/* What is more than CTL_LINES_MAX is left out. Characters that would move the
 * cursor become spaces. */
void ctl_lines_add(ctl_lines_t *lines, ctl_color_t color, const char *format,
                   ...) AU_PRINTF(3, 4);
void ctl_lines_fini(ctl_lines_t *lines);

/* As plain text, on standard output. false: it cannot be written. */
bool ctl_lines_print(const ctl_lines_t *lines);

/* Takes the terminal: no echo, no line editing, no cursor, a screen of its own.
 * SIGINT, SIGTERM and SIGHUP are noted, not obeyed. false: standard input or
 * output is none. */
bool ctl_screen_open(void);
/* Leaves it as it was. */
void ctl_screen_close(void);

/* In characters. */
unsigned ctl_screen_width(void);
/* Draws what fits. false: it cannot be written. */
bool ctl_screen_draw(const ctl_lines_t *lines);

/* Waits for so long, or until a key is pressed or the size changes; the key, or
 * 0. */
int ctl_screen_wait(int timeout_ms);
/* Whether a signal has come that ends the program; or "q", which is taken from
 * what was typed. */
bool ctl_screen_is_over(void);

#endif
