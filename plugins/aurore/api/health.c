/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * health - /live, /ready, /health and /health/buffer: what is known without
 * asking the database.
 */
#include "api/routes.h"

#include "api/health.h"
#include "base/json.h"
#include "observe/health.h"

#include <inttypes.h>

static enum MHD_Result answer_message(au_request_t *request, unsigned status,
                                      const char *message, const char *reason) {
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_put_u8(&body, '{');
  if (status != MHD_HTTP_OK)
    au_bytes_printf(&body, "\"statusCode\":%u,", status);
  au_bytes_put_string(&body, "\"message\":");
  au_json_put_text(&body, message);
  if (reason != NULL) {
    au_bytes_put_string(&body, ",\"reason\":");
    au_json_put_text(&body, reason);
  }
  au_bytes_put_u8(&body, '}');
  return au_answer(request, status, AU_JSON_TYPE, &body, NULL);
}

static enum MHD_Result answer_live(au_request_t *request) {
  if (au_http_is_quiescing(au_request_server(request)))
    return answer_message(request, MHD_HTTP_SERVICE_UNAVAILABLE,
                          "SERVER_IS_SHUTTING_DOWN", NULL);
  return answer_message(request, MHD_HTTP_OK, "SERVER_IS_NOT_SHUTTING_DOWN",
                        NULL);
}

/* A database that is away does not matter while there is room. */
unsigned au_assess_ready(const au_request_t *request, const char **out_message,
                         const char **out_reason) {
  *out_reason = "shutting down";
  *out_message = "SERVER_IS_SHUTTING_DOWN";
  if (au_http_is_leaving(au_request_server(request)))
    return MHD_HTTP_SERVICE_UNAVAILABLE;
  au_buffer_t *buffer = au_api_of(request)->buffer;
  au_buffer_usage_t usage;
  au_buffer_usage(buffer, &usage);
  *out_reason = au_buffer_trouble(buffer);
  if (*out_reason == NULL &&
      (usage.events >= usage.capacity || usage.bytes >= usage.max_bytes))
    *out_reason = "the buffer is full";
  *out_message =
      *out_reason == NULL ? "SERVER_IS_READY" : "SERVER_IS_NOT_READY";
  return *out_reason == NULL ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static enum MHD_Result answer_ready(au_request_t *request) {
  const char *message = NULL;
  const char *reason = NULL;
  unsigned status = au_assess_ready(request, &message, &reason);
  return answer_message(request, status, message, reason);
}

void au_put_buffer_health(au_bytes_t *json, const au_request_t *request) {
  au_buffer_usage_t usage;
  au_buffer_usage(au_api_of(request)->buffer, &usage);
  au_health_t health = (au_health_t)au_metrics_gauge(AU_M_BUFFER_HEALTH);
  au_bytes_printf(json,
                  "{\"status\":\"%s\",\"buffer\":{\"size\":%" PRIu64
                  ",\"capacity\":%" PRIu64
                  ",\"utilization_percent\":\"%.2f\"},\"metrics\":",
                  au_health_text(health), usage.events, usage.capacity,
                  usage.utilization_percent);
  au_put_buffer_metrics(json);
  au_bytes_put_u8(json, '}');
}

static enum MHD_Result answer_buffer(au_request_t *request) {
  au_metrics_sample();
  au_bytes_t body = AU_BYTES_INIT;
  au_put_buffer_health(&body, request);
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
}

const au_handler_t au_route_live = {.run = answer_live};
const au_handler_t au_route_ready = {.run = answer_ready};
const au_handler_t au_route_health_buffer = {.run = answer_buffer};
