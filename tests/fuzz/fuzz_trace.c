/* SPDX-License-Identifier: MIT
 *
 * fuzz_trace - any text as a header traceparent. What is taken is two ids that
 * are not zero, as they stand in the header, and metadata of them is JSON.
 */
#include "event/trace.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *header = fuzz_text((fuzz_input_t){.data = data, .size = size});
  au_trace_t trace;
  if (au_trace_read(header, &trace)) {
    fuzz_require(strlen(trace.trace_id) == AU_TRACE_ID_SIZE &&
                     strlen(trace.span_id) == AU_SPAN_ID_SIZE,
                 "an id of another length");
    fuzz_require(strncmp(header + 3, trace.trace_id, AU_TRACE_ID_SIZE) == 0 &&
                     strncmp(header + 4 + AU_TRACE_ID_SIZE, trace.span_id,
                             AU_SPAN_ID_SIZE) == 0,
                 "an id that is not in the header");
    fuzz_require(strspn(trace.trace_id, "0") < AU_TRACE_ID_SIZE &&
                     strspn(trace.span_id, "0") < AU_SPAN_ID_SIZE,
                 "an id of zeros");
    au_bytes_t json = AU_BYTES_INIT;
    au_trace_put(&trace, (au_slice_t){.data = NULL}, &json);
    fuzz_require(json.size == strlen("{'traceId':'','spanId':''}") +
                                  AU_TRACE_ID_SIZE + AU_SPAN_ID_SIZE,
                 "metadata of another length");
    au_bytes_fini(&json);
  }
  free(header);
  return 0;
}
