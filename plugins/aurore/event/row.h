/* SPDX-License-Identifier: MIT
 *
 * row - an event as one tuple of COPY aurore.event (...) (FORMAT binary), and
 * many of them.
 *
 * The layout is PostgreSQL's: int16 number of fields, then for each field
 * int32 length (-1: NULL) and that many bytes. The columns come in the order of
 * AU_ROW_COLUMNS; the first three have a fixed length, so the accept time, the
 * id and the event time stand at fixed offsets. timestamptz is microseconds
 * since 2000-01-01; jsonb is a version byte (1) and its text.
 *
 * An event that is put back from the dead letters has a seventh field, the id
 * of its dead letter. Such a tuple is for the spool alone: COPY would refuse
 * it, and it is stored by other means (dead_letter.h).
 *
 * Threads: pure; one thread a buffer.
 */
#ifndef AURORE_EVENT_ROW_H
#define AURORE_EVENT_ROW_H

#include "base/bytes.h"
#include "event/event.h"

#define AU_ROW_COLUMNS                                                         \
  "ingested_at, event_id, occurred_at, service, message, metadata"

/* Microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's own epoch. */
#define AU_POSTGRES_EPOCH_US INT64_C(946684800000000)

/* What COPY ... (FORMAT binary) starts and ends with. */
#define AU_COPY_HEADER "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
#define AU_COPY_HEADER_SIZE 19
#define AU_COPY_TRAILER "\377\377"
#define AU_COPY_TRAILER_SIZE 2

/* The tuples of one request, one after the other in "bytes". */
typedef struct au_rows {
  au_bytes_t bytes;
  uint32_t *length; /* of each tuple, in bytes */
  size_t count;
  size_t capacity; /* of "length" */
} au_rows_t;

void au_rows_fini(au_rows_t *rows);

/* Empties it; keeps memory up to a bound for the next request. */
void au_rows_clear(au_rows_t *rows);

/* Encodes the event and appends it. AU_NOMEM: nothing was appended.
 * AU_INVALID: nothing either; the tuple would be longer than 2 GiB. */
AU_MUST_CHECK au_status_t au_rows_append(au_rows_t *rows,
                                         const au_event_t *event);

/* The same for the event of a dead letter, which is put back. */
AU_MUST_CHECK au_status_t au_rows_append_reprocess(
    au_rows_t *rows, const au_event_t *event, const au_uuid_t *dead_letter_id);

/* Reads a tuple back; the slices of "out_event" point into "tuple". AU_INVALID
 * when it is not a tuple of AU_ROW_COLUMNS, with the id of a dead letter or
 * without one, that fills "size" exactly. */
AU_MUST_CHECK au_status_t au_row_decode(const uint8_t *tuple, size_t size,
                                        au_event_t *out_event);

/* The accept time, in microseconds since 1970, and the service of a tuple that
 * au_rows_append made; nothing is checked. */
int64_t au_row_ingested_at_us(const uint8_t *tuple);
au_slice_t au_row_service(const uint8_t *tuple);
au_uuid_t au_row_event_id(const uint8_t *tuple);

/* Whether the tuple is of an event that is put back; and the id of its dead
 * letter, of such a tuple alone. */
bool au_row_is_reprocess(const uint8_t *tuple);
au_uuid_t au_row_dead_letter_id(const uint8_t *tuple, size_t size);

#endif
