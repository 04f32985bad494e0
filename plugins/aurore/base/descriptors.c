/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * descriptors - see descriptors.h.
 */
#include "base/descriptors.h"

#include <dirent.h>
#include <stddef.h>
#include <sys/resource.h>

/* When it cannot be known: what a daemon with many plugins has. */
#define OPEN_UNKNOWN 128

uint64_t au_descriptors_raise(void) {
  struct rlimit limit = {.rlim_cur = 0};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return UINT64_MAX;
  struct rlimit raised = {.rlim_cur = limit.rlim_max,
                          .rlim_max = limit.rlim_max};
  if (limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &raised) == 0)
    limit = raised;
  return limit.rlim_cur;
}

uint64_t au_descriptors_open(void) {
  DIR *directory = opendir("/proc/self/fd");
  if (directory == NULL)
    return OPEN_UNKNOWN;
  uint64_t count = 0;
  const struct dirent *entry = NULL;
  while ((entry = readdir(directory)) != NULL)
    count += entry->d_name[0] != '.' ? 1 : 0;
  closedir(directory);
  return count > 0 ? count - 1 : OPEN_UNKNOWN; /* without the directory's */
}
