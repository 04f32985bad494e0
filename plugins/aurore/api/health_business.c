/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * health_business - /health/business: the last figures that were read, with
 * their time. Nothing is asked of the database here.
 */

#include "api/ask.h"
#include "api/health.h"
#include "base/json.h"
#include "base/timestamp.h"
#include "http/answer.h"
#include "store/business.h"

#include <inttypes.h>

static void put_services(au_bytes_t *json, const au_figures_t *figures) {
  for (size_t i = 0; i < figures->services; i++) {
    if (i > 0)
      au_bytes_put_u8(json, ',');
    au_json_put_text(json, figures->service[i].service);
    au_bytes_printf(json, ":%" PRIu64, figures->service[i].count);
  }
}

static void put_tops(au_bytes_t *json, const au_figures_t *figures) {
  for (size_t i = 0; i < figures->tops; i++) {
    au_bytes_put_string(json, i > 0 ? ",{\"service\":" : "{\"service\":");
    au_json_put_text(json, figures->top[i].service);
    au_bytes_printf(json, ",\"count\":%" PRIu64 "}", figures->top[i].count);
  }
}

static void put_hours(au_bytes_t *json, const au_figures_t *figures) {
  for (size_t i = 0; i < figures->hours; i++)
    au_bytes_printf(json, "%s{\"hour\":\"%s\",\"count\":%" PRIu64 "}",
                    i > 0 ? "," : "", figures->hour[i].hour,
                    figures->hour[i].count);
}

bool au_put_business(au_bytes_t *json) {
  const au_figures_t *figures = au_business_acquire();
  if (figures == NULL)
    return false;
  char as_of[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(figures->as_of_us, as_of);
  au_bytes_printf(json, "{\"totalEvents\":%" PRIu64 ",\"eventsByService\":{",
                  figures->total);
  put_services(json, figures);
  au_bytes_printf(
      json,
      "},\"eventsLast24Hours\":%" PRIu64 ",\"eventsLastHour\":%" PRIu64
      ",\"averageEventsPerMinute\":%.10g,\"topServices\":[",
      figures->last_day, figures->last_hour, au_business_per_minute(figures));
  put_tops(json, figures);
  au_bytes_put_string(json, "],\"eventsByHour\":[");
  put_hours(json, figures);
  au_bytes_printf(json, "],\"asOf\":\"%s\"}", as_of);
  au_business_release(figures);
  return true;
}

static enum MHD_Result answer_business(au_request_t *request) {
  au_bytes_t body = AU_BYTES_INIT;
  if (!au_put_business(&body))
    return au_answer_no_database(request, AU_UNAVAILABLE);
  return au_answer(request, MHD_HTTP_OK, AU_JSON_TYPE, &body, NULL);
}

const au_handler_t au_route_health_business = {.run = answer_business};
