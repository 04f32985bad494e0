/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * query_pool - the pool of threads that ask the database for the HTTP routes:
 * QueryConnections of them, each with a connection of its own, and one more
 * that is kept for short probes (health), which must not wait for queries.
 *
 * A job waits in a bounded queue, is run by a thread of the pool, and is then
 * completed; whoever submits it never waits. A connection is made when it is
 * first needed, kept while it is used, and closed after a minute without work.
 *
 * A circuit breaker of its own is asked before the database is: while it is
 * open a job is refused at once. (The writers have another one: that a reader
 * is answered says nothing about them.) It hears of what is the connection's
 * fault: that the database cannot be reached, is lost, says nothing
 * at all, or says that it cannot work (classes 08, 53, 57, 58, XX). A query
 * that is slow, wrong, cancelled or timed out says nothing about the database,
 * so it never opens the breaker; and in the state half-open the probe is a
 * "SELECT 1", never the query itself.
 *
 * A job ends early when its time is over (the server's statement_timeout speaks
 * first, and keeps the connection), when its client has gone, and when the pool
 * is stopped. The connection is dropped then, and the server ends the statement
 * within a second (client_connection_check_interval). libpq's cancel request is
 * not used: it waits for the server without a bound.
 *
 * Threads: start, close, stop and destroy from one thread; submit and usage
 * from any. "run" is called on a thread of the pool, "done" there or in stop.
 */
#ifndef AURORE_DATABASE_QUERY_POOL_H
#define AURORE_DATABASE_QUERY_POOL_H

#include "config/options.h"
#include "database/breaker.h"
#include "database/database.h"
#include "database/leader.h"
#include "database/slots.h"
#include "metrics/metrics.h"

/* Jobs that may wait for each of the connections. */
#define AU_QUERY_QUEUE 16

typedef struct au_query_pool au_query_pool_t;
typedef struct au_query_job au_query_job_t;

/* Asks, with au_query_exec or the functions of database.h; the database is
 * connected. What it found is kept by the job's owner. Returns what the last of
 * those functions returned, "error" too; AU_OK: all is well. */
typedef au_status_t (*au_query_run_t)(au_query_job_t *job,
                                      au_database_t *database,
                                      au_database_error_t *error);

/* The job is over, and may be freed; called once. "status":
 *   AU_OK           run returned AU_OK
 *   AU_INVALID      the server refused: an error of the query, or its time was
 *                   over
 *   AU_UNAVAILABLE  no verdict: the database is away, the breaker is open, the
 *                   time was over, or the client has gone
 *   AU_CLOSED       the pool is being stopped
 *   AU_NOMEM, AU_FENCED, ...: as run returned it */
typedef void (*au_query_done_t)(au_query_job_t *job, au_status_t status);

typedef enum au_query_lane {
  AU_QUERY_NORMAL,
  AU_QUERY_SHORT /* a look that takes no time; on the thread that is kept for
                    these. Its answer is given up when its time is over */
} au_query_lane_t;

struct au_query_job {
  /* Set before submit. */
  au_query_run_t run;
  au_query_done_t done;
  au_query_lane_t lane;
  au_operation_t operation; /* counted as; AU_OPERATION_COUNT: not counted */
  double timeout_s;         /* from submit on; 0: QueryTimeout */
  int peer_fd; /* the client's socket, open until "done"; -1: none */

  /* The pool's. */
  au_query_job_t *next;
  int64_t submitted_ns;
  int64_t deadline_ns;
};

/* "options", "breaker" (that of the readers), "slots" and "leader" (NULL: none)
 * are borrowed until destroy. While the slots are short no job is run. AU_NOMEM
 * or AU_OK; no connection is made yet. */
AU_MUST_CHECK au_status_t au_query_pool_start(const au_options_t *options,
                                              au_breaker_t *breaker,
                                              const au_slots_t *slots,
                                              au_leader_t *leader,
                                              au_query_pool_t **out_query);

/* Takes no more jobs of the normal lane; those it has go on. */
void au_query_pool_close(au_query_pool_t *query);

/* Cancels all that runs, completes every job, ends the threads. Jobs that are
 * submitted afterwards are refused. NULL: nothing. */
void au_query_pool_stop(au_query_pool_t *query);
/* After stop. NULL: nothing. */
void au_query_pool_destroy(au_query_pool_t *query);

/* Takes the job (borrowed until "done", which may come before this returns):
 * AU_PENDING. Otherwise "done" is not called:
 *   AU_FULL         too many jobs wait
 *   AU_UNAVAILABLE  the circuit breaker is open
 *   AU_CLOSED       closed or stopped */
AU_MUST_CHECK au_status_t au_query_pool_submit(au_query_pool_t *query,
                                               au_query_job_t *job);

/* For "run": one simple-query string, within the time that the job has left. */
AU_MUST_CHECK au_status_t au_query_exec(const au_query_job_t *job,
                                        au_database_t *database,
                                        const char *sql,
                                        au_result_t *out_result,
                                        au_database_error_t *error);

/* The same with the rows one by one; see au_database_rows. */
AU_MUST_CHECK au_status_t au_query_rows(const au_query_job_t *job,
                                        au_database_t *database,
                                        const char *sql, au_row_taker_t take,
                                        void *context,
                                        au_database_error_t *error);

typedef struct au_query_pool_usage {
  unsigned active;  /* connections that run a job */
  unsigned idle;    /* connections that do not */
  unsigned waiting; /* jobs */
} au_query_pool_usage_t;

/* At one moment. Any thread. */
au_query_pool_usage_t au_query_pool_usage(au_query_pool_t *query);

#endif
