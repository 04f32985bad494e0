/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * reader_pool - readers that are kept for the next requests, so that they need
 * not grow their memory again.
 *
 * Threads: take and give_back from any.
 */
#ifndef AURORE_API_READER_POOL_H
#define AURORE_API_READER_POOL_H

#include "event/reader.h"

#include <pthread.h>

/* That are kept; more are made when needed, and freed. A request has one for no
 * longer than its request thread works on it. */
#define AU_READER_POOL_MAX 8

typedef struct au_reader_pool {
  const au_limits_t *limits;
  pthread_mutex_t lock; /* protects: the next two */
  au_reader_t *free[AU_READER_POOL_MAX];
  unsigned count;
} au_reader_pool_t;

/* "limits" is borrowed until fini. */
void au_reader_pool_init(au_reader_pool_t *pool, const au_limits_t *limits);
/* Every reader must have been given back. */
void au_reader_pool_fini(au_reader_pool_t *pool);

/* NULL when out of memory. */
au_reader_t *au_reader_pool_take(au_reader_pool_t *pool);
/* Frees what a huge body has grown. NULL: nothing. */
void au_reader_pool_give_back(au_reader_pool_t *pool, au_reader_t *reader);

#endif
