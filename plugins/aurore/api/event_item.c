/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder. */
#include "api/event_item.h"

#include "base/json.h"
#include "base/timestamp.h"

#include <stdlib.h>

int64_t au_event_item_us(const au_result_t *row, unsigned column) {
  const char *us = au_result_text(row, 0, column);
  return us != NULL ? strtoll(us, NULL, 10) : 0;
}

static void put_time(au_bytes_t *json, const char *name, const au_result_t *row,
                     unsigned column) {
  char text[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(au_event_item_us(row, column), text);
  au_bytes_printf(json, "\"%s\":\"%s\"", name, text);
}

static void put_text(au_bytes_t *json, const char *name, const au_result_t *row,
                     unsigned column) {
  au_bytes_printf(json, "\"%s\":", name);
  au_json_put_text(json, au_result_text(row, 0, column));
}

void au_event_item_put(au_bytes_t *json, const au_result_t *row,
                       unsigned first) {
  const char *id = au_result_text(row, 0, first + AU_EVENT_ITEM_ID);
  const char *metadata = au_result_text(row, 0, first + AU_EVENT_ITEM_METADATA);
  au_bytes_printf(json, "{\"id\":\"%s\",\"eventId\":\"%s\",", id, id);
  put_time(json, "timestamp", row, first + AU_EVENT_ITEM_OCCURRED);
  au_bytes_put_u8(json, ',');
  put_text(json, "service", row, first + AU_EVENT_ITEM_SERVICE);
  au_bytes_put_u8(json, ',');
  put_text(json, "message", row, first + AU_EVENT_ITEM_MESSAGE);
  au_bytes_put_string(json, ",\"metadata\":");
  au_bytes_put_string(json, metadata != NULL ? metadata : "null");
  au_bytes_put_u8(json, ',');
  put_time(json, "ingestedAt", row, first + AU_EVENT_ITEM_INGESTED);
  au_bytes_put_u8(json, ',');
  put_time(json, "createdAt", row, first + AU_EVENT_ITEM_CREATED);
  au_bytes_put_u8(json, '}');
}
