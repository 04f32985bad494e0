/* SPDX-License-Identifier: MIT
 *
 * fuzz_notification - any text as a notification of collectd: it becomes one
 * event, which is sound and within the limits.
 */
#include "base/utf8.h"
#include "fuzz/fuzz.h"
#include "observe/notification.h"
#include "spool/buffer.h"

#include "event/row.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define VALUES 3

static const au_limits_t limits = {.max_body_bytes = 1048576,
                                   .max_batch_events = 3,
                                   .service_max_length = 20,
                                   .message_max_length = 40,
                                   .metadata_max_bytes = 200,
                                   .metadata_max_keys = 12,
                                   .metadata_max_depth = 2};
static au_buffer_t *buffer;

static void start(void) {
  char error[256] = "";
  const au_buffer_config_t config = {
      .lanes = 1, .capacity = 1000, .max_bytes = 1 << 24};
  fuzz_be_quiet();
  fuzz_require(au_buffer_open(&config, &buffer, error, sizeof(error)) ==
                       AU_OK &&
                   au_notification_start(&limits, buffer) == AU_OK,
               "the buffer cannot be opened");
}

static void check_event(const au_row_t *row) {
  au_event_t event;
  fuzz_require(au_row_is_sound(row) &&
                   au_row_decode(row->tuple, row->size, &event) == AU_OK,
               "a notification is no sound event");
  ptrdiff_t service = au_utf8_length(event.service.data, event.service.size);
  ptrdiff_t message = au_utf8_length(event.message.data, event.message.size);
  fuzz_require(service > 0 && service <= (ptrdiff_t)limits.service_max_length &&
                   message > 0 &&
                   message <= (ptrdiff_t)limits.message_max_length,
               "a text is empty, too long, or not UTF-8");
  if (event.metadata.data == NULL)
    return;
  fuzz_require(event.metadata.size <= limits.metadata_max_bytes,
               "the metadata is too large");
  fuzz_require_json(event.metadata.data, event.metadata.size,
                    "the metadata is not JSON");
}

/* Waits for the event, and takes it. */
static void take_event(void) {
  static au_slab_t slab;
  au_lane_t *lane = au_buffer_lane(buffer, 0);
  while (au_lane_waiting(lane) == 0)
    sched_yield();
  fuzz_require(au_lane_take(lane, 10, 1 << 20, &slab) == AU_OK &&
                   slab.count == 1,
               "there is not one event");
  const au_row_t row = au_slab_row(&slab, 0);
  check_event(&row);
  au_lane_commit(lane, slab.end);
}

static au_notification_value_t make_value(fuzz_input_t *input, char **out_name,
                                          char **out_text) {
  au_notification_value_t value = {
      .kind = (au_notification_kind_t)fuzz_take_below(input, 5)};
  *out_name = fuzz_text(fuzz_take_line(input));
  *out_text = fuzz_text(fuzz_take_line(input));
  value.name = *out_name;
  if (value.kind == AU_NOTIFICATION_STRING) {
    value.value.string = *out_text;
  } else if (value.kind == AU_NOTIFICATION_BOOLEAN) {
    value.value.boolean = (*out_text)[0] == 't';
  } else {
    uint64_t bits = fuzz_take_number(input, 8);
    memcpy(&value.value.unsigned_int, &bits, sizeof(bits));
  }
  return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  if (buffer == NULL)
    start();
  char *text[7 + 2 * VALUES];
  for (int i = 0; i < 7; i++)
    text[i] = fuzz_text(fuzz_take_line(&input));
  au_notification_value_t value[VALUES];
  size_t count = fuzz_take_below(&input, VALUES + 1);
  for (size_t i = 0; i < VALUES; i++)
    value[i] = make_value(&input, &text[7 + 2 * i], &text[8 + 2 * i]);
  au_notification_put(
      &(au_notification_t){.time_us = (int64_t)fuzz_take_number(&input, 8),
                           .severity = text[0],
                           .host = text[1],
                           .plugin = text[2],
                           .plugin_instance = text[3],
                           .type = text[4],
                           .type_instance = text[5],
                           .message = text[6],
                           .values = value,
                           .values_count = count});
  take_event();
  for (size_t i = 0; i < 7 + 2 * VALUES; i++)
    free(text[i]);
  return 0;
}
