/* SPDX-License-Identifier: MIT
 *
 * check_trace - the header traceparent, and its place in metadata.
 */
#include "event/trace.h"

#include "support/suite.h"

#include <string.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

CASE("header", NULL, NULL);

static const char *const good[] = {
    "00-" TRACE "-" SPAN "-01",
    "00-" TRACE "-" SPAN "-00",
    "00-" TRACE "-" SPAN "-ff",
    "01-" TRACE "-" SPAN "-01",
    "cc-" TRACE "-" SPAN "-01-what-comes-later",
};

TEST_EACH(trace_is_read, sizeof(good) / sizeof(good[0])) {
  au_trace_t trace;
  ck_assert(au_trace_read(good[_i], &trace));
  ck_assert_str_eq(trace.trace_id, TRACE);
  ck_assert_str_eq(trace.span_id, SPAN);
}

static const struct {
  const char *header;
  bool is_sampled;
} flags[] = {
    {"00-" TRACE "-" SPAN "-01", true},  {"00-" TRACE "-" SPAN "-00", false},
    {"00-" TRACE "-" SPAN "-ff", true},  {"00-" TRACE "-" SPAN "-10", false},
    {"00-" TRACE "-" SPAN "-0e", false}, {"cc-" TRACE "-" SPAN "-03-x", true},
};

TEST_EACH(last_bit_says_whether_it_is_recorded,
          sizeof(flags) / sizeof(flags[0])) {
  au_trace_t trace;
  ck_assert(au_trace_read(flags[_i].header, &trace));
  ck_assert(trace.is_sampled == flags[_i].is_sampled);
}

static const char *const bad[] = {
    NULL,
    "",
    "00",
    "00-",
    "ff-" TRACE "-" SPAN "-01",
    "00-" TRACE "-" SPAN "-01-more",
    "00-" TRACE "-" SPAN "-01 ",
    "01-" TRACE "-" SPAN "-01more",
    "00-" TRACE "-" SPAN "-1",
    "00-" TRACE "-" SPAN,
    "00-" TRACE "-" SPAN "-0x",
    "0-" TRACE "-" SPAN "-01",
    "00_" TRACE "-" SPAN "-01",
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
    "00-4bf92f3577b34da6a3ce929d0e0e473-" SPAN "-01",
    "00-" TRACE "0-" SPAN "-01",
    "00-" TRACE "-00f067aa0ba902b-01",
    "00-00000000000000000000000000000000-" SPAN "-01",
    "00-" TRACE "-0000000000000000-01",
};

TEST_EACH(what_is_no_trace_is_passed_over, sizeof(bad) / sizeof(bad[0])) {
  au_trace_t trace;
  ck_assert(!au_trace_read(bad[_i], &trace));
}

CASE("metadata", NULL, NULL);

static const struct {
  const char *metadata; /* NULL: none */
  const char *after;    /* what follows the two */
} rows[] = {
    {NULL, "}"},
    {"{}", "}"},
    {"{\"a\":1}", ",\"a\":1}"},
    {"{\"traceId\":\"mine\"}", ",\"traceId\":\"mine\"}"},
};

TEST_EACH(trace_comes_before_the_members, sizeof(rows) / sizeof(rows[0])) {
  au_trace_t trace;
  ck_assert(au_trace_read(good[0], &trace));
  const char *metadata = rows[_i].metadata;
  au_bytes_t json = AU_BYTES_INIT;
  /* What an event before it has left is not of it. */
  au_bytes_put_string(&json, "left");
  au_trace_put(&trace,
               (au_slice_t){.data = metadata,
                            .size = metadata != NULL ? strlen(metadata) : 0},
               &json);
  au_bytes_t expected = AU_BYTES_INIT;
  au_bytes_put_string(&expected,
                      "{\"traceId\":\"" TRACE "\",\"spanId\":\"" SPAN "\"");
  au_bytes_put_string(&expected, rows[_i].after);
  ck_assert_str_eq(au_bytes_text(&json), au_bytes_text(&expected));
  au_bytes_fini(&json);
  au_bytes_fini(&expected);
}

int main(void) { return run_tests("trace"); }
