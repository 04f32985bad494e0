/* SPDX-License-Identifier: MIT
 *
 * fuzz_spool - the files of a sound spool, changed, cut, removed, renamed and
 * copied, through recovery and reading.
 *
 * Without right checksums: every row that is read is one that was written,
 * under its number, byte for byte; what is missing in between was reported.
 * The spool takes new rows, and a second recovery finds what the first one did
 * and these rows. With right checksums, so that every change is believed: each
 * row lies within what was read, and reading comes to its end.
 */
#include "event/row.h"
#include "fuzz/damage.h"
#include "fuzz/fuzz.h"
#include "metrics/metrics.h"
#include "spool/segment.h"
#include "spool/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 16
#define ROWS 40
#define GROUP 3
#define TRIMMED 8
#define SEGMENT_BYTES 6144
/* Where the checksums of a segment's header and of a slot of the state are. */
#define HEADER_CHECKSUM_AT 60
#define SALT_AT 40
#define SLOT_CHECKSUM_AT 1620
#define SLOT_SIZE 4096

typedef struct file {
  char name[AU_SEGMENT_NAME_SIZE];
  size_t size;
  uint8_t *bytes;
  bool is_state;
} file_t;

/* As the sound spool has them, and as this run has them. */
static file_t sound[FILES_MAX];
static file_t changed[FILES_MAX];
static size_t files;
/* Of row i + 1; the kind is the last byte. */
static au_bytes_t written[ROWS];

static char directory[64];
static au_usage_t usage;

/* --- the sound spool ---------------------------------------------------- */

static au_spool_t *open_spool(char *error, size_t error_size) {
  const au_spool_config_t config = {.directory = directory,
                                    .segment_bytes = SEGMENT_BYTES,
                                    .durability = AU_DURABILITY_COMMIT,
                                    .max_bytes = UINT64_C(1) << 30,
                                    .usage = &usage};
  au_spool_t *spool = NULL;
  au_status_t status = au_spool_open(&config, &spool, error, error_size);
  fuzz_require(status == AU_OK || (status == AU_IO && error[0] != '\0'),
               "a spool is refused without a reason");
  return status == AU_OK ? spool : NULL;
}

static _Atomic bool is_done;

static void done(au_waiter_t *waiter, au_status_t status) {
  (void)waiter;
  fuzz_require(status == AU_OK, "rows are not taken");
  atomic_store(&is_done, true);
}

/* Waits until they are durable. */
static void append(au_spool_t *spool, const au_rows_t *rows) {
  au_waiter_t waiter = {.done = done};
  atomic_store(&is_done, false);
  fuzz_require(au_spool_append(spool, rows, &waiter) == AU_PENDING,
               "rows are not taken");
  while (!atomic_load(&is_done))
    sched_yield();
}

static void append_group(au_spool_t *spool, unsigned first) {
  au_rows_t rows = {.count = 0};
  au_uuid_t id = {.byte = {1, 2, 3}};
  bool is_reprocess = first % 4 == 1;
  for (unsigned i = first; i < first + GROUP && i < ROWS; i++) {
    char message[200];
    memset(message, 'a' + (int)(i % 26), sizeof(message));
    const au_event_t event = {
        .ingested_at_us = INT64_C(1700000000000000) + i,
        .id = {.byte = {(uint8_t)i}},
        .service = {.data = "service", .size = 7},
        .message = {.data = message, .size = i * 37 % sizeof(message)}};
    fuzz_require((is_reprocess ? au_rows_append_reprocess(&rows, &event, &id)
                               : au_rows_append(&rows, &event)) == AU_OK,
                 "out of memory");
    size_t size = rows.row[rows.count - 1].size;
    au_bytes_put(&written[i], rows.bytes.data + rows.bytes.size - size, size);
    au_bytes_put_u8(&written[i], (uint8_t)rows.row[rows.count - 1].kind);
  }
  append(spool, &rows);
  au_rows_fini(&rows);
}

static void load_file(const char *name) {
  char path[128];
  snprintf(path, sizeof(path), "%s/%s", directory, name);
  FILE *stream = fopen(path, "re");
  file_t *file = &sound[files];
  fuzz_require(stream != NULL && files < FILES_MAX, "a file cannot be read");
  file->bytes = malloc(65536);
  fuzz_require(file->bytes != NULL, "out of memory");
  file->size = fread(file->bytes, 1, 65536, stream);
  fclose(stream);
  snprintf(file->name, sizeof(file->name), "%s", name);
  file->is_state = strcmp(name, "state") == 0;
  changed[files] = *file;
  changed[files++].bytes = fuzz_copy(file->bytes, file->size);
}

/* Calls "take" with the name of each file; "lock" stays. */
static void for_each_file(void (*take)(const char *name)) {
  DIR *dir = opendir(directory);
  fuzz_require(dir != NULL, "no directory");
  for (const struct dirent *entry = readdir(dir); entry != NULL;
       entry = readdir(dir))
    if (entry->d_name[0] != '.' && strcmp(entry->d_name, "lock") != 0)
      take(entry->d_name);
  closedir(dir);
}

static void remove_file(const char *name) {
  char path[320];
  snprintf(path, sizeof(path), "%s/%s", directory, name);
  unlink(path);
}

static void remove_directory(void) {
  for_each_file(remove_file);
  remove_file("lock");
  rmdir(directory);
}

static void make_sound_spool(void) {
  fuzz_be_quiet();
  snprintf(directory, sizeof(directory), "/dev/shm/fuzz_spool_XXXXXX");
  fuzz_require(mkdtemp(directory) != NULL, "no directory");
  atexit(remove_directory);
  char error[256] = "";
  au_spool_t *spool = open_spool(error, sizeof(error));
  fuzz_require(spool != NULL, error);
  for (unsigned i = 0; i < ROWS; i += GROUP)
    append_group(spool, i);
  static au_slab_t slab;
  fuzz_require(au_spool_read(spool, au_spool_begin(spool), TRIMMED, 1 << 20,
                             &slab) == AU_OK,
               "a sound spool cannot be read");
  au_spool_trim(spool, slab.end);
  au_spool_close(spool);
  for_each_file(load_file);
  fuzz_require(files >= 4, "there are too few files");
}

/* --- changes ------------------------------------------------------------ */

static uint64_t salt_of(const file_t *file) {
  uint64_t salt = 0;
  memcpy(&salt, file->bytes + SALT_AT, sizeof(salt));
  return salt;
}

static void seal(file_t *file) {
  if (file->is_state) {
    for (size_t at = 0; at + SLOT_CHECKSUM_AT + 4 <= file->size;
         at += SLOT_SIZE)
      damage_seal(file->bytes + at, SLOT_CHECKSUM_AT);
    return;
  }
  if (file->size < AU_SEGMENT_HEADER_SIZE)
    return;
  damage_seal(file->bytes, HEADER_CHECKSUM_AT);
  damage_seal_frames(file->bytes + AU_SEGMENT_HEADER_SIZE,
                     file->size - AU_SEGMENT_HEADER_SIZE, salt_of(file));
}

/* The file under another name, and its header with the number of that. */
static void rename_segment(file_t *file, uint64_t number) {
  if (file->is_state || file->size < AU_SEGMENT_HEADER_SIZE)
    return;
  au_segment_name(number, file->name);
  memcpy(file->bytes + 32, &number, sizeof(number));
  damage_seal(file->bytes, HEADER_CHECKSUM_AT);
}

/* Most changes are to frames and to headers, not to what nothing was written
 * to. */
static size_t first_byte(fuzz_input_t *input, const file_t *file) {
  return !file->is_state && fuzz_take_byte(input) % 4 != 0
             ? AU_SEGMENT_HEADER_SIZE
             : 0;
}

static size_t last_byte(const file_t *file) {
  size_t size = file->size;
  while (size > 64 && file->bytes[size - 1] == 0)
    size--;
  return size + 16 < file->size ? size + 16 : file->size;
}

/* Returns whether a file was renamed. */
static bool change(fuzz_input_t *input) {
  static const uint64_t numbers[] = {
      1, 3, 1000, UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63};
  file_t *file = &changed[fuzz_take_below(input, files)];
  switch (fuzz_take_byte(input) % 16) {
  case 0: /* it is gone */
    file->size = 0;
    return false;
  case 1:
    file->size -= fuzz_take_number(input, 2) % (file->size + 1);
    return false;
  case 2:
    rename_segment(file, numbers[fuzz_take_below(input, 6)]);
    return true;
  default:
    damage(input, file->bytes, first_byte(input, file), last_byte(file));
    return false;
  }
}

static void write_files(void) {
  for_each_file(remove_file);
  for (size_t i = 0; i < files; i++) {
    char path[128];
    if (changed[i].size == 0)
      continue;
    snprintf(path, sizeof(path), "%s/%s", directory, changed[i].name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_require(fd >= 0 && write(fd, changed[i].bytes, changed[i].size) ==
                                (ssize_t)changed[i].size,
                 "a file cannot be written");
    close(fd);
  }
}

/* --- what is read ------------------------------------------------------- */

typedef struct reading {
  uint64_t rows;
  uint64_t first_missing; /* in between; 0: none */
  uint32_t sum;           /* of all bytes and numbers */
} reading_t;

static void check_written(uint64_t seq, const au_slab_row_t *row,
                          const uint8_t *bytes, size_t size) {
  fuzz_require(seq >= 1 && seq <= ROWS, "a row that was never written");
  const au_bytes_t *is = &written[seq - 1];
  fuzz_require(is->size == size + 1 && memcmp(is->data, bytes, size) == 0 &&
                   is->data[size] == (uint8_t)row->kind,
               "a row is not what was written");
}

/* Reads each byte of the row, in memory of its very size. */
static void check_row(const au_slab_row_t *row, const uint8_t *bytes,
                      size_t size, reading_t *reading) {
  uint8_t *copy = fuzz_copy(bytes, size);
  const au_row_t parts = au_row_split(row->kind, copy, size);
  au_event_t event;
  (void)au_row_is_sound(&parts);
  (void)au_row_decode(parts.tuple, parts.size, &event);
  for (size_t i = 0; i < size; i++)
    reading->sum = reading->sum * 31 + copy[i];
  reading->rows++;
  free(copy);
}

static void check_slab(const au_slab_t *slab, bool is_intact,
                       reading_t *reading) {
  fuzz_require(
      slab->end.seq >= slab->begin.seq && slab->first_seq >= slab->begin.seq &&
          (slab->count == 0 || slab->first_seq + slab->count == slab->end.seq),
      "the numbers of a slab do not agree");
  if (slab->end.seq - slab->begin.seq > slab->count &&
      reading->first_missing == 0)
    reading->first_missing = slab->begin.seq;
  for (size_t i = 0; i < slab->count; i++) {
    const au_slab_row_t *row = &slab->row[i];
    fuzz_require(row->start <= row[1].start && row[1].start <= slab->bytes.size,
                 "a row is outside of the slab");
    const uint8_t *bytes = slab->bytes.data + row->start;
    size_t size = row[1].start - row->start;
    if (is_intact)
      check_written(slab->first_seq + i, row, bytes, size);
    check_row(row, bytes, size, reading);
  }
}

static reading_t read_all(au_spool_t *spool, bool is_intact) {
  static au_slab_t slab;
  reading_t reading = {.rows = 0};
  au_position_t at = au_spool_begin(spool);
  for (int reads = 0; at.seq < au_spool_durable_seq(spool); reads++) {
    fuzz_require(reads < 10000, "reading does not come to its end");
    fuzz_require(au_spool_read(spool, at, 7, 1 << 20, &slab) == AU_OK,
                 "a spool cannot be read");
    fuzz_require(slab.end.seq > at.seq, "reading does not go on");
    check_slab(&slab, is_intact, &reading);
    at = slab.end;
  }
  return reading;
}

/* After a recovery that all of what it has found is read once more, and the
 * rows that were added. */
static void check_again(au_spool_t *spool, reading_t before) {
  const au_event_t event = {.service = {.data = "new", .size = 3},
                            .message = {.data = "new", .size = 3}};
  au_rows_t rows = {.count = 0};
  fuzz_require(au_rows_append(&rows, &event) == AU_OK, "out of memory");
  append(spool, &rows);
  reading_t added = read_all(spool, false);
  fuzz_require(added.rows == before.rows + 1, "a row that was added is lost");
  au_spool_close(spool);
  atomic_store(&usage.events, 0);
  atomic_store(&usage.bytes, 0);
  char error[256] = "";
  spool = open_spool(error, sizeof(error));
  fuzz_require(spool != NULL, error);
  reading_t again = read_all(spool, false);
  fuzz_require(again.rows == added.rows && again.sum == added.sum,
               "a second recovery finds something else");
  au_rows_fini(&rows);
  au_spool_close(spool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (files == 0)
    make_sound_spool();
  fuzz_input_t input = {.data = data, .size = size};
  uint8_t how = fuzz_take_byte(&input);
  bool is_sealed = (how & 1) != 0;
  bool is_renamed = false;
  for (size_t i = 0; i < files; i++) {
    uint8_t *bytes = changed[i].bytes;
    memcpy(bytes, sound[i].bytes, sound[i].size);
    changed[i] = sound[i];
    changed[i].bytes = bytes;
  }
  for (unsigned i = how >> 1 & 7; i > 0; i--)
    is_renamed |= change(&input);
  for (size_t i = 0; i < files && is_sealed; i++)
    seal(&changed[i]);
  write_files();
  au_metrics_reset();
  atomic_store(&usage.events, 0);
  atomic_store(&usage.bytes, 0);
  char error[256] = "";
  au_spool_t *spool = open_spool(error, sizeof(error));
  if (spool == NULL) {
    fuzz_require(is_sealed && strstr(error, "newer release") != NULL, error);
    return 0;
  }
  bool is_intact = !is_sealed && !is_renamed;
  reading_t reading = read_all(spool, is_intact);
  fuzz_require(!is_intact || reading.first_missing == 0 ||
                   au_metrics_counter(AU_M_SPOOL_DAMAGED, 0) > 0,
               "rows are missing, and it is not said");
  if (is_intact && (how & 16) != 0)
    check_again(spool, reading);
  else
    au_spool_close(spool);
  return 0;
}
