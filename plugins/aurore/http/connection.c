/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * connection - see connection.h.
 */
#include "http/connection.h"

#include "base/clock.h"
#include "http/socket.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A header is small, and of no use is what is thrown away: their timeout is not
 * extended more often. */
#define SHORT_EXTENSIONS 3
/* What a reader is given at most when it has taken much. */
#define READER_NS (30 * AU_NS_PER_S)
#define ENDS_MAX 64

bool au_connections_init(au_connections_t *connections) {
  connections->ends_fd = epoll_create1(EPOLL_CLOEXEC);
  if (connections->ends_fd < 0)
    return false;
  connections->pool = calloc(connections->max, sizeof(connections->pool[0]));
  if (connections->pool == NULL)
    au_connections_fini(connections);
  return connections->pool != NULL;
}

void au_connections_fini(au_connections_t *connections) {
  if (connections->ends_fd >= 0)
    close(connections->ends_fd);
  connections->ends_fd = -1;
  free(connections->pool);
  connections->pool = NULL;
}

au_connection_t *au_connection_add(au_connections_t *connections, int fd,
                                   au_place_t place) {
  au_connection_t *connection = connections->free;
  if (connection != NULL)
    connections->free = connection->next;
  else if (connections->pool_used < connections->max)
    connection = &connections->pool[connections->pool_used++];
  else
    return NULL;
  *connection = (au_connection_t){
      .fd = fd, .place = place, .is_tcp = au_socket_is_tcp(fd)};
  connection->next = connections->first;
  if (connection->next != NULL)
    connection->next->previous = connection;
  connections->first = connection;
  /* With TLS libmicrohttpd reads until there is nothing left, and sees the end.
   * Should this fail, the deadline ends it. */
  struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET,
                              .data = {.ptr = connection}};
  if (!connections->is_tls)
    (void)epoll_ctl(connections->ends_fd, EPOLL_CTL_ADD, fd, &event);
  return connection;
}

void au_connection_remove(au_connections_t *connections,
                          au_connection_t *connection, au_places_t *places) {
  if (connection == NULL)
    return;
  /* A copy of the descriptor may linger, and would go on to tell its end. */
  if (!connections->is_tls)
    (void)epoll_ctl(connections->ends_fd, EPOLL_CTL_DEL, connection->fd, NULL);
  if (connection->next != NULL)
    connection->next->previous = connection->previous;
  if (connection->previous != NULL)
    connection->previous->next = connection->next;
  else
    connections->first = connection->next;
  connections->ended -= connection->has_ended ? 1 : 0;
  au_places_give(places, connection->place);
  au_tls_end(&connection->tls);
  au_connection_keep_query(connection, NULL);
  connection->next = connections->free;
  connections->free = connection;
}

void au_connection_keep_query(au_connection_t *connection, const char *target) {
  free(connection->query);
  const char *mark = target != NULL ? strchr(target, '?') : NULL;
  connection->query = mark != NULL ? strdup(mark + 1) : NULL;
  connection->lacks_query = mark != NULL && connection->query == NULL;
}

void au_connection_enter(au_connection_t *connection,
                         au_connection_state_t state) {
  if (connection == NULL)
    return;
  connection->state = state;
  connection->was_last_run = false;
  au_deadline_reset(&connection->deadline);
}

void au_connection_count_body(au_connection_t *connection, size_t bytes) {
  if (connection != NULL)
    connection->body_bytes += bytes;
}

/* --- deadlines --------------------------------------------------------- */

/* What a client has read shows only as what is not left in the queue: each
 * change of it is what was read or came anew. */
static void count_drained(au_connection_t *connection,
                          const au_traffic_t *traffic) {
  unsigned before = connection->queued;
  connection->queued = traffic->unsent;
  connection->drained += before > traffic->unsent ? before - traffic->unsent
                                                  : traffic->unsent - before;
}

/* Whether the time without a request is over. */
static bool is_idle_over(const au_connections_t *connections,
                         au_connection_t *connection, uint64_t taken,
                         const au_traffic_t *traffic, int64_t now_ns) {
  bool is_first = connection->deadline.due_ns == 0;
  /* Before it is idle a client may read for long what its kernel and ours
   * have taken. */
  if (is_first || (traffic->unsent > 0 && traffic->sent != connection->sent))
    connection->idle_until_ns = now_ns + connections->keep_alive_ns;
  bool has_sent = traffic->unread > 0 || taken != connection->taken;
  connection->taken = taken;
  connection->sent = traffic->sent;
  if (!is_first && has_sent) {
    au_connection_enter(connection, AU_CONNECTION_HEADER);
    connection->deadline.due_ns = now_ns + connections->request_timeout_ns;
    return false;
  }
  int64_t next_ns = now_ns + connections->request_timeout_ns;
  connection->deadline.due_ns =
      next_ns < connection->idle_until_ns ? next_ns : connection->idle_until_ns;
  return now_ns >= connection->idle_until_ns;
}

static bool is_too_slow(const au_connections_t *connections,
                        au_connection_t *connection, uint64_t taken,
                        uint64_t sent, int64_t now_ns) {
  bool writes = connection->state == AU_CONNECTION_WRITING;
  uint64_t moved = writes ? sent - connection->sent : taken - connection->taken;
  int64_t timeout_ns = connections->request_timeout_ns;
  int64_t most_ns = writes && READER_NS > timeout_ns ? READER_NS : timeout_ns;
  connection->sent = sent;
  connection->taken = taken;
  if (!au_deadline_extend(&connection->deadline, now_ns, timeout_ns, most_ns,
                          moved))
    return true;
  return (connection->state == AU_CONNECTION_HEADER ||
          connection->state == AU_CONNECTION_DROPPING) &&
         connection->deadline.extensions > SHORT_EXTENSIONS;
}

static bool is_over(const au_connections_t *connections,
                    au_connection_t *connection, int64_t now_ns) {
  if (connection->state == AU_CONNECTION_WORKING)
    return false;
  bool is_due = now_ns >= connection->deadline.due_ns;
  bool is_sampled =
      !connection->is_tcp && connection->state == AU_CONNECTION_WRITING;
  if (!is_due && !is_sampled)
    return false;
  au_traffic_t traffic;
  au_socket_traffic(connection->fd, connection->is_tcp, &traffic);
  if (is_sampled)
    count_drained(connection, &traffic);
  if (!is_due)
    return false;
  uint64_t taken = connection->is_tcp ? traffic.received - traffic.unread
                                      : connection->body_bytes;
  uint64_t sent = connection->is_tcp ? traffic.sent : connection->drained;
  return connection->state == AU_CONNECTION_IDLE
             ? is_idle_over(connections, connection, taken, &traffic, now_ns)
             : is_too_slow(connections, connection, taken, sent, now_ns);
}

static void end(au_connection_t *connection) {
  shutdown(connection->fd, SHUT_RDWR);
  au_connection_enter(connection, AU_CONNECTION_WORKING); /* no deadline more */
}

void au_connections_check(au_connections_t *connections, int64_t now_ns) {
  if (now_ns - connections->checked_ns < connections->period_ns)
    return;
  connections->checked_ns = now_ns;
  for (au_connection_t *c = connections->first; c != NULL; c = c->next)
    if (is_over(connections, c, now_ns))
      end(c);
}

/* --- the end of what a client sends ------------------------------------ */

void au_connections_note_ends(au_connections_t *connections) {
  struct epoll_event events[ENDS_MAX];
  int count = epoll_wait(connections->ends_fd, events, ENDS_MAX, 0);
  for (int i = 0; i < count; i++) {
    au_connection_t *connection = events[i].data.ptr;
    connections->ended += connection->has_ended ? 0 : 1;
    connection->has_ended = true;
  }
}

/* Whether libmicrohttpd waits for more of it, and has all that there is. */
static bool waits_in_vain(const au_connection_t *connection) {
  if (!connection->has_ended || connection->state == AU_CONNECTION_WORKING ||
      connection->state == AU_CONNECTION_WRITING)
    return false;
  au_traffic_t traffic;
  au_socket_traffic(connection->fd, false, &traffic);
  return traffic.unread == 0;
}

bool au_connections_close_ended(au_connections_t *connections) {
  bool again = false;
  if (connections->ended == 0)
    return false;
  for (au_connection_t *c = connections->first; c != NULL; c = c->next) {
    if (!waits_in_vain(c))
      continue;
    if (c->was_last_run)
      end(c);
    else
      c->was_last_run = again = true;
  }
  return again;
}

uint64_t au_connections_moved(const au_connections_t *connections) {
  uint64_t bytes = 0;
  for (const au_connection_t *c = connections->first; c != NULL; c = c->next) {
    bool is_writing = c->state == AU_CONNECTION_WRITING;
    au_traffic_t traffic;
    au_socket_traffic(c->fd, c->is_tcp && is_writing, &traffic);
    if (is_writing)
      bytes += traffic.sent + traffic.unsent;
    else
      bytes -= traffic.unread + au_tls_unread(&c->tls);
  }
  return bytes;
}
