/* SPDX-License-Identifier: MIT
 * Part of observe/; calls database/, spool/, config/, metrics/, event/, base/.
 */
#include "observe/health.h"

#include "base/clock.h"
#include "base/growth.h"
#include "metrics/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define MINUTE_NS (60 * AU_NS_PER_S)
/* A shorter time says little of a share of CPU. */
#define CPU_WINDOW_MIN_NS (AU_NS_PER_S / 2)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects: all */
static au_growth_t intake;                               /* accepted, dropped */
static int64_t cpu_seen_ns;
static int64_t cpu_used_ns;

static int64_t timeval_ns(struct timeval time) {
  return time.tv_sec * AU_NS_PER_S + time.tv_usec * INT64_C(1000);
}

static void sample_cpu(int64_t now_ns) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0)
    return;
  int64_t used_ns = timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
  int64_t elapsed_ns = now_ns - cpu_seen_ns;
  if (cpu_seen_ns != 0 && elapsed_ns < CPU_WINDOW_MIN_NS)
    return;
  if (cpu_seen_ns != 0)
    au_metrics_set(AU_M_PROCESS_CPU, 100.0 * (double)(used_ns - cpu_used_ns) /
                                         (double)elapsed_ns);
  cpu_seen_ns = now_ns;
  cpu_used_ns = used_ns;
}

static void sample_memory(void) {
  /* /proc is memory of the kernel: reading it does not wait for a disk. */
  FILE *file = fopen("/proc/self/statm", "re");
  if (file == NULL)
    return;
  char line[128];
  char *rest = NULL;
  /* "total resident shared ...", in pages. */
  if (fgets(line, sizeof(line), file) != NULL && strtoul(line, &rest, 10) > 0)
    au_metrics_set(AU_M_PROCESS_MEMORY, (double)strtoul(rest, NULL, 10) *
                                            (double)sysconf(_SC_PAGESIZE));
  fclose(file);
}

static double sample_rates(int64_t now_ns) {
  const uint64_t total[AU_GROWTH_VALUES] = {
      au_metrics_counter(AU_M_EVENTS_ENQUEUED, 0),
      au_metrics_counter(AU_M_EVENTS_DROPPED, 0)};
  uint64_t growth[AU_GROWTH_VALUES];
  double seconds = au_growth_update(&intake, now_ns, MINUTE_NS, total, growth);
  double offered = (double)(growth[0] + growth[1]);
  double drop_rate = offered > 0 ? 100.0 * (double)growth[1] / offered : 0;
  au_metrics_set(AU_M_EVENTS_DROP_RATE, drop_rate);
  au_metrics_set(AU_M_EVENTS_THROUGHPUT,
                 seconds > 0 ? (double)growth[0] / seconds : 0);
  return drop_rate;
}

static au_health_t assess(double utilization_percent,
                          double drop_rate_percent) {
  if (utilization_percent >= 90 || drop_rate_percent > 5)
    return AU_CRITICAL;
  if (utilization_percent >= 70 || drop_rate_percent > 1)
    return AU_WARNING;
  return AU_HEALTHY;
}

static au_health_t sample_buffer(au_buffer_t *buffer, double drop_rate) {
  au_buffer_usage_t usage;
  au_buffer_usage(buffer, &usage);
  au_metrics_set(AU_M_BUFFER_SIZE, (double)usage.events);
  au_metrics_set(AU_M_BUFFER_CAPACITY, (double)usage.capacity);
  au_metrics_set(AU_M_BUFFER_UTILIZATION, usage.utilization_percent);
  au_metrics_set(AU_M_BUFFER_BYTES, (double)usage.bytes);
  au_metrics_set(AU_M_BUFFER_OLDEST_AGE, usage.oldest_age_s);
  au_metrics_set(AU_M_SPOOL_KEPT, (double)usage.kept_bytes);
  au_metrics_set(AU_M_SPOOL_SPARE, (double)usage.spare_bytes);
  au_metrics_set(AU_M_LANES_FENCED, (double)usage.lanes_fenced);
  au_metrics_set(AU_M_LANES_BLOCKED, (double)usage.lanes_blocked);
  au_health_t health = assess(usage.utilization_percent, drop_rate);
  au_metrics_set(AU_M_BUFFER_HEALTH, health);
  return health;
}

void au_health_sample(const au_health_input_t *input) {
  int64_t now_ns = au_clock_monotonic_ns();
  pthread_mutex_lock(&lock);
  sample_cpu(now_ns);
  double drop_rate = sample_rates(now_ns);
  pthread_mutex_unlock(&lock);
  sample_memory();
  bool healthy = input->unbound == 0;
  if (input->buffer != NULL) {
    au_health_t health = sample_buffer(input->buffer, drop_rate);
    if (health == AU_CRITICAL || au_buffer_trouble(input->buffer) != NULL ||
        au_metrics_gauge(AU_M_LANES_FENCED) > 0 ||
        au_metrics_gauge(AU_M_LANES_BLOCKED) > 0)
      healthy = false;
  }
  if (input->writer_expected && !input->database_connected)
    healthy = false;
  au_metrics_set(AU_M_DATABASE_CONNECTION, input->database_connected ? 1 : 0);
  au_metrics_set(AU_M_HEALTH, healthy ? 1 : 0);
}

const char *au_health_text(au_health_t health) {
  /* The first is before anything was sampled. */
  static const char *const text[] = {"healthy", "healthy", "warning",
                                     "critical"};
  return text[health];
}
