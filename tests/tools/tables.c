/* SPDX-License-Identifier: MIT
 *
 * tables - writes one of the files that are made from the tables in the code;
 * "make tables" writes them all. Unit tests compare the files in the repository
 * with what this writes.
 *
 *   tables types.db >types.db
 */
#include "tables.h"

#include <stdio.h>
#include <string.h>

static const struct {
  const char *name;
  void (*print)(void);
} files[] = {{"types.db", tables_types_db},
             {"metrics.md", tables_metrics_md},
             {"aurore.conf", tables_aurore_conf},
             {"collectd-aurore.pod", tables_aurore_pod}};

int main(int argc, char **argv) {
  for (size_t i = 0; argc == 2 && i < sizeof(files) / sizeof(files[0]); i++) {
    if (strcmp(argv[1], files[i].name) == 0) {
      files[i].print();
      return fflush(stdout) == 0 ? 0 : 1;
    }
  }
  fputs("usage: tables types.db|metrics.md|aurore.conf|collectd-aurore.pod\n",
        stderr);
  return 2;
}
