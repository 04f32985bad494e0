/* SPDX-License-Identifier: MIT
 *
 * client - requests to the API, one at a time, over a connection that is kept.
 */
#ifndef AURORECTL_CLIENT_H
#define AURORECTL_CLIENT_H

#include "base/bytes.h"

#include <getopt.h>
#include <stdbool.h>

/* Of an answer, so much is kept. */
#define CTL_ANSWER_MAX ((size_t)4 << 20)

/* Where the API is, and who we are; text is borrowed. */
typedef struct ctl_server {
  const char *url;
  const char *unix_socket;
  const char *token_file;
  const char *ca;
  const char *certificate;
  const char *key;
  double timeout_s;
  bool is_anonymous;      /* no token, whoever has one */
  const char *pinned_key; /* as libcurl takes it: https is believed by this key
                             alone, whatever the certificate says */
} ctl_server_t;

/* The options that say so, for a table of getopt_long, and their values. */
enum {
  CTL_OPTION_URL = 256,
  CTL_OPTION_UNIX,
  CTL_OPTION_TOKEN,
  CTL_OPTION_CA,
  CTL_OPTION_CERTIFICATE,
  CTL_OPTION_KEY,
  CTL_OPTION_TIMEOUT,
  CTL_OPTION_OWN /* a command's own begin here */
};
#define CTL_SERVER_OPTIONS                                                     \
  {"url", required_argument, NULL, CTL_OPTION_URL},                            \
      {"unix-socket", required_argument, NULL, CTL_OPTION_UNIX},               \
      {"token-file", required_argument, NULL, CTL_OPTION_TOKEN},               \
      {"ca", required_argument, NULL, CTL_OPTION_CA},                          \
      {"cert", required_argument, NULL, CTL_OPTION_CERTIFICATE},               \
      {"key", required_argument, NULL, CTL_OPTION_KEY}, {                      \
    "timeout", required_argument, NULL, CTL_OPTION_TIMEOUT                     \
  }
#define CTL_SERVER_HELP                                                        \
  "  --url URL            of the server (http://127.0.0.1:3000)\n"             \
  "  --unix-socket PATH   its socket\n"                                        \
  "  --token-file FILE    whose first word is the token (or AURORE_TOKEN)\n"   \
  "  --ca FILE            whom to believe with https\n"                        \
  "  --cert FILE          our certificate, and\n"                              \
  "  --key FILE           its key\n"                                           \
  "  --timeout SECONDS    of one request (60)\n"

/* The server on this machine, or that of AURORE_URL. */
void ctl_server_init(ctl_server_t *server);
/* Takes an option of the table; false: it is another one's, or wrong. */
bool ctl_server_option(ctl_server_t *server, int option, const char *value);

typedef struct ctl_client ctl_client_t;

/* Borrows "server" until destroy. NULL: it has said why. */
ctl_client_t *ctl_client_create(const ctl_server_t *server);
void ctl_client_destroy(ctl_client_t *client);

/* Ends a request, without an answer, when "is_over" says so, which is asked
 * about once a second and when a signal has come; "context" is borrowed. */
void ctl_client_abort_when(ctl_client_t *client, bool (*is_over)(void *context),
                           void *context);

typedef struct ctl_answer {
  long status;        /* 0: there is none; "error" says why */
  bool is_refused;    /* nobody listens there */
  long retry_after_s; /* 0: the server does not say */
  au_bytes_t body;    /* NUL-terminated by ctl_answer_text */
  char error[256];
} ctl_answer_t;

/* Frees what an answer holds. All zero is an empty one. */
void ctl_answer_fini(ctl_answer_t *answer);
/* What the server says is wrong ("message"), its status, or why there is no
 * answer; valid until fini. */
const char *ctl_answer_text(ctl_answer_t *answer);

/* Sends a request and waits for its answer. "path" begins with a slash;
 * "headers" are whole lines, ended by NULL; "body" may be NULL. The answer is
 * emptied first. */
void ctl_client_ask(ctl_client_t *client, const char *method, const char *path,
                    const char *const *headers, const void *body, size_t size,
                    ctl_answer_t *answer);

/* Adds a text to a path, percent-encoded. */
void ctl_put_escaped(au_bytes_t *path, const char *text);

/* Whether the request may succeed when it is sent again as it is: there was no
 * answer, or the server has no room or is in trouble. */
bool ctl_answer_is_temporary(const ctl_answer_t *answer);

/* The exit status for an answer that is no success. */
int ctl_answer_exit(const ctl_answer_t *answer);

#endif
