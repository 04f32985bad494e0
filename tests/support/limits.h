/* SPDX-License-Identifier: MIT
 *
 * limits - those of an event as the options have them by default.
 */
#ifndef SUPPORT_LIMITS_H
#define SUPPORT_LIMITS_H

#include "event/event.h"

#define DEFAULT_LIMITS                                                         \
  {                                                                            \
    .max_body_bytes = 1048576, .max_batch_events = 10000,                      \
    .service_max_length = 100, .message_max_length = 2000,                     \
    .metadata_max_bytes = 16384, .metadata_max_keys = 100,                     \
    .metadata_max_depth = 5, .otlp_max_body_bytes = 16777216,                  \
    .otlp_max_records = 50000                                                  \
  }

#endif
