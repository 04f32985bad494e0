/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * budget - memory that many share, with a bound that holds at every moment. A
 * buffer that is charged to an account (base/bytes.h, base/array.h) asks before
 * it grows; what is refused looks like a failed allocation to whoever fills it.
 *
 *   budget    a bound; one that is part of another counts there, too, so a part
 *             can be kept for one purpose or held down for another
 *   account   what one user of it holds
 *
 * Threads: a budget any; an account one at a time, handed over with a lock or
 * an atomic between.
 */
#ifndef AURORE_BASE_BUDGET_H
#define AURORE_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct au_budget {
  struct au_budget *parent; /* NULL: none */
  uint64_t max;             /* bytes */
  _Atomic uint64_t held;    /* by all accounts of it and of its parts */
  _Atomic uint64_t highest; /* of "held" since au_budget_take_highest */
} au_budget_t;

/* All zero: it counts, and is bounded by nothing. */
typedef struct au_account {
  au_budget_t *budget; /* NULL: none */
  /* Where an account that holds more than "small_max" moves to; NULL: it stays.
   */
  au_budget_t *large;
  uint64_t small_max;
  uint64_t max; /* of this account; 0: what the budget allows */
  /* So many bytes of it the budget is not asked for, so that small users, of
   * whom there are many, share no counter. */
  uint64_t free;
  uint64_t held; /* bytes */
} au_account_t;

/* Charges "bytes" more; false: nothing was charged, they are too many. */
bool au_account_charge(au_account_t *account, uint64_t bytes);

/* The same, but is never refused: for memory that is needed to say so. */
void au_account_charge_anyway(au_account_t *account, uint64_t bytes);

/* Gives back "bytes" of what was charged. */
void au_account_release(au_account_t *account, uint64_t bytes);
/* Gives back all of it. */
void au_account_clear(au_account_t *account);

/* Charges what it holds to another budget. false: there is no room for it, and
 * it stays. */
bool au_account_move(au_account_t *account, au_budget_t *budget);

/* The most that has been held since the last call of this, or since the start;
 * what comes at that very moment may be missed. */
uint64_t au_budget_take_highest(au_budget_t *budget);

/* Bytes that are held. */
uint64_t au_budget_held(const au_budget_t *budget);

#endif
