/* SPDX-License-Identifier: MIT
 *
 * check_sound - rows that nobody has encoded: what is asked of them is answered
 * from within them.
 */
#include "event/row.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static au_rows_t rows;

static void start(void) {
  const au_event_t event = {.ingested_at_us = INT64_C(1700000000123456),
                            .id = {.byte = {1, 2, 3}},
                            .service = {.data = "orders", .size = 6},
                            .message = {.data = "paid", .size = 4}};
  ck_assert_int_eq(au_rows_append(&rows, &event), AU_OK);
}

static void stop(void) { au_rows_fini(&rows); }

/* The first "size" bytes, in memory of that very size, so that memory checkers
 * see a step too far. */
static uint8_t *cut(size_t size) {
  uint8_t *copy = malloc(size > 0 ? size : 1);
  ck_assert_ptr_nonnull(copy);
  memcpy(copy, rows.bytes.data, size);
  return copy;
}

static au_row_t whole(void) {
  return au_row_split(AU_ROW_EVENT, rows.bytes.data, rows.row[0].size);
}

CASE("sound", start, stop);

TEST(a_row_that_is_cut_has_what_is_left) {
  static const au_uuid_t nil;
  static const au_uuid_t own = {.byte = {1, 2, 3}};
  for (size_t size = 0; size < rows.row[0].size; size++) {
    uint8_t *copy = cut(size);
    const au_row_t row = au_row_split(AU_ROW_EVENT, copy, size);
    ck_assert(!au_row_is_sound(&row));
    ck_assert_int_eq(au_row_ingested_at_us(&row),
                     size >= 14 ? INT64_C(1700000000123456) : 0);
    au_uuid_t id = au_row_event_id(&row);
    ck_assert_mem_eq(&id, size >= 34 ? &own : &nil, sizeof(id));
    ck_assert_uint_eq(au_row_service(&row).size, size >= 56 ? 6 : 0);
    free(copy);
  }
  const au_row_t row = whole();
  ck_assert(au_row_is_sound(&row));
}

TEST(a_service_that_claims_to_be_longer_is_empty) {
  memset(rows.bytes.data + 46, 0xFF, 4);
  const au_row_t row = whole();
  ck_assert_uint_eq(au_row_service(&row).size, 0);
  ck_assert(!au_row_is_sound(&row));
}

/* Each whole, and yet nothing that a batch can hold. */
TEST_EACH(a_row_of_no_day_or_name_is_not_sound, 4) {
  static const struct {
    size_t at;
    uint8_t byte;
  } change[] = {{6, 0x7F}, {6, 0x80}, {50, '\0'}, {52, 0xFF}};
  rows.bytes.data[change[_i].at] = change[_i].byte;
  const au_row_t row = whole();
  au_event_t event;
  ck_assert_int_eq(au_row_decode(row.tuple, row.size, &event), AU_OK);
  ck_assert(!au_row_is_sound(&row));
}

/* COPY would take them for two rows. */
TEST(two_tuples_are_no_row) {
  const au_row_t one = whole();
  uint8_t *two = malloc(2 * one.size);
  ck_assert_ptr_nonnull(two);
  memcpy(two, one.tuple, one.size);
  memcpy(two + one.size, one.tuple, one.size);
  const au_row_t row = au_row_split(AU_ROW_EVENT, two, 2 * one.size);
  ck_assert(!au_row_is_sound(&row));
  free(two);
}

int main(void) { return run_tests("sound"); }
