/* SPDX-License-Identifier: MIT
 * Part of store/; calls database/, spool/, config/, metrics/, event/, base/.
 *
 * What the functions in the database do is said in schema/003_lane.sql and
 * schema/015_fall_back.sql.
 */
#include "store/claim.h"

#include "base/log.h"
#include "metrics/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void put_claim(au_bytes_t *sql, const au_claim_t *claim,
                      au_spool_t *spool) {
  au_bytes_put_string(sql, "SELECT next_seq, epoch, found_seq, is_new "
                           "FROM aurore.claim_lane(");
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
  au_bytes_printf(sql, "]::bigint[],%" PRIu64 ",%s,", au_spool_kept_seq(spool),
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

/* What aurore.claim_lane has returned. */
typedef struct answer {
  uint64_t next_seq;
  uint64_t epoch;
  uint64_t found_seq; /* where the lane was before */
  bool is_new;        /* the database did not know the lane */
} answer_t;

static bool read_answer(const au_result_t *result, answer_t *out) {
  if (au_result_rows(result) != 1)
    return false;
  const char *is_new = au_result_text(result, 0, 3);
  out->is_new = is_new != NULL && strcmp(is_new, "t") == 0;
  return is_new != NULL &&
         read_number(au_result_text(result, 0, 0), INT64_MAX, &out->next_seq) &&
         read_number(au_result_text(result, 0, 1), UINT32_MAX, &out->epoch) &&
         read_number(au_result_text(result, 0, 2), INT64_MAX, &out->found_seq);
}

/* How many of the numbers from "from" to before "to" had not been told yet: the
 * answer to a claim may be lost, and what is lost is not lost twice. */
static uint64_t note_lost(au_claim_t *claim, uint64_t from, uint64_t to) {
  uint64_t low = from > claim->lost_from ? from : claim->lost_from;
  uint64_t high = to < claim->lost_to ? to : claim->lost_to;
  uint64_t known = high > low ? high - low : 0;
  bool touches = from <= claim->lost_to && to >= claim->lost_from;
  if (!touches || from < claim->lost_from)
    claim->lost_from = from;
  if (!touches || to > claim->lost_to)
    claim->lost_to = to;
  return to - from - known;
}

static void tell_fallen_back(const au_claim_t *claim, uint64_t kept,
                             uint64_t lost) {
  au_metrics_count(AU_M_EVENTS_LOST, 0, lost);
  if (kept == 0 && lost == 0)
    return; /* told before */
  au_log(lost > 0 ? AU_LOG_ERROR : AU_LOG_WARNING,
         "the database has fallen back to an earlier time (restored, or a "
         "standby promoted that had not received everything?): of lane %u it "
         "no longer has %" PRIu64 " events that it had confirmed; %" PRIu64
         " of them were kept and are stored again, %" PRIu64 " are lost",
         claim->lane, kept + lost, kept, lost);
  if (lost > 0)
    au_notify(AU_SEVERITY_FAILURE, "database",
              "the database has fallen back: %" PRIu64
              " events of lane %u are lost, %" PRIu64 " are stored again",
              lost, claim->lane, kept);
  else
    au_notify(AU_SEVERITY_WARNING, "database",
              "the database has fallen back: %" PRIu64
              " events of lane %u are stored again",
              kept, claim->lane);
}

/* A lane that the database does not know, of a spool that has stored events. */
static void tell_unknown(const au_claim_t *claim, uint64_t kept) {
  au_log(AU_LOG_WARNING,
         "the database does not know lane %u of this spool: it is another one, "
         "or was restored to a time before; storing the %" PRIu64
         " events again that are kept",
         claim->lane, kept);
}

/* Numbers that nobody can store any more are passed. */
static au_status_t pass_lost(au_claim_t *claim, au_database_t *database,
                             uint64_t to, au_database_error_t *error) {
  au_bytes_t sql = AU_BYTES_INIT;
  au_bytes_put_string(&sql, "SELECT aurore.advance(");
  au_database_put_uuid(&sql, &claim->spool_id);
  au_bytes_printf(&sql, ",%u::smallint,%" PRIu32 ",%" PRIu64 ",%" PRIu64 ")",
                  claim->lane, claim->epoch, claim->next_seq, to);
  const char *text = au_database_text(&sql, error);
  au_status_t status =
      text == NULL ? AU_NOMEM : au_database_exec(database, text, NULL, error);
  au_bytes_fini(&sql);
  if (status == AU_OK)
    claim->next_seq = to;
  return status;
}

/* The lane goes to where the database is. */
static au_status_t go_back(au_claim_t *claim, const answer_t *answer,
                           au_database_t *database, au_lane_t *lane,
                           au_database_error_t *error) {
  au_spool_t *spool = au_lane_spool(lane);
  uint64_t before = au_spool_begin(spool).seq;
  if (claim->next_seq >= before && !answer->is_new)
    return AU_OK;
  uint64_t begin = au_lane_rewind(lane, claim->next_seq);
  if (answer->is_new && before > 1)
    tell_unknown(claim, before - begin);
  else if (!answer->is_new)
    tell_fallen_back(claim, before - begin,
                     note_lost(claim, claim->next_seq, begin));
  if (claim->next_seq >= begin)
    return AU_OK;
  return pass_lost(claim, database, begin, error);
}

au_status_t au_claim_make(au_claim_t *claim, au_database_t *database,
                          au_lane_t *lane, au_database_error_t *error) {
  au_spool_t *spool = au_lane_spool(lane);
  au_result_t result = {.pg = NULL};
  au_status_t status = ask(claim, database, spool, &result, error);
  if (status != AU_OK)
    return status;
  answer_t answer;
  bool is_good = read_answer(&result, &answer);
  au_result_fini(&result);
  if (!is_good) {
    au_database_error_set(error, "unexpected result of aurore.claim_lane()");
    return AU_INVALID;
  }
  claim->next_seq = answer.next_seq;
  claim->epoch = (uint32_t)answer.epoch;
  if (answer.found_seq > answer.next_seq)
    au_log(AU_LOG_WARNING,
           "lane %u of the spool has lost its last %" PRIu64
           " events, which the database has; going on",
           claim->lane, answer.found_seq - answer.next_seq);
  status = go_back(claim, &answer, database, lane, error);
  if (status == AU_OK)
    au_spool_confirm_owner(spool);
  return status;
}
