/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * database_private - what the three files of database share:
 *   database.c          sending, waiting and reading results
 *   database_connect.c  from nothing to a session that is set up
 *   database_error.c    libpq's errors as au_database_error_t
 */
#ifndef AURORE_DATABASE_DATABASE_PRIVATE_H
#define AURORE_DATABASE_DATABASE_PRIVATE_H

#include "database/database.h"

#include <libpq-fe.h>

/* How much longer than the server we wait: its own timeout should speak first,
 * because it keeps the connection. */
#define AU_DATABASE_GRACE_NS INT64_C(5000000000)

/* How long somebody who will send nothing more is waited for. */
#define AU_DATABASE_PEER_GRACE_NS INT64_C(1000000000)

/* Lists of hosts as libpq takes them; NULL: as the connection string says. */
typedef struct au_database_hosts {
  char *host;
  char *hostaddr;
  char *port;
} au_database_hosts_t;

struct au_database {
  char *conninfo;
  char *application_name;
  int64_t connect_timeout_ns;
  int64_t statement_timeout_ns;
  bool async_commit;
  int stop_fd;
  int yield_fd;
  int64_t bound_ns; /* of every wait; 0: none */
  int peer_fd;      /* -1: none */

  au_database_hosts_t all; /* as of the last time that all were tried */
  int only;                /* the one that is connected to; -1: any */
  au_leader_t *leader;     /* chooses "only"; NULL: nobody does */
  bool knows_all;          /* "all" was read, for who follows the leader */

  PGconn *conn; /* NULL: not connected */
  /* A transaction is committed, but the wait for its synchronous standby was
   * cancelled. */
  bool unreplicated;
  bool is_counted;  /* in the gauge of idle connections */
  bool dying;       /* the server has said goodbye while nothing was asked */
  unsigned notices; /* that came on this connection */
  bool pooled;   /* behind a pooler: "prelude" is put in front of each string */
  char *prelude; /* owned; "" on a direct connection */
};

typedef enum au_ready {
  AU_READY,
  AU_READY_TIMEOUT,
  AU_READY_STOP, /* or the peer has gone */
  AU_READY_LOST  /* poll failed, or there is no socket */
} au_ready_t;

/* Waits until the socket is ready for one of "events" (POLLIN, POLLOUT);
 * "*out_events" are those that it is ready for. */
au_ready_t au_database_wait(au_database_t *database, short events,
                            int64_t deadline_ns, short *out_events);

/* A timeout as the server's settings take it: milliseconds, at least 1. */
int au_database_timeout_ms(int64_t timeout_ns);

/* Sends one string without a prelude and reads all results. */
au_status_t au_database_run(au_database_t *database, const char *sql,
                            int64_t timeout_ns, au_result_t *out_result,
                            au_database_error_t *error);

/* What ended a wait, in words; "timeout_ns" is how long it was. */
void au_database_error_wait(au_database_error_t *error, au_ready_t ready,
                            int64_t timeout_ns);

/* Why there is no connection, from libpq's message. With "secret" the names in
 * quotes are left out: when a connection string cannot be read, they may be
 * parts of a password. */
void au_database_error_connect(au_database_error_t *error, const char *message,
                               bool secret);

/* Why a statement failed. */
void au_database_error_result(au_database_error_t *error,
                              const PGresult *result);

#endif
