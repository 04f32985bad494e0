/* SPDX-License-Identifier: MIT */
#include "types.h"

#include <stdio.h>
#include <string.h>

#define TOTAL "_total"

au_type_t au_type(au_metric_t metric, au_type_part_t part) {
  static const char *const suffix[] = {[AU_TYPE_PLAIN] = "",
                                       [AU_TYPE_BUCKET] = "_bucket",
                                       [AU_TYPE_COUNT] = "_count",
                                       [AU_TYPE_SUM] = "_sum"};
  const au_metric_info_t *info = au_metric_info(metric);
  int length = (int)strlen(info->name);
  if (info->kind == AU_COUNTER)
    length -= (int)strlen(TOTAL);
  au_type_t type = {.metric = metric};
  type.is_derive =
      part == AU_TYPE_PLAIN ? info->kind == AU_COUNTER : part != AU_TYPE_SUM;
  (void)snprintf(type.name, sizeof(type.name), "%.*s%s", length, info->name,
                 suffix[part]);
  return type;
}

void au_types_visit(const au_side_t *side_or_null,
                    void (*visit)(const au_type_t *type, void *context),
                    void *context) {
  for (unsigned i = 0; i < AU_METRIC_COUNT; i++) {
    const au_metric_info_t *info = au_metric_info((au_metric_t)i);
    if (side_or_null != NULL && info->side != *side_or_null)
      continue;
    bool is_histogram = info->kind == AU_HISTOGRAM;
    au_type_part_t part = is_histogram ? AU_TYPE_BUCKET : AU_TYPE_PLAIN;
    au_type_part_t last = is_histogram ? AU_TYPE_SUM : AU_TYPE_PLAIN;
    for (; part <= last; part++) {
      const au_type_t type = au_type((au_metric_t)i, part);
      visit(&type, context);
    }
  }
}
