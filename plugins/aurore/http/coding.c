/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * coding - see http/coding.h.
 */
#include "http/coding.h"

#include "base/gzip.h"
#include "base/zstd.h"

#include <string.h>
#include <strings.h>

#define QUALITY_MAX 1000
#define BLANKS " \t"

/* A weight of RFC 9110, 12.4.2, in thousandths: "0", "0.5", "1.000"; -1: it is
 * none. */
static int read_quality(const char *text, size_t size) {
  int quality = 0;
  int unit = QUALITY_MAX;
  if (size == 0 || size > strlen("0.000") || (size > 1 && text[1] != '.'))
    return -1;
  for (size_t i = 0; i < size; i++) {
    if (i == 1)
      continue; /* the point */
    if (text[i] < '0' || text[i] > '9')
      return -1;
    quality += (text[i] - '0') * unit;
    unit /= 10;
  }
  return quality <= QUALITY_MAX ? quality : -1;
}

/* The weight in what follows a coding, "size" bytes; -1: it cannot be read. */
static int quality_of(const char *text, size_t size) {
  const char *end = text + size;
  text += strspn(text, BLANKS);
  if (text >= end)
    return QUALITY_MAX;
  if (*text != ';')
    return -1;
  text++;
  text += strspn(text, BLANKS);
  if (end - text < 2 || strncasecmp(text, "q=", 2) != 0)
    return -1;
  text += 2;
  while (end > text && strchr(BLANKS, end[-1]) != NULL)
    end--;
  return read_quality(text, (size_t)(end - text));
}

static bool is_name(const char *text, size_t size, const char *name) {
  return size == strlen(name) && strncasecmp(text, name, size) == 0;
}

static int *find(au_coding_t *coding, const char *name, size_t size) {
  if (is_name(name, size, "gzip") || is_name(name, size, "x-gzip"))
    return &coding->gzip;
  if (is_name(name, size, "identity"))
    return &coding->identity;
  return is_name(name, size, "*") ? &coding->any : NULL;
}

void au_coding_read(au_coding_t *coding, const char *value) {
  for (;;) {
    value += strspn(value, BLANKS ",");
    if (*value == '\0')
      return;
    size_t size = strcspn(value, ",");
    size_t name = strcspn(value, BLANKS ";,");
    int *member = find(coding, value, name);
    int quality = member != NULL ? quality_of(value + name, size - name) : -1;
    if (quality >= 0)
      *member = quality;
    value += size;
  }
}

bool au_coding_is_gzip(const au_coding_t *coding) {
  int gzip = coding->gzip >= 0 ? coding->gzip : coding->any;
  return gzip > 0 && gzip >= coding->identity;
}

bool au_coding_pack(au_bytes_t *body) {
  au_bytes_t packed = {.account = body->account};
  if (body->failed || body->size == 0 ||
      au_gzip_deflate(body->data, body->size, body->size - 1, &packed) !=
          AU_OK) {
    au_bytes_fini(&packed);
    return false;
  }
  au_bytes_fini(body);
  *body = packed;
  return true;
}

au_content_coding_t au_content_coding_read(const char *value) {
  static const struct {
    const char *name;
    au_content_coding_t coding;
  } known[] = {{"identity", AU_CONTENT_IDENTITY}, {"gzip", AU_CONTENT_GZIP},
               {"x-gzip", AU_CONTENT_GZIP},       {"deflate", AU_CONTENT_ZLIB},
               {"zlib", AU_CONTENT_ZLIB},         {"zstd", AU_CONTENT_ZSTD}};
  if (value == NULL)
    return AU_CONTENT_IDENTITY;
  value += strspn(value, BLANKS);
  size_t size = strlen(value);
  while (size > 0 && strchr(BLANKS, value[size - 1]) != NULL)
    size--;
  for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
    if (is_name(value, size, known[i].name))
      return known[i].coding;
  return AU_CONTENT_UNKNOWN;
}

au_status_t au_content_inflate(au_content_coding_t coding, const char *body,
                               size_t size, size_t limit, au_bytes_t *out) {
  switch (coding) {
  case AU_CONTENT_GZIP:
    return au_gzip_inflate(body, size, limit, out);
  case AU_CONTENT_ZLIB:
    return au_zlib_inflate(body, size, limit, out);
  case AU_CONTENT_ZSTD:
    return au_zstd_inflate(body, size, limit, out);
  case AU_CONTENT_IDENTITY:
  case AU_CONTENT_UNKNOWN:
  default:
    return AU_INVALID;
  }
}
