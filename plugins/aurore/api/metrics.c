/* SPDX-License-Identifier: MIT
 *
 * metrics - /metrics (the shape of the service that this replaces),
 * /metrics/history and /metrics/prometheus.
 */
#include "api/routes.h"

#include "metrics/exposition.h"
#include "observe/health.h"

#include <inttypes.h>

void au_put_buffer_metrics(au_bytes_t *json) {
  au_bytes_printf(json,
                  "{\"total_enqueued\":%" PRIu64 ",\"total_dropped\":%" PRIu64
                  ",\"drop_rate_percent\":\"%.2f\""
                  ",\"throughput_events_per_second\":\"%.2f\"}",
                  au_metrics_counter(AU_M_EVENTS_ENQUEUED, 0),
                  au_metrics_counter(AU_M_EVENTS_DROPPED, 0),
                  au_metrics_gauge(AU_M_EVENTS_DROP_RATE),
                  au_metrics_gauge(AU_M_EVENTS_THROUGHPUT));
}

/* A number of seconds, or null for "never". */
static void put_since(au_bytes_t *json, const char *name, double seconds) {
  if (seconds < 0)
    au_bytes_printf(json, ",\"%s\":null", name);
  else
    au_bytes_printf(json, ",\"%s\":%.3f", name, seconds);
}

enum MHD_Result au_route_metrics(au_request_t *request) {
  au_metrics_sample();
  au_buffer_figures_t figures;
  au_buffer_figures(au_http_buffer(request->http), &figures);
  au_health_t health = (au_health_t)au_metrics_gauge(AU_M_BUFFER_HEALTH);
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_printf(&body,
                  "{\"status\":\"%s\",\"buffer_size\":%" PRIu64
                  ",\"buffer_capacity\":%" PRIu64
                  ",\"buffer_utilization_percent\":\"%.2f\",\"metrics\":",
                  au_health_text(health), figures.events, figures.capacity,
                  figures.utilization_percent);
  au_put_buffer_metrics(&body);
  au_bytes_printf(&body, ",\"uptime_seconds\":%.3f",
                  au_http_uptime_s(request->http));
  put_since(&body, "time_since_last_enqueue_seconds", figures.since_enqueue_s);
  put_since(&body, "time_since_last_drain_seconds", figures.since_drain_s);
  au_bytes_put_u8(&body, '}');
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
}

#define LIMIT_DEFAULT 100

enum MHD_Result au_route_history(au_request_t *request) {
  au_parameter_t limit = {.name = "limit"};
  au_refusals_t refusals = {.count = 0};
  au_request_parameters(request, &limit, 1, &refusals);
  int64_t count = au_parameter_integer(&limit, 1, AU_HISTORY_SNAPSHOTS,
                                       LIMIT_DEFAULT, &refusals);
  if (refusals.count > 0)
    return au_answer_refused(request, &refusals);
  au_refusals_fini(&refusals);
  au_bytes_t body = AU_BYTES_INIT;
  au_history_t *history = au_http_history(request->http);
  if (history != NULL)
    au_history_put(history, (size_t)count, &body);
  else /* the very first moment of a start */
    au_bytes_put_string(&body, "[]");
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
}

enum MHD_Result au_route_prometheus(au_request_t *request) {
  au_exposition_t format =
      au_exposition_choose(au_request_header(request, MHD_HTTP_HEADER_ACCEPT));
  au_metrics_sample();
  au_bytes_t body = AU_BYTES_INIT;
  au_exposition_put(&body, format);
  return au_answer(request, MHD_HTTP_OK, au_exposition_content_type(format),
                   &body, NULL);
}
