/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * private - what the files of http/ share: server.c (start, stop, listeners),
 * loop.c (the request threads), connection.c, request.c (from header to route),
 * authorize.c, body.c, memory.c (what a request may hold), wait.c (requests
 * that wait), match.c (finding a route), cors.c, coding.c, answer.c, reply.c,
 * direct.c.
 */
#ifndef AURORE_HTTP_PRIVATE_H
#define AURORE_HTTP_PRIVATE_H

#include "base/bytes.h"
#include "http/answer.h"
#include "http/connection.h"
#include "http/framing.h"
#include "http/places.h"
#include "http/rate_limit.h"
#include "http/reply.h"
#include "http/request.h"
#include "http/server.h"
#include "http/socket.h"
#include "http/tls.h"
#include "http/token_file.h"

#include <poll.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>

#define AU_CORRELATION_ID_MAX 128
/* Connections of a loop that linger at a time; more are closed at once. */
#define AU_LINGER_MAX 64
/* ... and of all loops; for a moment each has a second descriptor. */
#define AU_LINGER_ALL 128
#define AU_LOOP_FDS 3
/* Of a loop: two for events, one to be woken, one of libmicrohttpd's for the
 * same, the listening socket, a connection that is refused; and one to spare.
 */
#define AU_LOOP_DESCRIPTORS 7
/* "timeout=", any number of seconds, and the end. */
#define AU_KEEP_ALIVE_SIZE 32

typedef struct au_listener au_listener_t;

/* A request thread and the libmicrohttpd daemon that it runs. */
typedef struct au_loop {
  au_listener_t *listener;
  struct MHD_Daemon *daemon;
  int epoll_fd; /* libmicrohttpd's */
  int wake_fd;  /* eventfd */
  pthread_t thread;
  bool has_thread;
  _Atomic bool is_open; /* it may accept: nothing of the start can fail */
  _Atomic bool stop;
  _Atomic bool is_woken;       /* since "wake_fd" was read last */
  _Atomic unsigned completing; /* threads that are about to wake it */

  _Atomic uint64_t runs; /* of libmicrohttpd */

  /* The thread's own. */
  int64_t now_ns;      /* when libmicrohttpd was run last */
  unsigned waiting;    /* requests that are checked at each run */
  au_request_t *timed; /* those that wait until a time, the nearest first */
  au_request_t *timed_last;
  bool has_worked;       /* more than checking those, in this run */
  unsigned fruitless;    /* runs in a row that did nothing that shows */
  unsigned false_alarms; /* of which its descriptor was the reason */
  uint64_t moved;        /* au_connections_moved() when it was asked last */
  au_place_t accepting;  /* of the connection that is being accepted */
  au_connections_t connections;
  /* libmicrohttpd's, "wake_fd", "ends_fd", and the "lingering" connections. */
  struct pollfd fds[AU_LOOP_FDS + AU_LINGER_MAX];
  int64_t linger_until_ns[AU_LINGER_MAX];
  au_place_t linger_place[AU_LINGER_MAX];
  unsigned lingering;
  au_replies_t replies; /* the thread's; at stop, of who stops */
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
  au_token_file_t *tokens;     /* NULL: no TokenFile */
  au_tls_t *tls;               /* NULL: plain HTTP */
  au_rate_limit_t *rate_limit; /* NULL: no limit */
  au_places_t *places;         /* of all listeners together */
  unsigned connections_max;
  int64_t request_timeout_ns;
  int64_t keep_alive_ns;
  /* The header Keep-Alive of every answer; empty: none has it. */
  char keep_alive[AU_KEEP_ALIVE_SIZE];
  int64_t started_ns;
  bool is_library_lenient; /* http/framing.h */

  _Atomic bool leaving;
  _Atomic bool quiescing;
  _Atomic unsigned unbound;
  _Atomic unsigned requests;  /* under way */
  _Atomic unsigned lingering; /* connections */
  au_http_memory_t memory;

  pthread_mutex_t lock; /* protects: the next three */
  pthread_cond_t wake;
  bool stop;
  au_listener_t listener[AU_LISTEN_MAX]; /* "loop": of the housekeeping thread
                                            while it runs, then of stop */
  unsigned listeners;
  pthread_t thread; /* housekeeping */
  bool has_thread;
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
  au_connection_t *peer; /* what the loop knows of it; NULL: nothing */
  const au_route_method_t *method; /* NULL: there is no such route */
  const au_refusal_t *refusal;     /* of its route; NULL: as everywhere */
  int64_t start_ns;
  char correlation_id[AU_CORRELATION_ID_MAX + 1];
  char parameter[AU_PARAMETER_MAX + 1];
  bool takes_credentials; /* what it is, or asks leave for (http/cors.h) */
  bool is_get;            /* or HEAD */
  bool takes_gzip;

  /* The answer. */
  bool wants_to_stay; /* the client keeps the connection, if we do */
  bool is_begun;      /* its header has not been refused */
  bool is_answered;
  bool is_body_refused; /* answered while the client may still send */
  /* The answer waits in "held" for the last call: libmicrohttpd closes a
   * connection that is answered at the first one. */
  bool is_held;
  struct MHD_Response *held;
  au_reply_t *reply;     /* whose response the answer is; NULL: its own */
  const uint8_t *packed; /* the body that is in gzip; NULL: none */
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
  au_withdraw_t withdraw; /* not NULL: it is in loop->timed */
  void *withdraw_context;
  int64_t until_ns;
  au_request_t *next_timed;
  au_request_t *previous_timed;

  alignas(max_align_t) unsigned char state[]; /* the route's */
};

/* http/match.c: the entry whose path fits, a trailing slash left out; NULL:
 * none. What is at ":id" is copied to "out_parameter", else it is "". */
const au_route_t *au_route_find(const au_route_t *entries, size_t count,
                                const char *url,
                                char out_parameter[AU_PARAMETER_MAX + 1]);
au_method_t au_route_method_of(const char *method);
/* The value of the header Allow; entry NULL: all methods that there are. */
#define AU_ALLOW_SIZE 64
void au_route_allow(const au_route_t *entry, char text[AU_ALLOW_SIZE]);

/* http/body.c: takes a piece of the body; false: the connection is to be
 * closed. After the last piece, finish gives the body to the route unless it
 * has had it. Drop frees it. */
bool au_body_take(au_request_t *request, const char *data, size_t size);
void au_body_finish(au_request_t *request);
void au_body_drop(au_request_t *request);

/* http/request.c: whether its connection stays open after the answer, if that
 * is sent now. */
bool au_request_stays_open(const au_request_t *request);

/* http/memory.c: shares out "max" bytes; opens the account of a request. */
void au_memory_init(au_http_memory_t *memory, uint64_t max);
void au_memory_open(au_http_memory_t *memory, au_account_t *account);

/* http/trim.c: called now and then by the housekeeping thread; gives memory
 * back to the system after a load. */
void au_trim_check(au_http_t *http);

/* http/authorize.c: false: the request has been answered. */
bool au_authorize(au_request_t *request);
/* Takes one from the limit of the request's address; 0, or the seconds after
 * which to try again. */
unsigned au_request_limit_address(au_request_t *request);

/* http/answer.c: sends the answer that was held. */
enum MHD_Result au_answer_send_held(au_request_t *request);
/* Gives back what was not sent, or was sent and can be used again. */
void au_answer_drop(au_request_t *request);

/* http/direct.c: refuses a request for whose answer libmicrohttpd may have no
 * memory: writes it to the connection, and MHD_NO, which is returned, closes
 * that. */
enum MHD_Result au_direct_refusal(au_request_t *request, au_error_code_t code,
                                  const char *message, bool has_body);

/* http/wait.c: libmicrohttpd asks again for a request that waits in its loop.
 */
enum MHD_Result au_request_check(au_request_t *request);
/* Ends the waits whose time has come. */
void au_request_end_waits(au_loop_t *loop);
/* A request that was suspended goes on. */
enum MHD_Result au_request_resume(au_request_t *request);
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

/* A connection is about to be closed whose client may still be sending. If that
 * were a reset, the client might never see its answer: so a copy of "fd" stays
 * open for a few seconds, and what comes is thrown away. It keeps the
 * connection's place. "connection" may be NULL: nothing. */
void au_loop_linger(au_loop_t *loop, au_connection_t *connection);

/* http/server.c: libmicrohttpd's messages; "cls" is the au_listener_t. */
void au_http_log(void *cls, const char *format, va_list arguments)
    AU_PRINTF(2, 0);

/* http/request.c: libmicrohttpd's callbacks; "cls" is the au_loop_t. */
enum MHD_Result au_http_handle(void *cls, struct MHD_Connection *connection,
                               const char *url, const char *method,
                               const char *version, const char *upload_data,
                               size_t *upload_data_size, void **con_cls);
void *au_http_target(void *cls, const char *target,
                     struct MHD_Connection *connection);
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
