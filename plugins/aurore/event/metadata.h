/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * metadata - the metadata of one event, written again as compact JSON while it
 * is read, and held to its limits. Once a limit has been passed nothing more is
 * kept, whatever follows.
 *
 * The caller passes valid JSON on, token by token: begin and end for the object
 * itself, open and close for what is nested in it.
 *
 * Threads: one at a time. Ownership: the memory is the recorder's until fini.
 */
#ifndef AURORE_EVENT_METADATA_H
#define AURORE_EVENT_METADATA_H

#include "base/bytes.h"
#include "event/event.h"
#include "event/storable.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum au_metadata_limit {
  AU_METADATA_WITHIN = 0,
  AU_METADATA_BYTES,
  AU_METADATA_KEYS,
  AU_METADATA_DEPTH
} au_metadata_limit_t;

typedef struct au_metadata {
  const au_limits_t *limits;
  au_bytes_t json;            /* whole when "passed" is AU_METADATA_WITHIN */
  size_t keys;                /* in all levels */
  size_t level;               /* objects and arrays that are open in it */
  bool needs_comma;           /* a value comes before */
  au_metadata_limit_t passed; /* the first limit that was passed */
  au_unstorable_t unstorable; /* the first thing that cannot be stored */
} au_metadata_t;

/* "limits" is borrowed until fini. */
void au_metadata_init(au_metadata_t *metadata, const au_limits_t *limits);
void au_metadata_fini(au_metadata_t *metadata);

/* Forgets what was recorded, and a failure. */
void au_metadata_forget(au_metadata_t *metadata);

/* The object begins, after that; or it has ended. */
void au_metadata_begin(au_metadata_t *metadata);
void au_metadata_end(au_metadata_t *metadata);
/* The whole object at once, when it is known to be compact and storable, and to
 * be within the limits in keys and depth. */
void au_metadata_take(au_metadata_t *metadata, const char *json, size_t size);

void au_metadata_key(au_metadata_t *metadata, const char *text, size_t size,
                     au_text_kind_t kind);
void au_metadata_string(au_metadata_t *metadata, const char *text, size_t size,
                        au_text_kind_t kind);
void au_metadata_number(au_metadata_t *metadata, const char *text, size_t size);
/* null, true or false. */
void au_metadata_literal(au_metadata_t *metadata, const char *text);
/* "bracket" is { or [, and then } or ]. */
void au_metadata_open(au_metadata_t *metadata, char bracket);
void au_metadata_close(au_metadata_t *metadata, char bracket);

#endif
