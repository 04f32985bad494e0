/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * keeper - the thread that keeps a spool directory in order, so that neither
 * requests nor the writer wait for it: segments made ahead, stored ones deleted
 * when their time is over, the state written, the sync of durability
 * "interval", and, while the spool cannot be written, the attempts to write it
 * again.
 */
#ifndef AURORE_SPOOL_KEEPER_H
#define AURORE_SPOOL_KEEPER_H

#include "spool/private.h"

/* Starts the keeper, for a spool with a directory. AU_NOMEM: see errno. */
au_status_t au_spool_start_keeper(au_spool_t *spool);
/* Ends it, after a last sync of what was not synced yet. */
void au_spool_stop_keeper(au_spool_t *spool);

#endif
