/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * writer - the thread that empties one lane into the database: connect, claim
 * the lane, take a batch, store it, trim; and what to do when any of these
 * fails.
 *
 *        .--> connect -> migrate -> claim --.        claim: read the watermark
 *        |                                  v        FOR UPDATE, which waits
 *     back off <--- database's fault --- store       for a backend that is
 *        ^                                  |        still finishing
 *        '------- connection lost ----------'
 *
 * A row's fault never backs off: the range is halved until the row is alone
 * (batch.h). Everything else keeps the batch, counts for the circuit breaker
 * and backs off with full jitter until that is open; from then on the breaker
 * says when one of the lanes may probe. After any doubt the watermark decides.
 *
 * Threads: start and stop from one thread; the questions from any.
 */
#ifndef AURORE_STORE_WRITER_H
#define AURORE_STORE_WRITER_H

#include "config/options.h"
#include "database/breaker.h"
#include "database/leader.h"
#include "database/slots.h"
#include "spool/lane.h"

typedef struct au_writer au_writer_t;

typedef struct au_writer_config {
  const au_options_t *options; /* borrowed until stop */
  au_lane_t *lane;             /* borrowed until stop */
  au_lane_t *first_lane;       /* by which the host is known; NULL: "lane" */
  au_breaker_t *breaker;       /* borrowed until stop; the writers' */
  au_slots_t *slots;           /* the same; NULL: none */
  au_leader_t *leader;         /* borrowed until stop; all writers' */
  int abort_fd; /* eventfd: readable means give up now; borrowed until stop */
  /* Called by the writer's thread, with no lock held, whenever it has reached
   * the database and claimed its lane: the first time, and after each doubt.
   * May be NULL. */
  void (*reached)(void);
} au_writer_config_t;

/* Starts the thread of a lane; "config" is copied, what it points to borrowed
 * until destroy. AU_NOMEM: no memory or no thread, and nothing is held. */
AU_MUST_CHECK au_status_t au_writer_start(const au_writer_config_t *config,
                                          au_writer_t **out_writer);

/* Waits until the writer has ended by itself: the lane was stopped
 * (au_lane_stop) and is empty, or abort_fd became readable (which ends every
 * wait of a lane that was stopped; of another one it is seen after the wait).
 * false when "deadline_ns" (monotonic) passes first. */
bool au_writer_join(au_writer_t *writer, int64_t deadline_ns);

/* Frees; only after au_writer_join has returned true. */
void au_writer_destroy(au_writer_t *writer);

/* Whether it has a connection to the database. Any thread. */
bool au_writer_is_connected(const au_writer_t *writer);

#endif
