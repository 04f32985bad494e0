/* SPDX-License-Identifier: MIT
 *
 * linger - see linger.h.
 */
#include "http/linger.h"

#include "base/clock.h"
#include "base/thread.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define TIME_NS (5 * AU_NS_PER_S)

typedef struct rest {
  int fd;
  int64_t until_ns;
} rest_t;

struct au_linger {
  pthread_t thread;
  int wake_fd;          /* immutable */
  pthread_mutex_t lock; /* protects: all below */
  rest_t rest[CONNECTIONS_MAX];
  unsigned count;
  bool stop;
};

void au_linger_add(au_linger_t *linger, int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0)
    return;
  pthread_mutex_lock(&linger->lock);
  bool taken = linger->count < CONNECTIONS_MAX && !linger->stop;
  if (taken)
    linger->rest[linger->count++] =
        (rest_t){.fd = copy, .until_ns = au_clock_monotonic_ns() + TIME_NS};
  pthread_mutex_unlock(&linger->lock);
  if (!taken)
    close(copy);
  else
    eventfd_write(linger->wake_fd, 1);
}

/* Throws away what has come; true when the connection is at its end. */
static bool drain(int fd) {
  char waste[16384];
  /* Bounded, so that one fast sender does not keep the others waiting. */
  for (int i = 0; i < 16; i++) {
    ssize_t got = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
    if (got == 0)
      return true;
    if (got < 0)
      return false; /* nothing now; a real error shows as POLLERR */
  }
  return false;
}

static unsigned copy_rests(au_linger_t *linger, rest_t *rest, bool *stop) {
  pthread_mutex_lock(&linger->lock);
  unsigned count = linger->count;
  memcpy(rest, linger->rest, count * sizeof(*rest));
  *stop = linger->stop;
  pthread_mutex_unlock(&linger->lock);
  return count;
}

static void forget(au_linger_t *linger, int fd) {
  pthread_mutex_lock(&linger->lock);
  for (unsigned i = 0; i < linger->count; i++)
    if (linger->rest[i].fd == fd) {
      linger->rest[i] = linger->rest[--linger->count];
      break;
    }
  pthread_mutex_unlock(&linger->lock);
  close(fd);
}

static void *linger_main(void *argument) {
  au_linger_t *linger = argument;
  rest_t rest[CONNECTIONS_MAX];
  bool stop = false;
  for (;;) {
    unsigned count = copy_rests(linger, rest, &stop);
    if (stop)
      break;
    struct pollfd fds[CONNECTIONS_MAX + 1];
    fds[0] = (struct pollfd){.fd = linger->wake_fd, .events = POLLIN};
    for (unsigned i = 0; i < count; i++)
      fds[i + 1] = (struct pollfd){.fd = rest[i].fd, .events = POLLIN};
    poll(fds, count + 1, count > 0 ? 1000 : -1);
    eventfd_t woken;
    if (fds[0].revents != 0)
      eventfd_read(linger->wake_fd, &woken);
    int64_t now_ns = au_clock_monotonic_ns();
    for (unsigned i = 0; i < count; i++) {
      short events = fds[i + 1].revents;
      bool ended = (events & POLLIN) != 0 ? drain(rest[i].fd) : events != 0;
      if (ended || now_ns >= rest[i].until_ns)
        forget(linger, rest[i].fd);
    }
  }
  return NULL;
}

au_status_t au_linger_start(au_linger_t **out_linger) {
  au_linger_t *linger = calloc(1, sizeof(*linger));
  if (linger == NULL)
    return AU_NOMEM;
  pthread_mutex_init(&linger->lock, NULL);
  linger->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (linger->wake_fd < 0 ||
      au_thread_start(&linger->thread, "au-linger", linger_main, linger) != 0) {
    if (linger->wake_fd >= 0)
      close(linger->wake_fd);
    free(linger);
    return AU_NOMEM;
  }
  *out_linger = linger;
  return AU_OK;
}

void au_linger_stop(au_linger_t *linger) {
  if (linger == NULL)
    return;
  pthread_mutex_lock(&linger->lock);
  linger->stop = true;
  pthread_mutex_unlock(&linger->lock);
  eventfd_write(linger->wake_fd, 1);
  pthread_join(linger->thread, NULL);
  for (unsigned i = 0; i < linger->count; i++)
    close(linger->rest[i].fd);
  close(linger->wake_fd);
  pthread_mutex_destroy(&linger->lock);
  free(linger);
}
