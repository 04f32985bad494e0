/* SPDX-License-Identifier: MIT
 *
 * tables_metrics - what is made from the table of metrics: types.db and
 * docs/metrics.md.
 */
#include "metrics/metrics.h"
#include "tables.h"
#include "types.h"

#include <stdio.h>
#include <string.h>

static const char *kind_name(au_metric_kind_t kind) {
  static const char *const name[] = {[AU_COUNTER] = "counter",
                                     [AU_GAUGE] = "gauge",
                                     [AU_HISTOGRAM] = "histogram"};
  return name[kind];
}

/* --- types.db --------------------------------------------------------------
 */

static void print_type(const au_type_t *type, void *context) {
  (void)context;
  printf("%-40svalue:%s\n", type->name,
         type->is_derive ? "DERIVE:0:U" : "GAUGE:U:U");
}

void tables_types_db(void) {
  puts("# The collectd types of aurore. Made from the table in\n"
       "# plugins/aurore/metrics/metrics.def by tests/tools/tables; not edited "
       "by hand.\n"
       "#\n"
       "# A TypesDB line turns collectd's default file off, so name both:\n"
       "# TypesDB \"/usr/share/collectd/types.db\" "
       "\"/usr/share/collectd/aurore.types.db\"");
  au_types_visit(NULL, print_type, NULL);
}

/* --- docs/metrics.md -------------------------------------------------------
 */

static const char head[] =
    "# Metrics\n"
    "\n"
    "Made from the table in `plugins/aurore/metrics/metrics.def` by "
    "`tests/tools/tables`; not edited by hand.\n"
    "\n"
    "A metric is seen in three places:\n"
    "\n"
    "- at `GET /metrics/prometheus` of the event API, under its plain name, "
    "with its labels;\n"
    "- among collectd's values, and so in everything that collectd writes to, "
    "as plugin `aurore`;\n"
    "- at the port of collectd's own `write_prometheus`, as "
    "`collectd_aurore_<type>`. The project's\n"
    "  scrape configuration gives the plain names, labels and histograms "
    "back.\n"
    "\n"
    "Every series is there from the start, with zero, and in every reading. "
    "Counters begin at zero when\n"
    "collectd starts, but for `business_events_total`, which is in the "
    "database.\n";

static const char labels_head[] = "\n"
                                  "## Labels\n"
                                  "\n"
                                  "| label | values |\n"
                                  "|---|---|\n";

static const char labels_tail[] =
    "| `service` | the largest `BusinessServices` services, and `other` for "
    "the rest |\n"
    "\n"
    "`class` is the first two characters of the SQLSTATE of the failure; "
    "`connection` is a failure without\n"
    "one: no connection, a lost one, or a deadline.\n";

static const char collectd_head[] =
    "\n"
    "## In collectd\n"
    "\n"
    "A counter is a `DERIVE` with the minimum 0, a gauge a `GAUGE`. A "
    "histogram is three types:\n"
    "`…_bucket` (`DERIVE`, cumulative, the upper bound in the type instance), "
    "`…_count` (`DERIVE`) and\n"
    "`…_sum` (`GAUGE`, in ms). The plugin registers the types that no "
    "`TypesDB` file has defined; a collectd\n"
    "that receives the values over the network needs `aurore.types.db`.\n"
    "\n"
    "| metric | plugin | identifier, without the host | in write_prometheus "
    "|\n"
    "|---|---|---|---|\n";

static const char names_text[] =
    "\n"
    "### Names of services\n"
    "\n"
    "A service is a type instance of `business_events_by_service`. collectd "
    "allows no slash in it and at most 127\n"
    "bytes, and control characters confuse what reads it, so a service "
    "that has one of them or is\n"
    "longer gets another name: a leading slash is left out, every other slash "
    "and every control character\n"
    "becomes `_` (`/` alone is `root`), what is too long is cut, and `~` and "
    "eight hexadecimal digits, a\n"
    "checksum of the whole name, are appended, so that two services never "
    "become one series. A\n"
    "service whose own name ends like that gets another checksum. At `GET "
    "/metrics/prometheus` the\n"
    "names are unchanged, and quotes, backslashes and line breaks are escaped "
    "as the format says.\n"
    "\n"
    "A service that is no longer among the largest is in `other`; its own "
    "series falls to 0 and ends\n"
    "when collectd's `Timeout` has passed. A service called `other` is "
    "counted there, too.\n"
    "`BusinessServices` bounds the series, whatever names clients send.\n";

static void print_label_list(const au_metric_info_t *info) {
  for (unsigned i = 0; i < 2 && info->label_name[i] != NULL; i++)
    printf("%s`%s`", i > 0 ? ", " : "", info->label_name[i]);
}

static void print_metrics(void) {
  puts("\n| name | kind | unit | labels | meaning |\n|---|---|---|---|---|");
  for (unsigned i = 0; i < AU_METRIC_COUNT; i++) {
    const au_metric_info_t *info = au_metric_info((au_metric_t)i);
    printf("| `%s` | %s | %s | ", info->name, kind_name(info->kind),
           au_metric_unit((au_metric_t)i));
    print_label_list(info);
    printf(" | %s |\n", info->help);
  }
}

static void print_buckets(void) {
  printf("\nThe buckets of every histogram, in ms:");
  for (unsigned i = 0; i < AU_BUCKET_COUNT; i++)
    printf(" %s", au_bucket_labels[i]);
  printf(".\n");
}

/* The values of a label are those of the series of a metric that has it. The
 * second label's come again with every value of the first. */
typedef struct label_search {
  const char *label;
  au_metric_t metric;
  const char *first;
  const char *last;
  bool is_complete;
} label_search_t;

static void print_label_value(const au_series_t *series, void *context) {
  label_search_t *search = context;
  const au_metric_info_t *info = au_metric_info(series->metric);
  if (series->metric != search->metric || search->is_complete)
    return;
  unsigned i = strcmp(info->label_name[0], search->label) == 0 ? 0 : 1;
  const char *value = series->label_value[i];
  if (value == search->last)
    return;
  search->is_complete = value == search->first;
  if (search->is_complete)
    return;
  printf("%s`%s`", search->first != NULL ? ", " : "", value);
  search->last = value;
  if (search->first == NULL)
    search->first = value;
}

static void print_labels(void) {
  static const struct {
    const char *label;
    au_metric_t metric;
  } of[] = {{"reason", AU_M_EVENTS_REJECTED},
            {"class", AU_M_BATCH_FAILURES},
            {"operation", AU_M_QUERIES},
            {"route", AU_M_HTTP_DURATION},
            {"status", AU_M_HTTP_REQUESTS}};
  fputs(labels_head, stdout);
  for (unsigned i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
    label_search_t search = {.label = of[i].label, .metric = of[i].metric};
    printf("| `%s` | ", search.label);
    au_metrics_visit(NULL, print_label_value, &search);
    puts(" |");
  }
  fputs(labels_tail, stdout);
}

static void print_identity(const au_type_t *type, void *context) {
  const au_metric_info_t *info = au_metric_info(type->metric);
  bool is_bucket = strstr(type->name, "_bucket") != NULL;
  bool label_in_plugin = info->kind == AU_HISTOGRAM
                             ? info->label_name[0] != NULL
                             : info->label_name[1] != NULL;
  const char *type_label = info->kind == AU_HISTOGRAM
                               ? (is_bucket ? "bound" : NULL)
                               : info->label_name[label_in_plugin ? 1 : 0];
  (void)context;
  printf("| `%s` | %s | `aurore-", info->name,
         info->side == AU_SIDE_BUFFER ? "event_buffer" : "event_writer");
  printf(label_in_plugin ? "<%s>" : "%s",
         label_in_plugin ? info->label_name[0] : info->component);
  printf("/%s", type->name);
  if (type_label != NULL)
    printf("-<%s>", type_label);
  printf("` | `collectd_aurore_%s%s` |\n", type->name,
         type->is_derive ? "_total" : "");
}

void tables_metrics_md(void) {
  fputs(head, stdout);
  print_metrics();
  print_buckets();
  print_labels();
  fputs(collectd_head, stdout);
  au_types_visit(NULL, print_identity, NULL);
  fputs(names_text, stdout);
}
