/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/intake.h"

#include "base/array.h"
#include "event/name.h"

#include <stdio.h>
#include <string.h>

/* Kept from request to request; the rows have a bound of their own. */
#define KEEP_BYTES ((size_t)32 << 10)
#define KEEP_IDS ((size_t)2048)
/* What a list has around the errors of an event: {"index":...,"errors":...,
 * "fieldsOmitted":...} and a comma, with numbers of 20 digits. */
#define ENTRY_SIZE 96

void au_intake_init(au_intake_t *intake, const au_limits_t *limits) {
  *intake = (au_intake_t){.limits = limits};
  au_validator_init(&intake->event, limits);
}

void au_intake_charge(au_intake_t *intake, au_account_t *account) {
  intake->account = account;
  intake->errors_json.account = account;
  intake->traced.account = account;
  intake->refused.account = account;
  au_rows_charge(&intake->rows, account);
  au_validator_charge(&intake->event, account);
}

static void free_ids(au_intake_t *intake) {
  au_array_free_charged(intake->ids, intake->ids_capacity, sizeof(*intake->ids),
                        intake->account);
  intake->ids = NULL;
  intake->ids_capacity = 0;
}

void au_intake_fini(au_intake_t *intake) {
  au_validator_fini(&intake->event);
  au_rows_fini(&intake->rows);
  au_bytes_fini(&intake->errors_json);
  au_bytes_fini(&intake->traced);
  au_bytes_fini(&intake->refused);
  free_ids(intake);
  *intake = (au_intake_t){.limits = NULL};
}

void au_intake_discard(au_intake_t *intake) {
  intake->is_single = false;
  intake->is_begun = false;
  intake->total = 0;
  intake->errors_count = 0;
  intake->errors_listed = 0;
  au_rows_clear(&intake->rows);
  au_bytes_clear(&intake->errors_json, KEEP_BYTES);
  au_bytes_clear(&intake->refused, KEEP_BYTES);
  if (intake->ids_capacity > KEEP_IDS)
    free_ids(intake);
}

void au_intake_begin(au_intake_t *intake, int64_t now_us) {
  au_intake_discard(intake);
  intake->message[0] = '\0';
  intake->attempted = 0;
  intake->naming.by = AU_NAMED_BY_NOTHING;
  intake->trace = NULL;
  intake->has_time = false;
  intake->now_us = now_us;
  intake->max_events = intake->limits->max_batch_events;
}

void au_intake_name(au_intake_t *intake, const au_naming_t *naming) {
  intake->naming = *naming;
}

void au_intake_trace(au_intake_t *intake, const au_trace_t *trace) {
  intake->trace = trace;
}

void au_intake_end(au_intake_t *intake) {
  const au_naming_t *naming = &intake->naming;
  if (naming->by == AU_NAMED_BY_NOTHING)
    return;
  if (naming->by == AU_NAMED_BY_BYTES && !intake->has_time) {
    au_rows_drop_numbers(&intake->rows);
    return;
  }
  const au_uuid_t name =
      au_name_of_request(&naming->digest, intake->has_time, intake->time_us);
  au_rows_set_name(&intake->rows, &name, intake->ids);
}

au_intake_mark_t au_intake_mark(const au_intake_t *intake) {
  return (au_intake_mark_t){.is_single = intake->is_single,
                            .has_time = intake->has_time,
                            .time_us = intake->time_us,
                            .total = intake->total,
                            .attempted = intake->attempted,
                            .rows_count = intake->rows.count,
                            .rows_size = intake->rows.bytes.size,
                            .errors_count = intake->errors_count,
                            .errors_listed = intake->errors_listed,
                            .errors_size = intake->errors_json.size};
}

/* The events from "total" on are not refused. */
static void unmark_refused(au_intake_t *intake, size_t total) {
  au_bytes_t *bits = &intake->refused;
  size_t whole = total / 8;
  if (bits->size <= whole)
    return;
  bits->data[whole] &= (uint8_t)((1U << (total % 8)) - 1);
  bits->size = whole + 1;
}

void au_intake_rewind(au_intake_t *intake, const au_intake_mark_t *mark) {
  intake->is_begun = false;
  intake->is_single = mark->is_single;
  intake->has_time = mark->has_time;
  intake->time_us = mark->time_us;
  intake->total = mark->total;
  intake->attempted = mark->attempted;
  intake->rows.count = mark->rows_count;
  intake->rows.bytes.size = mark->rows_size;
  unmark_refused(intake, mark->total);
  intake->errors_count = mark->errors_count;
  intake->errors_listed = mark->errors_listed;
  intake->errors_json.size = mark->errors_size;
}

/* Counts an event, or what is in the place of one. */
static au_intake_result_t count_event(au_intake_t *intake) {
  if (intake->total == intake->max_events)
    return AU_INTAKE_TOO_MANY;
  intake->attempted = ++intake->total;
  return AU_INTAKE_DONE;
}

au_intake_result_t au_intake_begin_event(au_intake_t *intake) {
  au_validator_begin(&intake->event);
  intake->is_begun = true;
  return count_event(intake);
}

static au_status_t append(au_intake_t *intake, const au_event_t *event) {
  if (intake->event.has_id)
    return au_rows_append_identified(&intake->rows, event);
  if (intake->naming.by == AU_NAMED_BY_NOTHING)
    return au_rows_append(&intake->rows, event);
  return au_rows_append_numbered(&intake->rows, event,
                                 (uint32_t)intake->total - 1);
}

/* false: out of memory. */
static bool add_trace(au_intake_t *intake, au_event_t *event) {
  if (intake->trace == NULL)
    return true;
  au_trace_put(intake->trace, event->metadata, &intake->traced);
  event->metadata = (au_slice_t){.data = (const char *)intake->traced.data,
                                 .size = intake->traced.size};
  return !intake->traced.failed;
}

static bool accept(au_intake_t *intake, au_event_t *event) {
  au_uuid_t *ids =
      au_array_grow_charged(intake->ids, &intake->ids_capacity,
                            intake->rows.count, sizeof(*ids), intake->account);
  if (ids == NULL)
    return false;
  intake->ids = ids;
  if (!add_trace(intake, event))
    return false;
  if (!intake->event.has_id)
    event->id = au_uuid_v7();
  event->ingested_at_us = intake->now_us;
  ids[intake->rows.count] = event->id;
  return append(intake, event) == AU_OK;
}

bool au_intake_is_refused(const au_intake_t *intake, size_t index) {
  size_t byte = index / 8;
  return byte < intake->refused.size &&
         (intake->refused.data[byte] >> (index % 8) & 1) != 0;
}

/* Marks the newest event. */
static bool mark_refused(au_intake_t *intake) {
  size_t index = intake->total - 1;
  size_t byte = index / 8;
  if (byte >= intake->refused.size) {
    size_t more = byte + 1 - intake->refused.size;
    uint8_t *bits = au_bytes_extend(&intake->refused, more);
    if (bits == NULL)
      return false;
    memset(bits, 0, more);
  }
  intake->refused.data[byte] |= (uint8_t)(1U << (index % 8));
  return true;
}

/* Bytes that the errors of one more event may take; 0: it is not listed, and
 * so is none that follows. */
static size_t room_for_errors(const au_intake_t *intake) {
  size_t taken =
      intake->errors_json.size + (intake->errors_listed + 1) * ENTRY_SIZE;
  if (intake->errors_listed == AU_ERRORS_LISTED_MAX ||
      intake->errors_listed < intake->errors_count ||
      taken + AU_FIELD_LISTED_BYTES_MAX > AU_ERRORS_JSON_MAX)
    return 0;
  return AU_ERRORS_JSON_MAX - taken;
}

/* The newest event is refused, and of that so many bytes of errors are listed,
 * the last ones, with "omitted" fields left out; 0: it is not listed. */
static au_intake_result_t refuse(au_intake_t *intake, size_t listed,
                                 size_t omitted) {
  if (intake->errors_json.failed || !mark_refused(intake))
    return AU_INTAKE_NOMEM;
  intake->errors_count++;
  if (listed > 0)
    intake->errors[intake->errors_listed++] =
        (au_intake_error_t){.index = intake->total - 1,
                            .offset = intake->errors_json.size - listed,
                            .size = listed,
                            .fields_omitted = omitted};
  return AU_INTAKE_DONE;
}

/* ... for what the validator has found. */
static au_intake_result_t refuse_event(au_intake_t *intake) {
  au_bytes_t *json = &intake->errors_json;
  size_t room = room_for_errors(intake);
  size_t before = json->size;
  size_t omitted = 0;
  if (room > 0)
    omitted = au_validator_put_errors(&intake->event, room, json);
  return refuse(intake, json->size - before, omitted);
}

au_intake_result_t au_intake_end_event(au_intake_t *intake) {
  au_event_t event = {.occurred_at_us = 0};
  intake->is_begun = false;
  if (!intake->has_time && au_validator_has_time(&intake->event)) {
    intake->has_time = true;
    intake->time_us = intake->event.occurred_at_us;
  }
  au_status_t status = au_validator_finish(&intake->event, &event);
  if (status == AU_INVALID)
    return refuse_event(intake);
  return status == AU_OK && accept(intake, &event) ? AU_INTAKE_DONE
                                                   : AU_INTAKE_NOMEM;
}

au_intake_result_t au_intake_refuse_value(au_intake_t *intake) {
  au_intake_result_t result = count_event(intake);
  if (result != AU_INTAKE_DONE)
    return result;
  size_t before = intake->errors_json.size;
  if (room_for_errors(intake) > 0)
    au_validator_put_not_object(&intake->errors_json);
  return refuse(intake, intake->errors_json.size - before, 0);
}

au_intake_result_t au_intake_refuse_cloudevent(au_intake_t *intake) {
  au_intake_result_t result = count_event(intake);
  if (result != AU_INTAKE_DONE)
    return result;
  size_t before = intake->errors_json.size;
  if (room_for_errors(intake) > 0)
    au_validator_put_not_cloudevent(&intake->errors_json);
  return refuse(intake, intake->errors_json.size - before, 0);
}

au_intake_result_t au_intake_refuse_no_events(au_intake_t *intake) {
  au_intake_result_t result = count_event(intake);
  if (result != AU_INTAKE_DONE)
    return result;
  size_t before = intake->errors_json.size;
  if (room_for_errors(intake) > 0)
    au_validator_put_no_events(&intake->errors_json);
  return refuse(intake, intake->errors_json.size - before, 0);
}

au_intake_result_t au_intake_refuse_text(au_intake_t *intake, const char *what,
                                         size_t byte) {
  au_intake_result_t result =
      intake->is_begun ? AU_INTAKE_DONE : count_event(intake);
  intake->is_begun = false;
  if (result != AU_INTAKE_DONE)
    return result;
  size_t before = intake->errors_json.size;
  if (room_for_errors(intake) > 0)
    au_validator_put_not_json(what, byte, &intake->errors_json);
  return refuse(intake, intake->errors_json.size - before, 0);
}

au_intake_result_t au_intake_malformed(au_intake_t *intake, const char *what,
                                       size_t byte) {
  (void)snprintf(intake->message, sizeof(intake->message), "%s at byte %zu",
                 what, byte);
  return AU_INTAKE_MALFORMED;
}
