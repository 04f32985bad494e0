/* SPDX-License-Identifier: MIT
 *
 * The history of the metrics: its file (bounded, renamed, torn lines, calls
 * that fail), and the newest snapshots in memory.
 */
#include "support/short_memory.h"

#include "base/clock.h"
#include "base/timestamp.h"
#include "metrics/metrics.h"
#include "observe/history.h"
#include "observe/history_file.h"
#include "support/files.h"
#include "support/log_capture.h"
#include "support/suite.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES 4096
#define LINES 1000

static char directory[64];
static char path[96];
static char old[96];

typedef enum call {
  OPENAT,
  PREAD,
  PWRITEV,
  SHORT_WRITE, /* half of it is written, as on a disk that becomes full */
  FTRUNCATE,
  RENAMEAT,
  CLOSE,
  CALLS
} call_t;

static bool fails[CALLS];
static atomic_int looks;
static atomic_bool has_no_snapshot;

static void setup(void) {
  is_test = true;
  no_threads = false;
  memset(fails, 0, sizeof(fails));
  atomic_store(&looks, 0);
  atomic_store(&has_no_snapshot, false);
  release_log();
  au_metrics_reset();
  make_directory(directory);
  snprintf(path, sizeof(path), "%s/history.jsonl", directory);
  snprintf(old, sizeof(old), "%s/history.jsonl.1", directory);
}

static void teardown(void) { remove_directory(directory); }

/* --- io that fails ---------------------------------------------------------
 */

static int failing(call_t call) {
  errno = EIO;
  return fails[call] ? -1 : 0;
}

static int try_openat(int at, const char *name, int flags, mode_t mode) {
  return failing(OPENAT) < 0 ? -1 : au_io_system.openat(at, name, flags, mode);
}
static ssize_t try_pread(int fd, void *data, size_t size, off_t offset) {
  return failing(PREAD) < 0 ? -1 : au_io_system.pread(fd, data, size, offset);
}
static ssize_t try_pwritev(int fd, const struct iovec *iov, int count,
                           off_t offset) {
  if (fails[SHORT_WRITE]) {
    struct iovec half = {.iov_base = iov[count - 1].iov_base,
                         .iov_len = iov[count - 1].iov_len / 2};
    return au_io_system.pwritev(fd, &half, 1, offset);
  }
  return failing(PWRITEV) < 0 ? -1
                              : au_io_system.pwritev(fd, iov, count, offset);
}
static int try_ftruncate(int fd, off_t size) {
  return failing(FTRUNCATE) < 0 ? -1 : au_io_system.ftruncate(fd, size);
}
static int try_renameat(int at, const char *from, const char *to) {
  return failing(RENAMEAT) < 0 ? -1 : au_io_system.renameat(at, from, to);
}
static int try_close(int fd) {
  int result = au_io_system.close(fd);
  return failing(CLOSE) < 0 ? -1 : result;
}

static const au_io_t io = {.openat = try_openat,
                           .close = try_close,
                           .pread = try_pread,
                           .pwritev = try_pwritev,
                           .ftruncate = try_ftruncate,
                           .renameat = try_renameat};

/* --- files -----------------------------------------------------------------
 */

static const au_history_file_t file = {
    .io = &io, .path = path, .max_bytes = MAX_BYTES};

static au_status_t append_text(const char *text) {
  char line[2048];
  char error[256] = "";
  int size = snprintf(line, sizeof(line), "%s\n", text);
  au_status_t status =
      au_history_file_append(&file, line, (size_t)size, error, sizeof(error));
  if (status != AU_OK)
    ck_assert_ptr_nonnull(strstr(error, directory));
  return status;
}

static au_status_t append(int number) {
  char text[128];
  snprintf(text, sizeof(text), "{\"number\":%d,\"pad\":\"%060d\"}", number, 0);
  return append_text(text);
}

static void put_raw(const char *name, const char *data, size_t size) {
  FILE *out = fopen(name, "ae");
  ck_assert_ptr_nonnull(out);
  ck_assert_uint_eq(fwrite(data, 1, size, out), size);
  ck_assert_int_eq(fclose(out), 0);
}

static off_t size_of(const char *name) {
  struct stat info;
  return stat(name, &info) == 0 ? info.st_size : -1;
}

typedef struct seen {
  int number[LINES];
  size_t count;
  size_t passed;
} seen_t;

static void take(const char *line, size_t size, void *context) {
  seen_t *seen = context;
  char text[2048];
  snprintf(text, sizeof(text), "%.*s", (int)size, line);
  ck_assert_uint_lt(seen->count, LINES);
  ck_assert_int_eq(sscanf(text, "{\"number\":%d", &seen->number[seen->count++]),
                   1);
}

static au_status_t read_back(size_t lines, seen_t *seen) {
  char error[256] = "";
  seen->count = 0;
  return au_history_file_read(&file, lines, take, seen, &seen->passed, error,
                              sizeof(error));
}

static void check_seen(const seen_t *seen, int first, int last) {
  ck_assert_int_eq((int)seen->count, last - first + 1);
  for (size_t i = 0; i < seen->count; i++)
    ck_assert_int_eq(seen->number[i], first + (int)i);
}

CASE("files", setup, teardown);

TEST(what_is_appended_is_read_back) {
  seen_t seen;
  ck_assert_int_eq(read_back(LINES, &seen), AU_OK);
  ck_assert_uint_eq(seen.count, 0);
  for (int i = 1; i <= 20; i++)
    ck_assert_int_eq(append(i), AU_OK);
  ck_assert_int_eq(read_back(LINES, &seen), AU_OK);
  check_seen(&seen, 1, 20);
  ck_assert_uint_eq(seen.passed, 0);
  ck_assert_int_eq(read_back(5, &seen), AU_OK);
  check_seen(&seen, 16, 20);
}

TEST(it_is_renamed_before_it_is_too_long) {
  seen_t seen;
  for (int i = 1; i <= 500; i++) {
    ck_assert_int_eq(append(i), AU_OK);
    ck_assert_int_le(size_of(path), MAX_BYTES);
    ck_assert_int_le(size_of(old), MAX_BYTES);
  }
  ck_assert_int_gt(size_of(old), MAX_BYTES / 2);
  /* Across both files, and in order. */
  ck_assert_int_eq(read_back(LINES, &seen), AU_OK);
  check_seen(&seen, 500 - (int)seen.count + 1, 500);
  ck_assert_uint_gt(seen.count, 40);
  for (size_t lines = 1; lines < seen.count; lines++) {
    seen_t some;
    ck_assert_int_eq(read_back(lines, &some), AU_OK);
    check_seen(&some, 500 - (int)lines + 1, 500);
  }
}

/* Cut anywhere in its last line, or right after it. */
TEST_EACH(a_torn_line_harms_no_other, 60) {
  seen_t seen;
  for (int i = 1; i <= 3; i++)
    ck_assert_int_eq(append(i), AU_OK);
  off_t whole = size_of(path);
  off_t line = whole / 3;
  ck_assert_int_eq(truncate(path, whole - _i), 0);
  ck_assert_int_eq(read_back(LINES, &seen), AU_OK);
  bool is_kept = _i <= 1; /* without its newline it is whole still */
  check_seen(&seen, 1, is_kept ? 3 : 2);
  ck_assert_uint_eq(seen.passed, !is_kept && _i < line);
  ck_assert_int_eq(append(is_kept ? 4 : 3), AU_OK);
  ck_assert_int_eq(read_back(LINES, &seen), AU_OK);
  check_seen(&seen, 1, is_kept ? 4 : 3);
}

TEST(what_is_no_object_is_passed_over) {
  static const char *const wrong[] = {
      "{\"number\":9",
      "[{\"number\":9}]",
      "{\"number\":9}{}",
      "{\"number\":9} 12",
      "{\"number\":9},",
      "null",
      "\"text\"",
      "12",
      "{\"number\":9}]",
      "{\"number\":}",
      "{\"number\":9,\"\xff\":1}",
      "true",
      "{\"number\":09}",
      "\x80",
      "{",
  };
  seen_t seen;
  int count = COUNT_OF(wrong);
  for (int i = 0; i < count; i++) {
    ck_assert_int_eq(append(i + 1), AU_OK);
    ck_assert_int_eq(append_text(wrong[i]), AU_OK);
    ck_assert_int_eq(append_text(""), AU_OK); /* neither, and not counted */
  }
  ck_assert_int_eq(read_back(LINES, &seen), AU_OK);
  check_seen(&seen, 1, count);
  ck_assert_uint_eq(seen.passed, (size_t)count);
}

TEST(a_line_has_a_maximum_length) {
  char text[AU_HISTORY_LINE_MAX + 1];
  seen_t seen;
  for (int more = -1; more <= 0; more++) {
    int pad =
        AU_HISTORY_LINE_MAX + more - (int)strlen("{\"number\":1,\"p\":\"\"}");
    snprintf(text, sizeof(text), "{\"number\":1,\"p\":\"%0*d\"}", pad, 0);
    ck_assert_int_eq((int)strlen(text), AU_HISTORY_LINE_MAX + more);
    put_raw(path, text, strlen(text));
    put_raw(path, "\n", 1);
  }
  ck_assert_int_eq(read_back(LINES, &seen), AU_OK);
  check_seen(&seen, 1, 1);
  ck_assert_uint_eq(seen.passed, 1);
}

/* No more is read than that number of lines may have, whatever the file is. */
TEST(of_a_large_file_the_end_is_read) {
  char zeros[4096] = "";
  seen_t seen;
  for (int i = 0; i < 64; i++)
    put_raw(path, zeros, sizeof(zeros));
  ck_assert_int_eq(read_back(10, &seen), AU_OK);
  ck_assert_uint_eq(seen.count, 0);
  put_raw(path, "\n{\"number\":1}\n", 14);
  ck_assert_int_eq(read_back(10, &seen), AU_OK);
  check_seen(&seen, 1, 1);
}

TEST_EACH(calls_that_fail_are_reported, CALLS) {
  seen_t seen;
  for (int i = 1; i <= 10; i++)
    ck_assert_int_eq(append(i), AU_OK);
  fails[_i] = true;
  bool is_written = _i == FTRUNCATE || _i == RENAMEAT;
  ck_assert_int_eq(append(11), is_written ? AU_OK : AU_IO);
  bool is_read = _i != OPENAT && _i != PREAD;
  ck_assert_int_eq(read_back(LINES, &seen), is_read ? AU_OK : AU_IO);
  fails[_i] = false;
  ck_assert_int_eq(append(12), AU_OK);
  ck_assert_int_eq(read_back(LINES, &seen), AU_OK);
  ck_assert_uint_ge(seen.count, 11);
  ck_assert_uint_eq(seen.passed, 0);
  ck_assert_int_eq(seen.number[9], 10);
  ck_assert_int_eq(seen.number[seen.count - 1], 12);
}

/* Half a line that cannot be taken back is ended before the next one. */
TEST(half_a_line_that_stays) {
  seen_t seen;
  ck_assert_int_eq(append(1), AU_OK);
  fails[SHORT_WRITE] = fails[FTRUNCATE] = true;
  ck_assert_int_eq(append(9), AU_IO);
  fails[SHORT_WRITE] = fails[FTRUNCATE] = false;
  ck_assert_int_eq(append(2), AU_OK);
  ck_assert_int_eq(read_back(LINES, &seen), AU_OK);
  check_seen(&seen, 1, 2);
  ck_assert_uint_eq(seen.passed, 1);
}

/* It stays within its bound, also when it cannot be renamed. */
TEST(a_file_that_cannot_be_renamed) {
  int i = 0;
  fails[RENAMEAT] = true;
  while (append(++i) == AU_OK)
    ck_assert_int_le(size_of(path), MAX_BYTES);
  ck_assert_int_gt(i, 10);
  ck_assert_int_eq(append(i), AU_IO);
  fails[RENAMEAT] = false;
  ck_assert_int_eq(append(i), AU_OK);
  ck_assert_int_gt(size_of(old), 0);
}

TEST_EACH(what_is_no_file, 2) {
  seen_t seen;
  ck_assert_int_eq(_i == 0 ? mkfifo(path, 0600) : mkdir(path, 0700), 0);
  ck_assert_int_eq(append(1), AU_IO);
  ck_assert_int_eq(read_back(LINES, &seen), AU_IO);
}

TEST(a_directory_that_is_not_there) {
  seen_t seen;
  const au_history_file_t nowhere = {
      .io = &io, .path = "/nonexistent/history", .max_bytes = MAX_BYTES};
  char error[256];
  char line[] = "{}\n";
  ck_assert_int_eq(
      au_history_file_append(&nowhere, line, 3, error, sizeof(error)), AU_IO);
  ck_assert_str_eq(error, "could not open \"/nonexistent/history\": No such "
                          "file or directory");
  ck_assert_int_eq(au_history_file_read(&nowhere, LINES, take, &seen,
                                        &seen.passed, error, sizeof(error)),
                   AU_OK);
}

/* --- snapshots -------------------------------------------------------------
 */

static bool look(au_history_snapshot_t *out, void *context) {
  if (context != &looks)
    abort();
  *out = (au_history_snapshot_t){
      .buffer = {.events = (uint64_t)atomic_fetch_add(&looks, 1),
                 .capacity = 50000,
                 .utilization_percent = 12.345},
      .breaker = {
          .state = AU_BREAKER_HALF_OPEN, .failures = 5, .successes = 1}};
  return !atomic_load(&has_no_snapshot);
}

static au_history_t *start(const char *name, double interval_s) {
  const au_history_config_t config = {.io = &io,
                                      .path = name,
                                      .interval_s = interval_s,
                                      .max_bytes = MAX_BYTES,
                                      .snapshot = look,
                                      .context = &looks};
  au_history_t *history = NULL;
  ck_assert_int_eq(au_history_start(&config, &history), AU_OK);
  return history;
}

static size_t occurrences(const char *text, const char *part) {
  size_t count = 0;
  while ((text = strstr(text, part)) != NULL) {
    count++;
    text++;
  }
  return count;
}

/* The sizes of an answer's snapshots are these, in this order. */
static void check_answer(au_history_t *history, size_t limit, int first,
                         int last) {
  au_bytes_t json = AU_BYTES_INIT;
  au_history_put(history, limit, &json);
  const char *text = au_bytes_text(&json);
  ck_assert_int_eq(text[0], '[');
  ck_assert_int_eq(text[json.size - 1], ']');
  ck_assert_uint_eq(occurrences(text, "\"timestamp\""),
                    (size_t)(last - first + 1));
  const char *at = text;
  for (int i = first; i <= last; i++) {
    char part[64];
    snprintf(part, sizeof(part), "\"buffer\":{\"size\":%d,", i);
    at = strstr(at, part);
    ck_assert_ptr_nonnull(at);
  }
  au_bytes_fini(&json);
}

CASE("snapshots", setup, teardown);

TEST(the_shape_of_a_snapshot) {
  au_metrics_count(AU_M_EVENTS_ENQUEUED, 0, 42);
  au_metrics_count(AU_M_EVENTS_DROPPED, 0, 7);
  au_metrics_set(AU_M_EVENTS_DROP_RATE, 14.285);
  au_metrics_set(AU_M_EVENTS_THROUGHPUT, 0.7);
  au_history_t *history = start(path, 3600);
  au_history_take(history);
  au_bytes_t json = AU_BYTES_INIT;
  au_history_put(history, 1, &json);
  char time[32] = "";
  int end = 0;
  ck_assert_int_eq(sscanf(au_bytes_text(&json),
                          "[{\"timestamp\":\"%24[0-9TZ:.-]\"%n", time, &end),
                   1);
  int64_t us = 0;
  ck_assert(au_timestamp_parse(time, strlen(time), &us));
  ck_assert_int_le(llabs(us - au_clock_wall_us()), 60 * AU_US_PER_S);
  ck_assert_str_eq(
      au_bytes_text(&json) + end,
      ",\"buffer\":{\"size\":0,\"capacity\":50000,\"utilization_percent\":"
      "\"12.35\",\"total_enqueued\":42,\"total_dropped\":7,"
      "\"drop_rate_percent\":\"14.29\",\"throughput_events_per_second\":"
      "\"0.70\"},\"circuitBreaker\":{\"state\":\"HALF_OPEN\","
      "\"failureCount\":5,\"successCount\":1}}]");
  au_bytes_fini(&json);
  au_history_destroy(history);
}

TEST(the_newest_come_last) {
  au_history_t *history = start("", 3600);
  check_answer(history, 10, 0, -1);
  for (int i = 0; i < 5; i++)
    au_history_take(history);
  check_answer(history, 10, 0, 4);
  check_answer(history, 2, 3, 4);
  au_history_destroy(history);
}

typedef struct drawn {
  unsigned count;
  au_history_point_t last;
} drawn_t;

static void draw_point(const au_history_point_t *point, void *context) {
  drawn_t *drawn = context;
  ck_assert_int_ge(point->at_us, drawn->last.at_us);
  drawn->count++;
  drawn->last = *point;
}

TEST(figures_are_read_back) {
  const char *const lines[] = {
      "{\"no\":\"snapshot\"}",
      "{\"timestamp\":\"2026-01-01T12:00:00.000Z\",\"buffer\":{"
      "\"utilization_percent\":\"1.50\",\"drop_rate_percent\":\"2.50\","
      "\"throughput_events_per_second\":\"3.50\"}}"};
  for (size_t i = 0; i < 2; i++)
    ck_assert_int_eq(append_text(lines[i]), AU_OK);
  drawn_t drawn = {.count = 0};
  au_history_visit(NULL, draw_point, &drawn);
  ck_assert_uint_eq(drawn.count, 0);
  au_history_t *history = start(path, 3600);
  au_history_visit(history, draw_point, &drawn);
  ck_assert_uint_eq(drawn.count, 1);
  ck_assert_double_eq(drawn.last.value[AU_HISTORY_FILL], 1.5);
  ck_assert_double_eq(drawn.last.value[AU_HISTORY_DROP], 2.5);
  ck_assert_double_eq(drawn.last.value[AU_HISTORY_RATE], 3.5);
  au_metrics_set(AU_M_EVENTS_THROUGHPUT, 0.7);
  au_history_take(history);
  drawn = (drawn_t){.count = 0};
  au_history_visit(history, draw_point, &drawn);
  ck_assert_uint_eq(drawn.count, 2);
  ck_assert_double_eq(drawn.last.value[AU_HISTORY_RATE], 0.7);
  ck_assert_double_eq(drawn.last.value[AU_HISTORY_FILL], 12.35);
  au_history_destroy(history);
}

TEST(memory_holds_a_fixed_number) {
  au_history_t *history = start("", 3600);
  for (int i = 0; i < AU_HISTORY_SNAPSHOTS + 10; i++)
    au_history_take(history);
  check_answer(history, AU_HISTORY_SNAPSHOTS, 10, AU_HISTORY_SNAPSHOTS + 9);
  check_answer(history, 3, AU_HISTORY_SNAPSHOTS + 7, AU_HISTORY_SNAPSHOTS + 9);
  au_history_destroy(history);
}

TEST(a_start_goes_on_from_the_file) {
  au_history_t *history = start(path, 3600);
  for (int i = 0; i < 5; i++)
    au_history_take(history);
  au_history_destroy(history);
  ck_assert_int_eq(truncate(path, size_of(path) - 10), 0);
  atomic_store(&looks, 4);
  history = start(path, 3600);
  check_answer(history, 10, 0, 3);
  au_history_take(history);
  check_answer(history, 10, 0, 4);
  au_history_destroy(history);
}

TEST(without_figures_there_is_no_snapshot) {
  au_history_t *history = start(path, 3600);
  atomic_store(&has_no_snapshot, true);
  au_history_take(history);
  check_answer(history, 10, 0, -1);
  ck_assert_int_eq(size_of(path), -1);
  au_history_destroy(history);
}

TEST(a_failing_file_is_logged_once) {
  capture_log();
  watch_log_for("history");
  au_history_t *history = start(path, 3600);
  for (unsigned round = 1; round <= 2; round++) {
    fails[PWRITEV] = true;
    for (int i = 0; i < 3; i++)
      au_history_take(history);
    ck_assert_uint_eq(logged(AU_LOG_WARNING), round);
    ck_assert_uint_eq(logged(AU_LOG_NOTICE), round - 1);
    fails[PWRITEV] = false;
    for (int i = 0; i < 3; i++)
      au_history_take(history);
    ck_assert_uint_eq(logged(AU_LOG_WARNING), round);
    ck_assert_uint_eq(logged(AU_LOG_NOTICE), round);
  }
  /* Memory has them all. */
  check_answer(history, 100, 0, 11);
  ck_assert_uint_eq(log_matches(), 4);
  au_history_destroy(history);
}

TEST(what_is_wrong_with_a_file_is_logged_at_the_start) {
  put_raw(path, "rubbish\n{}\n", 11);
  capture_log();
  watch_log_for("history");
  au_history_destroy(start(path, 3600));
  ck_assert_uint_eq(logged(AU_LOG_NOTICE), 1);
  fails[PREAD] = true;
  au_history_destroy(start(path, 3600));
  ck_assert_uint_eq(logged(AU_LOG_WARNING), 1);
  ck_assert_uint_eq(log_matches(), 2);
}

TEST(the_thread_takes_them_in_time) {
  au_history_t *history = start("", 0.001);
  int64_t deadline_ns = au_clock_monotonic_ns() + 60 * AU_NS_PER_S;
  while (atomic_load(&looks) < 5)
    ck_assert_int_lt(au_clock_monotonic_ns(), deadline_ns);
  au_history_destroy(history);
}

/* The n-th allocation fails, for every n: what is missing then is missing, and
 * the rest is right. */
TEST(short_of_memory) {
  const au_history_config_t config = {.io = &io,
                                      .path = path,
                                      .interval_s = 3600,
                                      .max_bytes = MAX_BYTES,
                                      .snapshot = look,
                                      .context = &looks};
  for (int i = 1; i <= 10; i++)
    ck_assert_int_eq(append(i), AU_OK);
  capture_log();
  long n = 1;
  for (bool failed = true; failed; n++) {
    au_history_t *history = NULL;
    au_bytes_t json = AU_BYTES_INIT;
    fail_memory(n, 1);
    au_status_t status = PRODUCT(au_history_start(&config, &history));
    if (status == AU_OK)
      PRODUCT((au_history_take(history),
               au_history_put(history, AU_HISTORY_SNAPSHOTS, &json), 0));
    failed = memory_failed();
    ck_assert(status == AU_OK || (failed && status == AU_NOMEM));
    if (status == AU_OK && !json.failed) {
      const char *text = au_bytes_text(&json);
      ck_assert(text[0] == '[' && text[json.size - 1] == ']');
      ck_assert_ptr_null(strstr(text, ",,"));
    }
    au_bytes_fini(&json);
    au_history_destroy(history);
  }
  ck_assert_int_gt(n, 30);
}

TEST(without_a_thread_there_is_no_history) {
  const au_history_config_t config = {
      .io = &io, .path = "", .interval_s = 1, .snapshot = look};
  au_history_t *history = NULL;
  no_threads = true;
  ck_assert_int_eq(au_history_start(&config, &history), AU_NOMEM);
  ck_assert_ptr_null(history);
}

TEST(nothing_is_destroyed) { au_history_destroy(NULL); }

int main(void) { return run_tests("history"); }
