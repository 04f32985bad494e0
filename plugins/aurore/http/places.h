/* SPDX-License-Identifier: MIT
 * Part of http/; calls metrics/, base/.
 *
 * places - how many connections are open: of all listeners and loops together,
 * and of each client address. A connection takes a place when it is accepted
 * and gives it back when its descriptor is closed.
 *
 * So that one client cannot lock the others out, an address has a limit, and
 * the last tenth of all places is only for addresses that have no connection.
 * Clients of a Unix socket are not told apart: each counts as a new address.
 *
 * An address costs the same however many there are: memory for each place is
 * taken at the start, and the places of a table of hashes are chosen by a seed
 * that nobody knows.
 *
 * Threads: any.
 */
#ifndef AURORE_HTTP_PLACES_H
#define AURORE_HTTP_PLACES_H

#include "base/status.h"
#include "metrics/metrics.h"

#include <sys/socket.h>

typedef struct au_places au_places_t;

/* Whose a place is; to be given back as it was taken. */
typedef unsigned au_place_t;
#define AU_PLACE_NONE ((au_place_t)0)

/* "max" connections, at least 1; "max_per_address" of one address, 0: no limit.
 */
AU_MUST_CHECK au_status_t au_places_create(unsigned max,
                                           unsigned max_per_address,
                                           au_places_t **out_places);
/* NULL: nothing. */
void au_places_destroy(au_places_t *places);

/* AU_PLACE_NONE: there is no place for "address", and "out_reason" says why.
 */
au_place_t au_places_take(au_places_t *places, const struct sockaddr *address,
                          au_crowded_t *out_reason);
/* AU_PLACE_NONE: nothing. */
void au_places_give(au_places_t *places, au_place_t place);

/* Places that are taken. */
unsigned au_places_taken(au_places_t *places);

#endif
