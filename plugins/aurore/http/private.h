/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * private - what the files of http/ share: server.c (start, stop, listeners),
 * loop.c (the request threads), request.c (from header to route), body.c,
 * memory.c (what it may hold), authorize.c, wait.c (requests that wait),
 * match.c (finding a route), answer.c.
 */
#ifndef AURORE_HTTP_PRIVATE_H
#define AURORE_HTTP_PRIVATE_H

#include "base/bytes.h"
#include "http/answer.h"
#include "http/rate_limit.h"
#include "http/request.h"
#include "http/server.h"
#include "http/socket.h"
#include "http/token.h"

#include <poll.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>

#define AU_CORRELATION_ID_MAX 128
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

/* http/memory.c */
typedef struct au_http_memory {
  au_budget_t all;
  au_budget_t large; /* of "all" */
  au_budget_t pages; /* of "large" */
} au_http_memory_t;

struct au_http {
  /* Immutable after start. */
  au_http_config_t config;
  const au_options_t *options; /* of "config" */
  au_tokens_t *tokens;         /* NULL: no TokenFile */
  au_rate_limit_t *rate_limit; /* NULL: no limit */
  int64_t request_timeout_ns;
  int64_t started_ns;
  char *certificate; /* PEM; NULL: plain HTTP */
  char *key;
  char *client_ca;

  _Atomic bool quiescing;
  _Atomic unsigned unbound;
  _Atomic unsigned requests; /* under way */
  au_http_memory_t memory;

  pthread_mutex_t lock; /* protects: the next three */
  pthread_cond_t retry; /* for all threads that wait for the time or "stop" */
  bool stop;
  au_listener_t listener[AU_LISTEN_MAX]; /* "loop": of the retrying thread
                                            while it runs, then of stop */
  unsigned listeners;
  pthread_t retry_thread;
  bool has_retry_thread;

  pthread_t trim_thread;
  bool has_trim_thread;
  bool is_trim_due; /* of that thread */
};

/* Where a request that waits is. The request thread and the completing thread
 * both exchange it; the one that comes second sends the answer. */
typedef enum au_pending {
  AU_PENDING_NO,
  AU_PENDING_IN_LOOP,   /* its loop checks it at each run */
  AU_PENDING_SUSPENDED, /* its connection is resumed when it is completed */
  AU_PENDING_COMPLETED,
  AU_PENDING_GONE /* the connection has ended; the completing thread frees */
} au_pending_t;

struct au_request {
  au_http_t *http;
  au_loop_t *loop; /* whose thread uses it */
  struct MHD_Connection *connection;
  const au_route_method_t *method; /* NULL: there is no such route */
  int64_t start_ns;
  char correlation_id[AU_CORRELATION_ID_MAX + 1];
  char parameter[AU_PARAMETER_MAX + 1];

  /* The answer. */
  bool is_answered;
  bool is_body_refused; /* answered before its body was read */
  bool is_short;        /* of memory for its answer */
  /* The answer waits in "held" for the last call: libmicrohttpd closes a
   * connection that is answered at the first one. */
  bool is_held;
  struct MHD_Response *held;
  unsigned status;

  /* The body. */
  uint64_t content_length; /* or AU_LENGTH_UNKNOWN */
  bool is_chunked;
  bool is_body_taken;   /* the route has had it, or why there is none */
  au_bytes_t body;      /* the pieces that have come */
  au_account_t account; /* what the request holds */

  /* Waiting. */
  _Atomic int pending; /* au_pending_t */
  bool is_waiting;     /* counted in loop->waiting */
  int64_t waits_ns;    /* since when */
  au_status_t outcome; /* valid once pending is AU_PENDING_COMPLETED */
  au_resume_t resume;

  alignas(max_align_t) unsigned char state[]; /* the route's */
};

/* http/match.c: the entry whose path fits, a trailing slash left out; NULL:
 * none. What is at ":id" is copied to "out_parameter", else it is "". */
const au_route_t *au_route_find(const au_route_t *entries, size_t count,
                                const char *url,
                                char out_parameter[AU_PARAMETER_MAX + 1]);
au_method_t au_route_method_of(const char *method);
/* The value of the header Allow. */
#define AU_ALLOW_SIZE 64
void au_route_allow(const au_route_t *entry, char text[AU_ALLOW_SIZE]);

/* http/body.c: takes a piece of the body; false: the connection is to be
 * closed. After the last piece, finish gives the body to the route unless it
 * has had it. Drop frees it. */
bool au_body_take(au_request_t *request, const char *data, size_t size);
void au_body_finish(au_request_t *request);
void au_body_drop(au_request_t *request);
/* The body is too slow: close the connection as if it were idle. */
bool au_body_is_late(const au_request_t *request);

/* http/memory.c: shares out "max" bytes; opens the account of a request. */
void au_memory_init(au_http_memory_t *memory, uint64_t max);
void au_memory_open(au_http_memory_t *memory, au_account_t *account);

/* http/trim.c: starts the thread that gives memory back; without it (it could
 * not be started) memory stays with the C library. Stop after http->stop is
 * set. */
void au_trim_start(au_http_t *http);
void au_trim_stop(au_http_t *http);

/* http/authorize.c: false: the request has been answered. */
bool au_authorize(au_request_t *request);
/* Takes one from the limit of the request's address; 0, or the seconds after
 * which to try again. */
unsigned au_request_limit_address(au_request_t *request);

/* http/answer.c: sends the answer that was held. */
enum MHD_Result au_answer_send_held(au_request_t *request);

/* http/wait.c: libmicrohttpd asks again for a request that waits in its loop.
 */
enum MHD_Result au_request_check(au_request_t *request);
/* The connection is gone, and "done" was called: frees the request, or lets
 * the completing thread do it when it is still to be completed. */
void au_request_release(au_request_t *request);

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

/* http/server.c: libmicrohttpd's messages; "cls" is the au_listener_t. */
void au_http_log(void *cls, const char *format, va_list arguments)
    AU_PRINTF(2, 0);

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
