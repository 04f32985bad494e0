/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * trouble - whether the spool can be written and synced, and why not. spool.h
 * has the question that everybody may ask: au_spool_trouble.
 */
#ifndef AURORE_SPOOL_TROUBLE_H
#define AURORE_SPOOL_TROUBLE_H

#include "spool/private.h"

#define AU_TROUBLE_WRITE "the spool cannot be written"

/* Sets the trouble (static text), or clears it (NULL); a change is logged and
 * notified once. "error" is the errno that belongs to it. Any thread, with no
 * lock held. */
void au_spool_set_trouble(au_spool_t *spool, const char *trouble, int error);

#endif
