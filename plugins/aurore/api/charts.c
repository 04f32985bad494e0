/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * A chart is 600 by 100 units, a column of ten for each minute, and stretched
 * to the place that it has. Text is beside it, where nothing stretches it.
 */
#include "api/charts.h"

#include "base/clock.h"
#include "base/timestamp.h"

#include <stdio.h>

enum { COLUMNS = 60, COLUMN_WIDTH = 10, ROWS = 6 };
#define BASE_LINE 98.0
#define HEIGHT 94.0
/* A line goes on over minutes without a snapshot, but not over more. */
#define GAP_MAX 3
#define TEXT_SIZE 48
#define CLOCK_SIZE 6 /* "13:07" */

typedef struct hour {
  int64_t now_us;
  bool has[COLUMNS];
  double value[AU_HISTORY_FIGURES][COLUMNS]; /* the highest */
  unsigned points;
  double last[AU_HISTORY_FIGURES];
} hour_t;

typedef struct chart {
  au_history_figure_t figure;
  const char *id;
  const char *name;
  const char *unit;
  double least_top; /* the scale ends there, or higher */
} chart_t;

static const chart_t charts[] = {
    {AU_HISTORY_RATE, "chart-rate", "Accepted events a second", "/s", 1},
    {AU_HISTORY_FILL, "chart-fill", "Buffer in use", "%", 100},
    {AU_HISTORY_DROP, "chart-drop", "Refused, buffer full", "%", 5}};

static void take_point(const au_history_point_t *point, void *context) {
  hour_t *hour = context;
  int64_t age_us = hour->now_us - point->at_us;
  if (age_us < 0 || age_us >= COLUMNS * AU_US_PER_MINUTE)
    return;
  unsigned column = COLUMNS - 1 - (unsigned)(age_us / AU_US_PER_MINUTE);
  for (unsigned i = 0; i < AU_HISTORY_FIGURES; i++) {
    hour->last[i] = point->value[i];
    if (!hour->has[column] || point->value[i] > hour->value[i][column])
      hour->value[i][column] = point->value[i];
  }
  hour->has[column] = true;
  hour->points++;
}

/* --- text ------------------------------------------------------------------*/

static const char *value_text(const chart_t *chart, double value,
                              char text[TEXT_SIZE]) {
  bool is_short = chart->figure == AU_HISTORY_RATE && value >= 10;
  (void)snprintf(text, TEXT_SIZE, is_short ? "%.0f %s" : "%.2f %s", value,
                 chart->unit);
  return text;
}

/* The hour and minute at which so many columns from the left begin. */
static const char *clock_text(const hour_t *hour, unsigned column,
                              char text[CLOCK_SIZE]) {
  char time[AU_TIMESTAMP_TEXT_SIZE];
  int64_t age = (int64_t)COLUMNS - column;
  au_timestamp_format(hour->now_us - age * AU_US_PER_MINUTE, time);
  (void)snprintf(text, CLOCK_SIZE, "%.5s", time + sizeof("2026-11-24T") - 1);
  return text;
}

static unsigned highest_column(const hour_t *hour, au_history_figure_t figure) {
  unsigned highest = 0;
  for (unsigned i = 1; i < COLUMNS; i++)
    if (hour->value[figure][i] > hour->value[figure][highest])
      highest = i;
  return highest;
}

static void put_summary(au_bytes_t *html, const hour_t *hour,
                        const chart_t *chart) {
  if (hour->points == 0) {
    au_bytes_put_string(html, "no snapshots yet");
    return;
  }
  char highest[TEXT_SIZE];
  char last[TEXT_SIZE];
  char time[CLOCK_SIZE];
  unsigned column = highest_column(hour, chart->figure);
  double value = hour->value[chart->figure][column];
  au_bytes_printf(html, "highest %s", value_text(chart, value, highest));
  if (value > 0)
    au_bytes_printf(html, " at %s", clock_text(hour, column, time));
  au_bytes_printf(html, ", last %s",
                  value_text(chart, hour->last[chart->figure], last));
}

/* --- a chart ---------------------------------------------------------------*/

static double x_of(unsigned column) {
  return (column + 0.5) * (double)COLUMN_WIDTH;
}

/* The runs of columns that are not further apart than a gap, each as part of a
 * path; closed down to the base line where it is an area. */
static void put_path(au_bytes_t *html, const hour_t *hour, const double *value,
                     double top, bool is_area) {
  int before = -1; /* the column drawn last */
  for (int i = 0; i < COLUMNS; i++) {
    if (!hour->has[i])
      continue;
    double x = x_of((unsigned)i);
    double y = BASE_LINE - HEIGHT * value[i] / top;
    bool is_new = before < 0 || i - before > GAP_MAX;
    if (is_new && is_area && before >= 0)
      au_bytes_printf(html, "V%.0fZ", BASE_LINE);
    if (is_new && is_area)
      au_bytes_printf(html, "M%.0f %.0fL%.0f %.1f", x, BASE_LINE, x, y);
    else if (is_new)
      au_bytes_printf(html, "M%.0f %.1fh0", x, y); /* a dot, if it is alone */
    else
      au_bytes_printf(html, "L%.0f %.1f", x, y);
    before = i;
  }
  if (is_area && before >= 0)
    au_bytes_printf(html, "V%.0fZ", BASE_LINE);
}

static void put_svg(au_bytes_t *html, const hour_t *hour, const chart_t *chart,
                    double top) {
  const double *value = hour->value[chart->figure];
  au_bytes_printf(html,
                  "<svg id=\"%s\" viewBox=\"0 0 600 100\" "
                  "preserveAspectRatio=\"none\" role=\"img\" "
                  "aria-labelledby=\"%s-title %s-text\">"
                  "<title id=\"%s-title\">%s, last hour</title>"
                  "<desc id=\"%s-text\">",
                  chart->id, chart->id, chart->id, chart->id, chart->name,
                  chart->id);
  put_summary(html, hour, chart);
  au_bytes_put_string(html, "</desc><path class=\"grid\" "
                            "d=\"M0 4H600M0 51H600M150 4V98M300 4V98M450 4V98\""
                            "/><path class=\"area\" d=\"");
  put_path(html, hour, value, top, true);
  au_bytes_put_string(html, "\"/><path class=\"base\" d=\"M0 98H600\"/>"
                            "<path class=\"line\" d=\"");
  put_path(html, hour, value, top, false);
  au_bytes_put_string(html, "\"/></svg>\n");
}

static void put_chart(au_bytes_t *html, const hour_t *hour,
                      const chart_t *chart) {
  double top = hour->value[chart->figure][highest_column(hour, chart->figure)];
  if (top < chart->least_top)
    top = chart->least_top;
  au_bytes_printf(html,
                  "<figure><figcaption>%s <span class=\"muted\" "
                  "id=\"%s-summary\">",
                  chart->name, chart->id);
  put_summary(html, hour, chart);
  char high[TEXT_SIZE];
  char first[CLOCK_SIZE];
  char middle[CLOCK_SIZE];
  char last[CLOCK_SIZE];
  au_bytes_printf(html,
                  "</span></figcaption>\n<p class=\"scale muted\" "
                  "aria-hidden=\"true\">%s</p>\n",
                  value_text(chart, top, high));
  put_svg(html, hour, chart, top);
  au_bytes_printf(html,
                  "<p class=\"axis muted\" aria-hidden=\"true\"><span>%s</span>"
                  "<span>%s</span><span>%s UTC</span></p></figure>\n",
                  clock_text(hour, 0, first),
                  clock_text(hour, COLUMNS / 2, middle),
                  clock_text(hour, COLUMNS, last));
}

/* --- the same as a table ---------------------------------------------------*/

static void put_row(au_bytes_t *html, const hour_t *hour, unsigned row) {
  enum { WIDTH = COLUMNS / ROWS };
  char from[CLOCK_SIZE];
  char to[CLOCK_SIZE];
  au_bytes_printf(html, "<tr><th scope=\"row\">%s to %s</th>",
                  clock_text(hour, row * WIDTH, from),
                  clock_text(hour, (row + 1) * WIDTH, to));
  for (size_t i = 0; i < sizeof(charts) / sizeof(charts[0]); i++) {
    const double *value = hour->value[charts[i].figure];
    bool has = false;
    double highest = 0;
    for (unsigned column = row * WIDTH; column < (row + 1) * WIDTH; column++) {
      has = has || hour->has[column];
      highest = value[column] > highest ? value[column] : highest;
    }
    char text[TEXT_SIZE] = "none";
    if (has)
      value_text(&charts[i], highest, text);
    au_bytes_printf(html, "<td>%s</td>", text);
  }
  au_bytes_put_string(html, "</tr>\n");
}

static void put_table(au_bytes_t *html, const hour_t *hour) {
  au_bytes_put_string(
      html, "<details id=\"hour-table\"><summary>As a table</summary>\n"
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" "
            "aria-label=\"Last hour as a table\"><table><caption class="
            "\"muted\">The highest of each ten minutes (UTC)</caption>"
            "<thead><tr><th scope=\"col\">Time</th>");
  for (size_t i = 0; i < sizeof(charts) / sizeof(charts[0]); i++)
    au_bytes_printf(html, "<th scope=\"col\">%s</th>", charts[i].name);
  au_bytes_put_string(html, "</tr></thead>\n<tbody>\n");
  for (unsigned row = 0; row < ROWS; row++)
    put_row(html, hour, row);
  au_bytes_put_string(html, "</tbody></table></div></details>\n");
}

void au_charts_put(au_bytes_t *html, au_history_t *history, int64_t now_us) {
  hour_t hour = {.now_us = now_us};
  au_history_visit(history, take_point, &hour);
  au_bytes_put_string(html, "<div class=\"charts\">\n");
  for (size_t i = 0; i < sizeof(charts) / sizeof(charts[0]); i++)
    put_chart(html, &hour, &charts[i]);
  au_bytes_put_string(html, "</div>\n");
  put_table(html, &hour);
}
