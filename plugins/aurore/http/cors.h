/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * cors - OPTIONS, and what a browser must be told before it lets a page of
 * another origin use an answer (the Fetch standard's CORS protocol).
 *
 * It is no access control: it says which pages may act in their visitor's
 * browser, and who is no browser does not ask.
 *
 * Threads: the request thread.
 */
#ifndef AURORE_HTTP_CORS_H
#define AURORE_HTTP_CORS_H

#include "http/request.h"

/* Whether the request comes from a page whose origin AllowOrigin names; that
 * all are allowed ("*") does not count. */
bool au_cors_is_listed(const au_request_t *request);

/* Adds to an answer what its page may do with it, but for Vary: an answer
 * depends on the origin whenever there is an AllowOrigin. */
void au_cors_add(const au_request_t *request, struct MHD_Response *response);

/* Answers OPTIONS with 204, Allow and, when it is a preflight from an origin
 * that is allowed, what the page may send. "route" NULL: "OPTIONS *". */
enum MHD_Result au_cors_answer_options(au_request_t *request,
                                       const au_route_t *route);

#endif
