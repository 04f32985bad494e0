/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * private - the spool as its own files see it. They call each other in one
 * direction:
 *
 *   spool → recover, read, commit, keeper → segments → tidy, trouble → spares
 *
 * Lock order: write_lock, tidy_lock, lock. Only whoever holds write_lock writes
 * to the active segment: the committer with durability "commit", else whoever
 * appends. Only whoever holds tidy_lock writes the state and deletes segments.
 * Nothing that waits for the disk is done under "lock".
 */
#ifndef AURORE_SPOOL_PRIVATE_H
#define AURORE_SPOOL_PRIVATE_H

#include "spool/segment.h"
#include "spool/spool.h"

#include <pthread.h>

/* Rows that are written and synced together. */
typedef struct au_group {
  au_bytes_t frames; /* numbered and sealed when written */
  uint64_t count;
  unsigned waiters;
  au_waiter_t *first; /* in the order of append */
  au_waiter_t *last;
} au_group_t;

struct au_spool {
  /* Immutable after open. */
  au_store_t store;
  au_durability_t durability;
  int64_t sync_interval_ns;
  uint64_t segment_bytes;
  int64_t keep_ns;     /* for which stored segments are kept; 0: they are not */
  uint64_t keep_bytes; /* at most so much of them */
  uint64_t max_bytes;  /* of usage->bytes and the spares together */
  /* No row before it is kept, whatever the files hold. Its offset is unused. */
  au_position_t floor;
  au_usage_t *usage;
  void (*on_durable)(void *context);
  void *context;
  int lock_fd;    /* held with flock; -1 in memory */
  bool recovered; /* the directory is ours and has been read */

  pthread_mutex_t write_lock; /* protects: the next three */
  au_segment_t *active;       /* the newest in the list; NULL: none yet */
  uint64_t write_offset;      /* in the active segment */
  au_group_t writing;         /* of append itself; memory is used again */

  pthread_mutex_t tidy_lock;
  uint64_t disk_full_seen; /* under tidy_lock: of usage->disk_full */

  pthread_mutex_t lock;  /* protects: all below */
  pthread_cond_t work;   /* the committer: a group forms, or stop */
  pthread_cond_t upkeep; /* the keeper: something to do, or stop */
  pthread_cond_t idle;   /* whoever waits for the committer to finish */
  au_group_t pending;
  au_bytes_t spare;      /* memory for the next pending group */
  uint64_t next_number;  /* of the next segment to make */
  bool committing;       /* a group is being written */
  unsigned group_target; /* a group of fewer waiters may wait for more */
  bool closed;
  bool stop;
  uint64_t durable_seq; /* the next number to be given */
  uint64_t bytes;       /* between begin and the end, footers too */
  au_position_t begin;
  /* List of the segments that may hold rows; those before that of "begin" are
   * kept for a database that falls back. */
  au_segment_t *oldest;
  au_segment_t *newest;   /* == active once there is one */
  au_segment_t *prepared; /* made ahead, not in the list yet */
  au_segment_t *trimmed;  /* to be deleted by the keeper, or made spares */
  au_segment_t *spares;   /* see spares.h */
  unsigned spare_count;   /* of them, and of those on their way there */
  bool want_prepared;
  _Atomic bool prepare_failed; /* logged */
  _Atomic bool state_failed;   /* logged */
  _Atomic bool let_go;         /* of what was kept, on a full disk: logged */
  bool synced_dirty; /* durability "interval": written since the last sync */
  au_spool_state_t state;
  bool state_dirty;
  _Atomic(const char *) trouble; /* also read without the lock */

  pthread_t committer;
  pthread_t keeper_thread;
  bool has_committer;
  bool has_keeper;

  /* The writer's own (the thread that reads and trims). */
  au_cursor_t cursor;
  int read_fd;            /* -1: none */
  uint64_t read_number;   /* of the segment that "read_fd" reads */
  unsigned read_failures; /* in a row */
  /* Damage before this place has been logged. */
  uint64_t aside_segment;
  uint64_t aside_offset;
};

#endif
