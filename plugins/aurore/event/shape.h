/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * shape - where in the objects of a client the fields of an event are, and how
 * what does not fit is taken. It is made once, from a query string (api/
 * posting.h), and then only read.
 *
 * Threads: pure; any once it is made. Ownership: the shape owns its memory
 * until fini.
 */
#ifndef AURORE_EVENT_SHAPE_H
#define AURORE_EVENT_SHAPE_H

#include "base/bytes.h"
#include "event/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum au_shape_field {
  AU_SHAPE_TIMESTAMP,
  AU_SHAPE_SERVICE,
  AU_SHAPE_MESSAGE,
  AU_SHAPE_ID,
  AU_SHAPE_EVENTS, /* the array of events within an object */
  AU_SHAPE_FIELDS
} au_shape_field_t;

/* Each path that is looked for costs a look at the event. */
#define AU_SHAPE_PATHS_MAX 8
#define AU_SHAPE_STEPS_MAX 32

/* A name of a field: one step; or a JSON Pointer (RFC 6901): one or several
 * names or indices, each within what the one before has found. */
typedef struct au_path {
  bool is_pointer;
  size_t steps;
  struct {
    uint32_t offset; /* in the shape's text */
    uint32_t size;
  } step[AU_SHAPE_STEPS_MAX];
} au_path_t;

/* Those of one field: the first that leads to something counts. */
typedef struct au_paths {
  size_t count; /* 0: it bears its own name */
  au_path_t *path;
} au_paths_t;

typedef struct au_shape {
  bool is_lenient; /* whatever is a JSON object becomes an event */
  au_paths_t field[AU_SHAPE_FIELDS];
  au_bytes_t service; /* of events that have none; empty: there is none */
  au_bytes_t text;    /* of all steps */
} au_shape_t;

/* An empty one is all zero: that of our own events. */
void au_shape_fini(au_shape_t *shape);

/* Whether it is that of our own events, and nothing else is taken. */
bool au_shape_is_own(const au_shape_t *shape);

/* Reads the paths of a field, names and pointers with commas between; once for
 * each field. AU_INVALID: one of them is empty or no pointer; AU_FULL: there
 * are more than AU_SHAPE_PATHS_MAX or _STEPS_MAX; AU_NOMEM. */
AU_MUST_CHECK au_status_t au_shape_set_field(au_shape_t *shape,
                                             au_shape_field_t field,
                                             const char *text);

/* One step of a path. */
au_slice_t au_shape_step(const au_shape_t *shape, const au_path_t *path,
                         size_t step);

#endif
