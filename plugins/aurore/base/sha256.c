/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/sha256.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

void au_sha256_begin(au_sha256_t *sha256) {
  gnutls_hash_hd_t state = NULL;
  sha256->failed = gnutls_hash_init(&state, GNUTLS_DIG_SHA256) != 0;
  sha256->state = sha256->failed ? NULL : state;
}

void au_sha256_put(au_sha256_t *sha256, const void *data, size_t size) {
  if (size > 0 && !sha256->failed)
    sha256->failed = gnutls_hash(sha256->state, data, size) != 0;
}

void au_sha256_put_word(au_sha256_t *sha256, const char *text) {
  au_sha256_put(sha256, text, strlen(text) + 1);
}

bool au_sha256_end(au_sha256_t *sha256, au_digest_t *out_digest) {
  if (sha256->state != NULL)
    gnutls_hash_deinit(sha256->state, out_digest->byte);
  sha256->state = NULL;
  return !sha256->failed;
}

bool au_sha256(const void *data, size_t size, au_digest_t *out_digest) {
  return gnutls_hash_fast(GNUTLS_DIG_SHA256, data, size, out_digest->byte) == 0;
}
