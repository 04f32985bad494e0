/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * buffer - the bounded buffer between the request threads and the writers: all
 * lanes together, and the capacity they share.
 *
 * A request goes as one group to one lane: all of its events are taken, or
 * none. Full means: "capacity" events or "max_bytes" of frames wait.
 *
 * Threads: append from any thread; the usage from any thread; one writer
 * thread per lane (lane.h). Lock order: none is held while another is taken.
 */
#ifndef AURORE_SPOOL_BUFFER_H
#define AURORE_SPOOL_BUFFER_H

#include "base/status.h"
#include "event/row.h"
#include "spool/lane.h"
#include "spool/spool.h"

#include <stdint.h>

typedef struct au_buffer au_buffer_t;

typedef struct au_buffer_config {
  const au_io_t *io;     /* NULL: the system's */
  unsigned lanes;        /* 1 to AU_LANES_MAX; they take requests */
  uint64_t capacity;     /* events */
  uint64_t max_bytes;    /* of frames that wait */
  const char *directory; /* NULL: memory; made when missing */
  au_durability_t durability;
  double sync_interval_s;
  /* How long stored events are kept, and how many bytes of all lanes; either 0,
   * or no directory: none. */
  double keep_s;
  uint64_t keep_bytes;
} au_buffer_config_t;

typedef struct au_buffer_usage {
  uint64_t events; /* waiting: accepted and not yet committed */
  uint64_t bytes;  /* of their frames */
  uint64_t capacity;
  uint64_t max_bytes;
  double utilization_percent; /* the larger of the two ratios */
  double oldest_age_s;        /* 0 when nothing waits */
  double since_enqueue_s;     /* since events were last accepted; -1: never */
  double since_drain_s;       /* since events were last committed; -1: never */
  uint64_t kept_bytes;        /* of stored events that are kept */
  uint64_t spare_bytes;       /* of segments that wait to be written again */
  unsigned lanes_fenced;      /* lanes that take no events: see lane.h */
  unsigned lanes_blocked;     /* lanes whose events the database refuses */
} au_buffer_usage_t;

/* Opens every lane (recovers what a directory holds). On error the reason is
 * in "error", and nothing is held. */
AU_MUST_CHECK au_status_t au_buffer_open(const au_buffer_config_t *config,
                                         au_buffer_t **out_buffer, char *error,
                                         size_t error_size);

/* Descriptors that a buffer of so many lanes may have open at a time. */
unsigned au_buffer_descriptors(unsigned lanes, bool is_memory);

/* From now on append and watch return AU_CLOSED; what waits stays readable.
 * Returns after every AU_PENDING append and watch has been completed. */
void au_buffer_close_intake(au_buffer_t *buffer);

/* Closes every lane and frees. No thread may use the buffer any more. */
void au_buffer_destroy(au_buffer_t *buffer);

/* Takes all rows (copies them) or none.
 *  AU_OK       they are as safe as the durability asks: answer now
 *  AU_PENDING  waiter->done is called exactly once, from another thread, maybe
 *              before this call returns; with AU_OK, or AU_IO: not taken
 *  AU_FULL, AU_CLOSED, AU_NOMEM, AU_IO  nothing was taken
 * "waiter" is borrowed until it is done. Counts events_enqueued and
 * events_dropped itself. */
AU_MUST_CHECK au_status_t au_buffer_append(au_buffer_t *buffer,
                                           const au_rows_t *rows,
                                           au_waiter_t *waiter);

/* Watches the rows of an append that has succeeded until they are stored, and
 * asks the writer not to wait for more before it stores them.
 *  AU_OK       they are stored
 *  AU_PENDING  watch->done (spool/watch.h) is called exactly once, from another
 *              thread, maybe before this call returns
 *  AU_CLOSED   au_buffer_close_intake was called
 * "watch" is borrowed until it is done, or au_buffer_unwatch says true; false:
 * it is done already, or about to be. */
AU_MUST_CHECK au_status_t au_buffer_watch(const au_waiter_t *appended,
                                          au_watch_t *watch);
bool au_buffer_unwatch(au_watch_t *watch);

void au_buffer_usage(au_buffer_t *buffer, au_buffer_usage_t *out);

/* Not even one event has room; never waits. */
bool au_buffer_is_full(const au_buffer_t *buffer);

/* Seconds after which a client should try again when the buffer is full: the
 * time to free a tenth of the capacity at the drain rate measured over the
 * last ten seconds, within 1 to 60. */
unsigned au_buffer_retry_after_s(au_buffer_t *buffer);

/* NULL while every lane can take events, else why not (static text). */
const char *au_buffer_trouble(au_buffer_t *buffer);

/* Lanes that need a writer: those of the configuration, and any that an
 * earlier start with more lanes left in the directory. */
unsigned au_buffer_lanes(const au_buffer_t *buffer);
au_lane_t *au_buffer_lane(au_buffer_t *buffer, unsigned index);

/* Wakes every writer to store all that waits now, without waiting for a full
 * batch or for DrainInterval. */
void au_buffer_flush(au_buffer_t *buffer);

#endif
