/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * slots - see slots.h.
 */
#include "database/slots.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct au_slots {
  int fd;
  pthread_mutex_t lock;     /* held while both are changed */
  _Atomic unsigned missing; /* writers without a connection */
};

au_status_t au_slots_create(au_slots_t **out_slots) {
  au_slots_t *slots = calloc(1, sizeof(*slots));
  if (slots == NULL)
    return AU_NOMEM;
  slots->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (slots->fd < 0 || pthread_mutex_init(&slots->lock, NULL) != 0) {
    if (slots->fd >= 0)
      close(slots->fd);
    free(slots);
    return AU_NOMEM;
  }
  *out_slots = slots;
  return AU_OK;
}

void au_slots_destroy(au_slots_t *slots) {
  if (slots == NULL)
    return;
  close(slots->fd);
  pthread_mutex_destroy(&slots->lock);
  free(slots);
}

void au_slots_report(au_slots_t *slots, bool *is_missing, bool now) {
  if (slots == NULL || *is_missing == now)
    return;
  *is_missing = now;
  pthread_mutex_lock(&slots->lock);
  eventfd_t value;
  if (now && atomic_fetch_add(&slots->missing, 1) == 0)
    (void)eventfd_write(slots->fd, 1);
  else if (!now && atomic_fetch_sub(&slots->missing, 1) == 1)
    (void)eventfd_read(slots->fd, &value);
  pthread_mutex_unlock(&slots->lock);
}

bool au_slots_are_short(const au_slots_t *slots) {
  return slots != NULL && atomic_load(&slots->missing) > 0;
}

int au_slots_fd(const au_slots_t *slots) {
  return slots != NULL ? slots->fd : -1;
}
