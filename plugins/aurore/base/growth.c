/* SPDX-License-Identifier: MIT
 *
 * growth - see base/growth.h.
 */
#include "base/growth.h"

#include "base/clock.h"

#include <string.h>

static size_t slot(const au_rate_t *rate, size_t age) {
  return (rate->next + AU_RATE_SAMPLES - 1 - age) % AU_RATE_SAMPLES;
}

double au_rate_update(au_rate_t *rate, int64_t now_ns, int64_t window_ns,
                      const uint64_t value[AU_RATE_VALUES],
                      uint64_t out_growth[AU_RATE_VALUES]) {
  memset(out_growth, 0, AU_RATE_VALUES * sizeof(*out_growth));
  double seconds = 0;
  if (rate->count > 0) {
    size_t age = 0;
    while (age + 1 < rate->count &&
           now_ns - rate->sample[slot(rate, age)].ns < window_ns)
      age++;
    size_t base = slot(rate, age);
    for (size_t i = 0; i < AU_RATE_VALUES; i++)
      out_growth[i] = value[i] - rate->sample[base].value[i];
    seconds = (double)(now_ns - rate->sample[base].ns) / (double)AU_NS_PER_S;
  }
  if (rate->count == 0 ||
      now_ns - rate->sample[slot(rate, 0)].ns >= window_ns / 60) {
    rate->sample[rate->next].ns = now_ns;
    memcpy(rate->sample[rate->next].value, value,
           AU_RATE_VALUES * sizeof(*value));
    rate->next = (rate->next + 1) % AU_RATE_SAMPLES;
    if (rate->count < AU_RATE_SAMPLES)
      rate->count++;
  }
  return seconds;
}
