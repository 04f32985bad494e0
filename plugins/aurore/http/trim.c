/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * trim - gives memory back to the system after a load.
 *
 * What is freed below the size from which blocks are mapped (base/block.h)
 * stays in the C library's arenas, with holes that only malloc_trim() gives
 * back. It does so for the whole process, of which we are guests: it changes no
 * setting of the allocator, but holds the lock of one arena after the other for
 * some milliseconds. So it is called once after a peak, when it has been quiet
 * from one check to the next, and by the housekeeping thread, so that no
 * request waits for it. A peak that was small is left alone.
 */
#include "http/private.h"

#include <malloc.h>

#define PEAK_BYTES ((uint64_t)4 << 20)
#define PEAK_CONNECTIONS 128
#define QUIET_BYTES ((uint64_t)1 << 20)

void au_trim_check(au_http_t *http) {
  uint64_t highest = au_budget_take_highest(&http->memory.all);
  double connections = au_metrics_gauge(AU_M_HTTP_CONNECTIONS);
  bool is_peak = highest >= PEAK_BYTES || connections >= PEAK_CONNECTIONS;
  bool is_quiet = highest < QUIET_BYTES && connections < PEAK_CONNECTIONS;
  if (is_peak)
    http->is_trim_due = true;
  if (!http->is_trim_due || !is_quiet)
    return;
  http->is_trim_due = false;
#ifdef __GLIBC__
  (void)malloc_trim(0);
#endif
}
