/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * Random bytes come from getrandom, 4 KiB at a time, into a pool for each
 * thread. The pools belong to a pthread key, not to a _Thread_local variable:
 * the first use of such a variable in a library that was loaded late aborts the
 * process when memory is short. Without a pool every id costs a system call.
 */
#include "base/uuid.h"

#include "base/clock.h"
#include "base/hex.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define POOL_SIZE 4096

typedef struct pool {
  size_t used;
  unsigned generation;
  uint8_t byte[POOL_SIZE];
} pool_t;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t pool_key;
static bool has_pool_key; /* written once, before any reader */
/* Rises in a forked child, which must not hand out the bytes of its parent. */
static _Atomic unsigned generation;

static void on_fork_child(void) {
  atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
}

static void make_pool_key(void) {
  /* Without the handler, only a forked child would be wrong. */
  (void)pthread_atfork(NULL, NULL, on_fork_child);
  has_pool_key = pthread_key_create(&pool_key, free) == 0;
}

/* The C library must not call "free" for a key of a library that is gone. */
__attribute__((destructor)) static void delete_pool_key(void) {
  if (!has_pool_key)
    return;
  free(pthread_getspecific(pool_key));
  (void)pthread_key_delete(pool_key);
  has_pool_key = false;
}

/* For a system that refuses random bytes: time keeps the ids of this process
 * apart, and addresses and the clock those of two processes (SplitMix64). */
static void fill_from_clock(uint8_t *to, size_t size) {
  static _Atomic uint64_t state;
  uint64_t seed = (uint64_t)au_clock_monotonic_ns() ^ (uint64_t)(uintptr_t)&to;
  atomic_fetch_xor(&state, seed);
  for (size_t at = 0; at < size; at++) {
    uint64_t z = atomic_fetch_add(&state, UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    to[at] = (uint8_t)(z >> 56);
  }
}

static void fill(uint8_t *to, size_t size) {
  while (size > 0) {
    ssize_t got = getrandom(to, size, 0);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0) {
      fill_from_clock(to, size);
      return;
    }
    to += got;
    size -= (size_t)got;
  }
}

/* The thread's pool with at least "size" bytes left, or NULL. */
static pool_t *pool_with(size_t size) {
  (void)pthread_once(&once, make_pool_key);
  if (!has_pool_key)
    return NULL;
  pool_t *pool = pthread_getspecific(pool_key);
  if (pool == NULL) {
    pool = malloc(sizeof(*pool));
    if (pool == NULL)
      return NULL;
    pool->used = POOL_SIZE;
    pool->generation = 0;
    if (pthread_setspecific(pool_key, pool) != 0) {
      free(pool);
      return NULL;
    }
  }
  unsigned now = atomic_load_explicit(&generation, memory_order_relaxed);
  if (size > POOL_SIZE - pool->used || pool->generation != now) {
    fill(pool->byte, POOL_SIZE);
    pool->used = 0;
    pool->generation = now;
  }
  return pool;
}

static void random_bytes(uint8_t *to, size_t size) {
  pool_t *pool = pool_with(size);
  if (pool == NULL) {
    fill(to, size);
    return;
  }
  memcpy(to, pool->byte + pool->used, size);
  pool->used += size;
}

/* The time in units of 1/4096 ms, later than every earlier result. */
static uint64_t next_tick(void) {
  static _Atomic uint64_t last;
  struct timespec now = {0};
  (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail, see clock.c */
  uint64_t ms = 0;
  uint64_t ns = 0;
  if (now.tv_sec >= 0) {
    ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    ns = (uint64_t)now.tv_nsec % 1000000;
  }
  uint64_t tick = (ms << 12) | (ns << 12) / 1000000;

  /* Relaxed: the value is all there is, nothing is published with it. */
  uint64_t before = atomic_load_explicit(&last, memory_order_relaxed);
  uint64_t mine = 0;
  do {
    mine = tick > before ? tick : before + 1;
  } while (!atomic_compare_exchange_weak_explicit(
      &last, &before, mine, memory_order_relaxed, memory_order_relaxed));
  return mine;
}

/* Bits 48 to 51 hold the version, 64 and 65 the variant of RFC 9562. */
static void set_version(au_uuid_t *uuid, uint8_t version) {
  uuid->byte[6] = (uint8_t)((uuid->byte[6] & 0x0F) | version << 4);
  uuid->byte[8] = (uint8_t)((uuid->byte[8] & 0x3F) | 0x80);
}

au_uuid_t au_uuid_v7(void) {
  au_uuid_t uuid;
  uint64_t tick = next_tick();
  for (unsigned i = 0; i < 6; i++)
    uuid.byte[i] = (uint8_t)(tick >> (52 - 8 * i));
  uuid.byte[6] = (uint8_t)(tick >> 8 & 0x0F);
  uuid.byte[7] = (uint8_t)tick;
  random_bytes(uuid.byte + 8, 8);
  set_version(&uuid, 7);
  return uuid;
}

au_uuid_t au_uuid_v4(void) {
  au_uuid_t uuid;
  random_bytes(uuid.byte, sizeof(uuid.byte));
  set_version(&uuid, 4);
  return uuid;
}

au_uuid_t au_uuid_v8(const uint8_t byte[16]) {
  au_uuid_t uuid;
  memcpy(uuid.byte, byte, sizeof(uuid.byte));
  set_version(&uuid, 8);
  return uuid;
}

/* The bytes of each of the five parts of the text. */
static const size_t part_size[] = {4, 2, 2, 2, 6};
#define PARTS (sizeof(part_size) / sizeof(part_size[0]))

void au_uuid_format(const au_uuid_t *uuid, char text[AU_UUID_TEXT_SIZE]) {
  const uint8_t *byte = uuid->byte;
  for (size_t i = 0; i < PARTS; i++) {
    text = au_hex_write(text, byte, part_size[i]);
    byte += part_size[i];
    *text++ = i + 1 < PARTS ? '-' : '\0';
  }
}

bool au_uuid_parse(const char *text, size_t size, au_uuid_t *out_uuid) {
  if (size != AU_UUID_TEXT_SIZE - 1)
    return false;
  au_uuid_t uuid;
  uint8_t *byte = uuid.byte;
  for (size_t i = 0; i < PARTS; i++) {
    if (!au_hex_read(text, byte, part_size[i]))
      return false;
    byte += part_size[i];
    text += 2 * part_size[i];
    if (i + 1 < PARTS && *text++ != '-')
      return false;
  }
  *out_uuid = uuid;
  return true;
}

bool au_uuid_is_nil(const au_uuid_t *uuid) {
  static const au_uuid_t nil;
  return memcmp(uuid, &nil, sizeof(nil)) == 0;
}

bool au_uuid_parse_id(const char *text, size_t size, au_uuid_t *out_uuid) {
  au_uuid_t uuid;
  bool is_uuid = size == 2 * sizeof(uuid.byte)
                     ? au_hex_read(text, uuid.byte, sizeof(uuid.byte))
                     : au_uuid_parse(text, size, &uuid);
  if (!is_uuid || au_uuid_is_nil(&uuid))
    return false;
  *out_uuid = uuid;
  return true;
}
