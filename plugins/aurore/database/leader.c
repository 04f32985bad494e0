/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/. */
#include "database/leader.h"

void au_leader_init(au_leader_t *leader) {
  pthread_mutex_init(&leader->lock, NULL);
  leader->host = AU_LEADER_NONE;
  leader->timeline = 0;
}

void au_leader_fini(au_leader_t *leader) {
  pthread_mutex_destroy(&leader->lock);
}

void au_leader_believe(au_leader_t *leader, int host, uint64_t timeline,
                       bool is_behind) {
  pthread_mutex_lock(&leader->lock);
  if (is_behind || timeline >= leader->timeline)
    leader->host = host;
  if (timeline > leader->timeline)
    leader->timeline = timeline;
  pthread_mutex_unlock(&leader->lock);
}

int au_leader_host(au_leader_t *leader) {
  pthread_mutex_lock(&leader->lock);
  int host = leader->host;
  pthread_mutex_unlock(&leader->lock);
  return host;
}

uint64_t au_leader_timeline(au_leader_t *leader) {
  pthread_mutex_lock(&leader->lock);
  uint64_t timeline = leader->timeline;
  pthread_mutex_unlock(&leader->lock);
  return timeline;
}
