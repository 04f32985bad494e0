/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * connection - what a loop knows of its open connections, and when it ends
 * them. libmicrohttpd's own timeout is not used: it begins again with every
 * byte, so that one byte now and then holds a connection for ever, and it ends
 * a reader that is steady but slow, since a kernel takes more than such a
 * client reads in that time.
 *
 *   HEADER    opened (with TLS: the handshake), or the first bytes of a request
 *             have come: its header is due
 *   BODY      the header has come: the rest of the request is due
 *   DROPPING  the request is refused, and what comes is thrown away
 *   WORKING   the request is with its route, which is not the client's affair
 *   WRITING   the client is to read the answer
 *   IDLE      the answer is with the kernel, and no request has come since
 *
 * What a client has done is asked of the kernel, and only when a deadline is
 * near: bytes that libmicrohttpd has taken, bytes that the client has
 * acknowledged. So every state has its deadline, also those that libmicrohttpd
 * shows nobody: an unfinished handshake, an endless chunk extension.
 *
 * Also found here is the end of what a client sends. libmicrohttpd does not see
 * it when it comes together with the last bytes; a request that is not complete
 * then never will be.
 *
 * To end a connection, its socket is shut down; libmicrohttpd sees that in
 * whatever state it is, and closes it.
 *
 * Threads: the loop's.
 */
#ifndef AURORE_HTTP_CONNECTION_H
#define AURORE_HTTP_CONNECTION_H

#include "http/deadline.h"
#include "http/framing.h"
#include "http/places.h"
#include "http/tls.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum au_connection_state {
  AU_CONNECTION_HEADER,
  AU_CONNECTION_BODY,
  AU_CONNECTION_DROPPING,
  AU_CONNECTION_WORKING,
  AU_CONNECTION_WRITING,
  AU_CONNECTION_IDLE
} au_connection_state_t;

typedef struct au_connection {
  struct au_connection *next;
  struct au_connection *previous;
  int fd;
  au_place_t place; /* AU_PLACE_NONE: another has it */
  bool is_tcp;
  au_connection_state_t state;
  au_deadline_t deadline; /* of the state; when to look, if it is IDLE */
  int64_t idle_until_ns;
  uint64_t taken;      /* bytes that libmicrohttpd had at the last look */
  uint64_t sent;       /* bytes that the client had */
  uint64_t body_bytes; /* if not TCP: instead of "taken" */
  uint64_t drained;    /* if not TCP: instead of "sent" */
  unsigned queued;     /* if not TCP: bytes not read by the client */
  bool has_ended;      /* the client sends no more */
  bool was_last_run;   /* libmicrohttpd has seen all that it sent */
  au_tls_session_t tls;
  au_framing_target_t target; /* of the request line that came last */
  char *query;      /* its query string, owned; NULL: there is none, or ... */
  bool lacks_query; /* ... no memory for it */
} au_connection_t;

/* The connections of a loop. */
typedef struct au_connections {
  /* Set by the caller before init. */
  int64_t request_timeout_ns;
  int64_t keep_alive_ns;
  int64_t period_ns; /* between two checks */
  bool is_tls;
  unsigned max; /* connections at a time */

  int ends_fd;           /* readable when a client sends no more */
  au_connection_t *pool; /* "max", so that none is lacking when memory is */
  unsigned pool_used;    /* of the pool, the rest of which is untouched */
  au_connection_t *free; /* of those used */
  au_connection_t *first;
  unsigned ended; /* of which "has_ended" */
  int64_t checked_ns;
} au_connections_t;

/* Keeps a copy of the query string of a target that libmicrohttpd is about to
 * decode; that of the request before is forgotten. NULL: only that. */
void au_connection_keep_query(au_connection_t *connection, const char *target);

/* false: out of memory or descriptors; nothing is to be freed. */
bool au_connections_init(au_connections_t *connections);
/* There are none left. */
void au_connections_fini(au_connections_t *connections);

/* A connection was opened. "fd" is borrowed until remove, "place" is the
 * connection's. NULL: there are more than "max". */
au_connection_t *au_connection_add(au_connections_t *connections, int fd,
                                   au_place_t place);
/* Before the descriptor is closed; its place is given back, and its TLS session
 * ends. NULL: nothing. */
void au_connection_remove(au_connections_t *connections,
                          au_connection_t *connection, au_places_t *places);

/* It enters a state. NULL: nothing. */
void au_connection_enter(au_connection_t *connection,
                         au_connection_state_t state);
/* A piece of a body. NULL: nothing. */
void au_connection_count_body(au_connection_t *connection, size_t bytes);

/* Ends what is over its deadline, once a period. */
void au_connections_check(au_connections_t *connections, int64_t now_ns);

/* When "ends_fd" is readable, before libmicrohttpd runs. */
void au_connections_note_ends(au_connections_t *connections);
/* After it has run: ends those whose request cannot become complete. true: it
 * is to run once more, to be sure. */
bool au_connections_close_ended(au_connections_t *connections);

/* Changes with every byte of an answer that the kernel has taken, and of a
 * request that libmicrohttpd has. */
uint64_t au_connections_moved(const au_connections_t *connections);

#endif
