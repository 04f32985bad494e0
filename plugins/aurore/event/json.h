/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * json - the grammar of JSON: objects and arrays of objects, one or several one
 * after the other; each object is an event.
 *
 * Threads: one at a time per reader. Ownership: the reader owns its memory; the
 * intake is borrowed until destroy, a body for the call.
 */
#ifndef AURORE_EVENT_JSON_H
#define AURORE_EVENT_JSON_H

#include "event/intake.h"

typedef struct au_json_reader au_json_reader_t;

/* NULL when out of memory. */
au_json_reader_t *au_json_reader_create(au_intake_t *intake);
void au_json_reader_destroy(au_json_reader_t *reader);
/* Charges its memory to the account (borrowed until destroy), before the first
 * body. */
void au_json_reader_charge(au_json_reader_t *reader, au_account_t *account);

/* From now on YAJL reads everything, also what the faster way takes: so that
 * the two can be compared. */
void au_json_reader_parse_only(au_json_reader_t *reader);

/* Pushes the events of the body. After anything but AU_INTAKE_DONE the intake
 * holds some of them. */
AU_MUST_CHECK au_intake_result_t au_json_read(au_json_reader_t *reader,
                                              const char *body, size_t size);

/* The steps of which it is made, for grammars that are made of JSON values:
 * open the body; read values of it; close it, whatever the result. */

typedef enum au_json_shape {
  AU_JSON_BODY, /* events and arrays of events; all of it is JSON, or nothing
                   of it may be taken */
  AU_JSON_LINE  /* one event; what is not JSON is refused alone */
} au_json_shape_t;

/* "out_start" is where the first value begins, at the earliest. */
AU_MUST_CHECK au_intake_result_t au_json_open(au_json_reader_t *reader,
                                              au_json_shape_t shape,
                                              const char *body, size_t size,
                                              size_t *out_start);

/* Reads the values, or of a line the one value, that are in "size" bytes of the
 * body from "start" on. */
AU_MUST_CHECK au_intake_result_t au_json_read_value(au_json_reader_t *reader,
                                                    size_t start, size_t size);

/* Returns "result". */
au_intake_result_t au_json_close(au_json_reader_t *reader,
                                 au_intake_result_t result);

#endif
