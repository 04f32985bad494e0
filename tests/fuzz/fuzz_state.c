/* SPDX-License-Identifier: MIT
 *
 * fuzz_state - any bytes as the state of a spool, with checksums that are right
 * or not. What is loaded can be saved, and is the same when it is loaded again.
 */
#include "fuzz/damage.h"
#include "fuzz/fuzz.h"
#include "spool/state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOT_SIZE 4096
/* Of a slot: all but the padding of its page. */
#define CHECKSUM_AT 1620

static int open_directory(void) {
  char path[] = "/dev/shm/fuzz_state_XXXXXX";
  fuzz_require(mkdtemp(path) != NULL, "no directory");
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  fuzz_require(fd >= 0, "no directory");
  return fd;
}

static void write_state(int directory, const uint8_t *data, size_t size) {
  int fd = openat(directory, "state", O_RDWR | O_CREAT | O_TRUNC, 0600);
  fuzz_require(fd >= 0 && write(fd, data, size) == (ssize_t)size,
               "the state cannot be written");
  close(fd);
}

static void check_state(int directory, au_spool_state_t *state) {
  fuzz_require(state->owners <= AU_OWNERS_MAX, "more owners than there can be");
  fuzz_require(state->begin.seq <= INT64_MAX, "a number of no row");
  fuzz_require(state->begin.segment < UINT64_MAX, "a segment without a next");
  for (uint32_t i = 0; i < state->owners; i++)
    fuzz_require(state->owner_seq[i] <= INT64_MAX, "a number of no row");
  au_spool_state_add_owner(state, 7);
  fuzz_require(au_spool_state_save(&au_io_system, directory, state) == AU_OK,
               "a state cannot be saved");
  static au_spool_state_t again;
  fuzz_require(au_spool_state_load(&au_io_system, directory, &again) == AU_OK,
               "a state cannot be loaded");
  fuzz_require(again.generation == state->generation &&
                   again.begin.seq == state->begin.seq &&
                   again.begin.segment == state->begin.segment &&
                   again.begin.offset == state->begin.offset &&
                   again.owners == state->owners &&
                   again.tail_lost == state->tail_lost &&
                   memcmp(again.owner, state->owner, sizeof(again.owner)) == 0,
               "a state that was saved is another");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static int directory = -1;
  static uint8_t sound[2 * SLOT_SIZE];
  static au_spool_state_t state;
  if (directory < 0) {
    directory = open_directory();
    state = (au_spool_state_t){.begin = {.seq = 5, .segment = 2}};
    for (int i = 0; i < 2; i++)
      fuzz_require(au_spool_state_save(&au_io_system, directory, &state) ==
                       AU_OK,
                   "a state cannot be saved");
    int fd = openat(directory, "state", O_RDONLY);
    fuzz_require(read(fd, sound, sizeof(sound)) > SLOT_SIZE, "no state");
    close(fd);
    uint8_t sealed[sizeof(sound)];
    memcpy(sealed, sound, sizeof(sealed));
    damage_seal(sealed, CHECKSUM_AT);
    fuzz_require(memcmp(sealed, sound, sizeof(sealed)) == 0,
                 "the checksum is elsewhere");
  }
  fuzz_input_t input = {.data = data, .size = size};
  uint8_t how = fuzz_take_byte(&input);
  uint8_t file[sizeof(sound)];
  memcpy(file, sound, sizeof(file));
  for (size_t i = how & 7; i > 0; i--)
    damage(&input, file, 0, sizeof(file));
  if ((how & 8) != 0)
    for (int i = 0; i < 2; i++)
      damage_seal(file + (size_t)i * SLOT_SIZE, CHECKSUM_AT);
  size_t cut = (how & 16) != 0 ? fuzz_take_number(&input, 2) : 0;
  write_state(directory, file, cut < sizeof(file) ? sizeof(file) - cut : 0);
  fuzz_require(au_spool_state_load(&au_io_system, directory, &state) == AU_OK,
               "a state cannot be loaded");
  if (state.generation < UINT64_MAX - 1) /* the last that can be loaded */
    check_state(directory, &state);
  return 0;
}
