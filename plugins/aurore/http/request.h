/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * request - a request as its route sees it, and what a route is. With server.h
 * and answer.h this is all that the outside needs of http/.
 *
 * A request is made when its header has come, together with the state that its
 * route asks for, and freed when its answer has been sent or its connection has
 * ended. The request thread that has its connection makes every call to a hook,
 * one at a time; no hook may block. What takes time is left to another thread:
 *
 *   au_request_expect(request);
 *   ... hand it over; au_request_complete() is called there, once ...
 *   return au_request_wait(request, AU_WAIT_..., resume);
 *
 * Threads: au_request_complete from any; the rest from the hooks.
 */
#ifndef AURORE_HTTP_REQUEST_H
#define AURORE_HTTP_REQUEST_H

#include "base/bytes.h"
#include "base/status.h"
#include "http/error_code.h"
#include "http/parameters.h"
#include "http/scope.h"
#include "metrics/metrics.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of what is in a path at ":id"; what is longer is cut. */
#define AU_PARAMETER_MAX 200
#define AU_LENGTH_UNKNOWN UINT64_MAX

typedef struct au_http au_http_t; /* http/server.h */
typedef struct au_request au_request_t;

/* --- routes ------------------------------------------------------------ */

typedef enum au_method {
  AU_METHOD_GET, /* HEAD too */
  AU_METHOD_POST,
  AU_METHOD_PATCH,
  AU_METHOD_DELETE,
  AU_METHOD_COUNT,
  AU_METHOD_OTHER = AU_METHOD_COUNT
} au_method_t;

/* How the clients of a path want to be refused, if not as error_code.h says. */
typedef struct au_refusal {
  /* Appends the body of the refusal; returns its type. "message" may be any
   * bytes. Another method may have been asked for: the state may be none. */
  const char *(*put)(const au_request_t *request, au_error_code_t code,
                     const char *message, au_bytes_t *body);
  /* The most that Retry-After may say, in seconds. */
  unsigned retry_after_max_s;
} au_refusal_t;

/* What a route does; all but "run" may be NULL. */
typedef struct au_handler {
  /* Examines the header before the body is read; true: go on, false: the
   * request has been answered. */
  bool (*begin)(au_request_t *request);

  /* Takes the whole body, borrowed for this call; once, before "run". It cannot
   * answer yet. Without this hook a body is thrown away.
   *   AU_OK           "data" has the body, as it was sent
   *   AU_FULL         it is larger than "body_max"
   *   AU_UNAVAILABLE  there is no memory for it (BodyMemory) */
  void (*body)(au_request_t *request, au_status_t status, const char *data,
               size_t size);

  /* Answers the request (au_answer), or waits. Returns what that returned. */
  enum MHD_Result (*run)(au_request_t *request);

  /* The request is over: frees what the state owns. Nobody else uses the state
   * any more, but for a thread that au_request_complete is expected from. */
  void (*done)(au_request_t *request);

  /* The largest body, in bytes; NULL: MaxBodyBytes. */
  size_t (*body_max)(const au_request_t *request);

  /* Of all refusals on its path; NULL: as everywhere. */
  const au_refusal_t *refusal;

  size_t state_size; /* of au_request_state(); it is zero at first */

  /* A page of a listed origin may use it with its visitor's credentials. */
  bool takes_credentials;

  /* It is for people: its 401 makes a browser ask for a password. */
  bool asks_password;
  /* OPTIONS is answered as the web hooks of CloudEvents want it. */
  bool takes_web_hooks;
} au_handler_t;

typedef struct au_route_method {
  const au_handler_t *handler; /* NULL: the method is not allowed */
  au_scope_t scope;
  au_route_label_t label; /* of its metrics */
} au_route_method_t;

/* "/dlq/:id/reprocess": ":id" stands for one segment, which is not empty. */
typedef struct au_route {
  const char *path;
  au_route_method_t method[AU_METHOD_COUNT];
} au_route_t;

/* --- a request --------------------------------------------------------- */

/* The route's own. */
void *au_request_state(au_request_t *request);

/* The server, and what it was given for all routes. */
au_http_t *au_request_server(const au_request_t *request);
void *au_request_context(const au_request_t *request);

/* What is in the path at ":id", percent-decoded; "" when nothing is. */
const char *au_request_parameter(const au_request_t *request);

/* The value of a header, or NULL. Borrowed until the answer. */
const char *au_request_header(const au_request_t *request, const char *name);

/* The query string as it was sent, without its '?'; "" when there is none,
 * NULL: there was no memory for it. Borrowed until the answer. */
const char *au_request_query(const au_request_t *request);

/* Bytes of the body that were announced, or AU_LENGTH_UNKNOWN. */
uint64_t au_request_content_length(const au_request_t *request);

/* Sorts the query parameters into those that the route knows, and refuses the
 * others. Their values are borrowed until the answer; percent-decoded, "%00" as
 * bytes that are not valid UTF-8. */
void au_request_parameters(au_request_t *request, au_parameter_t *known,
                           size_t count, au_refusals_t *refusals);

/* Milliseconds since its header came. */
double au_request_elapsed_ms(const au_request_t *request);

/* For what is not offered here. */
struct MHD_Connection *au_request_connection(const au_request_t *request);
/* Its descriptor, open until "done"; -1: none. */
int au_request_socket(const au_request_t *request);

/* Takes "count" from the rate limits; 0 when that many may pass, else the
 * seconds after which to try again. */
unsigned au_request_limit(au_request_t *request, uint64_t count);
/* The same for one, but takes nothing. */
unsigned au_request_limit_check(au_request_t *request);

/* --- memory ------------------------------------------------------------ */

/* What the request holds; at its end all of it is given back. Buffers that
 * belong to its state are charged to it (base/bytes.h): by the hooks, or by the
 * thread that is to complete the request. An answer is charged by au_answer if
 * it was not before. */
au_account_t *au_request_account(au_request_t *request);

/* What it holds from now on is a page of what is stored: such answers together
 * may take half of BodyMemory. */
void au_request_holds_page(au_request_t *request);

/* Charges what the account of a reader holds, and will hold, for a body of that
 * size, until lend_end. false: there is no memory for it. */
bool au_request_lend(au_request_t *request, au_account_t *account,
                     uint64_t body_size);
void au_request_lend_end(au_account_t *account);

/* --- waiting ----------------------------------------------------------- */

/* Answers, or waits again, now that the request was completed with "status". */
typedef enum MHD_Result (*au_resume_t)(au_request_t *request,
                                       au_status_t status);

typedef enum au_wait {
  AU_WAIT_MOMENT, /* some milliseconds: costs nothing but a wake of the loop */
  AU_WAIT_LONG    /* the connection leaves the loop meanwhile */
} au_wait_t;

/* From here on the request may be completed. */
void au_request_expect(au_request_t *request);
/* Somebody will complete it, or has already. When the client goes away before,
 * "resume" is not called. */
enum MHD_Result au_request_wait(au_request_t *request, au_wait_t how,
                                au_resume_t resume);
/* As AU_WAIT_LONG, until "until_ns" of the monotonic clock at most: then
 * "withdraw" is called on the request thread. true: nobody else completes the
 * request any more, and it is completed with AU_UNAVAILABLE; false: somebody
 * is about to. */
typedef bool (*au_withdraw_t)(au_request_t *request, void *context);
enum MHD_Result au_request_wait_until(au_request_t *request, int64_t until_ns,
                                      au_withdraw_t withdraw, void *context,
                                      au_resume_t resume);
/* From any thread, once after au_request_expect, unless there was no wait. The
 * caller may not use the request or its state any more. */
void au_request_complete(au_request_t *request, au_status_t status);

#endif
