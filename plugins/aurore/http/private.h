/* SPDX-License-Identifier: MIT
 *
 * private - what the files of the HTTP side share: http/listener.c (start,
 * stop, listeners), http/request.c (from header to route), http/match.c (the
 * table), http/answer.c (answers), http/wait.c (requests that wait).
 */
#ifndef AURORE_HTTP_PRIVATE_H
#define AURORE_HTTP_PRIVATE_H

#include "api/routes.h"
#include "http/rate_limit.h"
#include "http/socket.h"
#include "http/token.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>

/* Ingests kept for the next requests; more are made when needed, and freed. */
#define AU_INGEST_POOL 64
/* For all bodies together that came in pieces, and are kept until their answer
 * has been sent (which is not larger); no less than for four of the largest. */
#define AU_GATHER_MAX ((uint64_t)64 << 20)

/* Connections of a loop that linger at a time; more are closed at once. */
#define AU_LINGER_MAX 64

typedef struct au_listener au_listener_t;

/* An open connection of a loop. */
typedef struct au_connection {
  struct au_connection *next;
  struct au_connection *previous;
  int fd;
  int64_t header_due_ns; /* monotonic; 0: no header is waited for */
} au_connection_t;

/* A request thread and the libmicrohttpd daemon that it runs. */
typedef struct au_loop {
  au_listener_t *listener;
  struct MHD_Daemon *daemon;
  int wake_fd; /* eventfd */
  pthread_t thread;
  bool has_thread;
  _Atomic bool stop;
  _Atomic bool is_woken;       /* since "wake_fd" was read last */
  _Atomic unsigned completing; /* threads that are about to wake it */

  /* The thread's own. */
  int64_t now_ns;   /* when libmicrohttpd was run last */
  unsigned waiting; /* requests that are checked at each run */
  bool has_worked;  /* more than checking those, in this run */
  au_connection_t *connections;
  int64_t headers_checked_ns;
  /* libmicrohttpd's, "wake_fd", and the "lingering" connections. */
  struct pollfd fds[2 + AU_LINGER_MAX];
  int64_t linger_until_ns[AU_LINGER_MAX];
  unsigned lingering;
} au_loop_t;

struct au_listener {
  au_http_t *http;
  const char *address; /* of the options */
  au_loop_t *loop;     /* "loops" of them; NULL: not bound yet */
  unsigned loops;
  _Atomic bool is_starting; /* libmicrohttpd's messages are logged */
};

struct au_http {
  /* Immutable after start. */
  const au_options_t *options;
  au_buffer_t *buffer;
  au_tokens_t *tokens;         /* NULL: no TokenFile */
  au_rate_limit_t *rate_limit; /* NULL: no limit */
  int64_t request_timeout_ns;
  int64_t started_ns;
  char *certificate; /* PEM; NULL: plain HTTP */
  char *key;
  char *client_ca;

  _Atomic(au_query_pool_t *) query; /* NULL: none (yet) */
  _Atomic(au_history_t *) history;  /* NULL: none (yet) */
  _Atomic bool quiescing;
  _Atomic unsigned unbound;
  _Atomic unsigned requests; /* under way */
  _Atomic uint64_t gathered; /* bytes promised to bodies, of "gather_max" */
  uint64_t gather_max;       /* immutable */

  pthread_mutex_t lock; /* protects: the next three */
  pthread_cond_t retry;
  bool stop;
  au_listener_t listener[AU_LISTEN_MAX]; /* "loop": of the retrying thread
                                            while it runs, then of stop */
  unsigned listeners;
  pthread_t retry_thread;
  bool has_retry_thread;

  pthread_mutex_t pool_lock; /* protects: the pool */
  au_ingest_t *pool[AU_INGEST_POOL];
  unsigned pooled;
};

/* http/match.c: the table, and looking into one. */
extern const au_route_t au_routes[];
extern const size_t au_routes_count;

/* The entry whose path fits, a trailing slash left out; NULL: none. What stands
 * at ":id" is copied to "out_parameter", else it is "". */
const au_route_t *au_route_find(const au_route_t *entries, size_t count,
                                const char *url,
                                char out_parameter[AU_PARAMETER_MAX + 1]);
au_method_t au_route_method_of(const char *method);
/* The value of the header Allow. */
#define AU_ALLOW_SIZE 64
void au_route_allow(const au_route_t *entry, char text[AU_ALLOW_SIZE]);

/* http/loop.c: starts "Threads" loops on a listening socket, which stays the
 * caller's; false: nothing was started. Stop joins the threads and closes every
 * connection. */
bool au_loops_start(au_listener_t *listener, int listen_fd);
void au_loops_stop(au_listener_t *listener);
/* A request of the loop was completed, or resumed: a daemon without a thread of
 * its own does not notice. Any thread. */
void au_loop_wake(au_loop_t *loop);

/* A connection was opened: its first header is due. "fd" is borrowed until
 * remove. NULL when out of memory: its headers may take any time. */
au_connection_t *au_loop_add(au_loop_t *loop, int fd);
/* Before the descriptor is closed. NULL: nothing. */
void au_loop_remove(au_loop_t *loop, au_connection_t *connection);
/* A header has come, and no other is due before its answer has been sent; the
 * next one is due. NULL: nothing. */
void au_loop_header_came(au_connection_t *connection);
void au_loop_header_due(const au_loop_t *loop, au_connection_t *connection);

/* A connection is about to be closed whose client may still be sending. If that
 * were a reset, the client might never see its answer: so a copy of "fd" stays
 * open for a few seconds, and what comes is thrown away. */
void au_loop_linger(au_loop_t *loop, int fd);

/* http/listener.c: what libmicrohttpd has to say; "cls" is the au_listener_t.
 */
void au_http_log(void *cls, const char *format, va_list arguments)
    AU_PRINTF(2, 0);

/* http/wait.c: the committer or the pool tells the result of a request. */
void au_request_told(au_waiter_t *waiter, au_status_t status);
/* Whether the request waits in its loop; then look again is to be called when
 * libmicrohttpd asks for it. */
bool au_request_is_waiting(const au_request_t *request);
enum MHD_Result au_request_look_again(au_request_t *request);
/* The connection is gone, the request's own things are freed: frees its memory,
 * or lets the teller do it when it is still to be told. */
void au_request_release(au_request_t *request);
/* Frees what the request has asked. */
void au_request_forget_question(au_request_t *request);

/* http/request.c: libmicrohttpd's callbacks; "cls" is the au_loop_t. */
enum MHD_Result au_http_handle(void *cls, struct MHD_Connection *connection,
                               const char *url, const char *method,
                               const char *version, const char *upload_data,
                               size_t *upload_data_size, void **con_cls);
void au_http_completed(void *cls, struct MHD_Connection *connection,
                       void **con_cls, enum MHD_RequestTerminationCode code);
/* As libmicrohttpd's own, but "%00", which would end the text there and make
 * another one of it, becomes two bytes that are not valid UTF-8 (the overlong
 * form of U+0000), so that it is refused or shown as U+FFFD. */
size_t au_http_unescape(void *cls, struct MHD_Connection *connection,
                        char *text);
void au_http_connection(void *cls, struct MHD_Connection *connection,
                        void **socket_context,
                        enum MHD_ConnectionNotificationCode code);

#endif
