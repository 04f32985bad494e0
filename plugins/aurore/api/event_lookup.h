/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * event_lookup - one event by its id. No index has the ids alone: it would cost
 * each insert more than all else. An id that was made here (version 7) begins
 * with the moment of acceptance, for which there is a BRIN; for another one a
 * service and a range of times say where to look, and the index of GET /events
 * has the id, too. An event that was set aside is known by its id.
 *
 * Threads: one lookup by one thread at a time.
 */
#ifndef AURORE_API_EVENT_LOOKUP_H
#define AURORE_API_EVENT_LOOKUP_H

#include "base/bytes.h"
#include "base/uuid.h"
#include "database/query_pool.h"

typedef struct au_event_lookup {
  au_uuid_t id;
  bool has_place;   /* by au_event_lookup_place */
  au_bytes_t place; /* its condition */

  /* What was found. */
  au_bytes_t json;    /* empty: nothing */
  bool is_on_the_way; /* its dead letter was put back, and it is not stored */
} au_event_lookup_t;

/* Whether the id has a time of its own: that of its acceptance, if it was made
 * here. */
bool au_event_lookup_time(const au_uuid_t *id, int64_t *out_us);

/* Says where to look, whatever the id is. */
void au_event_lookup_place(au_event_lookup_t *lookup, const char *service,
                           int64_t from_us, int64_t to_us);

/* As au_query_run_t: asks, and makes "json": the event, or its dead letter. */
AU_MUST_CHECK au_status_t au_event_lookup_ask(au_event_lookup_t *lookup,
                                              const au_query_job_t *job,
                                              au_database_t *database,
                                              au_database_error_t *error);

/* Frees what it holds, also when nothing was asked. */
void au_event_lookup_fini(au_event_lookup_t *lookup);

#endif
