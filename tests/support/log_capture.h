/* SPDX-License-Identifier: MIT
 *
 * log_capture - counts what is logged and notified instead of showing it.
 *
 * Threads: lines and notifications from any; the rest from the test.
 */
#ifndef SUPPORT_LOG_CAPTURE_H
#define SUPPORT_LOG_CAPTURE_H

#include "base/log.h"

/* From now on, and from nothing on; a second call forgets what there was. */
void capture_log(void);
/* What is logged goes to standard error again, what is notified nowhere. */
void release_log(void);

/* What is logged and notified goes nowhere, until release_log. */
void ignore_log(void);

unsigned logged(au_log_level_t level);
unsigned notified(au_severity_t severity);
/* The newest warning; "" when there is none. Until the thread's next call. */
const char *last_warning(void);

/* Waits, as long as the test may take, until there are at least "count". */
void await_logged(au_log_level_t level, unsigned count);
void await_notified(au_severity_t severity, unsigned count);

/* From now on, lines with this part are counted. */
void watch_log_for(const char *part);
unsigned log_matches(void);
void await_log_match(void);

#endif
