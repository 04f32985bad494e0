/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * token_file - see token_file.h.
 */
#include "http/token_file.h"

#include "http/file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct au_token_file {
  au_file_watch_t watch; /* of the thread that checks */
  au_tokens_t *read;     /* not in force yet; likewise */
  pthread_rwlock_t lock; /* protects: the next one; held for one comparison */
  au_tokens_t *tokens;
};

static au_status_t load(void *context, unsigned *out_file, char *error,
                        size_t error_size) {
  au_token_file_t *file = context;
  *out_file = 0;
  return au_tokens_load(file->watch.path[0], &file->read, error, error_size);
}

static void finish(void *context, bool use) {
  au_token_file_t *file = context;
  au_tokens_t *old = file->read;
  if (use) {
    /* Whoever can write it can add a token; reading it gives nobody access. */
    au_file_warn_of_mode("TokenFile", file->watch.path[0], S_IWOTH);
    pthread_rwlock_wrlock(&file->lock);
    old = file->tokens;
    file->tokens = file->read;
    pthread_rwlock_unlock(&file->lock);
  }
  file->read = NULL;
  au_tokens_destroy(old);
}

au_status_t au_token_file_create(const char *path, au_token_file_t **out_file,
                                 char *error, size_t error_size) {
  au_token_file_t *file = calloc(1, sizeof(*file));
  if (file == NULL) {
    snprintf(error, error_size, "out of memory");
    return AU_NOMEM;
  }
  pthread_rwlock_init(&file->lock, NULL);
  file->watch = (au_file_watch_t){.path = {path},
                                  .file = {AU_FILE_TOKENS},
                                  .what = "the TokenFile",
                                  .context = file,
                                  .load = load,
                                  .finish = finish};
  au_file_watch_begin(&file->watch);
  unsigned index = 0;
  au_status_t status = load(file, &index, error, error_size);
  finish(file, status == AU_OK);
  if (status != AU_OK) {
    au_token_file_destroy(file);
    return status;
  }
  *out_file = file;
  return AU_OK;
}

void au_token_file_destroy(au_token_file_t *file) {
  if (file == NULL)
    return;
  au_tokens_destroy(file->tokens);
  pthread_rwlock_destroy(&file->lock);
  free(file);
}

void au_token_file_check(au_token_file_t *file) {
  au_file_watch_check(&file->watch);
}

int au_token_file_scopes(au_token_file_t *file, const char *authorization) {
  pthread_rwlock_rdlock(&file->lock);
  int scopes = au_tokens_scopes(file->tokens, authorization);
  pthread_rwlock_unlock(&file->lock);
  return scopes;
}
