/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * health_database - /health/database, and /health/detailed, which has it
 * together with all other health: the database is asked for nothing but an
 * answer, for at most a second, on the connection that is kept for that.
 *
 * Health is what the writers see: a writer that is not connected, or their open
 * circuit breaker, is "down", whoever else is answered. So is no answer within
 * the second.
 */
#include "api/routes.h"

#include "aurore_config.h"

#include "api/ask.h"
#include "api/health.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/timestamp.h"
#include "metrics/metrics.h"
#include "observe/health.h"

#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#define WARNING_MS 1000
/* Of the machine's memory, in percent. */
#define MEMORY_WARNING 80.0
#define MEMORY_CRITICAL 90.0

au_status_t au_probe_run(void *state, const au_query_job_t *job,
                         au_database_t *database, au_database_error_t *error) {
  au_probe_t *probe = state;
  int64_t start_ns = au_clock_monotonic_ns();
  au_status_t status = au_query_exec(job, database, "SELECT 1", NULL, error);
  probe->latency_ms = au_clock_elapsed_ms(start_ns);
  return status;
}

static const char *const health_texts[] = {[AU_HEALTHY] = "healthy",
                                           [AU_WARNING] = "warning",
                                           [AU_CRITICAL] = "unhealthy"};

static au_breaker_snapshot_t breaker_of(au_api_t *api) {
  au_breaker_t *breaker = atomic_load(&api->breaker);
  if (breaker != NULL)
    return au_breaker_snapshot(breaker);
  return (au_breaker_snapshot_t){.state = AU_BREAKER_CLOSED};
}

/* What the writers last failed with; 0: nothing. */
static int64_t last_error(au_api_t *api, au_database_error_t *out_error) {
  au_breaker_t *breaker = atomic_load(&api->breaker);
  return breaker != NULL ? au_breaker_last_error(breaker, out_error) : 0;
}

/* Whether the database answers, and takes none of a lane's events. */
static bool is_blocked(void) {
  return au_metrics_gauge(AU_M_LANES_BLOCKED) > 0;
}

/* What the question to the database has shown, and what the writers see. */
au_health_t au_assess_database(au_api_t *api, const au_probe_t *probe,
                               au_status_t status) {
  au_metrics_sample();
  if (status != AU_OK || au_metrics_gauge(AU_M_DATABASE_CONNECTION) < 1 ||
      breaker_of(api).state == AU_BREAKER_OPEN)
    return AU_CRITICAL;
  return probe->latency_ms > WARNING_MS || is_blocked() ? AU_WARNING
                                                        : AU_HEALTHY;
}

static void put_time(au_bytes_t *json, int64_t us) {
  char text[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(us, text);
  au_bytes_printf(json, "\"%s\"", text);
}

static void put_breaker(au_bytes_t *json, const au_breaker_snapshot_t *of) {
  au_bytes_printf(json,
                  "{\"state\":\"%s\",\"failureCount\":%u,\"successCount\":%u,"
                  "\"lastFailureTime\":",
                  au_breaker_state_text(of->state), of->failures,
                  of->successes);
  if (of->last_failure_us != 0)
    put_time(json, of->last_failure_us);
  else
    au_bytes_put_string(json, "null");
  au_bytes_put_u8(json, '}');
}

/* The values of db_connection_pool_*, so with the connections of the writers.
 */
static void put_pool(au_bytes_t *json, au_api_t *api) {
  au_query_pool_t *query = atomic_load(&api->query);
  unsigned waiting = query != NULL ? au_query_pool_usage(query).waiting : 0;
  au_bytes_printf(json, "{\"active\":%.0f,\"idle\":%.0f,\"waiting\":%u}",
                  fmax(au_metrics_gauge(AU_M_POOL_ACTIVE), 0),
                  fmax(au_metrics_gauge(AU_M_POOL_IDLE), 0), waiting);
}

static void put_sqlstate(au_bytes_t *json, const au_database_error_t *error) {
  if (error->sqlstate[0] != '\0')
    au_bytes_printf(json, "\"sqlState\":\"%s\"", error->sqlstate);
  else
    au_bytes_put_string(json, "\"sqlState\":null");
}

/* In PostgreSQL's own words: for those who may read. */
static void put_last_error(au_bytes_t *json, au_api_t *api) {
  au_database_error_t error;
  int64_t at_us = last_error(api, &error);
  au_bytes_put_string(json, ",\"lastError\":");
  if (at_us == 0) {
    au_bytes_put_string(json, "null");
    return;
  }
  au_bytes_put_u8(json, '{');
  put_sqlstate(json, &error);
  au_bytes_put_string(json, ",\"message\":");
  au_json_put_text(json, error.message);
  au_bytes_put_string(json, ",\"at\":");
  put_time(json, at_us);
  au_bytes_put_u8(json, '}');
}

/* What became of events that the database had confirmed and has lost since it
 * fell back to an earlier time. */
static void put_fallen_back(au_bytes_t *json) {
  au_bytes_printf(
      json, ",\"fallenBack\":{\"replayed\":%" PRIu64 ",\"lost\":%" PRIu64 "}",
      au_metrics_counter(AU_M_EVENTS_REPLAYED, 0),
      au_metrics_counter(AU_M_EVENTS_LOST, 0));
}

/* Without the end of the object. */
static void put_database(au_bytes_t *json, au_api_t *api,
                         const au_probe_t *probe, au_health_t health) {
  au_breaker_snapshot_t breaker = breaker_of(api);
  au_database_error_t error = {.fault = AU_FAULT_NONE};
  au_bytes_printf(json, "{\"status\":\"%s\",", health_texts[health]);
  if (health != AU_CRITICAL) {
    au_bytes_printf(json, "\"database\":\"connected\",\"queryLatencyMs\":%.0f",
                    ceil(probe->latency_ms));
    if (is_blocked()) {
      (void)last_error(api, &error);
      au_bytes_put_string(json, ",\"warning\":\"Events refused\",");
      put_sqlstate(json, &error);
    }
  } else {
    (void)last_error(api, &error);
    au_bytes_printf(json, "\"database\":\"disconnected\",\"error\":\"%s\",",
                    "Database connection failed");
    put_sqlstate(json, &error);
  }
  au_bytes_put_string(json, ",\"connectionPool\":");
  put_pool(json, api);
  au_bytes_put_string(json, ",\"circuitBreaker\":");
  put_breaker(json, &breaker);
  au_bytes_put_string(json, ",\"timestamp\":");
  put_time(json, au_clock_wall_us());
}

static const char *const down_headers[] = {MHD_HTTP_HEADER_RETRY_AFTER,
                                           AU_RETRY_AFTER_S, NULL};

static enum MHD_Result answer_database(au_request_t *request,
                                       au_status_t status) {
  au_api_t *api = au_api_of(request);
  const au_probe_t *probe = au_request_state(request);
  au_health_t health = au_assess_database(api, probe, status);
  au_bytes_t body = AU_BYTES_INIT;
  put_database(&body, api, probe, health);
  au_bytes_put_u8(&body, '}');
  if (health != AU_CRITICAL)
    return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
  return au_answer(request, MHD_HTTP_SERVICE_UNAVAILABLE, AU_JSON_TYPE, &body,
                   down_headers);
}

/* --- /health/detailed -------------------------------------------------- */

static au_health_t assess_memory(double *out_rss, double *out_percent) {
  double machine =
      (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
  *out_rss = au_metrics_gauge(AU_M_PROCESS_MEMORY);
  *out_percent = machine > 0 ? 100.0 * *out_rss / machine : 0;
  return *out_percent >= MEMORY_CRITICAL  ? AU_CRITICAL
         : *out_percent >= MEMORY_WARNING ? AU_WARNING
                                          : AU_HEALTHY;
}

static void put_memory(au_bytes_t *json) {
  double rss = 0;
  double percent = 0;
  au_health_t health = assess_memory(&rss, &percent);
  au_bytes_printf(json,
                  "{\"status\":\"%s\",\"rss\":%.0f,\"usagePercent\":%.2f}",
                  au_health_text(health), rss, percent);
}

static void put_server(au_bytes_t *json, const au_request_t *request) {
  const char *message = NULL;
  const char *reason = NULL;
  unsigned status = au_assess_ready(request, &message, &reason);
  au_bytes_printf(json, "{\"status\":%u,\"message\":\"%s\"", status, message);
  if (reason != NULL) {
    au_bytes_put_string(json, ",\"reason\":");
    au_json_put_text(json, reason);
  }
  au_bytes_put_u8(json, '}');
}

static void put_environment(au_bytes_t *json, const au_api_t *api) {
  au_bytes_put_string(json, "{\"collectdVersion\":");
  au_json_put_text(json, api->options->host_version);
  au_bytes_printf(json,
                  ",\"pluginVersion\":\"" AURORE_VERSION
                  "\",\"platform\":\"linux\",\"pid\":%ld}",
                  (long)getpid());
}

static au_health_t worse(au_health_t one, au_health_t other) {
  return one > other ? one : other;
}

/* One whose events wait for somebody to do something. */
static bool has_stuck_lane(au_buffer_t *buffer) {
  int64_t now_ns = au_clock_monotonic_ns();
  for (unsigned i = 0; i < au_buffer_lanes(buffer); i++) {
    au_lane_t *lane = au_buffer_lane(buffer, i);
    if (au_lane_is_fenced(lane) || au_lane_is_blocked(lane, now_ns))
      return true;
  }
  return false;
}

au_health_t au_assess_all(const au_request_t *request, const au_probe_t *probe,
                          au_status_t status) {
  au_api_t *api = au_api_of(request);
  const char *message = NULL;
  const char *reason = NULL;
  double rss = 0;
  double percent = 0;
  au_health_t health = au_assess_database(api, probe, status);
  health = worse(health, (au_health_t)au_metrics_gauge(AU_M_BUFFER_HEALTH));
  if (breaker_of(api).state != AU_BREAKER_CLOSED)
    health = worse(health, AU_WARNING);
  if (au_assess_ready(request, &message, &reason) != MHD_HTTP_OK ||
      has_stuck_lane(api->buffer))
    health = AU_CRITICAL;
  return worse(health, assess_memory(&rss, &percent));
}

static void put_parts(au_bytes_t *json, au_request_t *request,
                      au_health_t database) {
  au_api_t *api = au_api_of(request);
  const au_probe_t *probe = au_request_state(request);
  au_breaker_snapshot_t breaker = breaker_of(api);
  au_bytes_put_string(json, ",\"server\":");
  put_server(json, request);
  au_bytes_put_string(json, ",\"database\":");
  put_database(json, api, probe, database);
  put_last_error(json, api);
  put_fallen_back(json);
  au_bytes_put_u8(json, '}');
  au_bytes_put_string(json, ",\"buffer\":");
  au_put_buffer_health(json, request);
  au_bytes_put_string(json, ",\"circuitBreaker\":");
  put_breaker(json, &breaker);
  au_bytes_put_string(json, ",\"business\":");
  if (!au_put_business(json))
    au_bytes_put_string(json, "null");
  au_bytes_put_string(json, ",\"memory\":");
  put_memory(json);
  au_bytes_put_string(json, ",\"environment\":");
  put_environment(json, api);
}

static enum MHD_Result answer_detailed(au_request_t *request,
                                       au_status_t status) {
  const au_probe_t *probe = au_request_state(request);
  au_bytes_t parts = AU_BYTES_INIT;
  au_health_t health = au_assess_all(request, probe, status);
  put_parts(&parts, request,
            au_assess_database(au_api_of(request), probe, status));
  double ms = au_request_elapsed_ms(request);
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_put_string(&body, "{\"timestamp\":");
  put_time(&body, au_clock_wall_us());
  au_bytes_printf(
      &body, ",\"status\":\"%s\",\"responseTimeMs\":%.3f,\"uptime\":%.3f",
      au_health_text(health), ms, au_http_uptime_s(au_request_server(request)));
  au_bytes_put(&body, parts.data, parts.size);
  au_bytes_put_u8(&body, '}');
  body.failed = body.failed || parts.failed;
  au_bytes_fini(&parts);
  if (health != AU_CRITICAL)
    return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
  return au_answer(request, MHD_HTTP_SERVICE_UNAVAILABLE, AU_JSON_TYPE, &body,
                   down_headers);
}

/* --- asking ------------------------------------------------------------ */

static enum MHD_Result ask_database(au_request_t *request) {
  static const au_ask_t ask = {.run = au_probe_run,
                               .answer = answer_database,
                               .operation = AU_OPERATION_COUNT,
                               .lane = AU_QUERY_SHORT,
                               .timeout_s = AU_PROBE_TIMEOUT_S};
  return au_request_ask(request, &ask);
}

static enum MHD_Result ask_detailed(au_request_t *request) {
  static const au_ask_t ask = {.run = au_probe_run,
                               .answer = answer_detailed,
                               .operation = AU_OPERATION_COUNT,
                               .lane = AU_QUERY_SHORT,
                               .timeout_s = AU_PROBE_TIMEOUT_S};
  return au_request_ask(request, &ask);
}

const au_handler_t au_route_health_database = {
    .run = ask_database, .state_size = sizeof(au_probe_t)};
const au_handler_t au_route_health_detailed = {
    .run = ask_detailed, .state_size = sizeof(au_probe_t)};
