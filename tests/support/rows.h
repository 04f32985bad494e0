/* SPDX-License-Identifier: MIT
 *
 * rows - events for tests that need rows of a buffer but not an HTTP request.
 */
#ifndef SUPPORT_ROWS_H
#define SUPPORT_ROWS_H

#include "base/clock.h"
#include "event/row.h"
#include "spool/spool.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* Appends an event accepted at "us" with the message "<text> <number>". */
static inline void put_event(au_rows_t *rows, int64_t us, const char *service,
                             const char *text, unsigned number) {
  char message[128];
  snprintf(message, sizeof(message), "%s %u", text, number);
  const au_event_t event = {
      .id = au_uuid_v7(),
      .ingested_at_us = us,
      .occurred_at_us = us - 1000,
      .service = {.data = service, .size = strlen(service)},
      .message = {.data = message, .size = strlen(message)},
      .metadata = {.data = "{\"n\":1}", .size = 7}};
  ck_assert_int_eq(au_rows_append(rows, &event), AU_OK);
}

/* A waiter that is not waited for: only for appends that are not pending. */
static inline void never_done(au_waiter_t *waiter, au_status_t status) {
  (void)waiter;
  (void)status;
  ck_abort_msg("an append was pending");
}

#endif
