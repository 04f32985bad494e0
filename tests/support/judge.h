/* SPDX-License-Identifier: MIT
 *
 * judge - whose fault a refused batch is, found out as the writer does it.
 */
#ifndef AURORE_TESTS_SUPPORT_JUDGE_H
#define AURORE_TESTS_SUPPORT_JUDGE_H

#include "store/blame.h"

/* After au_batch_store was refused with "error": true when there is another
 * range to store now, false when it is taken for the schema's fault (or a
 * witness could not be asked, as "error" says). "out_asked" (may be NULL): the
 * witnesses. */
bool judge(au_blame_t *blame, au_batch_t *batch, au_lane_t *lane,
           au_database_t *database, const au_claim_t *claim,
           au_database_error_t *error, unsigned *out_asked);

#endif
