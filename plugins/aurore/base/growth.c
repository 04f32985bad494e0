/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/growth.h"

#include "base/clock.h"

#include <string.h>

static size_t slot(const au_growth_t *growth, size_t age) {
  return (growth->next + AU_GROWTH_SAMPLES - 1 - age) % AU_GROWTH_SAMPLES;
}

double au_growth_update(au_growth_t *growth, int64_t now_ns, int64_t window_ns,
                        const uint64_t value[AU_GROWTH_VALUES],
                        uint64_t out_growth[AU_GROWTH_VALUES]) {
  memset(out_growth, 0, AU_GROWTH_VALUES * sizeof(*out_growth));
  double seconds = 0;
  if (growth->count > 0) {
    size_t age = 0;
    while (age + 1 < growth->count &&
           now_ns - growth->sample[slot(growth, age)].ns < window_ns)
      age++;
    size_t base = slot(growth, age);
    for (size_t i = 0; i < AU_GROWTH_VALUES; i++)
      out_growth[i] = value[i] - growth->sample[base].value[i];
    seconds = (double)(now_ns - growth->sample[base].ns) / (double)AU_NS_PER_S;
  }
  if (growth->count == 0 ||
      now_ns - growth->sample[slot(growth, 0)].ns >= window_ns / 60) {
    growth->sample[growth->next].ns = now_ns;
    memcpy(growth->sample[growth->next].value, value,
           AU_GROWTH_VALUES * sizeof(*value));
    growth->next = (growth->next + 1) % AU_GROWTH_SAMPLES;
    if (growth->count < AU_GROWTH_SAMPLES)
      growth->count++;
  }
  return seconds;
}
