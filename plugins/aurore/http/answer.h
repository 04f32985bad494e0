/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * answer - answering a request, with the headers that every answer carries.
 *
 * Each function answers the request and returns what its hook returns: MHD_NO
 * when out of memory, which closes the connection.
 *
 * Threads: from the hooks of a route (http/request.h).
 */
#ifndef AURORE_HTTP_ANSWER_H
#define AURORE_HTTP_ANSWER_H

#include "base/bytes.h"
#include "http/request.h"

#define AU_JSON_TYPE "application/json; charset=utf-8"

/* Seconds that a client should wait when the time is not known. */
#define AU_RETRY_AFTER_S "5"

/* Takes "body" (its memory is the answer's afterwards, also on failure).
 * "content_type" and "headers" may be NULL; "headers" are name, value, ...,
 * NULL. */
enum MHD_Result au_answer(au_request_t *request, unsigned status,
                          const char *content_type, au_bytes_t *body,
                          const char *const *headers);

/* {"statusCode":...,"message":...,"error":...}; error may be NULL. */
enum MHD_Result au_answer_status(au_request_t *request, unsigned status,
                                 const char *message, const char *error,
                                 const char *const *headers);

/* 503 {"status":"error","message":...,"errorCode":...} with Retry-After. */
enum MHD_Result au_answer_503(au_request_t *request, const char *message,
                              const char *code);

/* The same with the code SERVICE_UNAVAILABLE. */
enum MHD_Result au_answer_unavailable(au_request_t *request,
                                      const char *message);

/* 400 with all that was refused (http/parameters.h). Frees it. */
enum MHD_Result au_answer_refused(au_request_t *request,
                                  au_refusals_t *refusals);

#endif
