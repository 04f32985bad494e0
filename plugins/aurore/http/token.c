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

int au_tokens_scopes(const au_tokens_t *tokens, const char *authorization) {
  const size_t prefix = strlen(BEARER);
  if (authorization == NULL || strncasecmp(authorization, BEARER, prefix) != 0)
    return -1;
  const char *text = authorization + prefix;
  text += strspn(text, " ");
  uint8_t digest[DIGEST_SIZE];
  if (gnutls_hash_fast(GNUTLS_DIG_SHA256, text, strlen(text), digest) != 0)
    return -1;
  int scopes = -1;
  for (size_t i = 0; i < tokens->count; i++)
    if (gnutls_memcmp(tokens->token[i].digest, digest, sizeof(digest)) == 0)
      scopes = (scopes == -1 ? 0 : scopes) | tokens->token[i].scopes;
  return scopes;
}
