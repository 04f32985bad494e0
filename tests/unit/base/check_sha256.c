/* SPDX-License-Identifier: MIT
 *
 * check_sha256 - the examples of FIPS 180-4, at once and in pieces.
 */
#include "base/hex.h"
#include "base/sha256.h"
#include "support/suite.h"

#include <string.h>

static const struct {
  const char *text;
  const char *digest;
} examples[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};

static void assert_digest(const au_digest_t *digest, const char *hex) {
  char text[2 * AU_SHA256_SIZE + 1] = "";
  (void)au_hex_write(text, digest->byte, sizeof(digest->byte));
  ck_assert_str_eq(text, hex);
}

CASE("sha256", NULL, NULL);

TEST_EACH(examples_at_once_and_in_pieces, COUNT_OF(examples)) {
  const char *text = examples[_i].text;
  size_t size = strlen(text);
  au_digest_t digest;
  ck_assert(au_sha256(text, size, &digest));
  assert_digest(&digest, examples[_i].digest);
  for (size_t first = 0; first <= size; first++) {
    au_sha256_t sha256;
    au_sha256_begin(&sha256);
    au_sha256_put(&sha256, text, first);
    au_sha256_put(&sha256, NULL, 0);
    au_sha256_put(&sha256, text + first, size - first);
    ck_assert(au_sha256_end(&sha256, &digest));
    assert_digest(&digest, examples[_i].digest);
  }
}

TEST(a_million_letters) {
  static const char letters[] =
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
  au_digest_t digest;
  au_sha256_t sha256;
  au_sha256_begin(&sha256);
  for (int i = 0; i < 20000; i++)
    au_sha256_put(&sha256, letters, 50);
  ck_assert(au_sha256_end(&sha256, &digest));
  assert_digest(
      &digest,
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* The NUL after a word keeps two words from passing for two others. */
TEST(a_word_ends_with_a_nul) {
  au_digest_t one;
  au_digest_t other;
  au_sha256_t sha256;
  au_sha256_begin(&sha256);
  au_sha256_put_word(&sha256, "ab");
  au_sha256_put_word(&sha256, "c");
  ck_assert(au_sha256_end(&sha256, &one));
  ck_assert(au_sha256("ab\0c", 5, &other));
  ck_assert_mem_eq(&one, &other, sizeof(one));
}

/* As after memory was short: what is put is passed over, there is no digest. */
TEST(a_failure_stays) {
  au_digest_t digest;
  au_sha256_t sha256;
  au_sha256_begin(&sha256);
  sha256.failed = true;
  au_sha256_put_word(&sha256, "x");
  ck_assert(!au_sha256_end(&sha256, &digest));
}

int main(void) { return run_tests("sha256"); }
