/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * mapping - one object of a client becomes an event as its shape says: strictly
 * (each field is validated as our own are), or leniently (whatever is an object
 * becomes an event that can be stored).
 *
 * Threads: one at a time. Ownership: all memory is the mapping's until fini.
 */
#ifndef AURORE_EVENT_MAPPING_H
#define AURORE_EVENT_MAPPING_H

#include "event/intake.h"
#include "event/members.h"
#include "event/shape.h"
#include "event/trim.h"
#include "event/value.h"

typedef struct au_mapping {
  au_intake_t *intake;
  au_validator_t *event; /* the intake's */
  const au_shape_t *shape;
  au_found_t object;    /* the one that is read */
  au_members_t members; /* of it */
  au_json_scan_t scan;  /* of one of its values */
  au_bytes_t decoded;   /* text that is written with escapes */
  au_bytes_t service;
  au_bytes_t message;
  au_value_t value;
  au_trim_t trim;
  bool is_cut; /* the service or the message */
} au_mapping_t;

/* The intake is borrowed until fini. */
void au_mapping_init(au_mapping_t *mapping, au_intake_t *intake);
void au_mapping_fini(au_mapping_t *mapping);
/* Charges its memory to the account (borrowed until fini), before the first
 * object. */
void au_mapping_charge(au_mapping_t *mapping, au_account_t *account);

/* How objects are read of which a shape speaks. */
au_dialect_t au_mapping_dialect(const au_shape_t *shape);

/* Pushes the object of which mapping->members has the members into the intake.
 * AU_INTAKE_DONE, _TOO_MANY or _NOMEM. */
AU_MUST_CHECK au_intake_result_t au_mapping_push(au_mapping_t *mapping,
                                                 const au_shape_t *shape,
                                                 au_found_t object);

#endif
