/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * database - one libpq connection with deadlines, and the classes of its
 * errors.
 *
 * Nothing here waits without a bound: every wait ends at its deadline or when
 * the connection's "stop" descriptor becomes readable. One exception is not in
 * our hands: a host name is looked up by the C library, which has bounds of its
 * own; "hostaddr" in the connection string avoids it.
 *
 * Threads: a connection belongs to one thread at a time.
 *
 * What the functions that talk to the server return:
 *   AU_OK           the server said yes to all of it
 *   AU_INVALID      the server said no: error->sqlstate is set, all of the
 *                   string is rolled back, the connection is still good
 *   AU_FENCED       the same, and the reason is AU_FAULT_FENCED
 *   AU_UNAVAILABLE  no verdict: there is no connection, it was lost, a deadline
 *                   has passed, "stop" was given, or the server warned that it
 *                   has committed without its synchronous standby. What was
 * sent may or may not have been committed. The connection has been dropped
 *   AU_NOMEM        out of memory before anything was sent
 */
#ifndef AURORE_DATABASE_DATABASE_H
#define AURORE_DATABASE_DATABASE_H

#include "base/bytes.h"
#include "base/status.h"
#include "base/uuid.h"
#include "database/leader.h"
#include "database/slots.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct au_database au_database_t;

typedef struct au_database_config {
  const char *conninfo;     /* a libpq connection string or URI; copied */
  double connect_timeout_s; /* for each of the hosts */
  double statement_timeout_s;
  int stop_fd; /* eventfd: readable means give up now; -1: none. Borrowed */
  /* For who only reads: while they are short every wait ends as at a stop.
   * Borrowed; NULL: never. */
  const au_slots_t *slots;
  /* Of several hosts only the one that the writers believe in is connected to;
   * none before they have chosen. Borrowed; NULL: all count. */
  au_leader_t *leader;
  const char *application_name; /* "collectd aurore writer 0"; copied */
  bool async_commit; /* synchronous_commit off, whatever the server says */
} au_database_config_t;

/* Whose fault an error may be, as far as its SQLSTATE tells. */
typedef enum au_fault {
  AU_FAULT_NONE,
  AU_FAULT_ROW,      /* everything else, and 08P01 from a connection that is
                        still good: of a row or of the schema, which only a
                        comparison of rows can tell */
  AU_FAULT_DATABASE, /* the database's own: classes 08, 25, 26, 40, 53, 55, 57,
                        58, and no SQLSTATE at all; never a row's */
  AU_FAULT_SCHEMA,   /* the schema is a newer release's: nothing is stored until
                        somebody upgrades this host */
  AU_FAULT_PARTITION, /* 23514 that names a table and no constraint: no
                         partition takes the row */
  AU_FAULT_FENCED     /* AU_SQLSTATE_FENCED: aurore.claim or .advance refused */
} au_fault_t;

#define AU_SQLSTATE_FENCED "AU001"
#define AU_DATABASE_MESSAGE_SIZE 512
#define AU_DATABASE_NAME_SIZE 64

/* What an error names beside its message; each is "" when it is not named. */
typedef struct au_database_culprit {
  char schema[AU_DATABASE_NAME_SIZE];
  char table[AU_DATABASE_NAME_SIZE];
  char column[AU_DATABASE_NAME_SIZE];
  char constraint[AU_DATABASE_NAME_SIZE]; /* or index */
  uint64_t line; /* of the COPY into aurore.event, from 1; 0: none. A hint: what
                    the server's context says may be wrong */
} au_database_culprit_t;

typedef struct au_database_error {
  au_fault_t fault;
  bool is_connect;  /* there never was a connection */
  char sqlstate[6]; /* "" when there is none: the connection itself failed */
  char message[AU_DATABASE_MESSAGE_SIZE]; /* one line of UTF-8, without
                                             password, SQL or row data */
  au_database_culprit_t culprit;
} au_database_error_t;

/* Fills in an error without a SQLSTATE: the database's fault. */
void au_database_error_set(au_database_error_t *error, const char *format, ...)
    AU_PRINTF(2, 3);

/* The text of an SQL string; NULL when it has failed, and the error says so. */
const char *au_database_text(au_bytes_t *sql, au_database_error_t *error);

/* Whether libpq can read a connection string or URI, which says nothing about
 * what it names. AU_INVALID: it cannot; AU_NOMEM. */
AU_MUST_CHECK au_status_t
au_database_check_conninfo(const char *conninfo, au_database_error_t *error);

/* No connection is made yet. AU_NOMEM or AU_OK. */
AU_MUST_CHECK au_status_t au_database_create(const au_database_config_t *config,
                                             au_database_t **out_database);
void au_database_destroy(au_database_t *database);

/* Connects when there is no healthy connection; AU_OK at once when there is
 * one. It is counted as an idle connection until it is dropped; who runs
 * something counts it as active meanwhile. Of several hosts each has
 * connect_timeout_s. Added to what the connection string does not set itself:
 * keepalives, tcp_user_timeout, and target_session_attrs=read-write, so that
 * after a failover the new primary is found and the old one is left. Refused,
 * with the reason in the error: a database whose encoding is not UTF8, a server
 * older than PostgreSQL 14 (which cannot detach partitions concurrently).
 *
 * The session has a statement_timeout, DateStyle ISO, TimeZone UTC,
 * bytea_output hex, search_path pg_catalog, isolation "read committed", no
 * notices below a warning, and a synchronous_commit that is not "off" unless
 * async_commit asks for that. Behind pgbouncer, which may give every
 * transaction another session, the same settings go in front of each string
 * instead. AU_UNAVAILABLE on failure. */
AU_MUST_CHECK au_status_t au_database_connect(au_database_t *database,
                                              au_database_error_t *error);

/* How many hosts the connection string names, as of the last time that all of
 * them were tried; and which of them is connected to (0 is the first; -1: not
 * known). */
unsigned au_database_hosts(const au_database_t *database);
int au_database_host(const au_database_t *database);

/* From the next connection on only this one of the hosts counts; -1: all do. */
void au_database_use_host(au_database_t *database, int host);

/* Forgets the connection; the next au_database_connect makes a new one. */
void au_database_disconnect(au_database_t *database);

/* As far as libpq knows: it does not look whether the server is still there, as
 * au_database_check does. */
bool au_database_is_connected(const au_database_t *database);

/* Bounds every wait from now on, those of connecting too, beside its own
 * timeout: by "deadline_ns" (monotonic; 0: none), and by the peer of the socket
 * "peer_fd" (-1: none; borrowed until the next call of this). When the peer has
 * gone the wait ends as at a stop; a peer that has only ended its sending may
 * still be reading, and has one more second. */
void au_database_bound(au_database_t *database, int64_t deadline_ns,
                       int peer_fd);

/* Whether the peer of a socket has gone, or has at least ended its sending.
 * Never waits; -1: no. */
bool au_database_is_peer_gone(int peer_fd);

/* Whether the connection is still up, and leads where config.leader says, for
 * one that is idle: a server that went away is noticed only by looking. Drops
 * it when it is not. Never waits. */
bool au_database_check(au_database_t *database);

/* A result that owns its rows as text; free with fini. Only the last
 * statement's rows that returned any are kept. */
typedef struct au_result {
  struct pg_result *pg; /* NULL when no statement returned rows */
} au_result_t;

/* 0 when no statement returned rows. */
size_t au_result_rows(const au_result_t *result);
/* Borrowed until fini; NULL for SQL NULL. */
const char *au_result_text(const au_result_t *result, size_t row,
                           unsigned column);
void au_result_fini(au_result_t *result);

/* Sends one simple-query string (one implicit transaction when it has several
 * statements; no BEGIN or COMMIT in it) and reads all of its results within
 * statement_timeout_s and a grace of 5 s. "out_result" may be NULL; it is
 * filled on AU_OK only. */
AU_MUST_CHECK au_status_t au_database_exec(au_database_t *database,
                                           const char *sql,
                                           au_result_t *out_result,
                                           au_database_error_t *error);

/* The same with a timeout of its own, here and on the server. */
AU_MUST_CHECK au_status_t au_database_exec_within(au_database_t *database,
                                                  double timeout_s,
                                                  const char *sql,
                                                  au_result_t *out_result,
                                                  au_database_error_t *error);

/* The same with the rows given to "take" one by one as they come, so that they
 * are never in memory together. What was taken counts only when AU_OK is
 * returned. */
typedef void (*au_row_taker_t)(const au_result_t *row, void *context);
AU_MUST_CHECK au_status_t au_database_rows(au_database_t *database,
                                           double timeout_s, const char *sql,
                                           au_row_taker_t take, void *context,
                                           au_database_error_t *error);

/* For one statement that may not be in a transaction with others: nothing is
 * put in front of it. Behind pgbouncer the settings of the server's session
 * hold, its statement_timeout included; it is waited for as long as
 * "timeout_s" and the grace. */
AU_MUST_CHECK au_status_t au_database_exec_alone(au_database_t *database,
                                                 double timeout_s,
                                                 const char *sql,
                                                 au_database_error_t *error);

/* Whether another session may answer each time: what a session keeps (a lock,
 * a setting) may not be relied on. */
bool au_database_is_pooled(const au_database_t *database);

/* As au_database_exec with one COPY ... FROM STDIN in the string: when the
 * server asks for it, the pieces are sent in order. The server's verdict on all
 * statements decides. Sending ends early if the server has already refused. */
typedef struct au_piece {
  const void *data; /* borrowed for the call */
  size_t size;
} au_piece_t;
AU_MUST_CHECK au_status_t au_database_copy(au_database_t *database,
                                           const char *sql,
                                           const au_piece_t *pieces,
                                           size_t count,
                                           au_database_error_t *error);

/* A transaction of two strings, for what has to look at an answer in between.
 * The first, after BEGIN: on AU_OK the transaction is open, and one of the two
 * below must follow. Else it is undone, as with a single string. */
AU_MUST_CHECK au_status_t au_database_begin(au_database_t *database,
                                            const char *sql,
                                            au_result_t *out_result,
                                            au_database_error_t *error);
/* The second, with COMMIT behind it; as au_database_copy, or without a COPY in
 * it if "count" is 0. The transaction is over, whatever is returned. */
AU_MUST_CHECK au_status_t au_database_commit(au_database_t *database,
                                             const char *sql,
                                             const au_piece_t *pieces,
                                             size_t count,
                                             au_database_error_t *error);
/* Or no second: AU_OK, or AU_UNAVAILABLE. The transaction is undone. */
AU_MUST_CHECK au_status_t au_database_roll_back(au_database_t *database,
                                                au_database_error_t *error);

/* Appends the text as a quoted SQL literal, whatever
 * standard_conforming_strings is. A text that holds NUL makes "sql" fail. */
void au_database_put_literal(au_bytes_t *sql, const char *text, size_t size);
/* Appends the id in quotes. */
void au_database_put_uuid(au_bytes_t *sql, const au_uuid_t *uuid);
/* Appends the time (microseconds since 1970) as an expression, exactly. */
void au_database_put_time(au_bytes_t *sql, int64_t us);
/* Appends the data as a bytea literal. */
void au_database_put_bytea(au_bytes_t *sql, const void *data, size_t size);

#endif
