/* SPDX-License-Identifier: MIT */
#include "support/rows.h"

#include <stdio.h>
#include <string.h>

void put_event(au_rows_t *rows, int64_t us, const char *service,
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

void never_done(au_waiter_t *waiter, au_status_t status) {
  (void)waiter;
  (void)status;
  ck_abort_msg("an append was pending");
}

void answer_done(au_waiter_t *waiter, au_status_t status) {
  answer_t *answer = (answer_t *)waiter;
  pthread_mutex_lock(&answer->lock);
  answer->is_done = true;
  answer->status = status;
  pthread_cond_signal(&answer->changed);
  pthread_mutex_unlock(&answer->lock);
}

au_status_t await_answer(answer_t *answer, au_status_t status) {
  if (status != AU_PENDING)
    return status;
  pthread_mutex_lock(&answer->lock);
  while (!answer->is_done)
    pthread_cond_wait(&answer->changed, &answer->lock);
  pthread_mutex_unlock(&answer->lock);
  return answer->status;
}
