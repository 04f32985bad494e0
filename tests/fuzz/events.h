/* SPDX-License-Identifier: MIT
 *
 * events - for targets that read request bodies: whatever came, each event that
 * was taken is one that PostgreSQL takes.
 */
#ifndef FUZZ_EVENTS_H
#define FUZZ_EVENTS_H

#include "event/reader.h"

/* Limits that are hit soon. */
#define NARROW_LIMITS                                                          \
  {                                                                            \
    .max_body_bytes = 1048576, .max_batch_events = 3, .service_max_length = 4, \
    .message_max_length = 6, .metadata_max_bytes = 64, .metadata_max_keys = 5, \
    .metadata_max_depth = 2, .otlp_max_body_bytes = 1048576,                   \
    .otlp_max_records = 3                                                      \
  }

/* Requires that the rows are sound, within the limits, and those of the
 * accepted events. */
void fuzz_require_events(const au_intake_t *intake);

#endif
