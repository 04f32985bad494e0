/* SPDX-License-Identifier: MIT
 *
 * event - what an event is: its fields, the limits it is held to, its id and
 * (in timestamp.h) its times. Pure: no I/O but the random source of the ids.
 *
 * Threads: every function from any thread.
 */
#ifndef AURORE_EVENT_EVENT_H
#define AURORE_EVENT_EVENT_H

#include "base/status.h"
#include "base/timestamp.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The limits of the contract; set once from the options. */
typedef struct au_limits {
  size_t max_body_bytes;     /* of the inflated request body */
  size_t max_batch_events;   /* events in one request */
  size_t service_max_length; /* code points */
  size_t message_max_length; /* code points */
  size_t metadata_max_bytes; /* as compact JSON */
  size_t metadata_max_keys;  /* in all levels together */
  size_t metadata_max_depth; /* levels of objects and arrays below the top */
} au_limits_t;

/* The defaults of the configuration contract. */
#define AU_LIMITS_DEFAULT                                                      \
  {                                                                            \
    .max_body_bytes = 1048576, .max_batch_events = 10000,                      \
    .service_max_length = 100, .message_max_length = 2000,                     \
    .metadata_max_bytes = 16384, .metadata_max_keys = 100,                     \
    .metadata_max_depth = 5                                                    \
  }

/* Text that is not NUL-terminated; borrowed from whoever made it. */
typedef struct au_slice {
  const char *data;
  size_t size;
} au_slice_t;

#define AU_UUID_TEXT_SIZE 37 /* 36 characters and a NUL */

typedef struct au_uuid {
  uint8_t byte[16];
} au_uuid_t;

/* One event with all that is stored of it. Times are microseconds since 1970,
 * UTC. "metadata" is compact JSON, or data == NULL when there is none. */
typedef struct au_event {
  au_uuid_t id;
  int64_t ingested_at_us;
  int64_t occurred_at_us;
  au_slice_t service;
  au_slice_t message;
  au_slice_t metadata;
} au_event_t;

/* A new version 7 UUID (RFC 9562): 48 bits of milliseconds, 12 bits of the
 * fraction of the millisecond (method 3 of its section 6.2), 62 random bits.
 * The first 60 of these bits grow strictly within the process, over all
 * threads, also when the clock steps back. */
au_uuid_t au_uuid_v7(void);

/* A new version 4 UUID, for correlation ids and the name of a spool. */
au_uuid_t au_uuid_v4(void);

/* Writes 36 lower-case characters and a NUL. */
void au_uuid_format(const au_uuid_t *uuid, char text[AU_UUID_TEXT_SIZE]);

/* Reads the 36-character form, either case; false for anything else. */
bool au_uuid_parse(const char *text, size_t size, au_uuid_t *out_uuid);

#endif
