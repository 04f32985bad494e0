/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * event_item - a stored event as the API shows it: the columns that are asked
 * for, and what they become.
 *
 * Threads: pure.
 */
#ifndef AURORE_API_EVENT_ITEM_H
#define AURORE_API_EVENT_ITEM_H

#include "base/bytes.h"
#include "database/database.h"

/* Of aurore.event, in the order of au_event_item_column_t. */
#define AU_EVENT_ITEM_COLUMNS                                                  \
  "event_id, (extract(epoch FROM occurred_at) * 1000000)::bigint, service, "   \
  "message, metadata, (extract(epoch FROM ingested_at) * 1000000)::bigint, "   \
  "(extract(epoch FROM created_at) * 1000000)::bigint"

typedef enum au_event_item_column {
  AU_EVENT_ITEM_ID,
  AU_EVENT_ITEM_OCCURRED,
  AU_EVENT_ITEM_SERVICE,
  AU_EVENT_ITEM_MESSAGE,
  AU_EVENT_ITEM_METADATA,
  AU_EVENT_ITEM_INGESTED,
  AU_EVENT_ITEM_CREATED
} au_event_item_column_t;

/* Appends the object; "first" is the column of AU_EVENT_ITEM_ID in "row". */
void au_event_item_put(au_bytes_t *json, const au_result_t *row,
                       unsigned first);

/* A time of the row in microseconds since 1970. */
int64_t au_event_item_us(const au_result_t *row, unsigned column);

#endif
