/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/. */
#include "http/token.h"

#include "base/hex.h"
#include "http/file.h"
#include "http/scope.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DIGEST_SIZE 32
#define TOKENS_MAX 1000
#define BEARER "Bearer "
#define BASIC "Basic "

typedef struct token {
  int scopes;
  uint8_t digest[DIGEST_SIZE];
} token_t;

struct au_tokens {
  size_t count;
  token_t token[];
};

static int scope_of(const char *name) {
  if (strcasecmp(name, "ingest") == 0)
    return AU_SCOPE_INGEST;
  if (strcasecmp(name, "read") == 0)
    return AU_SCOPE_READ;
  if (strcasecmp(name, "admin") == 0)
    return AU_SCOPE_ADMIN | AU_SCOPE_INGEST | AU_SCOPE_READ;
  return 0;
}

/* Reads one line; false when it is neither empty nor a token. */
static bool parse_line(char *line, au_tokens_t *tokens) {
  line[strcspn(line, "#\r\n")] = '\0';
  char *rest = NULL;
  const char *scope = strtok_r(line, " \t", &rest);
  if (scope == NULL)
    return true;
  const char *hex = strtok_r(NULL, " \t", &rest);
  const char *more = strtok_r(NULL, " \t", &rest);
  if (hex == NULL || more != NULL || tokens->count == TOKENS_MAX)
    return false;
  token_t *token = &tokens->token[tokens->count];
  token->scopes = scope_of(scope);
  if (token->scopes == 0 || strlen(hex) != (size_t)2 * DIGEST_SIZE ||
      !au_hex_read(hex, token->digest, DIGEST_SIZE))
    return false;
  tokens->count++;
  return true;
}

au_status_t au_tokens_load(const char *path, au_tokens_t **out_tokens,
                           char *error, size_t error_size) {
  FILE *file = au_file_open("TokenFile", path, error, error_size);
  if (file == NULL)
    return AU_IO;
  au_tokens_t *tokens =
      calloc(1, sizeof(*tokens) + TOKENS_MAX * sizeof(tokens->token[0]));
  au_status_t status = tokens != NULL ? AU_OK : AU_NOMEM;
  if (status != AU_OK)
    snprintf(error, error_size, "out of memory");
  char *line = NULL;
  size_t room = 0;
  for (unsigned number = 1; status == AU_OK && getline(&line, &room, file) >= 0;
       number++)
    if (!parse_line(line, tokens)) {
      snprintf(error, error_size,
               "TokenFile \"%s\", line %u: expected \"SCOPE SHA256\", with a "
               "scope of ingest, read, admin and 64 hexadecimal digits, on at "
               "most %d lines",
               path, number, TOKENS_MAX);
      status = AU_INVALID;
    }
  if (status == AU_OK && ferror(file)) {
    snprintf(error, error_size, "could not read TokenFile \"%s\": %s", path,
             strerror(errno));
    status = AU_IO;
  }
  if (status == AU_OK && ftello(file) == 0) {
    snprintf(error, error_size, "could not read TokenFile \"%s\": it is empty",
             path);
    status = AU_INVALID;
  }
  free(line);
  fclose(file);
  if (status != AU_OK) {
    free(tokens);
    return status;
  }
  *out_tokens = tokens;
  return AU_OK;
}

void au_tokens_destroy(au_tokens_t *tokens) { free(tokens); }

static int scopes_of(const au_tokens_t *tokens, const void *token,
                     size_t size) {
  uint8_t digest[DIGEST_SIZE];
  if (gnutls_hash_fast(GNUTLS_DIG_SHA256, token, size, digest) != 0)
    return AU_TOKEN_WRONG;
  int scopes = 0;
  for (size_t i = 0; i < tokens->count; i++)
    if (gnutls_memcmp(tokens->token[i].digest, digest, sizeof(digest)) == 0)
      scopes |= tokens->token[i].scopes;
  return scopes != 0 ? scopes : AU_TOKEN_WRONG;
}

/* "text" is USER:PASSWORD in Base64; it is no longer than a header may be. */
static int scopes_of_basic(const au_tokens_t *tokens, const char *text) {
  union {
    const char *in;
    unsigned char *data;
  } from = {.in = text}; /* GnuTLS reads it only */
  const gnutls_datum_t encoded = {.data = from.data,
                                  .size = (unsigned)strlen(text)};
  gnutls_datum_t pair = {.data = NULL, .size = 0};
  if (encoded.size == 0 || gnutls_base64_decode2(&encoded, &pair) != 0)
    return AU_TOKEN_WRONG;
  const unsigned char *colon =
      pair.size > 0 ? memchr(pair.data, ':', pair.size) : NULL;
  int scopes = AU_TOKEN_WRONG;
  if (colon != NULL)
    scopes = scopes_of(tokens, colon + 1,
                       pair.size - (size_t)(colon + 1 - pair.data));
  if (pair.size > 0)
    gnutls_memset(pair.data, 0, pair.size);
  gnutls_free(pair.data);
  return scopes;
}

/* What follows the name of the scheme, or NULL when it is another one. */
static const char *after_scheme(const char *authorization, const char *scheme) {
  size_t size = strlen(scheme);
  if (strncasecmp(authorization, scheme, size) != 0)
    return NULL;
  authorization += size;
  return authorization + strspn(authorization, " ");
}

int au_tokens_scopes(const au_tokens_t *tokens, const char *authorization) {
  if (authorization == NULL)
    return AU_TOKEN_NONE;
  const char *token = after_scheme(authorization, BEARER);
  if (token != NULL)
    return scopes_of(tokens, token, strlen(token));
  const char *pair = after_scheme(authorization, BASIC);
  return pair != NULL ? scopes_of_basic(tokens, pair) : AU_TOKEN_NONE;
}
