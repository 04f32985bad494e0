/* SPDX-License-Identifier: MIT
 *
 * fuzz_claim - any text as what the database answers to the claim of a lane. It
 * is taken when all of it are numbers that the database can hold, and as these
 * numbers; anything else is an error, and the claim stays what it was.
 */
#include "fuzz/answers.h"
#include "fuzz/fuzz.h"
#include "store/claim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static au_lane_t *lane_of_memory(void) {
  static au_usage_t usage;
  static au_lane_t *lane;
  char error[256] = "";
  const au_spool_config_t config = {.durability = AU_DURABILITY_MEMORY,
                                    .usage = &usage};
  if (lane == NULL)
    fuzz_require(au_lane_open(0, &config, &lane, error, sizeof(error)) == AU_OK,
                 "the lane cannot be opened");
  return lane;
}

/* Zeros may come first. */
static bool is_written(const char *text, uint64_t number) {
  char written[32];
  snprintf(written, sizeof(written), "%" PRIu64, number);
  if (text == NULL || *text == '\0')
    return false;
  text += strspn(text, "0");
  return strcmp(text, number == 0 ? "" : written) == 0;
}

/* The lane's first number is 1: a place before it is of events that are lost,
 * and is passed. */
static bool is_place(const char *text, uint64_t next_seq) {
  return is_written(text, next_seq) || (next_seq == 1 && is_written(text, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input_t input = {.data = data, .size = size};
  fuzz_be_quiet();
  char *text[4];
  for (int i = 0; i < 4; i++) {
    fuzz_input_t line = fuzz_take_line(&input);
    text[i] = line.size == 1 && line.data[0] == 'N' ? NULL : fuzz_text(line);
    fuzz_answer.text[i] = text[i];
  }
  fuzz_answer.status = AU_OK;
  fuzz_answer.rows = input.size < 3 ? 1 : input.size - 3;
  au_claim_t claim = {.epoch = 12345678, .next_seq = 87654321};
  au_database_error_t error;
  au_status_t status = au_claim_make(&claim, NULL, lane_of_memory(), &error);
  if (status == AU_OK)
    fuzz_require(fuzz_answer.rows == 1 && is_place(text[0], claim.next_seq) &&
                     is_written(text[1], claim.epoch) &&
                     claim.next_seq <= INT64_MAX,
                 "the claim is not what was answered");
  else
    fuzz_require(status == AU_INVALID && error.message[0] != '\0' &&
                     claim.epoch == 12345678 && claim.next_seq == 87654321,
                 "a claim that was refused has changed");
  for (int i = 0; i < 4; i++)
    free(text[i]);
  return 0;
}
