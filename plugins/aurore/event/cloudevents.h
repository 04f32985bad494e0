/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * cloudevents - the grammar of CloudEvents 1.0 in JSON: one (structured mode)
 * or an array of them (batched). Binary mode, of which the attributes are
 * headers, is turned into structured mode first, so that an event is the same
 * in whichever mode it comes.
 *
 *   time     the timestamp; without one, the time of acceptance
 *   source   the service, cut from the left at a '/'
 *   type     the message
 *   id, subject, dataschema, datacontenttype, extensions, data, data_base64
 *            are members of metadata
 *
 * The event's id follows from source and id (event/name.h). Data is never a
 * reason to refuse an event: what cannot be stored as JSON is kept as text,
 * what is no text as base64, and what is over the limits is cut as text, and
 * marked.
 *
 * Threads: one at a time. Ownership: it owns its memory; the intake is borrowed
 * until destroy, a body and its attributes for the call.
 */
#ifndef AURORE_EVENT_CLOUDEVENTS_H
#define AURORE_EVENT_CLOUDEVENTS_H

#include "event/intake.h"

typedef struct au_cloudevents au_cloudevents_t;

typedef enum au_cloudevents_mode {
  AU_CLOUDEVENTS_STRUCTURED,
  AU_CLOUDEVENTS_BATCHED,
  AU_CLOUDEVENTS_BINARY
} au_cloudevents_mode_t;

/* An attribute as a header has it; the name without "ce-", in any case. */
typedef struct au_cloudevents_attribute {
  const char *name;
  const char *value;
} au_cloudevents_attribute_t;

/* What is not in the body. */
typedef struct au_cloudevents_form {
  au_cloudevents_mode_t mode;
  /* NaN and infinities are null, a time that cannot be read is kept, text is
   * repaired and cut rather than refused. */
  bool is_lenient;
  /* Of binary mode. */
  const char *content_type; /* of the data; NULL: not given */
  bool is_json;             /* it is a type of JSON */
  const au_cloudevents_attribute_t *attribute;
  size_t attributes;
} au_cloudevents_form_t;

/* NULL when out of memory. */
au_cloudevents_t *au_cloudevents_create(au_intake_t *intake);
void au_cloudevents_destroy(au_cloudevents_t *reader);
/* Charges its memory to the account (borrowed until destroy), before the first
 * body. */
void au_cloudevents_charge(au_cloudevents_t *reader, au_account_t *account);

/* Pushes the events of the body. After anything but AU_INTAKE_DONE the intake
 * holds some of them. */
AU_MUST_CHECK au_intake_result_t
au_cloudevents_read(au_cloudevents_t *reader, const au_cloudevents_form_t *form,
                    const char *body, size_t size);

#endif
