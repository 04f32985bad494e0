/* SPDX-License-Identifier: MIT
 *
 * A zstd body: what comes out, where the limits of its size and of its window
 * are, what it may hold meanwhile, and what is refused.
 */
#include "base/zstd.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define ROOM ((size_t)9 << 20)

static unsigned char *packed;
static size_t packed_size;
static ZSTD_CCtx *context;

static void set_up(void) {
  packed = malloc(ROOM);
  ck_assert_ptr_nonnull(packed);
  packed_size = 0;
  context = ZSTD_createCCtx();
  ck_assert_ptr_nonnull(context);
}

static void tear_down(void) {
  (void)ZSTD_freeCCtx(context);
  free(packed);
}

static void set(ZSTD_cParameter parameter, int value) {
  ck_assert(!ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value)));
}

/* Adds a frame whose header has the size of the content, or does not. */
static void add_frame(const void *data, size_t size, bool has_size) {
  set(ZSTD_c_contentSizeFlag, has_size ? 1 : 0);
  ZSTD_inBuffer in = {.src = data, .size = size};
  ZSTD_outBuffer out = {.dst = packed, .size = ROOM, .pos = packed_size};
  if (has_size)
    ck_assert(!ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(context, size)));
  ck_assert_uint_eq(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end), 0);
  packed_size = out.pos;
}

static void add_text(const char *text) { add_frame(text, strlen(text), false); }

static void expect_text(size_t limit, const char *text) {
  au_bytes_t out = AU_BYTES_INIT;
  ck_assert_int_eq(au_zstd_inflate(packed, packed_size, limit, &out), AU_OK);
  ck_assert_uint_eq(out.size, strlen(text));
  if (out.size > 0)
    ck_assert_mem_eq(out.data, text, out.size);
  au_bytes_fini(&out);
}

static void expect_status(size_t limit, au_status_t status) {
  au_bytes_t out = AU_BYTES_INIT;
  ck_assert_int_eq(au_zstd_inflate(packed, packed_size, limit, &out), status);
  au_bytes_fini(&out);
}

CASE("inflate", set_up, tear_down);

TEST_EACH(a_frame_comes_out_as_it_went_in, 2) {
  add_frame("hello", 5, _i > 0);
  expect_text(100, "hello");
}

TEST(several_frames_are_one_body) {
  add_text("one ");
  add_frame("", 0, true);
  add_text("two");
  expect_text(100, "one two");
}

TEST(an_empty_frame_is_an_empty_body) {
  add_text("");
  expect_text(100, "");
}

/* RFC 8878, 3.1.2: data of somebody else, which is passed over. */
TEST(a_skippable_frame_is_passed_over) {
  add_text("one ");
  static const unsigned char frame[] = {0x53, 0x2A, 0x4D, 0x18, 3,  0,
                                        0,    0,    'a',  'b',  'c'};
  memcpy(packed + packed_size, frame, sizeof(frame));
  packed_size += sizeof(frame);
  add_text("two");
  expect_text(100, "one two");
}

TEST_EACH(the_limit_is_exact, 2) {
  add_frame("12345", 5, _i > 0);
  expect_text(5, "12345");
  expect_status(4, AU_FULL);
  add_frame("6789", 4, _i > 0); /* over two frames, too */
  expect_text(9, "123456789");
  expect_status(8, AU_FULL);
}

TEST_EACH(the_limit_holds_around_the_steps_of_the_buffer, 6) {
  static const size_t sizes[] = {65535, 65536, 65537, 131071, 131072, 131073};
  size_t want = sizes[_i];
  char *zeros = calloc(1, want);
  ck_assert_ptr_nonnull(zeros);
  add_frame(zeros, want, false);
  free(zeros);
  au_bytes_t out = AU_BYTES_INIT;
  ck_assert_int_eq(au_zstd_inflate(packed, packed_size, want, &out), AU_OK);
  ck_assert_uint_eq(out.size, want);
  au_bytes_fini(&out);
  expect_status(want - 1, AU_FULL);
}

TEST_EACH(a_bomb_is_stopped_at_the_limit, 2) {
  size_t inflated = (size_t)7 << 20;
  char *zeros = calloc(1, inflated);
  ck_assert_ptr_nonnull(zeros);
  for (int i = 0; i < 10; i++)
    add_frame(zeros, inflated, _i > 0);
  free(zeros);
  au_bytes_t out = AU_BYTES_INIT;
  ck_assert_int_eq(au_zstd_inflate(packed, packed_size, 1 << 20, &out),
                   AU_FULL);
  ck_assert_uint_le(out.size, (1 << 20) + 1);
  ck_assert_uint_le(out.capacity, 4 << 20);
  au_bytes_fini(&out);
}

/* --- windows ---*/

CASE("windows", set_up, tear_down);

/* In the header of a frame that has no size: 1 KiB << "log", and so many
 * eighths more. */
static void set_window(unsigned log, unsigned eighths) {
  ck_assert_uint_eq(packed[4] & 0x20, 0);
  packed[5] = (unsigned char)(log << 3 | eighths);
}

TEST(the_largest_window_is_that_of_the_rfc) {
  add_text("eight MiB");
  set_window(13, 0);
  expect_text(100, "eight MiB");
}

/* A few bytes that would fit anywhere: it is what the header asks for that
 * counts. */
TEST(a_larger_window_is_refused) {
  add_text("sixteen MiB");
  set_window(14, 0);
  expect_status(100, AU_INVALID);
}

TEST(a_window_that_is_a_little_larger_is_refused) {
  add_text("nine MiB");
  set_window(13, 1);
  expect_status(100, AU_INVALID);
}

TEST(the_largest_window_there_is_is_refused) {
  add_text("text");
  set_window(31, 7);
  expect_status(100, AU_INVALID);
}

/* Of one segment: the window is the content. */
TEST(a_content_that_is_larger_than_a_window_is_refused) {
  static const unsigned char frame[] = {0x28, 0xB5, 0x2F, 0xFD, 0xE0, 1, 0,
                                        0x80, 0,    0,    0,    0,    0};
  memcpy(packed, frame, sizeof(frame));
  packed_size = sizeof(frame);
  expect_status(100, AU_INVALID);
}

/* What it needs meanwhile is charged before it is taken, and given back. */
TEST(a_window_is_charged) {
  add_text("text");
  set_window(13, 0);
  au_budget_t budget = {.max = (uint64_t)9 << 20};
  au_account_t account = {.budget = &budget};
  au_bytes_t out = {.account = &account};
  ck_assert_int_eq(au_zstd_inflate(packed, packed_size, 100, &out), AU_OK);
  ck_assert_uint_ge(au_budget_take_highest(&budget), (uint64_t)8 << 20);
  ck_assert_uint_eq(au_budget_held(&budget), out.capacity);
  au_bytes_fini(&out);
  budget.max = (uint64_t)8 << 20;
  ck_assert_int_eq(au_zstd_inflate(packed, packed_size, 100, &out), AU_NOMEM);
  au_bytes_fini(&out);
  ck_assert_uint_eq(au_budget_held(&budget), 0);
}

/* --- what is refused ---*/

CASE("refused", set_up, tear_down);

TEST_EACH(every_cut_is_refused, 2) {
  set(ZSTD_c_checksumFlag, 1);
  add_frame("some text, and more text", 24, _i > 0);
  size_t whole = packed_size;
  for (packed_size = 0; packed_size < whole; packed_size++)
    expect_status(100, AU_INVALID);
}

TEST(a_changed_checksum_is_refused) {
  set(ZSTD_c_checksumFlag, 1);
  add_text("some text");
  for (size_t at = packed_size - 4; at < packed_size; at++) {
    packed[at] ^= 0x10;
    expect_status(100, AU_INVALID);
    packed[at] ^= 0x10;
  }
}

TEST(what_follows_is_refused) {
  add_text("text");
  memset(packed + packed_size, 0, 20);
  for (size_t more = 1; more < 20; more++) {
    packed_size++;
    expect_status(100, AU_INVALID);
  }
}

TEST(plain_text_is_refused) {
  static const char text[] = "{\"a\":1}";
  memcpy(packed, text, sizeof(text));
  packed_size = sizeof(text) - 1;
  expect_status(100, AU_INVALID);
}

/* The library can read them, or could once. */
TEST_EACH(formats_of_before_are_refused, 8) {
  add_text("text");
  packed[0] = (unsigned char)(0x20 + _i);
  expect_status(100, AU_INVALID);
}

TEST(a_frame_that_needs_a_dictionary_is_refused) {
  static const unsigned char frame[] = {0x28, 0xB5, 0x2F, 0xFD, 0x21, 7,
                                        1,    9,    0,    0,    'a'};
  memcpy(packed, frame, sizeof(frame));
  packed_size = sizeof(frame);
  expect_status(100, AU_INVALID);
}

int main(void) { return run_tests("zstd"); }
