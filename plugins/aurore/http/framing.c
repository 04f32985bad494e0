/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * framing - see framing.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strverscmp */
#endif

#include "http/framing.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What libmicrohttpd has for each field, cookie and parameter, rounded up. */
#define ENTRY_BYTES ((size_t)64)
/* Between the name and the value of a field, and after it. */
#define SEPARATORS_BYTES ((size_t)4)
#define LINE_END_BYTES ((size_t)2)
#define VERSION_BYTES (sizeof("HTTP/1.1") - 1)

/* --- what is refused ----------------------------------------------------- */

#define FAULT(reason, text)                                                    \
  { .code = AU_ERROR_##reason, .message = (text) }
#define MALFORMED(text) FAULT(MALFORMED_REQUEST, text)
static const au_framing_fault_t
    bad_target = MALFORMED("the request target is malformed"),
    many_parameters = MALFORMED("too many query parameters"),
    bad_line = MALFORMED("the request line is malformed"),
    bad_field = MALFORMED("a header field is malformed"),
    no_host = MALFORMED("the header Host is missing"),
    bad_host = MALFORMED("the header Host is malformed"),
    repeated = MALFORMED("a header that may be given only once is repeated"),
    two_lengths =
        MALFORMED("Content-Length and Transfer-Encoding exclude each other"),
    old_chunks = MALFORMED("HTTP/1.0 has no Transfer-Encoding"),
    repeated_coding =
        FAULT(UNSUPPORTED_CODING, "Content-Encoding must be given only once"),
    unknown_coding =
        FAULT(UNSUPPORTED_TRANSFER_CODING, "Transfer-Encoding must be chunked"),
    unknown_expectation =
        FAULT(UNSUPPORTED_EXPECTATION, "Expect must be 100-continue"),
    long_target = {AU_ERROR_TARGET_TOO_LONG, "the request target is too long",
                   true},
    too_large = {AU_ERROR_HEADER_TOO_LARGE, "the request header is too large",
                 true};

/* --- characters ---------------------------------------------------------- */

/* A set of characters, 64 at a time; those above ASCII are in none. */
typedef struct set {
  uint64_t part[4];
} set_t;

#define BIT(character) (UINT64_C(1) << ((character) % 64))
/* "first" to "last", of the same part. */
#define RANGE(first, last) (BIT(last) - BIT(first) + BIT(last))
#define LETTERS (RANGE('A', 'Z') | RANGE('a', 'z'))

/* Names of fields, and methods. */
static const set_t token_characters = {
    {BIT('!') | RANGE('#', '\'') | BIT('*') | BIT('+') | BIT('-') | BIT('.') |
         RANGE('0', '9'),
     LETTERS | RANGE('^', '`') | BIT('|') | BIT('~')}};
/* What a host may be made of, without its port. */
static const set_t host_characters = {
    {BIT('!') | RANGE('$', '.') | RANGE('0', '9') | BIT(';') | BIT('='),
     LETTERS | BIT('_') | BIT('~')}};

static bool has(const set_t *set, char character) {
  unsigned char c = (unsigned char)character;
  return (set->part[c / 64] >> (c % 64) & 1) != 0;
}

static size_t span(const set_t *set, const char *text) {
  size_t size = 0;
  while (has(set, text[size]))
    size++;
  return size;
}

static bool is_token(const char *text, size_t size) {
  return size > 0 && span(&token_characters, text) == size;
}

static bool is_control(char character) {
  return (unsigned char)character < ' ' || character == 0x7F;
}

/* Eight bytes at a time: whether one of them may be a control character, a tab
 * too. A byte that follows one that is may be taken for one by mistake. */
static bool may_have_control(const char *text) {
  const uint64_t ones = UINT64_MAX / 0xFF;
  uint64_t word;
  memcpy(&word, text, sizeof(word));
  uint64_t del = word ^ ones * 0x7F;
  return ((((word - ones * ' ') & ~word) | ((del - ones) & ~del)) &
          ones * 0x80) != 0;
}

/* Bytes above 0x7F are let pass, as they always were. */
static bool is_value(const char *value, size_t size) {
  const size_t step = sizeof(uint64_t);
  bool may = size < step || may_have_control(value + size - step);
  for (size_t i = 0; i + step <= size; i += step)
    may |= may_have_control(value + i);
  bool good = true;
  for (size_t i = 0; may && i < size; i++)
    good &= !is_control(value[i]) || value[i] == '\t';
  return good;
}

/* --- the library --------------------------------------------------------- */

bool au_framing_is_library_lenient(void) {
  return strverscmp(MHD_get_version(), "0.9.77") < 0;
}

/* --- the target ---------------------------------------------------------- */

/* Where the path begins; false: it is neither a path nor "http://host". */
static bool find_path(const char *target, size_t *out_at) {
  *out_at = 0;
  if (*target == '/' || strcmp(target, "*") == 0)
    return true;
  size_t scheme = strcspn(target, ":");
  if ((scheme != 4 || strncasecmp(target, "http", 4) != 0) &&
      (scheme != 5 || strncasecmp(target, "https", 5) != 0))
    return false;
  if (strncmp(target + scheme, "://", 3) != 0)
    return false;
  const char *host = target + scheme + 3;
  size_t size = strcspn(host, "/?");
  *out_at = scheme + 3 + size;
  /* Decoding must not move the path. */
  return size > 0 && memchr(host, '%', size) == NULL;
}

void au_framing_read_target(const char *target,
                            au_framing_target_t *out_target) {
  unsigned parameters = 0;
  bool good = true;
  const char *at = target;
  for (; *at != '\0'; at++) {
    good &= !is_control(*at) && *at != ' ';
    parameters += *at == '&';
  }
  out_target->end = at;
  out_target->path_at = 0;
  out_target->fault =
      good && find_path(target, &out_target->path_at) ? NULL : &bad_target;
  if ((size_t)(at - target) > AU_TARGET_BYTES_MAX)
    out_target->fault = &long_target;
  if (parameters < AU_HEADER_ENTRIES_MAX)
    return;
  if (out_target->fault == NULL)
    out_target->fault = &many_parameters;
  /* It is libmicrohttpd's own buffer, which it is about to write to. With the
   * library of C23 strchr returns what it was given: a const. */
  union {
    const char *read;
    char *written;
  } query = {.read = strchr(target, '?')};
  if (query.read != NULL)
    query.written[1] = '\0';
}

/* --- the fields ---------------------------------------------------------- */

/* By the length of their names. */
typedef enum field {
  FIELD_HOST,
  FIELD_EXPECT,
  FIELD_TYPE,
  FIELD_AUTHORIZATION,
  FIELD_LENGTH,
  FIELD_CONTENT_CODING,
  FIELD_CORRELATION_ID,
  FIELD_TRANSFER_CODING,
  FIELD_COUNT
} field_t;

#define NAME(text) text, sizeof(text) - 1
static const struct {
  const char *name;
  size_t size;
  const au_framing_fault_t *repeated; /* NULL: the first one counts */
} fields[FIELD_COUNT] = {
    [FIELD_HOST] = {NAME("Host"), &repeated},
    [FIELD_EXPECT] = {NAME("Expect"), NULL},
    [FIELD_TYPE] = {NAME("Content-Type"), &repeated},
    [FIELD_AUTHORIZATION] = {NAME("Authorization"), &repeated},
    [FIELD_LENGTH] = {NAME("Content-Length"), &repeated},
    [FIELD_CONTENT_CODING] = {NAME("Content-Encoding"), &repeated_coding},
    [FIELD_CORRELATION_ID] = {NAME("X-Correlation-Id"), NULL},
    [FIELD_TRANSFER_CODING] = {NAME("Transfer-Encoding"), &repeated}};

typedef struct scan {
  const char *value[FIELD_COUNT];
  bool is_in_place; /* the fields are where they came */
  const char *next; /* where the next line begins */
  const au_framing_fault_t *fault;
} scan_t;

static field_t field_of(const char *name, size_t size) {
  for (int i = 0; i < FIELD_COUNT && fields[i].size <= size; i++)
    if (fields[i].size == size && strncasecmp(fields[i].name, name, size) == 0)
      return (field_t)i;
  return FIELD_COUNT;
}

/* White space after a value is not of it, but libmicrohttpd leaves it there, in
 * a buffer of its own that it does not look at again. Of Transfer-Encoding it
 * has: what it did not read as "chunked" is not. */
static void cut_space(const char *value, size_t size) {
  while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
    size--;
  char *text = NULL;
  memcpy(&text, &value, sizeof(text));
  if (text != NULL && text[size] != '\0')
    text[size] = '\0';
}

/* A line that was continued, or that has a NUL, does not lie where it should.
 * One that ends with a bare LF is shorter than it should be. */
static enum MHD_Result scan_field(void *cls, enum MHD_ValueKind kind,
                                  const char *name, size_t name_size,
                                  const char *value, size_t value_size) {
  (void)kind;
  scan_t *scan = cls;
  if (scan->is_in_place && name != scan->next)
    scan->fault = &bad_field;
  scan->next = value + value_size + LINE_END_BYTES;
  field_t field = field_of(name, name_size);
  if ((field == FIELD_COUNT && !is_token(name, name_size)) ||
      !is_value(value, value_size))
    scan->fault = &bad_field;
  if (scan->fault != NULL)
    return MHD_NO;
  if (field != FIELD_TRANSFER_CODING)
    cut_space(value, value_size);
  if (field == FIELD_COUNT)
    return MHD_YES;
  if (scan->value[field] == NULL)
    scan->value[field] = value;
  else
    scan->fault = fields[field].repeated;
  return scan->fault == NULL ? MHD_YES : MHD_NO;
}

static bool is_host(const char *text) {
  if (*text == '[') {
    text += 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
    if (*text++ != ']')
      return false;
  } else {
    text += span(&host_characters, text);
  }
  if (*text == ':')
    text += 1 + strspn(text + 1, "0123456789");
  return *text == '\0';
}

/* --- the header ---------------------------------------------------------- */

static size_t header_bytes(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(
      connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
  return info != NULL ? info->header_size : 0;
}

static enum MHD_Result add_copied(void *cls, enum MHD_ValueKind kind,
                                  const char *name, size_t name_size,
                                  const char *value, size_t value_size) {
  (void)kind;
  (void)name;
  (void)value;
  size_t *bytes = cls;
  *bytes += name_size + SEPARATORS_BYTES + value_size;
  return MHD_YES;
}

/* Cookies are copied by libmicrohttpd, and a trailer is not in the header. */
static const au_framing_fault_t *
check_memory(struct MHD_Connection *connection) {
  int entries =
      MHD_get_connection_values(connection,
                                MHD_HEADER_KIND | MHD_COOKIE_KIND |
                                    MHD_GET_ARGUMENT_KIND | MHD_FOOTER_KIND,
                                NULL, NULL);
  size_t bytes = header_bytes(connection) + (size_t)entries * ENTRY_BYTES;
  if (bytes <= AU_HEADER_MEMORY_MAX)
    (void)MHD_get_connection_values_n(
        connection, MHD_COOKIE_KIND | MHD_FOOTER_KIND, add_copied, &bytes);
  return entries > AU_HEADER_ENTRIES_MAX || bytes > AU_HEADER_MEMORY_MAX
             ? &too_large
             : NULL;
}

static const au_framing_fault_t *check_line(const au_framing_head_t *head,
                                            const au_framing_target_t *target) {
  size_t size = strlen(head->method);
  if (target->fault != NULL)
    return target->fault;
  if (!is_token(head->method, size))
    return &bad_line;
  /* One space on each side of the target, and no NUL in it. */
  bool good =
      head->method + size + 1 == head->url && target->end + 1 == head->version;
  return good || !head->is_library_lenient ? NULL : &bad_line;
}

static const au_framing_fault_t *scan_fields(const au_framing_head_t *head,
                                             scan_t *scan) {
  (void)MHD_get_connection_values_n(head->connection, MHD_HEADER_KIND,
                                    scan_field, scan);
  if (scan->fault != NULL || !scan->is_in_place)
    return scan->fault;
  const char *end = head->method + header_bytes(head->connection);
  return scan->next + LINE_END_BYTES == end ? NULL : &bad_field;
}

static const au_framing_fault_t *check_host(const char *host, bool is_old) {
  if (host == NULL)
    return is_old ? NULL : &no_host;
  return is_host(host) ? NULL : &bad_host;
}

static const au_framing_fault_t *check_length(const scan_t *scan, bool is_old,
                                              au_framing_t *out_framing) {
  const char *length = scan->value[FIELD_LENGTH];
  const char *coding = scan->value[FIELD_TRANSFER_CODING];
  if (coding != NULL && length != NULL)
    return &two_lengths;
  if (coding != NULL && strcasecmp(coding, "chunked") != 0)
    return &unknown_coding;
  if (coding != NULL && is_old)
    return &old_chunks;
  out_framing->is_chunked = coding != NULL;
  if (length != NULL) { /* digits: libmicrohttpd has refused all others */
    out_framing->content_length = strtoull(length, NULL, 10);
    if (out_framing->content_length == UINT64_MAX)
      out_framing->content_length--;
  }
  return NULL;
}

/* What the fields say together. */
static const au_framing_fault_t *check_fields(const scan_t *scan, bool is_old,
                                              au_framing_t *out_framing) {
  const char *expectation = scan->value[FIELD_EXPECT];
  out_framing->has_expectation = expectation != NULL;
  const au_framing_fault_t *fault = check_host(scan->value[FIELD_HOST], is_old);
  if (fault == NULL)
    fault = check_length(scan, is_old, out_framing);
  if (fault == NULL && expectation != NULL &&
      strcasecmp(expectation, "100-continue") != 0)
    fault = &unknown_expectation;
  return fault;
}

const au_framing_fault_t *au_framing_read(const au_framing_head_t *head,
                                          const au_framing_target_t *target,
                                          au_framing_t *out_framing) {
  *out_framing = (au_framing_t){.path = "/", .content_length = UINT64_MAX};
  scan_t scan = {.is_in_place = head->is_library_lenient,
                 .next = head->version + VERSION_BYTES + LINE_END_BYTES};
  const au_framing_fault_t *fault = check_memory(head->connection);
  if (fault == NULL || target->fault == &long_target)
    fault = check_line(head, target);
  if (fault == NULL && head->url[target->path_at] != '\0')
    out_framing->path = head->url + target->path_at;
  if (fault == NULL)
    fault = scan_fields(head, &scan);
  out_framing->correlation_id = scan.value[FIELD_CORRELATION_ID];
  if (fault == NULL)
    fault = check_fields(
        &scan, strcmp(head->version, MHD_HTTP_VERSION_1_0) == 0, out_framing);
  return fault;
}

/* Where its fields lie says nothing: libmicrohttpd may put the last one of the
 * header before them. */
const au_framing_fault_t *
au_framing_read_trailer(struct MHD_Connection *connection) {
  scan_t scan = {.is_in_place = false};
  const au_framing_fault_t *fault = check_memory(connection);
  if (fault != NULL)
    return fault;
  (void)MHD_get_connection_values_n(connection, MHD_FOOTER_KIND, scan_field,
                                    &scan);
  return scan.fault;
}
