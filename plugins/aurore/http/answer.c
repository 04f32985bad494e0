/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * answer - see http/answer.h.
 */
#include "http/private.h"

#include "base/json.h"

#include <stdio.h>

static void add_header(struct MHD_Response *response, const char *name,
                       const char *value) {
  /* MHD_NO: out of memory, or a value that cannot be a header. An answer
   * without it is better than none. */
  (void)MHD_add_response_header(response, name, value);
}

enum MHD_Result au_answer(au_request_t *request, unsigned status,
                          const char *content_type, au_bytes_t *body,
                          const char *const *headers) {
  struct MHD_Response *response = NULL;
  if (!body->failed)
    response = MHD_create_response_from_buffer(body->size, body->data,
                                               MHD_RESPMEM_MUST_FREE);
  if (response == NULL)
    au_bytes_fini(body); /* out of memory: the connection is closed */
  *body = (au_bytes_t)AU_BYTES_INIT;
  if (response == NULL)
    return MHD_NO;
  if (content_type != NULL)
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
  add_header(response, "X-Correlation-Id", request->correlation_id);
  add_header(response, "X-Content-Type-Options", "nosniff");
  add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  for (size_t i = 0; headers != NULL && headers[i] != NULL; i += 2)
    add_header(response, headers[i], headers[i + 1]);
  request->is_answered = true;
  request->status = status;
  request->held = response;
  if (request->is_held && status != MHD_HTTP_CONTENT_TOO_LARGE)
    return MHD_YES;
  return au_answer_send_held(request);
}

enum MHD_Result au_answer_send_held(au_request_t *request) {
  struct MHD_Response *response = request->held;
  request->held = NULL;
  enum MHD_Result result =
      MHD_queue_response(request->connection, request->status, response);
  MHD_destroy_response(response);
  return result;
}

enum MHD_Result au_answer_status(au_request_t *request, unsigned status,
                                 const char *message, const char *error,
                                 const char *const *headers) {
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_printf(&body, "{\"statusCode\":%u,\"message\":", status);
  au_json_put_text(&body, message);
  if (error != NULL) {
    au_bytes_put_string(&body, ",\"error\":");
    au_json_put_text(&body, error);
  }
  au_bytes_put_u8(&body, '}');
  return au_answer(request, status, AU_JSON_TYPE, &body, headers);
}

enum MHD_Result au_answer_503(au_request_t *request, const char *message,
                              const char *code) {
  static const char *const headers[] = {MHD_HTTP_HEADER_RETRY_AFTER,
                                        AU_RETRY_AFTER_S, NULL};
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_put_string(&body, "{\"status\":\"error\",\"message\":");
  au_json_put_text(&body, message);
  au_bytes_printf(&body, ",\"errorCode\":\"%s\"}", code);
  return au_answer(request, MHD_HTTP_SERVICE_UNAVAILABLE, AU_JSON_TYPE, &body,
                   headers);
}

enum MHD_Result au_answer_unavailable(au_request_t *request,
                                      const char *message) {
  return au_answer_503(request, message, "SERVICE_UNAVAILABLE");
}

enum MHD_Result au_answer_refused(au_request_t *request,
                                  au_refusals_t *refusals) {
  au_bytes_t body = AU_BYTES_INIT;
  au_refusals_put(refusals, &body);
  au_refusals_fini(refusals);
  return au_answer(request, MHD_HTTP_BAD_REQUEST, AU_JSON_TYPE, &body, NULL);
}
