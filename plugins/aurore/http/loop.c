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
 * libmicrohttpd wants to run again at once while a request is not answered. The
 * loop does not, if it has seen nothing but such requests.
 *
 * The loop also does what libmicrohttpd does not:
 *
 * - It ends connections whose request header does not come to its end.
 *   libmicrohttpd's timeout begins again with every byte, so a client that
 *   sends one now and then would hold its connection forever. A connection may
 *   be idle for one timeout (libmicrohttpd closes it then), and its next header
 *   may take another: so it is ended two timeouts after it was opened or its
 *   last answer was sent, unless the header has come by then.
 * - It drains the connections that linger.
 *
 * Threads: a loop's own data is touched by its thread alone, and by start and
 * stop before and after it.
 */
#include "http/private.h"

#include "base/clock.h"
#include "base/thread.h"

#include <fcntl.h>
#include <gnutls/abstract.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* For each connection: the header (some 7 KiB of short lines, or one line of
 * 15 KiB) and a piece of the body. libmicrohttpd clears all of it at each
 * request. */
#define CONNECTION_MEMORY ((size_t)16 << 10)
/* How long the loop waits at most while requests wait: libmicrohttpd may have
 * work that it does not show, such as the next part of a large answer. */
#define WAITING_MS 1
/* How often the loop checks for late headers and for connections that have
 * lingered long enough; at least twice per RequestTimeout. */
#define CHECK_NS AU_NS_PER_S
#define LINGER_NS (5 * AU_NS_PER_S)

void au_loop_wake(au_loop_t *loop) {
  if (!atomic_exchange(&loop->is_woken, true))
    (void)eventfd_write(loop->wake_fd, 1); /* cannot fail: it counts to 2^64 */
}

/* --- late headers ------------------------------------------------------ */

void au_loop_header_due(const au_loop_t *loop, au_connection_t *connection) {
  if (connection != NULL)
    connection->header_due_ns =
        loop->now_ns + 2 * loop->listener->http->request_timeout_ns;
}

void au_loop_header_came(au_connection_t *connection) {
  if (connection != NULL)
    connection->header_due_ns = 0;
}

au_connection_t *au_loop_add(au_loop_t *loop, int fd) {
  au_connection_t *connection = calloc(1, sizeof(*connection));
  if (connection == NULL)
    return NULL;
  connection->fd = fd;
  connection->next = loop->connections;
  if (connection->next != NULL)
    connection->next->previous = connection;
  loop->connections = connection;
  au_loop_header_due(loop, connection);
  return connection;
}

void au_loop_remove(au_loop_t *loop, au_connection_t *connection) {
  if (connection == NULL)
    return;
  if (connection->next != NULL)
    connection->next->previous = connection->previous;
  if (connection->previous != NULL)
    connection->previous->next = connection->next;
  else
    loop->connections = connection->next;
  free(connection);
}

static int64_t check_period_ns(const au_loop_t *loop) {
  int64_t half_ns = loop->listener->http->request_timeout_ns / 2;
  return half_ns < CHECK_NS ? half_ns : CHECK_NS;
}

static void end_late_headers(au_loop_t *loop) {
  if (loop->now_ns - loop->headers_checked_ns < check_period_ns(loop))
    return;
  loop->headers_checked_ns = loop->now_ns;
  for (au_connection_t *c = loop->connections; c != NULL; c = c->next) {
    if (c->header_due_ns == 0 || loop->now_ns < c->header_due_ns)
      continue;
    /* libmicrohttpd sees the end of the connection, and closes it. */
    shutdown(c->fd, SHUT_RDWR);
    c->header_due_ns = 0;
  }
}

/* --- lingering connections --------------------------------------------- */

void au_loop_linger(au_loop_t *loop, int fd) {
  int copy =
      loop->lingering < AU_LINGER_MAX ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
  if (copy < 0)
    return;
  loop->fds[2 + loop->lingering] =
      (struct pollfd){.fd = copy, .events = POLLIN};
  loop->linger_until_ns[loop->lingering++] = loop->now_ns + LINGER_NS;
}

/* Throws away some of what has come, and leaves the rest to the next run:
 * requests of the same loop wait meanwhile. true when the connection is at its
 * end; a real error shows as POLLERR. */
static bool drain(int fd) {
  char waste[16384];
  return recv(fd, waste, sizeof(waste), MSG_DONTWAIT) == 0;
}

/* After poll(). */
static void drain_lingering(au_loop_t *loop) {
  for (unsigned i = loop->lingering; i-- > 0;) {
    struct pollfd *fd = &loop->fds[2 + i];
    bool ended = (fd->revents & POLLIN) != 0 ? drain(fd->fd) : fd->revents != 0;
    if (!ended && loop->now_ns < loop->linger_until_ns[i])
      continue;
    close(fd->fd);
    loop->lingering--;
    *fd = loop->fds[2 + loop->lingering];
    loop->linger_until_ns[i] = loop->linger_until_ns[loop->lingering];
  }
}

/* --- the loop ---------------------------------------------------------- */

/* How long there is nothing to do. What was done may have left more to do,
 * which libmicrohttpd sees to when it runs again: an answer to send, or the
 * room of a closed connection for a new one. */
static int idle_ms(const au_loop_t *loop) {
  unsigned long long ms = 0;
  if (loop->has_worked)
    return 0;
  if (MHD_get_timeout(loop->daemon, &ms) != MHD_YES)
    ms = INT_MAX;
  if (ms == 0 && loop->waiting > 0)
    return WAITING_MS;
  unsigned long long most_ms = INT_MAX;
  if (loop->connections != NULL || loop->lingering > 0)
    most_ms = (unsigned long long)au_clock_poll_ms(check_period_ns(loop));
  return (int)(ms < most_ms ? ms : most_ms);
}

static void wait_for_work(au_loop_t *loop) {
  int ms = idle_ms(loop);
  if (ms == 0 && loop->lingering == 0)
    return;
  if (poll(loop->fds, 2 + loop->lingering, ms) <= 0 ||
      loop->fds[1].revents == 0)
    return;
  eventfd_t count = 0;
  (void)eventfd_read(loop->wake_fd, &count);
  /* What is completed from here on wakes the loop again; what was completed
   * before is seen by the run that follows. */
  atomic_store(&loop->is_woken, false);
}

static void *loop_main(void *argument) {
  au_loop_t *loop = argument;
  const union MHD_DaemonInfo *info =
      MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  loop->fds[0] = (struct pollfd){.fd = info->epoll_fd, .events = POLLIN};
  loop->fds[1] = (struct pollfd){.fd = loop->wake_fd, .events = POLLIN};
  while (!atomic_load(&loop->stop)) {
    wait_for_work(loop);
    loop->has_worked = false;
    loop->now_ns = au_clock_monotonic_ns();
    drain_lingering(loop);
    end_late_headers(loop);
    (void)MHD_run(loop->daemon);
  }
  return NULL;
}

/* libmicrohttpd wants to know of a certificate, but would use the same one for
 * ever. Each session is given its own credentials when it begins (http/tls.h),
 * so that this is only called for one that could not be: it fails. */
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *names,
                          int names_count, const gnutls_pk_algorithm_t *kinds,
                          int kinds_count, gnutls_pcert_st **out_chain,
                          unsigned *out_count, gnutls_privkey_t *out_key) {
  (void)session;
  (void)names;
  (void)names_count;
  (void)kinds;
  (void)kinds_count;
  (void)out_chain;
  (void)out_key;
  *out_count = 0;
  return -1;
}

static unsigned tls_options(const au_http_t *http,
                            struct MHD_OptionItem items[2]) {
  items[0] = items[1] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
  if (http->tls == NULL)
    return MHD_NO_FLAG;
  const union {
    gnutls_certificate_retrieve_function2 *function;
    void *pointer;
  } callback = {.function = no_certificate};
  items[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0,
                                     callback.pointer};
  return MHD_USE_TLS;
}

/* Starts libmicrohttpd on a listening socket, which it takes. */
static struct MHD_Daemon *start_daemon(au_loop_t *loop, int fd,
                                       unsigned connections) {
  au_listener_t *listener = loop->listener;
  struct MHD_OptionItem items[2];
  unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME |
                   MHD_USE_ERROR_LOG | tls_options(listener->http, items);
  unsigned timeout_s =
      (unsigned)ceil(listener->http->options->request_timeout_s);
  return MHD_start_daemon(
      flags, 0, NULL, NULL, au_http_handle, loop, MHD_OPTION_EXTERNAL_LOGGER,
      au_http_log, listener, MHD_OPTION_LISTEN_SOCKET, fd,
      MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_TIMEOUT,
      timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
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
  if (loop->daemon != NULL)
    return true;
  /* On some errors libmicrohttpd has closed it, and the number may be
   * somebody else's by now. */
  if (fstat(fd, &after) == 0 && after.st_ino == before.st_ino &&
      after.st_dev == before.st_dev)
    close(fd);
  return false;
}

static bool start_loop(au_loop_t *loop, int listen_fd, unsigned connections) {
  loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (loop->wake_fd < 0)
    return false;
  loop->has_thread =
      add_daemon(loop, listen_fd, connections) &&
      au_thread_start(&loop->thread, "au-http", loop_main, loop) == 0;
  return loop->has_thread;
}

bool au_loops_start(au_listener_t *listener, int listen_fd) {
  const au_options_t *options = listener->http->options;
  unsigned threads = options->threads;
  unsigned connections =
      options->max_connections < threads ? threads : options->max_connections;
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
      close(loop->fds[2 + --loop->lingering].fd);
    if (loop->wake_fd >= 0)
      close(loop->wake_fd);
  }
  free(listener->loop);
  listener->loop = NULL;
  listener->loops = 0;
}
