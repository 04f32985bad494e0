/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * recover - opening a spool directory: lock, state, segments, and where the
 * good data begins and ends.
 */
#ifndef AURORE_SPOOL_RECOVER_H
#define AURORE_SPOOL_RECOVER_H

#include "spool/private.h"

/* Locks the directory, reads the state and the segments, finds the begin and
 * the end. Before any thread of the spool runs. On error "error" says why. */
au_status_t au_spool_recover(au_spool_t *spool, const char *directory,
                             char *error, size_t error_size);

#endif
