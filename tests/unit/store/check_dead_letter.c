/* SPDX-License-Identifier: MIT
 *
 * What is asked and done about dead letters, against a real PostgreSQL. What
 * becomes of one that is put back is in check_reprocess.c; what clients see of
 * it all in tests/integration/test_dlq.py.
 */
#include "api/dead_letter_query.h"

#include "base/clock.h"
#include "support/own_database.h"
#include "support/suite.h"

static au_query_job_t job;
static au_bytes_t json;
static au_database_error_t error;

static void start(void) {
  set_up_database();
  migrate(database);
  job = (au_query_job_t){
      .deadline_ns = au_clock_monotonic_ns() + 60 * AU_NS_PER_S, .peer_fd = -1};
  json = (au_bytes_t)AU_BYTES_INIT;
}

static void stop(void) {
  au_bytes_fini(&json);
  tear_down_database();
}

static const char *text(void) {
  const char *text = au_bytes_text(&json);
  ck_assert_ptr_nonnull(text);
  return text;
}

/* So many dead letters of a service, one a second, the first at 12:00. */
static void insert(const char *service, unsigned count, const char *more) {
  do_sqlf(database,
          "INSERT INTO aurore.dead_letter (event_id, service, event, "
          "failure_reason, spool_id, lane, seq, created_at) "
          "SELECT gen_random_uuid(), '%s', '\\x00', 'why', gen_random_uuid(), "
          "0, n, '2026-11-24 12:00:00+00'::timestamptz + n * interval '1 s' "
          "FROM generate_series(0, %u) AS n %s",
          service, count - 1, more);
}

static au_uuid_t id_of_one(void) {
  au_uuid_t id;
  const char *text = ask(database, "SELECT id FROM aurore.dead_letter");
  ck_assert(au_uuid_parse(text, strlen(text), &id));
  return id;
}

static void statistics(void) {
  au_bytes_clear(&json, 0);
  au_status_t status = au_dead_letter_statistics(&job, database, &json, &error);
  ck_assert_done(status, error);
}

/* --- statistics ------------------------------------------------------------
 */

CASE("dead_letter", start, stop);

TEST(many_services_become_other) {
  /* The first thousand have two each; one of them has the very name. */
  do_sql(database,
         "INSERT INTO aurore.dead_letter (event_id, service, event, "
         "failure_reason, spool_id, lane, seq) "
         "SELECT gen_random_uuid(), CASE s WHEN 7 THEN 'other' ELSE 'service ' "
         "|| to_char(s, 'FM0000') END, '\\x00', 'why', gen_random_uuid(), 0, n "
         "FROM generate_series(1, 1200) AS s, generate_series(0, 1) AS n "
         "WHERE s <= 1000 OR n = 0");
  statistics();
  static const char start[] = "{\"total\":2200,\"byService\":{\"other\":202,"
                              "\"service 0001\":2,";
  ck_assert_msg(strncmp(text(), start, strlen(start)) == 0, "%.100s", text());
  ck_assert_ptr_null(strstr(text() + strlen(start), "\"other\""));
  ck_assert_ptr_nonnull(strstr(text(), "\"service 1000\":2}"));
}

TEST(oldest_is_of_all_services) {
  statistics();
  ck_assert_str_eq(text(), "{\"total\":0,\"byService\":{},\"reprocessed\":0,"
                           "\"pending\":0,\"oldestEvent\":null}");
  insert("late", 3, "WHERE n > 0");
  insert("early", 1, "");
  do_sql(database, "UPDATE aurore.dead_letter SET reprocessed = true "
                   "WHERE service = 'early'");
  statistics();
  ck_assert_str_eq(text(), "{\"total\":3,\"byService\":{\"late\":2,\"early\":1}"
                           ",\"reprocessed\":1,\"pending\":2,\"oldestEvent\":"
                           "\"2026-11-24T12:00:00.000Z\"}");
}

/* --- lists -----------------------------------------------------------------
 */

static const char *list(const au_dead_letter_filter_t *filter) {
  au_bytes_clear(&json, 0);
  au_status_t status =
      au_dead_letter_list(&job, database, filter, &json, &error);
  ck_assert_done(status, error);
  return text();
}

TEST(page_past_the_end_has_the_total) {
  insert("a", 5, "");
  const au_dead_letter_filter_t filter = {.limit = 10, .offset = 5};
  ck_assert_str_eq(list(&filter),
                   "{\"events\":[],\"total\":5,\"limit\":10,\"offset\":5}");
}

TEST(what_is_deleted_while_it_waits_is_not_shown) {
  insert("a", 2, "");
  do_sql(database, "UPDATE aurore.dead_letter SET reprocessed = true, "
                   "deleted_at = now() WHERE seq = 0");
  const au_dead_letter_filter_t filter = {.limit = 10};
  ck_assert_ptr_nonnull(strstr(list(&filter), "],\"total\":1,"));
  statistics();
  ck_assert_ptr_nonnull(strstr(text(), "{\"total\":1,"));
  do_sql(database, "DELETE FROM aurore.dead_letter WHERE deleted_at IS NULL");
  au_uuid_t id = id_of_one();
  au_bytes_clear(&json, 0);
  au_status_t status = au_dead_letter_show(&job, database, &id, &json, &error);
  ck_assert_done(status, error);
  ck_assert_uint_eq(json.size, 0);
}

/* --- marking and deleting --------------------------------------------------
 */

static bool mark(const au_uuid_t *id, int retry_count) {
  const au_dead_letter_t letter = {.id = *id, .retry_count = retry_count};
  bool is_found = false;
  au_status_t status =
      au_dead_letter_mark(&job, database, &letter, &is_found, &error);
  ck_assert_done(status, error);
  return is_found;
}

static au_dead_letter_deletion_t delete_one(const au_uuid_t *id) {
  au_dead_letter_deletion_t deletion = AU_DEAD_LETTER_NONE;
  au_status_t status =
      au_dead_letter_delete(&job, database, id, &deletion, &error);
  ck_assert_done(status, error);
  return deletion;
}

/* false: there is none. What is under way is said to be so, until it has waited
 * for so long that it is lost or stuck. */
static bool delete (const au_uuid_t *id) {
  au_dead_letter_deletion_t deletion = delete_one(id);
  if (deletion == AU_DEAD_LETTER_BUSY) {
    do_sql(database, "UPDATE aurore.dead_letter SET reprocessed_at = "
                     "reprocessed_at - interval '10 minutes 1 second'");
    deletion = delete_one(id);
  }
  ck_assert_int_ne(deletion, AU_DEAD_LETTER_BUSY);
  return deletion == AU_DEAD_LETTER_DELETED;
}

static const char *state(void) {
  return ask(database,
             "SELECT concat_ws(' ', CASE WHEN reprocessed THEN 'reprocessed' "
             "END, CASE WHEN reprocessed_at IS NOT NULL THEN 'at' END, CASE "
             "WHEN stored_at IS NOT NULL THEN 'stored' END, CASE WHEN "
             "deleted_at IS NOT NULL THEN 'deleted' END) "
             "FROM aurore.dead_letter");
}

TEST(one_that_waits_is_marked) {
  insert("a", 1, "");
  au_uuid_t id = id_of_one();
  ck_assert(mark(&id, 0));
  ck_assert_str_eq(state(), "reprocessed at");
}

/* The event was faster than the mark: it has been refused again. */
TEST(one_that_was_refused_meanwhile_still_waits) {
  insert("a", 1, "");
  do_sql(database, "UPDATE aurore.dead_letter SET retry_count = 1");
  au_uuid_t id = id_of_one();
  ck_assert(mark(&id, 0));
  ck_assert_str_eq(state(), "");
}

TEST(one_that_was_stored_meanwhile_is_left_alone) {
  insert("a", 1, "");
  do_sql(database, "UPDATE aurore.dead_letter SET reprocessed = true, "
                   "stored_at = now()");
  au_uuid_t id = id_of_one();
  ck_assert(mark(&id, 0));
  ck_assert_str_eq(state(), "reprocessed stored");
}

TEST(one_that_was_deleted_meanwhile_is_not_found) {
  insert("a", 1, "");
  au_uuid_t id = id_of_one();
  ck_assert(delete (&id));
  ck_assert(!mark(&id, 0));
  ck_assert(!delete (&id));
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.dead_letter"),
                   "0");
}

TEST(one_whose_event_waits_is_hidden_only) {
  insert("a", 1, "");
  au_uuid_t id = id_of_one();
  ck_assert(mark(&id, 0));
  ck_assert(delete (&id));
  ck_assert_str_eq(state(), "reprocessed at deleted");
  ck_assert(!mark(&id, 0));
  ck_assert(!delete (&id));
}

TEST(one_that_is_stored_is_deleted_for_good) {
  insert("a", 1, "");
  do_sql(database, "UPDATE aurore.dead_letter SET reprocessed = true, "
                   "stored_at = now()");
  au_uuid_t id = id_of_one();
  ck_assert(delete (&id));
  ck_assert_str_eq(ask(database, "SELECT count(*) FROM aurore.dead_letter"),
                   "0");
}

/* --- trouble ---------------------------------------------------------------
 */

TEST(refusal_of_the_server_is_passed_on) {
  do_sql(database, "DROP TABLE aurore.dead_letter CASCADE");
  const au_dead_letter_filter_t filter = {.limit = 10};
  au_dead_letter_t letter = {.retry_count = 0};
  bool is_found;
  au_dead_letter_deletion_t deletion;
  ck_assert_int_eq(au_dead_letter_list(&job, database, &filter, &json, &error),
                   AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "42P01");
  ck_assert_int_eq(au_dead_letter_statistics(&job, database, &json, &error),
                   AU_INVALID);
  ck_assert_int_eq(
      au_dead_letter_show(&job, database, &letter.id, &json, &error),
      AU_INVALID);
  ck_assert_int_eq(au_dead_letter_read(&job, database, &letter, &error),
                   AU_INVALID);
  ck_assert_int_eq(
      au_dead_letter_mark(&job, database, &letter, &is_found, &error),
      AU_INVALID);
  ck_assert_int_eq(
      au_dead_letter_delete(&job, database, &letter.id, &deletion, &error),
      AU_INVALID);
  ck_assert_uint_eq(json.size, 0);
  au_dead_letter_fini(&letter);
}

static void lack_rights(const char *has) {
  do_sqlf(database,
          "CREATE ROLE %s; GRANT USAGE ON SCHEMA aurore TO %s; "
          "GRANT %s ON aurore.dead_letter TO %s; SET ROLE %s",
          own_role, own_role, has, own_role, own_role);
}

static void assert_lacks_right(au_status_t status) {
  ck_assert_int_eq(status, AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "42501");
}

/* Else its row would stop the lane it waits in. */
TEST(what_could_not_be_stored_is_not_put_back) {
  insert("a", 1, "");
  au_dead_letter_t letter = {.id = id_of_one()};
  lack_rights("SELECT");
  assert_lacks_right(au_dead_letter_read(&job, database, &letter, &error));
  do_sql(database, "RESET ROLE; SET default_transaction_read_only = on");
  ck_assert_int_eq(au_dead_letter_read(&job, database, &letter, &error),
                   AU_INVALID);
  ck_assert_str_eq(error.sqlstate, "25006");
  do_sql(database, "SET default_transaction_read_only = off");
  au_status_t status = au_dead_letter_read(&job, database, &letter, &error);
  ck_assert_done(status, error);
  ck_assert(letter.is_found);
  au_dead_letter_fini(&letter);
}

TEST(what_is_under_way_is_not_deleted) {
  insert("a", 1, "");
  au_uuid_t id = id_of_one();
  ck_assert(mark(&id, 0));
  ck_assert_int_eq(delete_one(&id), AU_DEAD_LETTER_BUSY);
  ck_assert_str_eq(state(), "reprocessed at");
  /* Refused again, it is as any other. */
  ck_assert_str_eq(ask(database,
                       "SELECT aurore.refuse_dead_letter(id, '22P05', 'again') "
                       "FROM aurore.dead_letter"),
                   "f");
  ck_assert_int_eq(delete_one(&id), AU_DEAD_LETTER_DELETED);
  ck_assert_int_eq(delete_one(&id), AU_DEAD_LETTER_NONE);
}

TEST(what_could_not_be_deleted_is_not_hidden) {
  insert("a", 1, "");
  au_uuid_t id = id_of_one();
  ck_assert(mark(&id, 0));
  do_sql(database, "UPDATE aurore.dead_letter SET reprocessed_at = "
                   "now() - interval '1 hour'");
  lack_rights("SELECT, UPDATE");
  au_dead_letter_deletion_t deletion;
  assert_lacks_right(
      au_dead_letter_delete(&job, database, &id, &deletion, &error));
  do_sql(database, "RESET ROLE");
  ck_assert_str_eq(state(), "reprocessed at");
}

TEST(answer_that_did_not_fit_is_an_error) {
  insert("a", 1, "");
  au_uuid_t id = id_of_one();
  const au_dead_letter_filter_t filter = {.limit = 10};
  json.failed = true; /* out of memory */
  ck_assert_int_eq(au_dead_letter_list(&job, database, &filter, &json, &error),
                   AU_NOMEM);
  ck_assert_int_eq(au_dead_letter_statistics(&job, database, &json, &error),
                   AU_NOMEM);
  ck_assert_int_eq(au_dead_letter_show(&job, database, &id, &json, &error),
                   AU_NOMEM);
}

int main(void) { return run_database_tests("dead_letter"); }
