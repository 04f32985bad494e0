/* SPDX-License-Identifier: MIT
 *
 * aurore-spool, the program, on spools that were made here; and the new name
 * that it gives them.
 */
#include "base/crc32c.h"
#include "base/io.h"
#include "spool/buffer.h"
#include "spool/state.h"
#include "support/old_spool.h"
#include "support/rows.h"
#include "support/spools.h"
#include "support/suite.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the program has written, both ways, and its exit status. */
static char said[65536];

static int tool(const char *arguments) {
  const char *top = getenv("top_builddir");
  char command[512];
  snprintf(command, sizeof(command), "%s/aurore-spool %s 2>&1",
           top != NULL ? top : ".", arguments);
  FILE *pipe = popen(command, "r");
  ck_assert_ptr_nonnull(pipe);
  size_t size = fread(said, 1, sizeof(said) - 1, pipe);
  said[size] = '\0';
  int status = pclose(pipe);
  ck_assert(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static int tool_on_directory(const char *command) {
  char arguments[128];
  snprintf(arguments, sizeof(arguments), "%s %s", command, directory);
  return tool(arguments);
}

static void assert_said(const char *what) {
  ck_assert_msg(strstr(said, what) != NULL, "\"%s\" is not in: %s", what, said);
}

/* --- check -----------------------------------------------------------------
 */

CASE("tool", setup, teardown);

TEST(good_spool_is_good) {
  make_spool(100, 500, SEGMENT_BYTES);
  ck_assert_int_eq(tool_on_directory("check"), 0);
  assert_said("100 events in");
  assert_said(" 0 damaged ranges");
  ck_assert_int_eq(tool_on_directory("stat"), 0);
  assert_said("next_to_accept   101\n");
  assert_said("waiting_at_most  100\n");
  assert_said("kept_at_most     0\n");
}

/* What is stored and kept is shown, and exported with --all alone. */
TEST(kept_events_are_shown) {
  static seen_t seen;
  char error[256] = "";
  au_spool_t *spool = NULL;
  const au_spool_config_t config = {.directory = directory,
                                    .segment_bytes = SEGMENT_BYTES,
                                    .durability = AU_DURABILITY_COMMIT,
                                    .keep_s = 3600,
                                    .keep_bytes = 1 << 20,
                                    .usage = &usage};
  ck_assert_int_eq(au_spool_open(&config, &spool, error, sizeof(error)), AU_OK);
  for (uint64_t value = 1; value <= 60; value++)
    ck_assert_int_eq(append(spool, value, 1, 500), AU_OK);
  read_all(spool, 10, true, 0, &seen);
  ck_assert_int_eq(append(spool, 61, 1, 500), AU_OK);
  au_spool_close(spool);
  ck_assert_int_eq(tool_on_directory("check"), 0);
  assert_said("61 events in");
  ck_assert_int_eq(tool_on_directory("stat"), 0);
  assert_said("next_to_store    61\n");
  assert_said("waiting_at_most  1\n");
  assert_said("kept_at_most     60\n");
}

/* As recovery has it: what follows the last group was never acknowledged, and a
 * new segment was begun after it. */
TEST(torn_tail_of_an_older_segment_is_no_damage) {
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  ck_assert_int_eq(append(spool, 1, 1, 40), AU_OK);
  ck_assert_int_eq(append(spool, 2, 3, 40), AU_OK);
  au_spool_close(spool);
  /* The second group was cut in its first row, with what is no frame. */
  uint64_t cut = HEADER_BYTES + group_size(1, 40) + 16;
  overwrite(1, cut, 0xa5, 64);
  overwrite(1, cut + 64, 0, 512);
  for (unsigned start = 0; start < 3; start++) {
    ck_assert_int_eq(tool_on_directory("check"), 0);
    spool = open_spool(NULL, SEGMENT_BYTES);
    ck_assert_int_eq(append(spool, 2 + start, 1, 40), AU_OK);
    au_spool_close(spool);
  }
  ck_assert_int_eq(tool_on_directory("check"), 0);
  assert_said("4 events in");
}

/* The same bytes where a row is missing for them. */
TEST(damaged_end_of_an_older_segment_is_damage) {
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  ck_assert_int_eq(append(spool, 1, 1, 40), AU_OK);
  ck_assert_int_eq(append(spool, 2, 3, 40), AU_OK);
  au_spool_close(spool);
  spool = open_spool(NULL, SEGMENT_BYTES);
  ck_assert_int_eq(append(spool, 5, 1, 40), AU_OK);
  au_spool_close(spool);
  uint64_t cut = HEADER_BYTES + group_size(1, 40) + 16;
  overwrite(1, cut, 0xa5, 64);
  overwrite(1, cut + 64, 0, 512);
  ck_assert_int_eq(tool_on_directory("check"), 1);
  assert_said("events 2 to 4 are missing");
}

TEST(damaged_row_is_damage) {
  make_spool(5, 500, SEGMENT_BYTES);
  overwrite(1, HEADER_BYTES + 2 * group_size(1, 500) + 100, 'y', 1);
  ck_assert_int_eq(tool_on_directory("check"), 1);
  assert_said("are damaged");
  assert_said(" 1 damaged ranges");
}

TEST(words_that_make_no_sense_are_trouble) {
  ck_assert_int_eq(tool("check"), 2);
  ck_assert_int_eq(tool_on_directory("frobnicate"), 2);
  ck_assert_int_eq(tool_on_directory("export --from x"), 2);
  ck_assert_int_eq(tool("check /nonexistent"), 2);
  assert_said("could not open directory");
  ck_assert_int_eq(tool("--help"), 0);
}

/* --- export ----------------------------------------------------------------
 */

#define DEAD_LETTER "01936b6e-0f5a-4d3e-8a1b-0123456789ab"
#define LINES_SIZE 1024

/* An event, and the same one put back from its dead letter. */
static void append_event_twice(au_buffer_t *buffer,
                               char uuid[AU_UUID_TEXT_SIZE]) {
  au_rows_t rows = {.count = 0};
  au_waiter_t waiter = {.done = never_done};
  put_event(&rows, INT64_C(1732437866123456), "shop", "plain", 1);
  au_event_t event;
  ck_assert_int_eq(au_row_decode(rows.bytes.data, rows.row[0].size, &event),
                   AU_OK);
  au_uuid_t dead_letter;
  ck_assert(au_uuid_parse(DEAD_LETTER, strlen(DEAD_LETTER), &dead_letter));
  au_rows_t again = {.count = 0};
  ck_assert_int_eq(au_rows_append_reprocess(&again, &event, &dead_letter),
                   AU_OK);
  ck_assert_int_eq(au_buffer_append(buffer, &rows, &waiter), AU_OK);
  ck_assert_int_eq(au_buffer_append(buffer, &again, &waiter), AU_OK);
  au_uuid_format(&event.id, uuid);
  au_rows_fini(&rows);
  au_rows_fini(&again);
}

/* What "export" says of them; returns where the second line begins. */
static int expect_event_twice(const char *uuid, char expected[LINES_SIZE]) {
  int first = snprintf(
      expected, LINES_SIZE,
      "{\"seq\":1,\"event_id\":\"%s\",\"timestamp\":\"2024-11-24T08:44:26."
      "122456Z"
      "\",\"service\":\"shop\",\"message\":\"plain 1\",\"metadata\":{\"n\":1},"
      "\"ingested_at\":\"2024-11-24T08:44:26.123456Z\"}\n",
      uuid);
  snprintf(
      expected + first, LINES_SIZE - (size_t)first,
      "{\"seq\":2,\"event_id\":\"%s\",\"timestamp\":\"2024-11-24T08:44:26."
      "122456Z\",\"service\":\"shop\",\"message\":\"plain 1\",\"metadata\":"
      "{\"n\":1},\"ingested_at\":\"2024-11-24T08:44:26.123456Z\","
      "\"dead_letter_id\":\"" DEAD_LETTER "\"}\n",
      uuid);
  return first;
}

TEST(waiting_events_are_written_out) {
  char error[256] = "";
  const au_buffer_config_t config = {.lanes = 1,
                                     .capacity = 1000,
                                     .max_bytes = 8 << 20,
                                     .directory = directory,
                                     .durability = AU_DURABILITY_MEMORY,
                                     .sync_interval_s = 1};
  au_buffer_t *buffer = NULL;
  ck_assert_int_eq(au_buffer_open(&config, &buffer, error, sizeof(error)),
                   AU_OK);
  char uuid[AU_UUID_TEXT_SIZE];
  append_event_twice(buffer, uuid);
  /* While it is in use. */
  ck_assert_int_eq(tool_on_directory("export"), 0);
  ck_assert_int_eq(tool_on_directory("renew"), 2);
  assert_said("is in use");
  au_buffer_destroy(buffer);
  ck_assert_int_eq(tool_on_directory("export"), 0);
  char expected[LINES_SIZE];
  int first = expect_event_twice(uuid, expected);
  ck_assert_str_eq(said, expected);
  ck_assert_int_eq(tool_on_directory("export --from 2"), 0);
  ck_assert_str_eq(said, expected + first);
  ck_assert_int_eq(tool_on_directory("export --to 1"), 0);
  expected[first] = '\0';
  ck_assert_str_eq(said, expected);
  char command[96];
  snprintf(command, sizeof(command), "rm -rf %s/lane-00", directory);
  ck_assert_int_eq(system(command), 0);
}

/* What the tool of that release said, with all digits of its times. */
TEST_EACH(spool_of_an_older_release_is_written_out, OLD_SPOOLS) {
  static char wanted[sizeof(said)];
  FILE *file = fopen(old_spool_path(1, "export.ndjson"), "r");
  ck_assert_ptr_nonnull(file);
  size_t size = fread(wanted, 1, sizeof(wanted) - 1, file);
  wanted[size] = '\0';
  fclose(file);
  copy_old_spool(_i + 1, directory);
  ck_assert_int_eq(tool_on_directory("check"), 0);
  assert_said(_i == 0 ? "17 events in 4 segments, 0 damaged ranges"
                      : "17 events in 3 segments, 0 damaged ranges");
  ck_assert_int_eq(tool_on_directory("export"), 0);
  ck_assert_str_eq(said, wanted);
  remove_old_spool(directory);
}

TEST(spool_of_a_newer_release_is_left_alone) {
  make_spool(1, 40, SEGMENT_BYTES);
  overwrite(1, 8, 4, 1); /* the version, and the checksum to match */
  uint8_t header[60];
  char path[128];
  snprintf(path, sizeof(path), "%s/0000000000000001.segment", directory);
  int fd = open(path, O_RDWR);
  ck_assert_int_eq(pread(fd, header, sizeof(header), 0), sizeof(header));
  uint32_t crc = htole32(au_crc32c(0, header, sizeof(header)));
  ck_assert_int_eq(pwrite(fd, &crc, sizeof(crc), sizeof(header)), sizeof(crc));
  close(fd);
  ck_assert_int_eq(tool_on_directory("export"), 2);
  assert_said("a newer release wrote it");
}

/* --- renew -----------------------------------------------------------------
 */

static au_spool_state_t load_state(int dir) {
  au_spool_state_t state;
  ck_assert_int_eq(au_spool_state_load(&au_io_system, dir, &state), AU_OK);
  ck_assert_uint_gt(state.generation, 0);
  return state;
}

static int open_directory(void) {
  int dir = open(directory, O_RDONLY | O_DIRECTORY);
  ck_assert_int_ge(dir, 0);
  return dir;
}

TEST(new_name_is_given) {
  make_spool(3, 40, SEGMENT_BYTES);
  int dir = open_directory();
  au_spool_state_t before = load_state(dir);
  ck_assert_uint_gt(before.owners, 0);
  ck_assert_int_eq(tool_on_directory("renew"), 0);
  assert_said("from now on");
  au_spool_state_t after = load_state(dir);
  close(dir);
  ck_assert_mem_ne(&after.name, &before.name, sizeof(after.name));
  ck_assert_mem_eq(&after.id, &before.id, sizeof(after.id));
  ck_assert_uint_eq(after.owners, 0);
  au_spool_t *spool = open_spool(NULL, SEGMENT_BYTES);
  seen_t seen;
  read_all(spool, 10, false, 0, &seen);
  check_values(&seen, 1, 3);
  au_uuid_t name = au_spool_id(spool);
  ck_assert_mem_eq(&name, &after.name, sizeof(name));
  au_spool_close(spool);
}

/* The calls that write the state, in their order: the offset of a write, or -1
 * for a sync. */
static struct {
  off_t call[8];
  int calls;
  int failing; /* this one of them; -1: none */
} calls;

static int note(off_t call) {
  ck_assert_int_lt(calls.calls, 8);
  calls.call[calls.calls++] = call;
  if (calls.calls - 1 != calls.failing)
    return 0;
  errno = EIO;
  return -1;
}

static ssize_t noted_pwritev(int fd, const struct iovec *iov, int count,
                             off_t offset) {
  return note(offset) == 0 ? au_io_system.pwritev(fd, iov, count, offset) : -1;
}

static int noted_fdatasync(int fd) {
  return note(-1) == 0 ? au_io_system.fdatasync(fd) : -1;
}

/* The slot that was loaded may stand in the page cache alone: it is on disk
 * before the other one, the only one that is known to be, is written over. */
TEST(old_name_is_on_disk_before_the_new_one_is_written) {
  make_spool(1, 40, SEGMENT_BYTES);
  au_io_t io = au_io_system;
  io.pwritev = noted_pwritev;
  io.fdatasync = noted_fdatasync;
  int dir = open_directory();
  for (int failing = 0; failing <= 4; failing++) {
    au_spool_state_t state = load_state(dir);
    au_uuid_t name = state.name;
    off_t slot = state.generation % 2 == 0 ? 0 : 4096;
    calls.calls = 0;
    calls.failing = failing;
    bool should_work = failing == 4;
    ck_assert((au_spool_state_renew(&io, dir, &state) == AU_OK) == should_work);
    ck_assert_int_eq(calls.calls, should_work ? 4 : failing + 1);
    const off_t should[] = {slot, -1, 4096 - slot, -1};
    for (int i = 0; i < calls.calls; i++)
      ck_assert_int_eq(calls.call[i], should[i]);
    au_spool_state_t now = load_state(dir);
    /* The write itself succeeded when only its sync failed. */
    bool is_old = memcmp(&now.name, &name, sizeof(name)) == 0;
    ck_assert_int_eq(is_old, failing < 3);
  }
  close(dir);
}

int main(void) { return run_tests("spool_tool"); }
