/* SPDX-License-Identifier: MIT
 *
 * The TokenFile: what a line may be, and which scopes a token has.
 */
#include "http/token.h"

#include "api/routes.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* sha256 of "alpha" and "beta" (as sha256sum writes them). */
#define ALPHA "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"
#define BETA "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753"

static char error[512];

static au_status_t load(const char *text, size_t size, au_tokens_t **out) {
  char path[] = "/tmp/check_token_XXXXXX";
  int fd = mkstemp(path);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(write(fd, text, size), (ssize_t)size);
  close(fd);
  error[0] = '\0';
  au_status_t status = au_tokens_load(path, out, error, sizeof(error));
  unlink(path);
  return status;
}

static au_tokens_t *tokens_of(const char *text) {
  au_tokens_t *tokens = NULL;
  ck_assert_msg(load(text, strlen(text), &tokens) == AU_OK, "%s", error);
  return tokens;
}

static void refuse(const char *text, const char *part) {
  au_tokens_t *tokens = NULL;
  ck_assert_int_eq(load(text, strlen(text), &tokens), AU_INVALID);
  ck_assert_msg(strstr(error, part) != NULL, "%s has no %s", error, part);
  ck_assert_ptr_null(tokens);
}

CASE("token", NULL, NULL);

TEST(a_token_has_the_scope_of_its_line) {
  au_tokens_t *tokens = tokens_of("ingest " ALPHA "\nread " BETA "\n");
  ck_assert_int_eq(au_tokens_scopes(tokens, "Bearer alpha"), AU_SCOPE_INGEST);
  ck_assert_int_eq(au_tokens_scopes(tokens, "Bearer beta"), AU_SCOPE_READ);
  au_tokens_destroy(tokens);
}

TEST(a_token_on_two_lines_has_both_scopes) {
  au_tokens_t *tokens = tokens_of("ingest " ALPHA "\nread " ALPHA "\n");
  ck_assert_int_eq(au_tokens_scopes(tokens, "Bearer alpha"),
                   AU_SCOPE_INGEST | AU_SCOPE_READ);
  au_tokens_destroy(tokens);
}

TEST(admin_implies_the_others) {
  au_tokens_t *tokens = tokens_of("admin " ALPHA "\n");
  ck_assert_int_eq(au_tokens_scopes(tokens, "Bearer alpha"),
                   AU_SCOPE_ADMIN | AU_SCOPE_INGEST | AU_SCOPE_READ);
  au_tokens_destroy(tokens);
}

TEST(comments_blanks_and_case_do_not_matter) {
  au_tokens_t *tokens = tokens_of("# who may what\n\n  \t\nINGEST\t" ALPHA
                                  "   # the shop\r\nread  " BETA);
  ck_assert_int_eq(au_tokens_scopes(tokens, "bearer   alpha"), AU_SCOPE_INGEST);
  ck_assert_int_eq(au_tokens_scopes(tokens, "Bearer beta"), AU_SCOPE_READ);
  au_tokens_destroy(tokens);
}

TEST(digits_may_be_upper_case) {
  char text[128] = "read " ALPHA;
  for (char *c = text + 5; *c != '\0'; c++)
    *c = (char)(*c >= 'a' ? *c - 'a' + 'A' : *c);
  au_tokens_t *tokens = tokens_of(text);
  ck_assert_int_eq(au_tokens_scopes(tokens, "Bearer alpha"), AU_SCOPE_READ);
  au_tokens_destroy(tokens);
}

TEST(any_other_header_is_no_token) {
  static const char *const headers[] = {"",
                                        "alpha",
                                        "Basic alpha",
                                        "Bearer",
                                        "Bearer ",
                                        "Bearer alph",
                                        "Bearer alphaa",
                                        "Bearer ALPHA",
                                        ("Bearer " ALPHA)};
  au_tokens_t *tokens = tokens_of("ingest " ALPHA "\n");
  ck_assert_int_eq(au_tokens_scopes(tokens, NULL), AU_TOKEN_NONE);
  for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
    ck_assert_msg(au_tokens_scopes(tokens, headers[i]) < 0, "%s", headers[i]);
  au_tokens_destroy(tokens);
}

TEST(a_file_without_a_token_lets_nobody_in) {
  au_tokens_t *tokens = tokens_of("# nobody\n");
  ck_assert_int_eq(au_tokens_scopes(tokens, "Bearer alpha"), AU_TOKEN_WRONG);
  au_tokens_destroy(tokens);
}

/* Base64 of ":alpha", "user:alpha", "a:alpha"; and of "a:b:alpha", of the first
 * with a NUL after it, of "alpha", and of "alpha:". */
TEST(the_password_of_basic_is_a_token) {
  static const char *const good[] = {
      "Basic OmFscGhh", "basic dXNlcjphbHBoYQ==", "BASIC  YTphbHBoYQ=="};
  static const char *const wrong[] = {"Basic YTpiOmFscGhh",
                                      "Basic OmFscGhhAA==",
                                      "Basic YWxwaGE=",
                                      "Basic YWxwaGE6",
                                      "Basic ",
                                      "Basic ====",
                                      "Basic Om\""};
  au_tokens_t *tokens = tokens_of("ingest " ALPHA "\n");
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
    ck_assert_msg(au_tokens_scopes(tokens, good[i]) == AU_SCOPE_INGEST, "%s",
                  good[i]);
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
    ck_assert_msg(au_tokens_scopes(tokens, wrong[i]) == AU_TOKEN_WRONG, "%s",
                  wrong[i]);
  ck_assert_int_eq(au_tokens_scopes(tokens, "Digest OmFscGhh"), AU_TOKEN_NONE);
  au_tokens_destroy(tokens);
}

TEST(a_file_of_no_bytes_is_an_error) { refuse("", "it is empty"); }

TEST(a_line_that_is_wrong_is_named) {
  refuse("ingest " ALPHA "\nwrite " BETA "\n", "line 2");
  refuse("ingest\n", "line 1");
  refuse(ALPHA "\n", "line 1");
  refuse("ingest alpha\n", "line 1");
  refuse("ingest " ALPHA "0\n", "line 1");
  refuse("ingest " ALPHA " more\n", "line 1");
  refuse("\n\ningest g" BETA "\n", "line 3");
}

TEST(an_error_does_not_show_the_line) {
  refuse("ingest my-secret-token\n", "line 1");
  ck_assert_ptr_null(strstr(error, "secret"));
}

/* A comment may be of any length, and the lines behind it keep their numbers.
 */
TEST(a_long_comment_is_one_line) {
  char text[4096];
  memset(text, '#', 2000);
  strcpy(text + 2000, "\nread " ALPHA "\nwrong\n");
  refuse(text, "line 3");
}

TEST(a_file_that_cannot_be_read_is_an_error) {
  au_tokens_t *tokens = NULL;
  ck_assert_int_eq(
      au_tokens_load("/nonexistent/tokens", &tokens, error, sizeof(error)),
      AU_IO);
  ck_assert_ptr_nonnull(strstr(error, "/nonexistent/tokens"));
  /* It opens, but cannot be read. */
  ck_assert_int_eq(au_tokens_load("/tmp", &tokens, error, sizeof(error)),
                   AU_IO);
  ck_assert_ptr_null(tokens);
}

int main(void) { return run_tests("token"); }
