/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * leader - which of several servers the writers believe in. Only they can tell:
 * they know what was confirmed (store/host.h). Whoever else asks the database
 * goes where they went (au_database_config_t), so that nobody is answered by a
 * former primary that came back first in the list of hosts.
 *
 * Threads: any; init and fini while nobody uses it.
 */
#ifndef AURORE_DATABASE_LEADER_H
#define AURORE_DATABASE_LEADER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Instead of a host's number. */
#define AU_LEADER_ANY (-1)  /* a writer cannot tell which it has */
#define AU_LEADER_NONE (-2) /* no writer has chosen yet */

typedef struct au_leader {
  pthread_mutex_t lock; /* protects: all */
  int host;
  uint64_t timeline;
} au_leader_t;

/* No writer has chosen yet. */
void au_leader_init(au_leader_t *leader);
void au_leader_fini(au_leader_t *leader);

/* A writer believes in the host (its number, from 0 on, or AU_LEADER_ANY),
 * which has this timeline. One with a lower timeline than another that was
 * believed counts only when it is believed for want of that one ("is_behind"):
 * else this writer has not heard of it yet. */
void au_leader_believe(au_leader_t *leader, int host, uint64_t timeline,
                       bool is_behind);

/* The host that was believed last, or one of the two above. */
int au_leader_host(au_leader_t *leader);

/* The highest timeline that any writer has believed; 0: none. */
uint64_t au_leader_timeline(au_leader_t *leader);

#endif
