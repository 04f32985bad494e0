/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * log - one line for the operator, through whatever the host process logs with.
 *
 * Threads: au_log from any thread. au_log_set_sink before the first thread
 * starts; until then lines go to standard error.
 * Wording: lower-case start, no full stop, names in double quotes, the reason
 * and what is done about it. Log a change of state once, not every attempt.
 */
#ifndef AURORE_BASE_LOG_H
#define AURORE_BASE_LOG_H

#include "base/status.h"

#include <stdatomic.h>
#include <stdbool.h>

/* The plugins call these; all else in libaurore is hidden. */
#pragma GCC visibility push(default)

typedef enum au_log_level {
  AU_LOG_ERROR,   /* an operator must act */
  AU_LOG_WARNING, /* degraded, recovers by itself */
  AU_LOG_NOTICE,  /* a change of state */
  AU_LOG_INFO     /* start, stop, settings in force */
} au_log_level_t;

/* Called with a finished line, at most 1000 bytes, no newline. Must be
 * thread-safe. "line" is borrowed for the call. */
typedef void (*au_log_sink_t)(au_log_level_t level, const char *line);

/* Borrows the function for the life of the process; NULL: standard error. */
void au_log_set_sink(au_log_sink_t sink);

/* Logs a line; what is longer than the sink takes is cut. */
void au_log(au_log_level_t level, const char *format, ...) AU_PRINTF(2, 3);

/* Sets "*is_bad" to the state now. Returns whether that is a change, so that
 * only changes are logged. Any thread. */
static inline bool au_log_changed(_Atomic bool *is_bad, bool now) {
  return atomic_exchange(is_bad, now) != now;
}

/* A notification: a change of state that someone may want to be woken for. */
typedef enum au_severity {
  AU_SEVERITY_FAILURE,
  AU_SEVERITY_WARNING,
  AU_SEVERITY_OKAY
} au_severity_t;

/* "type" names what changed ("circuit_breaker_state"); "message" is at most 250
 * bytes. Both are borrowed for the call. Must be thread-safe. */
typedef void (*au_notify_sink_t)(au_severity_t severity, const char *type,
                                 const char *message);

/* As au_log_set_sink; NULL (the default): notifications go nowhere. */
void au_notify_set_sink(au_notify_sink_t sink);

/* Sends it; never call with a lock held: the sink runs other plugins' code. */
void au_notify(au_severity_t severity, const char *type, const char *format,
               ...) AU_PRINTF(3, 4);

#pragma GCC visibility pop

#endif
