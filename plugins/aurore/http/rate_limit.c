/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/. */
#include "http/rate_limit.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SETS 1024 /* a power of two */
#define WAYS 8
#define WAIT_MAX_S 3600

typedef struct bucket {
  double level; /* events that may pass now; below zero: a debt */
  int64_t ns;   /* when that was so */
} bucket_t;

typedef struct place {
  uint8_t address[17]; /* its size, then its bytes */
  bucket_t bucket;
} place_t;

struct au_rate_limit {
  double per_second;
  double per_address;
  uint64_t seed;        /* so that nobody can choose addresses of one set */
  pthread_mutex_t lock; /* protects: all below */
  bucket_t all;
  place_t place[SETS][WAYS];
};

au_status_t au_rate_limit_create(double per_second, double per_address,
                                 au_rate_limit_t **out_limit) {
  au_rate_limit_t *limit = calloc(1, sizeof(*limit));
  if (limit == NULL)
    return AU_NOMEM;
  limit->per_second = per_second;
  limit->per_address = per_address;
  if (getrandom(&limit->seed, sizeof(limit->seed), 0) !=
      (ssize_t)sizeof(limit->seed))
    limit->seed = (uint64_t)au_clock_monotonic_ns();
  pthread_mutex_init(&limit->lock, NULL);
  *out_limit = limit;
  return AU_OK;
}

void au_rate_limit_destroy(au_rate_limit_t *limit) {
  if (limit == NULL)
    return;
  pthread_mutex_destroy(&limit->lock);
  free(limit);
}

static double burst(double rate) { return rate > 1 ? rate : 1; }

static void fill(bucket_t *bucket, double rate, int64_t now_ns) {
  if (bucket->ns == 0)
    bucket->level = burst(rate);
  else if (now_ns > bucket->ns)
    bucket->level += rate * (double)(now_ns - bucket->ns) / (double)AU_NS_PER_S;
  if (bucket->level > burst(rate))
    bucket->level = burst(rate);
  bucket->ns = now_ns;
}

/* Seconds until the events may pass; 0: now. */
static double wait_s(const bucket_t *bucket, double rate, uint64_t events) {
  double need = (double)events < burst(rate) ? (double)events : burst(rate);
  return bucket->level >= need ? 0 : (need - bucket->level) / rate;
}

static place_t *find(au_rate_limit_t *limit, const void *address, size_t size) {
  uint8_t key[17] = {0};
  key[0] = (uint8_t)(size <= 16 ? size : 16);
  /* Of an IPv6 address the network alone: a client has all of its /64. */
  memcpy(key + 1, address, key[0] == 16 ? 8 : key[0]);
  uint64_t hash = limit->seed;
  for (size_t i = 0; i < sizeof(key); i++)
    hash = (hash ^ key[i]) * UINT64_C(1099511628211); /* as FNV-1a */
  place_t *set = limit->place[(hash >> 32) & (SETS - 1)];
  place_t *oldest = &set[0];
  for (int way = 0; way < WAYS; way++) {
    if (set[way].bucket.ns != 0 &&
        memcmp(set[way].address, key, sizeof(key)) == 0)
      return &set[way];
    if (set[way].bucket.ns < oldest->bucket.ns)
      oldest = &set[way];
  }
  memcpy(oldest->address, key, sizeof(key));
  oldest->bucket = (bucket_t){.ns = 0};
  return oldest;
}

/* What a caller is told who would have to wait. */
static unsigned whole_seconds(double wait) {
  if (wait <= 0)
    return 0;
  return wait >= WAIT_MAX_S ? WAIT_MAX_S : (unsigned)wait + 1;
}

/* Whether "events" may pass; takes "cost" of them if so. */
static unsigned try_take(au_rate_limit_t *limit, const void *address,
                         size_t size, uint64_t events, uint64_t cost,
                         int64_t now_ns) {
  double wait = 0;
  place_t *place = NULL;
  pthread_mutex_lock(&limit->lock);
  if (limit->per_second > 0) {
    fill(&limit->all, limit->per_second, now_ns);
    wait = wait_s(&limit->all, limit->per_second, events);
  }
  if (limit->per_address > 0) {
    place = find(limit, address, size);
    fill(&place->bucket, limit->per_address, now_ns);
    double own = wait_s(&place->bucket, limit->per_address, events);
    wait = own > wait ? own : wait;
  }
  if (wait <= 0) {
    if (limit->per_second > 0)
      limit->all.level -= (double)cost;
    if (place != NULL)
      place->bucket.level -= (double)cost;
  }
  pthread_mutex_unlock(&limit->lock);
  return whole_seconds(wait);
}

unsigned au_rate_limit_take(au_rate_limit_t *limit, const void *address,
                            size_t size, uint64_t events, int64_t now_ns) {
  return try_take(limit, address, size, events, events, now_ns);
}

unsigned au_rate_limit_check(au_rate_limit_t *limit, const void *address,
                             size_t size, int64_t now_ns) {
  return try_take(limit, address, size, 1, 0, now_ns);
}

unsigned au_rate_limit_take_address(au_rate_limit_t *limit, const void *address,
                                    size_t size, int64_t now_ns) {
  if (limit->per_address <= 0)
    return 0;
  pthread_mutex_lock(&limit->lock);
  bucket_t *bucket = &find(limit, address, size)->bucket;
  fill(bucket, limit->per_address, now_ns);
  double wait = wait_s(bucket, limit->per_address, 1);
  if (wait <= 0)
    bucket->level -= 1;
  pthread_mutex_unlock(&limit->lock);
  return whole_seconds(wait);
}
