/* SPDX-License-Identifier: MIT
 *
 * check_refusals - what is said about refused events is bounded while it is
 * made, whatever is wrong with how many of them, and it says what it leaves
 * out.
 */
#include "support/bodies.h"

#include "support/suite.h"

#define EVENTS 10000

/* "count" objects with "fields" unknown fields each, of this name and a number.
 */
static void put_events(int count, int fields, const char *name) {
  au_bytes_put_u8(&body, '[');
  for (int i = 0; i < count; i++) {
    au_bytes_put_string(&body, i > 0 ? ",{" : "{");
    for (int j = 0; j < fields; j++)
      au_bytes_printf(&body, "%s\"%s%d\":0", j > 0 ? "," : "", name, j);
    au_bytes_put_u8(&body, '}');
  }
  au_bytes_put_u8(&body, ']');
}

static void expect_bounded(void) {
  ck_assert_uint_le(intake->errors_listed, AU_ERRORS_LISTED_MAX);
  ck_assert_uint_ge(intake->errors_listed, 1);
  ck_assert_uint_le(intake->errors_json.size, AU_ERRORS_JSON_MAX);
  ck_assert_uint_le(intake->errors_json.capacity, 128 << 10);
  for (size_t i = 0; i < intake->errors_listed; i++) {
    const char *text = errors_of(i);
    ck_assert_int_eq(text[0], '[');
    ck_assert_int_eq(text[1], '{');
    ck_assert_int_eq(text[strlen(text) - 1], ']');
  }
}

CASE("refusals", set_up_reader, tear_down_reader);

TEST(a_hundred_events_are_listed) {
  au_bytes_put_string(&body, "[0");
  for (int i = 1; i < EVENTS; i++)
    au_bytes_put_string(&body, ",0");
  au_bytes_put_string(&body, "]");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  expect_bounded();
  ck_assert_uint_eq(intake->errors_listed, AU_ERRORS_LISTED_MAX);
  ck_assert_uint_eq(intake->errors_count, EVENTS);
  ck_assert_uint_eq(intake->errors[99].index, 99);
}

/* Bytes run out before the events do, and in the middle of one. */
TEST(all_errors_together_have_a_bound) {
  limits.max_body_bytes = 64 << 20;
  put_events(EVENTS, 16, "a");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  expect_bounded();
  ck_assert_uint_lt(intake->errors_listed, AU_ERRORS_LISTED_MAX);
  ck_assert_uint_gt(intake->errors_json.size, AU_ERRORS_JSON_MAX / 2);
  ck_assert_uint_eq(intake->errors_count, EVENTS);
  ck_assert_uint_eq(intake->errors[0].fields_omitted, 0);
}

/* Names that are as long as they may be, and six bytes for each of theirs. */
TEST(the_longest_texts_are_bounded) {
  char name[500] = "";
  for (int i = 0; i < 70; i++)
    strcat(name, "\\u0001");
  put_events(200, 1, name);
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  expect_bounded();
  ck_assert_uint_gt(intake->errors_listed, 20);
  ck_assert_uint_lt(intake->errors_listed, 100);
}

TEST(a_name_of_a_million_bytes_is_cut) {
  au_bytes_put_string(&body, "{\"timestamp\":0,\"service\":\"s\",\"message\":"
                             "\"m\",\"");
  for (int i = 0; i < 1000000; i++)
    au_bytes_put_u8(&body, 'k');
  au_bytes_put_string(&body, "\":1}");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_lt(strlen(errors_of(0)), 300);
}

TEST(fields_that_are_left_out_are_counted) {
  put_events(1, 1000, "f");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  /* with timestamp, service and message */
  ck_assert_uint_eq(intake->errors[0].fields_omitted, 1003 - 20);
  ck_assert_ptr_nonnull(strstr(errors_of(0), "\"f16\""));
  ck_assert_ptr_null(strstr(errors_of(0), "\"f17\""));
  au_bytes_clear(&body, SIZE_MAX);
  put_events(1, 17, "f");
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->errors[0].fields_omitted, 0);
}

TEST(each_event_is_known_as_refused_or_not) {
  au_bytes_put_u8(&body, '[');
  for (int i = 0; i < 1000; i++)
    au_bytes_printf(&body, "%s%s", i > 0 ? "," : "",
                    i % 7 == 3 ? "{}" : with(""));
  au_bytes_put_u8(&body, ']');
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  for (size_t i = 0; i < 1000; i++)
    ck_assert_int_eq(au_intake_is_refused(intake, i), i % 7 == 3);
  ck_assert(!au_intake_is_refused(intake, 1000000));
  /* and the next request begins anew */
  assert_accepted(with(""));
  ck_assert(!au_intake_is_refused(intake, 0));
}

/* How many were read is known after a refusal of all. */
TEST(what_was_attempted_is_kept) {
  limits.max_batch_events = 5;
  au_bytes_put_string(&body, "[1,2,3,4,5,6]");
  ck_assert_int_eq(parse_body(), AU_INTAKE_TOO_MANY);
  ck_assert_uint_eq(intake->total, 0);
  ck_assert_uint_eq(intake->attempted, 5);
  ck_assert_int_eq(parse("[1,2,"), AU_INTAKE_MALFORMED);
  ck_assert_uint_eq(intake->attempted, 2);
  ck_assert_int_eq(parse("[]"), AU_INTAKE_DONE);
  ck_assert_uint_eq(intake->attempted, 0);
}

/* All that a reader holds is charged, and all of it is given back. */
TEST(memory_is_charged_and_has_an_end) {
  au_budget_t budget = {.max = 1 << 20};
  au_account_move(&reader.account, &budget);
  au_bytes_put_u8(&body, '[');
  for (int i = 0; i < 20000; i++)
    au_bytes_printf(&body, "%s%s", i > 0 ? "," : "",
                    with("\"metadata\":{\"a\":\"\\n\\ud83d\\ude00\"}"));
  au_bytes_put_u8(&body, ']');
  limits.max_batch_events = EVENTS * 2;
  ck_assert_int_eq(parse_body(), AU_INTAKE_NOMEM);
  ck_assert_uint_le(au_budget_held(&budget), budget.max);
  au_reader_clear(&reader);
  ck_assert_uint_lt(au_budget_held(&budget), 256 << 10);
  budget.max = 64 << 20;
  ck_assert_int_eq(parse_body(), AU_INTAKE_DONE);
  ck_assert_uint_gt(au_budget_held(&budget), intake->rows.bytes.size);
  ck_assert_uint_eq(au_budget_held(&budget), reader.account.held);
  /* A million brackets are the parser's memory. */
  uint64_t before = au_budget_held(&budget);
  budget.max = before + (64 << 10);
  au_reader_clear(&reader);
  au_bytes_clear(&body, SIZE_MAX);
  for (int i = 0; i < 3000000; i++)
    au_bytes_put_u8(&body, '[');
  ck_assert_int_eq(parse_body(), AU_INTAKE_NOMEM);
  ck_assert_uint_le(au_budget_held(&budget), budget.max);
  au_reader_fini(&reader);
  ck_assert_uint_eq(au_budget_held(&budget), 0);
  ck_assert_int_eq(au_reader_init(&reader, &limits), AU_OK);
}

int main(void) { return run_tests("refusals"); }
