/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * loop - the request threads. Each runs a libmicrohttpd daemon that has no
 * thread of its own: it waits for the daemon's epoll descriptor, or to be
 * woken, and lets the daemon work.
 *
 * Why not libmicrohttpd's threads: a request that waits for the spool's disk
 * would have to be suspended and resumed, which takes its socket out of epoll
 * and back, reads it once for nothing, and wakes the thread with a write of its
 * own: four system calls a request, where there are two otherwise. Here a
 * request that is not answered yet stays where it is (libmicrohttpd asks again
 * whenever it runs), and one wake is enough for all that a group has made
 * durable.
 *
 * libmicrohttpd wants to run again at once while a request is not answered, and
 * whenever it waits for a client in a state in which it does not know that. The
 * loop does not believe it: it runs it again when something has happened, and
 * else rests.
 *
 * The loop also does what libmicrohttpd does not: it sees to it that a client
 * has no more connections than it may (http/places.h), ends those on which
 * nothing moves (http/connection.h), and drains those that linger.
 *
 * Threads: a loop's own data is touched by its thread alone, and by start and
 * stop before and after it.
 */
#include "http/private.h"

#include "base/clock.h"
#include "base/thread.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long the loop waits at most while requests wait: libmicrohttpd may have
 * work that it does not show, such as the next part of a large answer. */
#define WAITING_MS 1
/* The longest rest while libmicrohttpd wants to run, and how often a rest of
 * 1 ms is doubled before. */
#define REST_MAX_MS 100
#define REST_DOUBLINGS 6
/* In a row, before libmicrohttpd's descriptor is left out for a moment. */
#define FALSE_ALARMS 64
/* How often the loop checks deadlines, and for connections that have lingered
 * long enough; at least twice per RequestTimeout. */
#define CHECK_NS AU_NS_PER_S
#define LINGER_NS (5 * AU_NS_PER_S)

void au_loop_wake(au_loop_t *loop) {
  if (!atomic_exchange(&loop->is_woken, true))
    (void)eventfd_write(loop->wake_fd, 1); /* cannot fail: it counts to 2^64 */
}

/* --- lingering connections --------------------------------------------- */

void au_loop_linger(au_loop_t *loop, au_connection_t *connection) {
  if (connection == NULL || loop->lingering == AU_LINGER_MAX)
    return;
  int copy = -1;
  au_http_t *http = loop->listener->http;
  if (atomic_fetch_add(&http->lingering, 1) < AU_LINGER_ALL)
    copy = fcntl(connection->fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) {
    atomic_fetch_sub(&http->lingering, 1);
    return;
  }
  loop->fds[AU_LOOP_FDS + loop->lingering] =
      (struct pollfd){.fd = copy, .events = POLLIN};
  loop->linger_place[loop->lingering] = connection->place;
  connection->place = AU_PLACE_NONE;
  loop->linger_until_ns[loop->lingering++] = loop->now_ns + LINGER_NS;
}

/* Throws away some of what has come, and leaves the rest to the next run:
 * requests of the same loop wait meanwhile. true when the connection is at its
 * end; a real error shows as POLLERR. */
static bool drain(int fd) {
  char waste[16384];
  return recv(fd, waste, sizeof(waste), MSG_DONTWAIT) == 0;
}

/* The last one takes its number. */
static void end_lingering(au_loop_t *loop, unsigned i) {
  struct pollfd *fds = &loop->fds[AU_LOOP_FDS];
  close(fds[i].fd);
  atomic_fetch_sub(&loop->listener->http->lingering, 1);
  au_places_give(loop->listener->http->places, loop->linger_place[i]);
  unsigned last = --loop->lingering;
  fds[i] = fds[last];
  loop->linger_until_ns[i] = loop->linger_until_ns[last];
  loop->linger_place[i] = loop->linger_place[last];
}

/* After poll(). */
static void drain_lingering(au_loop_t *loop) {
  for (unsigned i = loop->lingering; i-- > 0;) {
    struct pollfd *fd = &loop->fds[AU_LOOP_FDS + i];
    bool ended = (fd->revents & POLLIN) != 0 ? drain(fd->fd) : fd->revents != 0;
    if (ended || loop->now_ns >= loop->linger_until_ns[i])
      end_lingering(loop, i);
  }
}

/* --- places ------------------------------------------------------------ */

/* A connection that libmicrohttpd could not open after all. */
static void give_back(au_loop_t *loop) {
  au_places_give(loop->listener->http->places, loop->accepting);
  loop->accepting = AU_PLACE_NONE;
}

/* libmicrohttpd closes it when the answer is no. Else it opens it before it
 * accepts the next one: see au_http_connection. */
static enum MHD_Result
accept_connection(void *cls, const struct sockaddr *address, socklen_t size) {
  (void)size;
  au_loop_t *loop = cls;
  au_crowded_t reason = AU_CROWDED_LIMIT;
  give_back(loop);
  loop->has_worked = true;
  loop->accepting =
      au_places_take(loop->listener->http->places, address, &reason);
  if (loop->accepting != AU_PLACE_NONE)
    return MHD_YES;
  au_metrics_count(AU_M_HTTP_CONNECTIONS_REFUSED, reason, 1);
  return MHD_NO;
}

/* --- the loop ---------------------------------------------------------- */

/* libmicrohttpd wants to run again, and its last run did nothing that shows. It
 * is believed once. After that, either it sends a large answer through TLS or
 * reads a large header, a piece at a time; or it waits for a client without
 * knowing: while a handshake is not complete, or a line is longer than its
 * buffer. The loop rests then, ever longer, until something happens. */
static int rest_ms(au_loop_t *loop) {
  if (++loop->fruitless == 1)
    return 0;
  uint64_t moved = au_connections_moved(&loop->connections);
  if (moved != loop->moved) {
    loop->moved = moved;
    loop->fruitless = 0;
    return 0;
  }
  unsigned doublings = loop->fruitless - 2;
  return doublings > REST_DOUBLINGS ? REST_MAX_MS : 1 << doublings;
}

/* How long there is nothing to do. What was done may have left more to do,
 * which libmicrohttpd sees to when it runs again: an answer to send, or the
 * room of a closed connection for a new one. */
static int idle_ms(au_loop_t *loop) {
  unsigned long long ms = 0;
  if (loop->has_worked) {
    loop->fruitless = 0;
    return 0;
  }
  if (MHD_get_timeout(loop->daemon, &ms) != MHD_YES)
    ms = INT_MAX;
  if (ms == 0)
    return loop->waiting > 0 ? WAITING_MS : rest_ms(loop);
  unsigned long long most_ms = INT_MAX;
  if (loop->connections.first != NULL || loop->lingering > 0)
    most_ms = (unsigned long long)au_clock_poll_ms(loop->connections.period_ns);
  /* There is a connection then, and so a period. */
  int64_t left_ns =
      loop->timed != NULL ? loop->timed->until_ns - loop->now_ns : INT64_MAX;
  if (left_ns < loop->connections.period_ns)
    most_ms = (unsigned long long)au_clock_poll_ms(left_ns);
  return (int)(ms < most_ms ? ms : most_ms);
}

/* Whether libmicrohttpd's descriptor has said so often that there is something
 * to do, and there was nothing, that it is better not asked for a moment: no
 * descriptor is left for a connection that waits to be accepted. */
static bool is_crying_wolf(au_loop_t *loop) {
  if (loop->has_worked)
    loop->false_alarms = 0;
  else if (loop->fds[0].revents != 0)
    loop->false_alarms++;
  if (loop->false_alarms < FALSE_ALARMS)
    return false;
  loop->fds[0].revents = 0;
  if (poll(&loop->fds[0], 1, 0) == 0)
    loop->false_alarms = 0;
  return loop->false_alarms > 0;
}

static void hear_wake(au_loop_t *loop) {
  eventfd_t count = 0;
  (void)eventfd_read(loop->wake_fd, &count);
  /* What is completed from here on wakes the loop again; what was completed
   * before is seen by the run that follows. */
  atomic_store(&loop->is_woken, false);
}

static void wait_for_work(au_loop_t *loop) {
  bool is_deaf = is_crying_wolf(loop);
  int ms = idle_ms(loop);
  loop->fds[0].revents = 0;
  if (ms == 0 && loop->lingering == 0)
    return;
  /* poll() leaves out what is negative. */
  if (is_deaf) {
    loop->fds[0].fd = -1;
    ms = WAITING_MS;
  }
  int ready = poll(loop->fds, AU_LOOP_FDS + loop->lingering, ms);
  loop->fds[0].fd = loop->epoll_fd;
  if (ready <= 0)
    return;
  if (loop->fds[2].revents != 0)
    au_connections_note_ends(&loop->connections);
  if (loop->fds[1].revents != 0)
    hear_wake(loop);
}

static void run_once(au_loop_t *loop) {
  loop->has_worked = false;
  loop->now_ns = au_clock_monotonic_ns();
  drain_lingering(loop);
  au_connections_check(&loop->connections, loop->now_ns);
  au_request_end_waits(loop);
  (void)MHD_run(loop->daemon);
  give_back(loop);
  atomic_fetch_add_explicit(&loop->runs, 1, memory_order_relaxed);
  if (au_connections_close_ended(&loop->connections))
    loop->has_worked = true;
}

static void *loop_main(void *argument) {
  au_loop_t *loop = argument;
  loop->fds[0] = (struct pollfd){.fd = loop->epoll_fd, .events = POLLIN};
  loop->fds[1] = (struct pollfd){.fd = loop->wake_fd, .events = POLLIN};
  loop->fds[2] =
      (struct pollfd){.fd = loop->connections.ends_fd, .events = POLLIN};
  while (!atomic_load(&loop->is_open) && !atomic_load(&loop->stop))
    if (poll(&loop->fds[1], 1, -1) > 0)
      hear_wake(loop);
  while (!atomic_load(&loop->stop)) {
    wait_for_work(loop);
    run_once(loop);
  }
  return NULL;
}

/* --- start and stop ---------------------------------------------------- */

/* Starts libmicrohttpd on a listening socket, which it takes. */
static struct MHD_Daemon *start_daemon(au_loop_t *loop, int fd,
                                       unsigned connections) {
  au_listener_t *listener = loop->listener;
  struct MHD_OptionItem items[2];
  unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME |
                   MHD_USE_ERROR_LOG |
                   au_tls_daemon_options(listener->http->tls, items);
  return MHD_start_daemon(
      flags, 0, accept_connection, loop, au_http_handle, loop,
      MHD_OPTION_EXTERNAL_LOGGER, au_http_log, listener,
      MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, connections,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, AU_CONNECTION_MEMORY,
      MHD_OPTION_STRICT_FOR_CLIENT, listener->http->is_library_lenient ? 0 : 1,
      MHD_OPTION_URI_LOG_CALLBACK, au_http_target, loop,
      MHD_OPTION_NOTIFY_COMPLETED, au_http_completed, loop,
      MHD_OPTION_UNESCAPE_CALLBACK, au_http_unescape, NULL,
      MHD_OPTION_NOTIFY_CONNECTION, au_http_connection, loop, MHD_OPTION_ARRAY,
      items, MHD_OPTION_END);
}

/* A daemon on a descriptor of its own for the listening socket. */
static bool add_daemon(au_loop_t *loop, int listen_fd, unsigned connections) {
  int fd = fcntl(listen_fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0)
    return false;
  struct stat before = {.st_ino = 0};
  struct stat after = {.st_ino = 0};
  (void)fstat(fd, &before);
  loop->daemon = start_daemon(loop, fd, connections);
  if (loop->daemon != NULL) {
    loop->epoll_fd =
        MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return true;
  }
  /* On some errors libmicrohttpd has closed it, and the number may be
   * somebody else's by now. */
  if (fstat(fd, &after) == 0 && after.st_ino == before.st_ino &&
      after.st_dev == before.st_dev)
    close(fd);
  return false;
}

static bool start_loop(au_loop_t *loop, int listen_fd, unsigned connections) {
  const au_http_t *http = loop->listener->http;
  int64_t half_ns = http->request_timeout_ns / 2;
  loop->connections =
      (au_connections_t){.request_timeout_ns = http->request_timeout_ns,
                         .keep_alive_ns = http->keep_alive_ns,
                         .period_ns = half_ns < CHECK_NS ? half_ns : CHECK_NS,
                         .is_tls = http->tls != NULL,
                         .max = connections};
  loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (!au_connections_init(&loop->connections) || loop->wake_fd < 0)
    return false;
  loop->has_thread =
      add_daemon(loop, listen_fd, connections) &&
      au_thread_start(&loop->thread, "au-http", loop_main, loop) == 0;
  return loop->has_thread;
}

bool au_loops_start(au_listener_t *listener, int listen_fd) {
  unsigned threads = listener->http->options->threads;
  unsigned connections = listener->http->connections_max;
  if (connections < threads)
    connections = threads;
  au_loop_t *loops = calloc(threads, sizeof(*loops));
  if (loops == NULL)
    return false;
  listener->loop = loops;
  for (unsigned i = 0; i < threads; i++) {
    au_loop_t *loop = &loops[listener->loops++];
    loop->listener = listener;
    unsigned share = connections / threads + (i < connections % threads);
    if (!start_loop(loop, listen_fd, share)) {
      au_loops_stop(listener);
      return false;
    }
  }
  /* Only now: a request that one of them had taken could not be called back. */
  for (unsigned i = 0; i < threads; i++) {
    atomic_store(&loops[i].is_open, true);
    au_loop_wake(&loops[i]);
  }
  return true;
}

void au_loops_stop(au_listener_t *listener) {
  for (unsigned i = 0; i < listener->loops; i++) {
    au_loop_t *loop = &listener->loop[i];
    atomic_store(&loop->stop, true);
    if (loop->has_thread) {
      au_loop_wake(loop);
      pthread_join(loop->thread, NULL);
    }
    /* Such a thread is a few instructions from its end. */
    while (atomic_load(&loop->completing) > 0)
      sched_yield();
    if (loop->daemon != NULL)
      MHD_stop_daemon(loop->daemon); /* closes its descriptor, too */
    while (loop->lingering > 0)
      end_lingering(loop, loop->lingering - 1);
    au_connections_fini(&loop->connections);
    au_replies_fini(&loop->replies);
    if (loop->wake_fd >= 0)
      close(loop->wake_fd);
  }
  free(listener->loop);
  listener->loop = NULL;
  listener->loops = 0;
}
