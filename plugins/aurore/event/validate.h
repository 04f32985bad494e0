/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * validate - one event, validated field by field as it is read: either it
 * becomes an au_event_t, or it has a list of what is wrong with each field.
 *
 * Of a field that comes twice the last value counts. To add a field: its name
 * here, what it must be in validate.c, its column in row.c.
 *
 * Threads: pure; one at a time. The validator owns its memory until fini; text
 * without escapes is borrowed from the caller until the next begin.
 */
#ifndef AURORE_EVENT_VALIDATE_H
#define AURORE_EVENT_VALIDATE_H

#include "base/bytes.h"
#include "event/event.h"
#include "event/metadata.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The fields of an event, in the order in which their errors are reported. */
typedef enum au_field {
  AU_FIELD_TIMESTAMP,
  AU_FIELD_SERVICE,
  AU_FIELD_MESSAGE,
  AU_FIELD_METADATA,
  AU_FIELD_EVENT_ID,
  AU_FIELD_UNKNOWN /* also the number of those that are known */
} au_field_t;

/* Of a refused event at most so many fields are listed, of an unknown one's
 * name so many characters, and of what is listed so many bytes: escapes and
 * all. */
#define AU_FIELDS_LISTED_MAX 20
#define AU_UNKNOWN_NAME_MAX 64
#define AU_FIELD_LISTED_BYTES_MAX 1024

/* A text field that passed: "slice" points to the caller or into "copy". */
typedef struct au_valid_text {
  au_slice_t slice;
  au_bytes_t copy;
} au_valid_text_t;

typedef struct au_validator {
  const au_limits_t *limits;
  au_field_t field;                         /* whose value comes next */
  unsigned failed[AU_FIELD_UNKNOWN];        /* constraints, by field */
  au_unstorable_t reason[AU_FIELD_UNKNOWN]; /* when isStorable failed */
  int64_t occurred_at_us;
  bool is_time_assumed; /* it is not the event's own */
  bool has_id;
  au_uuid_t id; /* of its own */
  au_valid_text_t service;
  au_valid_text_t message;
  bool has_metadata;
  au_metadata_t metadata;
  size_t unknown_count;   /* that can be listed */
  size_t unknown_omitted; /* that cannot */
  /* Of each in "unknown_names", and of one that is being compared. */
  size_t unknown_end[AU_FIELDS_LISTED_MAX + 1];
  au_bytes_t unknown_names;
} au_validator_t;

/* "limits" is borrowed until fini. */
void au_validator_init(au_validator_t *validator, const au_limits_t *limits);
void au_validator_fini(au_validator_t *validator);

/* Charges what it will hold to the account (borrowed until fini); before the
 * first event. */
void au_validator_charge(au_validator_t *validator, au_account_t *account);

/* An event begins: every required field is missing. */
void au_validator_begin(au_validator_t *validator);

/* The next value is that of this field, or of the field of this name. */
void au_validator_field(au_validator_t *validator, au_field_t field);
void au_validator_key(au_validator_t *validator, const char *name, size_t size);
/* ... of a field that may not be there, whatever its name. */
void au_validator_unknown(au_validator_t *validator, const char *name,
                          size_t size);

/* The value of the field. A number is as JSON writes it. */
void au_validator_string(au_validator_t *validator, const char *text,
                         size_t size, au_text_kind_t kind);
void au_validator_number(au_validator_t *validator, const char *text,
                         size_t size);
/* A time in microseconds since 1970, which the event bears. */
void au_validator_time(au_validator_t *validator, int64_t us);
void au_validator_null(au_validator_t *validator);
/* true, false, an array, or an object where none may be. */
void au_validator_other(au_validator_t *validator);

/* An object begins. Returns the recorder that takes what is in it (up to and
 * with its au_metadata_end), or NULL when the field may not be one: then the
 * value is done. */
au_metadata_t *au_validator_object(au_validator_t *validator);

/* The metadata is this object, compact JSON that was made within the limits and
 * of what can be stored (trim.h); copied. */
void au_validator_metadata(au_validator_t *validator, const char *json,
                           size_t size);

/* What a grammar knows of an event besides its fields, between begin and
 * finish: an id of its own (see AU_FIELD_EVENT_ID; the last one counts), and
 * the time of an event that bears none (the accept time, say), in microseconds
 * since 1970. */
void au_validator_identify(au_validator_t *validator, const au_uuid_t *id);
void au_validator_assume_time(au_validator_t *validator, int64_t us);

/* Whether the event, refused or not, bears a time of its own that can be read;
 * it is occurred_at_us. */
bool au_validator_has_time(const au_validator_t *validator);

/* The event has ended. AU_OK: "out_event" has its fields (borrowed until the
 * next begin), but for the accept time and, unless "has_id", the id.
 * AU_INVALID: see au_validator_put_errors. AU_NOMEM: neither. */
AU_MUST_CHECK au_status_t au_validator_finish(au_validator_t *validator,
                                              au_event_t *out_event);

/* Appends the errors of the event as a JSON array of at most "most" bytes,
 * which is never without an element if there is room for
 * AU_FIELD_LISTED_BYTES_MAX. Returns the number of fields that are not in it.
 */
size_t au_validator_put_errors(const au_validator_t *validator, size_t most,
                               au_bytes_t *json);

/* The same for something that is no event, for an object without an array of
 * events, and for text that is no JSON: "what" is wrong at that byte of it. */
void au_validator_put_not_object(au_bytes_t *json);
void au_validator_put_no_events(au_bytes_t *json);
void au_validator_put_not_cloudevent(au_bytes_t *json);
void au_validator_put_not_json(const char *what, size_t byte, au_bytes_t *json);

#endif
