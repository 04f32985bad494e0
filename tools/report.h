/* SPDX-License-Identifier: MIT
 *
 * report - what "send" has done so far, and what it says of it: a line that is
 * kept up to date on a terminal; elsewhere only trouble, when it begins and
 * when it ends; and the events that were refused.
 */
#ifndef AURORECTL_REPORT_H
#define AURORECTL_REPORT_H

#include "tools/batch.h"
#include "tools/client.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct ctl_report {
  bool is_quiet;
  bool is_terminal;
  const char *rejected_path; /* NULL: not kept */
  FILE *rejected;
  uint64_t accepted;
  uint64_t refused;
  uint64_t bytes;
  int64_t start_ns;
  int64_t shown_ns;
  bool is_in_trouble;
  unsigned refusals_shown;
} ctl_report_t;

/* false: the file for refused events cannot be opened; it has said so. */
bool ctl_report_open(ctl_report_t *report, const char *rejected_path,
                     bool is_quiet);
/* Says what was done, on a terminal. */
void ctl_report_close(ctl_report_t *report);

/* The server has taken the batch's part, or what of it is in order. false: the
 * refused ones could not be kept. */
bool ctl_report_taken(ctl_report_t *report, const ctl_batch_t *batch,
                      ctl_answer_t *answer);
/* It has refused all of it. */
bool ctl_report_refused(ctl_report_t *report, const ctl_batch_t *batch,
                        ctl_answer_t *answer);
/* It is tried again in so many seconds. */
void ctl_report_trouble(ctl_report_t *report, const char *why, double wait_s);

#endif
