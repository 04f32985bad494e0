/* SPDX-License-Identifier: MIT
 *
 * types - the collectd types that the metrics are reported with, made from the
 * table of metrics alone. Knows nothing of collectd's headers, so that the
 * program that writes types.db needs none.
 *
 * A type is named like its metric, without _total. A counter is a DERIVE from 0
 * up, a gauge a GAUGE. A histogram has three types: <name>_bucket (DERIVE),
 * <name>_count (DERIVE) and <name>_sum (GAUGE, since it has a fraction).
 *
 * Threads: any.
 */
#ifndef AURORE_TYPES_H
#define AURORE_TYPES_H

#include "metrics/metrics.h"

#define AU_TYPE_NAME_SIZE 64

typedef struct au_type {
  char name[AU_TYPE_NAME_SIZE];
  bool is_derive; /* else GAUGE */
  au_metric_t metric;
} au_type_t;

/* Which part of a histogram a type has; counters and gauges: AU_TYPE_PLAIN. */
typedef enum au_type_part {
  AU_TYPE_PLAIN,
  AU_TYPE_BUCKET,
  AU_TYPE_COUNT,
  AU_TYPE_SUM
} au_type_part_t;

/* The type of a metric, or of a part of it. */
au_type_t au_type(au_metric_t metric, au_type_part_t part);

/* Calls "visit" for each type of the side (or both), in the table's order. */
void au_types_visit(const au_side_t *side_or_null,
                    void (*visit)(const au_type_t *type, void *context),
                    void *context);

#endif
