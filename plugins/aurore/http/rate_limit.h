/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * rate_limit - token buckets, one for all and one for each client address. A
 * bucket holds one second's worth (at least one event) and fills evenly.
 *
 * The table of addresses is bounded: sets of a few places, of which the one
 * that was used longest ago is given to a newcomer; so a request costs the same
 * however many addresses there are.
 *
 * Threads: any.
 */
#ifndef AURORE_HTTP_RATE_LIMIT_H
#define AURORE_HTTP_RATE_LIMIT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct au_rate_limit au_rate_limit_t;

/* Events a second, for all together and for one address; 0: no limit. */
AU_MUST_CHECK au_status_t au_rate_limit_create(double per_second,
                                               double per_address,
                                               au_rate_limit_t **out_limit);
void au_rate_limit_destroy(au_rate_limit_t *limit);

/* Takes "events" from both buckets, or from neither. "address" is the raw
 * address (4 or 16 bytes; 0 for a Unix socket); of an IPv6 address its /64. A
 * request that is larger than a bucket passes when the bucket is full, and
 * leaves a debt. Returns 0, or the seconds (1 to 3600) after which it would
 * pass. */
unsigned au_rate_limit_take(au_rate_limit_t *limit, const void *address,
                            size_t size, uint64_t events, int64_t now_ns);

/* The same for one event, but takes nothing: whether it is worth reading what a
 * request brings. */
unsigned au_rate_limit_check(au_rate_limit_t *limit, const void *address,
                             size_t size, int64_t now_ns);

/* Takes one event from the bucket of the address alone. Returns as take. */
unsigned au_rate_limit_take_address(au_rate_limit_t *limit, const void *address,
                                    size_t size, int64_t now_ns);

#endif
