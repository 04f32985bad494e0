/* SPDX-License-Identifier: MIT
 *
 * spools - what the tests of a spool's worse days share: a directory of their
 * own, rows that say their number, readers, and ears for what is told.
 *
 * One spool at a time.
 */
#ifndef SUPPORT_SPOOLS_H
#define SUPPORT_SPOOLS_H

#include "base/log.h"
#include "spool/segment.h"
#include "spool/spool.h"

#include <stdatomic.h>
#include <stdbool.h>

#define SEGMENT_BYTES 8192
#define HEADER_BYTES 4096

/* Made by setup, removed by teardown; both are for a checked fixture. */
extern char directory[64];
extern au_usage_t usage;
void setup(void);
void teardown(void);

/* Counts the files whose name contains "part"; removes them when asked to. */
int files(const char *part, bool remove);
/* Whether the name of the open file ends so. */
bool is_named(int fd, const char *end);

/* A spool in the directory, of durability "commit". A NULL io is the system's.
 */
au_status_t try_open(const au_io_t *io, uint64_t segment_bytes,
                     au_spool_t **spool);
au_spool_t *open_spool(const au_io_t *io, uint64_t segment_bytes);
/* The same for what else a configuration has: the directory, the durability and
 * "usage" are put into it. */
au_spool_t *open_configured(au_spool_config_t config);
/* Makes a spool of rows 1 to "rows", each a group by itself. */
void make_spool(uint64_t rows, uint32_t size, uint64_t segment_bytes);

/* Appends rows of "size" bytes, which begin with their value and are filled
 * with value % 251 + 1, as one request, and waits for the answer. */
au_status_t append(au_spool_t *spool, uint64_t value, size_t count,
                   uint32_t size);
/* Set while the thread is in the spool's append. */
extern _Thread_local bool is_in_spool;
/* Of their frames. */
uint64_t group_size(size_t rows, uint32_t size);

/* What a reader got. */
typedef struct seen {
  uint64_t value[4096];
  size_t count;
  uint64_t passed; /* numbers that no row was read for */
  int failures;    /* reads to be tried again */
} seen_t;

/* Reads all that is there, in batches of "max_rows"; trims when asked to. What
 * cannot be read is tried "patience" times. */
void read_all(au_spool_t *spool, size_t max_rows, bool trim, int patience,
              seen_t *seen);
/* The values from "first" on, without a gap, and nothing else. */
void check_values(const seen_t *seen, uint64_t first, uint64_t count);
/* Appends rows "first" to "last", each a request by itself, reads them, and
 * trims the spool up to there. */
void store_rows(au_spool_t *spool, uint64_t first, uint64_t last,
                uint32_t size);
/* Ranges that were reported. */
uint64_t damaged(void);

/* The number of the nth segment, 1 being the oldest and -1 the newest. Numbers
 * are left out: when a rotation does not wait for the segment that is made
 * ahead of it, that one is never used. */
uint64_t nth_segment(int n);
uint64_t newest_segment(void);
/* Of the segment's file; "prefix" is "damaged-" when it was set aside. */
void segment_path(uint64_t number, const char *prefix, char path[128]);
void overwrite(uint64_t number, uint64_t offset, uint8_t byte, size_t size);
void flip(uint64_t number, uint64_t offset, uint8_t bits);

/* From now on notices are counted by severity, and lines of the log. */
extern int notices[3];
extern int lines;
void count_what_is_told(void);
void await_notices(au_severity_t severity, int count);

/* Nothing tells when the keeper has done its work but the files it leaves and
 * the calls it made: between two looks. */
void pause_briefly(void);
void await_calls(atomic_int *calls, int count);

#endif
