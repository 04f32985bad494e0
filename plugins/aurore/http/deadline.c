/* SPDX-License-Identifier: MIT
 * Part of http/; calls base/.
 *
 * deadline - see deadline.h.
 */
#include "http/deadline.h"

#include "base/clock.h"

/* A reader at this pace is steady. */
#define STEADY_BYTES_PER_S 2048

void au_deadline_reset(au_deadline_t *deadline) {
  *deadline = (au_deadline_t){.due_ns = 0};
}

static uint64_t bytes_needed(const au_deadline_t *deadline,
                             int64_t timeout_ns) {
  if (deadline->extensions < AU_DEADLINE_EASY)
    return AU_DEADLINE_BYTES;
  return (uint64_t)(timeout_ns / AU_NS_PER_MS) * AU_DEADLINE_BYTES_PER_S / 1000;
}

bool au_deadline_extend(au_deadline_t *deadline, int64_t now_ns,
                        int64_t timeout_ns, int64_t most_ns, uint64_t moved) {
  if (deadline->due_ns != 0) {
    if (moved < bytes_needed(deadline, timeout_ns))
      return false;
    deadline->extensions++;
  }
  int64_t next_ns = timeout_ns;
  uint64_t most_bytes = (uint64_t)(most_ns / AU_NS_PER_S) * STEADY_BYTES_PER_S;
  if (moved > most_bytes)
    moved = most_bytes;
  int64_t steady_ns = (int64_t)moved * AU_NS_PER_S / STEADY_BYTES_PER_S;
  if (steady_ns > next_ns)
    next_ns = steady_ns;
  deadline->due_ns = now_ns + next_ns;
  return true;
}
