/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * sha256 - SHA-256 of bytes that come in pieces. GnuTLS computes it, which is
 * linked for TLS anyway.
 *
 * Out of memory, or without SHA-256 in GnuTLS, "failed" is set and stays so:
 * it is enough to look at what au_sha256_end returns.
 *
 * Threads: one at a time per au_sha256_t.
 */
#ifndef AURORE_BASE_SHA256_H
#define AURORE_BASE_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AU_SHA256_SIZE 32

typedef struct au_digest {
  uint8_t byte[AU_SHA256_SIZE];
} au_digest_t;

typedef struct au_sha256 {
  void *state; /* GnuTLS' own; NULL: none is begun */
  bool failed;
} au_sha256_t;

/* Every begin wants an end. */
void au_sha256_begin(au_sha256_t *sha256);
void au_sha256_put(au_sha256_t *sha256, const void *data, size_t size);
/* A text without its NUL, and then the NUL. */
void au_sha256_put_word(au_sha256_t *sha256, const char *text);
/* Frees what begin took. false: there is no digest. */
bool au_sha256_end(au_sha256_t *sha256, au_digest_t *out_digest);

/* Of all bytes at once. */
bool au_sha256(const void *data, size_t size, au_digest_t *out_digest);

#endif
