/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * host - which of several servers is believed.
 *
 * With more than one host in the connection string the one that answers first
 * may be the wrong one: a former primary that came back beside the one that was
 * promoted in its place. So a server that is behind what has been confirmed, by
 * its timeline or by the place of the lane, is only believed when no other one
 * that can be written to answers; else the one with the highest timeline is,
 * and of these the one that has stored most. What it lacks is stored again
 * (claim.h).
 *
 * What one lane finds all of them go by, and whoever only reads
 * (database/leader.h): a lane that has lost its connection late, or not at all,
 * does not stay with a server that another one has left behind.
 *
 * Threads: as the connection.
 */
#ifndef AURORE_STORE_HOST_H
#define AURORE_STORE_HOST_H

#include "database/database.h"
#include "database/leader.h"
#include "spool/lane.h"

#include <stdint.h>

/* What one writer knows of its server; all zero at first, but for the leader.
 */
typedef struct au_host {
  au_leader_t *leader; /* that of all writers; borrowed */
  uint64_t timeline;   /* of the server; 0: none yet, or the only one */
  bool is_behind;      /* it is, and is believed for want of another */
  int64_t look_ns;     /* then: when to look for another (monotonic) */
} au_host_t;

/* Looks at the server that is connected to, before anything is changed there,
 * and at the others when it is behind. AU_OK: "database" is connected to the
 * one that is believed, maybe another one than before. Else as
 * au_database_connect. */
AU_MUST_CHECK au_status_t au_host_choose(au_host_t *host,
                                         au_database_t *database,
                                         au_lane_t *lane,
                                         au_database_error_t *error);

/* Whether it is time to choose again, though the connection is good. */
bool au_host_is_due(const au_host_t *host, int64_t now_ns);

#endif
