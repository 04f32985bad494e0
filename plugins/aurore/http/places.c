/* SPDX-License-Identifier: MIT
 * Part of http/; calls metrics/, base/.
 *
 * places - see places.h.
 */
#include "http/places.h"

#include "base/clock.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ADDRESS_SIZE 16
/* With fewer connections than this nothing is set aside. */
#define RESERVE_FROM 11
#define RESERVE_PART 10

/* The one entry of all clients of Unix sockets. */
#define UNIX_ENTRY 1

/* An address that has connections. Entries are numbered from 1; 0: none. */
typedef struct entry {
  uint8_t address[ADDRESS_SIZE];
  unsigned connections;
  unsigned next; /* of its bucket, or of the free ones */
} entry_t;

struct au_places {
  unsigned max;
  unsigned max_per_address;
  unsigned reserved; /* of "max", for addresses that have no connection */
  uint64_t seed;
  pthread_mutex_t lock; /* protects: all below */
  unsigned taken;
  unsigned free;
  unsigned buckets;  /* a power of two */
  unsigned *bucket;  /* the first entry of each */
  entry_t entries[]; /* "max" + 2 of them, the first of which is not used */
};

au_status_t au_places_create(unsigned max, unsigned max_per_address,
                             au_places_t **out_places) {
  unsigned buckets = 1;
  while (buckets < max)
    buckets *= 2;
  unsigned count = max + 2;
  au_places_t *places =
      calloc(1, sizeof(*places) + count * sizeof(places->entries[0]));
  unsigned *bucket = calloc(buckets, sizeof(*bucket));
  if (places == NULL || bucket == NULL) {
    free(places);
    free(bucket);
    return AU_NOMEM;
  }
  places->max = max;
  places->max_per_address = max_per_address;
  places->reserved = max < RESERVE_FROM ? 0 : max / RESERVE_PART;
  if (getrandom(&places->seed, sizeof(places->seed), 0) !=
      (ssize_t)sizeof(places->seed))
    places->seed = (uint64_t)au_clock_monotonic_ns();
  pthread_mutex_init(&places->lock, NULL);
  places->buckets = buckets;
  places->bucket = bucket;
  for (unsigned i = UNIX_ENTRY + 1; i < count; i++)
    places->entries[i].next = i + 1 < count ? i + 1 : 0;
  places->free = UNIX_ENTRY + 1;
  *out_places = places;
  return AU_OK;
}

void au_places_destroy(au_places_t *places) {
  if (places == NULL)
    return;
  pthread_mutex_destroy(&places->lock);
  free(places->bucket);
  free(places);
}

/* false: a Unix socket. Of an IPv6 address the network alone: a client has all
 * of its /64. */
static bool read_address(const struct sockaddr *address,
                         uint8_t key[ADDRESS_SIZE]) {
  memset(key, 0, ADDRESS_SIZE);
  const char *bytes = (const char *)address;
  if (address->sa_family == AF_INET) {
    memcpy(key + 8, bytes + offsetof(struct sockaddr_in, sin_addr), 4);
    key[ADDRESS_SIZE - 1] = 4; /* as no /64 ends */
    return true;
  }
  if (address->sa_family == AF_INET6)
    memcpy(key, bytes + offsetof(struct sockaddr_in6, sin6_addr), 8);
  return address->sa_family == AF_INET6;
}

static unsigned *bucket_of(au_places_t *places,
                           const uint8_t key[ADDRESS_SIZE]) {
  uint64_t hash = places->seed;
  for (size_t i = 0; i < ADDRESS_SIZE; i++)
    hash = (hash ^ key[i]) * UINT64_C(1099511628211); /* as FNV-1a */
  return &places->bucket[(hash >> 32) & (places->buckets - 1)];
}

static unsigned find(const au_places_t *places, unsigned first,
                     const uint8_t key[ADDRESS_SIZE]) {
  unsigned i = first;
  while (i != 0 && memcmp(places->entries[i].address, key, ADDRESS_SIZE) != 0)
    i = places->entries[i].next;
  return i;
}

/* Whether one more of an address with so many may come. */
static bool may_take(const au_places_t *places, unsigned connections,
                     au_crowded_t *out_reason) {
  *out_reason = AU_CROWDED_ADDRESS;
  if (places->max_per_address > 0 && connections >= places->max_per_address)
    return false;
  *out_reason = AU_CROWDED_LIMIT;
  return places->taken < places->max - (connections > 0 ? places->reserved : 0);
}

/* For an address that has none; there is an entry for each of "max". */
static unsigned add_entry(au_places_t *places, unsigned *first,
                          const uint8_t key[ADDRESS_SIZE]) {
  unsigned place = places->free;
  entry_t *entry = &places->entries[place];
  places->free = entry->next;
  memcpy(entry->address, key, ADDRESS_SIZE);
  entry->next = *first;
  *first = place;
  return place;
}

static au_place_t take_locked(au_places_t *places,
                              const struct sockaddr *address,
                              au_crowded_t *out_reason) {
  uint8_t key[ADDRESS_SIZE];
  unsigned *first = NULL;
  unsigned place = UNIX_ENTRY;
  unsigned connections = 0;
  if (read_address(address, key)) {
    first = bucket_of(places, key);
    place = find(places, *first, key);
    connections = place != 0 ? places->entries[place].connections : 0;
  }
  if (!may_take(places, connections, out_reason))
    return AU_PLACE_NONE;
  if (place == 0)
    place = add_entry(places, first, key);
  places->entries[place].connections++;
  places->taken++;
  return place;
}

au_place_t au_places_take(au_places_t *places, const struct sockaddr *address,
                          au_crowded_t *out_reason) {
  pthread_mutex_lock(&places->lock);
  au_place_t place = take_locked(places, address, out_reason);
  pthread_mutex_unlock(&places->lock);
  return place;
}

static void remove_entry(au_places_t *places, unsigned place) {
  entry_t *entry = &places->entries[place];
  unsigned *link = bucket_of(places, entry->address);
  while (*link != place)
    link = &places->entries[*link].next;
  *link = entry->next;
  entry->next = places->free;
  places->free = place;
}

void au_places_give(au_places_t *places, au_place_t place) {
  if (place == AU_PLACE_NONE)
    return;
  pthread_mutex_lock(&places->lock);
  places->taken--;
  if (--places->entries[place].connections == 0 && place != UNIX_ENTRY)
    remove_entry(places, place);
  pthread_mutex_unlock(&places->lock);
}

unsigned au_places_taken(au_places_t *places) {
  pthread_mutex_lock(&places->lock);
  unsigned taken = places->taken;
  pthread_mutex_unlock(&places->lock);
  return taken;
}
