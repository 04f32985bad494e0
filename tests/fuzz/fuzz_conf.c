/* SPDX-License-Identifier: MIT
 *
 * fuzz_conf - any bytes as collectd's configuration, and as what is told to
 * Prometheus. A file is read to its end or to an error, and each line takes
 * some of it.
 */
#include "fuzz/fuzz.h"
#include "tools/conf_scan.h"
#include "tools/samples.h"

#include <stdlib.h>
#include <string.h>

static void check_line(ctl_conf_line_t *line) {
  if (line->kind == CTL_CONF_ERROR) {
    fuzz_require(line->error != NULL, "an error without a reason");
    return;
  }
  bool has_key = line->kind == CTL_CONF_OPTION ||
                 line->kind == CTL_CONF_BLOCK || line->kind == CTL_CONF_CLOSE;
  fuzz_require(!has_key || ctl_conf_line_text(line, line->key)[0] != '\0',
               "an option without a name");
  fuzz_require(line->kind != CTL_CONF_OPTION || line->values_count > 0,
               "an option without a value");
  fuzz_require(line->values_count <= CTL_CONF_VALUES_MAX, "too many values");
  for (size_t i = 0; i < line->values_count; i++)
    if (line->values[i].type == AU_VALUE_STRING)
      fuzz_require(strlen(ctl_conf_line_text(line, line->values[i].string)) <
                       line->text.size,
                   "a text without an end");
}

static void check_file(const char *text, size_t size) {
  ctl_conf_scan_t scan = {.at = text, .end = text + size, .number = 1};
  ctl_conf_line_t line = {.kind = CTL_CONF_EMPTY};
  do {
    ctl_conf_scan_t before = scan;
    ctl_conf_scan(&scan, &line);
    bool goes_on = line.kind != CTL_CONF_ERROR && line.kind != CTL_CONF_END;
    fuzz_require(scan.at <= scan.end, "read behind the end");
    fuzz_require(!goes_on || scan.at > before.at, "a line of nothing");
    fuzz_require(scan.number >= before.number, "lines go back");
    check_line(&line);
  } while (line.kind != CTL_CONF_ERROR && line.kind != CTL_CONF_END);
  ctl_conf_line_fini(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  char *file = fuzz_copy(data, size);
  check_file(file, size);
  free(file);
  char *text = fuzz_text(input);
  ctl_histogram_t histogram;
  ctl_samples_histogram(text, "h", &histogram);
  fuzz_require(histogram.count <= CTL_BUCKETS_MAX, "too many buckets");
  (void)ctl_histogram_quantile(&histogram, &histogram, 0.5);
  (void)ctl_samples_with(text, "h_bucket", "le", "1");
  free(text);
  return 0;
}
