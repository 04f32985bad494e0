/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * claim - a lane says to the database who it is, and learns how far it has
 * been stored.
 *
 * Done once at the start and after every doubt. The claim waits for a backend
 * that is still finishing a batch of the lane, and raises the lane's epoch, so
 * that a batch that is still on its way somewhere can no longer be stored: what
 * the claim says stays true.
 *
 * Threads: as the connection.
 */
#ifndef AURORE_STORE_CLAIM_H
#define AURORE_STORE_CLAIM_H

#include "database/database.h"
#include "spool/lane.h"

/* Whose place in the database is advanced. */
typedef struct au_claim {
  au_uuid_t spool_id;
  unsigned lane;
  uint32_t epoch;    /* of the last claim */
  uint64_t next_seq; /* the first number that was not stored, as of then */
  /* The database had lost them, and so had the spool; this has been told. */
  uint64_t lost_from;
  uint64_t lost_to;
} au_claim_t;

/* Claims the lane; "claim" names it and is filled in. When the database and the
 * spool disagree about what was stored:
 *  - the database is ahead of a spool that may have lost its tail in a power
 *    cut (durability "interval" or "memory"): the lane goes on where the spool
 *    is, which is said in the log;
 *  - the database is ahead of any other spool: AU_FENCED, the spool was
 * restored from a backup;
 *  - the database knows an owner that this spool never was: AU_FENCED, the
 *    spool is a copy, or was restored;
 *  - the database is behind the spool: it has fallen back to an earlier time,
 *    and so does the lane, as far as events are kept (au_lane_rewind): they are
 *    stored again. Those that are not kept any more are lost. Both are logged,
 *    notified and counted; the lane goes on. Whoever holds events of the lane
 *    must take them again when claim->next_seq is lower than theirs. */
AU_MUST_CHECK au_status_t au_claim_make(au_claim_t *claim,
                                        au_database_t *database,
                                        au_lane_t *lane,
                                        au_database_error_t *error);

#endif
