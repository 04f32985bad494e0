/* SPDX-License-Identifier: MIT
 *
 * recorder - the system's functions, with a record of all that changes the
 * directory of a spool, and with calls that fail on demand.
 *
 * The spool's own threads call at the same time; each call and its line in the
 * record are one step. One recorder at a time: the table of functions has no
 * place for a context.
 *
 * Threads: any; start and stop while no spool is open.
 */
#ifndef FAULTS_RECORDER_H
#define FAULTS_RECORDER_H

#include "base/io.h"
#include "faults/disk.h"

#define RECORDER_FAULTS_MAX 4

typedef struct recorder_config {
  const disk_t *disk; /* what the directory holds at the start; borrowed */
  disk_record_t *record;
  /* The numbers of the changing calls, from 1 on, that fail, and those of the
   * syncs alone. */
  size_t fault[RECORDER_FAULTS_MAX];
  size_t faults;
  size_t sync_fault[RECORDER_FAULTS_MAX];
  size_t sync_faults;
} recorder_config_t;

extern const au_io_t recorder_io;

void recorder_start(const recorder_config_t *config);
void recorder_stop(void);

/* Notes what the program did, at this place in the order of calls. */
void recorder_mark(int mark, uint64_t value);

/* The next mark of the record from number "*place" on, while others go on
 * recording; moves the place behind it. false: there is none. */
bool recorder_next_mark(size_t *place, disk_op_t *out_mark);

/* Waits (at most a fifth of a second) until the directory has been synced
 * after the last name was removed, and no new segment is under way. */
void recorder_settle(void);

#endif
