/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * gzip - to and from gzip (RFC 1952), and from zlib's format (RFC 1950), in
 * memory, with a bound on what comes out. Pure; any thread.
 */
#ifndef AURORE_BASE_GZIP_H
#define AURORE_BASE_GZIP_H

#include "base/bytes.h"

/* Appends the inflated data; there may be several members. AU_OK; AU_FULL: more
 * than "limit" bytes would come out; AU_INVALID: not gzip, or cut, or something
 * follows; AU_NOMEM. */
AU_MUST_CHECK au_status_t au_gzip_inflate(const void *data, size_t size,
                                          size_t limit, au_bytes_t *out);

/* The same for zlib's format, which HTTP calls deflate, and of which there is
 * one stream. */
AU_MUST_CHECK au_status_t au_zlib_inflate(const void *data, size_t size,
                                          size_t limit, au_bytes_t *out);

/* Appends "data" as one member, made fast rather than small (about 100 MB of
 * JSON a second). AU_OK; AU_FULL: it would have more than "limit" bytes;
 * AU_NOMEM.
 */
AU_MUST_CHECK au_status_t au_gzip_deflate(const void *data, size_t size,
                                          size_t limit, au_bytes_t *out);

#endif
