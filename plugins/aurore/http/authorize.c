/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * authorize - whether the token of a request may do what the route does.
 *
 * What is refused here counts against the address alone: if it counted against
 * the limit of all, those without a token could use that up for those with one.
 */
#include "http/private.h"

#include "base/number.h"

#include <stdio.h>

static const char *scope_name(au_scope_t scope) {
  switch (scope) {
  case AU_SCOPE_INGEST:
    return "ingest";
  case AU_SCOPE_READ:
    return "read";
  case AU_SCOPE_ADMIN:
  case AU_SCOPE_NONE:
    break;
  }
  return "admin";
}

static void answer_limited(au_request_t *request, unsigned seconds) {
  char text[AU_NUMBER_SIZE];
  (void)au_number_format(seconds, text);
  const char *const headers[] = {MHD_HTTP_HEADER_RETRY_AFTER, text, NULL};
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_RATE_LIMITED, 1);
  (void)au_answer_refusal(request, AU_ERROR_RATE_LIMITED, "Too Many Requests",
                          headers);
}

static void answer_forbidden(au_request_t *request) {
  char challenge[64];
  snprintf(challenge, sizeof(challenge),
           "Bearer error=\"insufficient_scope\", scope=\"%s\"",
           scope_name(request->method->scope));
  const char *const headers[] = {MHD_HTTP_HEADER_WWW_AUTHENTICATE, challenge,
                                 NULL};
  (void)au_answer_refusal(request, AU_ERROR_FORBIDDEN,
                          "the token does not have the scope for this",
                          headers);
}

static void answer_unauthorized(au_request_t *request, bool has_token) {
  const char *challenge =
      has_token ? "Bearer error=\"invalid_token\"" : "Bearer";
  if (request->method->handler->asks_password)
    challenge = "Basic realm=\"aurore: any user, a token as password\", "
                "charset=\"UTF-8\"";
  const char *const headers[] = {MHD_HTTP_HEADER_WWW_AUTHENTICATE, challenge,
                                 NULL};
  (void)au_answer_refusal(request, AU_ERROR_UNAUTHORIZED,
                          "a valid token is required", headers);
}

bool au_authorize(au_request_t *request) {
  const au_http_t *http = request->http;
  au_scope_t scope = request->method->scope;
  if (http->tokens == NULL || scope == AU_SCOPE_NONE)
    return true;
  int scopes = au_token_file_scopes(
      http->tokens, au_request_header(request, MHD_HTTP_HEADER_AUTHORIZATION));
  if (scopes >= 0 && (scopes & (int)scope) != 0)
    return true;
  unsigned wait_s = au_request_limit_address(request);
  if (wait_s > 0) {
    answer_limited(request, wait_s);
    return false;
  }
  au_metrics_count(AU_M_EVENTS_REJECTED, AU_REASON_UNAUTHORIZED, 1);
  if (scopes >= 0)
    answer_forbidden(request);
  else
    answer_unauthorized(request, scopes == AU_TOKEN_WRONG);
  return false;
}
