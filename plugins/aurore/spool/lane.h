/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * lane - one spool and its writer's place in it.
 *
 * The writer takes a batch (which stays in the spool), stores it, and commits
 * it here, which trims the spool and frees the room for new events.
 *
 * Threads: wait, take, commit from the lane's one writer thread; the rest from
 * any thread. Lock order: the spool's write_lock, the lane's lock, the spool's
 * lock; the last two are never held while the disk is waited for.
 */
#ifndef AURORE_SPOOL_LANE_H
#define AURORE_SPOOL_LANE_H

#include "spool/spool.h"
#include "spool/watch.h"

#define AU_LANES_MAX 16

typedef struct au_lane au_lane_t;

/* Opens the lane's spool as "config" says (its on_durable is the lane's). On
 * error the reason is in "error" and nothing is held. */
AU_MUST_CHECK au_status_t au_lane_open(unsigned index,
                                       const au_spool_config_t *config,
                                       au_lane_t **out_lane, char *error,
                                       size_t error_size);
void au_lane_close(au_lane_t *lane);

unsigned au_lane_index(const au_lane_t *lane);

/* The lane's spool; borrowed until close. */
au_spool_t *au_lane_spool(au_lane_t *lane);

/* Events that wait in this lane and are durable. */
uint64_t au_lane_waiting(au_lane_t *lane);

/* How long the oldest event has waited, in nanoseconds; 0: none waits. */
int64_t au_lane_oldest_age_ns(au_lane_t *lane);

/* When events were last committed (monotonic nanoseconds); 0: never. */
int64_t au_lane_drained_ns(const au_lane_t *lane);

typedef enum au_wake {
  AU_WAKE_BATCH,   /* a batch is due: full, old enough, or a flush was asked */
  AU_WAKE_TIMEOUT, /* "deadline_ns" has passed and nothing is due */
  AU_WAKE_STOP     /* au_lane_stop was called, and nothing waits */
} au_wake_t;

/* Waits until a batch is due: "batch_size" durable events wait, or the oldest
 * has waited "drain_interval_ns", or au_lane_flush or au_lane_stop was called
 * while something waited. "deadline_ns" is of the monotonic clock. */
au_wake_t au_lane_wait(au_lane_t *lane, size_t batch_size,
                       int64_t drain_interval_ns, int64_t deadline_ns);

/* Reads the oldest waiting events into the slab, as au_spool_read. Watches of
 * rows that cannot be read are completed with AU_IO. */
AU_MUST_CHECK au_status_t au_lane_take(au_lane_t *lane, size_t max_rows,
                                       size_t max_bytes, au_slab_t *slab);

/* The events before "to" are in the database (or its dead letters, or could
 * not be read and were reported). */
void au_lane_commit(au_lane_t *lane, au_position_t to);

/* See au_buffer_watch; "watch" says which rows. */
AU_MUST_CHECK au_status_t au_lane_watch(au_lane_t *lane, au_watch_t *watch);
bool au_lane_unwatch(au_lane_t *lane, au_watch_t *watch);
/* Completes all watches with AU_CLOSED, and refuses others from now on. */
void au_lane_end_watches(au_lane_t *lane);

/* The database has fallen back: the events from "seq" on wait again, as far as
 * they are kept; as au_spool_rewind. From the writer's thread. */
uint64_t au_lane_rewind(au_lane_t *lane, uint64_t seq);

/* Sleeps until "deadline_ns"; earlier when au_lane_stop is called. true: it was
 * called, now or before. */
bool au_lane_sleep(au_lane_t *lane, int64_t deadline_ns);

bool au_lane_is_stopping(au_lane_t *lane);

/* The lane may take no events until this is called with false: the database
 * knows its spool under another owner. */
void au_lane_set_fenced(au_lane_t *lane, bool is_fenced);
bool au_lane_is_fenced(au_lane_t *lane);

/* The database answers, and refuses the lane's next batch as a whole: since
 * "since_ns" (monotonic; 0: it does not). A lane is blocked when that has
 * lasted for AU_LANE_BLOCKED_NS. */
#define AU_LANE_BLOCKED_NS (60 * AU_NS_PER_S)
void au_lane_set_refused(au_lane_t *lane, int64_t since_ns);
bool au_lane_is_refused(const au_lane_t *lane);
bool au_lane_is_blocked(const au_lane_t *lane, int64_t now_ns);

/* What storing this lane's events last failed with; for people. */
typedef struct au_lane_error {
  int64_t at_us;    /* 0: nothing yet */
  char sqlstate[6]; /* "": there is none */
  char message[256];
} au_lane_error_t;
void au_lane_set_error(au_lane_t *lane, const char *sqlstate,
                       const char *message, int64_t at_us);
/* false: nothing yet, and "out_error" is all zero. */
bool au_lane_last_error(au_lane_t *lane, au_lane_error_t *out_error);

/* Makes every event that waits now due at once. */
void au_lane_flush(au_lane_t *lane);

/* Makes every waiting event due at once; au_lane_wait then returns AU_WAKE_STOP
 * when none is left. */
void au_lane_stop(au_lane_t *lane);

#endif
