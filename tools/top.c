/* SPDX-License-Identifier: MIT
 *
 * top - what matters now, in a terminal, from the API alone.
 */
#include "tools/ctl.h"

#include "base/clock.h"
#include "tools/client.h"
#include "tools/screen.h"
#include "tools/top_state.h"
#include "tools/top_view.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define INTERVAL_S 2
/* Of a request, if it is not given: a view that stands still says nothing. */
#define TIMEOUT_S 5
/* Of --once: room for a ticket, whatever the terminal is. */
#define PLAIN_WIDTH 80

static const char usage_text[] =
    "Usage: aurorectl top [OPTION]...\n"
    "\n"
    "Shows what matters now: whether it is healthy and why not, the last "
    "minute's\n"
    "rates, the buffer, the database. \"q\" or Ctrl-C ends it.\n"
    "  --interval SECONDS   between two looks, 0.2 to 3600 (2)\n"
    "  --once               one view, as plain text, over one interval\n"
    "\n" CTL_SERVER_HELP "\n"
    "Exit status: 0 done; 2 usage; with --once also 3 no answer; 4 the server\n"
    "refuses.\n";

enum { OPTION_INTERVAL = CTL_OPTION_OWN, OPTION_ONCE };

typedef struct options {
  ctl_server_t server;
  double interval_s;
  bool is_once;
} options_t;

static const char *place_of(const ctl_server_t *server) {
  return server->unix_socket != NULL ? server->unix_socket : server->url;
}

static int wait_ms(const options_t *options) {
  return au_clock_poll_ms(au_clock_seconds_ns(options->interval_s));
}

/* Two looks, since one has no rates. */
static int run_once(const options_t *options, ctl_client_t *client,
                    ctl_top_t *top, ctl_lines_t *lines) {
  bool is_answered = ctl_top_ask(top, client);
  if (is_answered) {
    (void)poll(NULL, 0, wait_ms(options));
    is_answered = ctl_top_ask(top, client);
  }
  if (!is_answered) {
    ctl_say("no answer from %s: %s", top->url, top->trouble);
    return top->is_refused ? CTL_REFUSED : CTL_LATER;
  }
  ctl_top_view(top, PLAIN_WIDTH, lines);
  return ctl_lines_print(lines) ? CTL_GOOD : CTL_USAGE;
}

static bool is_over(void *context) {
  (void)context;
  return ctl_screen_is_over();
}

/* Waits for the next look, and redraws meanwhile what the size of the terminal
 * asks for. */
static bool wait_for_next(const options_t *options, const ctl_top_t *top,
                          ctl_lines_t *lines) {
  int64_t end_ns =
      au_clock_monotonic_ns() + au_clock_seconds_ns(options->interval_s);
  for (;;) {
    int64_t left_ns = end_ns - au_clock_monotonic_ns();
    ctl_top_view(top, ctl_screen_width(), lines);
    if (!ctl_screen_draw(lines) || ctl_screen_is_over())
      return false;
    if (left_ns <= 0)
      return true;
    (void)ctl_screen_wait(au_clock_poll_ms(left_ns));
  }
}

static int run_on_screen(const options_t *options, ctl_client_t *client,
                         ctl_top_t *top, ctl_lines_t *lines) {
  if (!ctl_screen_open()) {
    ctl_say("this is no terminal; --once prints one view");
    return CTL_USAGE;
  }
  ctl_client_abort_when(client, is_over, NULL);
  do
    (void)ctl_top_ask(top, client);
  while (wait_for_next(options, top, lines));
  ctl_screen_close();
  return CTL_GOOD;
}

static int run(const options_t *options) {
  ctl_client_t *client = ctl_client_create(&options->server);
  ctl_top_t *top = malloc(sizeof(*top));
  ctl_lines_t lines = {.count = 0};
  int status = CTL_USAGE;
  if (client != NULL && top != NULL) {
    ctl_top_init(top, place_of(&options->server));
    status = options->is_once ? run_once(options, client, top, &lines)
                              : run_on_screen(options, client, top, &lines);
  }
  ctl_lines_fini(&lines);
  free(top);
  ctl_client_destroy(client);
  return status;
}

static bool take_option(void *context, int option, const char *value) {
  options_t *options = context;
  switch (option) {
  case OPTION_INTERVAL:
    return ctl_read_seconds(value, 0.2, 3600, &options->interval_s);
  case OPTION_ONCE:
    options->is_once = true;
    return true;
  default:
    return ctl_server_option(&options->server, option, value);
  }
}

int ctl_top(int argc, char **argv) {
  static const struct option table[] = {
      CTL_SERVER_OPTIONS,
      {"help", no_argument, NULL, 'h'},
      {"interval", required_argument, NULL, OPTION_INTERVAL},
      {"once", no_argument, NULL, OPTION_ONCE},
      {NULL, 0, NULL, 0}};
  options_t options = {.interval_s = INTERVAL_S};
  ctl_server_init(&options.server);
  options.server.timeout_s = TIMEOUT_S;
  int status =
      ctl_read_options(argc, argv, usage_text, table, take_option, &options);
  if (status != CTL_GO_ON)
    return status;
  return optind == argc ? run(&options) : ctl_bad_usage(usage_text);
}
