/* SPDX-License-Identifier: MIT
 *
 * clients - what the tests of the connection share: clients of the test server,
 * statements that run in the background, rows to copy.
 */
#ifndef SUPPORT_CLIENTS_H
#define SUPPORT_CLIENTS_H

#include "database/breaker.h"
#include "support/big_endian.h"
#include "support/servers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

/* A name that no other test program uses. */
const char *unique_name(const char *what);

/* Connecting fails; returns why. */
au_database_error_t refused(const char *conninfo, double timeout_s);

void assert_says(const au_database_error_t *error, const char *part);

/* A socket of 127.0.0.1 that takes connections and never says a word, or, not
 * listening, refuses them; and how to connect to it. */
int make_socket(bool listening, char conninfo[64]);

/* A breaker that lets nothing pass, until close_breaker. */
au_breaker_t *make_open_breaker(void);
void close_breaker(au_breaker_t *breaker);

/* Strings that a quoting function may get wrong. */
extern const char *const texts[11];
/* That au_database_put_literal and _bytea do not. */
void assert_comes_back(au_database_t *database, const char *text);

/* A database with the opposite of each setting. */
void make_contrary_database(const char *name);

/* That each setting is as the writer needs it. */
void assert_settings(au_database_t *database);

/* "count" rows of one int4 as COPY binary, the whole of it. */
au_bytes_t make_copy(uint32_t count, uint32_t bad);

#define NO_BAD UINT32_MAX

/* A statement in a thread of its own, so that the test can do something to the
 * server meanwhile. */
typedef struct background {
  au_database_t *database;
  const char *sql;
  const au_piece_t *piece;
  au_status_t status;
  au_database_error_t error;
  pthread_t thread;
  long pid; /* of its backend */
} background_t;

/* Starts it and waits until its backend is at "wait_event". */
void start_background(background_t *background, au_database_t *watcher,
                      const char *wait_event);

void join_background(background_t *background);

void await_end_of_backend(au_database_t *watcher, long pid);

#endif
