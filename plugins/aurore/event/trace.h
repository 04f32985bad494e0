/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * trace - the trace that a request belongs to, as its header "traceparent" says
 * (W3C Trace Context, https://www.w3.org/TR/trace-context/), and its place in
 * the metadata of the request's events.
 *
 * Threads: pure.
 */
#ifndef AURORE_EVENT_TRACE_H
#define AURORE_EVENT_TRACE_H

#include "base/bytes.h"
#include "event/event.h"

#include <stdbool.h>

#define AU_TRACE_ID_SIZE 32
#define AU_SPAN_ID_SIZE 16

/* Both in lower-case hexadecimal digits, each followed by NUL. */
typedef struct au_trace {
  char trace_id[AU_TRACE_ID_SIZE + 1];
  char span_id[AU_SPAN_ID_SIZE + 1];
  bool is_sampled; /* whoever calls us says that the trace is recorded */
} au_trace_t;

/* Reads the header's value (NULL: there is none). false: it is not one, or one
 * that names no trace; it is passed over then, as the standard wants it. */
bool au_trace_read(const char *traceparent, au_trace_t *out_trace);

/* Replaces "json" by the metadata (compact JSON of an object, or data == NULL),
 * with "traceId" and "spanId" before its own members: a member of that name
 * that it has stands, since PostgreSQL keeps the last of two. They come on top
 * of the limits of metadata. Out of memory: json->failed. */
void au_trace_put(const au_trace_t *trace, au_slice_t metadata,
                  au_bytes_t *json);

#endif
