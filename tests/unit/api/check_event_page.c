/* SPDX-License-Identifier: MIT
 *
 * check_event_page - pages of events from a database of the test's own: what is
 * asked, what is answered, and that all pages together are bounded.
 */
#include "support/own_database.h"

#include "api/event_page.h"
#include "base/clock.h"
#include "support/suite.h"

/* A page of the events of 1970, all of the service "s". */
static au_page_t make_page(unsigned size, const char *service) {
  au_page_t page = {.service = service,
                    .from_us = 0,
                    .to_us = INT64_C(86400) * 365 * AU_US_PER_S,
                    .number = 1,
                    .size = size};
  au_page_make_sql(&page);
  ck_assert_ptr_nonnull(au_bytes_text(&page.sql));
  return page;
}

static au_status_t ask_page(au_page_t *page) {
  const au_query_job_t job = {.deadline_ns =
                                  au_clock_monotonic_ns() + 60 * AU_NS_PER_S};
  au_database_error_t error;
  au_status_t status = au_page_ask(page, &job, database, &error);
  ck_assert_msg(status == AU_OK || status == AU_NOMEM, "%d: %s", (int)status,
                error.message);
  return status;
}

static void store(const char *what) {
  char sql[512];
  snprintf(sql, sizeof(sql),
           "INSERT INTO aurore.event (event_id, occurred_at, ingested_at, "
           "service, message, metadata) SELECT gen_random_uuid(), "
           "'1970-01-02', '2026-11-24 12:00', 's', m, j FROM (%s) AS r (m, j)",
           what);
  do_sql(database, sql);
}

static void prepare(void) {
  migrate(database);
  ensure(database, DAY_2026_11_24, DAY_2026_11_24);
}

CASE("page", set_up_database, tear_down_database);

TEST(nothing_is_a_whole_answer) {
  prepare();
  au_page_t page = make_page(10, "it's \\ \"s\"; --");
  ck_assert_int_eq(ask_page(&page), AU_OK);
  ck_assert_str_eq(au_bytes_text(&page.body),
                   "{\"page\":1,\"pageSize\":10,\"sortField\":\"timestamp\","
                   "\"sortOrder\":\"DESC\",\"total\":0,\"items\":[]}");
  au_page_fini(&page);
}

TEST(what_a_page_holds_is_given_back) {
  prepare();
  store("SELECT repeat('x', 1000), NULL::jsonb FROM generate_series(1, 500)");
  au_budget_t budget = {.max = 8 << 20};
  au_account_t account[3] = {{.budget = NULL}};
  au_page_t pages[3];
  for (int i = 0; i < 3; i++) {
    account[i].budget = &budget;
    pages[i] = make_page(500, "s");
    pages[i].body.account = &account[i];
    ck_assert_int_eq(ask_page(&pages[i]), AU_OK);
    ck_assert_uint_eq(pages[i].rows, 500);
    ck_assert_uint_gt(account[i].held, (uint64_t)500 * 1000);
  }
  ck_assert_uint_eq(au_budget_held(&budget),
                    account[0].held + account[1].held + account[2].held);
  for (int i = 0; i < 3; i++)
    au_page_fini(&pages[i]);
  ck_assert_uint_eq(au_budget_held(&budget), 0);
}

/* A page of 36 MiB, the largest of the default limits, has room in half of
 * BodyMemory; two have not. */
TEST(all_pages_together_are_bounded) {
  prepare();
  store("SELECT 'm', jsonb_build_object('k', repeat('x', 1000000)) "
        "FROM generate_series(1, 50)");
  au_budget_t budget = {.max = 48 << 20};
  au_account_t account[2] = {{.budget = &budget}, {.budget = &budget}};
  au_page_t large = make_page(36, "s");
  large.body.account = &account[0];
  ck_assert_int_eq(ask_page(&large), AU_OK);
  au_page_t larger = make_page(50, "s");
  larger.body.account = &account[1];
  ck_assert_int_eq(ask_page(&larger), AU_NOMEM);
  ck_assert_uint_le(au_budget_held(&budget), 48 << 20);
  au_page_fini(&larger);
  ck_assert_uint_eq(au_budget_held(&budget), account[0].held);
  /* The connection is as good as before. */
  au_page_t other = make_page(3, "s");
  other.body.account = &account[1];
  ck_assert_int_eq(ask_page(&other), AU_OK);
  au_page_fini(&large);
  au_page_fini(&other);
  ck_assert_uint_eq(au_budget_held(&budget), 0);
}

int main(void) { return run_database_tests("page"); }
