/* SPDX-License-Identifier: MIT
 *
 * fuzz_batch - any bytes as rows that wait in a lane, and any answers of the
 * database to the transactions that store them. Each row is dealt with once:
 * it is copied as one whole tuple or set aside; and the batch comes to its end,
 * whatever was answered.
 */
#include "fuzz/answers.h"
#include "fuzz/fuzz.h"
#include "store/blame.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 12

static au_lane_t *lane;
static fuzz_input_t answers; /* what is left of the input */
static size_t copied;        /* rows of the last statement */
static size_t letters;

static void open_lane(void) {
  static au_usage_t usage;
  char error[256] = "";
  const au_spool_config_t config = {.durability = AU_DURABILITY_MEMORY,
                                    .usage = &usage};
  fuzz_require(au_lane_open(0, &config, &lane, error, sizeof(error)) == AU_OK,
               "the lane cannot be opened");
}

static size_t count(const char *sql, const char *part) {
  size_t found = 0;
  while ((sql = strstr(sql, part)) != NULL) {
    found++;
    sql += strlen(part);
  }
  return found;
}

/* The tuples in the pieces; each must be whole. */
static size_t count_tuples(const au_piece_t *pieces, size_t pieces_count) {
  au_bytes_t all = AU_BYTES_INIT;
  for (size_t i = 1; i + 1 < pieces_count; i++)
    au_bytes_put(&all, pieces[i].data, pieces[i].size);
  size_t tuples = 0;
  for (size_t at = 0; at < all.size; tuples++) {
    size_t end = at + 2;
    for (int field = 0; field < 6 && end + 4 <= all.size; field++) {
      uint32_t length = 0;
      memcpy(&length, all.data + end, sizeof(length));
      length = be32toh(length);
      end += 4 + (length == UINT32_MAX ? 0 : (size_t)length);
    }
    au_event_t event;
    fuzz_require(end <= all.size &&
                     au_row_decode(all.data + at, end - at, &event) == AU_OK,
                 "what is copied is no tuple");
    at = end;
  }
  au_bytes_fini(&all);
  return tuples;
}

static void on_statement(const char *sql, const au_piece_t *pieces,
                         size_t pieces_count) {
  copied = count_tuples(pieces, pieces_count);
  letters = count(sql, "INSERT INTO aurore.dead_letter") +
            count(sql, "SELECT aurore.refuse_dead_letter(") +
            count(sql, "SELECT aurore.store_dead_letter(");
  static const au_fault_t faults[] = {AU_FAULT_ROW, AU_FAULT_ROW,
                                      AU_FAULT_DATABASE, AU_FAULT_FENCED};
  uint8_t byte = fuzz_take_byte(&answers);
  fuzz_answer = (fuzz_answer_t){.status = AU_OK, .rows = byte >> 4};
  fuzz_answer.text[0] = (byte & 8) != 0 ? "t" : "f";
  if ((byte & 1) == 0)
    return;
  fuzz_answer.fault = faults[byte >> 1 & 3];
  fuzz_answer.sqlstate = (byte & 16) != 0 ? "AU002" : "22000";
  fuzz_answer.line = byte >> 5;
  fuzz_answer.column = (byte & 32) != 0 ? "message" : NULL;
  fuzz_answer.status = (byte & 8) != 0 ? AU_UNAVAILABLE : AU_INVALID;
}

static void append_row(fuzz_input_t row, au_row_kind_t kind) {
  au_row_extent_t extent = {.size = (uint32_t)row.size, .kind = kind};
  uint8_t *copy = fuzz_copy(row.data, row.size);
  const au_rows_t rows = {
      .bytes = {.data = copy, .size = row.size}, .row = &extent, .count = 1};
  au_waiter_t waiter = {.done = NULL};
  fuzz_require(au_spool_append(au_lane_spool(lane), &rows, &waiter) == AU_OK,
               "a row is not taken");
  free(copy);
}

/* Sound; but for one byte, if the input asks for that. */
static void append_event(fuzz_input_t *input, au_row_kind_t kind) {
  fuzz_input_t service = fuzz_take_part(input, fuzz_take_below(input, 8));
  const au_event_t event = {
      .ingested_at_us = INT64_C(1700000000123456),
      .service = {.data = service.size > 0 ? (const char *)service.data : "",
                  .size = service.size},
      .message = {.data = "m", .size = 1}};
  const au_uuid_t id = {.byte = {1}};
  au_rows_t rows = {.count = 0};
  fuzz_require((kind == AU_ROW_EVENT
                    ? au_rows_append(&rows, &event)
                    : au_rows_append_reprocess(&rows, &event, &id)) == AU_OK,
               "out of memory");
  size_t at = fuzz_take_byte(input);
  uint8_t byte = fuzz_take_byte(input);
  if (at < rows.bytes.size)
    rows.bytes.data[at] ^= byte;
  append_row((fuzz_input_t){.data = rows.bytes.data, .size = rows.bytes.size},
             kind);
  au_rows_fini(&rows);
}

static size_t append_rows(fuzz_input_t *input) {
  size_t rows = 1 + fuzz_take_below(input, ROWS_MAX);
  for (size_t i = 0; i < rows; i++) {
    uint8_t how = fuzz_take_byte(input);
    au_row_kind_t kind = (how & 1) != 0 ? AU_ROW_REPROCESS : AU_ROW_EVENT;
    if ((how & 2) != 0) {
      append_event(input, kind);
      continue;
    }
    fuzz_input_t part = fuzz_take_part(input, how >> 2);
    append_row(part,
               part.size >= au_row_prefix_size(kind) ? kind : AU_ROW_EVENT);
  }
  return rows;
}

/* What is tried changes nothing. */
static void find_fault(au_batch_t *batch, au_blame_t *blame,
                       const au_claim_t *claim, au_database_error_t *error) {
  uint64_t before = au_batch_position(batch).seq;
  au_blame_step_t step = au_blame_refused(blame, batch, NULL, error);
  for (int asked = 0; step == AU_BLAME_ASK; asked++) {
    fuzz_require(asked < 100, "there is no end of witnesses");
    if (au_blame_ask(blame, batch, lane, NULL, claim, &step, error) != AU_OK) {
      au_blame_interrupt(blame);
      break;
    }
  }
  fuzz_require(au_batch_position(batch).seq == before, "rows are gone");
}

/* As the writer does, but without its patience. */
static void store(au_batch_t *batch, au_blame_t *blame, au_claim_t *claim) {
  au_blame_begin(blame);
  for (int tries = 0; !au_batch_is_done(batch); tries++) {
    if (tries > 200)
      answers.size = 0; /* from now on all is well */
    fuzz_require(tries < 400, "a batch does not come to its end");
    uint64_t before = au_batch_position(batch).seq;
    au_database_error_t error;
    au_status_t status = au_batch_store(batch, NULL, claim, &error);
    fuzz_require(status != AU_NOMEM, "a statement cannot be made");
    uint64_t after = au_batch_position(batch).seq;
    fuzz_require(status != AU_OK || copied + letters == after - before,
                 "a row is dealt with twice, or never");
    fuzz_require(status == AU_OK || after == before, "rows are gone");
    if (status == AU_OK)
      au_blame_stored(blame, batch);
    if (status == AU_INVALID && error.fault == AU_FAULT_ROW)
      find_fault(batch, blame, claim, &error);
    if (status == AU_UNAVAILABLE && fuzz_take_byte(&answers) % 2 == 0)
      au_batch_settle(batch, before + copied + letters);
    au_lane_commit(lane, au_batch_position(batch));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static au_batch_t batch;
  static au_blame_t blame;
  fuzz_input_t input = {.data = data, .size = size};
  fuzz_be_quiet();
  fuzz_on_statement = on_statement;
  if (lane == NULL)
    open_lane();
  size_t rows = append_rows(&input);
  answers = input;
  au_claim_t claim = {.epoch = 1};
  while (rows > 0) {
    fuzz_require(au_batch_take(&batch, lane, 5, 1 << 20) == AU_OK &&
                     batch.slab.count <= rows,
                 "rows cannot be read");
    size_t taken = batch.slab.count;
    fuzz_require(taken > 0, "rows are gone");
    store(&batch, &blame, &claim);
    rows -= taken;
  }
  fuzz_require(au_lane_waiting(lane) == 0, "rows are left");
  return 0;
}
