/* SPDX-License-Identifier: MIT
 *
 * check_letter_claim - a dead letter is in the hands of one request at a time.
 */
#include "api/letter_claim.h"

#include "support/suite.h"

#include <pthread.h>
#include <stdatomic.h>

static au_uuid_t id_of(unsigned number) {
  au_uuid_t id = {{0}};
  id.byte[0] = (uint8_t)(number >> 8);
  id.byte[1] = (uint8_t)number;
  return id;
}

CASE("letter_claim", NULL, NULL);

TEST(one_has_it_until_it_is_given_back) {
  au_uuid_t room[2][2];
  au_letter_claim_t one = {.id = room[0], .capacity = 2};
  au_letter_claim_t other = {.id = room[1], .capacity = 2};
  const au_uuid_t a = id_of(1);
  const au_uuid_t b = id_of(2);
  const au_uuid_t c = id_of(3);
  ck_assert(au_letter_claim_add(&one, &a));
  ck_assert(!au_letter_claim_add(&one, &a));
  ck_assert(!au_letter_claim_add(&other, &a));
  ck_assert(au_letter_claim_add(&other, &b));
  ck_assert(!au_letter_claim_add(&one, &b));
  ck_assert(au_letter_claim_add(&one, &c));
  /* It is full. */
  const au_uuid_t d = id_of(4);
  ck_assert(!au_letter_claim_add(&one, &d));
  ck_assert_uint_eq(one.count, 2);
  au_letter_claim_clear(&one);
  ck_assert(au_letter_claim_add(&other, &a));
  ck_assert(au_letter_claim_add(&one, &c));
  ck_assert(!au_letter_claim_add(&one, &b));
  au_letter_claim_clear(&one);
  au_letter_claim_clear(&other);
  au_letter_claim_clear(&other);
}

/* Many threads that want the same ones: never two have one. */
#define THREADS 4
#define LETTERS 8
static _Atomic int holders[LETTERS];

static void *compete(void *context) {
  (void)context;
  au_uuid_t room[LETTERS];
  for (unsigned turn = 0; turn < 5000; turn++) {
    au_letter_claim_t claim = {.id = room, .capacity = LETTERS};
    unsigned had[LETTERS];
    size_t count = 0;
    for (unsigned i = turn % 3; i < LETTERS; i++) {
      const au_uuid_t id = id_of(i);
      if (au_letter_claim_add(&claim, &id)) {
        had[count++] = i;
        if (atomic_fetch_add(&holders[i], 1) != 0)
          return &holders;
      }
    }
    for (size_t i = 0; i < count; i++)
      atomic_fetch_sub(&holders[had[i]], 1);
    au_letter_claim_clear(&claim);
  }
  return NULL;
}

TEST(never_two_have_one) {
  pthread_t thread[THREADS];
  for (int i = 0; i < THREADS; i++)
    ck_assert_int_eq(pthread_create(&thread[i], NULL, compete, NULL), 0);
  for (int i = 0; i < THREADS; i++) {
    void *result = NULL;
    ck_assert_int_eq(pthread_join(thread[i], &result), 0);
    ck_assert_ptr_null(result);
  }
}

int main(void) { return run_tests("letter_claim"); }
