/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * schema - the tables and functions of the schema "aurore": its migrations and
 * the partitions of aurore.event.
 *
 * Threads: as the connection.
 */
#ifndef AURORE_DATABASE_SCHEMA_H
#define AURORE_DATABASE_SCHEMA_H

#include "database/database.h"

/* Brings the schema "aurore" to this program's version, under an advisory lock
 * (several processes may start at once), each migration in a transaction of its
 * own. Costs two small queries when there is nothing to do. What a newer
 * release has added to this version is no trouble. Needs a connection.
 * AU_INVALID: the role lacks a right (the error names it), or the schema has a
 * version above this program's, which knows nothing of what it finds. */
AU_MUST_CHECK au_status_t au_schema_migrate(au_database_t *database,
                                            au_database_error_t *error);

/* What there is of the schema, without a change to it. */
typedef struct au_schema_look {
  long version;     /* of the database; 0: there is no schema */
  long known;       /* the one of this program */
  unsigned missing; /* migrations of this program that the database lacks */
} au_schema_look_t;

/* AU_INVALID: the role may not read it. Needs a connection. */
AU_MUST_CHECK au_status_t au_schema_look(au_database_t *database,
                                         au_schema_look_t *out,
                                         au_database_error_t *error);

/* Makes the partitions of aurore.event for the days from "first_day" to
 * "last_day" (days since 1970-01-01, UTC) that are missing; at most 1000 days.
 * Safe beside other processes that do the same; never blocks inserts or
 * queries, nor waits long for them (AU_INVALID with 55P03 when something else
 * holds the table). Costs one small query when there is nothing to do. */
AU_MUST_CHECK au_status_t
au_schema_ensure_partitions(au_database_t *database, int64_t first_day,
                            int64_t last_day, au_database_error_t *error);

/* Sees to it that the events of a day can be stored, whatever is there of its
 * partition. "out_table" is "" when aurore.event takes them. While the day's
 * partition is half detached, PostgreSQL makes no other one; then it is the
 * name of that partition, quoted for SQL, for a transaction that begins with
 * aurore.hold_leaving. Otherwise as au_schema_ensure_partitions. */
#define AU_TABLE_SIZE 288 /* two names, all of quotes */
AU_MUST_CHECK au_status_t au_schema_make_day(au_database_t *database,
                                             int64_t day,
                                             char out_table[AU_TABLE_SIZE],
                                             au_database_error_t *error);

/* The day of a time in microseconds since 1970, rounded down. */
int64_t au_schema_day(int64_t us);

#endif
