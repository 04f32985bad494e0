/* SPDX-License-Identifier: MIT
 *
 * How many connections may be open, of all and of one address; and how long a
 * client that moves bytes is given. The clock is the test's.
 */
#include "base/clock.h"
#include "http/deadline.h"
#include "http/places.h"
#include "support/suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

static au_places_t *places;

static void open_places(unsigned max, unsigned max_per_address) {
  ck_assert_int_eq(au_places_create(max, max_per_address, &places), AU_OK);
}

static void close_places(void) {
  ck_assert_uint_eq(au_places_taken(places), 0);
  au_places_destroy(places);
}

static au_crowded_t reason;

static au_place_t take_v4(uint32_t address) {
  const struct sockaddr_in in = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(address)};
  return au_places_take(places, (const struct sockaddr *)&in, &reason);
}

static au_place_t take_v6(const char *text) {
  struct sockaddr_in6 in = {.sin6_family = AF_INET6};
  ck_assert_int_eq(inet_pton(AF_INET6, text, &in.sin6_addr), 1);
  return au_places_take(places, (const struct sockaddr *)&in, &reason);
}

static au_place_t take_unix(void) {
  const struct sockaddr_un un = {.sun_family = AF_UNIX};
  return au_places_take(places, (const struct sockaddr *)&un, &reason);
}

CASE("places", NULL, NULL);

TEST(an_address_has_a_limit) {
  open_places(100, 3);
  au_place_t place[4];
  for (int i = 0; i < 3; i++)
    ck_assert_uint_ne(place[i] = take_v4(1), AU_PLACE_NONE);
  ck_assert_uint_eq(take_v4(1), AU_PLACE_NONE);
  ck_assert_int_eq(reason, AU_CROWDED_ADDRESS);
  ck_assert_uint_ne(place[3] = take_v4(2), AU_PLACE_NONE);
  au_places_give(places, place[0]);
  ck_assert_uint_ne(place[0] = take_v4(1), AU_PLACE_NONE);
  ck_assert_uint_eq(au_places_taken(places), 4);
  for (int i = 0; i < 4; i++)
    au_places_give(places, place[i]);
  close_places();
}

TEST(of_ipv6_the_network_counts) {
  open_places(100, 2);
  au_place_t a = take_v6("2001:db8:1:2::1");
  au_place_t b = take_v6("2001:db8:1:2:ffff::2");
  ck_assert_uint_ne(a, AU_PLACE_NONE);
  ck_assert_uint_ne(b, AU_PLACE_NONE);
  ck_assert_uint_eq(take_v6("2001:db8:1:2::3"), AU_PLACE_NONE);
  ck_assert_int_eq(reason, AU_CROWDED_ADDRESS);
  au_place_t c = take_v6("2001:db8:1:3::1");
  ck_assert_uint_ne(c, AU_PLACE_NONE);
  au_places_give(places, a);
  au_places_give(places, b);
  au_places_give(places, c);
  close_places();
}

TEST(a_unix_socket_has_no_limit) {
  open_places(100, 1);
  au_place_t place[100];
  for (int i = 0; i < 100; i++)
    ck_assert_uint_ne(place[i] = take_unix(), AU_PLACE_NONE);
  ck_assert_uint_eq(take_unix(), AU_PLACE_NONE);
  ck_assert_int_eq(reason, AU_CROWDED_LIMIT);
  for (int i = 0; i < 100; i++)
    au_places_give(places, place[i]);
  close_places();
}

TEST(a_tenth_is_for_addresses_that_have_none) {
  open_places(100, 0);
  au_place_t place[100];
  for (int i = 0; i < 90; i++)
    ck_assert_uint_ne(place[i] = take_v4(1), AU_PLACE_NONE);
  ck_assert_uint_eq(take_v4(1), AU_PLACE_NONE);
  ck_assert_int_eq(reason, AU_CROWDED_LIMIT);
  for (unsigned i = 90; i < 100; i++) {
    ck_assert_uint_ne(place[i] = take_v4(i), AU_PLACE_NONE);
    ck_assert_uint_eq(take_v4(i), AU_PLACE_NONE);
  }
  ck_assert_uint_eq(take_v4(1000), AU_PLACE_NONE);
  ck_assert_int_eq(reason, AU_CROWDED_LIMIT);
  for (int i = 0; i < 100; i++)
    au_places_give(places, place[i]);
  close_places();
}

TEST(of_few_none_is_set_aside) {
  for (unsigned max = 1; max <= 10; max++) {
    au_place_t place[10];
    open_places(max, 0);
    for (unsigned i = 0; i < max; i++)
      ck_assert_uint_ne(place[i] = take_v4(1), AU_PLACE_NONE);
    ck_assert_uint_eq(take_v4(2), AU_PLACE_NONE);
    for (unsigned i = 0; i < max; i++)
      au_places_give(places, place[i]);
    close_places();
  }
}

#define ADDRESSES 300
#define MODEL_MAX 200
#define MODEL_PER_ADDRESS 3

/* Against a table of counts. */
TEST(it_agrees_with_a_model) {
  static unsigned count[ADDRESSES];
  static struct {
    au_place_t place;
    unsigned address;
  } open[MODEL_MAX];
  unsigned total = 0;
  unsigned seed = 42;
  open_places(MODEL_MAX, MODEL_PER_ADDRESS);
  for (int step = 0; step < 200000; step++) {
    unsigned address = (unsigned)rand_r(&seed) % ADDRESSES;
    if (rand_r(&seed) % 100 < 45 && total > 0) {
      unsigned i = (unsigned)rand_r(&seed) % total;
      au_places_give(places, open[i].place);
      count[open[i].address]--;
      open[i] = open[--total];
      continue;
    }
    unsigned most = count[address] > 0 ? MODEL_MAX - MODEL_MAX / 10 : MODEL_MAX;
    bool fits = count[address] < MODEL_PER_ADDRESS && total < most;
    au_place_t place = take_v4(address);
    ck_assert_int_eq(place != AU_PLACE_NONE, fits);
    if (!fits)
      continue;
    open[total].place = place;
    open[total++].address = address;
    count[address]++;
    ck_assert_uint_eq(au_places_taken(places), total);
  }
  while (total > 0)
    au_places_give(places, open[--total].place);
  close_places();
}

/* --- deadlines ----------------------------------------------------------- */

#define SECOND AU_NS_PER_S
#define TIMEOUT (10 * SECOND)
#define START (1000 * SECOND)

/* Moves bytes steadily until it is cut or an hour has passed; returns the
 * seconds. */
static int64_t seconds_at(double bytes_per_s, int64_t most_ns) {
  au_deadline_t deadline = {.due_ns = 0};
  double moved = 0;
  for (int64_t s = 0; s < 3600; s++) {
    if (s > 0)
      moved += bytes_per_s;
    int64_t now_ns = START + s * SECOND;
    if (now_ns < deadline.due_ns)
      continue;
    if (!au_deadline_extend(&deadline, now_ns, TIMEOUT, most_ns,
                            (uint64_t)moved))
      return s;
    moved -= (double)(uint64_t)moved;
  }
  return 3600;
}

CASE("deadline", NULL, NULL);

TEST(who_stands_still_is_cut) {
  ck_assert_int_eq(seconds_at(0, TIMEOUT), 10);
  ck_assert_int_eq(seconds_at(0, 3 * TIMEOUT), 10);
}

TEST(who_is_steady_is_not) {
  ck_assert_int_eq(seconds_at(100, TIMEOUT), 3600);
  ck_assert_int_eq(seconds_at(8192, TIMEOUT), 3600);
  ck_assert_int_eq(seconds_at(8192, 3 * TIMEOUT), 3600);
  ck_assert_int_eq(seconds_at(1e9, 3 * TIMEOUT), 3600);
}

TEST(an_absurd_pace_is_bounded) {
  ck_assert_int_eq(seconds_at(1.0 / 9, TIMEOUT), 10);
  ck_assert_int_eq(seconds_at(1, TIMEOUT), 70);
  ck_assert_int_eq(seconds_at(90, TIMEOUT), 70);
}

/* What its kernel has taken at once, a client may read in its time. */
TEST(a_reader_may_pause_after_much) {
  au_deadline_t deadline = {.due_ns = 0};
  ck_assert(au_deadline_extend(&deadline, START, TIMEOUT, 3 * TIMEOUT,
                               UINT64_C(1) << 40));
  ck_assert_int_eq(deadline.due_ns, START + 3 * TIMEOUT);
  ck_assert(
      !au_deadline_extend(&deadline, deadline.due_ns, TIMEOUT, 3 * TIMEOUT, 0));
  au_deadline_reset(&deadline);
  ck_assert(
      au_deadline_extend(&deadline, START, TIMEOUT, 3 * TIMEOUT, 15 * 2048));
  ck_assert_int_eq((deadline.due_ns - START) / SECOND, 15);
}

int main(void) { return run_tests("places"); }
