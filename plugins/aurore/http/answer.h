/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * answer - answering a request, with the headers that every answer carries.
 *
 * Each function answers the request and returns what its hook returns. What
 * there is no memory for becomes a 503; MHD_NO, which closes the connection,
 * when there is none for that either.
 *
 * Threads: from the hooks of a route (http/request.h), but for au_answer_pack.
 */
#ifndef AURORE_HTTP_ANSWER_H
#define AURORE_HTTP_ANSWER_H

#include "base/bytes.h"
#include "http/error_code.h"
#include "http/request.h"

/* Why 503: there is not enough of BodyMemory, or of the machine's. */
#define AU_NO_MEMORY "too many large requests at a time"

#define AU_JSON_TYPE "application/json; charset=utf-8"

/* Seconds that a client should wait when the time is not known. */
#define AU_RETRY_AFTER_S "5"

/* Takes "body" (its memory is the answer's afterwards, also on failure), which
 * has been charged to the request's account, or is now.
 * "content_type" and "headers" may be NULL; "headers" are name, value, ...,
 * NULL. */
enum MHD_Result au_answer(au_request_t *request, unsigned status,
                          const char *content_type, au_bytes_t *body,
                          const char *const *headers);

/* Puts the body that the request will be answered with into gzip, if its client
 * takes that; it must stay until the request is over, also if it is not
 * answered with after all. au_answer does so by itself, but not for large ones,
 * which would hold the request thread for too long: those are packed by the
 * thread that makes them and is about to complete the request. */
void au_answer_pack(au_request_t *request, au_bytes_t *body);

/* Refuses the request, in the one shape (http/error_code.h) or that of its
 * route (au_refusal_t), and with the status of "code". With 503 and no headers:
 * with Retry-After. */
enum MHD_Result au_answer_refusal(au_request_t *request, au_error_code_t code,
                                  const char *message,
                                  const char *const *headers);

/* The same, when the case has more to say: "body" begins with au_error_put and
 * ends with its brace. Takes it. Not for routes with a refusal of their own. */
enum MHD_Result au_answer_refusal_body(au_request_t *request,
                                       au_error_code_t code, au_bytes_t *body,
                                       const char *const *headers);

/* 503 with SERVICE_UNAVAILABLE and Retry-After. */
enum MHD_Result au_answer_unavailable(au_request_t *request,
                                      const char *message);

/* 400 INVALID_QUERY with all that was refused (http/parameters.h). Frees it. */
enum MHD_Result au_answer_refused(au_request_t *request,
                                  au_refusals_t *refusals);

#endif
