/* SPDX-License-Identifier: MIT
 *
 * A gzip body: what comes out, where the limit is, and what is refused.
 */
#include "base/gzip.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define ROOM ((size_t)1 << 20)

/* Deflates "size" bytes as one gzip member after what "to" has. */
static size_t deflate_to(unsigned char *to, size_t used, const void *data,
                         size_t size) {
  z_stream stream;
  memset(&stream, 0, sizeof(stream));
  ck_assert_int_eq(
      deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
      Z_OK);
  unsigned char *copy = malloc(size + 1); /* zlib's input is not const */
  ck_assert_ptr_nonnull(copy);
  memcpy(copy, data, size);
  stream.next_in = copy;
  stream.avail_in = (uInt)size;
  stream.next_out = to + used;
  stream.avail_out = (uInt)(ROOM - used);
  ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
  used += stream.total_out;
  deflateEnd(&stream);
  free(copy);
  return used;
}

static unsigned char packed[ROOM];

static void expect_text(const void *data, size_t size, size_t limit,
                        const char *text) {
  au_bytes_t out = AU_BYTES_INIT;
  ck_assert_int_eq(au_gzip_inflate(data, size, limit, &out), AU_OK);
  ck_assert_uint_eq(out.size, strlen(text));
  if (out.size > 0)
    ck_assert_mem_eq(out.data, text, out.size);
  au_bytes_fini(&out);
}

static void expect_status(const void *data, size_t size, size_t limit,
                          au_status_t status) {
  au_bytes_t out = AU_BYTES_INIT;
  ck_assert_int_eq(au_gzip_inflate(data, size, limit, &out), status);
  au_bytes_fini(&out);
}

CASE("inflate", NULL, NULL);

TEST(a_member_comes_out_as_it_went_in) {
  size_t size = deflate_to(packed, 0, "hello", 5);
  expect_text(packed, size, 100, "hello");
}

TEST(several_members_are_one_body) {
  size_t size = deflate_to(packed, 0, "one ", 4);
  size = deflate_to(packed, size, "", 0);
  size = deflate_to(packed, size, "two", 3);
  expect_text(packed, size, 100, "one two");
}

TEST(an_empty_member_is_an_empty_body) {
  size_t size = deflate_to(packed, 0, "", 0);
  expect_text(packed, size, 100, "");
}

TEST(the_limit_is_exact) {
  size_t size = deflate_to(packed, 0, "12345", 5);
  expect_text(packed, size, 5, "12345");
  expect_status(packed, size, 4, AU_FULL);
  /* over two members, too */
  size = deflate_to(packed, size, "6789", 4);
  expect_text(packed, size, 9, "123456789");
  expect_status(packed, size, 8, AU_FULL);
}

TEST_EACH(the_limit_holds_around_the_steps_of_the_buffer, 6) {
  static const size_t sizes[] = {65535, 65536, 65537, 131071, 131072, 131073};
  size_t want = sizes[_i];
  char *zeros = calloc(1, want);
  ck_assert_ptr_nonnull(zeros);
  size_t size = deflate_to(packed, 0, zeros, want);
  free(zeros);
  au_bytes_t out = AU_BYTES_INIT;
  ck_assert_int_eq(au_gzip_inflate(packed, size, want, &out), AU_OK);
  ck_assert_uint_eq(out.size, want);
  au_bytes_fini(&out);
  expect_status(packed, size, want - 1, AU_FULL);
}

/* A thousand to one: what comes out is bounded, whatever went in. */
TEST(a_bomb_is_stopped_at_the_limit) {
  size_t inflated = (size_t)100 << 20;
  char *zeros = calloc(1, inflated);
  ck_assert_ptr_nonnull(zeros);
  size_t size = deflate_to(packed, 0, zeros, inflated);
  free(zeros);
  au_bytes_t out = AU_BYTES_INIT;
  ck_assert_int_eq(au_gzip_inflate(packed, size, 1 << 20, &out), AU_FULL);
  ck_assert_uint_le(out.size, (1 << 20) + 1);
  ck_assert_uint_le(out.capacity, 4 << 20);
  au_bytes_fini(&out);
}

TEST(every_cut_is_refused) {
  size_t size = deflate_to(packed, 0, "some text, and more text", 24);
  for (size_t cut = 0; cut < size; cut++)
    expect_status(packed, cut, 100, AU_INVALID);
}

TEST(every_changed_trailer_is_refused) {
  size_t size = deflate_to(packed, 0, "some text", 9);
  for (size_t at = size - 8; at < size; at++) {
    packed[at] ^= 0x10;
    expect_status(packed, size, 100, AU_INVALID);
    packed[at] ^= 0x10;
  }
}

TEST(what_follows_is_refused) {
  size_t size = deflate_to(packed, 0, "text", 4);
  packed[size] = 'x';
  expect_status(packed, size + 1, 100, AU_INVALID);
  memset(packed + size, 0, 20);
  expect_status(packed, size + 20, 100, AU_INVALID);
}

TEST(plain_text_is_refused) {
  expect_status("{\"a\":1}", 7, 100, AU_INVALID);
  expect_status("", 0, 100, AU_INVALID);
}

/* --- zlib's format --- */

static size_t compress_to(unsigned char *to, const char *text) {
  uLongf size = ROOM;
  ck_assert_int_eq(
      compress(to, &size, (const unsigned char *)text, strlen(text)), Z_OK);
  return size;
}

static void expect_zlib(size_t size, size_t limit, au_status_t status,
                        const char *text) {
  au_bytes_t out = AU_BYTES_INIT;
  ck_assert_int_eq(au_zlib_inflate(packed, size, limit, &out), status);
  if (status == AU_OK) {
    ck_assert_uint_eq(out.size, strlen(text));
    ck_assert(out.size == 0 || memcmp(out.data, text, out.size) == 0);
  }
  au_bytes_fini(&out);
}

CASE("zlib", NULL, NULL);

TEST(a_stream_comes_out_as_it_went_in) {
  expect_zlib(compress_to(packed, "hello"), 100, AU_OK, "hello");
  expect_zlib(compress_to(packed, ""), 100, AU_OK, "");
}

TEST(the_limit_of_a_stream_is_exact) {
  size_t size = compress_to(packed, "12345");
  expect_zlib(size, 5, AU_OK, "12345");
  expect_zlib(size, 4, AU_FULL, NULL);
}

TEST(every_cut_of_a_stream_is_refused) {
  size_t size = compress_to(packed, "some text, and more text");
  for (size_t cut = 0; cut < size; cut++)
    expect_zlib(cut, 100, AU_INVALID, NULL);
}

TEST(what_follows_a_stream_is_refused) {
  size_t size = compress_to(packed, "text");
  memcpy(packed + size, packed, size);
  expect_zlib(size + 1, 100, AU_INVALID, NULL);
  expect_zlib(size + size, 100, AU_INVALID, NULL);
}

TEST(the_one_is_not_the_other) {
  expect_zlib(deflate_to(packed, 0, "text", 4), 100, AU_INVALID, NULL);
  size_t size = compress_to(packed, "text");
  expect_status(packed, size, 100, AU_INVALID);
  memmove(packed, packed + 2, size); /* without its header: raw deflate */
  expect_zlib(size - 6, 100, AU_INVALID, NULL);
}

/* --- to gzip --- */

/* Text of "size" bytes that deflates, but not to nothing. */
static char *some_text(size_t size) {
  char *text = malloc(size + 1);
  ck_assert_ptr_nonnull(text);
  for (size_t i = 0; i < size; i++)
    text[i] = (char)('a' + (i * i / 7 + i / 1000) % 26);
  return text;
}

static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, 1000000};

CASE("deflate", NULL, NULL);

TEST_EACH(what_is_deflated_comes_out_again, sizeof(sizes) / sizeof(sizes[0])) {
  size_t size = sizes[_i];
  char *text = some_text(size);
  au_bytes_t out = AU_BYTES_INIT;
  au_bytes_t in = AU_BYTES_INIT;
  au_bytes_put_string(&out, "before");
  ck_assert_int_eq(au_gzip_deflate(text, size, SIZE_MAX, &out), AU_OK);
  ck_assert_mem_eq(out.data, "before", 6);
  ck_assert_int_eq(au_gzip_inflate(out.data + 6, out.size - 6, size, &in),
                   AU_OK);
  ck_assert_uint_eq(in.size, size);
  if (size > 0)
    ck_assert_mem_eq(in.data, text, size);
  au_bytes_fini(&in);
  au_bytes_fini(&out);
  free(text);
}

TEST_EACH(the_limit_of_deflating_is_exact, sizeof(sizes) / sizeof(sizes[0])) {
  size_t size = sizes[_i];
  char *text = some_text(size);
  au_bytes_t out = AU_BYTES_INIT;
  ck_assert_int_eq(au_gzip_deflate(text, size, SIZE_MAX, &out), AU_OK);
  size_t deflated = out.size;
  au_bytes_clear(&out, 0);
  ck_assert_int_eq(au_gzip_deflate(text, size, deflated, &out), AU_OK);
  ck_assert_uint_eq(out.size, deflated);
  au_bytes_clear(&out, 0);
  ck_assert_int_eq(au_gzip_deflate(text, size, deflated - 1, &out), AU_FULL);
  au_bytes_clear(&out, 0);
  ck_assert_int_eq(au_gzip_deflate(text, size, 0, &out), AU_FULL);
  au_bytes_fini(&out);
  free(text);
}

int main(void) { return run_tests("gzip"); }
