/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/intake.h"

#include "base/array.h"

#include <stdio.h>
#include <stdlib.h>

/* Kept from request to request; the rows have a bound of their own. */
#define KEEP_BYTES ((size_t)32 << 10)
#define KEEP_IDS ((size_t)2048)
#define KEEP_ERRORS ((size_t)1024)

void au_intake_init(au_intake_t *intake, const au_limits_t *limits) {
  *intake = (au_intake_t){.limits = limits};
  au_validator_init(&intake->event, limits);
}

void au_intake_fini(au_intake_t *intake) {
  au_validator_fini(&intake->event);
  au_rows_fini(&intake->rows);
  au_bytes_fini(&intake->errors_json);
  free(intake->ids);
  free(intake->errors);
  *intake = (au_intake_t){.limits = NULL};
}

void au_intake_discard(au_intake_t *intake) {
  intake->is_single = false;
  intake->total = 0;
  intake->errors_count = 0;
  au_rows_clear(&intake->rows);
  au_bytes_clear(&intake->errors_json, KEEP_BYTES);
  if (intake->ids_capacity > KEEP_IDS) {
    free(intake->ids);
    intake->ids = NULL;
    intake->ids_capacity = 0;
  }
  if (intake->errors_capacity > KEEP_ERRORS) {
    free(intake->errors);
    intake->errors = NULL;
    intake->errors_capacity = 0;
  }
}

void au_intake_begin(au_intake_t *intake, int64_t now_us) {
  au_intake_discard(intake);
  intake->message[0] = '\0';
  intake->now_us = now_us;
}

/* Counts an event, or what is in the place of one. */
static au_intake_result_t count_event(au_intake_t *intake) {
  if (intake->total == intake->limits->max_batch_events)
    return AU_INTAKE_TOO_MANY;
  intake->total++;
  return AU_INTAKE_DONE;
}

au_intake_result_t au_intake_begin_event(au_intake_t *intake) {
  au_validator_begin(&intake->event);
  return count_event(intake);
}

static bool accept(au_intake_t *intake, au_event_t *event) {
  au_uuid_t *ids = au_array_grow(intake->ids, &intake->ids_capacity,
                                 intake->rows.count, sizeof(*ids));
  if (ids == NULL)
    return false;
  intake->ids = ids;
  event->id = au_uuid_v7();
  event->ingested_at_us = intake->now_us;
  ids[intake->rows.count] = event->id;
  return au_rows_append(&intake->rows, event) == AU_OK;
}

/* Refuses the newest event for what errors_json holds from "offset" on. */
static bool refuse(au_intake_t *intake, size_t offset) {
  if (intake->errors_json.failed)
    return false;
  au_intake_error_t *errors =
      au_array_grow(intake->errors, &intake->errors_capacity,
                    intake->errors_count, sizeof(*errors));
  if (errors == NULL)
    return false;
  intake->errors = errors;
  errors[intake->errors_count++] =
      (au_intake_error_t){.index = intake->total - 1,
                          .offset = offset,
                          .size = intake->errors_json.size - offset};
  return true;
}

au_intake_result_t au_intake_end_event(au_intake_t *intake) {
  size_t offset = intake->errors_json.size;
  au_event_t event = {.occurred_at_us = 0};
  bool done = false;
  au_status_t status = au_validator_finish(&intake->event, &event);
  if (status == AU_OK) {
    done = accept(intake, &event);
  } else if (status == AU_INVALID) {
    au_validator_put_errors(&intake->event, &intake->errors_json);
    done = refuse(intake, offset);
  }
  return done ? AU_INTAKE_DONE : AU_INTAKE_NOMEM;
}

au_intake_result_t au_intake_refuse_value(au_intake_t *intake) {
  au_intake_result_t result = count_event(intake);
  if (result != AU_INTAKE_DONE)
    return result;
  size_t offset = intake->errors_json.size;
  au_validator_put_not_object(&intake->errors_json);
  return refuse(intake, offset) ? AU_INTAKE_DONE : AU_INTAKE_NOMEM;
}

au_intake_result_t au_intake_malformed(au_intake_t *intake, const char *what,
                                       size_t byte) {
  (void)snprintf(intake->message, sizeof(intake->message), "%s at byte %zu",
                 what, byte);
  return AU_INTAKE_MALFORMED;
}
