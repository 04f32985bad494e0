/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * growth - how fast counters have grown lately, from samples taken whenever
 * somebody asks: no timer, no thread.
 *
 * Threads: one at a time; the owner locks.
 */
#ifndef AURORE_BASE_GROWTH_H
#define AURORE_BASE_GROWTH_H

#include <stddef.h>
#include <stdint.h>

#define AU_GROWTH_SAMPLES 128
#define AU_GROWTH_VALUES 2

typedef struct au_growth {
  struct {
    int64_t ns;
    uint64_t value[AU_GROWTH_VALUES];
  } sample[AU_GROWTH_SAMPLES]; /* a ring */
  size_t count;
  size_t next;
} au_growth_t;

/* Growth since the newest sample that is at least "window_ns" old, or since the
 * oldest one there is. Also takes a sample of the values (running totals) when
 * the newest one is older than 1/60 of the window. Returns the seconds the
 * growth covers; 0 at the first call. */
double au_growth_update(au_growth_t *growth, int64_t now_ns, int64_t window_ns,
                        const uint64_t value[AU_GROWTH_VALUES],
                        uint64_t out_growth[AU_GROWTH_VALUES]);

#endif
