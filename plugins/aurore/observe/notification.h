/* SPDX-License-Identifier: MIT
 * Part of observe/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * notification - collectd's notifications as events: of the service
 * "collectd/<plugin>", with what the notification says as message, and where it
 * comes from as metadata.
 *
 * A notification may come from any thread of the process, also from one of ours
 * in the middle of its work, so put only appends it to a short queue. A thread
 * of this module validates the events as those of a request are validated, and
 * appends them to the buffer. What does not fit into a limit is cut (message,
 * service) or left out (first the notification's own values, then all
 * metadata).
 *
 * Notifications that cannot be kept are counted: in events_dropped_total when
 * the buffer is full, else in events_rejected_total ("unavailable": the queue
 * is full or the buffer takes nothing; "invalid"). Those that are kept count as
 * accepted, like all events.
 *
 * Threads: start and stop from one thread; put from any, at any time.
 */
#ifndef AURORE_OBSERVE_NOTIFICATION_H
#define AURORE_OBSERVE_NOTIFICATION_H

#include "base/status.h"
#include "event/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct au_buffer;

/* Notifications that may wait for the thread. */
#define AU_NOTIFICATION_QUEUE 256
/* Of a notification's own values; more are left out. */
#define AU_NOTIFICATION_VALUES 64

typedef enum au_notification_kind {
  AU_NOTIFICATION_STRING,
  AU_NOTIFICATION_SIGNED,
  AU_NOTIFICATION_UNSIGNED,
  AU_NOTIFICATION_DOUBLE,
  AU_NOTIFICATION_BOOLEAN
} au_notification_kind_t;

/* One of a notification's own values. */
typedef struct au_notification_value {
  const char *name;
  au_notification_kind_t kind;
  union {
    const char *string;
    int64_t signed_int;
    uint64_t unsigned_int;
    double number;
    bool boolean;
  } value;
} au_notification_value_t;

/* All text is borrowed for the call, and may be any bytes. */
typedef struct au_notification {
  int64_t time_us; /* since 1970; outside the years of an event: now */
  const char *severity;
  const char *host;
  const char *plugin;
  const char *plugin_instance;
  const char *type;
  const char *type_instance;
  const char *message;
  const au_notification_value_t *values;
  size_t values_count;
} au_notification_t;

/* Starts the thread. "limits" and "buffer" are borrowed until stop. AU_NOMEM:
 * nothing was started. */
AU_MUST_CHECK au_status_t au_notification_start(const au_limits_t *limits,
                                                struct au_buffer *buffer);

/* Appends what waits, and ends the thread. To be called before the buffer is
 * closed. Without a start it does nothing. */
void au_notification_stop(void);

/* The plugins call this; all else in libaurore is hidden. */
#pragma GCC visibility push(default)

/* Takes a notification; before start and after stop it does nothing. Never
 * waits, logs or notifies. */
void au_notification_put(const au_notification_t *notice);

#pragma GCC visibility pop

#endif
