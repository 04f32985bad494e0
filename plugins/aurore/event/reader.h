/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * reader - a request body, in one of the input formats, into validated events:
 * an intake and the grammars that push into it.
 *
 * Threads: one at a time per au_reader_t; reuse one per thread or request.
 * Ownership: all memory belongs to the au_reader_t, which counts it in its
 * account: that of no budget, unless the owner gives it one.
 */
#ifndef AURORE_EVENT_READER_H
#define AURORE_EVENT_READER_H

#include "event/cloudevents.h"
#include "event/intake.h"
#include "event/shaped.h"

typedef enum au_format {
  AU_FORMAT_JSON,   /* objects and arrays of objects, one after the other */
  AU_FORMAT_NDJSON, /* one object a line; blank lines are skipped */
  AU_FORMAT_GUESS,  /* one or the other, for lenient shapes */
  AU_FORMAT_OTLP,   /* OpenTelemetry's logs, in Protocol Buffers */
  AU_FORMAT_OTLP_JSON,
  AU_FORMAT_CLOUDEVENTS /* see au_reader_cloudevents */
} au_format_t;

typedef struct au_reader {
  au_intake_t intake;          /* the results of the last read */
  struct au_json_reader *json; /* private; so are the next four */
  struct au_otlp_reader *otlp;
  struct au_otlp_json *otlp_json;
  struct au_cloudevents *cloudevents;
  au_shaped_t shaped;
  /* Of the next read, private. */
  const au_shape_t *shape; /* NULL: our own */
  const au_cloudevents_form_t *form;
  au_slice_t service;
  au_naming_t naming;
  const au_trace_t *trace;
  au_account_t account; /* of all memory that the reader holds */
} au_reader_t;

/* "limits" is borrowed until fini. AU_NOMEM: nothing is held. The reader must
 * not be moved. */
AU_MUST_CHECK au_status_t au_reader_init(au_reader_t *reader,
                                         const au_limits_t *limits);
void au_reader_fini(au_reader_t *reader);

/* Forgets the results, and gives back what a huge body has grown. */
void au_reader_clear(au_reader_t *reader);

/* What the request that is read next goes by; without this, nothing. */
void au_reader_name(au_reader_t *reader, const au_naming_t *naming);

/* The trace that the request that is read next belongs to (borrowed until
 * then); without this, none. */
void au_reader_trace(au_reader_t *reader, const au_trace_t *trace);

/* The service of events without one, of formats that refuse none for that, in
 * the request that is read next (borrowed until then). */
void au_reader_service(au_reader_t *reader, au_slice_t service);
/* The shape of the events that are read next (borrowed until then); without
 * this, our own. */
void au_reader_shape(au_reader_t *reader, const au_shape_t *shape);

/* The form of AU_FORMAT_CLOUDEVENTS, in the request that is read next (borrowed
 * until then). */
void au_reader_cloudevents(au_reader_t *reader,
                           const au_cloudevents_form_t *form);

/* Validates every event of the body (borrowed for the call; may be NULL when it
 * is empty). "now_us" (wall clock) becomes the accept time of each. After
 * anything but AU_INTAKE_DONE nothing may be taken. */
AU_MUST_CHECK au_intake_result_t au_reader_read(au_reader_t *reader,
                                                au_format_t format,
                                                const char *body, size_t size,
                                                int64_t now_us);

#endif
