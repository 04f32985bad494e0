/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * spool - a durable FIFO of rows in segment files: append a group, wait until
 * it is durable, read a range, trim.
 *
 * Every row has a sequence number; numbers are given without gaps in the order
 * of append. A segment is
 *
 *   | header | frame frame ... footer | frame ... footer | 0 0 0 ...
 *
 * where a frame is one row after a small header, and a footer ends each group
 * of frames that were written (and synced) together. Only groups with their
 * footer were acknowledged: what follows the last footer is a torn tail
 * and a normal end of data. The checksum of a frame (CRC32C over its header
 * and row) is mixed with the segment's random salt, so that bytes of an older
 * file in the same blocks never pass for new ones.
 *
 *         kept     trimmed          durable            written
 *          v          v                v                  v
 *   =======|~~~~~~~~~~|~~~~~~~~~~~~~~~~|------------------|
 *    gone    stored      waiting         being synced
 *
 * Rows that are stored stay for a while, in whole segments, so that they can be
 * stored again when the database falls back to an earlier time. They take room
 * from nobody: they count in no bound but their own, and go first when the disk
 * is full.
 *
 * The files of segments that are gone become new segments. Their blocks are
 * written already, so a sync has rows to write and no bookkeeping of the file
 * system's; and the salt says which of their bytes are of this life.
 *
 * Without a directory the segments are memory files (memfd_create): the same
 * code, never synced, gone with the process.
 *
 * Threads: append, usage and trouble from any thread; read and trim from the
 * one writer of the lane. With durability "commit" or "interval" a committer
 * thread of the spool writes and syncs; with "memory" append writes itself.
 * A failed sync is never tried again on the same file: the group goes to a new
 * segment, and if that fails too its rows are refused (AU_IO).
 */
#ifndef AURORE_SPOOL_SPOOL_H
#define AURORE_SPOOL_SPOOL_H

#include "base/io.h"
#include "base/status.h"
#include "base/uuid.h"
#include "config/durability.h"
#include "event/row.h"
#include "spool/state.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct au_spool au_spool_t;

/* Completed once, when a group that was AU_PENDING is durable (AU_OK) or
 * refused (AU_IO, AU_NOMEM), from the committer thread with no lock held; it
 * may not block. The memory is the caller's; it is not touched after "done". */
typedef struct au_waiter {
  void (*done)(struct au_waiter *waiter, au_status_t status);
  struct au_waiter *next; /* private to the spool while pending */
  uint64_t bytes;         /* private to the spool: of its frames */
  /* Where the rows are, once the append has succeeded. */
  struct au_lane *lane; /* au_buffer_append sets it */
  uint64_t count;
  uint64_t end_seq; /* the number after the last one's */
} au_waiter_t;

/* The room in use, summed over the spools that share a bound. The caller of
 * append adds the rows and their frames before the call, and takes them off
 * again when the call is refused; the spool itself adds what recovery found
 * and its footers, and takes off what is trimmed or refused later. */
typedef struct au_usage {
  _Atomic uint64_t events;
  _Atomic uint64_t bytes;
  /* Not a bound: how often a segment could not be made for want of disk; the
   * spools let go of what they keep when it changes. */
  _Atomic uint64_t disk_full;
  /* Nor this: what the spares of all spools take of the disk. */
  _Atomic uint64_t spare_bytes;
} au_usage_t;

/* Rows have left the spool: their room is free again. Any thread. */
static inline void au_usage_give_back(au_usage_t *usage, uint64_t events,
                                      uint64_t bytes) {
  atomic_fetch_sub_explicit(&usage->events, events, memory_order_relaxed);
  atomic_fetch_sub_explicit(&usage->bytes, bytes, memory_order_relaxed);
}

typedef struct au_spool_config {
  /* Borrowed for the life of the process; NULL: au_io_system. */
  const au_io_t *io;
  const char *directory;  /* its own; made if missing; NULL: memory */
  uint64_t segment_bytes; /* 0: 64 MiB in a directory, 8 MiB in memory */
  au_durability_t durability;
  double sync_interval_s;
  /* Stored segments are kept for so long, and at most so many bytes of them.
   * Either 0, or no directory: none is. */
  double keep_s;
  uint64_t keep_bytes;
  /* Of what rows that wait leave of it (usage->bytes) a few segments whose rows
   * are gone take some, to be written again. 0: none is. */
  uint64_t max_bytes;
  au_usage_t *usage; /* borrowed until close */
  /* Called when durable rows have been added, by whoever wrote them, with the
   * spool's write_lock held: may not append. May be NULL. */
  void (*on_durable)(void *context);
  void *context;
} au_spool_config_t;

typedef struct au_slab_row {
  au_row_kind_t kind;
  uint32_t number; /* of AU_ROW_NUMBERED, which is here without its prefix, so
                      that tuples lie behind each other */
  size_t start;    /* of the row in "bytes" */
  uint64_t end_offset; /* where its frame ends in the segment */
} au_slab_row_t;

/* Rows read back, verified, one after the other in AU_ROW_LAYOUT, all from one
 * segment. Their numbers have no gap: row i is number first_seq + i. */
typedef struct au_slab {
  au_bytes_t bytes;
  au_slab_row_t *row; /* row[count].start is where the last row ends */
  size_t count;
  size_t capacity;    /* of "row" */
  uint64_t first_seq; /* == begin.seq, or more when damaged rows were passed */
  au_position_t begin;
  au_position_t end;
} au_slab_t;

/* Frees its memory. All zero is an empty one. */
void au_slab_fini(au_slab_t *slab);

/* Row "index" of the slab; borrowed until the slab is filled again. */
static inline au_row_t au_slab_row(const au_slab_t *slab, size_t index) {
  const au_slab_row_t *row = &slab->row[index];
  size_t size = row[1].start - row->start;
  if (size == 0) /* there may be no bytes at all */
    return (au_row_t){
        .kind = row->kind, .number = row->number, .tuple = (const uint8_t *)""};
  if (row->kind == AU_ROW_NUMBERED)
    return (au_row_t){.kind = row->kind,
                      .number = row->number,
                      .tuple = slab->bytes.data + row->start,
                      .size = size};
  return au_row_split(row->kind, slab->bytes.data + row->start, size);
}

/* The place after the first "rows" rows of the slab (0: its begin). */
au_position_t au_slab_position(const au_slab_t *slab, size_t rows);

/* Opens or makes the spool, recovers, starts the committer. On error the
 * reason is in "error" and nothing is held. When no segment can be made (a full
 * disk) the spool opens all the same, in trouble: what it holds can be read. */
AU_MUST_CHECK au_status_t au_spool_open(const au_spool_config_t *config,
                                        au_spool_t **out_spool, char *error,
                                        size_t error_size);

/* Refuses appends from now on, finishes those that are pending. */
void au_spool_close_intake(au_spool_t *spool);

/* Closes the files and frees; calls au_spool_close_intake first. */
void au_spool_close(au_spool_t *spool);

/* The name of this spool for the database: random, kept with the files. */
au_uuid_t au_spool_id(const au_spool_t *spool);

/* Appends all rows as one group, or none; see au_buffer_append. */
AU_MUST_CHECK au_status_t au_spool_append(au_spool_t *spool,
                                          const au_rows_t *rows,
                                          au_waiter_t *waiter);

/* The oldest row that is not trimmed, and the end of what is durable. */
au_position_t au_spool_begin(au_spool_t *spool);
uint64_t au_spool_durable_seq(au_spool_t *spool);

/* Reads durable rows from "from" on, at most "max_rows" and about "max_bytes"
 * (at least one row), into the slab (cleared first). A damaged range is set
 * aside in a file, counted and logged; its rows are left out, and slab->end is
 * after them (so count may be 0 while end.seq > begin.seq).
 * AU_OK with end.seq == begin.seq: nothing durable is there.
 * AU_NOMEM, AU_IO: try again later; nothing is lost. */
AU_MUST_CHECK au_status_t au_spool_read(au_spool_t *spool, au_position_t from,
                                        size_t max_rows, size_t max_bytes,
                                        au_slab_t *slab);

/* The rows before "to" are safely stored elsewhere: forgets them, but for what
 * is kept. */
void au_spool_trim(au_spool_t *spool, au_position_t to);

/* The oldest row that is kept (the begin's number: none), and the bytes of
 * those that are. Any thread. */
uint64_t au_spool_kept_seq(au_spool_t *spool);
uint64_t au_spool_kept_bytes(au_spool_t *spool);

/* The rows from "seq" on are not stored after all: they wait again, as far as
 * they are kept; the begin is then the oldest that is. Counts them as replayed,
 * and in the usage. Returns the number of the oldest row that waits now. From
 * the thread that reads and trims. */
uint64_t au_spool_rewind(au_spool_t *spool, uint64_t seq);

/* The tokens of this opening and of those before it that the database may
 * hold, now or when it has fallen back, the newest (this one's) last; see
 * spool/state.h. "end_seq" (may be NULL): no number from there on can be stored
 * if the database holds that token. */
uint32_t au_spool_owners(au_spool_t *spool, au_uuid_t owner[AU_OWNERS_MAX],
                         uint64_t end_seq[AU_OWNERS_MAX]);

/* The database holds this opening's token, and agrees about what was stored:
 * the older tokens are of earlier times. */
void au_spool_confirm_owner(au_spool_t *spool);

/* Whether rows at the end that the database has may be missing here: after a
 * power cut with a durability that is not "commit", or because of damage that
 * recovery has reported, until au_spool_confirm_owner. The database may then be
 * ahead of the spool without the spool being an old one. From the thread that
 * confirms. */
bool au_spool_may_fall_back(const au_spool_t *spool);

/* NULL, or why rows are being refused (static text). */
const char *au_spool_trouble(au_spool_t *spool);

#endif
