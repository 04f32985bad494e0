/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * schema - the tables and functions of the schema "aurore": its migrations and
 * the partitions of aurore.event.
 *
 * Threads: as the connection.
 *
 * What the writer of a lane says to the database (text in <> is a literal):
 *
 * At the start and after every doubt: claim the lane. A new lane starts at
 * <oldest>, the sequence number of the spool's oldest event. <owners> are the
 * tokens of this opening of the spool (last) and of those before it that the
 * database may still hold. The answer comes when a backend that still works on
 * this lane has ended, and raises the epoch, so that a batch that is still on
 * its way somewhere can no longer be stored. Asking again after a lost answer
 * is harmless. AU_FENCED: the lane belongs to another copy of the spool.
 *
 *   SELECT next_seq, epoch
 *     FROM aurore.claim(<spool>, <lane>, <owners>, <ends>, <oldest>,
 *                       <may fall back>, <host>)
 *
 * For each batch, as one string and so one transaction (rows <first> to
 * <next> - 1). advance comes first: it takes the lane's row lock, and raises
 * AU_SQLSTATE_FENCED, which ends the string, unless next_seq is <first> and
 * the epoch is <epoch>.
 *
 *   SELECT aurore.advance(<spool>, <lane>, <epoch>, <first>, <next>);
 *   COPY aurore.event (AU_ROW_COLUMNS) FROM STDIN (FORMAT binary);
 *   INSERT INTO aurore.event_count AS c (minute, service, spool_id, lane, n)
 *     VALUES (<minute>, <service>, <spool>, <lane>, <n>), ...
 *     ON CONFLICT (minute, service, spool_id, lane)
 *     DO UPDATE SET n = c.n + excluded.n;
 *   INSERT INTO aurore.dead_letter (event_id, service, event, failure_reason,
 *     sql_state, retry_count, last_attempt_at, spool_id, lane, seq)
 *     VALUES (...), ...
 *
 * An event that is put back from the dead letters (row.h) has a string of its
 * own, since its dead letter decides whether it is stored:
 *
 *   SELECT aurore.advance(<spool>, <lane>, <epoch>, <first>, <first> + 1);
 *   SELECT aurore.store_dead_letter(<dead letter>, <spool>, <lane>, ...);
 *     or, when it was refused,
 *   SELECT aurore.refuse_dead_letter(<dead letter>, <sqlstate>, <reason>);
 *
 * <minute> is ingested_at cut to the minute: counters follow the partitions.
 */
#ifndef AURORE_DATABASE_SCHEMA_H
#define AURORE_DATABASE_SCHEMA_H

#include "database/database.h"

/* The version that this program makes and needs. */
unsigned au_schema_version(void);

/* Brings the schema "aurore" to this program's version, under an advisory lock
 * (several processes may start at once), each migration in a transaction of its
 * own. Costs one small query when there is nothing to do. Needs a connection.
 * AU_INVALID: the role lacks a right (the error names it), or the schema is
 * newer than this program. */
AU_MUST_CHECK au_status_t au_schema_migrate(au_database_t *database,
                                            au_database_error_t *error);

/* Makes the partitions of aurore.event for the days from "first_day" to
 * "last_day" (days since 1970-01-01, UTC) that are missing; at most 1000 days.
 * Safe beside other processes that do the same; never blocks inserts or
 * queries, nor waits long for them (AU_INVALID with 55P03 when something else
 * holds the table). Costs one small query when there is nothing to do. */
AU_MUST_CHECK au_status_t
au_schema_ensure_partitions(au_database_t *database, int64_t first_day,
                            int64_t last_day, au_database_error_t *error);

/* What the error of au_schema_ensure_partitions says while one of the days is
 * being dropped. */
#define AU_SQLSTATE_IN_USE "55006"

/* The day of a time in microseconds since 1970, rounded down. */
int64_t au_schema_day(int64_t us);

#endif
