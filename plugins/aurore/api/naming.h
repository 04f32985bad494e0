/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * naming - what a request to take events goes by (event/name.h): its key, its
 * bytes, or nothing.
 *
 * Threads: those of the request.
 */
#ifndef AURORE_API_NAMING_H
#define AURORE_API_NAMING_H

#include "event/intake.h"
#include "http/request.h"

#include <stdbool.h>
#include <stddef.h>

#define AU_KEY_MAX 255

/* What is wrong with a key, for a client to read. */
#define AU_KEY_TEXT                                                            \
  "Idempotency-Key must be 1 to 255 visible ASCII characters, the same one "   \
  "wherever it is given"

typedef struct au_key {
  size_t size; /* 0: none is given */
  char text[AU_KEY_MAX + 1];
} au_key_t;

/* Takes one header of a request, of any name; "key" has what those before it
 * have said, size 0 before the first. false: its value is no key, or another
 * one than there is. */
AU_MUST_CHECK bool au_key_take(au_key_t *key, const char *name,
                               const char *value);

/* Reads the headers Idempotency-Key and X-Idempotency-Key. false: what they say
 * is no key. */
AU_MUST_CHECK bool au_key_read(au_request_t *request, au_key_t *out_key);

/* What the request goes by that has the key (or none) and this body, inflated;
 * "by_bytes": if it has none, by its bytes. AU_NOMEM or AU_OK. */
AU_MUST_CHECK au_status_t au_naming_make(au_request_t *request,
                                         const au_key_t *key, bool by_bytes,
                                         const char *body, size_t size,
                                         au_naming_t *out_naming);

#endif
