/* SPDX-License-Identifier: MIT
 *
 * check_budget - memory that many share: the bound, its parts, accounts that
 * move, and buffers and arrays that are charged.
 */
#include "base/array.h"
#include "base/block.h"
#include "base/budget.h"
#include "base/bytes.h"
#include "support/suite.h"

#include <pthread.h>
#include <stdlib.h>

#define KIB 1024

static au_budget_t all;
static au_budget_t part;

static void setup(void) {
  all = (au_budget_t){.max = 100 * KIB};
  part = (au_budget_t){.parent = &all, .max = 60 * KIB};
}

static void expect_held(uint64_t in_all, uint64_t in_part) {
  ck_assert_uint_eq(au_budget_held(&all), in_all);
  ck_assert_uint_eq(au_budget_held(&part), in_part);
}

CASE("budget", setup, NULL);

TEST(the_bound_is_exact) {
  au_account_t one = {.budget = &all};
  au_account_t other = {.budget = &all};
  ck_assert(au_account_charge(&one, 60 * KIB));
  ck_assert(!au_account_charge(&other, 40 * KIB + 1));
  ck_assert(au_account_charge(&other, 40 * KIB));
  ck_assert(!au_account_charge(&other, UINT64_MAX - 40 * KIB));
  expect_held(100 * KIB, 0);
  au_account_release(&one, 10 * KIB);
  ck_assert_uint_eq(one.held, 50 * KIB);
  ck_assert(au_account_charge(&other, 10 * KIB));
  au_account_clear(&one);
  au_account_clear(&other);
  expect_held(0, 0);
}

TEST(a_part_counts_in_the_whole_and_leaves_the_rest) {
  au_account_t large = {.budget = &part};
  au_account_t small = {.budget = &all};
  ck_assert(au_account_charge(&large, 60 * KIB));
  ck_assert(!au_account_charge(&large, 1));
  ck_assert(au_account_charge(&small, 40 * KIB));
  au_account_release(&large, 20 * KIB);
  ck_assert(au_account_charge(&small, 20 * KIB));
  /* The part has room, but the whole has not: nothing is charged. */
  ck_assert(!au_account_charge(&large, 1));
  expect_held(100 * KIB, 40 * KIB);
}

TEST(an_account_has_a_bound_of_its_own) {
  au_account_t account = {.budget = &all, .max = 10};
  ck_assert(au_account_charge(&account, 10));
  ck_assert(!au_account_charge(&account, 1));
  au_account_charge_anyway(&account, 5); /* to say so */
  expect_held(15, 0);
  au_account_clear(&account);
  expect_held(0, 0);
}

TEST(what_is_no_longer_small_moves) {
  au_account_t other = {.budget = &part};
  au_account_t account = {.budget = &all, .large = &part, .small_max = KIB};
  ck_assert(au_account_charge(&account, KIB));
  expect_held(KIB, 0);
  ck_assert(au_account_charge(&other, 59 * KIB));
  /* Among the large ones there is room for what it has, but for no more. */
  ck_assert(!au_account_charge(&account, KIB));
  expect_held(60 * KIB, 60 * KIB);
  au_account_release(&other, 9 * KIB);
  ck_assert(au_account_charge(&account, KIB));
  expect_held(52 * KIB, 52 * KIB);
  ck_assert(au_account_move(&account, NULL));
  expect_held(50 * KIB, 50 * KIB);
  ck_assert_uint_eq(account.held, 2 * KIB);
  ck_assert(au_account_move(&account, &all));
  expect_held(52 * KIB, 50 * KIB);
}

TEST(the_first_bytes_of_each_are_free) {
  au_account_t account = {.budget = &all, .free = KIB};
  ck_assert(au_account_charge(&account, KIB));
  expect_held(0, 0);
  ck_assert(au_account_charge(&account, 10));
  expect_held(10, 0);
  au_account_release(&account, 20);
  expect_held(0, 0);
  ck_assert(au_account_charge(&account, 30));
  expect_held(20, 0);
  ck_assert(au_account_move(&account, &part));
  expect_held(20, 20);
  au_account_clear(&account);
  expect_held(0, 0);
}

TEST(a_buffer_is_charged_as_it_grows) {
  au_account_t account = {.budget = &all};
  au_bytes_t bytes = {.account = &account};
  for (int i = 0; i < 1000; i++) {
    au_bytes_put(&bytes, "0123456789", 10);
    expect_held(bytes.capacity, 0);
  }
  au_bytes_clear(&bytes, SIZE_MAX);
  expect_held(bytes.capacity, 0);
  au_bytes_clear(&bytes, 0);
  expect_held(0, 0);
  ck_assert_ptr_eq(bytes.account, &account);
  au_bytes_put_u8(&bytes, 1);
  size_t capacity = 0;
  void *data = au_bytes_give_away(&bytes, &capacity);
  au_block_free(data, capacity); /* whoever frees it gives it back */
  expect_held(capacity, 0);
  au_bytes_fini(&bytes);
  expect_held(capacity, 0);
}

/* The last bytes of the budget can be used, though doubling would pass it. */
TEST(a_buffer_fails_where_the_budget_ends) {
  au_account_t account = {.budget = &all};
  au_bytes_t bytes = {.account = &account};
  ck_assert(au_bytes_reserve(&bytes, 90 * KIB));
  ck_assert_ptr_nonnull(au_bytes_extend(&bytes, 90 * KIB));
  ck_assert_ptr_nonnull(au_bytes_extend(&bytes, 10 * KIB));
  ck_assert_ptr_null(au_bytes_extend(&bytes, 1));
  ck_assert(bytes.failed);
  ck_assert_uint_eq(bytes.size, 100 * KIB);
  expect_held(100 * KIB, 0);
  au_bytes_fini(&bytes);
  expect_held(0, 0);
}

TEST(a_large_buffer_does_not_double) {
  au_account_t account = {.budget = NULL};
  au_bytes_t bytes = {.account = &account};
  for (int i = 0; i < 36 * KIB; i++)
    ck_assert_ptr_nonnull(au_bytes_extend(&bytes, KIB));
  ck_assert_uint_le(account.held, 46 * KIB * KIB);
  au_bytes_fini(&bytes);
  ck_assert_uint_eq(account.held, 0);
}

TEST(an_array_is_charged_as_it_grows) {
  au_account_t account = {.budget = &all};
  size_t capacity = 0;
  size_t count = 0;
  uint64_t *items = NULL;
  for (;; count++) {
    uint64_t *more = au_array_grow_charged(items, &capacity, count,
                                           sizeof(*items), &account);
    if (more == NULL)
      break;
    items = more;
    items[count] = count;
    expect_held(capacity * sizeof(*items), 0);
  }
  ck_assert_uint_eq(count, 8192); /* 64 KiB; twice that is too much */
  au_array_free_charged(items, capacity, sizeof(*items), &account);
  expect_held(0, 0);
}

static void *charge_and_release(void *cls) {
  (void)cls;
  au_account_t account = {.budget = &part, .large = NULL};
  for (int i = 0; i < 20000; i++) {
    if (!au_account_charge(&account, 9 * KIB))
      continue;
    ck_assert_uint_le(au_budget_held(&part), part.max);
    au_account_release(&account, 9 * KIB);
  }
  return NULL;
}

TEST(threads_together_hold_no_more) {
  pthread_t thread[8];
  for (int i = 0; i < 8; i++)
    ck_assert_int_eq(pthread_create(&thread[i], NULL, charge_and_release, NULL),
                     0);
  for (int i = 0; i < 8; i++)
    pthread_join(thread[i], NULL);
  expect_held(0, 0);
}

int main(void) { return run_tests("budget"); }
