/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * What the functions in the database do is said in schema/003_lane.sql.
 */
#include "store/claim.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void put_claim(au_bytes_t *sql, const au_claim_t *claim,
                      au_spool_t *spool) {
  au_bytes_put_string(sql, "SELECT next_seq, epoch, found_seq FROM "
                           "aurore.claim(");
  au_database_put_uuid(sql, &claim->spool_id);
  au_bytes_printf(sql, ",%u::smallint,ARRAY[", claim->lane);
  au_uuid_t owner[AU_OWNERS_MAX];
  uint64_t end_seq[AU_OWNERS_MAX];
  uint32_t owners = au_spool_owners(spool, owner, end_seq);
  for (uint32_t i = 0; i < owners; i++) {
    au_bytes_put_string(sql, i > 0 ? "," : "");
    au_database_put_uuid(sql, &owner[i]);
  }
  au_bytes_put_string(sql, "]::uuid[],ARRAY[");
  for (uint32_t i = 0; i < owners; i++)
    au_bytes_printf(sql, "%s%" PRIu64, i > 0 ? "," : "", end_seq[i]);
  char host[256] = "";
  if (gethostname(host, sizeof(host) - 1) != 0)
    host[0] = '\0';
  au_bytes_printf(sql, "]::bigint[],%" PRIu64 ",%s,", au_spool_begin(spool).seq,
                  au_spool_may_fall_back(spool) ? "true" : "false");
  au_database_put_literal(sql, host, strlen(host));
  au_bytes_put_u8(sql, ')');
}

static au_status_t ask(au_claim_t *claim, au_database_t *database,
                       au_spool_t *spool, au_result_t *result,
                       au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  put_claim(&sql, claim, spool);
  const char *text = au_database_text(&sql, error);
  au_status_t status =
      text == NULL ? AU_NOMEM : au_database_exec(database, text, result, error);
  au_bytes_fini(&sql);
  return status;
}

/* The database and the spool did not agree about what is stored. */
static void log_difference(const au_claim_t *claim, uint64_t found_seq) {
  if (found_seq < claim->next_seq)
    au_log(AU_LOG_ERROR,
           "the database has lost %" PRIu64
           " events of lane %u that it had confirmed (restored, or a standby "
           "promoted that had not received them?)",
           claim->next_seq - found_seq, claim->lane);
  else if (found_seq > claim->next_seq)
    au_log(AU_LOG_WARNING,
           "lane %u of the spool has lost its last %" PRIu64
           " events, which the database has; going on",
           claim->lane, found_seq - claim->next_seq);
}

/* A bigint as the server writes one that is not negative. false: it is none. */
static bool read_number(const char *text, uint64_t max, uint64_t *out_number) {
  uint64_t number = 0;
  if (text == NULL || *text == '\0')
    return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9' || number > max / 10)
      return false;
    number = number * 10 + (uint64_t)(*text - '0');
  }
  *out_number = number;
  return number <= max;
}

/* "out_claim" is filled in when all of the one row can be read. */
static bool read_answer(const au_result_t *result, au_claim_t *out_claim,
                        uint64_t *out_found_seq) {
  uint64_t next_seq = 0;
  uint64_t epoch = 0;
  if (au_result_rows(result) != 1 ||
      !read_number(au_result_text(result, 0, 0), INT64_MAX, &next_seq) ||
      !read_number(au_result_text(result, 0, 1), UINT32_MAX, &epoch) ||
      !read_number(au_result_text(result, 0, 2), INT64_MAX, out_found_seq))
    return false;
  out_claim->next_seq = next_seq;
  out_claim->epoch = (uint32_t)epoch;
  return true;
}

au_status_t au_claim_make(au_claim_t *claim, au_database_t *database,
                          au_lane_t *lane, au_database_error_t *error) {
  au_spool_t *spool = au_lane_spool(lane);
  au_result_t result = {.pg = NULL};
  au_status_t status = ask(claim, database, spool, &result, error);
  if (status != AU_OK)
    return status;
  uint64_t found_seq = 0;
  if (!read_answer(&result, claim, &found_seq)) {
    au_result_fini(&result);
    au_database_error_set(error, "unexpected result of aurore.claim()");
    return AU_INVALID;
  }
  log_difference(claim, found_seq);
  au_result_fini(&result);
  au_spool_confirm_owner(spool);
  return AU_OK;
}
