/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * page - GET /: the status page for people, and for programs what it shows that
 * no other route has, with the list of routes.
 */
#include "api/page_html.h"

#include "aurore_config.h"

#include "api/routes.h"
#include "base/json.h"
#include "base/timestamp.h"

#include <inttypes.h>
#include <string.h>

/* --- as JSON ----------------------------------------------------------- */

static void put_lane(au_bytes_t *json, const au_lane_overview_t *lane) {
  au_bytes_printf(json,
                  "{\"lane\":%u,\"state\":\"%s\",\"waiting\":%" PRIu64
                  ",\"oldestAgeSeconds\":%.3f,\"lastStoredSeconds\":",
                  lane->lane, lane->state, lane->waiting, lane->oldest_age_s);
  if (lane->since_stored_s < 0)
    au_bytes_put_string(json, "null");
  else
    au_bytes_printf(json, "%.3f", lane->since_stored_s);
  if (lane->error.at_us == 0) {
    au_bytes_put_string(json, ",\"lastError\":null}");
    return;
  }
  char time[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(lane->error.at_us, time);
  au_bytes_put_string(json, ",\"lastError\":{\"sqlState\":");
  au_json_put_text(json, lane->error.sqlstate[0] != '\0' ? lane->error.sqlstate
                                                         : NULL);
  au_bytes_put_string(json, ",\"message\":");
  au_json_put_text(json, lane->error.message);
  au_bytes_printf(json, ",\"at\":\"%s\"}}", time);
}

/* "/dlq/:id" as "/dlq/{id}". */
static void put_path(au_bytes_t *json, const char *path) {
  bool is_name = false;
  for (const char *at = path; *at != '\0'; at++) {
    if (*at == ':') {
      au_bytes_put_u8(json, '{');
      is_name = true;
      continue;
    }
    if (*at == '/' && is_name)
      au_bytes_put_u8(json, '}');
    is_name = is_name && *at != '/';
    au_bytes_put_u8(json, (uint8_t)*at);
  }
  if (is_name)
    au_bytes_put_u8(json, '}');
}

static const char *scope_text(au_scope_t scope) {
  switch (scope) {
  case AU_SCOPE_INGEST:
    return "\"ingest\"";
  case AU_SCOPE_READ:
    return "\"read\"";
  case AU_SCOPE_ADMIN:
    return "\"admin\"";
  case AU_SCOPE_NONE:
    break;
  }
  return "null";
}

static void put_routes(au_bytes_t *json) {
  static const char *const names[AU_METHOD_COUNT] = {
      [AU_METHOD_GET] = "GET",
      [AU_METHOD_POST] = "POST",
      [AU_METHOD_PATCH] = "PATCH",
      [AU_METHOD_DELETE] = "DELETE"};
  const char *separator = "";
  for (size_t i = 0; i < au_routes_count; i++)
    for (int method = 0; method < AU_METHOD_COUNT; method++) {
      if (au_routes[i].method[method].handler == NULL)
        continue;
      au_bytes_printf(json, "%s{\"method\":\"%s\",\"path\":\"", separator,
                      names[method]);
      put_path(json, au_routes[i].path);
      au_bytes_printf(json, "\",\"scope\":%s}",
                      scope_text(au_routes[i].method[method].scope));
      separator = ",";
    }
}

static void put_json(au_bytes_t *json, const au_overview_t *overview) {
  au_bytes_printf(json,
                  "{\"name\":\"aurore\",\"version\":\"" AURORE_VERSION
                  "\",\"status\":\"%s\",\"reasons\":[",
                  au_health_text(overview->health));
  for (unsigned i = 0; i < overview->reasons; i++) {
    au_bytes_put_string(json, i > 0 ? "," : "");
    au_json_put_text(json, overview->reason[i]);
  }
  au_bytes_put_string(json, "],\"lanes\":[");
  for (unsigned i = 0; i < overview->lanes; i++) {
    au_bytes_put_string(json, i > 0 ? "," : "");
    put_lane(json, &overview->lane[i]);
  }
  double letters = au_metrics_gauge(AU_M_DEAD_LETTERS_PENDING);
  au_bytes_printf(json,
                  "],\"deadLettersPending\":%.0f,\"document\":\"/openapi.json\""
                  ",\"routes\":[",
                  letters > 0 ? letters : 0);
  put_routes(json);
  au_bytes_put_string(json, "]}");
}

/* --- the route --------------------------------------------------------- */

/* A browser asks for text/html, whatever else it takes. */
static bool wants_json(const au_request_t *request) {
  const char *accept = au_request_header(request, MHD_HTTP_HEADER_ACCEPT);
  return accept != NULL && strstr(accept, "application/json") != NULL &&
         strstr(accept, "text/html") == NULL;
}

static enum MHD_Result answer_html(au_request_t *request,
                                   const au_overview_t *overview) {
  au_bytes_t html = {.account = au_request_account(request)};
  const au_api_t *api = au_api_of(request);
  au_page_html_put(&html, overview, api->history, api->options->host_version,
                   au_http_uptime_s(au_request_server(request)));
  return au_answer(request, MHD_HTTP_OK, AU_HTML_TYPE, &html,
                   au_page_html_headers);
}

static enum MHD_Result answer_page(au_request_t *request, au_status_t status) {
  au_overview_t overview;
  au_overview_take(&overview, request, au_request_state(request), status);
  if (!wants_json(request))
    return answer_html(request, &overview);
  au_bytes_t json = {.account = au_request_account(request)};
  put_json(&json, &overview);
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &json, NULL);
}

static enum MHD_Result ask_page(au_request_t *request) {
  static const au_ask_t ask = {.run = au_probe_run,
                               .answer = answer_page,
                               .operation = AU_OPERATION_COUNT,
                               .lane = AU_QUERY_SHORT,
                               .timeout_s = AU_PROBE_TIMEOUT_S};
  return au_request_ask(request, &ask);
}

const au_handler_t au_route_page = {
    .run = ask_page, .state_size = sizeof(au_probe_t), .asks_password = true};
