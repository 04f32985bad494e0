/* SPDX-License-Identifier: MIT
 *
 * validate - one event, judged field by field as it is read: either it becomes
 * an au_event_t, or it has a list of what is wrong with each field.
 *
 * A field that comes twice is judged by its last value. Pure; one thread at a
 * time. The judge owns its memory until fini; text that was read without
 * escapes is borrowed from the caller until the next begin.
 */
#ifndef AURORE_EVENT_VALIDATE_H
#define AURORE_EVENT_VALIDATE_H

#include "base/bytes.h"
#include "event/event.h"
#include "event/metadata.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The fields of an event, in the order in which their errors are told. */
typedef enum au_field {
  AU_FIELD_TIMESTAMP,
  AU_FIELD_SERVICE,
  AU_FIELD_MESSAGE,
  AU_FIELD_METADATA,
  AU_FIELD_UNKNOWN /* and how many are known */
} au_field_t;

/* So many unknown fields of one event are told, with so many characters. */
#define AU_UNKNOWN_MAX 16
#define AU_UNKNOWN_NAME_MAX 64

/* A text field that passed: "slice" points to the caller or into "copy". */
typedef struct au_judged_text {
  au_slice_t slice;
  au_bytes_t copy;
} au_judged_text_t;

typedef struct au_judge {
  const au_limits_t *limits;
  au_field_t field;                         /* whose value comes next */
  unsigned failed[AU_FIELD_UNKNOWN];        /* constraints, by field */
  au_unstorable_t reason[AU_FIELD_UNKNOWN]; /* when isStorable failed */
  int64_t occurred_at_us;
  au_judged_text_t service;
  au_judged_text_t message;
  bool has_metadata;
  au_metadata_t metadata;
  size_t unknown_count;
  size_t unknown_end[AU_UNKNOWN_MAX]; /* of each name in "unknown_names" */
  au_bytes_t unknown_names;
} au_judge_t;

/* "limits" is borrowed until fini. */
void au_judge_init(au_judge_t *judge, const au_limits_t *limits);
void au_judge_fini(au_judge_t *judge);

/* An event begins: every required field is missing. */
void au_judge_begin(au_judge_t *judge);

/* The value that comes next is that of this field. */
void au_judge_key(au_judge_t *judge, const char *name, size_t size);

/* The value of the field. */
void au_judge_string(au_judge_t *judge, const char *text, size_t size,
                     au_text_kind_t kind);
void au_judge_number(au_judge_t *judge, const char *text, size_t size);
void au_judge_null(au_judge_t *judge);
/* true, false, an array, or an object where none may be. */
void au_judge_other(au_judge_t *judge);

/* An object begins. The recorder that takes what is in it when the field may be
 * one; else NULL, and the value has been judged. */
au_metadata_t *au_judge_object(au_judge_t *judge);

/* The event has ended. AU_OK: "out_event" has its fields (borrowed until the
 * next begin), but for the id and the accept time. AU_INVALID: see
 * au_judge_put_errors. AU_NOMEM: neither. */
AU_MUST_CHECK au_status_t au_judge_finish(au_judge_t *judge,
                                          au_event_t *out_event);

/* Appends the errors of the event as a JSON array. */
void au_judge_put_errors(const au_judge_t *judge, au_bytes_t *json);

/* The same for an event that is not an object. */
void au_judge_put_not_object(au_bytes_t *json);

#endif
