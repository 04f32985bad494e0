/* SPDX-License-Identifier: MIT
 *
 * What the text of an option means: sizes, decimals, addresses.
 */
#include "config/option_value.h"
#include "support/suite.h"

#include <string.h>

#define MIB (1024.0 * 1024)
#define GIB (1024 * MIB)

CASE("values", NULL, NULL);

TEST(sizes) {
  static const struct {
    const char *text;
    double bytes; /* -1: no size */
  } row[] = {{"65536", 65536},      {"64KiB", 65536}, {"64kib", 65536},
             {"1MiB", MIB},         {"1GiB", GIB},    {"1TiB", 1024 * GIB},
             {"1.5MiB", 1.5 * MIB}, {"64 KiB", -1},   {"64KiBs", -1},
             {"64KB", -1},          {"64K", -1},      {"KiB", -1},
             {"1PiB", -1}};
  for (int i = 0; i < COUNT_OF(row); i++) {
    double bytes = -1;
    if (!au_option_bytes(row[i].text, &bytes))
      bytes = -1;
    ck_assert_msg(bytes == row[i].bytes, "%s is %f", row[i].text, bytes);
  }
}

TEST(decimals_are_what_the_compiler_makes_of_them) {
  static const struct {
    const char *text;
    double value;
  } row[] = {{"0.1", 0.1},
             {"0.001", 0.001},
             {"1.0", 1.0},
             {"123456.789", 123456.789},
             {"0.123456789012345", 0.123456789012345},
             {"-2.5", -2.5},
             {"+7", 7},
             {"000012", 12},
             {"999999999999999", 999999999999999}};
  for (int i = 0; i < COUNT_OF(row); i++) {
    double value = 0;
    ck_assert(au_option_number(row[i].text, &value));
    ck_assert_double_eq(value, row[i].value);
  }
}

TEST(addresses) {
  static const char *const good[] = {
      "127.0.0.1:3000",   "0.0.0.0:1",          "*:65535",
      "localhost:80",     "[::1]:3000",         "[::]:3000",
      "[fe80::1%eth0]:1", "[::ffff:1.2.3.4]:1", "unix:/run/events.sock"};
  static const char *const wrong[] = {"",
                                      "3000",
                                      ":3000",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:0",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:99999999999",
                                      "127.0.0.1:http",
                                      "127.0.0.1:+80",
                                      "127.0.0.1: 80",
                                      "127.0.0.256:80",
                                      "example.org:80",
                                      "::1:3000",
                                      "[::1]",
                                      "[::1:3000",
                                      "[]:3000",
                                      "[127.0.0.1]:3000",
                                      "[fe80::1%]:3000",
                                      "[fe80::1%a-name-too-long-for-it]:3000",
                                      "unix:",
                                      "unix:/",
                                      "unix:relative.sock",
                                      "http://127.0.0.1:3000"};
  for (int i = 0; i < COUNT_OF(good); i++)
    ck_assert_msg(au_option_is_listen(good[i]), "%s", good[i]);
  for (int i = 0; i < COUNT_OF(wrong); i++)
    ck_assert_msg(!au_option_is_listen(wrong[i]), "%s", wrong[i]);
}

TEST(a_socket_path_fits_into_its_address) {
  char text[5 + 108 + 1] = "unix:/";
  memset(text + 6, 'x', 106); /* a path of 107 bytes */
  ck_assert(au_option_is_listen(text));
  text[5 + 107] = 'x';
  ck_assert(!au_option_is_listen(text));
}

static const char *const no_origins[] = {"",
                                         "null",
                                         "Null",
                                         "**",
                                         "https://",
                                         "https://*",
                                         "https://*.example.com",
                                         "app.example.com",
                                         "//app.example.com",
                                         "://app.example.com",
                                         "https:app.example.com",
                                         "https:/app.example.com",
                                         "https://app.example.com/",
                                         "https://app.example.com/path",
                                         "https://app.example.com?",
                                         "https://app.example.com#",
                                         "https://me@app.example.com",
                                         "https://app.example.com:",
                                         "https://app.example.com:0",
                                         "https://app.example.com:080",
                                         "https://app.example.com:65536",
                                         "https://app.example.com:x",
                                         "https://a:1:2",
                                         "https://:443",
                                         "https://[::1",
                                         "https://[]",
                                         "https://[::1%eth0]",
                                         "https://[127.0.0.1]",
                                         "https://[::1]x",
                                         "https://::1",
                                         "1https://a",
                                         "ht tp://a",
                                         "https://a b",
                                         " https://a",
                                         "https://a ",
                                         "https://a, https://b",
                                         "https://\303\274ber.example",
                                         "https://a\r\nX: y"};

TEST(origins) {
  static const struct {
    const char *text;
    const char *origin;
  } good[] = {
      {"*", "*"},
      {"http://localhost", "http://localhost"},
      {"https://App.Example.COM", "https://app.example.com"},
      {"https://app.example.com:8443", "https://app.example.com:8443"},
      {"https://app.example.com:443", "https://app.example.com"},
      {"http://app.example.com:80", "http://app.example.com"},
      {"http://app.example.com:443", "http://app.example.com:443"},
      {"http://192.0.2.1:3000", "http://192.0.2.1:3000"},
      {"http://[2001:DB8::1]", "http://[2001:db8::1]"},
      {"http://[::1]:80", "http://[::1]"},
      {"https://xn--bcher-kva.example", "https://xn--bcher-kva.example"},
      {"moz-extension://0123-abc", "moz-extension://0123-abc"},
      {"capacitor://localhost", "capacitor://localhost"}};
  char origin[AU_ORIGIN_SIZE];
  for (int i = 0; i < COUNT_OF(good); i++) {
    ck_assert_msg(au_option_origin(good[i].text, origin), "%s", good[i].text);
    ck_assert_str_eq(origin, good[i].origin);
  }
  for (int i = 0; i < COUNT_OF(no_origins); i++)
    ck_assert_msg(!au_option_origin(no_origins[i], origin), "%s",
                  no_origins[i]);
}

TEST(an_origin_has_its_length) {
  char origin[AU_ORIGIN_SIZE];
  char text[AU_ORIGIN_SIZE + 1] = "https://";
  memset(text + 8, 'x', AU_ORIGIN_SIZE - 1 - 8);
  ck_assert(au_option_origin(text, origin));
  text[AU_ORIGIN_SIZE - 1] = 'x';
  ck_assert(!au_option_origin(text, origin));
}

int main(void) { return run_tests("option_value"); }
