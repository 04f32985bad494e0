/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * token - who may do what: the TokenFile. Lines are "SCOPE sha256-of-token" (64
 * hexadecimal digits); scopes are ingest, read, admin; "#" begins a comment.
 * The file holds no token itself, so reading it gives nobody access.
 *
 * Threads: load from one; check from any afterwards.
 */
#ifndef AURORE_HTTP_TOKEN_H
#define AURORE_HTTP_TOKEN_H

#include "base/status.h"

#include <stddef.h>

typedef struct au_tokens au_tokens_t;

/* A file of comments alone lets nobody in. One of no bytes is an error: that is
 * what is left when writing it failed. On error the reason, with the line, is
 * in "error". */
AU_MUST_CHECK au_status_t au_tokens_load(const char *path,
                                         au_tokens_t **out_tokens, char *error,
                                         size_t error_size);
void au_tokens_destroy(au_tokens_t *tokens);

#define AU_TOKEN_NONE (-1)  /* no Authorization, or of another scheme */
#define AU_TOKEN_WRONG (-2) /* not one of the file */

/* The scopes (bits of au_scope_t, http/scope.h) of an Authorization header:
 * "Bearer TOKEN", or "Basic" with the token as the password (of any user). Else
 * AU_TOKEN_NONE or AU_TOKEN_WRONG. Takes the same time for every token that is
 * not in the file. */
int au_tokens_scopes(const au_tokens_t *tokens, const char *authorization);

#endif
