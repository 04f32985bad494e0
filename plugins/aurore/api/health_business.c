/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * health_business - /health/business: the last metrics that were read, with
 * their time. Nothing is asked of the database here.
 */

#include "api/ask.h"
#include "api/health.h"
#include "base/json.h"
#include "base/timestamp.h"
#include "http/answer.h"
#include "store/business.h"

#include <inttypes.h>

static void put_services(au_bytes_t *json,
                         const au_business_metrics_t *metrics) {
  for (size_t i = 0; i < metrics->services; i++) {
    if (i > 0)
      au_bytes_put_u8(json, ',');
    au_json_put_text(json, metrics->service[i].service);
    au_bytes_printf(json, ":%" PRIu64, metrics->service[i].count);
  }
}

static void put_tops(au_bytes_t *json, const au_business_metrics_t *metrics) {
  for (size_t i = 0; i < metrics->tops; i++) {
    au_bytes_put_string(json, i > 0 ? ",{\"service\":" : "{\"service\":");
    au_json_put_text(json, metrics->top[i].service);
    au_bytes_printf(json, ",\"count\":%" PRIu64 "}", metrics->top[i].count);
  }
}

static void put_hours(au_bytes_t *json, const au_business_metrics_t *metrics) {
  for (size_t i = 0; i < metrics->hours; i++)
    au_bytes_printf(json, "%s{\"hour\":\"%s\",\"count\":%" PRIu64 "}",
                    i > 0 ? "," : "", metrics->hour[i].hour,
                    metrics->hour[i].count);
}

bool au_put_business(au_bytes_t *json) {
  const au_business_metrics_t *metrics = au_business_acquire();
  if (metrics == NULL)
    return false;
  char as_of[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(metrics->as_of_us, as_of);
  au_bytes_printf(json, "{\"totalEvents\":%" PRIu64 ",\"eventsByService\":{",
                  metrics->total);
  put_services(json, metrics);
  au_bytes_printf(
      json,
      "},\"eventsLast24Hours\":%" PRIu64 ",\"eventsLastHour\":%" PRIu64
      ",\"averageEventsPerMinute\":%.10g,\"topServices\":[",
      metrics->last_day, metrics->last_hour, au_business_per_minute(metrics));
  put_tops(json, metrics);
  au_bytes_put_string(json, "],\"eventsByHour\":[");
  put_hours(json, metrics);
  au_bytes_printf(json, "],\"asOf\":\"%s\"}", as_of);
  au_business_release(metrics);
  return true;
}

static enum MHD_Result answer_business(au_request_t *request) {
  au_bytes_t body = AU_BYTES_INIT;
  if (!au_put_business(&body))
    return au_answer_no_database(request, AU_UNAVAILABLE);
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
}

const au_handler_t au_route_health_business = {.run = answer_business};
