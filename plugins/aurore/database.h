/* SPDX-License-Identifier: MIT
 *
 * database - one libpq connection with deadlines, the classes of its errors,
 * and the schema's migrations.
 *
 * Nothing here waits without a bound: every wait ends at its deadline or when
 * the connection's "stop" descriptor becomes readable.
 *
 * Threads: a connection belongs to one thread at a time.
 */
#ifndef AURORE_DATABASE_H
#define AURORE_DATABASE_H

#include "bytes.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct au_database au_database_t;

typedef struct au_database_config {
  const char *conninfo; /* copied */
  double connect_timeout_s;
  double statement_timeout_s;
  int stop_fd; /* eventfd: readable means give up now; -1: none. Borrowed */
  const char *application_name; /* "collectd aurore writer 0"; copied */
} au_database_config_t;

/* Whose fault an error is; decided by SQLSTATE alone. */
typedef enum au_fault {
  AU_FAULT_NONE,
  AU_FAULT_ROW,       /* classes 22, 23, 54: one of the rows */
  AU_FAULT_DATABASE,  /* everything else, and no SQLSTATE at all */
  AU_FAULT_PARTITION, /* 23514 with "no partition of relation" */
  AU_FAULT_FENCED     /* AU_SQLSTATE_FENCED: aurore.advance refused */
} au_fault_t;

#define AU_SQLSTATE_FENCED "AU001"

typedef struct au_database_error {
  au_fault_t fault;
  char sqlstate[6];  /* "" when there is none: the connection itself failed */
  char message[512]; /* one line, without connection string or SQL */
} au_database_error_t;

/* No connection is made yet. AU_NOMEM or AU_OK. */
AU_MUST_CHECK au_status_t au_database_create(const au_database_config_t *config,
                                             au_database_t **out_database);
void au_database_destroy(au_database_t *database);

/* Connects within connect_timeout_s when there is no healthy connection;
 * AU_OK at once when there is one. Refuses a database whose encoding is not
 * UTF8 (the reason is in the error). Sets for the session: statement_timeout,
 * client_encoding UTF8, DateStyle ISO, TimeZone UTC,
 * standard_conforming_strings on, search_path empty but pg_catalog; in a way
 * that also works through pgbouncer in transaction mode (startup parameters
 * only where pgbouncer takes them, else as part of each string). AU_UNAVAILABLE
 * on failure. */
AU_MUST_CHECK au_status_t au_database_connect(au_database_t *database,
                                              au_database_error_t *error);

/* Forgets the connection; the next au_database_connect makes a new one. */
void au_database_disconnect(au_database_t *database);

bool au_database_is_connected(const au_database_t *database);

/* A result that owns its rows as text; free with fini. Only the last
 * statement's rows that returned any are kept. */
typedef struct au_result {
  struct pg_result *pg; /* NULL when no statement returned rows */
} au_result_t;

size_t au_result_rows(const au_result_t *result);
/* Borrowed until fini; NULL for SQL NULL. */
const char *au_result_text(const au_result_t *result, size_t row,
                           unsigned column);
void au_result_fini(au_result_t *result);

/* Sends one simple-query string (one implicit transaction when it has several
 * statements) and reads all of its results within statement_timeout_s and a
 * grace of 5 s. "out_result" may be NULL.
 * AU_OK; else "error" tells, and when the error is not an ordinary one of the
 * server the connection has been dropped. */
AU_MUST_CHECK au_status_t au_database_exec(au_database_t *database,
                                           const char *sql,
                                           au_result_t *out_result,
                                           au_database_error_t *error);

/* One query with text parameters (extended protocol; NULL is SQL NULL). */
AU_MUST_CHECK au_status_t au_database_query(au_database_t *database,
                                            const char *sql, unsigned count,
                                            const char *const *values,
                                            au_result_t *out_result,
                                            au_database_error_t *error);

/* The same with one COPY ... FROM STDIN in the string: when the server asks
 * for it, the pieces are sent in order. The server's verdict on all statements
 * decides. After AU_UNAVAILABLE the outcome is not known: the COMMIT may have
 * happened. */
typedef struct au_piece {
  const void *data; /* borrowed for the call */
  size_t size;
} au_piece_t;
AU_MUST_CHECK au_status_t au_database_copy(au_database_t *database,
                                           const char *sql,
                                           const au_piece_t *pieces,
                                           size_t count,
                                           au_database_error_t *error);

/* Appends 'text' as a quoted SQL literal (standard_conforming_strings on);
 * the text may not hold NUL. */
void au_database_put_literal(au_bytes_t *sql, const char *text, size_t size);
/* Appends '\x...'::bytea. */
void au_database_put_bytea(au_bytes_t *sql, const void *data, size_t size);

/* schema.c: brings the schema "aurore" to this program's version, under an
 * advisory lock (several processes may start at once), each migration in a
 * transaction of its own. A schema newer than this program is refused. */
AU_MUST_CHECK au_status_t au_schema_migrate(au_database_t *database,
                                            au_database_error_t *error);

/* Makes the partitions of aurore.event for the days from "first_day" to
 * "last_day" (days since 1970-01-01, UTC) that are missing. Safe beside other
 * processes that do the same, and beside inserts. */
AU_MUST_CHECK au_status_t
au_schema_ensure_partitions(au_database_t *database, int64_t first_day,
                            int64_t last_day, au_database_error_t *error);

#endif
