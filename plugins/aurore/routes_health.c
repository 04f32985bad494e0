/* SPDX-License-Identifier: MIT
 *
 * routes_health - /live, /ready, /health and what is below it.
 */
#include "routes.h"

#include "json.h"
#include "sampler.h"

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

enum MHD_Result au_route_live(au_request_t *request) {
  if (au_http_is_quiescing(request->http))
    return answer_message(request, MHD_HTTP_SERVICE_UNAVAILABLE,
                          "SERVER_IS_SHUTTING_DOWN", NULL);
  return answer_message(request, MHD_HTTP_OK, "SERVER_IS_NOT_SHUTTING_DOWN",
                        NULL);
}

/* Ready: an event would be accepted now. A database that is away does not
 * matter while there is room. */
enum MHD_Result au_route_ready(au_request_t *request) {
  if (au_http_is_quiescing(request->http))
    return answer_message(request, MHD_HTTP_SERVICE_UNAVAILABLE,
                          "SERVER_IS_SHUTTING_DOWN", "shutting down");
  au_buffer_t *buffer = au_http_buffer(request->http);
  const char *reason = au_buffer_trouble(buffer);
  au_buffer_figures_t figures;
  au_buffer_figures(buffer, &figures);
  if (reason == NULL && (figures.events >= figures.capacity ||
                         figures.bytes >= figures.max_bytes))
    reason = "the buffer is full";
  if (reason != NULL)
    return answer_message(request, MHD_HTTP_SERVICE_UNAVAILABLE,
                          "SERVER_IS_NOT_READY", reason);
  return answer_message(request, MHD_HTTP_OK, "SERVER_IS_READY", NULL);
}

enum MHD_Result au_route_health_buffer(au_request_t *request) {
  au_metrics_sample();
  au_buffer_figures_t figures;
  au_buffer_figures(au_http_buffer(request->http), &figures);
  au_health_t health = (au_health_t)au_metrics_gauge(AU_M_BUFFER_HEALTH);
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_printf(&body,
                  "{\"status\":\"%s\",\"buffer\":{\"size\":%" PRIu64
                  ",\"capacity\":%" PRIu64
                  ",\"utilization_percent\":\"%.2f\"},\"metrics\":",
                  au_sampler_health_text(health), figures.events,
                  figures.capacity, figures.utilization_percent);
  au_put_buffer_metrics(&body);
  au_bytes_put_u8(&body, '}');
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
}
