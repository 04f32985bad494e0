/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * ndjson - the grammar of NDJSON: one JSON object a line, each of which is an
 * event; blank lines are skipped. A line that is not JSON is refused like an
 * event that breaks a rule, and harms no other.
 */
#ifndef AURORE_EVENT_NDJSON_H
#define AURORE_EVENT_NDJSON_H

#include "event/json.h"

/* As au_json_read. */
AU_MUST_CHECK au_intake_result_t au_ndjson_read(au_json_reader_t *reader,
                                                const char *body, size_t size);

#endif
