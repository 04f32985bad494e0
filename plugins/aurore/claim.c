/* SPDX-License-Identifier: MIT
 *
 * claim - see claim.h. What the functions in the database do is said in
 * schema/003_lane.sql.
 */
#include "claim.h"

#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put_claim(au_bytes_t *sql, const au_claim_t *claim,
                      au_lane_t *lane) {
  au_spool_t *spool = au_lane_spool(lane);
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(&claim->spool_id, text);
  au_bytes_printf(sql,
                  "SELECT next_seq, epoch FROM aurore.claim('%s',%u::smallint,"
                  "ARRAY[",
                  text, claim->lane);
  au_uuid_t owner[AU_OWNERS_MAX];
  uint32_t owners = au_spool_owners(spool, owner);
  for (uint32_t i = 0; i < owners; i++) {
    au_uuid_format(&owner[i], text);
    au_bytes_printf(sql, "%s'%s'", i > 0 ? "," : "", text);
  }
  char host[256] = "";
  if (gethostname(host, sizeof(host) - 1) != 0)
    host[0] = '\0';
  au_bytes_printf(sql, "]::uuid[],%" PRIu64 ",", au_spool_begin(spool).seq);
  au_database_put_literal(sql, host, strlen(host));
  au_bytes_put_u8(sql, ')');
}

static au_status_t run(au_database_t *database, au_bytes_t *sql,
                       au_result_t *result, au_database_error_t *error) {
  const char *text = au_bytes_text(sql);
  if (text != NULL)
    return au_database_exec(database, text, result, error);
  *error = (au_database_error_t){.fault = AU_FAULT_DATABASE};
  snprintf(error->message, sizeof(error->message), "out of memory");
  return AU_NOMEM;
}

/* Puts the lane's place to where the spool is. */
static au_status_t move_place(au_claim_t *claim, au_database_t *database,
                              uint64_t next_seq, au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(&claim->spool_id, text);
  au_bytes_printf(&sql,
                  "SELECT aurore.advance('%s',%u::smallint,%" PRIu32 ",%" PRIu64
                  ",%" PRIu64 ")",
                  text, claim->lane, claim->epoch, claim->next_seq, next_seq);
  au_status_t status = run(database, &sql, NULL, error);
  au_bytes_fini(&sql);
  if (status == AU_OK)
    claim->next_seq = next_seq;
  return status;
}

static au_status_t compare(au_claim_t *claim, au_database_t *database,
                           au_lane_t *lane, au_database_error_t *error) {
  au_spool_t *spool = au_lane_spool(lane);
  uint64_t begin = au_spool_begin(spool).seq;
  uint64_t end = au_spool_durable_seq(spool);
  if (claim->next_seq < begin) {
    au_log(AU_LOG_ERROR,
           "the database has lost %" PRIu64
           " events of lane %u that it had confirmed (restored, or a standby "
           "promoted that had not received them?)",
           begin - claim->next_seq, claim->lane);
    return move_place(claim, database, begin, error);
  }
  if (claim->next_seq <= end)
    return AU_OK;
  if (au_spool_may_fall_back(spool)) {
    au_log(AU_LOG_WARNING,
           "lane %u of the spool has lost its last %" PRIu64
           " events, which the database has; going on",
           claim->lane, claim->next_seq - end);
    return move_place(claim, database, end, error);
  }
  *error = (au_database_error_t){.fault = AU_FAULT_FENCED};
  snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", AU_SQLSTATE_FENCED);
  snprintf(error->message, sizeof(error->message),
           "the database has stored %" PRIu64
           " events that this spool does not know: it was restored from a "
           "backup",
           claim->next_seq - end);
  return AU_FENCED;
}

au_status_t au_claim_make(au_claim_t *claim, au_database_t *database,
                          au_lane_t *lane, au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_result_t result = {.pg = NULL};
  put_claim(&sql, claim, lane);
  au_status_t status = run(database, &sql, &result, error);
  au_bytes_fini(&sql);
  if (status != AU_OK)
    return status;
  const char *next_seq =
      au_result_rows(&result) == 1 ? au_result_text(&result, 0, 0) : NULL;
  const char *epoch = next_seq != NULL ? au_result_text(&result, 0, 1) : NULL;
  if (epoch == NULL) {
    au_result_fini(&result);
    *error = (au_database_error_t){.fault = AU_FAULT_DATABASE};
    snprintf(error->message, sizeof(error->message),
             "the function aurore.claim answers something else");
    return AU_INVALID;
  }
  claim->next_seq = strtoull(next_seq, NULL, 10);
  claim->epoch = (uint32_t)strtoul(epoch, NULL, 10);
  au_result_fini(&result);
  status = compare(claim, database, lane, error);
  if (status == AU_OK)
    au_spool_confirm_owner(au_lane_spool(lane));
  return status;
}
