/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * health - the parts of answers that several routes of /health and /metrics
 * have in common.
 *
 * Threads: from the hooks of a route.
 */
#ifndef AURORE_API_HEALTH_H
#define AURORE_API_HEALTH_H

#include "api/ask.h"
#include "base/bytes.h"
#include "observe/health.h"

struct au_api; /* api/routes.h */

/* Whether an event would be accepted now. Returns the status, 200 or 503;
 * "out_reason" is NULL when it is 200. */
unsigned au_assess_ready(const au_request_t *request, const char **out_message,
                         const char **out_reason);

/* health_database.c: asks the database for nothing but an answer; the first
 * member of a route's state. For au_ask_t.run, with AU_QUERY_SHORT and
 * AU_PROBE_TIMEOUT_S. */
#define AU_PROBE_TIMEOUT_S 1.0
typedef struct au_probe {
  au_asking_t asking; /* first */
  double latency_ms;  /* of the answer */
} au_probe_t;
au_status_t au_probe_run(void *state, const au_query_job_t *job,
                         au_database_t *database, au_database_error_t *error);

/* What the question to the database has shown, and what the writers see; and
 * the worst of all parts, as /health/detailed says. */
au_health_t au_assess_database(struct au_api *api, const au_probe_t *probe,
                               au_status_t status);
au_health_t au_assess_all(const au_request_t *request, const au_probe_t *probe,
                          au_status_t status);

/* health.c: the answer of /health/buffer as an object. */
void au_put_buffer_health(au_bytes_t *json, const au_request_t *request);

/* health_business.c: the last business metrics as an object; false, and nothing
 * is appended, when there are none yet. */
bool au_put_business(au_bytes_t *json);

/* metrics.c: "total_enqueued", "total_dropped", "drop_rate_percent", ... as an
 * object. */
void au_put_buffer_metrics(au_bytes_t *json);

#endif
