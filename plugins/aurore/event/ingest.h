/* SPDX-License-Identifier: MIT
 *
 * ingest - a request body into judged events: one JSON object, an array of
 * them, or NDJSON. YAJL reads the text once; an event that passes is encoded
 * at once into its COPY tuple, an event that fails leaves its errors.
 *
 * Threads: one at a time per au_ingest_t; reuse one per thread or request.
 * Ownership: all memory belongs to the au_ingest_t; the body is borrowed for
 * the call of au_ingest_parse only.
 */
#ifndef AURORE_EVENT_INGEST_H
#define AURORE_EVENT_INGEST_H

#include "event/event.h"
#include "event/row.h"

typedef enum au_ingest_format {
  AU_INGEST_JSON,  /* one object, or an array of objects */
  AU_INGEST_NDJSON /* one object a line; blank lines are skipped */
} au_ingest_format_t;

typedef enum au_ingest_result {
  AU_INGEST_DONE,      /* every event was judged; see the counts */
  AU_INGEST_MALFORMED, /* not JSON; "message" says what and at which byte */
  AU_INGEST_TOO_MANY,  /* more than max_batch_events */
  AU_INGEST_NOMEM
} au_ingest_result_t;

/* Errors of one refused event, as finished JSON: the array
 * [{"field":"service","constraints":{"maxLength":"..."}}]. */
typedef struct au_ingest_error {
  size_t index;  /* of the event in the request */
  size_t offset; /* of the JSON in au_ingest_t.errors_json */
  size_t size;
} au_ingest_error_t;

typedef struct au_ingest {
  const au_limits_t *limits; /* borrowed */
  /* Results of the last parse. */
  bool is_single; /* one object, not an array and not NDJSON */
  size_t total;   /* events judged; accepted + rejected */
  au_rows_t rows; /* the accepted events' tuples, in order */
  au_uuid_t *ids; /* of the accepted events, rows.count of them */
  size_t ids_capacity;
  au_bytes_t errors_json;
  au_ingest_error_t *errors; /* the refused events, by rising index */
  size_t errors_count;
  size_t errors_capacity;
  char message[256]; /* for AU_INGEST_MALFORMED: valid UTF-8, no quotes of the
                        body */
  struct au_ingest_scratch *scratch; /* private to ingest.c */
} au_ingest_t;

/* "limits" is borrowed until fini. AU_NOMEM: nothing is held. */
AU_MUST_CHECK au_status_t au_ingest_init(au_ingest_t *ingest,
                                         const au_limits_t *limits);
void au_ingest_fini(au_ingest_t *ingest);

/* Judges every event of the body. "now_us" (wall clock) becomes the accept
 * time of each. After anything but AU_INGEST_DONE nothing may be taken. */
AU_MUST_CHECK au_ingest_result_t au_ingest_parse(au_ingest_t *ingest,
                                                 au_ingest_format_t format,
                                                 const char *body, size_t size,
                                                 int64_t now_us);

#endif
