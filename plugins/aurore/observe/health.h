/* SPDX-License-Identifier: MIT
 * Part of observe/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * health - what is sampled rather than counted: how full the buffer is, the
 * rates of the last minute, the process, and the verdicts on health.
 *
 * Threads: any; two at once take turns. Never waits for the disk or the
 * database.
 */
#ifndef AURORE_OBSERVE_HEALTH_H
#define AURORE_OBSERVE_HEALTH_H

#include "spool/buffer.h"

typedef enum au_health {
  AU_HEALTHY = 1,
  AU_WARNING = 2,
  AU_CRITICAL = 3
} au_health_t;

/* What the sampler cannot see by itself. */
typedef struct au_health_input {
  au_buffer_t *buffer;  /* NULL: there is none in this process */
  bool writer_expected; /* event_writer is loaded */
  bool database_connected;
  unsigned unbound; /* listeners that are not bound */
} au_health_input_t;

/* Sets the sampled gauges in the metrics. */
void au_health_sample(const au_health_input_t *input);

/* "healthy", "warning", "critical". */
const char *au_health_text(au_health_t health);

#endif
