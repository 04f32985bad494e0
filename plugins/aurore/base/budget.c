/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * budget - see base/budget.h.
 */
#include "base/budget.h"

/* From "budget" up to, but not with, "end". */
static void give_back(au_budget_t *budget, const au_budget_t *end,
                      uint64_t bytes) {
  for (; budget != end; budget = budget->parent)
    atomic_fetch_sub_explicit(&budget->held, bytes, memory_order_relaxed);
}

/* Never shows more than the bound, so that two who ask at a time for what only
 * one can have do not both go without. */
static bool take_one(au_budget_t *budget, uint64_t bytes) {
  uint64_t before = atomic_load_explicit(&budget->held, memory_order_relaxed);
  do {
    if (bytes > budget->max || before > budget->max - bytes)
      return false;
  } while (!atomic_compare_exchange_weak_explicit(
      &budget->held, &before, before + bytes, memory_order_relaxed,
      memory_order_relaxed));
  if (before + bytes >
      atomic_load_explicit(&budget->highest, memory_order_relaxed))
    atomic_store_explicit(&budget->highest, before + bytes,
                          memory_order_relaxed);
  return true;
}

/* What the budget is asked for. */
static uint64_t charged(const au_account_t *account, uint64_t held) {
  return held > account->free ? held - account->free : 0;
}

static bool take(au_budget_t *budget, uint64_t bytes) {
  for (au_budget_t *b = budget; b != NULL; b = b->parent)
    if (!take_one(b, bytes)) {
      give_back(budget, b, bytes);
      return false;
    }
  return true;
}

bool au_account_move(au_account_t *account, au_budget_t *budget) {
  if (account->budget == budget)
    return true;
  /* First back, then taken: otherwise a bound that both have in common would
   * count it twice. */
  uint64_t bytes = charged(account, account->held);
  if (bytes > 0)
    give_back(account->budget, NULL, bytes);
  if (bytes == 0 || take(budget, bytes)) {
    account->budget = budget;
    return true;
  }
  for (au_budget_t *b = account->budget; b != NULL; b = b->parent)
    atomic_fetch_add_explicit(&b->held, bytes, memory_order_relaxed);
  return false;
}

bool au_account_charge(au_account_t *account, uint64_t bytes) {
  uint64_t held = account->held + bytes;
  if (account->max > 0 && held > account->max)
    return false;
  if (account->large != NULL && held > account->small_max &&
      !au_account_move(account, account->large))
    return false;
  uint64_t more = charged(account, held) - charged(account, account->held);
  if (more > 0 && !take(account->budget, more))
    return false;
  account->held = held;
  return true;
}

void au_account_charge_anyway(au_account_t *account, uint64_t bytes) {
  uint64_t held = account->held + bytes;
  uint64_t more = charged(account, held) - charged(account, account->held);
  for (au_budget_t *b = account->budget; b != NULL && more > 0; b = b->parent)
    atomic_fetch_add_explicit(&b->held, more, memory_order_relaxed);
  account->held = held;
}

void au_account_release(au_account_t *account, uint64_t bytes) {
  uint64_t held = account->held - bytes;
  uint64_t less = charged(account, account->held) - charged(account, held);
  if (less > 0)
    give_back(account->budget, NULL, less);
  account->held = held;
}

void au_account_clear(au_account_t *account) {
  if (account->held > 0)
    au_account_release(account, account->held);
}

uint64_t au_budget_take_highest(au_budget_t *budget) {
  return atomic_exchange_explicit(&budget->highest, au_budget_held(budget),
                                  memory_order_relaxed);
}

uint64_t au_budget_held(const au_budget_t *budget) {
  return atomic_load_explicit(&budget->held, memory_order_relaxed);
}
