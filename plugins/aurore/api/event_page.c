/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * The page and the total come from one statement, so from one snapshot: the
 * total is in each row, and alone in one when the page has none. The index
 * (service, occurred_at, event_id) answers both: the total by an index-only
 * scan, the page in its order when it is sorted by time. Another order sorts
 * all rows of the range; QueryTimeout bounds what that may cost.
 */
#include "api/event_page.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/timestamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MAX 10000
#define SIZE_DEFAULT 100
#define SIZE_MAX_ROWS 1000
#define US_PER_DAY (INT64_C(86400) * AU_US_PER_S)

static const char *const sort_names[] = {"timestamp",  "service",   "message",
                                         "ingestedAt", "createdAt", NULL};
/* What each sorts by. Bytes of UTF-8 sort as code points, the same everywhere
 * and faster than any language's order. */
static const char *const sort_columns[] = {
    "occurred_at", "service COLLATE \"C\"", "message COLLATE \"C\"",
    "ingested_at", "created_at"};
static const char *const order_names[] = {"DESC", "ASC", NULL};

void au_page_parameters(au_parameter_t known[AU_PAGE_PARAMETERS]) {
  static const char *const names[AU_PAGE_PARAMETERS] = {
      [AU_PAGE_SERVICE] = "service",
      [AU_PAGE_FROM] = "from",
      [AU_PAGE_TO] = "to",
      [AU_PAGE_PAGE] = "page",
      [AU_PAGE_SIZE] = "pageSize",
      [AU_PAGE_SORT_FIELD] = "sortField",
      [AU_PAGE_SORT_ORDER] = "sortOrder",
  };
  for (int i = 0; i < AU_PAGE_PARAMETERS; i++)
    known[i] = (au_parameter_t){.name = names[i]};
}

static void check_range(const au_page_t *page, unsigned max_days,
                        au_refusals_t *refusals) {
  if (page->from_us >= page->to_us)
    au_refuse(refusals, "to", "isValidTimeRange",
              "'from' timestamp must be before 'to' timestamp");
  else if (page->to_us - page->from_us > max_days * US_PER_DAY)
    au_refuse(refusals, "to", "isMaxTimeRange",
              "time range between 'from' and 'to' must not exceed %u days",
              max_days);
}

void au_page_read(au_page_t *page,
                  const au_parameter_t known[AU_PAGE_PARAMETERS],
                  unsigned max_days, au_refusals_t *refusals) {
  page->service =
      au_parameter_text(&known[AU_PAGE_SERVICE], AU_REQUIRED, refusals);
  bool has_from =
      au_parameter_time(&known[AU_PAGE_FROM], &page->from_us, refusals);
  bool has_to = au_parameter_time(&known[AU_PAGE_TO], &page->to_us, refusals);
  if (has_from && has_to)
    check_range(page, max_days, refusals);
  page->number = (unsigned)au_parameter_integer(&known[AU_PAGE_PAGE], 1,
                                                PAGE_MAX, 1, refusals);
  page->size = (unsigned)au_parameter_integer(
      &known[AU_PAGE_SIZE], 1, SIZE_MAX_ROWS, SIZE_DEFAULT, refusals);
  page->sort_field =
      au_parameter_choice(&known[AU_PAGE_SORT_FIELD], sort_names, AU_CASE_EXACT,
                          "isSortField", refusals);
  page->ascending =
      au_parameter_choice(&known[AU_PAGE_SORT_ORDER], order_names, AU_CASE_ANY,
                          "isSortOrder", refusals) == 1;
}

static void put_where(const au_page_t *page, au_bytes_t *sql) {
  au_bytes_put_string(sql, " FROM aurore.event WHERE service = ");
  au_database_put_literal(sql, page->service, strlen(page->service));
  au_bytes_put_string(sql, " AND occurred_at >= ");
  au_database_put_time(sql, page->from_us);
  au_bytes_put_string(sql, " AND occurred_at <= ");
  au_database_put_time(sql, page->to_us);
}

static void put_order(const au_page_t *page, au_bytes_t *sql) {
  const char *order = order_names[page->ascending ? 1 : 0];
  au_bytes_printf(sql, " ORDER BY %s %s, event_id %s",
                  sort_columns[page->sort_field], order, order);
}

void au_page_make_sql(au_page_t *page) {
  au_bytes_t *sql = &page->sql;
  /* Compiling a plan of many partitions takes longer than running it. */
  au_bytes_put_string(
      sql, "SET LOCAL jit = off; "
           "SELECT n, event_id, "
           "(extract(epoch FROM occurred_at) * 1000000)::bigint, service, "
           "message, metadata, "
           "(extract(epoch FROM ingested_at) * 1000000)::bigint, "
           "(extract(epoch FROM created_at) * 1000000)::bigint "
           "FROM (SELECT count(*) AS n");
  put_where(page, sql);
  au_bytes_put_string(sql, ") AS total LEFT JOIN (SELECT *");
  put_where(page, sql);
  put_order(page, sql);
  au_bytes_printf(sql, " LIMIT %u OFFSET %u) AS page ON true", page->size,
                  (page->number - 1) * page->size);
  put_order(page, sql);
}

/* --- the answer -------------------------------------------------------- */

enum { TOTAL, ID, TIME, SERVICE, MESSAGE, METADATA, INGESTED, CREATED };

static void put_head(const au_page_t *page, const char *total,
                     au_bytes_t *body) {
  au_bytes_printf(body,
                  "{\"page\":%u,\"pageSize\":%u,\"sortField\":\"%s\","
                  "\"sortOrder\":\"%s\",\"total\":%s,\"items\":[",
                  page->number, page->size, sort_names[page->sort_field],
                  order_names[page->ascending ? 1 : 0],
                  total != NULL ? total : "0");
}

static void put_instant(au_bytes_t *body, const char *name,
                        const au_result_t *row, unsigned column) {
  const char *us = au_result_text(row, 0, column);
  char text[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(us != NULL ? strtoll(us, NULL, 10) : 0, text);
  au_bytes_printf(body, "\"%s\":\"%s\",", name, text);
}

static void put_text(au_bytes_t *body, const char *name, const au_result_t *row,
                     unsigned column) {
  au_bytes_printf(body, "\"%s\":", name);
  au_json_put_text(body, au_result_text(row, 0, column));
  au_bytes_put_u8(body, ',');
}

static void put_item(const au_result_t *row, au_bytes_t *body) {
  const char *id = au_result_text(row, 0, ID);
  const char *metadata = au_result_text(row, 0, METADATA);
  au_bytes_printf(body, "{\"id\":\"%s\",\"eventId\":\"%s\",", id, id);
  put_instant(body, "timestamp", row, TIME);
  put_text(body, "service", row, SERVICE);
  put_text(body, "message", row, MESSAGE);
  au_bytes_put_string(body, "\"metadata\":");
  au_bytes_put_string(body, metadata != NULL ? metadata : "null");
  au_bytes_put_u8(body, ',');
  put_instant(body, "ingestedAt", row, INGESTED);
  put_instant(body, "createdAt", row, CREATED);
  if (!body->failed)
    body->data[body->size - 1] = '}'; /* in the place of the comma */
}

static void take_row(const au_result_t *row, void *context) {
  au_page_t *page = context;
  au_bytes_t *body = &page->body;
  if (body->failed)
    return;
  if (body->size == 0)
    put_head(page, au_result_text(row, 0, TOTAL), body);
  if (au_result_text(row, 0, ID) != NULL) {
    if (page->rows > 0)
      au_bytes_put_u8(body, ',');
    put_item(row, body);
    page->rows++;
  }
}

au_status_t au_page_ask(au_page_t *page, const au_query_job_t *job,
                        au_database_t *database, au_database_error_t *error) {
  au_status_t status = au_query_rows(job, database, au_bytes_text(&page->sql),
                                     take_row, page, error);
  if (status != AU_OK)
    return status;
  au_bytes_put_string(&page->body, "]}");
  return page->body.failed ? AU_NOMEM : AU_OK;
}

void au_page_fini(au_page_t *page) {
  au_bytes_fini(&page->sql);
  au_bytes_fini(&page->body);
}
