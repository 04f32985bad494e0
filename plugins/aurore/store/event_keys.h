/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * event_keys - which events of a range of a batch were stored before, under the
 * same id.
 *
 * Of the rows that are stored once (event/row.h) each has a name, and a number
 * below which all events of that name are stored if it is. The database knows
 * how many of a name are (schema/017_event_key.sql, 018_take_event_keys.sql):
 * the rows with a lower number are duplicates. Rows of one name are in order
 * within a lane; so one row of a name tells about all of its rows, and when a
 * range has a name twice, what comes first counts.
 *
 * Threads: one at a time.
 */
#ifndef AURORE_STORE_EVENT_KEYS_H
#define AURORE_STORE_EVENT_KEYS_H

#include "base/bytes.h"
#include "base/status.h"
#include "config/options.h"
#include "database/database.h"
#include "spool/spool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows of one name behind each other, but for rows without a name. */
typedef struct au_event_key {
  au_uuid_t name;
  uint32_t count;  /* one more than the highest number */
  size_t first;    /* row of the slab */
  size_t end;      /* the row after the last */
  int64_t item;    /* of the name among all names, from 1 */
  uint32_t stored; /* of the first key of a name: what the database has */
} au_event_key_t;

typedef struct au_event_keys {
  /* Whose DedupWindow is told, and how long it is; set once. */
  char who[320];
  double window_s;

  au_event_key_t *key; /* by name, then by row, once they are sorted */
  size_t count;
  size_t capacity;
  size_t names;
  size_t from;      /* the range's first row */
  au_bytes_t marks; /* of each row from there on: 1 is a duplicate */
  size_t duplicates;
  int64_t blocked_ns; /* a generation could not be turned then; 0: it could */
} au_event_keys_t;

/* How this host is known to the database, and its DedupWindow: by the name of
 * its first spool, or without a directory, where spools have a new name each
 * time, by its own. All else is zero before. */
void au_event_keys_init(au_event_keys_t *keys, const au_options_t *options,
                        au_spool_t *first);
void au_event_keys_fini(au_event_keys_t *keys);

/* A range begins at the row "from" of the slab. */
void au_event_keys_begin(au_event_keys_t *keys, size_t from);

/* The row has a name. AU_NOMEM or AU_OK. Rows come in order. */
AU_MUST_CHECK au_status_t au_event_keys_add(au_event_keys_t *keys, size_t row,
                                            const au_row_t *parts);

/* After begin and add: finds the duplicates, in an open transaction
 * (au_database_begin) in which "sql" is run first. On AU_OK it stays open, and
 * the rows that are not duplicates must be stored in it. Else as
 * au_database_begin. */
AU_MUST_CHECK au_status_t au_event_keys_take(au_event_keys_t *keys,
                                             const au_slab_t *slab,
                                             au_database_t *database,
                                             au_bytes_t *sql,
                                             au_database_error_t *error);

/* What is known since then: keys->duplicates of the rows are duplicates. */
bool au_event_keys_is_duplicate(const au_event_keys_t *keys, size_t row);

/* Tells the DedupWindow, and begins a new generation if it is time; for who
 * stores no batch. "out_turned" is false when somebody else holds the tables.
 */
AU_MUST_CHECK au_status_t au_event_keys_turn(const au_event_keys_t *keys,
                                             au_database_t *database,
                                             bool *out_turned,
                                             au_database_error_t *error);

#endif
