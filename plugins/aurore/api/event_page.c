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

#include "api/event_item.h"
#include "base/clock.h"
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
#define SORT_BY_TIME 0
/* What each sorts by. Bytes of UTF-8 sort as code points, the same everywhere
 * and faster than any language's order. */
static const char *const sort_columns[] = {
    "occurred_at", "service COLLATE \"C\"", "message COLLATE \"C\"",
    "ingested_at", "created_at"};
static const char *const order_names[] = {"DESC", "ASC", NULL};
static const char *const total_names[] = {"true", "false", NULL};

void au_page_parameters(au_parameter_t known[AU_PAGE_PARAMETERS]) {
  static const char *const names[AU_PAGE_PARAMETERS] = {
      [AU_PAGE_SERVICE] = "service",
      [AU_PAGE_FROM] = "from",
      [AU_PAGE_TO] = "to",
      [AU_PAGE_PAGE] = "page",
      [AU_PAGE_SIZE] = "pageSize",
      [AU_PAGE_SORT_FIELD] = "sortField",
      [AU_PAGE_SORT_ORDER] = "sortOrder",
      [AU_PAGE_TOTAL] = "total",
      [AU_PAGE_CURSOR] = "cursor",
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

/* --- cursors ----------------------------------------------------------- */

/* The order, the time in microseconds, the id: "d1795508666123456.0193...". */
static void put_cursor(au_bytes_t *to, const au_page_place_t *place,
                       bool ascending) {
  char id[AU_UUID_TEXT_SIZE];
  au_uuid_format(&place->id, id);
  au_bytes_printf(to, "%c%" PRId64 ".%s", ascending ? 'a' : 'd',
                  place->occurred_us, id);
}

static bool parse_cursor(const char *text, bool ascending,
                         au_page_place_t *out_place) {
  char *end = NULL;
  if (*text++ != (ascending ? 'a' : 'd') || *text < '0' || *text > '9')
    return false;
  out_place->occurred_us = strtoll(text, &end, 10);
  return *end == '.' && au_timestamp_is_valid(out_place->occurred_us) &&
         au_uuid_parse(end + 1, strlen(end + 1), &out_place->id);
}

static void read_cursor(au_page_t *page,
                        const au_parameter_t known[AU_PAGE_PARAMETERS],
                        au_refusals_t *refusals) {
  const au_parameter_t *cursor = &known[AU_PAGE_CURSOR];
  page->has_cursor = au_parameter_is_given(cursor, "isCursor", refusals);
  if (!page->has_cursor)
    return;
  if (known[AU_PAGE_PAGE].value != NULL || page->sort_field != SORT_BY_TIME)
    au_refuse(refusals, "cursor", "isCursor",
              "a cursor is in the place of page, and with sortField=timestamp");
  else if (!parse_cursor(cursor->value, page->ascending, &page->cursor))
    au_refuse(refusals, "cursor", "isCursor",
              "cursor must be the nextCursor of an answer in the same order");
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
  page->is_without_total =
      au_parameter_choice(&known[AU_PAGE_TOTAL], total_names, AU_CASE_EXACT,
                          "isBoolean", refusals) == 1;
  read_cursor(page, known, refusals);
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

/* The rows of the page, and one more. */
static void put_rows(const au_page_t *page, au_bytes_t *sql) {
  put_where(page, sql);
  if (page->has_cursor) {
    au_bytes_printf(sql, " AND (occurred_at, event_id) %c (",
                    page->ascending ? '>' : '<');
    au_database_put_time(sql, page->cursor.occurred_us);
    au_bytes_put_u8(sql, ',');
    au_database_put_uuid(sql, &page->cursor.id);
    au_bytes_put_u8(sql, ')');
  }
  put_order(page, sql);
  au_bytes_printf(sql, " LIMIT %u", page->size + 1);
  if (!page->has_cursor)
    au_bytes_printf(sql, " OFFSET %u", (page->number - 1) * page->size);
}

void au_page_make_sql(au_page_t *page) {
  au_bytes_t *sql = &page->sql;
  /* Compiling a plan of many partitions takes longer than running it. */
  au_bytes_put_string(sql, "SET LOCAL jit = off; ");
  if (page->is_without_total) {
    au_bytes_put_string(sql, "SELECT NULL, " AU_EVENT_ITEM_COLUMNS);
    put_rows(page, sql);
    return;
  }
  au_bytes_put_string(sql, "SELECT n, " AU_EVENT_ITEM_COLUMNS
                           " FROM (SELECT count(*) AS n");
  put_where(page, sql);
  au_bytes_put_string(sql, ") AS total LEFT JOIN (SELECT *");
  put_rows(page, sql);
  au_bytes_put_string(sql, ") AS page ON true");
  put_order(page, sql);
}

/* --- the answer -------------------------------------------------------- */

enum { TOTAL, ITEM };

static void put_head(const au_page_t *page, const char *total,
                     au_bytes_t *body) {
  au_bytes_put_u8(body, '{');
  if (!page->has_cursor)
    au_bytes_printf(body, "\"page\":%u,", page->number);
  au_bytes_printf(body,
                  "\"pageSize\":%u,\"sortField\":\"%s\","
                  "\"sortOrder\":\"%s\",",
                  page->size, sort_names[page->sort_field],
                  order_names[page->ascending ? 1 : 0]);
  if (!page->is_without_total)
    au_bytes_printf(body, "\"total\":%s,", total != NULL ? total : "0");
  au_bytes_put_string(body, "\"items\":[");
}

/* The row after the last one of the page says that there are more. */
static void take_row(const au_result_t *row, void *context) {
  au_page_t *page = context;
  au_bytes_t *body = &page->body;
  if (body->failed)
    return;
  if (body->size == 0)
    put_head(page, au_result_text(row, 0, TOTAL), body);
  const char *id = au_result_text(row, 0, ITEM);
  if (id == NULL)
    return; /* the total of a page without rows */
  if (page->rows == page->size) {
    page->has_more = true;
    return;
  }
  if (page->rows > 0)
    au_bytes_put_u8(body, ',');
  au_event_item_put(body, row, ITEM);
  page->rows++;
  page->last.occurred_us = au_event_item_us(row, ITEM + AU_EVENT_ITEM_OCCURRED);
  (void)au_uuid_parse(id, strlen(id), &page->last.id);
}

static void put_end(au_page_t *page) {
  au_bytes_t *body = &page->body;
  if (body->size == 0)
    put_head(page, NULL, body); /* neither rows nor a total */
  au_bytes_put_u8(body, ']');
  if (page->has_more && page->sort_field == SORT_BY_TIME) {
    au_bytes_put_string(body, ",\"nextCursor\":\"");
    put_cursor(body, &page->last, page->ascending);
    au_bytes_put_u8(body, '"');
  }
  au_bytes_put_u8(body, '}');
}

au_status_t au_page_ask(au_page_t *page, const au_query_job_t *job,
                        au_database_t *database, au_database_error_t *error) {
  au_status_t status = au_query_rows(job, database, au_bytes_text(&page->sql),
                                     take_row, page, error);
  if (status != AU_OK)
    return status;
  put_end(page);
  return page->body.failed ? AU_NOMEM : AU_OK;
}

void au_page_fini(au_page_t *page) {
  au_bytes_fini(&page->sql);
  au_bytes_fini(&page->body);
}
