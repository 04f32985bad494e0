/* SPDX-License-Identifier: MIT
 *
 * finding - what "doctor" has found: a line for each check on standard output,
 * and lines with what to do about it.
 */
#ifndef AURORECTL_FINDING_H
#define AURORECTL_FINDING_H

#include "base/status.h"

#include <stdbool.h>

typedef enum ctl_state {
  CTL_OK,
  CTL_WARNING, /* works, but not as well as it should, or not for long */
  CTL_PROBLEM, /* something that is promised does not hold */
  CTL_STATES
} ctl_state_t;

typedef struct ctl_findings {
  unsigned count[CTL_STATES];
  bool is_colored;
} ctl_findings_t;

/* Colors are for terminals, and for who has not set NO_COLOR. */
void ctl_findings_init(ctl_findings_t *findings);

/* "problem  WHAT: TEXT". Characters that would move a cursor become spaces. */
void ctl_find(ctl_findings_t *findings, ctl_state_t state, const char *what,
              const char *format, ...) AU_PRINTF(4, 5);
/* What to do about what was found last; may be several. */
void ctl_advise(const ctl_findings_t *findings, const char *format, ...)
    AU_PRINTF(2, 3);
/* The last line: how many of each. */
void ctl_findings_sum(const ctl_findings_t *findings);

#endif
