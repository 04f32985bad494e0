/* SPDX-License-Identifier: MIT
 *
 * check_row - tuples against what PostgreSQL itself writes and reads, and
 * tuples that are damaged.
 *
 * The comparison needs a server (AURORE_TEST_CONNINFO); the rest does not.
 */
#include "event/row.h"

#include "event/storable.h"
#include "support/suite.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static au_rows_t rows;

static void empty(void) { rows = (au_rows_t){.count = 0}; }
static void drop(void) { au_rows_fini(&rows); }

/* The event as it is, and as SQL spells it. */
typedef struct sample {
  const char *id;
  int64_t ingested_at_us;
  const char *ingested_at;
  int64_t occurred_at_us;
  const char *occurred_at;
  const char *service;
  const char *message;
  const char *metadata; /* in the spelling of jsonb, or NULL */
} sample_t;

static const sample_t samples[] = {
    {"01936b6e-0f5a-7d3e-8a1b-0123456789ab", INT64_C(1732437866123456),
     "2024-11-24 08:44:26.123456+00", 0, "1970-01-01 00:00:00+00", "auth",
     "login", "{\"a\": 1}"},
    {"00000000-0000-0000-0000-000000000000", INT64_C(946684800000000),
     "2000-01-01 00:00:00+00", INT64_C(946684799999999),
     "1999-12-31 23:59:59.999999+00", "s", "m", NULL},
    {"ffffffff-ffff-ffff-ffff-ffffffffffff", INT64_C(4133980799999999),
     "2100-12-31 23:59:59.999999+00", INT64_C(4133980799999999),
     "2100-12-31 23:59:59.999999+00", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
     "line\nline\ttab\\ 'quote' \x01",
     "{\"k\": [1, 2.50, {\"x\": null, \"\xC3\xA9\": \"\\\"\\u0001\"}], "
     "\"z\": {}}"},
    {"01936b6e-0f5a-7d3e-8a1b-0123456789ac", 1, "1970-01-01 00:00:00.000001+00",
     INT64_C(1709164800000000), "2024-02-29 00:00:00+00", " ", " ", "{}"},
};

#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

static au_slice_t slice(const char *text) {
  return (au_slice_t){.data = text, .size = text != NULL ? strlen(text) : 0};
}

static au_event_t event_of(const sample_t *sample) {
  au_event_t event = {.ingested_at_us = sample->ingested_at_us,
                      .occurred_at_us = sample->occurred_at_us,
                      .service = slice(sample->service),
                      .message = slice(sample->message),
                      .metadata = slice(sample->metadata)};
  ck_assert(au_uuid_parse(sample->id, strlen(sample->id), &event.id));
  return event;
}

static void append_samples(void) {
  for (size_t i = 0; i < SAMPLES; i++) {
    au_event_t event = event_of(&samples[i]);
    ck_assert_int_eq(au_rows_append(&rows, &event), AU_OK);
  }
}

static void assert_slice(au_slice_t is, au_slice_t should) {
  ck_assert_uint_eq(is.size, should.size);
  ck_assert((is.data == NULL) == (should.data == NULL));
  if (is.size > 0)
    ck_assert_mem_eq(is.data, should.data, is.size);
}

static void assert_event(const au_event_t *is, const au_event_t *should) {
  ck_assert_mem_eq(&is->id, &should->id, sizeof(is->id));
  ck_assert_int_eq(is->ingested_at_us, should->ingested_at_us);
  ck_assert_int_eq(is->occurred_at_us, should->occurred_at_us);
  assert_slice(is->service, should->service);
  assert_slice(is->message, should->message);
  assert_slice(is->metadata, should->metadata);
}

/* --- without a server -----------------------------------------------------*/

CASE("tuple", empty, drop);

TEST(a_tuple_reads_back) {
  append_samples();
  size_t offset = 0;
  for (size_t i = 0; i < SAMPLES; i++) {
    const uint8_t *tuple = rows.bytes.data + offset;
    au_event_t should = event_of(&samples[i]);
    au_event_t is;
    ck_assert_int_eq(au_row_decode(tuple, rows.row[i].size, &is), AU_OK);
    assert_event(&is, &should);
    const au_row_t row = au_row_split(AU_ROW_EVENT, tuple, rows.row[i].size);
    ck_assert_int_eq(au_row_ingested_at_us(&row), should.ingested_at_us);
    assert_slice(au_row_service(&row), should.service);
    au_uuid_t id = au_row_event_id(&row);
    ck_assert_mem_eq(&id, &should.id, sizeof(id));
    offset += rows.row[i].size;
  }
  ck_assert_uint_eq(offset, rows.bytes.size);
}

/* In a buffer of its very size, so that memory checkers see a step too far. */
static au_status_t decode_copy(const uint8_t *tuple, size_t size) {
  uint8_t *copy = malloc(size + 1);
  ck_assert_ptr_nonnull(copy);
  memmove(copy + 1, tuple, size);
  au_event_t event;
  au_status_t status = au_row_decode(copy + 1, size, &event);
  free(copy);
  return status;
}

TEST(a_tuple_of_another_size_is_refused) {
  append_samples();
  for (size_t size = 0; size < rows.row[0].size; size++)
    ck_assert_int_eq(decode_copy(rows.bytes.data, size), AU_INVALID);
  ck_assert_int_eq(decode_copy(rows.bytes.data, rows.row[0].size), AU_OK);
  ck_assert_int_eq(decode_copy(rows.bytes.data, rows.row[0].size + 1U),
                   AU_INVALID);
}

/* What is put back names its dead letter, and is otherwise the same. */
TEST(an_event_that_is_put_back_reads_back) {
  const au_uuid_t dead_letter = au_uuid_v4();
  for (size_t i = 0; i < SAMPLES; i++) {
    au_event_t should = event_of(&samples[i]);
    au_rows_clear(&rows);
    ck_assert_int_eq(au_rows_append_reprocess(&rows, &should, &dead_letter),
                     AU_OK);
    ck_assert_int_eq(rows.row[0].kind, AU_ROW_REPROCESS);
    const au_row_t row =
        au_row_split(rows.row[0].kind, rows.bytes.data, rows.row[0].size);
    ck_assert_mem_eq(&row.dead_letter_id, &dead_letter, sizeof(dead_letter));
    ck_assert_uint_eq(row.size, rows.row[0].size - 16);
    au_event_t is;
    ck_assert_int_eq(au_row_decode(row.tuple, row.size, &is), AU_OK);
    assert_event(&is, &should);
  }
}

/* Where row "index" begins. */
static const uint8_t *row_at(size_t index) {
  const uint8_t *row = rows.bytes.data;
  for (size_t i = 0; i < index; i++)
    row += rows.row[i].size;
  return row;
}

/* One of each kind, of events that differ. */
static void append_each_kind(const au_uuid_t *dead_letter) {
  au_event_t event = event_of(&samples[0]);
  ck_assert_int_eq(au_rows_append(&rows, &event), AU_OK);
  event = event_of(&samples[1]);
  ck_assert_int_eq(au_rows_append_reprocess(&rows, &event, dead_letter), AU_OK);
  event = event_of(&samples[2]);
  ck_assert_int_eq(au_rows_append_identified(&rows, &event), AU_OK);
  event = event_of(&samples[0]);
  ck_assert_int_eq(au_rows_append_numbered(&rows, &event, 0), AU_OK);
  event = event_of(&samples[1]);
  ck_assert_int_eq(au_rows_append_numbered(&rows, &event, 0x01020304), AU_OK);
}

static void assert_row(size_t index, au_row_kind_t kind, size_t sample) {
  ck_assert_int_eq(rows.row[index].kind, kind);
  const au_row_t row =
      au_row_split(rows.row[index].kind, row_at(index), rows.row[index].size);
  ck_assert_int_eq(row.kind, kind);
  au_event_t is;
  ck_assert_int_eq(au_row_decode(row.tuple, row.size, &is), AU_OK);
  const au_event_t should = event_of(&samples[sample]);
  is.id = should.id; /* new each time */
  assert_event(&is, &should);
}

TEST(rows_of_all_kinds_are_beside_each_other) {
  const au_uuid_t dead_letter = au_uuid_v4();
  append_each_kind(&dead_letter);
  ck_assert_uint_eq(rows.count, 5);
  assert_row(0, AU_ROW_EVENT, 0);
  assert_row(1, AU_ROW_REPROCESS, 1);
  assert_row(2, AU_ROW_IDENTIFIED, 2);
  assert_row(3, AU_ROW_NUMBERED, 0);
  assert_row(4, AU_ROW_NUMBERED, 1);
  const au_row_t again =
      au_row_split(AU_ROW_REPROCESS, row_at(1), rows.row[1].size);
  ck_assert_mem_eq(&again.dead_letter_id, &dead_letter, sizeof(dead_letter));
  const au_row_t numbered =
      au_row_split(AU_ROW_NUMBERED, row_at(4), rows.row[4].size);
  ck_assert_uint_eq(numbered.number, 0x01020304);
}

TEST(a_name_is_in_the_ids_of_the_numbered_rows) {
  const au_uuid_t dead_letter = au_uuid_v4();
  const au_uuid_t nil = {.byte = {0}};
  append_each_kind(&dead_letter);
  const au_uuid_t name = {
      .byte = {1, 2, 3, 4, 5, 6, 0x87, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}};
  au_uuid_t ids[5] = {nil, nil, nil, nil, nil};
  au_bytes_t before = AU_BYTES_INIT;
  au_bytes_put(&before, rows.bytes.data, rows.bytes.size);
  au_rows_set_name(&rows, &name, ids);
  size_t unchanged = (size_t)(row_at(3) - rows.bytes.data);
  ck_assert_ptr_nonnull(before.data);
  ck_assert_mem_eq(rows.bytes.data, before.data, unchanged);
  au_bytes_fini(&before);
  for (size_t i = 0; i < 3; i++)
    ck_assert(au_uuid_is_nil(&ids[i]));
  ck_assert_mem_eq(&ids[3], &name, sizeof(name));
  static const uint8_t end[] = {13 ^ 1, 14 ^ 2, 15 ^ 3, 16 ^ 4};
  ck_assert_mem_eq(ids[4].byte, name.byte, 12);
  ck_assert_mem_eq(ids[4].byte + 12, end, sizeof(end));
  for (size_t i = 2; i < 5; i++) {
    const au_row_t row =
        au_row_split(rows.row[i].kind, row_at(i), rows.row[i].size);
    au_uuid_t goes_by = au_row_name(&row);
    au_uuid_t id = au_row_event_id(&row);
    ck_assert_mem_eq(&goes_by, i == 2 ? &id : &name, sizeof(name));
    if (i > 2)
      ck_assert_mem_eq(&id, &ids[i], sizeof(id));
  }
}

TEST(without_a_name_numbered_rows_are_events) {
  const au_uuid_t dead_letter = au_uuid_v4();
  append_each_kind(&dead_letter);
  size_t size = rows.bytes.size;
  au_rows_drop_numbers(&rows);
  ck_assert_uint_eq(rows.count, 5);
  ck_assert_uint_eq(rows.bytes.size, size - 2 * sizeof(uint32_t));
  assert_row(0, AU_ROW_EVENT, 0);
  assert_row(1, AU_ROW_REPROCESS, 1);
  assert_row(2, AU_ROW_IDENTIFIED, 2);
  assert_row(3, AU_ROW_EVENT, 0);
  assert_row(4, AU_ROW_EVENT, 1);
}

TEST(no_rows_have_no_names) {
  const au_uuid_t name = au_uuid_v4();
  au_rows_set_name(&rows, &name, NULL);
  au_rows_drop_numbers(&rows);
  ck_assert_uint_eq(rows.count, 0);
}

/* Of layout 1: seven fields, the last of them the dead letter. */
TEST(a_row_of_layout_1_is_upgraded) {
  static const uint8_t length[] = {0, 0, 0, 16};
  const au_uuid_t dead_letter = au_uuid_v4();
  for (size_t i = 0; i < SAMPLES; i++) {
    au_event_t event = event_of(&samples[i]);
    au_rows_clear(&rows);
    ck_assert_int_eq(au_rows_append(&rows, &event), AU_OK);
    au_bytes_t upgraded = AU_BYTES_INIT;
    ck_assert_int_eq(
        au_row_put_upgraded(&upgraded, rows.bytes.data, rows.bytes.size),
        AU_ROW_EVENT);
    ck_assert_uint_eq(upgraded.size, rows.bytes.size);
    ck_assert_mem_eq(upgraded.data, rows.bytes.data, upgraded.size);
    au_bytes_put(&rows.bytes, length, sizeof(length));
    au_bytes_put(&rows.bytes, dead_letter.byte, sizeof(dead_letter.byte));
    rows.bytes.data[1] = 7;
    au_bytes_clear(&upgraded, SIZE_MAX);
    au_row_kind_t kind =
        au_row_put_upgraded(&upgraded, rows.bytes.data, rows.bytes.size);
    const au_row_t row = au_row_split(kind, upgraded.data, upgraded.size);
    ck_assert_int_eq(row.kind, AU_ROW_REPROCESS);
    ck_assert_mem_eq(&row.dead_letter_id, &dead_letter, sizeof(dead_letter));
    au_event_t is;
    ck_assert_int_eq(au_row_decode(row.tuple, row.size, &is), AU_OK);
    assert_event(&is, &event);
    au_bytes_fini(&upgraded);
  }
}

/* Too short to have a seventh field: passed on, and refused when decoded. */
TEST(a_short_row_of_layout_1_is_left_alone) {
  const uint8_t row[66] = {0, 7};
  for (size_t size = 0; size < sizeof(row); size++) {
    au_bytes_t upgraded = AU_BYTES_INIT;
    ck_assert_int_eq(au_row_put_upgraded(&upgraded, row, size), AU_ROW_EVENT);
    ck_assert_uint_eq(upgraded.size, size);
    au_bytes_fini(&upgraded);
  }
}

TEST(a_damaged_length_is_refused) {
  append_samples();
  static const size_t length_at[] = {0, 2, 14, 34, 46, 54};
  for (size_t i = 0; i < sizeof(length_at) / sizeof(length_at[0]); i++) {
    uint8_t *byte = rows.bytes.data + length_at[i];
    for (unsigned flip = 1; flip < 256; flip++) {
      byte[0] ^= (uint8_t)flip;
      ck_assert_int_eq(decode_copy(rows.bytes.data, rows.row[0].size),
                       AU_INVALID);
      byte[0] ^= (uint8_t)flip;
      byte[1] ^= (uint8_t)flip;
      ck_assert_int_eq(decode_copy(rows.bytes.data, rows.row[0].size),
                       AU_INVALID);
      byte[1] ^= (uint8_t)flip;
    }
  }
}

TEST(no_field_but_metadata_may_be_null) {
  append_samples();
  static const size_t length_at[] = {2, 14, 34, 46, 54};
  for (size_t i = 0; i < sizeof(length_at) / sizeof(length_at[0]); i++) {
    uint8_t saved[4];
    uint8_t *length = rows.bytes.data + length_at[i];
    memcpy(saved, length, 4);
    memset(length, 0xFF, 4);
    ck_assert_int_eq(decode_copy(rows.bytes.data, rows.row[0].size),
                     AU_INVALID);
    memcpy(length, saved, 4);
  }
}

TEST(another_version_of_jsonb_is_refused) {
  append_samples();
  uint8_t *version =
      rows.bytes.data + rows.row[0].size - strlen("{\"a\": 1}") - 1;
  ck_assert_uint_eq(*version, 1);
  *version = 2;
  ck_assert_int_eq(decode_copy(rows.bytes.data, rows.row[0].size), AU_INVALID);
}

TEST(times_that_would_overflow_are_read) {
  append_samples();
  memset(rows.bytes.data + 6, 0x7F, 8);
  ck_assert_int_eq(decode_copy(rows.bytes.data, rows.row[0].size), AU_OK);
}

TEST(what_no_length_can_say_is_refused) {
  au_event_t event = event_of(&samples[0]);
  event.message.size = INT32_MAX; /* never read */
  ck_assert_int_eq(au_rows_append(&rows, &event), AU_INVALID);
  ck_assert_uint_eq(rows.count, 0);
  ck_assert_uint_eq(rows.bytes.size, 0);
  append_samples();
  ck_assert_uint_eq(rows.count, SAMPLES);
}

TEST(clear_keeps_memory_up_to_a_bound) {
  append_samples();
  size_t capacity = rows.bytes.capacity;
  au_rows_clear(&rows);
  ck_assert_uint_eq(rows.count, 0);
  ck_assert_uint_eq(rows.bytes.size, 0);
  ck_assert_uint_eq(rows.bytes.capacity, capacity);
  for (int i = 0; i < 20000; i++)
    append_samples();
  au_rows_clear(&rows);
  ck_assert_uint_eq(rows.bytes.capacity, 0);
  ck_assert_uint_eq(rows.capacity, 0);
  append_samples();
  ck_assert_uint_eq(rows.count, SAMPLES);
}

/* --- with a server --------------------------------------------------------*/

static PGconn *server;

static PGresult *query(const char *sql, ExecStatusType status) {
  PGresult *result = PQexec(server, sql);
  ck_assert_msg(PQresultStatus(result) == status, "%s: %s", sql,
                PQerrorMessage(server));
  return result;
}

static void run(const char *sql) { PQclear(query(sql, PGRES_COMMAND_OK)); }

static void connect_server(void) {
  empty();
  server = PQconnectdb(getenv("AURORE_TEST_CONNINFO"));
  ck_assert_msg(PQstatus(server) == CONNECTION_OK, "%s",
                PQerrorMessage(server));
  run("SET client_encoding = 'UTF8'");
  run("SET timezone = 'UTC'");
  run("CREATE TEMPORARY TABLE event (ingested_at timestamptz, event_id uuid, "
      "occurred_at timestamptz, service text, message text, metadata jsonb)");
}

static void disconnect_server(void) {
  PQfinish(server);
  drop();
}

static void insert_samples(void) {
  for (size_t i = 0; i < SAMPLES; i++) {
    const sample_t *s = &samples[i];
    const char *const values[] = {s->ingested_at, s->id,      s->occurred_at,
                                  s->service,     s->message, s->metadata};
    PGresult *result = PQexecParams(
        server, "INSERT INTO event VALUES ($1, $2, $3, $4, $5, $6)", 6, NULL,
        values, NULL, NULL, 0);
    ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK, "%s",
                  PQerrorMessage(server));
    PQclear(result);
  }
}

CASE_IF(has_server, "postgres", connect_server, disconnect_server);

TEST(tuples_are_those_that_postgresql_writes) {
  insert_samples();
  PQclear(query("COPY (SELECT " AU_ROW_COLUMNS
                " FROM event ORDER BY ctid) TO STDOUT (FORMAT binary)",
                PGRES_COPY_OUT));
  au_bytes_t copied = AU_BYTES_INIT;
  char *piece = NULL;
  int size = 0;
  while ((size = PQgetCopyData(server, &piece, 0)) > 0) {
    au_bytes_put(&copied, piece, (size_t)size);
    PQfreemem(piece);
  }
  ck_assert_int_eq(size, -1);
  PQclear(PQgetResult(server));
  ck_assert_ptr_null(PQgetResult(server));

  ck_assert_ptr_nonnull(copied.data);
  append_samples();
  size_t middle = rows.bytes.size;
  ck_assert_uint_eq(copied.size,
                    AU_COPY_HEADER_SIZE + middle + AU_COPY_TRAILER_SIZE);
  ck_assert_mem_eq(copied.data, AU_COPY_HEADER, AU_COPY_HEADER_SIZE);
  ck_assert_mem_eq(copied.data + AU_COPY_HEADER_SIZE, rows.bytes.data, middle);
  ck_assert_mem_eq(copied.data + AU_COPY_HEADER_SIZE + middle, AU_COPY_TRAILER,
                   AU_COPY_TRAILER_SIZE);
  au_bytes_fini(&copied);
}

static void put_copy(const void *data, size_t size) {
  ck_assert_int_eq(PQputCopyData(server, data, (int)size), 1);
}

TEST(tuples_are_those_that_postgresql_reads) {
  append_samples();
  PQclear(query("COPY event (" AU_ROW_COLUMNS ") FROM STDIN (FORMAT binary)",
                PGRES_COPY_IN));
  put_copy(AU_COPY_HEADER, AU_COPY_HEADER_SIZE);
  put_copy(rows.bytes.data, rows.bytes.size);
  put_copy(AU_COPY_TRAILER, AU_COPY_TRAILER_SIZE);
  ck_assert_int_eq(PQputCopyEnd(server, NULL), 1);
  PGresult *result = PQgetResult(server);
  ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK, "%s",
                PQerrorMessage(server));
  PQclear(result);
  ck_assert_ptr_null(PQgetResult(server));

  result = query("SELECT ingested_at, event_id, occurred_at, service, message, "
                 "metadata FROM event ORDER BY ctid",
                 PGRES_TUPLES_OK);
  ck_assert_int_eq(PQntuples(result), SAMPLES);
  for (int i = 0; i < (int)SAMPLES; i++) {
    ck_assert_str_eq(PQgetvalue(result, i, 0), samples[i].ingested_at);
    ck_assert_str_eq(PQgetvalue(result, i, 1), samples[i].id);
    ck_assert_str_eq(PQgetvalue(result, i, 2), samples[i].occurred_at);
    ck_assert_str_eq(PQgetvalue(result, i, 3), samples[i].service);
    ck_assert_str_eq(PQgetvalue(result, i, 4), samples[i].message);
    ck_assert_int_eq(PQgetisnull(result, i, 5), samples[i].metadata == NULL);
    if (samples[i].metadata != NULL)
      ck_assert_str_eq(PQgetvalue(result, i, 5), samples[i].metadata);
  }
  PQclear(result);
}

/* The digits jsonb writes for a number, or -1 when it refuses it. */
static int digits_of(const char *number) {
  const char *const values[] = {number};
  PGresult *result = PQexecParams(server, "SELECT ($1::jsonb)::text", 1, NULL,
                                  values, NULL, NULL, 0);
  int digits = -1;
  if (PQresultStatus(result) == PGRES_TUPLES_OK) {
    digits = 0;
    for (const char *c = PQgetvalue(result, 0, 0); *c != '\0'; c++)
      digits += *c >= '0' && *c <= '9';
  }
  PQclear(result);
  return digits;
}

static void assert_number(const char *number) {
  int digits = digits_of(number);
  bool is_storable = au_storable_number(number, strlen(number)) == AU_STORABLE;
  ck_assert_msg(is_storable == (digits >= 0 && digits <= AU_NUMBER_MAX_DIGITS),
                "%.60s: %d digits, but %s", number, digits,
                is_storable ? "passed" : "refused");
}

/* Mantissas with their point and zeros everywhere, and exponents that bring
 * each to the border and beyond. */
TEST(numbers_are_those_that_jsonb_holds) {
  static const char *const mantissas[] = {
      "0",    "0.0", "0.000",    "1",        "-1",   "9",          "10",
      "1000", "1.0", "1.50",     "123.4560", "0.1",  "0.001",      "-0.00120",
      "0.00", "12",  "1.000000", "-0",       "-0.0", "99999.99999"};
  char number[64];
  for (size_t i = 0; i < sizeof(mantissas) / sizeof(mantissas[0]); i++) {
    const char *mantissa = mantissas[i];
    for (int exponent = -420; exponent <= 420; exponent++) {
      if (abs(exponent) > 12 && abs(exponent) < 385)
        continue;
      snprintf(number, sizeof(number), "%se%d", mantissa, exponent);
      assert_number(number);
    }
    static const char *const far[] = {
        "e+401",   "E-00000005", "e131071",   "e131072",   "e-16383",
        "e-16384", "e1000000",   "e-1000000", "e99999999", "e100000000"};
    for (size_t e = 0; e < sizeof(far) / sizeof(far[0]); e++) {
      snprintf(number, sizeof(number), "%s%s", mantissa, far[e]);
      assert_number(number);
    }
  }
}

TEST(long_numbers_are_those_that_jsonb_holds) {
  char number[512];
  for (int digits = 390; digits <= 410; digits++) {
    memset(number, '7', (size_t)digits);
    number[digits] = '\0';
    assert_number(number);
    number[1] = '.'; /* one digit less, and a point */
    assert_number(number);
    number[0] = '0';
    assert_number(number);
    memcpy(number + digits, "e-10", 5);
    assert_number(number);
    memcpy(number + digits, "e+10", 5);
    assert_number(number);
    number[0] = '-';
    number[1] = '1';
    assert_number(number);
  }
  /* jsonb would take it, the exponent is absurd all the same. */
  ck_assert_int_ne(au_storable_number("0e100000001", 11), AU_STORABLE);
  ck_assert_int_ne(au_storable_number("0e99999999999999999999", 22),
                   AU_STORABLE);
}

int main(void) { return run_tests("row"); }
