/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * event - what an event is: its fields, and the limits it is held to.
 */
#ifndef AURORE_EVENT_EVENT_H
#define AURORE_EVENT_EVENT_H

#include "base/uuid.h"

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
  /* Of OpenTelemetry's logs, in the place of the first two. */
  size_t otlp_max_body_bytes;
  size_t otlp_max_records;
} au_limits_t;

/* Text that is not NUL-terminated; borrowed from whoever made it. */
typedef struct au_slice {
  const char *data;
  size_t size;
} au_slice_t;

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

#endif
