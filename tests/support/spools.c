/* SPDX-License-Identifier: MIT */
#include "support/spools.h"

#include "faults/oracle.h"
#include "metrics/metrics.h"
#include "support/log_capture.h"
#include "support/rows.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

char directory[64];
au_usage_t usage;
_Thread_local bool is_in_spool;

void setup(void) {
  snprintf(directory, sizeof(directory), "%s/check_spools_XXXXXX",
           access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  ck_assert_ptr_nonnull(mkdtemp(directory));
  ignore_log();
  au_metrics_reset();
}

int files(const char *part, bool remove) {
  int count = 0;
  DIR *dir = opendir(directory);
  ck_assert_ptr_nonnull(dir);
  const struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    if (strstr(entry->d_name, part) == NULL)
      continue;
    count++;
    if (remove)
      unlinkat(dirfd(dir), entry->d_name, 0);
  }
  closedir(dir);
  return count;
}

void teardown(void) {
  files("", true);
  rmdir(directory);
}

/* --- a spool and its rows --------------------------------------------------
 */

au_status_t append(au_spool_t *spool, uint64_t value, size_t count,
                   uint32_t size) {
  au_rows_t rows = {.count = count};
  rows.row = calloc(count, sizeof(*rows.row));
  ck_assert_ptr_nonnull(rows.row);
  for (size_t i = 0; i < count; i++) {
    uint8_t *row = au_bytes_extend(&rows.bytes, size);
    ck_assert_ptr_nonnull(row);
    uint64_t own = value + i;
    memset(row, (int)(own % 251) + 1, size);
    memcpy(row, &own, sizeof(own));
    rows.row[i].size = size;
  }
  uint64_t bytes = count * au_frame_size(size);
  answer_t answer = ANSWER_INIT;
  atomic_fetch_add(&usage.events, count);
  atomic_fetch_add(&usage.bytes, bytes);
  is_in_spool = true;
  au_status_t status = au_spool_append(spool, &rows, &answer.waiter);
  is_in_spool = false;
  rows_drop(&rows);
  if (status == AU_OK) /* not of durability "commit" */
    return status;
  if (status != AU_PENDING) {
    atomic_fetch_sub(&usage.events, count);
    atomic_fetch_sub(&usage.bytes, bytes);
    return status;
  }
  return await_answer(&answer, status);
}

static au_status_t try_configured(au_spool_config_t config, au_spool_t **spool,
                                  char *error, size_t error_size) {
  config.directory = directory;
  config.durability = AU_DURABILITY_COMMIT;
  config.usage = &usage;
  atomic_store(&usage.events, 0);
  atomic_store(&usage.bytes, 0);
  return au_spool_open(&config, spool, error, error_size);
}

au_status_t try_open(const au_io_t *io, uint64_t segment_bytes,
                     au_spool_t **spool) {
  char error[256] = "";
  return try_configured(
      (au_spool_config_t){.io = io, .segment_bytes = segment_bytes}, spool,
      error, sizeof(error));
}

au_spool_t *open_configured(au_spool_config_t config) {
  char error[256] = "";
  au_spool_t *spool = NULL;
  ck_assert_msg(try_configured(config, &spool, error, sizeof(error)) == AU_OK,
                "open: %s", error);
  return spool;
}

au_spool_t *open_spool(const au_io_t *io, uint64_t segment_bytes) {
  return open_configured(
      (au_spool_config_t){.io = io, .segment_bytes = segment_bytes});
}

static void note_slab(seen_t *seen, const au_slab_t *slab) {
  for (size_t i = 0; i < slab->count; i++) {
    ck_assert_uint_lt(seen->count, 4096);
    seen->value[seen->count++] = row_value(au_slab_row(slab, i).tuple);
  }
  seen->passed += slab->end.seq - slab->begin.seq - slab->count;
}

void read_all(au_spool_t *spool, size_t max_rows, bool trim, int patience,
              seen_t *seen) {
  memset(seen, 0, sizeof(*seen));
  au_slab_t slab = {.count = 0};
  au_position_t at = au_spool_begin(spool);
  for (;;) {
    au_status_t status = au_spool_read(spool, at, max_rows, 1000000, &slab);
    if (status != AU_OK) {
      ck_assert_int_lt(seen->failures++, patience);
      continue;
    }
    if (slab.end.seq == at.seq)
      break;
    note_slab(seen, &slab);
    at = slab.end;
    if (trim)
      au_spool_trim(spool, at);
  }
  au_slab_fini(&slab);
}

void check_values(const seen_t *seen, uint64_t first, uint64_t count) {
  ck_assert_uint_eq(seen->count, count);
  for (size_t i = 0; i < seen->count; i++)
    ck_assert_uint_eq(seen->value[i], first + i);
}

void store_rows(au_spool_t *spool, uint64_t first, uint64_t last,
                uint32_t size) {
  static seen_t seen;
  for (uint64_t value = first; value <= last; value++)
    ck_assert_int_eq(append(spool, value, 1, size), AU_OK);
  read_all(spool, 3, true, 0, &seen);
  check_values(&seen, first, last - first + 1);
}

uint64_t damaged(void) { return au_metrics_counter(AU_M_SPOOL_DAMAGED, 0); }

void segment_path(uint64_t number, const char *prefix, char path[128]) {
  snprintf(path, 128, "%s/%s%016" PRIx64 ".segment", directory, prefix, number);
}

static int open_segment(uint64_t number, int flags) {
  char path[128];
  segment_path(number, "", path);
  int fd = open(path, flags);
  ck_assert_int_ge(fd, 0);
  return fd;
}

static int compare_numbers(const void *one, const void *other) {
  uint64_t a = *(const uint64_t *)one;
  uint64_t b = *(const uint64_t *)other;
  return (a > b) - (a < b);
}

uint64_t nth_segment(int n) {
  uint64_t numbers[256] = {0};
  int count = 0;
  DIR *dir = opendir(directory);
  ck_assert_ptr_nonnull(dir);
  const struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    uint64_t number = au_segment_parse_name(entry->d_name);
    if (number == 0)
      continue;
    ck_assert_int_lt(count, 256);
    numbers[count++] = number;
  }
  closedir(dir);
  qsort(numbers, (size_t)count, sizeof(*numbers), compare_numbers);
  ck_assert_int_le(n < 0 ? -n : n, count);
  return numbers[n < 0 ? count + n : n - 1];
}

uint64_t newest_segment(void) { return nth_segment(-1); }

void overwrite(uint64_t number, uint64_t offset, uint8_t byte, size_t size) {
  uint8_t data[4096];
  ck_assert_uint_le(size, sizeof(data));
  memset(data, byte, size);
  int fd = open_segment(number, O_RDWR);
  ck_assert_int_eq(pwrite(fd, data, size, (off_t)offset), (ssize_t)size);
  close(fd);
}

void flip(uint64_t number, uint64_t offset, uint8_t bits) {
  int fd = open_segment(number, O_RDWR);
  uint8_t byte;
  ck_assert_int_eq(pread(fd, &byte, 1, (off_t)offset), 1);
  close(fd);
  overwrite(number, offset, byte ^ bits, 1);
}

uint64_t group_size(size_t rows, uint32_t size) {
  return rows * au_frame_size(size) + AU_FRAME_FOOTER_SIZE;
}

void make_spool(uint64_t rows, uint32_t size, uint64_t segment_bytes) {
  au_spool_t *spool = open_spool(NULL, segment_bytes);
  for (uint64_t value = 1; value <= rows; value++)
    ck_assert_int_eq(append(spool, value, 1, size), AU_OK);
  au_spool_close(spool);
}

bool is_named(int fd, const char *end) {
  char link[64];
  char path[256];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof(path) - 1);
  size_t wanted = strlen(end);
  return size >= (ssize_t)wanted &&
         memcmp(path + size - wanted, end, wanted) == 0;
}

/* --- what is told ----------------------------------------------------------
 */

static pthread_mutex_t notice_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t notice_changed = PTHREAD_COND_INITIALIZER;
int notices[3];
int lines;

static void count_notice(au_severity_t severity, const char *type,
                         const char *message) {
  (void)type;
  (void)message;
  pthread_mutex_lock(&notice_lock);
  notices[severity]++;
  pthread_cond_broadcast(&notice_changed);
  pthread_mutex_unlock(&notice_lock);
}

static void count_line(au_log_level_t level, const char *line) {
  (void)line;
  pthread_mutex_lock(&notice_lock);
  lines += level != AU_LOG_INFO;
  pthread_mutex_unlock(&notice_lock);
}

void count_what_is_told(void) {
  memset(notices, 0, sizeof(notices));
  lines = 0;
  au_log_set_sink(count_line);
  au_notify_set_sink(count_notice);
}

void await_notices(au_severity_t severity, int count) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 30;
  pthread_mutex_lock(&notice_lock);
  while (notices[severity] < count)
    ck_assert_int_eq(
        pthread_cond_timedwait(&notice_changed, &notice_lock, &until), 0);
  pthread_mutex_unlock(&notice_lock);
}

void pause_briefly(void) {
  nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void await_calls(atomic_int *calls, int count) {
  for (int i = 0; atomic_load(calls) < count; i++) {
    ck_assert_int_lt(i, 30000);
    pause_briefly();
  }
}
