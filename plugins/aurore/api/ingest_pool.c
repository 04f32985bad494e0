/* SPDX-License-Identifier: MIT
 *
 * ingest_pool - see api/ingest_pool.h.
 */
#include "api/ingest_pool.h"

#include <stdlib.h>

static void destroy(au_ingest_t *ingest) {
  au_ingest_fini(ingest);
  free(ingest);
}

void au_ingest_pool_init(au_ingest_pool_t *pool, const au_limits_t *limits) {
  *pool = (au_ingest_pool_t){.limits = limits};
  pthread_mutex_init(&pool->lock, NULL);
}

void au_ingest_pool_fini(au_ingest_pool_t *pool) {
  while (pool->count > 0)
    destroy(pool->free[--pool->count]);
  pthread_mutex_destroy(&pool->lock);
}

au_ingest_t *au_ingest_pool_take(au_ingest_pool_t *pool) {
  pthread_mutex_lock(&pool->lock);
  au_ingest_t *ingest = pool->count > 0 ? pool->free[--pool->count] : NULL;
  pthread_mutex_unlock(&pool->lock);
  if (ingest != NULL)
    return ingest;
  ingest = calloc(1, sizeof(*ingest));
  if (ingest != NULL && au_ingest_init(ingest, pool->limits) == AU_OK)
    return ingest;
  free(ingest);
  return NULL;
}

void au_ingest_pool_give_back(au_ingest_pool_t *pool, au_ingest_t *ingest) {
  if (ingest == NULL)
    return;
  pthread_mutex_lock(&pool->lock);
  bool is_kept = pool->count < AU_INGEST_POOL_MAX;
  if (is_kept)
    pool->free[pool->count++] = ingest;
  pthread_mutex_unlock(&pool->lock);
  if (!is_kept)
    destroy(ingest);
}
