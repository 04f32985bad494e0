/* SPDX-License-Identifier: MIT
 *
 * routes - what http/listener.c and the routes_*.c files share: the request,
 * the answer, and the table of routes.
 *
 * A request is made at the first call for its header, used by the one request
 * thread that has its connection, and freed when its answer has been sent. A
 * request that waits may be told its result by another thread; see
 * http/wait.c.
 */
#ifndef AURORE_API_ROUTES_H
#define AURORE_API_ROUTES_H

#include "base/bytes.h"
#include "database/query_pool.h"
#include "event/ingest.h"
#include "http/listener.h"
#include "http/parameters.h"
#include "http/scope.h"
#include "metrics/metrics.h"

#include <microhttpd.h>
#include <stdatomic.h>

#define AU_CORRELATION_ID_MAX 128
/* Of what stands in a path at ":id"; what is longer is cut. */
#define AU_PARAMETER_MAX 200

typedef enum au_method {
  AU_METHOD_GET, /* HEAD too */
  AU_METHOD_POST,
  AU_METHOD_PATCH,
  AU_METHOD_DELETE,
  AU_METHOD_COUNT,
  AU_METHOD_OTHER = AU_METHOD_COUNT
} au_method_t;

typedef struct au_request au_request_t;

/* Judges the header of a request that has a body; true: go on with the body,
 * false: it has been answered. */
typedef bool (*au_route_begin_t)(au_request_t *request);
/* Answers the request, or suspends it (then it is called again). The whole body
 * is there. */
typedef enum MHD_Result (*au_route_run_t)(au_request_t *request);

typedef struct au_route_method {
  au_route_run_t run; /* NULL: the method is not allowed */
  au_route_begin_t begin;
  au_scope_t scope;
  au_route_label_t label;
} au_route_method_t;

/* "/dlq/:id/reprocess": ":id" stands for one segment, which is not empty. The
 * first entry that fits is taken. */
typedef struct au_route {
  const char *path;
  au_route_method_t method[AU_METHOD_COUNT];
} au_route_t;

/* A question that a route asks the database through the query pool. */
typedef struct au_ask {
  /* On a thread of the pool: asks (see database/query_pool.h), and keeps what
   * it found in "question". Returns what the database returned. */
  au_status_t (*run)(void *question, const au_query_job_t *job,
                     au_database_t *database, au_database_error_t *error);
  /* On a request thread, afterwards: answers, or asks again. "status" as told
   * by the pool (database/query_pool.h), or AU_FULL, AU_UNAVAILABLE, AU_CLOSED
   * when it was refused; "run" may then never have been called. */
  enum MHD_Result (*answer)(au_request_t *request, void *question,
                            au_status_t status);
  void (*free)(void *question); /* when the request is over; NULL: nothing */
  au_operation_t operation;     /* AU_OPERATION_COUNT: not counted */
  au_query_lane_t lane;
  double timeout_s; /* 0: QueryTimeout */
} au_ask_t;

/* Where a request that waits for the spool or the database stands. */
typedef enum au_pending {
  AU_PENDING_NO,
  AU_PENDING_WAITING,   /* its loop looks again at each run */
  AU_PENDING_SUSPENDED, /* its connection is resumed when it is told */
  AU_PENDING_TOLD,
  AU_PENDING_GONE /* the connection was closed; the teller frees */
} au_pending_t;

/* http/private.h */
struct au_loop;

struct au_request {
  au_waiter_t waiter; /* first: a waiter is its request */
  au_http_t *http;
  struct au_loop *loop; /* whose thread uses it */
  struct MHD_Connection *connection;
  const au_route_method_t *method; /* NULL: there is no such route */
  bool answered;
  bool body_refused; /* answered before its body was read */
  /* The answer waits in "held" for the last call: libmicrohttpd closes a
   * connection that is answered at the first one. */
  bool is_held;
  struct MHD_Response *held;
  unsigned status;
  int64_t start_ns;
  int64_t accepted_us; /* queued_at */
  char correlation_id[AU_CORRELATION_ID_MAX + 1];

  /* The body. */
  uint64_t content_length; /* UINT64_MAX: not told */
  bool is_gzip;
  bool is_ndjson;
  bool is_minimal; /* Prefer: return=minimal */
  bool is_parsed;
  bool is_too_large;
  bool is_crowded_out; /* there was no memory left for its body */
  uint64_t gathered;   /* its part of http->gathered */
  au_bytes_t body;
  au_ingest_t *ingest; /* borrowed from the pool; NULL: none */
  au_ingest_result_t parsed;

  /* What the ingest said, so that it can be given back before a wait. */
  uint64_t events;     /* that were appended */
  uint64_t refused;    /* that were not */
  au_bytes_t accepted; /* the answer, if they are stored */

  _Atomic int pending; /* au_pending_t */
  bool is_waiting;     /* counted in loop->waiting */
  int64_t waits_ns;    /* since when */
  au_status_t told;    /* valid once pending is AU_PENDING_TOLD */
  /* Called instead of the route's "run" once it was told. */
  au_route_run_t resume;

  /* What the database is asked. */
  au_query_job_t job;
  const au_ask_t *ask; /* NULL: nothing */
  void *question;      /* owned; freed with ask->free */

  /* What stands in the path at ":id", percent-decoded; "" when nothing does. */
  char parameter[AU_PARAMETER_MAX + 1];
};

/* An answer that is being built. Takes "body" (its memory is the answer's
 * afterwards, also on failure). "headers" are name, value, ..., NULL; may be
 * NULL. Counts the request. */
enum MHD_Result au_answer(au_request_t *request, unsigned status,
                          const char *content_type, au_bytes_t *body,
                          const char *const *headers);

#define AU_JSON_TYPE "application/json; charset=utf-8"

/* {"statusCode":...,"message":...,"error":...}; error may be NULL. */
enum MHD_Result au_answer_status(au_request_t *request, unsigned status,
                                 const char *message, const char *error,
                                 const char *const *headers);

/* {"status":...,"message":...,"errorCode":...} and Retry-After. */
enum MHD_Result au_answer_unavailable(au_request_t *request,
                                      const char *message);

/* 503 for a question that has no answer: {"status":"error","message":"Database
 * unavailable","errorCode":"DATABASE_UNAVAILABLE"}, or, when it is because of a
 * stop or of memory, as au_answer_unavailable. With Retry-After. */
enum MHD_Result au_answer_no_database(au_request_t *request,
                                      au_status_t status);

/* Asks the database: suspends the request and calls ask->answer when there is a
 * result; at once when the pool refuses, or there is none (event_writer is not
 * loaded). The request thread never waits. When the client goes away, the
 * question is given up. "ask" is static; takes "question" (that of an earlier
 * call is freed, unless it is the same). */
enum MHD_Result au_request_ask(au_request_t *request, const au_ask_t *ask,
                               void *question);

/* Appends the rows to the buffer and calls "resume" when that is decided, at
 * once or when they are on disk: request->told is the status then (that of
 * au_buffer_append, or of its waiter). While it waits the request has no
 * ingest. */
enum MHD_Result au_request_append(au_request_t *request, const au_rows_t *rows,
                                  au_route_run_t resume);

/* 429 or 503: the buffer did not take the request's events, for the reason
 * "status" (not AU_OK). */
enum MHD_Result au_answer_not_appended(au_request_t *request,
                                       au_status_t status);

/* Sends the answer that was held; or forgets it, so that another can be made.
 */
enum MHD_Result au_answer_send_held(au_request_t *request);
void au_answer_forget_held(au_request_t *request);

/* The value of a request header, or NULL. Borrowed until the answer. */
const char *au_request_header(const au_request_t *request, const char *name);

/* Sorts the request's query parameters into those that the route knows, and
 * refuses the others. Their values are borrowed until the answer; percent-
 * decoded, "%00" as bytes that are not valid UTF-8. */
void au_request_parameters(au_request_t *request, au_parameter_t *known,
                           size_t count, au_refusals_t *refusals);

/* 400 with all that was refused, in the shape of POST /events. Frees it. */
enum MHD_Result au_answer_refused(au_request_t *request,
                                  au_refusals_t *refusals);

/* What the routes may look at. */
const au_options_t *au_http_options(const au_http_t *http);
au_buffer_t *au_http_buffer(const au_http_t *http);
bool au_http_is_quiescing(const au_http_t *http);
double au_http_uptime_s(const au_http_t *http);
au_query_pool_t *au_http_query(const au_http_t *http); /* NULL: there is none */
au_history_t *au_http_history(const au_http_t *http);  /* NULL: likewise */

/* Takes "events" from the rate limits; 0 when they may pass, else the seconds
 * after which to try again. */
unsigned au_http_limit_events(au_request_t *request, uint64_t events);
/* The same for one event, but takes nothing. */
unsigned au_http_limit_look(au_request_t *request);

/* Gives the request an ingest of the pool; false when out of memory. */
bool au_http_take_ingest(au_request_t *request);
/* Gives it back early, if there is one. */
void au_http_give_back_ingest(au_request_t *request);

/* api/events_post.c */
bool au_route_events_begin(au_request_t *request);
enum MHD_Result au_route_events_run(au_request_t *request);
/* Parses the whole body where it lies; the results do not point into it. */
void au_route_events_parse(au_request_t *request, const char *body,
                           size_t size);

/* api/events_get.c */
enum MHD_Result au_route_events_page(au_request_t *request);

/* api/health.c */
enum MHD_Result au_route_live(au_request_t *request);
enum MHD_Result au_route_ready(au_request_t *request);
enum MHD_Result au_route_health_buffer(au_request_t *request);
/* Whether an event would be accepted now. Returns the status, 200 or 503;
 * "out_reason" is NULL when it is 200. */
unsigned au_assess_ready(const au_http_t *http, const char **out_message,
                         const char **out_reason);
/* The answer of /health/buffer as an object. */
void au_put_buffer_health(au_bytes_t *json, const au_http_t *http);

/* api/health_database.c */
enum MHD_Result au_route_health_database(au_request_t *request);
enum MHD_Result au_route_health_detailed(au_request_t *request);

/* api/health_business.c */
enum MHD_Result au_route_health_business(au_request_t *request);
/* The last business figures as an object; false, and nothing is put, when there
 * are none yet. */
bool au_put_business(au_bytes_t *json);

/* api/dead_letters.c */
enum MHD_Result au_route_dlq_list(au_request_t *request);
enum MHD_Result au_route_dlq_statistics(au_request_t *request);
enum MHD_Result au_route_dlq_show(au_request_t *request);
enum MHD_Result au_route_dlq_delete(au_request_t *request);
enum MHD_Result au_route_dlq_reprocess(au_request_t *request);

/* api/metrics.c */
enum MHD_Result au_route_metrics(au_request_t *request);
enum MHD_Result au_route_history(au_request_t *request);
enum MHD_Result au_route_prometheus(au_request_t *request);
/* "total_enqueued", "total_dropped", "drop_rate_percent", ... as an object. */
void au_put_buffer_metrics(au_bytes_t *json);

#endif
