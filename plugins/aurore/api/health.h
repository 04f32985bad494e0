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

#include "base/bytes.h"
#include "http/request.h"

/* Whether an event would be accepted now. Returns the status, 200 or 503;
 * "out_reason" is NULL when it is 200. */
unsigned au_assess_ready(const au_request_t *request, const char **out_message,
                         const char **out_reason);

/* health.c: the answer of /health/buffer as an object. */
void au_put_buffer_health(au_bytes_t *json, const au_request_t *request);

/* health_business.c: the last business metrics as an object; false, and nothing
 * is appended, when there are none yet. */
bool au_put_business(au_bytes_t *json);

/* metrics.c: "total_enqueued", "total_dropped", "drop_rate_percent", ... as an
 * object. */
void au_put_buffer_metrics(au_bytes_t *json);

#endif
