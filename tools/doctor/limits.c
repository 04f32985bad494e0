/* SPDX-License-Identifier: MIT
 *
 * limits - how many files collectd may have open, against what it needs.
 */
#include "tools/doctor/doctor.h"

#include "pipeline.h"

#include <inttypes.h>

#define WHAT "descriptors"

void ctl_doctor_limits(ctl_doctor_t *doctor) {
  const au_options_t *options = &doctor->options;
  if (doctor->files_limit == 0 || !doctor->is_loaded[AU_SIDE_BUFFER])
    return;
  uint64_t needed =
      options->max_connections +
      au_pipeline_descriptors(options, options->lanes,
                              options->spool_directory[0] == '\0');
  if (doctor->files_limit >= needed) {
    ctl_find(&doctor->findings, CTL_OK, WHAT,
             "collectd may open %" PRIu64 " files, and needs some %" PRIu64,
             doctor->files_limit, needed);
    return;
  }
  ctl_find(&doctor->findings, CTL_WARNING, WHAT,
           "collectd may open %" PRIu64 " files; MaxConnections %u needs some "
           "%" PRIu64 ", so that it is lowered",
           doctor->files_limit, options->max_connections, needed);
  ctl_advise(&doctor->findings,
             "systemctl edit collectd: [Service] LimitNOFILE=%" PRIu64
             ", then restart it",
             2 * needed);
}
