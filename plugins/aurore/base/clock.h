/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * clock - the two clocks: wall time for what is stored, monotonic time for
 * durations and deadlines. Any thread.
 */
#ifndef AURORE_BASE_CLOCK_H
#define AURORE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define AU_US_PER_S INT64_C(1000000)
#define AU_NS_PER_S INT64_C(1000000000)
#define AU_NS_PER_MS INT64_C(1000000)
#define AU_US_PER_MINUTE (60 * AU_US_PER_S)
#define AU_US_PER_DAY (86400 * AU_US_PER_S)

/* Microseconds since 1970-01-01T00:00:00Z (CLOCK_REALTIME). */
int64_t au_clock_wall_us(void);

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t au_clock_monotonic_ns(void);

/* The absolute CLOCK_MONOTONIC time of "monotonic_ns", for
 * pthread_cond_timedwait on a condition made with CLOCK_MONOTONIC. */
struct timespec au_clock_timespec(int64_t monotonic_ns);

/* Milliseconds since "start_ns" of the monotonic clock. */
double au_clock_elapsed_ms(int64_t start_ns);

/* What poll() takes for a wait of "ns": milliseconds, rounded up, so that the
 * time has passed when poll() says so; 0 when there is nothing to wait for. */
int au_clock_poll_ms(int64_t ns);

/* Seconds of the configuration as nanoseconds. */
int64_t au_clock_seconds_ns(double seconds);

#endif
