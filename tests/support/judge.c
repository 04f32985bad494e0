/* SPDX-License-Identifier: MIT */
#include "support/judge.h"

bool judge(au_blame_t *blame, au_batch_t *batch, au_lane_t *lane,
           au_database_t *database, const au_claim_t *claim,
           au_database_error_t *error, unsigned *out_asked) {
  au_blame_step_t step = au_blame_refused(blame, batch, database, error);
  unsigned asked = 0;
  for (; step == AU_BLAME_ASK; asked++)
    if (au_blame_ask(blame, batch, lane, database, claim, &step, error) !=
        AU_OK)
      return false;
  if (out_asked != NULL)
    *out_asked += asked;
  return step == AU_BLAME_STORE;
}
