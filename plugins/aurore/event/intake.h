/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * intake - the events of one request: each is taken field by field, validated,
 * and either encoded at once as a row for the spool or refused with a list of
 * errors.
 *
 * What reads a request (a grammar: json.h, ndjson.h; or a program that has the
 * values already: observe/notification.c) pushes into it:
 *
 *   au_intake_begin, and au_intake_name if the request may have a name
 *     for each event:
 *       au_intake_begin_event
 *         au_validator_key or _field, then _string, _number, _time ... on
 *         intake->event (validate.h); metadata goes into its recorder
 *         (metadata.h)
 *       au_intake_end_event
 *     or, for something that is no event: au_intake_refuse_value, or
 *       au_intake_refuse_text
 *   au_intake_end
 *
 * Under which id an event is stored, and whether it is stored once however
 * often it is sent: with an id of its own, under that, and once. The field
 * event_id is one; a grammar that finds another calls au_validator_identify
 * before au_intake_end_event (name.h makes an id of a text). Else, if the
 * request has a name, under the one that follows from its place in the request,
 * and once. Else under a new one. A time that the grammar makes up goes through
 * au_validator_assume_time: only a time that an event bears is part of a name.
 *
 * To add an input format: a grammar of its own beside json.[ch], and a line in
 * reader.[ch].
 *
 * Threads: one at a time per au_intake_t; reuse one per thread or request.
 * Ownership: all memory belongs to the au_intake_t.
 */
#ifndef AURORE_EVENT_INTAKE_H
#define AURORE_EVENT_INTAKE_H

#include "base/sha256.h"
#include "event/event.h"
#include "event/row.h"
#include "event/trace.h"
#include "event/validate.h"

typedef enum au_intake_result {
  AU_INTAKE_DONE,
  AU_INTAKE_MALFORMED, /* not what the grammar reads; see "message" */
  AU_INTAKE_TOO_MANY,  /* more than "max_events" */
  AU_INTAKE_NOMEM
} au_intake_result_t;

/* What a request goes by (name.h): nothing, its bytes (then it has a name only
 * if one of its events bears a time), or a key and its bytes. */
typedef enum au_named_by {
  AU_NAMED_BY_NOTHING,
  AU_NAMED_BY_BYTES,
  AU_NAMED_BY_KEY
} au_named_by_t;

typedef struct au_naming {
  au_named_by_t by;
  au_digest_t digest; /* of the request, au_name_digest */
} au_naming_t;

/* What is said about the refused events of one request is bounded while it is
 * made: the errors of so many events, in so many bytes of JSON. A body of a few
 * KiB may have 10,000 events that are wrong in every field. */
#define AU_ERRORS_LISTED_MAX 100
#define AU_ERRORS_JSON_MAX ((size_t)60 << 10)

/* Errors of one refused event, as finished JSON: the array
 * [{"field":"service","constraints":{"maxLength":"..."}}]. */
typedef struct au_intake_error {
  size_t index;  /* of the event in the request */
  size_t offset; /* of the JSON in au_intake_t.errors_json */
  size_t size;
  size_t fields_omitted; /* fields that are wrong, and not in it */
} au_intake_error_t;

typedef struct au_intake {
  const au_limits_t *limits; /* borrowed */
  /* Results since au_intake_begin. */
  bool is_single; /* set by the grammar: the request is one event, not a list */
  size_t total;   /* events; accepted + refused */
  au_rows_t rows; /* of the accepted events, in order */
  au_uuid_t *ids; /* of the accepted events, rows.count of them */
  size_t ids_capacity;
  size_t errors_count; /* the refused events */
  au_bytes_t refused;  /* which those are, a bit each; au_intake_is_refused */
  size_t errors_listed;
  au_intake_error_t errors[AU_ERRORS_LISTED_MAX]; /* by rising index */
  au_bytes_t errors_json;
  size_t attempted;  /* as "total", but also after a discard */
  bool is_begun;     /* an event, which has not ended */
  char message[256]; /* for AU_INTAKE_MALFORMED: valid UTF-8, no quotes of the
                        body */
  au_naming_t naming;
  bool has_time;           /* one of the events bears a time: */
  int64_t time_us;         /* the first such event */
  const au_trace_t *trace; /* that the request belongs to; NULL: none */
  au_bytes_t traced;       /* the metadata of an event that bears it */
  /* For whoever pushes. */
  au_validator_t event;
  int64_t now_us;        /* the accept time of each event */
  size_t max_events;     /* of the request; max_batch_events after begin */
  au_account_t *account; /* NULL: none */
} au_intake_t;

/* How far a request has been taken, between two events. */
typedef struct au_intake_mark {
  bool is_single;
  bool has_time;
  int64_t time_us;
  size_t total;
  size_t attempted;
  size_t rows_count;
  size_t rows_size;
  size_t errors_count;
  size_t errors_listed;
  size_t errors_size;
} au_intake_mark_t;

/* "limits" is borrowed until fini. */
void au_intake_init(au_intake_t *intake, const au_limits_t *limits);
void au_intake_fini(au_intake_t *intake);

/* Charges what it will hold to the account (borrowed until fini); before the
 * first request. */
void au_intake_charge(au_intake_t *intake, au_account_t *account);

/* A request begins: forgets the last one, and gives back what a huge one has
 * grown. "now_us" (wall clock) becomes the accept time of each event. */
void au_intake_begin(au_intake_t *intake, int64_t now_us);

/* The request may have a name; before its first event. */
void au_intake_name(au_intake_t *intake, const au_naming_t *naming);

/* Each event of the request bears the trace in its metadata ("trace" is
 * borrowed until the request has been read); before its first event. */
void au_intake_trace(au_intake_t *intake, const au_trace_t *trace);

/* The request has ended, and is not refused as a whole: the ids of its events
 * are known from here on. */
void au_intake_end(au_intake_t *intake);

/* The request is refused as a whole: nothing of it may be taken. */
void au_intake_discard(au_intake_t *intake);

/* For a grammar that may have to read something again: forgets all that was
 * taken after the mark, also an event that has not ended. */
au_intake_mark_t au_intake_mark(const au_intake_t *intake);
void au_intake_rewind(au_intake_t *intake, const au_intake_mark_t *mark);

/* An event begins. AU_INTAKE_DONE, or AU_INTAKE_TOO_MANY. */
AU_MUST_CHECK au_intake_result_t au_intake_begin_event(au_intake_t *intake);

/* The event has ended: it is in "rows", or its errors are in "errors".
 * AU_INTAKE_DONE, or AU_INTAKE_NOMEM. */
AU_MUST_CHECK au_intake_result_t au_intake_end_event(au_intake_t *intake);

/* Something that is no event is where an event should be: it is refused like
 * one. AU_INTAKE_DONE, AU_INTAKE_TOO_MANY or AU_INTAKE_NOMEM. */
AU_MUST_CHECK au_intake_result_t au_intake_refuse_value(au_intake_t *intake);

/* The same for an object that should have events within it, and has no array
 * where they should be (isArray). */
AU_MUST_CHECK au_intake_result_t
au_intake_refuse_no_events(au_intake_t *intake);

/* The same for an object that should be a CloudEvent, and is none. */
AU_MUST_CHECK au_intake_result_t
au_intake_refuse_cloudevent(au_intake_t *intake);

/* Text that is to be an event is not what its grammar reads: "what" is wrong at
 * that byte of it (static text; isJson). The event that has begun is refused,
 * or if none has, one more. The same results. */
AU_MUST_CHECK au_intake_result_t au_intake_refuse_text(au_intake_t *intake,
                                                       const char *what,
                                                       size_t byte);

/* Whether the event at "index" (below "total") was refused. */
bool au_intake_is_refused(const au_intake_t *intake, size_t index);

/* Sets "message", "what" at that byte of the body, and returns
 * AU_INTAKE_MALFORMED. */
au_intake_result_t au_intake_malformed(au_intake_t *intake, const char *what,
                                       size_t byte);

#endif
