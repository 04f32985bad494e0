/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * row - an event as one tuple of COPY aurore.event (...) (FORMAT binary), and
 * many of them.
 *
 * A tuple is laid out as PostgreSQL defines it: int16 number of fields, then
 * for each field int32 length (-1: NULL) and that many bytes. The columns come
 * in the order of AU_ROW_COLUMNS; the first three have a fixed length, so the
 * accept time, the id and the event time are at fixed offsets. timestamptz is
 * microseconds since 2000-01-01; jsonb is a version byte (1) and its text.
 *
 * What a row is besides its tuple is its kind; of some kinds there is a prefix
 * before the tuple:
 *
 *   AU_ROW_EVENT       -          an event under an id that we have made
 *   AU_ROW_REPROCESS   16 bytes   an event that is put back from the dead
 *                                 letters, and the id of its dead letter. It is
 *                                 not stored by COPY (store/dead_letter.h)
 *   AU_ROW_IDENTIFIED  -          an event under an id of its own: it is stored
 *                                 once, however often it comes
 *   AU_ROW_NUMBERED    4 bytes    an event of a request that has a name
 *                                 (event/name.h), and its number in it, big
 *                                 endian: it is stored once, too. Its id is the
 *                                 name and the number
 *
 * To change the columns: raise AU_ROW_LAYOUT and the version of segments
 * (spool/segment.c), and have au_row_put_upgraded bring rows of the layout
 * before up to date, since they wait in spools across the upgrade.
 *
 * Threads: pure; one thread per au_rows_t.
 */
#ifndef AURORE_EVENT_ROW_H
#define AURORE_EVENT_ROW_H

#include "base/bytes.h"
#include "event/event.h"

#define AU_ROW_COLUMNS                                                         \
  "ingested_at, event_id, occurred_at, service, message, metadata"

/* The version of the above. 1: up to release 0.1.0; an event that was put back
 * had the id of its dead letter as a seventh field of its tuple. 2: the first
 * two kinds, as they are now. */
#define AU_ROW_LAYOUT 3

/* Microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's own epoch. */
#define AU_POSTGRES_EPOCH_US INT64_C(946684800000000)

/* What COPY ... (FORMAT binary) starts and ends with. */
#define AU_COPY_HEADER "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
#define AU_COPY_HEADER_SIZE 19
#define AU_COPY_TRAILER "\377\377"
#define AU_COPY_TRAILER_SIZE 2

typedef enum au_row_kind {
  AU_ROW_EVENT,
  AU_ROW_REPROCESS,
  AU_ROW_IDENTIFIED,
  AU_ROW_NUMBERED,
  AU_ROW_KINDS
} au_row_kind_t;

/* The bytes before the tuple. */
static inline size_t au_row_prefix_size(au_row_kind_t kind) {
  if (kind == AU_ROW_REPROCESS)
    return sizeof(au_uuid_t);
  return kind == AU_ROW_NUMBERED ? sizeof(uint32_t) : 0;
}

/* Whether the row has a name by which it is known when it comes again. */
static inline bool au_row_is_stored_once(au_row_kind_t kind) {
  return kind == AU_ROW_IDENTIFIED || kind == AU_ROW_NUMBERED;
}

/* What an integer of the database holds. */
#define AU_ROW_NUMBER_MAX ((uint32_t)INT32_MAX - 1)

/* A row, taken apart. */
typedef struct au_row {
  au_row_kind_t kind;
  au_uuid_t dead_letter_id; /* of AU_ROW_REPROCESS */
  uint32_t number;          /* of AU_ROW_NUMBERED, else 0 */
  const uint8_t *tuple;     /* borrowed */
  size_t size;              /* of the tuple */
} au_row_t;

typedef struct au_row_extent {
  uint32_t size; /* in bytes, with its prefix */
  au_row_kind_t kind;
} au_row_extent_t;

/* The rows of one request, one after the other in "bytes". */
typedef struct au_rows {
  au_bytes_t bytes;
  au_row_extent_t *row;
  size_t count;
  size_t capacity;       /* of "row" */
  au_account_t *account; /* of both; NULL: none. See au_rows_charge */
} au_rows_t;

/* Charges what the rows will hold to the account (borrowed until fini); before
 * the first row. */
void au_rows_charge(au_rows_t *rows, au_account_t *account);

/* Frees the rows. All zero is an empty one. */
void au_rows_fini(au_rows_t *rows);

/* Empties it; keeps memory up to a bound for the next request. */
void au_rows_clear(au_rows_t *rows);

/* The bytes that the event takes as a tuple. */
size_t au_row_size(const au_event_t *event);

/* Encodes the event and appends it. AU_NOMEM: nothing was appended.
 * AU_INVALID: nothing either; the tuple would be longer than 2 GiB. */
AU_MUST_CHECK au_status_t au_rows_append(au_rows_t *rows,
                                         const au_event_t *event);

/* The same for the event of a dead letter, which is put back. */
AU_MUST_CHECK au_status_t au_rows_append_reprocess(
    au_rows_t *rows, const au_event_t *event, const au_uuid_t *dead_letter_id);

/* The same for an event whose id is its own. */
AU_MUST_CHECK au_status_t au_rows_append_identified(au_rows_t *rows,
                                                    const au_event_t *event);

/* The same for event "number" of a request that may have a name, which is known
 * only when all of them have been read: then one of the next two follows. Until
 * then its id is the one it has without a name. */
AU_MUST_CHECK au_status_t au_rows_append_numbered(au_rows_t *rows,
                                                  const au_event_t *event,
                                                  uint32_t number);

/* The request has a name: gives each numbered row its id (event/name.h), and
 * sets ids[i] for each such row i. */
void au_rows_set_name(au_rows_t *rows, const au_uuid_t *name, au_uuid_t *ids);
/* It has none: numbered rows become rows of AU_ROW_EVENT. */
void au_rows_drop_numbers(au_rows_t *rows);

/* Takes a row of "size" bytes apart, which has at least its prefix. */
au_row_t au_row_split(au_row_kind_t kind, const uint8_t *row, size_t size);

/* Of a row that is stored once: what it goes by, which is its id less its
 * number. All rows of one request have the same; that of a row with an id of
 * its own is the id. */
au_uuid_t au_row_name(const au_row_t *row);

/* Appends a row of layout 1 to "rows" as one of AU_ROW_LAYOUT, and returns its
 * kind. Out of memory: rows->failed. */
au_row_kind_t au_row_put_upgraded(au_bytes_t *rows, const uint8_t *row,
                                  size_t size);

/* Reads a tuple back; the slices of "out_event" point into "tuple". AU_INVALID
 * when it is not a tuple of AU_ROW_COLUMNS that fills "size" exactly. */
AU_MUST_CHECK au_status_t au_row_decode(const uint8_t *tuple, size_t size,
                                        au_event_t *out_event);

/* Whether the row can be stored or, if the database refuses it, be set aside:
 * its tuple is whole, its accept time is that of a day that may exist, its
 * service is text, its number one that a request may have. True of every row
 * that the above have made of an event that was validated; a file may hold
 * others. */
bool au_row_is_sound(const au_row_t *row);

/* The accept time (microseconds since 1970), the id and the service of a row,
 * for those who need no more of it. Of a tuple that is too short for it, or
 * that claims to be longer than it is, each is zero, nil or empty. */
int64_t au_row_ingested_at_us(const au_row_t *row);
au_uuid_t au_row_event_id(const au_row_t *row);
au_slice_t au_row_service(const au_row_t *row);

#endif
