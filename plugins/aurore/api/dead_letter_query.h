/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * dead_letter_query - what the API asks the database about dead letters, and
 * does to them; api/dead_letters.c are the routes. How one is made, and what
 * happens to one that is put back, is described in store/dead_letter.h.
 *
 * Each function returns what the database returned, or AU_NOMEM. JSON is
 * appended, and is complete only on AU_OK.
 *
 * Threads: those of the query pool, as the connection.
 */
#ifndef AURORE_API_DEAD_LETTER_QUERY_H
#define AURORE_API_DEAD_LETTER_QUERY_H

#include "base/bytes.h"
#include "database/query_pool.h"
#include "http/parameters.h"

typedef enum au_dead_letter_state {
  AU_DEAD_LETTER_ANY,
  AU_DEAD_LETTER_PENDING,
  AU_DEAD_LETTER_REPROCESSED
} au_dead_letter_state_t;

/* The parameter "reprocessed"; of dead_letters.c. */
au_dead_letter_state_t
au_dead_letter_state_read(const au_parameter_t *parameter,
                          au_refusals_t *refusals);

/* How long an event that was put back may wait before it may be put back once
 * more. */
#define AU_DEAD_LETTER_WAITS_AT_MOST "interval '10 minutes'"

typedef struct au_dead_letter_filter {
  const char *service; /* NULL: any; borrowed */
  au_dead_letter_state_t state;
  int64_t limit;
  int64_t offset;
} au_dead_letter_filter_t;

/* One page, the newest first: {"events":[...],"total":...,...}. */
AU_MUST_CHECK au_status_t
au_dead_letter_list(const au_query_job_t *job, au_database_t *database,
                    const au_dead_letter_filter_t *filter, au_bytes_t *json,
                    au_database_error_t *error);

/* {"total":...,"byService":{...},...}; beyond the largest thousand services
 * the rest is "other". */
AU_MUST_CHECK au_status_t au_dead_letter_statistics(const au_query_job_t *job,
                                                    au_database_t *database,
                                                    au_bytes_t *json,
                                                    au_database_error_t *error);

/* One with its event; nothing is appended when there is none. An event that
 * cannot be decoded is null. */
AU_MUST_CHECK au_status_t au_dead_letter_show(const au_query_job_t *job,
                                              au_database_t *database,
                                              const au_uuid_t *id,
                                              au_bytes_t *json,
                                              au_database_error_t *error);

/* One that is to be put back. */
typedef struct au_dead_letter {
  au_uuid_t id;
  bool is_found;
  bool is_reprocessed; /* its event is stored, or waits */
  bool is_decoded;     /* "event" is valid, and its row would be sound */
  au_event_t event;    /* points into "tuple" */
  au_bytes_t tuple;
  int retry_count;
  bool is_stored;    /* of_event: its event is in the table */
  au_bytes_t reason; /* of_event: why it was refused, as a JSON string */
} au_dead_letter_t;

/* Reads the one with letter->id; free with fini. One that was put back and is
 * neither stored nor refused after ten minutes is not taken for reprocessed:
 * its event was lost with the memory or the disk it waited in, and if it was
 * not, it is still stored only once. */
AU_MUST_CHECK au_status_t au_dead_letter_read(const au_query_job_t *job,
                                              au_database_t *database,
                                              au_dead_letter_t *letter,
                                              au_database_error_t *error);
void au_dead_letter_fini(au_dead_letter_t *letter);

/* The event of one, whoever wrote it, from the columns "event" and "format", in
 * the memory of "tuple"; false: it cannot be decoded, or would not make a sound
 * row. */
bool au_dead_letter_decode(const char *bytea, const char *format,
                           au_bytes_t *tuple, au_event_t *out_event);

/* The newest one of the event with this id. "is_reprocessed" is whether it was
 * put back, however long ago. */
AU_MUST_CHECK au_status_t au_dead_letter_of_event(const au_query_job_t *job,
                                                  au_database_t *database,
                                                  const au_uuid_t *event_id,
                                                  au_dead_letter_t *letter,
                                                  au_database_error_t *error);

/* Its event has been put into the buffer. "out_is_found" false: the dead letter
 * was deleted meanwhile, and its event with it, unless it was stored by then.
 */
AU_MUST_CHECK au_status_t au_dead_letter_mark(const au_query_job_t *job,
                                              au_database_t *database,
                                              const au_dead_letter_t *letter,
                                              bool *out_is_found,
                                              au_database_error_t *error);

typedef enum au_dead_letter_deletion {
  AU_DEAD_LETTER_NONE,
  AU_DEAD_LETTER_DELETED,
  AU_DEAD_LETTER_BUSY /* its event waits in a buffer: it may come back */
} au_dead_letter_deletion_t;

/* Deletes the dead letter, unless it is being put back. As au_query_run_t;
 * "out_deletion" is valid on AU_OK. */
AU_MUST_CHECK au_status_t au_dead_letter_delete(
    const au_query_job_t *job, au_database_t *database, const au_uuid_t *id,
    au_dead_letter_deletion_t *out_deletion, au_database_error_t *error);

#endif
