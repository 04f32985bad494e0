/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * otlp_value - a value of OpenTelemetry (AnyValue) as compact JSON: integers
 * exact, bytes as base64, NaN and infinities as the strings NaN, Infinity and
 * -Infinity, no value as null, maps as objects.
 *
 * Threads: pure; one thread per au_otlp_writer_t.
 */
#ifndef AURORE_EVENT_OTLP_VALUE_H
#define AURORE_EVENT_OTLP_VALUE_H

#include "base/protobuf.h"
#include "event/event.h"
#include "event/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arrays and maps in each other that are written; what is deeper is null. */
#define AU_OTLP_DEPTH_MAX 128

/* Of messages that event/otlp_json.c has made, and of no others: the field of
 * an AnyValue that is a number as JSON writes it, and that of a LogRecord of
 * which something could not be read. */
#define AU_OTLP_NUMBER 15
#define AU_OTLP_MARK 31

typedef enum au_otlp_kind {
  AU_OTLP_NONE, /* no value */
  AU_OTLP_STRING,
  AU_OTLP_BOOL,
  AU_OTLP_INT,
  AU_OTLP_DOUBLE,
  AU_OTLP_BYTES,
  AU_OTLP_DIGITS, /* AU_OTLP_NUMBER */
  AU_OTLP_ARRAY,
  AU_OTLP_MAP
} au_otlp_kind_t;

/* An AnyValue, read as far as its kind. */
typedef struct au_otlp_any {
  au_otlp_kind_t kind;
  uint64_t number;  /* of a bool, int or double: its bits */
  au_slice_t bytes; /* of the others; borrowed from the message */
} au_otlp_any_t;

/* A KeyValue. */
typedef struct au_otlp_pair {
  au_slice_t key;
  au_otlp_any_t value;
} au_otlp_pair_t;

/* false: malformed. "is_own": it is of event/otlp_json.c. Of a field that comes
 * twice, or of several kinds, the last one counts. */
AU_MUST_CHECK bool au_otlp_read_any(au_slice_t message, bool is_own,
                                    au_otlp_any_t *out_any);
AU_MUST_CHECK bool au_otlp_read_pair(au_slice_t message, bool is_own,
                                     au_otlp_pair_t *out_pair);

/* The bytes of a field, as a slice. */
static inline au_slice_t au_otlp_slice(const au_protobuf_field_t *field) {
  return (au_slice_t){.data = (const char *)field->data, .size = field->size};
}

typedef struct au_otlp_writer {
  au_value_t value;   /* the last one that was written */
  au_bytes_t scratch; /* private */
  bool is_cut;        /* something of it was too deep */
} au_otlp_writer_t;

/* All zero at first. Charges its memory to the account (borrowed until fini).
 */
void au_otlp_writer_charge(au_otlp_writer_t *writer, au_account_t *account);
void au_otlp_writer_fini(au_otlp_writer_t *writer);

/* Writes the value; at most "max" bytes of it are of use (event/value.h).
 * false: something in it is malformed. Out of memory: value.json.failed, or
 * scratch.failed. */
AU_MUST_CHECK bool au_otlp_write(au_otlp_writer_t *writer,
                                 const au_otlp_any_t *any, bool is_own,
                                 size_t max);

/* The same for a value that is text by itself: a string, bytes, NaN and the
 * infinities. It is left, not cut and not repaired, in "out_text" (borrowed
 * until the next call). false: it is none of these. */
bool au_otlp_text(au_otlp_writer_t *writer, const au_otlp_any_t *any,
                  size_t max, au_slice_t *out_text);

#endif
