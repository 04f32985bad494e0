/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * retention - the janitor: a task (database/task.h) that sees to it that there
 * is a partition for every day on which events may arrive, and none for days
 * that are older than RetentionDays.
 *
 * It looks at its start, every hour, at RetentionTime, and when it is woken,
 * and makes what is missing from yesterday (events that waited in the spool) to
 * a week ahead, so that a writer finds a missing partition only when somebody
 * removed it or the clock jumped; the writer then makes it itself. It connects
 * for as long as its work takes, so that it holds no connection between.
 *
 * Days are dropped whole, RetentionDays before the day whose RetentionTime has
 * passed, so a drop that was missed is made up for at the next look. Neither
 * inserts nor queries wait for it; it waits for the queries that still use the
 * partition. schema/012_event_leaving.sql has the steps, and what the counters
 * do meanwhile. Several processes may share a database: one of them drops, and
 * the largest RetentionDays counts. A partition that cannot be dropped is
 * passed over, and counted.
 *
 * Threads: start and stop from one thread; wake from any, between the two.
 */
#ifndef AURORE_STORE_RETENTION_H
#define AURORE_STORE_RETENTION_H

#include "base/status.h"
#include "config/options.h"
#include "database/breaker.h"
#include "database/leader.h"
#include "database/slots.h"
#include "spool/buffer.h"

typedef struct au_retention au_retention_t;

/* Borrows all until stop; "options" alone may not be NULL. The day of the
 * oldest event that waits in the buffer is not dropped. A database that is away
 * is no error. AU_NOMEM: not started. */
AU_MUST_CHECK au_status_t au_retention_start(
    const au_options_t *options, au_breaker_t *breaker, const au_slots_t *slots,
    au_leader_t *leader, au_buffer_t *buffer, au_retention_t **out_retention);

/* Ends the thread, whatever it waits for, and frees. NULL: nothing. */
void au_retention_stop(au_retention_t *retention);

/* Look now: the database was reached again, or may have been replaced. */
void au_retention_wake(au_retention_t *retention);

#endif
