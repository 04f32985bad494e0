/* SPDX-License-Identifier: MIT
 *
 * ingest_pool - ingests that are kept for the next requests, so that they need
 * not grow their memory again.
 *
 * Threads: take and give_back from any.
 */
#ifndef AURORE_API_INGEST_POOL_H
#define AURORE_API_INGEST_POOL_H

#include "event/ingest.h"

#include <pthread.h>

/* That are kept; more are made when needed, and freed. */
#define AU_INGEST_POOL_MAX 64

typedef struct au_ingest_pool {
  const au_limits_t *limits;
  pthread_mutex_t lock; /* protects: the next two */
  au_ingest_t *free[AU_INGEST_POOL_MAX];
  unsigned count;
} au_ingest_pool_t;

/* "limits" is borrowed until fini. */
void au_ingest_pool_init(au_ingest_pool_t *pool, const au_limits_t *limits);
/* Every ingest must have been given back. */
void au_ingest_pool_fini(au_ingest_pool_t *pool);

/* NULL when out of memory. */
au_ingest_t *au_ingest_pool_take(au_ingest_pool_t *pool);
/* NULL: nothing. */
void au_ingest_pool_give_back(au_ingest_pool_t *pool, au_ingest_t *ingest);

#endif
