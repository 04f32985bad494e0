/* SPDX-License-Identifier: MIT
 *
 * fuzz_parameters - any text as the query of GET /events: decoded, sorted and
 * read. No NUL comes of it, what is wrong is reported as JSON, and a page that
 * is not refused is within its bounds and makes a statement.
 */
#include "api/event_page.h"
#include "base/timestamp.h"
#include "fuzz/fuzz.h"
#include "http/private.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DAYS 30

/* As libmicrohttpd does: in place. */
static void decode(char *text) {
  for (char *at = text; *at != '\0'; at++)
    if (*at == '+')
      *at = ' ';
  size_t before = strlen(text);
  size_t size = au_http_unescape(NULL, NULL, text);
  fuzz_require(size <= before && strlen(text) == size,
               "a NUL comes of an escape");
}

static void sort_all(char *query, au_parameter_t *known,
                     au_refusals_t *refusals) {
  char *rest = query;
  for (char *name = strsep(&rest, "&"); name != NULL;
       name = strsep(&rest, "&")) {
    char *value = strchr(name, '=');
    if (value != NULL)
      *value++ = '\0';
    decode(name);
    if (value != NULL)
      decode(value);
    au_parameter_sort(known, AU_PAGE_PARAMETERS, name, value, refusals);
  }
}

static void check_page(au_page_t *page) {
  fuzz_require(page->service != NULL && page->service[0] != '\0' &&
                   page->from_us < page->to_us && page->number >= 1 &&
                   page->number <= 10000 && page->size >= 1 &&
                   page->size <= 1000,
               "a page is out of its bounds");
  fuzz_require(!page->has_cursor ||
                   (au_timestamp_is_valid(page->cursor.occurred_us) &&
                    page->sort_field == 0 && page->number == 1),
               "a cursor is out of its bounds");
  au_page_make_sql(page);
  fuzz_require(!page->sql.failed, "a page makes no statement");
  au_page_fini(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *query = fuzz_text((fuzz_input_t){.data = data, .size = size});
  au_parameter_t known[AU_PAGE_PARAMETERS];
  au_refusals_t refusals = {.count = 0};
  au_page_t page = {.number = 0};
  au_page_parameters(known);
  sort_all(query, known, &refusals);
  au_page_read(&page, known, MAX_DAYS, &refusals);
  au_bytes_t json = AU_BYTES_INIT;
  au_refusals_put(&refusals, &json);
  fuzz_require(!json.failed, "out of memory");
  fuzz_require_json(json.data, json.size, "a refusal is not JSON");
  if (refusals.count == 0)
    check_page(&page);
  au_bytes_fini(&json);
  au_refusals_fini(&refusals);
  free(query);
  return 0;
}
