/* SPDX-License-Identifier: MIT
 * Part of metrics/; calls event/, base/.
 *
 * exposition - all metrics as text for Prometheus, under their plain names:
 * the text format 0.0.4 and OpenMetrics 1.0.0.
 *
 * Threads: any; one a buffer.
 */
#ifndef AURORE_METRICS_EXPOSITION_H
#define AURORE_METRICS_EXPOSITION_H

#include "base/bytes.h"

typedef enum au_exposition {
  AU_EXPOSITION_TEXT,
  AU_EXPOSITION_OPENMETRICS
} au_exposition_t;

/* The format for a request with this header Accept (NULL: none). OpenMetrics if
 * it is listed, in our version or without one, and nothing else is preferred;
 * otherwise the text format, even if it is not listed. */
au_exposition_t au_exposition_choose(const char *accept);

/* The Content-Type of a format; static. */
const char *au_exposition_content_type(au_exposition_t format);

/* Appends every series as it is now; sampled gauges as they were sampled last
 * (au_metrics_sample). */
void au_exposition_put(au_bytes_t *text, au_exposition_t format);

#endif
