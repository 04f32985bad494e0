/* SPDX-License-Identifier: MIT
 * Part of config/; calls metrics/, event/, base/. */
#include "config/option_value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

/* A double holds every whole number of up to this many digits, and every power
 * of ten up to that one, so that the one division below rounds but once. */
#define DIGITS_MAX 15

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Reads the digits and the point; "out_end" is what follows them. */
static bool parse_decimal(const char *text, double *out_value,
                          const char **out_end) {
  bool negative = *text == '-';
  if (*text == '-' || *text == '+')
    text++;
  if (!is_digit(*text))
    return false;
  uint64_t mantissa = 0;
  unsigned digits = 0;
  double scale = 1;
  bool fraction = false;
  for (; is_digit(*text) || (*text == '.' && !fraction); text++) {
    if (*text == '.') {
      fraction = true;
      if (!is_digit(text[1]))
        return false;
      continue;
    }
    mantissa = mantissa * 10 + (uint64_t)(*text - '0');
    if (mantissa > 0 || fraction)
      digits++;
    if (digits > DIGITS_MAX)
      return false;
    if (fraction)
      scale *= 10;
  }
  double value = (double)mantissa / scale;
  *out_value = negative ? -value : value;
  *out_end = text;
  return true;
}

bool au_option_number(const char *text, double *out_value) {
  const char *end = NULL;
  return parse_decimal(text, out_value, &end) && *end == '\0';
}

bool au_option_bytes(const char *text, double *out_bytes) {
  static const char *const unit[] = {"", "KiB", "MiB", "GiB", "TiB"};
  const char *end = NULL;
  if (!parse_decimal(text, out_bytes, &end))
    return false;
  for (unsigned i = 0; i < sizeof(unit) / sizeof(unit[0]); i++)
    if (strcasecmp(end, unit[i]) == 0) {
      *out_bytes *= (double)(UINT64_C(1) << (10 * i));
      return true;
    }
  return false;
}

bool au_option_boolean(const char *text, bool *out_value) {
  static const char *const word[] = {"false", "true", "no", "yes", "off", "on"};
  for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++)
    if (strcasecmp(text, word[i]) == 0) {
      *out_value = i % 2 == 1;
      return true;
    }
  return false;
}

bool au_option_is_time_of_day(const char *text) {
  if (strlen(text) != 5 || text[2] != ':')
    return false;
  for (size_t i = 0; i < 5; i++)
    if (i != 2 && !is_digit(text[i]))
      return false;
  int hour = (text[0] - '0') * 10 + text[1] - '0';
  int minute = (text[3] - '0') * 10 + text[4] - '0';
  return hour <= 23 && minute <= 59;
}

static bool is_port(const char *text) {
  unsigned port = 0;
  size_t length = strlen(text);
  if (length < 1 || length > 5)
    return false;
  for (; *text != '\0'; text++) {
    if (!is_digit(*text))
      return false;
    port = port * 10 + (unsigned)(*text - '0');
  }
  return port >= 1 && port <= 65535;
}

/* What is between the brackets. */
static bool is_ipv6(char *address) {
  char *zone = strchr(address, '%');
  if (zone != NULL) {
    *zone++ = '\0';
    if (*zone == '\0' || strlen(zone) >= IF_NAMESIZE)
      return false;
  }
  struct in6_addr parsed;
  return inet_pton(AF_INET6, address, &parsed) == 1;
}

static bool is_host(char *host) {
  struct in_addr parsed;
  size_t length = strlen(host);
  if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
    host[length - 1] = '\0';
    return is_ipv6(host + 1);
  }
  return strcmp(host, "*") == 0 || strcasecmp(host, "localhost") == 0 ||
         inet_pton(AF_INET, host, &parsed) == 1;
}

bool au_option_is_listen(const char *text) {
  static const char prefix[] = "unix:";
  size_t prefix_length = sizeof(prefix) - 1;
  if (strncmp(text, prefix, prefix_length) == 0) {
    const char *path = text + prefix_length;
    return path[0] == '/' && path[1] != '\0' &&
           strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
  }
  char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 4];
  const char *colon = strrchr(text, ':');
  if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
    return false;
  memcpy(host, text, (size_t)(colon - text));
  host[colon - text] = '\0';
  return is_host(host) && is_port(colon + 1);
}

/* Where a value of "key = value" ends: at a space, or at its closing quote. */
static const char *end_of_value(const char *text) {
  bool is_quoted = *text == '\'';
  if (is_quoted)
    text++;
  for (; *text != '\0'; text++) {
    if (*text == '\\' && text[1] != '\0')
      text++;
    else if (is_quoted ? *text == '\'' : isspace((unsigned char)*text))
      return is_quoted ? text + 1 : text;
  }
  return text;
}

static size_t put(char *out_text, size_t size, size_t used, const char *text,
                  size_t length) {
  if (length > size - 1 - used)
    length = size - 1 - used;
  memcpy(out_text + used, text, length);
  out_text[used + length] = '\0';
  return used + length;
}

/* "scheme://user:password@host/database?options", without user and options. A
 * "@" after the host may be of a password that is not written as it should be:
 * then nothing is shown. */
static void redact_uri(const char *uri, char *out_text, size_t size) {
  const char *begin = strstr(uri, "://") + 3;
  size_t length = strcspn(begin, "/?");
  const char *host = memrchr(begin, '@', length);
  size_t used = put(out_text, size, 0, uri, (size_t)(begin - uri));
  if (host != NULL || strchr(begin + length, '@') != NULL)
    used = put(out_text, size, used, "...", 3);
  if (strchr(begin + length, '@') != NULL)
    return;
  begin = host != NULL ? host : begin;
  (void)put(out_text, size, used, begin, strcspn(begin, "?"));
}

static bool is_secret(const char *name, size_t length) {
  static const char word[] = "password";
  size_t size = strlen(word);
  return length >= size && strncasecmp(name + length - size, word, size) == 0;
}

void au_option_redact(const char *conninfo, char *out_text, size_t size) {
  size_t used = put(out_text, size, 0, "", 0);
  /* As libpq tells them apart. */
  if (strncmp(conninfo, "postgresql://", 13) == 0 ||
      strncmp(conninfo, "postgres://", 11) == 0) {
    redact_uri(conninfo, out_text, size);
    return;
  }
  if (strchr(conninfo, '=') == NULL) /* the name of a database */
    (void)put(out_text, size, used, conninfo, strlen(conninfo));
  while (*conninfo != '\0') {
    size_t name = strspn(conninfo, " \t\r\n\f\v");
    size_t length = name + strcspn(conninfo + name, "= \t\r\n\f\v");
    const char *value = conninfo + length;
    value += strspn(value, " \t\r\n\f\v");
    if (*value != '=')
      return;
    value++;
    value += strspn(value, " \t\r\n\f\v");
    const char *end = end_of_value(value);
    used = put(out_text, size, used, conninfo, (size_t)(value - conninfo));
    used = is_secret(conninfo, length)
               ? put(out_text, size, used, "...", 3)
               : put(out_text, size, used, value, (size_t)(end - value));
    conninfo = end;
  }
}
/* --- origins ---------------------------------------------------------------
 */

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static bool is_made_of(const char *text, const char *characters) {
  return *text != '\0' && text[strspn(text, characters)] == '\0';
}

/* A host in lower case; it may be changed. */
static bool is_origin_host(char *host) {
  size_t length = strlen(host);
  struct in6_addr parsed;
  if (host[0] != '[')
    return is_made_of(host, LETTERS DIGITS "-._");
  if (host[length - 1] != ']')
    return false;
  host[length - 1] = '\0';
  return inet_pton(AF_INET6, host + 1, &parsed) == 1;
}

static bool is_origin(const char *origin) {
  char text[AU_ORIGIN_SIZE];
  memcpy(text, origin, strlen(origin) + 1);
  char *host = strstr(text, "://");
  if (host == NULL)
    return false;
  *host = '\0';
  host += strlen("://");
  char *port = strrchr(host, ':');
  if (port != NULL && strchr(port, ']') == NULL) {
    *port++ = '\0';
    if (!is_port(port) || *port == '0')
      return false;
  }
  return text[0] >= 'a' && text[0] <= 'z' &&
         is_made_of(text, LETTERS DIGITS "+-.") && is_origin_host(host);
}

/* A browser leaves it out. */
static void drop_default_port(char *origin) {
  static const char *const defaults[][2] = {{"http://", ":80"},
                                            {"https://", ":443"}};
  size_t length = strlen(origin);
  for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
    size_t port = strlen(defaults[i][1]);
    if (length > port &&
        strncmp(origin, defaults[i][0], strlen(defaults[i][0])) == 0 &&
        strcmp(origin + length - port, defaults[i][1]) == 0)
      origin[length - port] = '\0';
  }
}

bool au_option_origin(const char *text, char out_origin[AU_ORIGIN_SIZE]) {
  size_t length = strlen(text);
  if (length >= AU_ORIGIN_SIZE)
    return false;
  memcpy(out_origin, text, length + 1);
  for (char *c = out_origin; *c != '\0'; c++)
    if (*c >= 'A' && *c <= 'Z')
      *c |= 0x20;
  if (strcmp(out_origin, "*") == 0)
    return true;
  if (!is_origin(out_origin))
    return false;
  drop_default_port(out_origin);
  return true;
}
