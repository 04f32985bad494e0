/* SPDX-License-Identifier: MIT */
#include "faults/crash_report.h"

#include "spool/segment.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

crash_state_t under_test;

/* What the states were, for the table at the end. */
enum {
  KIND_KILL = 8,
  KIND_STALE,
  KIND_SEGMENTS,
  KIND_MAKING,
  KIND_SPARE,
  KIND_REUSING,
  KIND_REUSED,
  KIND_SECOND,
  KINDS
};
static const char *const kind_text[KINDS] = {
    "a write lost",
    "a write torn at a sector",
    "zeros where data was written",
    "a change of size lost",
    "a name that was made lost",
    "a rename lost",
    "a removal lost",
    "the state file's write lost or torn",
    "killed, nothing lost",
    "stale blocks where nothing was written",
    "three segments or more",
    "a segment half made",
    "a spare waits to be a segment again",
    "a spare half made a segment",
    "rows of an earlier life in a segment",
    "cut again in the middle of what follows"};
static uint64_t kinds[KINDS];

/* The alarm that finds an endless recovery ends in "violation" too: the program
 * is at its end then, and what it can still say is worth more than being safe
 * in a signal handler.
 * NOLINTBEGIN(bugprone-signal-handler,cert-sig30-c) */
static void print_place(const disk_record_t *record, size_t place,
                        const disk_choice_t *choice) {
  size_t from = place > 16 ? place - 16 : 0;
  for (size_t i = from; i < place; i++) {
    fprintf(stderr, "    %4zu ", i + 1);
    disk_op_print(&record->op[i], stderr);
    fputc('\n', stderr);
  }
  fprintf(stderr, "    cut after operation %zu of %zu: ", place, record->count);
  disk_choice_print(choice, stderr);
  fputc('\n', stderr);
}

static void save_state(void) {
  char directory[64] = "/tmp/crash-state-XXXXXX";
  char path[96];
  if (under_test.image == NULL || mkdtemp(directory) == NULL)
    return;
  snprintf(path, sizeof(path), "%s/expected", directory);
  oracle_save(under_test.oracle, path);
  snprintf(path, sizeof(path), "%s/spool", directory);
  if (mkdir(path, 0700) != 0)
    return;
  disk_image_write(under_test.image, path);
  fprintf(stderr, "  look at it again with: crash_states --replay %s\n",
          directory);
}

/* Where the number, the salt and the earlier lives are in a header. */
#define NUMBER_AT 32
#define SALT_AT 40
#define LIVES_AT 56

/* Whether there is a frame that would be good in the life before. */
static bool has_earlier_rows(const uint8_t *data, size_t size) {
  uint64_t salt;
  uint32_t lives;
  au_frame_t frame;
  if (size < AU_SEGMENT_HEADER_SIZE)
    return false;
  memcpy(&salt, data + SALT_AT, sizeof(salt));
  memcpy(&lives, data + LIVES_AT, sizeof(lives));
  for (size_t at = AU_SEGMENT_HEADER_SIZE; lives > 0 && at < size;
       at += AU_FRAME_MARK_SIZE)
    if (au_frame_read(data + at, size - at, salt - 1, &frame) == AU_FRAME_GOOD)
      return true;
  return false;
}

static void count_file(const char *name, const uint8_t *data, size_t size) {
  uint64_t spare = au_segment_parse_spare(name);
  uint64_t number = spare;
  if (spare != 0 && size >= AU_SEGMENT_HEADER_SIZE)
    memcpy(&number, data + NUMBER_AT, sizeof(number));
  kinds[KIND_SPARE] += spare != 0;
  kinds[KIND_REUSING] += spare != number;
  kinds[KIND_REUSED] +=
      au_segment_parse_name(name) != 0 && has_earlier_rows(data, size);
}

void count_kinds(const disk_image_t *image, const disk_choice_t *choice,
                 bool is_second) {
  size_t segments = 0;
  bool making = false;
  for (size_t i = 0; i < image->count; i++) {
    segments += strstr(image->file[i].name, ".segment") != NULL;
    making |= strstr(image->file[i].name, ".segment.new") != NULL;
    count_file(image->file[i].name, image->file[i].data, image->file[i].size);
  }
  for (int kind = 0; kind < KIND_KILL; kind++)
    kinds[kind] += image->damage >> kind & 1;
  kinds[KIND_KILL] += choice->mode == DISK_RUNNING;
  kinds[KIND_STALE] += choice->is_stale;
  kinds[KIND_SEGMENTS] += segments >= 3;
  kinds[KIND_MAKING] += making;
  kinds[KIND_SECOND] += is_second;
}

bool print_kinds(void) {
  bool complete = true;
  for (int kind = 0; kind < KINDS; kind++) {
    printf("  %-42s %10" PRIu64 "\n", kind_text[kind], kinds[kind]);
    complete = complete && kinds[kind] > 0;
  }
  return complete;
}

void violation(const char *text) {
  fprintf(stderr, "crash_states: run %u: %s\n", under_test.round, text);
  if (under_test.record != NULL)
    print_place(under_test.record,
                under_test.image != NULL ? under_test.place
                                         : under_test.record->count,
                &under_test.choice);
  if (under_test.is_second) {
    fprintf(stderr, "  and after a restart, once more:\n");
    print_place(under_test.second_record, under_test.second_place,
                &under_test.second_choice);
  }
  save_state();
  exit(1);
}

static void too_long(int signal) {
  (void)signal;
  violation("the spool does not come to an end");
}
/* NOLINTEND(bugprone-signal-handler,cert-sig30-c) */

void watch_alarm(void) { signal(SIGALRM, too_long); }
