/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * The ids are those that api/page/page.js brings up to date, and the figures
 * are written as it writes them.
 */
#include "api/page_html.h"

#include "aurore_config.h"

#include "api/charts.h"
#include "api/page_text.h"
#include "base/clock.h"
#include "base/timestamp.h"
#include "metrics/metrics.h"
#include "store/business.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *const au_page_html_headers[] = {
    "Content-Security-Policy",
    "default-src 'none'; script-src " PAGE_SCRIPT_HASH
    "; style-src " PAGE_STYLE_HASH
    "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy",
    "no-referrer",
    "X-Frame-Options",
    "DENY",
    NULL};

void au_html_put_text(au_bytes_t *html, const char *text) {
  for (const char *at = text; at != NULL && *at != '\0'; at++) {
    unsigned char byte = (unsigned char)*at;
    if (byte == '&')
      au_bytes_put_string(html, "&amp;");
    else if (byte == '<')
      au_bytes_put_string(html, "&lt;");
    else if (byte == '>')
      au_bytes_put_string(html, "&gt;");
    else if (byte == '"')
      au_bytes_put_string(html, "&quot;");
    else if (byte == '\'')
      au_bytes_put_string(html, "&#39;");
    else
      au_bytes_put_u8(html, byte < ' ' && byte != '\n' ? ' ' : byte);
  }
}

/* --- figures ----------------------------------------------------------- */

#define TEXT_SIZE 64

/* "1,234,567" */
static const char *count_text(uint64_t value, char text[TEXT_SIZE]) {
  char digits[TEXT_SIZE];
  int size = snprintf(digits, sizeof(digits), "%" PRIu64, value);
  char *to = text;
  for (int i = 0; i < size; i++) {
    if (i > 0 && (size - i) % 3 == 0)
      *to++ = ',';
    *to++ = digits[i];
  }
  *to = '\0';
  return text;
}

/* "12 s", "5 min"; of a negative one "never". */
static const char *span_text(double seconds, char text[TEXT_SIZE]) {
  static const struct {
    const char *unit;
    double size;
  } steps[] = {{"d", 86400}, {"h", 3600}, {"min", 60}};
  for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
    if (seconds >= 2 * steps[i].size) {
      snprintf(text, TEXT_SIZE, "%.0f %s",
               (double)(int64_t)(seconds / steps[i].size), steps[i].unit);
      return text;
    }
  if (seconds < 0)
    snprintf(text, TEXT_SIZE, "never");
  else
    snprintf(text, TEXT_SIZE, seconds < 10 ? "%.1f s" : "%.0f s", seconds);
  return text;
}

static const char *ago_text(double seconds, char text[TEXT_SIZE]) {
  span_text(seconds, text);
  if (seconds >= 0)
    strncat(text, " ago", TEXT_SIZE - strlen(text) - 1);
  return text;
}

/* --- parts ------------------------------------------------------------- */

/* A row of a list; "id" is that of the figure, for the script. */
static void put_figure(au_bytes_t *html, const char *name, const char *id,
                       const char *text) {
  au_bytes_printf(html, "<div><dt>%s</dt><dd id=\"%s\">", name, id);
  au_html_put_text(html, text);
  au_bytes_put_string(html, "</dd></div>\n");
}

/* The same with a line of its own. */
static void put_words(au_bytes_t *html, const char *name, const char *id,
                      const char *text) {
  au_bytes_printf(html, "<div class=\"long\"><dt>%s</dt><dd id=\"%s\">", name,
                  id);
  au_html_put_text(html, text);
  au_bytes_put_string(html, "</dd></div>\n");
}

static void put_count(au_bytes_t *html, const char *name, const char *id,
                      uint64_t value) {
  char text[TEXT_SIZE];
  put_figure(html, name, id, count_text(value, text));
}

static void begin_section(au_bytes_t *html, const char *id, const char *title) {
  au_bytes_printf(html,
                  "<section id=\"%s\" aria-labelledby=\"%s-title\">"
                  "<h2 id=\"%s-title\">%s</h2>\n",
                  id, id, id, title);
}

static void begin_document(au_bytes_t *html, const char *title) {
  au_bytes_printf(
      html,
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<title>Aurore: %s</title>\n"
      "<link rel=\"icon\" href=\"data:,\">\n<style>",
      title);
  au_bytes_put(html, page_style, sizeof(page_style));
  au_bytes_put_string(
      html, "</style>\n</head>\n<body>\n<header>\n<h1>Aurore events</h1>\n");
}

static void put_head(au_bytes_t *html, const au_overview_t *overview) {
  const char *verdict = au_health_text(overview->health);
  char time[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(au_clock_wall_us(), time);
  begin_document(html, verdict);
  au_bytes_printf(
      html,
      "<p role=\"status\"><span id=\"verdict\" class=\"verdict %s\">%s</span>"
      "</p>\n<p class=\"muted\">As of <span id=\"as-of\">%s</span>"
      "<span id=\"live\" hidden>, brought up to date every five seconds</span>"
      "</p>\n</header>\n<main>\n"
      "<section class=\"wide\" id=\"silent\" role=\"alert\" hidden>"
      "<p class=\"verdict critical\">No answer: <span "
      "id=\"silent-why\"></span>."
      " What follows is as it was then.</p></section>\n",
      verdict, verdict, time);
}

static void put_reasons(au_bytes_t *html, const au_overview_t *overview) {
  au_bytes_printf(
      html,
      "<section class=\"wide\" id=\"why\" "
      "aria-labelledby=\"why-title\"%s>"
      "<h2 id=\"why-title\">What needs attention</h2>\n<ul id=\"reasons\">",
      overview->reasons == 0 ? " hidden" : "");
  for (unsigned i = 0; i < overview->reasons; i++) {
    au_bytes_put_string(html, "<li>");
    au_html_put_text(html, overview->reason[i]);
    au_bytes_put_string(html, "</li>");
  }
  au_bytes_put_string(html, "</ul></section>\n");
}

static void put_minute(au_bytes_t *html, const au_overview_t *overview) {
  char text[TEXT_SIZE];
  double rate = au_metrics_gauge(AU_M_EVENTS_THROUGHPUT);
  begin_section(html, "minute", "Last minute");
  au_bytes_put_string(html, "<dl>\n");
  snprintf(text, sizeof(text), rate < 10 ? "%.2f" : "%.0f", rate);
  put_figure(html, "Accepted events a second", "throughput", text);
  snprintf(text, sizeof(text), "%.2f %%",
           au_metrics_gauge(AU_M_EVENTS_DROP_RATE));
  put_figure(html, "Refused, buffer full", "drop-rate", text);
  put_figure(html, "Last accepted", "enqueued-ago",
             ago_text(overview->buffer.since_enqueue_s, text));
  put_figure(html, "Last stored", "drained-ago",
             ago_text(overview->buffer.since_drain_s, text));
  put_count(html, "Accepted since the start", "accepted",
            au_metrics_counter(AU_M_EVENTS_ENQUEUED, 0));
  put_count(html, "Refused since the start", "dropped",
            au_metrics_counter(AU_M_EVENTS_DROPPED, 0));
  au_bytes_put_string(html, "</dl></section>\n");
}

static void put_buffer(au_bytes_t *html, const au_overview_t *overview) {
  const au_buffer_usage_t *buffer = &overview->buffer;
  char text[TEXT_SIZE];
  begin_section(html, "buffer", "Buffer");
  au_bytes_printf(html,
                  "<meter id=\"utilization-meter\" "
                  "aria-labelledby=\"buffer-title\" min=\"0\" max=\"100\" "
                  "low=\"70\" high=\"90\" optimum=\"0\" value=\"%.2f\">"
                  "</meter>\n<dl>\n",
                  buffer->utilization_percent);
  snprintf(text, sizeof(text), "%.2f %%", buffer->utilization_percent);
  put_figure(html, "In use", "utilization", text);
  put_count(html, "Events that wait", "buffer-size", buffer->events);
  put_count(html, "Capacity", "buffer-capacity", buffer->capacity);
  put_figure(html, "State", "ready", overview->ready);
  au_bytes_put_string(html, "</dl></section>\n");
}

static void put_database(au_bytes_t *html, const au_overview_t *overview) {
  char text[TEXT_SIZE];
  char time[AU_TIMESTAMP_TEXT_SIZE] = "never";
  begin_section(html, "db", "Database");
  au_bytes_put_string(html, "<dl>\n");
  put_figure(html, "State", "database",
             overview->database_up ? "connected" : "disconnected");
  snprintf(text, sizeof(text), "%.0f ms", overview->latency_ms);
  put_figure(html, "Answers within", "latency",
             overview->database_up ? text : "none");
  snprintf(text, sizeof(text), "%.0f / %.0f / %u",
           au_metrics_gauge(AU_M_POOL_ACTIVE) > 0
               ? au_metrics_gauge(AU_M_POOL_ACTIVE)
               : 0,
           au_metrics_gauge(AU_M_POOL_IDLE) > 0
               ? au_metrics_gauge(AU_M_POOL_IDLE)
               : 0,
           overview->pool_waiting);
  put_figure(html, "Connections busy / idle / wanted", "pool", text);
  put_figure(html, "Circuit breaker", "breaker",
             au_breaker_state_text(overview->breaker.state));
  put_count(html, "Failures in a row", "breaker-failures",
            overview->breaker.failures);
  if (overview->error_at_us != 0)
    au_timestamp_format(overview->error_at_us, time);
  put_figure(html, "Last error at", "last-error-at", time);
  put_words(html, "Last error", "last-error",
            overview->error_at_us != 0 ? overview->error.message : "none");
  au_bytes_put_string(html, "</dl></section>\n");
}

static void put_events(au_bytes_t *html) {
  char text[TEXT_SIZE] = "unknown";
  const au_business_metrics_t *metrics = au_business_acquire();
  if (metrics != NULL) {
    count_text(metrics->total, text);
    au_business_release(metrics);
  }
  double letters = au_metrics_gauge(AU_M_DEAD_LETTERS_PENDING);
  begin_section(html, "events", "Events");
  au_bytes_put_string(html, "<dl>\n");
  put_figure(html, "In the database", "stored", text);
  put_count(html, "Dead letters that wait", "dead-letters",
            letters > 0 ? (uint64_t)letters : 0);
  au_bytes_put_string(html, "</dl></section>\n");
}

static void put_lane(au_bytes_t *html, const au_lane_overview_t *lane) {
  char waiting[TEXT_SIZE];
  char oldest[TEXT_SIZE];
  char stored[TEXT_SIZE];
  char time[AU_TIMESTAMP_TEXT_SIZE];
  au_bytes_printf(html,
                  "<tr><th scope=\"row\">%u</th><td class=\"words\">%s</td>"
                  "<td>%s</td><td>%s</td><td>%s</td><td class=\"words\">",
                  lane->lane, lane->state, count_text(lane->waiting, waiting),
                  span_text(lane->oldest_age_s, oldest),
                  ago_text(lane->since_stored_s, stored));
  if (lane->error.at_us != 0) {
    au_timestamp_format(lane->error.at_us, time);
    au_html_put_text(html, lane->error.message);
    au_bytes_printf(html, " <span class=\"whole\">(%s)</span>", time);
  } else {
    au_bytes_put_string(html, "none");
  }
  au_bytes_put_string(html, "</td></tr>\n");
}

static void put_lanes(au_bytes_t *html, const au_overview_t *overview) {
  au_bytes_put_string(
      html, "<section class=\"wide\" aria-labelledby=\"lanes-title\">"
            "<h2 id=\"lanes-title\">Lanes</h2>\n"
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" "
            "aria-labelledby=\"lanes-title\"><table aria-labelledby="
            "\"lanes-title\"><thead><tr>"
            "<th scope=\"col\">Lane</th><th scope=\"col\" class=\"words\">State"
            "</th><th scope=\"col\">Waiting</th><th scope=\"col\">Oldest</th>"
            "<th scope=\"col\">Last stored</th>"
            "<th scope=\"col\" class=\"words\">Last error</th></tr></thead>\n"
            "<tbody id=\"lanes\">\n");
  for (unsigned i = 0; i < overview->lanes; i++)
    put_lane(html, &overview->lane[i]);
  au_bytes_put_string(html, "</tbody></table></div></section>\n");
}

static void put_hour(au_bytes_t *html, au_history_t *history) {
  au_bytes_put_string(html, "<section class=\"wide\" id=\"hour\" "
                            "aria-labelledby=\"hour-title\">"
                            "<h2 id=\"hour-title\">Last hour</h2>\n");
  au_charts_put(html, history, au_clock_wall_us());
  au_bytes_put_string(html, "</section>\n");
}

static void put_versions(au_bytes_t *html, const char *host_version,
                         double uptime_s) {
  char text[TEXT_SIZE];
  begin_section(html, "program", "Program");
  au_bytes_put_string(html, "<dl>\n");
  put_figure(html, "Version", "version", AURORE_VERSION);
  put_figure(html, "collectd", "collectd", host_version);
  put_figure(html, "Running for", "uptime", span_text(uptime_s, text));
  snprintf(text, sizeof(text), "%.1f MiB",
           au_metrics_gauge(AU_M_PROCESS_MEMORY) / 1048576);
  put_figure(html, "Memory", "memory", text);
  au_bytes_put_string(
      html, "</dl>\n<nav aria-label=\"More\"><a href=\"/openapi.yaml\">API</a>"
            "<a href=\"/health/detailed\">Health</a>"
            "<a href=\"/metrics/prometheus\">Metrics</a>"
            "<a href=\"/metrics/history\">History</a>"
            "<a href=\"/dlq?reprocessed=false\">Dead letters</a></nav>"
            "</section>\n");
}

void au_page_html_put(au_bytes_t *html, const au_overview_t *overview,
                      au_history_t *history, const char *host_version,
                      double uptime_s) {
  put_head(html, overview);
  put_reasons(html, overview);
  put_minute(html, overview);
  put_buffer(html, overview);
  put_database(html, overview);
  put_events(html);
  put_versions(html, host_version, uptime_s);
  put_lanes(html, overview);
  put_hour(html, history);
  au_bytes_put_string(html, "</main>\n<script>");
  au_bytes_put(html, page_script, sizeof(page_script));
  au_bytes_put_string(html, "</script>\n</body>\n</html>\n");
}

void au_page_html_history_put(au_bytes_t *html, au_history_t *history) {
  begin_document(html, "history");
  au_bytes_put_string(html, "<nav aria-label=\"More\"><a href=\"/\">Status</a>"
                            "</nav>\n</header>\n<main>\n");
  put_hour(html, history);
  au_bytes_put_string(html, "</main>\n</body>\n</html>\n");
}
