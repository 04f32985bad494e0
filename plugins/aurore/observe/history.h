/* SPDX-License-Identifier: MIT
 * Part of observe/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * history - a snapshot of the metrics each HistoryInterval: the newest ones in
 * memory, for GET /metrics/history, and, with a HistoryFile, each as a line of
 * that file.
 *
 * At the start the newest ones are read from the file. From then on memory
 * answers, so that no request waits for a disk. A file that cannot be written
 * is logged once, and tried again with the next snapshot; nothing else depends
 * on it.
 *
 * Threads: start and destroy from one thread; put from any, at any time between
 * them. The thread of this module takes the snapshots and writes the file.
 */
#ifndef AURORE_OBSERVE_HISTORY_H
#define AURORE_OBSERVE_HISTORY_H

#include "base/bytes.h"
#include "base/io.h"
#include "base/status.h"
#include "database/breaker.h"
#include "observe/history_point.h"
#include "spool/buffer.h"

/* Kept in memory, of at most AU_HISTORY_LINE_MAX bytes each. */
#define AU_HISTORY_SNAPSHOTS 1000

typedef struct au_history au_history_t;

/* What a snapshot is made of, beside the metrics. */
typedef struct au_history_snapshot {
  au_buffer_usage_t buffer;
  au_breaker_snapshot_t breaker;
} au_history_snapshot_t;

typedef struct au_history_config {
  const au_io_t *io; /* NULL: the system's */
  const char *path;  /* "": memory alone; borrowed until destroy */
  double interval_s;
  uint64_t max_bytes;
  /* Fills in the metrics as they are; false: there are none now, and no
   * snapshot is taken. Called by the thread of this module. */
  bool (*snapshot)(au_history_snapshot_t *out, void *context);
  void *context; /* borrowed until destroy */
} au_history_config_t;

/* Reads the file, and starts the thread. A file that cannot be read is logged,
 * and is no error. AU_NOMEM: nothing was started. */
AU_MUST_CHECK au_status_t au_history_start(const au_history_config_t *config,
                                           au_history_t **out_history);

/* Ends the thread, and frees. NULL is allowed. */
void au_history_destroy(au_history_t *history);

/* Takes a snapshot now; what the thread does each interval. One at a time. */
void au_history_take(au_history_t *history);

/* Calls "visit" with the figures of the snapshots, the newest last; one that
 * has none is left out, and a history that is NULL has none. A lock is held
 * meanwhile, which the next snapshot waits for. */
typedef void (*au_history_visitor_t)(const au_history_point_t *point,
                                     void *context);
void au_history_visit(au_history_t *history, au_history_visitor_t visit,
                      void *context);

/* Appends the newest "limit" snapshots as a JSON array, the newest last. */
void au_history_put(au_history_t *history, size_t limit, au_bytes_t *json);

#endif
