/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * coding - whether a client takes an answer in gzip, and making one.
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

#endif
