/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * event_page - one page of events, as GET /events asks for it: from its
 * parameters to the query, and from the rows to the answer.
 *
 * A page by number costs the rows before it, too; a page by cursor begins in
 * the index where the last one ended, so that it costs the same however far it
 * is. The total is nearly all of the cost of a page, and may be left out.
 *
 * The answer is built as the rows come, and the connection is free again as
 * soon as the last one is there: a client that reads slowly holds memory, never
 * a connection to the database. The memory is charged to the account that the
 * caller gives to "body"; a page for which there is none is refused.
 *
 * Threads: one page by one thread at a time.
 */
#ifndef AURORE_API_EVENT_PAGE_H
#define AURORE_API_EVENT_PAGE_H

#include "base/bytes.h"
#include "database/query_pool.h"
#include "http/parameters.h"

/* The parameters, in this order. */
typedef enum au_page_parameter {
  AU_PAGE_SERVICE,
  AU_PAGE_FROM,
  AU_PAGE_TO,
  AU_PAGE_PAGE,
  AU_PAGE_SIZE,
  AU_PAGE_SORT_FIELD,
  AU_PAGE_SORT_ORDER,
  AU_PAGE_TOTAL,
  AU_PAGE_CURSOR,
  AU_PAGE_PARAMETERS
} au_page_parameter_t;

/* Where a page ends, when it is sorted by time. */
typedef struct au_page_place {
  int64_t occurred_us;
  au_uuid_t id;
} au_page_place_t;

typedef struct au_page {
  const char *service; /* borrowed from the parameters until au_page_make_sql */
  int64_t from_us;
  int64_t to_us;
  unsigned number;
  unsigned size;
  size_t sort_field;
  bool ascending;
  bool is_without_total;
  bool has_cursor; /* in the place of "number" */
  au_page_place_t cursor;

  au_bytes_t sql;
  au_bytes_t body; /* the answer */
  size_t rows;
  au_page_place_t last; /* of the row that was taken last */
  bool has_more;
} au_page_t;

/* The known parameters, to be sorted into. */
void au_page_parameters(au_parameter_t known[AU_PAGE_PARAMETERS]);

/* Reads the parameters; what is wrong is in "refusals". A cursor is what an
 * answer had as "nextCursor", for the same service and order. */
void au_page_read(au_page_t *page,
                  const au_parameter_t known[AU_PAGE_PARAMETERS],
                  unsigned max_days, au_refusals_t *refusals);

/* Makes the query; "sql" has failed when out of memory. */
void au_page_make_sql(au_page_t *page);

/* Asks, and makes "body". As au_query_run_t; AU_NOMEM: there is none for
 * the page. */
AU_MUST_CHECK au_status_t au_page_ask(au_page_t *page,
                                      const au_query_job_t *job,
                                      au_database_t *database,
                                      au_database_error_t *error);

/* Frees what it holds, also when nothing was asked. */
void au_page_fini(au_page_t *page);

#endif
