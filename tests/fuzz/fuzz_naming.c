/* SPDX-License-Identifier: MIT
 *
 * fuzz_naming - any text as the headers that bear the key of a request, and any
 * bytes as that request. A key is what stands between the quotes, or it is
 * none; the ids of the events are those that the contract computes from key,
 * query and body, the same ones each time, others under any other key.
 *
 * The first line of the input is the first header's value, the second that of a
 * second header (empty: there is none), the third the query; then a letter for
 * what the request goes by, and the body.
 */
#include "api/naming.h"
#include "event/name.h"
#include "event/reader.h"
#include "fuzz/fuzz.h"
#include "support/limits.h"

#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1700000000123456)

static const au_limits_t limits = DEFAULT_LIMITS;
static au_reader_t reader;
static au_reader_t again;

/* --- the key --------------------------------------------------------------*/

/* What a client has said, as the contract has it: without quotes around it, 1
 * to 255 visible characters. NULL: it is no key. To be freed. */
static char *expected_key(const char *value) {
  size_t size = strlen(value);
  bool is_quoted = size >= 2 && value[0] == '"' && value[size - 1] == '"';
  char *key = strndup(value + is_quoted, size - 2 * (size_t)is_quoted);
  fuzz_require(key != NULL, "out of memory");
  bool is_key = *key != '\0' && strlen(key) <= 255;
  for (const char *at = key; *at != '\0'; at++)
    is_key = is_key && *at >= 0x21 && *at <= 0x7e;
  if (is_key)
    return key;
  free(key);
  return NULL;
}

static void take(au_key_t *key, const char *name, const char *value) {
  const au_key_t before = *key;
  char *expected = expected_key(value);
  bool differs =
      expected != NULL && before.size > 0 && strcmp(expected, before.text) != 0;
  bool is_taken = au_key_take(key, name, value);
  fuzz_require(is_taken == (expected != NULL && !differs),
               "a key is refused, or something else is taken for one");
  if (is_taken)
    fuzz_require(key->size == strlen(expected) &&
                     strcmp(key->text, expected) == 0,
                 "a key is not what was given");
  else
    fuzz_require(key->size == before.size, "what is no key changes one");
  free(expected);
}

/* Another header says nothing, whatever it says. */
static au_key_t read_key(const char *first, const char *second) {
  au_key_t key = {.size = 0};
  fuzz_require(au_key_take(&key, "X-Request-Id", first) && key.size == 0,
               "another header is a key");
  take(&key, "Idempotency-Key", first);
  if (*second != '\0')
    take(&key, "x-idempotency-key", second);
  return key;
}

/* --- the name -------------------------------------------------------------*/

typedef struct request {
  const char *key;
  const char *query;
  const char *body;
  size_t size;
} request_t;

/* From the words of the contract. */
static au_digest_t expected_digest(const request_t *request) {
  au_digest_t of_body;
  au_digest_t digest;
  au_bytes_t text = AU_BYTES_INIT;
  fuzz_require(au_sha256(request->body, request->size, &of_body), "no SHA-256");
  au_bytes_put(&text, "aurore\0request", 15);
  au_bytes_put(&text, request->key, strlen(request->key) + 1);
  au_bytes_put(&text, request->query, strlen(request->query) + 1);
  au_bytes_put(&text, of_body.byte, sizeof(of_body.byte));
  fuzz_require(au_sha256(text.data, text.size, &digest), "no SHA-256");
  au_bytes_fini(&text);
  return digest;
}

static au_naming_t naming_of(const request_t *request) {
  au_naming_t naming = {.by = *request->key != '\0' ? AU_NAMED_BY_KEY
                                                    : AU_NAMED_BY_BYTES};
  fuzz_require(au_name_digest(request->key, request->query, request->body,
                              request->size, &naming.digest),
               "no SHA-256");
  au_digest_t expected = expected_digest(request);
  fuzz_require(
      memcmp(expected.byte, naming.digest.byte, sizeof(expected.byte)) == 0,
      "a digest is not that of key, query and body");
  return naming;
}

/* false: the body cannot be read. */
static bool read_request(au_reader_t *to, const request_t *request,
                         au_format_t format) {
  au_naming_t naming = naming_of(request);
  au_reader_name(to, &naming);
  return au_reader_read(to, format, request->body, request->size, NOW) ==
         AU_INTAKE_DONE;
}

/* A name begins with the time of the first event that bears one, in
 * milliseconds. */
static void check_time(const au_intake_t *intake, const au_uuid_t *name) {
  uint64_t ms = 0;
  for (unsigned i = 0; i < 6; i++)
    ms = ms << 8 | name->byte[i];
  fuzz_require(!intake->has_time || ms == (uint64_t)intake->time_us / 1000,
               "a name does not begin with the time");
}

static void check_numbered(const au_intake_t *intake, const au_row_t *row,
                           const au_uuid_t *id) {
  au_uuid_t expected = au_name_of_request(&intake->naming.digest,
                                          intake->has_time, intake->time_us);
  au_uuid_t name = au_row_name(row);
  fuzz_require(memcmp(&name, &expected, sizeof(name)) == 0,
               "an event bears another name than its request");
  check_time(intake, &name);
  fuzz_require(row->number < intake->total, "a number that no event has");
  fuzz_require((id->byte[6] & 0xF0) == 0x80 && (id->byte[8] & 0xC0) == 0x80,
               "an id that follows from a name is not version 8");
  fuzz_require(au_row_is_sound(row), "a row is not sound");
}

/* Which events are numbered, and that numbers rise, as the names of a batch
 * want it (store/event_keys.h). */
static void check_rows(const au_intake_t *intake) {
  size_t offset = 0;
  uint32_t least = 0;
  bool has_name = intake->naming.by == AU_NAMED_BY_KEY || intake->has_time;
  for (size_t i = 0; i < intake->rows.count; i++) {
    const au_row_t row =
        au_row_split(intake->rows.row[i].kind, intake->rows.bytes.data + offset,
                     intake->rows.row[i].size);
    au_uuid_t id = au_row_event_id(&row);
    offset += intake->rows.row[i].size;
    fuzz_require(memcmp(&id, &intake->ids[i], sizeof(id)) == 0,
                 "a client is told another id than the one that is stored");
    fuzz_require(row.kind == AU_ROW_IDENTIFIED ||
                     (row.kind == AU_ROW_NUMBERED) == has_name,
                 "an event of a request with a name has none, or one without");
    if (row.kind != AU_ROW_NUMBERED)
      continue;
    check_numbered(intake, &row, &id);
    fuzz_require(row.number >= least, "numbers do not rise");
    least = row.number + 1;
  }
}

/* The same ids again; and under another key or query none of them. */
static void check_again(const au_intake_t *intake, const request_t *request,
                        au_format_t format, bool is_other) {
  const au_intake_t *twin = &again.intake;
  fuzz_require(read_request(&again, request, format) &&
                   twin->rows.count == intake->rows.count,
               "a request is read in another way when it comes again");
  for (size_t i = 0; i < twin->rows.count; i++) {
    if (intake->rows.row[i].kind != AU_ROW_NUMBERED ||
        twin->rows.row[i].kind != AU_ROW_NUMBERED)
      continue;
    bool is_same =
        memcmp(&twin->ids[i], &intake->ids[i], sizeof(au_uuid_t)) == 0;
    fuzz_require(is_same != is_other,
                 is_other ? "two requests have the same ids"
                          : "a request has other ids when it comes again");
  }
}

static void check_request(const request_t *request, au_format_t format) {
  if (!read_request(&reader, request, format))
    return;
  check_rows(&reader.intake);
  check_again(&reader.intake, request, format, false);
  request_t other = *request;
  other.key = strcmp(request->key, "other") == 0 ? "another" : "other";
  check_again(&reader.intake, &other, format, true);
  other = *request;
  other.query = strcmp(request->query, "other") == 0 ? "another" : "other";
  check_again(&reader.intake, &other, format, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (reader.json == NULL)
    fuzz_require(au_reader_init(&reader, &limits) == AU_OK &&
                     au_reader_init(&again, &limits) == AU_OK,
                 "out of memory");
  fuzz_input_t input = {.data = data, .size = size};
  char *first = fuzz_text(fuzz_take_line(&input));
  char *second = fuzz_text(fuzz_take_line(&input));
  char *query = fuzz_text(fuzz_take_line(&input));
  uint8_t how = fuzz_take_byte(&input);
  au_key_t key = read_key(first, second);
  char *body = fuzz_copy(input.data, input.size);
  const request_t request = {.key =
                                 key.size > 0 && how % 2 == 0 ? key.text : "",
                             .query = query,
                             .body = body,
                             .size = input.size};
  check_request(&request, how % 4 < 2 ? AU_FORMAT_JSON : AU_FORMAT_NDJSON);
  free(body);
  free(query);
  free(second);
  free(first);
  return 0;
}
