/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * coding - how a body is compressed: whether a client takes an answer in gzip,
 * and making one; what a request is sent in, and inflating that.
 *
 * Threads: pure; any.
 */
#ifndef AURORE_HTTP_CODING_H
#define AURORE_HTTP_CODING_H

#include "base/bytes.h"

/* Answers up to this size are sent as they are. */
#define AU_CODING_MIN ((size_t)1 << 10)

/* What the headers Accept-Encoding say, in thousandths of preference; -1: not
 * named. All -1 before the first one is read. */
typedef struct au_coding {
  int gzip;
  int identity;
  int any; /* "*" */
} au_coding_t;

#define AU_CODING_INIT                                                         \
  { .gzip = -1, .identity = -1, .any = -1 }

/* Reads one of the headers; what cannot be read in it is passed over. */
void au_coding_read(au_coding_t *coding, const char *value);
/* Whether gzip is allowed, and nothing else is liked better. */
bool au_coding_is_gzip(const au_coding_t *coding);

/* Puts the same in gzip in the place of a body. false: it would not be smaller,
 * or there is no memory for it; the body is as it was. */
bool au_coding_pack(au_bytes_t *body);

/* What Content-Encoding says of a request; au_content_coding_read. */
typedef enum au_content_coding {
  AU_CONTENT_IDENTITY, /* as it is */
  AU_CONTENT_GZIP,
  AU_CONTENT_ZLIB, /* "deflate", and its other name "zlib" */
  AU_CONTENT_ZSTD,
  AU_CONTENT_UNKNOWN
} au_content_coding_t;

/* Which ones there are, to be told. */
#define AU_CONTENT_CODINGS "gzip, deflate, zstd or identity"

/* Reads the header, NULL when there is none. Several codings, one upon the
 * other, are unknown. */
au_content_coding_t au_content_coding_read(const char *value);

/* Appends the body to "out", inflated (not for identity or unknown). AU_OK;
 * AU_FULL: more than "limit" bytes would come out; AU_INVALID: it is not what
 * its coding says; AU_NOMEM, also when the account of "out" may not hold more.
 */
AU_MUST_CHECK au_status_t au_content_inflate(au_content_coding_t coding,
                                             const char *body, size_t size,
                                             size_t limit, au_bytes_t *out);

#endif
