/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder. */
#include "api/event_lookup.h"

#include "api/dead_letter_query.h"
#include "api/event_item.h"
#include "base/clock.h"

#include <string.h>

#define VERSION_7 7

/* An id is made while its request is read, a moment after the time of
 * acceptance was taken: the narrow span is that moment. The wide one is for a
 * machine that was busy, and for a clock that was set back, while ids go on
 * from where they were. Rows of so long a time are read. */
typedef struct span {
  int64_t before_us;
  int64_t after_us;
} span_t;
static const span_t spans[] = {
    {.before_us = AU_US_PER_S / 4, .after_us = AU_US_PER_S / 1000},
    {.before_us = 5 * AU_US_PER_S, .after_us = AU_US_PER_S}};

bool au_event_lookup_time(const au_uuid_t *id, int64_t *out_us) {
  int64_t ms = 0;
  for (unsigned i = 0; i < 6; i++)
    ms = ms << 8 | id->byte[i];
  *out_us = ms * 1000;
  return id->byte[6] >> 4 == VERSION_7;
}

static void take_event(const au_result_t *row, void *context) {
  au_event_lookup_t *lookup = context;
  if (lookup->json.size == 0) /* one is enough */
    au_event_item_put(&lookup->json, row, 0);
}

/* "condition" is freed. */
static au_status_t ask_where(au_event_lookup_t *lookup,
                             const au_query_job_t *job, au_database_t *database,
                             au_bytes_t *condition,
                             au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SET LOCAL jit = off; "
                            "SELECT " AU_EVENT_ITEM_COLUMNS
                            " FROM aurore.event WHERE ");
  au_bytes_put(&sql, condition->data, condition->size);
  au_bytes_put_string(&sql, " AND event_id = ");
  au_database_put_uuid(&sql, &lookup->id);
  au_bytes_put_string(&sql, " LIMIT 1");
  const char *text = condition->failed ? NULL : au_bytes_text(&sql);
  au_status_t status = AU_NOMEM;
  if (text != NULL)
    status = au_query_rows(job, database, text, take_event, lookup, error);
  au_bytes_fini(condition);
  au_bytes_fini(&sql);
  return status;
}

static void put_between(au_bytes_t *sql, const char *column, int64_t from_us,
                        int64_t to_us) {
  au_bytes_printf(sql, "%s >= ", column);
  au_database_put_time(sql, from_us);
  au_bytes_printf(sql, " AND %s <= ", column);
  au_database_put_time(sql, to_us);
}

/* Where its service and its own time are known, or about. */
static void put_place(au_bytes_t *sql, const char *service, size_t size,
                      int64_t from_us, int64_t to_us) {
  au_bytes_put_string(sql, "service = ");
  au_database_put_literal(sql, service, size);
  au_bytes_put_string(sql, " AND ");
  put_between(sql, "occurred_at", from_us, to_us);
}

void au_event_lookup_place(au_event_lookup_t *lookup, const char *service,
                           int64_t from_us, int64_t to_us) {
  lookup->has_place = true;
  put_place(&lookup->place, service, strlen(service), from_us, to_us);
}

/* Where the time of its acceptance is known, or about. */
static au_status_t ask_accepted(au_event_lookup_t *lookup,
                                const au_query_job_t *job,
                                au_database_t *database, int64_t us,
                                au_database_error_t *error) {
  au_status_t status = AU_OK;
  const span_t *end = spans + sizeof(spans) / sizeof(spans[0]);
  for (const span_t *span = spans;
       span < end && status == AU_OK && lookup->json.size == 0; span++) {
    au_bytes_t condition = AU_BYTES_INIT;
    put_between(&condition, "ingested_at", us - span->before_us,
                us + span->after_us);
    status = ask_where(lookup, job, database, &condition, error);
  }
  return status;
}

/* Where the event of a dead letter is that was put back: it has another time of
 * acceptance by then, but what is its own is in the dead letter. */
static au_status_t ask_put_back(au_event_lookup_t *lookup,
                                const au_query_job_t *job,
                                au_database_t *database,
                                const au_event_t *event,
                                au_database_error_t *error) {
  au_bytes_t condition = AU_BYTES_INIT;
  put_place(&condition, event->service.data, event->service.size,
            event->occurred_at_us, event->occurred_at_us);
  return ask_where(lookup, job, database, &condition, error);
}

static void put_dead_letter(au_event_lookup_t *lookup,
                            const au_dead_letter_t *letter) {
  au_bytes_t *json = &lookup->json;
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(&letter->id, text);
  au_bytes_printf(json, "{\"deadLetter\":\"%s\",", text);
  au_uuid_format(&lookup->id, text);
  au_bytes_printf(json, "\"eventId\":\"%s\",\"failureReason\":", text);
  au_bytes_put(json, letter->reason.data, letter->reason.size);
  au_bytes_put_u8(json, '}');
}

/* Whether it was set aside, and put back since. */
static au_status_t ask_dead_letter(au_event_lookup_t *lookup,
                                   const au_query_job_t *job,
                                   au_database_t *database,
                                   au_database_error_t *error) {
  au_dead_letter_t letter = {.retry_count = 0};
  au_status_t status =
      au_dead_letter_of_event(job, database, &lookup->id, &letter, error);
  if (status != AU_OK || !letter.is_found) {
    au_dead_letter_fini(&letter);
    return status;
  }
  if (!letter.is_reprocessed)
    put_dead_letter(lookup, &letter);
  else if (letter.is_stored && letter.is_decoded)
    status = ask_put_back(lookup, job, database, &letter.event, error);
  else
    lookup->is_on_the_way = !letter.is_stored;
  au_dead_letter_fini(&letter);
  return status;
}

au_status_t au_event_lookup_ask(au_event_lookup_t *lookup,
                                const au_query_job_t *job,
                                au_database_t *database,
                                au_database_error_t *error) {
  int64_t us = 0;
  au_status_t status = AU_OK;
  if (lookup->has_place)
    status = ask_where(lookup, job, database, &lookup->place, error);
  else if (au_event_lookup_time(&lookup->id, &us))
    status = ask_accepted(lookup, job, database, us, error);
  if (status == AU_OK && lookup->json.size == 0)
    status = ask_dead_letter(lookup, job, database, error);
  return status == AU_OK && lookup->json.failed ? AU_NOMEM : status;
}

void au_event_lookup_fini(au_event_lookup_t *lookup) {
  au_bytes_fini(&lookup->place);
  au_bytes_fini(&lookup->json);
}
