/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * zstd - from zstd (RFC 8878) in memory, with a bound on what comes out, and on
 * what is needed meanwhile: the window of a frame, which the sender chooses.
 * Pure; any thread.
 */
#ifndef AURORE_BASE_ZSTD_H
#define AURORE_BASE_ZSTD_H

#include "base/bytes.h"

/* What RFC 9659 allows over HTTP. */
#define AU_ZSTD_WINDOW_MAX ((uint64_t)8 << 20)

/* Appends the inflated data; there may be several frames. What it needs
 * meanwhile is charged to the account of "out". AU_OK; AU_FULL: more than
 * "limit" bytes would come out; AU_INVALID: not zstd, or cut, or something
 * follows, or the window is larger than AU_ZSTD_WINDOW_MAX; AU_NOMEM. */
AU_MUST_CHECK au_status_t au_zstd_inflate(const void *data, size_t size,
                                          size_t limit, au_bytes_t *out);

#endif
