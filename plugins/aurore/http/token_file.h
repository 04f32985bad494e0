/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * token_file - the tokens in force: those of the TokenFile, which is read again
 * when it changes.
 *
 * Threads: create, destroy and check from one; scopes from any between create
 * and destroy.
 */
#ifndef AURORE_HTTP_TOKEN_FILE_H
#define AURORE_HTTP_TOKEN_FILE_H

#include "http/token.h"

typedef struct au_token_file au_token_file_t;

/* "path" is borrowed until destroy. On error the reason is in "error". */
AU_MUST_CHECK au_status_t au_token_file_create(const char *path,
                                               au_token_file_t **out_file,
                                               char *error, size_t error_size);
void au_token_file_destroy(au_token_file_t *file); /* NULL: nothing */

/* Reads the file again when it has changed (http/file.h). */
void au_token_file_check(au_token_file_t *file);

/* As au_tokens_scopes, of the tokens in force. */
int au_token_file_scopes(au_token_file_t *file, const char *authorization);

#endif
