/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/trouble.h"

#include "base/log.h"

#include <string.h>

void au_spool_set_trouble(au_spool_t *spool, const char *trouble, int error) {
  pthread_mutex_lock(&spool->lock);
  bool changed = (spool->trouble == NULL) != (trouble == NULL);
  spool->trouble = trouble;
  if (trouble != NULL)
    pthread_cond_signal(&spool->upkeep); /* it retries the write */
  pthread_mutex_unlock(&spool->lock);
  if (!changed)
    return;
  if (trouble == NULL) {
    au_log(AU_LOG_NOTICE, "the spool works again");
    au_notify(AU_SEVERITY_OKAY, "spool", "the spool works again");
    return;
  }
  au_log(AU_LOG_ERROR,
         "%s: %s; refusing events with 503 until it can be; "
         "accepted events are safe",
         trouble, strerror(error));
  au_notify(AU_SEVERITY_FAILURE, "spool", "%s: %s", trouble, strerror(error));
}

const char *au_spool_trouble(au_spool_t *spool) { return spool->trouble; }
