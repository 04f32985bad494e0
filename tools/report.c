/* SPDX-License-Identifier: MIT */
#include "tools/report.h"

#include "base/clock.h"
#include "tools/ctl.h"
#include "tools/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define SHOW_NS (AU_NS_PER_S / 5)
/* Of a refused line, so much is shown; and of so many lines. */
#define LINE_SHOWN 200
#define REFUSALS_SHOWN 20

bool ctl_report_open(ctl_report_t *report, const char *rejected_path,
                     bool is_quiet) {
  *report = (ctl_report_t){.is_quiet = is_quiet,
                           .is_terminal = !is_quiet && isatty(STDERR_FILENO),
                           .rejected_path = rejected_path,
                           .start_ns = au_clock_monotonic_ns()};
  if (rejected_path == NULL)
    return true;
  report->rejected = fopen(rejected_path, "ae");
  if (report->rejected == NULL)
    ctl_say("could not open \"%s\": %s", rejected_path, strerror(errno));
  return report->rejected != NULL;
}

static void show(ctl_report_t *report, const char *more) {
  int64_t now_ns = au_clock_monotonic_ns();
  double seconds =
      (double)(now_ns - report->start_ns) / (double)AU_NS_PER_S + 0.001;
  report->shown_ns = now_ns;
  fprintf(stderr,
          "\r\033[K%" PRIu64 " events sent, %" PRIu64
          " refused, %.0f a second, %.1f MiB%s",
          report->accepted, report->refused, (double)report->accepted / seconds,
          (double)report->bytes / (double)(1 << 20), more);
}

void ctl_report_close(ctl_report_t *report) {
  if (report->is_terminal && report->accepted + report->refused > 0) {
    show(report, "\n");
    report->is_terminal = false;
  }
  if (report->rejected != NULL)
    (void)fclose(report->rejected);
  report->rejected = NULL;
}

/* --- what the server says --------------------------------------------------
 */

/* The first reason among the errors of an event, or NULL. */
static const char *first_reason(ctl_tree_t *errors) {
  ctl_tree_t *first = ctl_tree_item(errors, 0);
  return ctl_tree_item_text(ctl_tree_member(first, "constraints"), 0);
}

/* Why the event with that number was refused; the server does not list all. */
static const char *reason_of(ctl_tree_t *tree, size_t index) {
  ctl_tree_t *list = ctl_tree_member(tree, "errors");
  long long number = 0;
  for (size_t i = 0; i < ctl_tree_length(list); i++) {
    ctl_tree_t *one = ctl_tree_item(list, i);
    if (!ctl_tree_number(one, "index", &number))
      return index == 0 ? first_reason(list) : NULL; /* of a single event */
    if (number == (long long)index)
      return first_reason(ctl_tree_member(one, "errors"));
  }
  return NULL;
}

static bool refuse(ctl_report_t *report, const ctl_batch_t *batch,
                   ctl_tree_t *tree, size_t index) {
  size_t size;
  const char *line = ctl_batch_line(batch, index, &size);
  report->refused++;
  if (!report->is_quiet && report->refusals_shown < REFUSALS_SHOWN) {
    const char *reason = reason_of(tree, index);
    int shown = (int)(size < LINE_SHOWN ? size : LINE_SHOWN);
    fputs(report->is_terminal ? "\r\033[K" : "", stderr);
    ctl_say("refused: %.*s%s%s%s", shown, line, size > LINE_SHOWN ? "..." : "",
            reason != NULL ? ": " : "", reason != NULL ? reason : "");
    if (++report->refusals_shown == REFUSALS_SHOWN)
      ctl_say("more that are refused are not shown");
  }
  if (report->rejected == NULL)
    return true;
  return fwrite(line, 1, size, report->rejected) == size &&
         fputc('\n', report->rejected) != EOF;
}

static bool keep_rejected(ctl_report_t *report, bool is_written) {
  if (is_written && (report->rejected == NULL || fflush(report->rejected) == 0))
    return true;
  ctl_say("could not write to \"%s\": %s", report->rejected_path,
          strerror(errno));
  return false;
}

static void end_trouble(ctl_report_t *report) {
  if (report->is_in_trouble && !report->is_terminal && !report->is_quiet)
    ctl_say("sending again");
  report->is_in_trouble = false;
}

bool ctl_report_taken(ctl_report_t *report, const ctl_batch_t *batch,
                      ctl_answer_t *answer) {
  size_t events = ctl_batch_part_events(batch);
  end_trouble(report);
  report->bytes += batch->part_size;
  ctl_tree_t *tree = ctl_tree_parse(&answer->body);
  ctl_tree_t *ids = ctl_tree_member(tree, "event_ids");
  uint64_t before = report->refused;
  bool is_kept = true;
  for (size_t i = 0; i < events && i < ctl_tree_length(ids); i++)
    if (ctl_tree_item_is_null(ids, i))
      is_kept = refuse(report, batch, tree, i) && is_kept;
  report->accepted += events - (report->refused - before);
  ctl_tree_free(tree);
  if (report->is_terminal &&
      au_clock_monotonic_ns() - report->shown_ns > SHOW_NS)
    show(report, "");
  return keep_rejected(report, is_kept);
}

bool ctl_report_refused(ctl_report_t *report, const ctl_batch_t *batch,
                        ctl_answer_t *answer) {
  size_t events = ctl_batch_part_events(batch);
  end_trouble(report);
  ctl_tree_t *tree = ctl_tree_parse(&answer->body);
  bool is_kept = true;
  for (size_t i = 0; i < events; i++)
    is_kept = refuse(report, batch, tree, i) && is_kept;
  ctl_tree_free(tree);
  return keep_rejected(report, is_kept);
}

void ctl_report_trouble(ctl_report_t *report, const char *why, double wait_s) {
  if (report->is_terminal) {
    char more[400];
    snprintf(more, sizeof(more), "; %.300s; again in %.1f s", why, wait_s);
    show(report, more);
  } else if (!report->is_in_trouble && !report->is_quiet) {
    ctl_say("could not send: %s; trying again", why);
  }
  report->is_in_trouble = true;
}
