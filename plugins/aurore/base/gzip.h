/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * gzip - a gzip body (RFC 1952, one member or several) into memory, with a
 * bound on what comes out. Pure; any thread.
 */
#ifndef AURORE_BASE_GZIP_H
#define AURORE_BASE_GZIP_H

#include "base/bytes.h"

/* Appends the inflated data. AU_OK; AU_FULL: more than "limit" bytes would come
 * out; AU_INVALID: not gzip, or cut, or something follows; AU_NOMEM. */
AU_MUST_CHECK au_status_t au_gzip_inflate(const void *data, size_t size,
                                          size_t limit, au_bytes_t *out);

#endif
