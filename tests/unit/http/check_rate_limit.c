/* SPDX-License-Identifier: MIT
 *
 * Token buckets: how much passes at once and in time, for all and for one
 * address, and that the table of addresses is bounded. The clock is the test's.
 */
#include "base/clock.h"
#include "http/rate_limit.h"
#include "support/suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SECOND AU_NS_PER_S
#define START (1000 * SECOND)

static au_rate_limit_t *limit_of(double all, double address) {
  au_rate_limit_t *limit = NULL;
  ck_assert_int_eq(au_rate_limit_create(all, address, &limit), AU_OK);
  return limit;
}

static unsigned take(au_rate_limit_t *limit, uint32_t address, uint64_t events,
                     int64_t now_ns) {
  return au_rate_limit_take(limit, &address, sizeof(address), events, now_ns);
}

CASE("rate_limit", NULL, NULL);

TEST(a_second_s_worth_passes_at_once) {
  au_rate_limit_t *limit = limit_of(10, 0);
  for (int i = 0; i < 10; i++)
    ck_assert_uint_eq(take(limit, 1, 1, START), 0);
  ck_assert_uint_eq(take(limit, 1, 1, START), 1);
  au_rate_limit_destroy(limit);
}

TEST(it_fills_evenly_and_no_further_than_full) {
  au_rate_limit_t *limit = limit_of(10, 0);
  ck_assert_uint_eq(take(limit, 1, 10, START), 0);
  ck_assert_uint_ge(take(limit, 1, 1, START + SECOND / 20), 1);
  ck_assert_uint_eq(take(limit, 1, 1, START + SECOND / 10 + 1000), 0);
  int64_t later = START + 100 * SECOND;
  ck_assert_uint_eq(take(limit, 1, 10, later), 0);
  ck_assert_uint_ge(take(limit, 1, 1, later), 1);
  au_rate_limit_destroy(limit);
}

TEST(over_a_minute_the_rate_is_kept) {
  au_rate_limit_t *limit = limit_of(50, 0);
  unsigned passed = 0;
  for (int ms = 0; ms < 60000; ms++)
    passed += take(limit, 1, 1, START + ms * AU_NS_PER_MS) == 0;
  ck_assert_uint_ge(passed, 60 * 50);
  ck_assert_uint_le(passed, 61 * 50 + 1);
  au_rate_limit_destroy(limit);
}

TEST(a_request_larger_than_the_bucket_leaves_a_debt) {
  au_rate_limit_t *limit = limit_of(10, 0);
  ck_assert_uint_eq(take(limit, 1, 100, START), 0);
  unsigned wait_s = take(limit, 1, 1, START);
  ck_assert_uint_ge(wait_s, 9);
  ck_assert_uint_le(wait_s, 10);
  ck_assert_uint_ge(take(limit, 1, 1, START + 8 * SECOND), 1);
  ck_assert_uint_eq(take(limit, 1, 1, START + 10 * SECOND), 0);
  au_rate_limit_destroy(limit);
}

TEST(a_look_takes_nothing) {
  au_rate_limit_t *limit = limit_of(10, 2);
  const uint8_t address[4] = {192, 0, 2, 1};
  for (int i = 0; i < 100; i++)
    ck_assert_uint_eq(au_rate_limit_check(limit, address, 4, START), 0);
  ck_assert_uint_eq(au_rate_limit_take(limit, address, 4, 2, START), 0);
  ck_assert_uint_eq(au_rate_limit_check(limit, address, 4, START), 1);
  ck_assert_uint_eq(au_rate_limit_check(limit, address, 4, START + SECOND), 0);
  const uint8_t other[4] = {192, 0, 2, 2};
  ck_assert_uint_eq(au_rate_limit_check(limit, other, 4, START), 0);
  au_rate_limit_destroy(limit);
}

TEST(what_it_says_to_wait_is_enough) {
  au_rate_limit_t *limit = limit_of(3, 0);
  ck_assert_uint_eq(take(limit, 1, 7, START), 0);
  for (uint64_t events = 1; events < 5; events++) {
    unsigned wait_s = take(limit, 1, events, START);
    ck_assert_uint_ge(wait_s, 1);
    au_rate_limit_t *copy = limit_of(3, 0);
    ck_assert_uint_eq(take(copy, 1, 7, START), 0);
    ck_assert_uint_eq(take(copy, 1, events, START + (int64_t)wait_s * SECOND),
                      0);
    au_rate_limit_destroy(copy);
  }
  au_rate_limit_destroy(limit);
}

TEST(a_rate_below_one_lets_one_pass) {
  au_rate_limit_t *limit = limit_of(0.1, 0);
  ck_assert_uint_eq(take(limit, 1, 1, START), 0);
  unsigned wait_s = take(limit, 1, 1, START);
  ck_assert_uint_ge(wait_s, 10);
  ck_assert_uint_le(wait_s, 11);
  ck_assert_uint_eq(take(limit, 1, 1, START + 11 * SECOND), 0);
  au_rate_limit_destroy(limit);
}

TEST(an_address_does_not_eat_another_s) {
  au_rate_limit_t *limit = limit_of(0, 5);
  ck_assert_uint_eq(take(limit, 1, 5, START), 0);
  ck_assert_uint_eq(take(limit, 1, 1, START), 1);
  ck_assert_uint_eq(take(limit, 2, 5, START), 0);
  ck_assert_uint_eq(take(limit, 1, 1, START + SECOND), 0);
  au_rate_limit_destroy(limit);
}

TEST(both_limits_hold_and_a_refusal_costs_nothing) {
  au_rate_limit_t *limit = limit_of(10, 6);
  ck_assert_uint_eq(take(limit, 1, 6, START), 0);
  /* its own is spent; the common one keeps its 4 */
  ck_assert_uint_ge(take(limit, 1, 4, START), 1);
  ck_assert_uint_eq(take(limit, 2, 4, START), 0);
  /* the common one is spent; its own keeps its 2 */
  ck_assert_uint_ge(take(limit, 2, 1, START), 1);
  ck_assert_uint_ge(take(limit, 3, 1, START), 1);
  au_rate_limit_destroy(limit);
}

/* What is refused for want of a token is the address's affair alone. */
TEST(an_address_pays_for_itself) {
  au_rate_limit_t *limit = limit_of(3, 2);
  const uint32_t stranger = 1;
  for (int i = 0; i < 2; i++)
    ck_assert_uint_eq(
        au_rate_limit_take_address(limit, &stranger, sizeof(stranger), START),
        0);
  ck_assert_uint_eq(
      au_rate_limit_take_address(limit, &stranger, sizeof(stranger), START), 1);
  ck_assert_uint_eq(take(limit, 1, 1, START), 1);
  ck_assert_uint_eq(take(limit, 2, 2, START), 0);
  ck_assert_uint_eq(take(limit, 3, 1, START), 0);
  ck_assert_uint_eq(take(limit, 4, 1, START), 1); /* now all is spent */
  au_rate_limit_destroy(limit);
  limit = limit_of(1, 0);
  for (int i = 0; i < 9; i++)
    ck_assert_uint_eq(
        au_rate_limit_take_address(limit, &stranger, sizeof(stranger), START),
        0);
  au_rate_limit_destroy(limit);
}

TEST(a_unix_socket_is_one_address) {
  au_rate_limit_t *limit = limit_of(0, 1);
  ck_assert_uint_eq(au_rate_limit_take(limit, "", 0, 1, START), 0);
  ck_assert_uint_ge(au_rate_limit_take(limit, "", 0, 1, START), 1);
  ck_assert_uint_eq(take(limit, 0, 1, START), 0); /* 0.0.0.0 is not it */
  au_rate_limit_destroy(limit);
}

/* A host has a whole /64 of IPv6 addresses to itself. */
TEST(a_network_of_version_6_is_one_client) {
  au_rate_limit_t *limit = limit_of(0, 1);
  uint8_t address[16] = {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 1, 1};
  ck_assert_uint_eq(au_rate_limit_take(limit, address, 16, 1, START), 0);
  address[15] = 9;
  ck_assert_uint_ge(au_rate_limit_take(limit, address, 16, 1, START), 1);
  address[7] = 2;
  ck_assert_uint_eq(au_rate_limit_take(limit, address, 16, 1, START), 0);
  au_rate_limit_destroy(limit);
}

/* More addresses than the table has places: nobody is refused for it, and one
 * that keeps asking does not lose its place. */
TEST(many_addresses_are_bounded) {
  au_rate_limit_t *limit = limit_of(0, 1);
  int64_t now_ns = START;
  ck_assert_uint_eq(take(limit, 0, 1, now_ns), 0);
  for (uint32_t address = 1; address < 200000; address++) {
    now_ns += 1000;
    ck_assert_uint_eq(take(limit, address, 1, now_ns), 0);
    if (address % 100 == 0)
      ck_assert_uint_eq(take(limit, 0, 1, now_ns), 1);
  }
  au_rate_limit_destroy(limit);
}

static _Atomic uint64_t passed;

static void *take_many(void *argument) {
  for (int i = 0; i < 10000; i++)
    if (take(argument, 1, 1, START) == 0)
      atomic_fetch_add(&passed, 1);
  return NULL;
}

TEST(threads_together_take_no_more) {
  au_rate_limit_t *limit = limit_of(5000, 0);
  pthread_t thread[4];
  passed = 0;
  for (int i = 0; i < 4; i++)
    ck_assert_int_eq(pthread_create(&thread[i], NULL, take_many, limit), 0);
  for (int i = 0; i < 4; i++)
    pthread_join(thread[i], NULL);
  ck_assert_uint_eq(passed, 5000);
  au_rate_limit_destroy(limit);
}

int main(void) { return run_tests("rate_limit"); }
