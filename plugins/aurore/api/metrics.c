/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * metrics - /metrics (the shape of the service that this replaces),
 * /metrics/history and /metrics/prometheus.
 */
#include "api/routes.h"

#include "api/health.h"
#include "api/page_html.h"
#include "metrics/exposition.h"
#include "observe/health.h"

#include <inttypes.h>
#include <string.h>

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

static enum MHD_Result answer_metrics(au_request_t *request) {
  au_metrics_sample();
  au_buffer_usage_t usage;
  au_buffer_usage(au_api_of(request)->buffer, &usage);
  au_health_t health = (au_health_t)au_metrics_gauge(AU_M_BUFFER_HEALTH);
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_printf(&body,
                  "{\"status\":\"%s\",\"buffer_size\":%" PRIu64
                  ",\"buffer_capacity\":%" PRIu64
                  ",\"buffer_utilization_percent\":\"%.2f\",\"metrics\":",
                  au_health_text(health), usage.events, usage.capacity,
                  usage.utilization_percent);
  au_put_buffer_metrics(&body);
  au_bytes_printf(&body, ",\"uptime_seconds\":%.3f",
                  au_http_uptime_s(au_request_server(request)));
  put_since(&body, "time_since_last_enqueue_seconds", usage.since_enqueue_s);
  put_since(&body, "time_since_last_drain_seconds", usage.since_drain_s);
  au_bytes_put_u8(&body, '}');
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
}

#define LIMIT_DEFAULT 100

/* It asks for text/html, which no program does that wants the figures. */
static bool is_browser(const au_request_t *request) {
  const char *accept = au_request_header(request, MHD_HTTP_HEADER_ACCEPT);
  return accept != NULL && strstr(accept, "text/html") != NULL;
}

static enum MHD_Result answer_history(au_request_t *request) {
  au_parameter_t limit = {.name = "limit"};
  au_refusals_t refusals = {.count = 0};
  au_request_parameters(request, &limit, 1, &refusals);
  int64_t count = au_parameter_integer(&limit, 1, AU_HISTORY_SNAPSHOTS,
                                       LIMIT_DEFAULT, &refusals);
  if (refusals.count > 0)
    return au_answer_refused(request, &refusals);
  au_refusals_fini(&refusals);
  au_bytes_t body = {.account = au_request_account(request)};
  au_history_t *history = au_api_of(request)->history;
  if (is_browser(request)) {
    au_page_html_history_put(&body, history);
    return au_answer(request, MHD_HTTP_OK, AU_HTML_TYPE, &body,
                     au_page_html_headers);
  }
  au_history_put(history, (size_t)count, &body);
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
}

static enum MHD_Result answer_prometheus(au_request_t *request) {
  au_exposition_t format =
      au_exposition_choose(au_request_header(request, MHD_HTTP_HEADER_ACCEPT));
  au_metrics_sample();
  au_bytes_t body = AU_BYTES_INIT;
  au_exposition_put(&body, format);
  return au_answer(request, MHD_HTTP_OK, au_exposition_content_type(format),
                   &body, NULL);
}

const au_handler_t au_route_metrics = {.run = answer_metrics};
const au_handler_t au_route_history = {.run = answer_history};
const au_handler_t au_route_prometheus = {.run = answer_prometheus};
