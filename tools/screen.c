/* SPDX-License-Identifier: MIT */
#include "tools/screen.h"

#include "base/utf8.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define TEXT_SIZE 1024
/* For a terminal that does not say. */
#define COLUMNS 80
#define ROWS 24

/* The other screen, no cursor, lines that are cut at the edge; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static const char *const colors[CTL_COLORS] = {[CTL_PLAIN] = "",
                                               [CTL_GREEN] = "\033[32m",
                                               [CTL_YELLOW] = "\033[33m",
                                               [CTL_RED] = "\033[31m",
                                               [CTL_FAINT] = "\033[2m"};

static struct {
  bool is_open;
  bool is_colored;
  bool is_over;
  struct termios before;
} screen;

static volatile sig_atomic_t is_stopped;

/* --- lines -----------------------------------------------------------------
 */

void ctl_lines_clear(ctl_lines_t *lines) {
  lines->count = 0;
  au_bytes_clear(&lines->texts, SIZE_MAX);
}

void ctl_lines_add(ctl_lines_t *lines, ctl_color_t color, const char *format,
                   ...) {
  char text[TEXT_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  if (lines->count == CTL_LINES_MAX || lines->texts.failed)
    return;
  text[au_utf8_whole(text, strlen(text))] = '\0';
  for (char *c = text; *c != '\0'; c++)
    if ((unsigned char)*c < ' ' || *c == 0x7F)
      *c = ' ';
  size_t at = lines->texts.size;
  au_bytes_put(&lines->texts, text, strlen(text) + 1);
  if (lines->texts.failed)
    return;
  lines->line[lines->count].color = color;
  lines->line[lines->count].text = at;
  lines->count++;
}

void ctl_lines_fini(ctl_lines_t *lines) { au_bytes_fini(&lines->texts); }

static const char *text_of(const ctl_lines_t *lines, size_t i) {
  return (const char *)lines->texts.data + lines->line[i].text;
}

bool ctl_lines_print(const ctl_lines_t *lines) {
  for (size_t i = 0; i < lines->count; i++)
    puts(text_of(lines, i));
  return fflush(stdout) == 0;
}

/* --- the terminal ----------------------------------------------------------
 */

static void on_signal(int number) {
  if (number != SIGWINCH)
    is_stopped = 1;
}

static bool write_all(const void *data, size_t size) {
  const char *at = data;
  while (size > 0) {
    ssize_t written = write(STDOUT_FILENO, at, size);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return false;
    at += written;
    size -= (size_t)written;
  }
  return true;
}

bool ctl_screen_open(void) {
  static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
  const char *no_color = getenv("NO_COLOR");
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
      tcgetattr(STDIN_FILENO, &screen.before) != 0)
    return false;
  for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(signals[i], &action, NULL);
  }
  struct termios own = screen.before;
  own.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  own.c_cc[VMIN] = 0;
  own.c_cc[VTIME] = 0;
  own.c_cc[VSUSP] =
      _POSIX_VDISABLE; /* it would leave the terminal to a shell */
  if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &own) != 0)
    return false;
  screen.is_open = true;
  screen.is_colored = no_color == NULL || no_color[0] == '\0';
  return write_all(ENTER, strlen(ENTER));
}

void ctl_screen_close(void) {
  if (!screen.is_open)
    return;
  screen.is_open = false;
  (void)write_all(LEAVE, strlen(LEAVE));
  (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &screen.before);
}

static void get_size(unsigned *out_columns, unsigned *out_rows) {
  struct winsize size = {.ws_col = 0};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
    size = (struct winsize){.ws_col = 0};
  *out_columns = size.ws_col > 0 ? size.ws_col : COLUMNS;
  *out_rows = size.ws_row > 0 ? size.ws_row : ROWS;
}

unsigned ctl_screen_width(void) {
  unsigned columns = 0;
  unsigned rows = 0;
  get_size(&columns, &rows);
  return columns;
}

/* The bytes of the first "columns" characters. */
static size_t cut(const char *text, unsigned columns) {
  size_t length = 0;
  for (unsigned used = 0; text[length] != '\0'; length++) {
    bool begins = ((unsigned char)text[length] & 0xC0) != 0x80;
    if (begins && used == columns)
      break;
    used += begins ? 1 : 0;
  }
  return length;
}

bool ctl_screen_draw(const ctl_lines_t *lines) {
  unsigned columns = 0;
  unsigned rows = 0;
  au_bytes_t out = AU_BYTES_INIT;
  get_size(&columns, &rows);
  au_bytes_put_string(&out, "\033[H");
  for (size_t i = 0; i < lines->count && i < rows; i++) {
    const char *text = text_of(lines, i);
    const char *color = screen.is_colored ? colors[lines->line[i].color] : "";
    /* Not behind the last row, which would scroll. */
    au_bytes_put_string(&out, i > 0 ? "\r\n" : "");
    au_bytes_put_string(&out, color);
    au_bytes_put(&out, text, cut(text, columns));
    au_bytes_put_string(&out, color[0] != '\0' ? "\033[0m" : "");
    au_bytes_put_string(&out, "\033[K");
  }
  au_bytes_put_string(&out, "\033[J");
  bool is_drawn = !out.failed && write_all(out.data, out.size);
  au_bytes_fini(&out);
  return is_drawn;
}

/* --- keys ------------------------------------------------------------------
 */

/* 0: there is none. */
static int take_key(void) {
  unsigned char key = 0;
  ssize_t got = read(STDIN_FILENO, &key, 1);
  if (got == 1 && (key == 'q' || key == 'Q'))
    screen.is_over = true;
  return got == 1 ? key : 0;
}

int ctl_screen_wait(int timeout_ms) {
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  int ready = poll(&input, 1, timeout_ms);
  if (ready > 0 && (input.revents & POLLIN) == 0)
    screen.is_over = true; /* the terminal has gone */
  return ready > 0 ? take_key() : 0;
}

bool ctl_screen_is_over(void) {
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  if (screen.is_open && !screen.is_over && poll(&input, 1, 0) > 0)
    (void)take_key();
  return is_stopped != 0 || screen.is_over;
}
