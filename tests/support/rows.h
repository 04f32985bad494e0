/* SPDX-License-Identifier: MIT
 *
 * rows - events for tests that need rows of a buffer but not an HTTP request,
 * and waiters for what becomes of them.
 */
#ifndef SUPPORT_ROWS_H
#define SUPPORT_ROWS_H

#include "base/clock.h"
#include "event/row.h"
#include "spool/spool.h"

#include <check.h>
#include <pthread.h>

/* Appends an event accepted at "us" with the message "<text> <number>". */
void put_event(au_rows_t *rows, int64_t us, const char *service,
               const char *text, unsigned number);

/* A waiter that is not waited for: only for appends that are not pending. */
void never_done(au_waiter_t *waiter, au_status_t status);

/* A waiter that can be waited for. */
typedef struct answer {
  au_waiter_t waiter; /* the first member */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool is_done;
  au_status_t status;
} answer_t;

#define ANSWER_INIT                                                            \
  {                                                                            \
    .waiter.done = answer_done, .lock = PTHREAD_MUTEX_INITIALIZER,             \
    .changed = PTHREAD_COND_INITIALIZER                                        \
  }

void answer_done(au_waiter_t *waiter, au_status_t status);
/* The status of the append; if that is AU_PENDING, the one it ends with. */
au_status_t await_answer(answer_t *answer, au_status_t status);

#endif
