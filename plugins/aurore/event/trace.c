/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 *   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *   version, trace, span, flags; a later version may have more behind it
 */
#include "event/trace.h"

#include <string.h>

#define HEX "0123456789abcdef"
#define VERSION_SIZE 2
#define FLAGS_SIZE 2
/* Kept from event to event. */
#define KEEP_BYTES ((size_t)32 << 10)

/* A field of so many digits, and where the next one begins; NULL: it is none.
 */
static const char *field(const char *text, size_t size) {
  return text != NULL && strspn(text, HEX) == size ? text + size : NULL;
}

static const char *after_hyphen(const char *text) {
  return text != NULL && *text == '-' ? text + 1 : NULL;
}

/* An id of zeros is none. */
static bool is_zero(const char *text, size_t size) {
  return strspn(text, "0") >= size;
}

bool au_trace_read(const char *traceparent, au_trace_t *out_trace) {
  const char *trace_id = after_hyphen(field(traceparent, VERSION_SIZE));
  const char *span_id = after_hyphen(field(trace_id, AU_TRACE_ID_SIZE));
  const char *flags = after_hyphen(field(span_id, AU_SPAN_ID_SIZE));
  const char *end = field(flags, FLAGS_SIZE);
  if (end == NULL || strncmp(traceparent, "ff", VERSION_SIZE) == 0)
    return false;
  bool is_first = strncmp(traceparent, "00", VERSION_SIZE) == 0;
  if (*end != '\0' && (is_first || *end != '-'))
    return false;
  if (is_zero(trace_id, AU_TRACE_ID_SIZE) || is_zero(span_id, AU_SPAN_ID_SIZE))
    return false;
  memcpy(out_trace->trace_id, trace_id, AU_TRACE_ID_SIZE);
  memcpy(out_trace->span_id, span_id, AU_SPAN_ID_SIZE);
  out_trace->trace_id[AU_TRACE_ID_SIZE] = '\0';
  out_trace->span_id[AU_SPAN_ID_SIZE] = '\0';
  out_trace->is_sampled = strchr("13579bdf", flags[1]) != NULL;
  return true;
}

void au_trace_put(const au_trace_t *trace, au_slice_t metadata,
                  au_bytes_t *json) {
  au_bytes_clear(json, KEEP_BYTES);
  au_bytes_put_string(json, "{\"traceId\":\"");
  au_bytes_put_string(json, trace->trace_id);
  au_bytes_put_string(json, "\",\"spanId\":\"");
  au_bytes_put_string(json, trace->span_id);
  au_bytes_put_u8(json, '"');
  if (metadata.data == NULL || metadata.size <= strlen("{}")) {
    au_bytes_put_u8(json, '}');
    return;
  }
  au_bytes_put_u8(json, ',');
  au_bytes_put(json, metadata.data + 1, metadata.size - 1);
}
