/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * breaker - the circuit breaker in front of the database, and the backoff
 * between attempts.
 *
 *              "failures" in a row            a probe succeeded
 *   CLOSED ---------------------------> OPEN ------------------> HALF_OPEN
 *     ^                                ^   |                      |   |
 *     |                                |   | "successes" is 1     |   |
 *     |                                '---|---- a probe failed --'   |
 *     '------------------------------------+--------------------------'
 *                                         "successes" probes in a row
 *
 * While it is not closed one attempt at a time is allowed, the probe: in OPEN
 * one each "timeout", and failed probes change nothing; in HALF_OPEN at once,
 * so that a database that is back gets its events. Whoever is allowed gets a
 * permit and gives it back with exactly one of success, failure or cancel. A
 * permit issued before the last change of state is ignored: a slow attempt that
 * was begun while the breaker was closed does not answer for the probe.
 *
 * Threads: the breaker from any thread; one breaker is shared by all that talk
 * to the same database. A backoff belongs to one thread.
 * Time: monotonic nanoseconds (au_clock_monotonic_ns), given by the caller.
 */
#ifndef AURORE_DATABASE_BREAKER_H
#define AURORE_DATABASE_BREAKER_H

#include "base/status.h"
#include "database/database.h"

#include <stdbool.h>
#include <stdint.h>

/* The numbers are those of the metric circuit_breaker_state. */
typedef enum au_breaker_state {
  AU_BREAKER_CLOSED = 0,
  AU_BREAKER_OPEN = 1,
  AU_BREAKER_HALF_OPEN = 2
} au_breaker_state_t;

typedef struct au_breaker au_breaker_t;

/* Tells a change of state. Called without a lock held, by the thread whose call
 * changed the state or by one that is delivering an earlier change; never twice
 * at once, and always in the order of the changes, so that the last one
 * delivered is the state. "failures" is the number of failures in a row. */
typedef void (*au_breaker_change_t)(au_breaker_state_t from,
                                    au_breaker_state_t to, unsigned failures,
                                    void *context);

typedef struct au_breaker_config {
  unsigned failures;  /* at least 1 */
  unsigned successes; /* at least 1 */
  int64_t timeout_ns; /* between two probes */
  /* Not 0: each of those times is drawn evenly from 3/4 of it to all of it, so
   * that hosts that lost the database together do not probe it together. */
  uint64_t jitter_seed;
  au_breaker_change_t change; /* may be NULL */
  void *context;              /* of "change"; borrowed */
} au_breaker_config_t;

/* AU_NOMEM or AU_OK. It starts closed. */
AU_MUST_CHECK au_status_t au_breaker_create(const au_breaker_config_t *config,
                                            au_breaker_t **out_breaker);
/* No other thread may be using it. */
void au_breaker_destroy(au_breaker_t *breaker);

typedef struct au_permit {
  uint64_t generation;
  bool probe;
} au_permit_t;

/* May an attempt be made now? false: not before "*out_retry_ns" (later than
 * "now_ns"); ask again then. */
AU_MUST_CHECK bool au_breaker_allow(au_breaker_t *breaker, int64_t now_ns,
                                    au_permit_t *out_permit,
                                    int64_t *out_retry_ns);

/* Whether an attempt would at least not be refused because the breaker is open;
 * for those who would rather be refused at once than wait for their turn. */
bool au_breaker_may_allow(au_breaker_t *breaker, int64_t now_ns);

/* The attempt did what it was made for. */
void au_breaker_success(au_breaker_t *breaker, au_permit_t permit);

/* The attempt failed because of the database. "wall_us" is the time of day, and
 * "error" (copied; NULL: not known) the reason, for those who ask when and why
 * it last failed. */
void au_breaker_failure(au_breaker_t *breaker, au_permit_t permit,
                        int64_t now_ns, int64_t wall_us,
                        const au_database_error_t *error);

/* The database has answered and taken nothing, which is no fault of its own;
 * "error" is kept as by au_breaker_failure. A probe has succeeded: the database
 * is there. */
void au_breaker_refused(au_breaker_t *breaker, au_permit_t permit,
                        int64_t wall_us, const au_database_error_t *error);

/* The attempt was not made, or shows neither (a stop, one step of several). */
void au_breaker_cancel(au_breaker_t *breaker, au_permit_t permit);

/* One of those that use the breaker has something that the database would not
 * take ("owes"), or has no more: while one has, it is what must be tried, and
 * an attempt of less (a claim) shows nothing. "*reported" is what it last
 * said; false at first, and at its end. */
void au_breaker_owe(au_breaker_t *breaker, bool *reported, bool owes);
bool au_breaker_is_owed(au_breaker_t *breaker);

typedef struct au_breaker_snapshot {
  au_breaker_state_t state;
  unsigned failures;       /* in a row; 0 after a success */
  unsigned successes;      /* of probes in a row; 0 unless half-open */
  int64_t last_failure_us; /* time of day; 0: never */
} au_breaker_snapshot_t;

/* Its state at one moment. Any thread. */
au_breaker_snapshot_t au_breaker_snapshot(au_breaker_t *breaker);

/* The reason of the last failure, and its time of day; 0: there was none. */
int64_t au_breaker_last_error(au_breaker_t *breaker,
                              au_database_error_t *out_error);

/* As the API names it: "CLOSED", "OPEN", "HALF_OPEN". */
const char *au_breaker_state_text(au_breaker_state_t state);

/* How long to wait before the next attempt: exponential with full jitter. The
 * n-th wait in a row is drawn evenly from 0 to min(max, min * 2^(n-1)), so that
 * writers that failed together do not come back together. */
typedef struct au_backoff {
  int64_t min_ns;
  int64_t max_ns;
  int64_t ceiling_ns; /* of the next wait */
  uint64_t random;    /* state of the generator */
} au_backoff_t;

/* "seed": any number that differs from writer to writer. */
void au_backoff_init(au_backoff_t *backoff, int64_t min_ns, int64_t max_ns,
                     uint64_t seed);

/* The next wait in nanoseconds, at least 1 ms. */
int64_t au_backoff_next(au_backoff_t *backoff);

/* After a success: begin at the minimum again. */
void au_backoff_reset(au_backoff_t *backoff);

#endif
