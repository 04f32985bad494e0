/* SPDX-License-Identifier: MIT
 *
 * fuzz_token - any bytes as a TokenFile, and any text as a header
 * Authorization. A file is taken as it is or refused with a reason; a token
 * that it does not hold has no scope; one that is added to it has its own.
 *
 * Up to the first NUL the input is the header, then the file.
 */
#include "base/bytes.h"
#include "base/hex.h"
#include "fuzz/fuzz.h"
#include "http/scope.h"
#include "http/token.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

#define ALL ((int)(AU_SCOPE_INGEST | AU_SCOPE_READ | AU_SCOPE_ADMIN))

static au_tokens_t *load(const void *data, size_t size) {
  au_tokens_t *tokens = NULL;
  char error[512] = "";
  au_status_t status =
      au_tokens_load(fuzz_file(data, size), &tokens, error, sizeof(error));
  fuzz_require(status == AU_OK || (status == AU_INVALID && error[0] != '\0'),
               "a file is refused without a reason");
  return status == AU_OK ? tokens : NULL;
}

/* The file with one more token, which is "secret". */
static void check_added(fuzz_input_t file) {
  static const char secret[] = "secret";
  uint8_t digest[32];
  char hex[64];
  fuzz_require(
      gnutls_hash_fast(GNUTLS_DIG_SHA256, secret, strlen(secret), digest) == 0,
      "no SHA-256");
  (void)au_hex_write(hex, digest, sizeof(digest));
  au_bytes_t more = AU_BYTES_INIT;
  au_bytes_put(&more, file.data, file.size);
  au_bytes_put_string(&more, "\nread ");
  au_bytes_put(&more, hex, sizeof(hex));
  au_tokens_t *tokens = load(more.data, more.size);
  if (tokens != NULL) /* else there were a thousand of them */
    fuzz_require(
        (au_tokens_scopes(tokens, "Bearer secret") & (int)AU_SCOPE_READ) != 0,
        "a token of the file has no scope");
  au_tokens_destroy(tokens);
  au_bytes_fini(&more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  char *header = fuzz_text(input);
  (void)fuzz_take_part(&input, strlen(header) + 1);
  au_tokens_t *tokens = load(input.data, input.size);
  if (tokens != NULL) {
    int scopes = au_tokens_scopes(tokens, header);
    fuzz_require(scopes == AU_TOKEN_NONE || scopes == AU_TOKEN_WRONG ||
                     (scopes > 0 && (scopes & ~ALL) == 0),
                 "a scope that there is not");
    fuzz_require(au_tokens_scopes(tokens, NULL) == AU_TOKEN_NONE,
                 "no token has a scope");
    check_added(input);
  }
  au_tokens_destroy(tokens);
  free(header);
  return 0;
}
