/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * clock_gettime cannot fail for these two clocks with a valid pointer, so its
 * result is ignored.
 */
#include "base/clock.h"

#include <limits.h>

/* Some 146 years: far from the end of int64_t, so that "now + duration" does
 * not overflow whatever the configuration says. */
#define SECONDS_MAX 4611686018.0

int64_t au_clock_wall_us(void) {
  struct timespec now = {0};
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * AU_US_PER_S + now.tv_nsec / 1000;
}

int64_t au_clock_monotonic_ns(void) {
  struct timespec now = {0};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * AU_NS_PER_S + now.tv_nsec;
}

struct timespec au_clock_timespec(int64_t monotonic_ns) {
  /* A deadline before the start of the clock has passed. */
  if (monotonic_ns < 0)
    monotonic_ns = 0;
  return (struct timespec){.tv_sec = (time_t)(monotonic_ns / AU_NS_PER_S),
                           .tv_nsec = (long)(monotonic_ns % AU_NS_PER_S)};
}

double au_clock_elapsed_ms(int64_t start_ns) {
  return (double)(au_clock_monotonic_ns() - start_ns) / (double)AU_NS_PER_MS;
}

int au_clock_poll_ms(int64_t ns) {
  if (ns <= 0)
    return 0;
  int64_t ms = (ns - 1) / AU_NS_PER_MS + 1;
  return ms > INT_MAX ? INT_MAX : (int)ms;
}

int64_t au_clock_seconds_ns(double seconds) {
  if (!(seconds > 0)) /* also what is not a number */
    return 0;
  if (seconds > SECONDS_MAX)
    seconds = SECONDS_MAX;
  return (int64_t)(seconds * (double)AU_NS_PER_S + 0.5);
}
