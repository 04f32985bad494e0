/* SPDX-License-Identifier: MIT
 *
 * events - for targets that read request bodies: the readers that they use; and
 * whatever came, each event that was taken is one that PostgreSQL takes.
 */
#ifndef FUZZ_EVENTS_H
#define FUZZ_EVENTS_H

#include "event/reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits that are hit soon. */
#define NARROW_LIMITS                                                          \
  {                                                                            \
    .max_body_bytes = 1048576, .max_batch_events = 3, .service_max_length = 4, \
    .message_max_length = 6, .metadata_max_bytes = 64, .metadata_max_keys = 5, \
    .metadata_max_depth = 2, .otlp_max_body_bytes = 1048576,                   \
    .otlp_max_records = 3                                                      \
  }

#define FUZZ_NOW_US INT64_C(1700000000123456)

/* A pair of readers: the first with the limits that are the default, the second
 * with "narrow" ones, of which this returns one. They are made at the first
 * call, and kept, so that what one body leaves behind meets the next. */
au_reader_t *fuzz_reader(au_reader_t pair[2], const au_limits_t *narrow,
                         bool is_narrow);

/* A body of our own shape, of which a byte chooses what is not in it: bit 0 its
 * form, bit 1 the limits, and the others what the request goes by. */
au_reader_t *fuzz_chosen_reader(au_reader_t pair[2], uint8_t choice);
au_intake_result_t fuzz_read_chosen(au_reader_t *reader, uint8_t choice,
                                    const char *body, size_t size);

/* Requires that the rows are sound, within the limits, and those of the
 * accepted events. */
void fuzz_require_events(const au_intake_t *intake);

#endif
