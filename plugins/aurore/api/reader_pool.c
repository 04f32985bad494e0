/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder. */
#include "api/reader_pool.h"

#include <stdlib.h>

static void destroy(au_reader_t *reader) {
  au_reader_fini(reader);
  free(reader);
}

void au_reader_pool_init(au_reader_pool_t *pool, const au_limits_t *limits) {
  *pool = (au_reader_pool_t){.limits = limits};
  pthread_mutex_init(&pool->lock, NULL);
}

void au_reader_pool_fini(au_reader_pool_t *pool) {
  while (pool->count > 0)
    destroy(pool->free[--pool->count]);
  pthread_mutex_destroy(&pool->lock);
}

au_reader_t *au_reader_pool_take(au_reader_pool_t *pool) {
  pthread_mutex_lock(&pool->lock);
  au_reader_t *reader = pool->count > 0 ? pool->free[--pool->count] : NULL;
  pthread_mutex_unlock(&pool->lock);
  if (reader != NULL)
    return reader;
  reader = calloc(1, sizeof(*reader));
  if (reader != NULL && au_reader_init(reader, pool->limits) == AU_OK)
    return reader;
  free(reader);
  return NULL;
}

void au_reader_pool_give_back(au_reader_pool_t *pool, au_reader_t *reader) {
  if (reader == NULL)
    return;
  au_reader_clear(reader);
  pthread_mutex_lock(&pool->lock);
  bool is_kept = pool->count < AU_READER_POOL_MAX;
  if (is_kept)
    pool->free[pool->count++] = reader;
  pthread_mutex_unlock(&pool->lock);
  if (!is_kept)
    destroy(reader);
}
