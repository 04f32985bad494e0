/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * commit - writing groups: one pwritev, one fdatasync, then everybody who waits
 * for the group gets the result. While one group is synced the next one forms
 * by itself, so the sync is shared by all that came meanwhile.
 */
#ifndef AURORE_SPOOL_COMMIT_H
#define AURORE_SPOOL_COMMIT_H

#include "spool/private.h"

/* Writes the group (and syncs it, as the durability asks), publishes its rows
 * and counts them. Holds write_lock. AU_OK; AU_IO, AU_NOMEM: refused. */
au_status_t au_spool_write_group(au_spool_t *spool, au_group_t *group);

/* Starts the committer, with durability "commit"; au_spool_close_intake ends
 * it. AU_NOMEM: see errno. */
au_status_t au_spool_start_committer(au_spool_t *spool);

#endif
