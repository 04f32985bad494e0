/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * shaped - the grammar of JSON and NDJSON whose objects have a shape of their
 * own (shape.h). Those of our own shape are read by json.h and ndjson.h, which
 * look at each byte once.
 *
 * Threads: one at a time. Ownership: all memory is the reader's until fini; the
 * intake is borrowed until then, a body and its shape for the call.
 */
#ifndef AURORE_EVENT_SHAPED_H
#define AURORE_EVENT_SHAPED_H

#include "event/mapping.h"

typedef struct au_shaped {
  au_intake_t *intake;
  const au_shape_t *shape;
  au_mapping_t mapping;
  au_json_scan_t scan;   /* of the body, or of a line */
  au_json_scan_t within; /* of the events within an object */
  au_members_t envelope; /* of that object */
} au_shaped_t;

typedef enum au_shaped_form {
  AU_SHAPED_JSON,  /* values, one after the other */
  AU_SHAPED_LINES, /* one value a line */
  AU_SHAPED_GUESS  /* one or the other, found out; nothing else */
} au_shaped_form_t;

/* "intake" is borrowed until fini. */
void au_shaped_init(au_shaped_t *reader, au_intake_t *intake);
void au_shaped_fini(au_shaped_t *reader);
/* Charges its memory to the account (borrowed until fini), before the first
 * body. */
void au_shaped_charge(au_shaped_t *reader, au_account_t *account);

/* Pushes the events of the body. After anything but AU_INTAKE_DONE the intake
 * holds some of them. */
AU_MUST_CHECK au_intake_result_t au_shaped_read(au_shaped_t *reader,
                                                const au_shape_t *shape,
                                                au_shaped_form_t form,
                                                const char *body, size_t size);

#endif
