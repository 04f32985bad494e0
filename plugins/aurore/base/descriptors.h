/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * descriptors - how many files this process may have open.
 *
 * The soft limit is often 1024 where the hard one is far higher. The reason is
 * select(), which cannot take a descriptor of 1024 or more: a plugin of our
 * host that uses it must not get one. The kernel gives the lowest number that
 * is free, so that takes more than a thousand that are open at the same time,
 * nearly all of them clients'. Whoever has such a plugin keeps the limit as it
 * was by a lower hard one (LimitNOFILE=1024), or a lower MaxConnections.
 *
 * Threads: any; but a limit that is raised while another thread raises it, too,
 * may end as either.
 */
#ifndef AURORE_BASE_DESCRIPTORS_H
#define AURORE_BASE_DESCRIPTORS_H

#include <stdint.h>

/* Raises the soft limit to the hard one, and returns what it is then. */
uint64_t au_descriptors_raise(void);

/* Descriptors that are open now. */
uint64_t au_descriptors_open(void);

#endif
