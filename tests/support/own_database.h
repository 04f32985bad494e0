/* SPDX-License-Identifier: MIT
 *
 * own_database - each test in a database of its own.
 */
#ifndef SUPPORT_OWN_DATABASE_H
#define SUPPORT_OWN_DATABASE_H

#include "database/schema.h"
#include "support/servers.h"

extern au_database_t *database; /* the superuser's, on the test's own */
extern char own_name[64];
extern char own_role[64]; /* a role that is dropped in the end */
extern char own_conninfo[1024];

/* The fixture. It begins with an empty database. */
void set_up_database(void);
void tear_down_database(void);

/* The names alone; the database is made by create_database. */
void name_database(void);
void create_database(void);
void drop_database(void);

void migrate(au_database_t *with);
void ensure(au_database_t *with, int64_t first, int64_t last);
/* The schema with the partitions of today and "days" before it, as a writer
 * makes them. */
void make_schema(int days);

/* Options for the test's own database, whose waits are short; "options" is
 * the caller's, to finish. */
void init_options(au_options_t *options);

/* As a writer does it: "count" events, and their counter. "accepted", the time,
 * is an SQL expression. */
void store_events(au_database_t *with, const char *accepted,
                  const char *service, int count);

/* A session of the test's own database with a transaction that has run "sql"
 * and stays open; commit ends both. */
PGconn *hold(const char *sql);
void commit(PGconn *session);

/* The answer as a number; of the test's own database. */
long number(const char *sql);
/* Waits until a session of the database waits for a lock. */
void await_lock(void);
/* Ends the sessions whose application_name is like this. */
void end_sessions(const char *name);

#define DAY_2026_11_24 INT64_C(20781)

#endif
