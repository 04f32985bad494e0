/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * cors - see http/cors.h.
 */
#include "http/cors.h"

#include "http/private.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* More names of headers than any page asks for; longer lists are not echoed. */
#define ASKED_SIZE 2048
/* Six headers with their values, and the end. */
#define HEADERS_MAX 13
#define TOKEN_CHARACTERS                                                       \
  "!#$%&'*+-.^_`|~0123456789"                                                  \
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static bool is_allowed(const au_options_t *options, const char *origin) {
  for (size_t i = 0; i < options->allow_origins; i++)
    if (strcasecmp(options->allow_origin[i], origin) == 0)
      return true;
  return false;
}

static const char *origin_of(const au_request_t *request) {
  return au_request_header(request, MHD_HTTP_HEADER_ORIGIN);
}

bool au_cors_is_listed(const au_request_t *request) {
  const char *origin = origin_of(request);
  return origin != NULL && strcmp(origin, "*") != 0 &&
         is_allowed(request->http->options, origin);
}

static void add(struct MHD_Response *response, const char *name,
                const char *value) {
  (void)MHD_add_response_header(response, name, value);
}

void au_cors_add(const au_request_t *request, struct MHD_Response *response) {
  const au_options_t *options = request->http->options;
  if (options->allow_origins == 0)
    return;
  bool is_listed = au_cors_is_listed(request);
  if (!is_listed && !is_allowed(options, "*"))
    return;
  /* An origin that is listed holds nothing but what the configuration may. */
  add(response, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN,
      is_listed ? origin_of(request) : "*");
  add(response, MHD_HTTP_HEADER_ACCESS_CONTROL_EXPOSE_HEADERS,
      "Retry-After, X-Correlation-Id, Preference-Applied, X-Rejected");
  if (is_listed && request->takes_credentials)
    add(response, "Access-Control-Allow-Credentials", "true");
}

/* The names of headers in "list", separated by commas, written anew; false:
 * there is none, or what is there is no such list. */
static bool read_names(const char *list, char names[ASKED_SIZE]) {
  size_t length = 0;
  if (list == NULL)
    return false;
  for (list += strspn(list, ", \t"); *list != '\0';
       list += strspn(list, ", \t")) {
    size_t name = strspn(list, TOKEN_CHARACTERS);
    const char *end = list + name + strspn(list + name, " \t");
    if (name == 0 || (*end != ',' && *end != '\0') ||
        length + name + sizeof(", ") > ASKED_SIZE)
      return false;
    if (length > 0) {
      memcpy(names + length, ", ", 2);
      length += 2;
    }
    memcpy(names + length, list, name);
    length += name;
    list = end;
  }
  names[length] = '\0';
  return length > 0;
}

/* The method that a page wants to use; NULL: it is no preflight. */
static const char *method_asked(const au_request_t *request) {
  return origin_of(request) != NULL
             ? au_request_header(request,
                                 MHD_HTTP_HEADER_ACCESS_CONTROL_REQUEST_METHOD)
             : NULL;
}

/* Whether a program may send to the route by a web hook, which asks first (the
 * specification "HTTP 1.1 Web Hooks for Event Delivery"). */
static bool takes_web_hooks(const au_route_t *route) {
  const au_handler_t *post =
      route != NULL ? route->method[AU_METHOD_POST].handler : NULL;
  return post != NULL && post->takes_web_hooks;
}

/* Requests a minute that it may send. */
static void put_rate(const au_request_t *request, char *text, size_t size) {
  double rate = request->http->options->rate_limit * 60;
  if (rate <= 0)
    snprintf(text, size, "*");
  else
    snprintf(text, size, "%.0f", rate < 1 ? 1 : rate);
}

enum MHD_Result au_cors_answer_options(au_request_t *request,
                                       const au_route_t *route) {
  char allow[AU_ALLOW_SIZE];
  char names[ASKED_SIZE];
  const char *headers[HEADERS_MAX];
  char rate[32];
  size_t count = 0;
  const char *asked = method_asked(request);
  au_route_allow(route, allow);
  headers[count++] = MHD_HTTP_HEADER_ALLOW;
  headers[count++] = allow;
  if (asked != NULL &&
      (au_cors_is_listed(request) || is_allowed(request->http->options, "*"))) {
    au_method_t method = au_route_method_of(asked);
    const au_handler_t *handler = route != NULL && method != AU_METHOD_OTHER
                                      ? route->method[method].handler
                                      : NULL;
    request->takes_credentials = handler != NULL && handler->takes_credentials;
    headers[count++] = MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_METHODS;
    headers[count++] = allow;
    headers[count++] = MHD_HTTP_HEADER_ACCESS_CONTROL_MAX_AGE;
    headers[count++] = "86400";
    if (read_names(au_request_header(
                       request, MHD_HTTP_HEADER_ACCESS_CONTROL_REQUEST_HEADERS),
                   names)) {
      headers[count++] = MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_HEADERS;
      headers[count++] = names;
    }
  }
  const char *sender = au_request_header(request, "WebHook-Request-Origin");
  if (sender != NULL && takes_web_hooks(route)) {
    put_rate(request, rate, sizeof(rate));
    headers[count++] = "WebHook-Allowed-Origin";
    headers[count++] = sender;
    headers[count++] = "WebHook-Allowed-Rate";
    headers[count++] = rate;
  }
  headers[count] = NULL;
  au_bytes_t nothing = AU_BYTES_INIT;
  return au_answer(request, MHD_HTTP_NO_CONTENT, NULL, &nothing, headers);
}
