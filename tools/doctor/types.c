/* SPDX-License-Identifier: MIT
 *
 * types - collectd's TypesDB. The plugins register their own types where no
 * file has them, so that what matters is that the files can be read, and that a
 * TypesDB line has not turned off those of all the other plugins.
 */
#include "tools/doctor/doctor.h"

#include "metrics/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WHAT "types"
#define STOCK "/usr/share/collectd/types.db"
#define LINE_SIZE 4096

typedef struct types {
  unsigned files;
  bool has_stock;
  bool has_ours;
  bool is_broken;
} types_t;

/* The name of a type is a line's first word. */
static void take_line(types_t *types, const char *line) {
  size_t length = strcspn(line, " \t\r\n");
  const char *ours = au_metric_info(AU_M_BUFFER_SIZE)->name;
  if (length == strlen("cpu") && strncmp(line, "cpu", length) == 0)
    types->has_stock = true;
  if (length == strlen(ours) && strncmp(line, ours, length) == 0)
    types->has_ours = true;
}

static void take_file(ctl_doctor_t *doctor, types_t *types,
                      const ctl_conf_item_t *item, const char *path) {
  char line[LINE_SIZE];
  FILE *file = fopen(path, "re");
  types->files++;
  if (file == NULL) {
    types->is_broken = true;
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
             "could not read \"%s\": %s (%s, line %u)", path, strerror(errno),
             item->file, item->line);
    ctl_advise(&doctor->findings, "correct the TypesDB line, or install the "
                                  "file; values of its types are dropped");
    return;
  }
  while (fgets(line, sizeof(line), file) != NULL)
    take_line(types, line);
  (void)fclose(file);
}

void ctl_doctor_types(ctl_doctor_t *doctor) {
  types_t types = {.files = 0};
  for (const ctl_conf_item_t *item = doctor->conf.items; item != NULL;
       item = item->next)
    for (size_t i = 0;
         ctl_conf_is(item, "TypesDB", NULL) && i < item->values_count; i++)
      if (item->values[i].type == AU_VALUE_STRING)
        take_file(doctor, &types, item, item->values[i].string);
  if (types.is_broken || doctor->conf.files_count == 0)
    return;
  if (types.files > 0 && !types.has_stock) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
             "no TypesDB line names collectd's own types: such a line turns "
             "the default file off, and the values of most plugins are "
             "dropped");
    ctl_advise(&doctor->findings, "TypesDB \"%s\" beside the others", STOCK);
  } else if (types.has_ours) {
    ctl_find(&doctor->findings, CTL_OK, WHAT,
             "collectd's own and ours are in TypesDB");
  } else {
    ctl_find(&doctor->findings, CTL_OK, WHAT,
             "ours are in no TypesDB file; the plugins register them");
  }
}
