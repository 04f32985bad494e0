/* SPDX-License-Identifier: MIT
 *
 * Each call that a spool makes fails, the first, the second, ... until a run is
 * clean: of its table of functions, and of the C library (the program is linked
 * with --wrap for those). Nothing acknowledged is lost, nothing comes twice,
 * nothing leaks, and every call of the spool comes back.
 */
#include "faults/oracle.h"
#include "metrics/metrics.h"
#include "support/spools.h"
#include "support/suite.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

typedef enum kind {
  KIND_OPENAT,
  KIND_MEMORY_FILE,
  KIND_CLOSE,
  KIND_PREAD,
  KIND_PREAD_NOMEM,
  KIND_PWRITEV,
  KIND_PWRITEV_SHORT,
  KIND_FALLOCATE,
  KIND_FTRUNCATE,
  KIND_FDATASYNC,
  KIND_FSYNC,
  KIND_RENAMEAT,
  KIND_UNLINKAT,
  KIND_MKDIRAT,
  KIND_FLOCK,
  KIND_MEMORY,
  KIND_THREAD,
  KIND_READDIR,
  KINDS
} kind_t;

static struct {
  kind_t kind;
  atomic_int calls;
  int first; /* the first call that fails; 0: none */
  int count; /* how many fail */
  uint64_t max_bytes;
} fault;

/* What the test's own thread calls for itself does not count. */
static _Thread_local bool is_test;

static bool fails(kind_t kind) {
  if (fault.first == 0 || fault.kind != kind || (is_test && !is_in_spool))
    return false;
  int call = atomic_fetch_add(&fault.calls, 1) + 1;
  return call >= fault.first && call - fault.first < fault.count;
}

static int refuse(int error) {
  errno = error;
  return -1;
}

/* --- the table -------------------------------------------------------------
 */

static int my_openat(int dir, const char *name, int flags, mode_t mode) {
  return fails(KIND_OPENAT) ? refuse(EMFILE)
                            : au_io_system.openat(dir, name, flags, mode);
}

static int my_memory_file(const char *name) {
  return fails(KIND_MEMORY_FILE) ? refuse(EMFILE)
                                 : au_io_system.memory_file(name);
}

static int my_close(int fd) {
  int status = au_io_system.close(fd); /* it is closed, whatever it says */
  return fails(KIND_CLOSE) ? refuse(EIO) : status;
}

static ssize_t my_pread(int fd, void *data, size_t size, off_t offset) {
  if (fails(KIND_PREAD))
    return refuse(EIO);
  if (fails(KIND_PREAD_NOMEM))
    return refuse(ENOMEM);
  return au_io_system.pread(fd, data, size, offset);
}

static ssize_t my_pwritev(int fd, const struct iovec *iov, int count,
                          off_t offset) {
  if (fails(KIND_PWRITEV))
    return refuse(ENOSPC);
  struct iovec part = iov[0];
  if (fails(KIND_PWRITEV_SHORT))
    part.iov_len = part.iov_len / 3 + 1;
  return count == 1 ? au_io_system.pwritev(fd, &part, 1, offset)
                    : refuse(EINVAL);
}

static int my_fallocate(int fd, off_t offset, off_t size) {
  return fails(KIND_FALLOCATE) ? refuse(ENOSPC)
                               : au_io_system.fallocate(fd, offset, size);
}

static int my_ftruncate(int fd, off_t size) {
  return fails(KIND_FTRUNCATE) ? refuse(EIO) : au_io_system.ftruncate(fd, size);
}

static int my_fdatasync(int fd) {
  /* Nothing is truncated before something else has failed. */
  static atomic_int calls;
  if (fault.first > 0 && fault.kind == KIND_FTRUNCATE &&
      atomic_fetch_add(&calls, 1) % 7 == 0)
    return refuse(EIO);
  return fails(KIND_FDATASYNC) ? refuse(EIO) : au_io_system.fdatasync(fd);
}

static int my_fsync(int fd) {
  return fails(KIND_FSYNC) ? refuse(EIO) : au_io_system.fsync(fd);
}

static int my_renameat(int dir, const char *from, const char *to) {
  return fails(KIND_RENAMEAT) ? refuse(EIO)
                              : au_io_system.renameat(dir, from, to);
}

static int my_unlinkat(int dir, const char *name) {
  return fails(KIND_UNLINKAT) ? refuse(EIO) : au_io_system.unlinkat(dir, name);
}

static int my_mkdirat(int dir, const char *name, mode_t mode) {
  return fails(KIND_MKDIRAT) ? refuse(EACCES)
                             : au_io_system.mkdirat(dir, name, mode);
}

static int my_flock(int fd, int operation) {
  return fails(KIND_FLOCK) ? refuse(EINTR) : au_io_system.flock(fd, operation);
}

static const au_io_t my_io = {.openat = my_openat,
                              .memory_file = my_memory_file,
                              .close = my_close,
                              .pread = my_pread,
                              .pwritev = my_pwritev,
                              .fallocate = my_fallocate,
                              .ftruncate = my_ftruncate,
                              .fdatasync = my_fdatasync,
                              .fsync = my_fsync,
                              .renameat = my_renameat,
                              .unlinkat = my_unlinkat,
                              .mkdirat = my_mkdirat,
                              .flock = my_flock};

/* --- the C library ---------------------------------------------------------
 */

/* The linker's names for --wrap.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*main)(void *), void *argument);
struct dirent *__real_readdir(DIR *list);
DIR *__real_fdopendir(int fd);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*main)(void *), void *argument);
struct dirent *__wrap_readdir(DIR *list);
DIR *__wrap_fdopendir(int fd);

static bool lacks_memory(void) {
  if (!fails(KIND_MEMORY))
    return false;
  errno = ENOMEM;
  return true;
}

void *__wrap_malloc(size_t size) {
  return lacks_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
  return lacks_memory() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
  return lacks_memory() ? NULL : __real_realloc(memory, size);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*main)(void *), void *argument) {
  return fails(KIND_THREAD)
             ? EAGAIN
             : __real_pthread_create(thread, attributes, main, argument);
}

struct dirent *__wrap_readdir(DIR *list) {
  if (!fails(KIND_READDIR))
    return __real_readdir(list);
  errno = EIO;
  return NULL;
}

DIR *__wrap_fdopendir(int fd) {
  if (!fails(KIND_MEMORY))
    return __real_fdopendir(fd);
  errno = ENOMEM;
  return NULL;
}

/* --- runs ------------------------------------------------------------------
 */

static void run_setup(void) {
  setup();
  is_test = true;
}

#define ROWS 60

typedef struct run {
  au_spool_t *spool;
  const char *directory;
  bool acknowledged[ROWS + 1]; /* by value, from 1 on */
  uint64_t stored;             /* values up to this one */
} run_t;

static au_status_t run_open(run_t *run) {
  char error[256] = "";
  const au_spool_config_t config = {.io = &my_io,
                                    .directory = run->directory,
                                    .segment_bytes = SEGMENT_BYTES,
                                    .durability = AU_DURABILITY_COMMIT,
                                    .max_bytes = fault.max_bytes,
                                    .usage = &usage};
  atomic_store(&usage.events, 0);
  atomic_store(&usage.bytes, 0);
  is_in_spool = true;
  au_status_t status =
      au_spool_open(&config, &run->spool, error, sizeof(error));
  is_in_spool = false;
  ck_assert(status == AU_OK || (run->spool == NULL && error[0] != '\0'));
  return status;
}

/* Takes a batch as the writer does, and forgets half of it; at the end of a
 * segment that is its last row, so that segments are deleted in every run. */
static void run_store(run_t *run) {
  au_slab_t slab = {.count = 0};
  is_in_spool = true;
  au_status_t status =
      au_spool_read(run->spool, au_spool_begin(run->spool), 10, 100000, &slab);
  is_in_spool = false;
  if (status == AU_OK && slab.count > 0) {
    size_t rows = (slab.count + 1) / 2;
    run->stored = row_value(au_slab_row(&slab, rows - 1).tuple);
    is_in_spool = true;
    au_spool_trim(run->spool, au_slab_position(&slab, rows));
    is_in_spool = false;
  }
  au_slab_fini(&slab);
}

static void run_all(run_t *run) {
  uint64_t value = 1;
  for (int start = 0; start < 2; start++) {
    if (run_open(run) != AU_OK)
      continue;
    uint64_t last = start == 0 && run->directory != NULL ? ROWS / 2 : ROWS;
    for (; value <= last; value++) {
      au_status_t status = append(run->spool, value, 1, 200);
      ck_assert(status == AU_OK || status == AU_IO || status == AU_NOMEM);
      run->acknowledged[value] = status == AU_OK;
      if (value % 7 == 0)
        run_store(run);
      if (value % 20 == 0)
        au_spool_confirm_owner(run->spool);
    }
    if (run->directory == NULL)
      return;
    is_in_spool = true;
    au_spool_close(run->spool);
    is_in_spool = false;
    run->spool = NULL;
  }
}

/* In order, each once, and of those that are not stored all that were
 * acknowledged. */
static void run_check(const run_t *run, int n) {
  seen_t seen;
  read_all(run->spool, 9, false, 0, &seen);
  uint64_t last = 0;
  for (size_t i = 0; i < seen.count; i++) {
    uint64_t value = seen.value[i];
    ck_assert_msg(value > last,
                  "kind %d, call %d: value %" PRIu64 " after %" PRIu64,
                  (int)fault.kind, n, value, last);
    for (uint64_t passed = last + 1; passed < value; passed++)
      ck_assert_msg(passed <= run->stored || !run->acknowledged[passed],
                    "kind %d, call %d: value %" PRIu64 " is lost",
                    (int)fault.kind, n, passed);
    last = value;
  }
  for (uint64_t passed = last + 1; passed <= ROWS; passed++)
    ck_assert_msg(passed <= run->stored || !run->acknowledged[passed],
                  "kind %d, call %d: value %" PRIu64 " is lost",
                  (int)fault.kind, n, passed);
  ck_assert_uint_eq(seen.passed, 0);
  ck_assert_uint_eq(damaged(), 0);
  ck_assert_uint_eq(atomic_load(&usage.events), seen.count);
}

static int open_files(void) {
  int count = 0;
  DIR *dir = opendir("/proc/self/fd");
  ck_assert_ptr_nonnull(dir);
  while (__real_readdir(dir) != NULL)
    count++;
  closedir(dir);
  return count;
}

/* One run with "count" failures from the n-th call on; false: it made fewer
 * calls. */
static bool run_with_fault(kind_t kind, int n, int count, bool is_memory) {
  run_t run = {.directory = is_memory ? NULL : directory};
  int files_before = open_files();
  fault.kind = kind;
  fault.first = n;
  fault.count = count;
  /* Without room for spares every segment that is gone is deleted. */
  fault.max_bytes = kind == KIND_UNLINKAT ? 0 : UINT64_C(1) << 30;
  atomic_store(&fault.calls, 0);
  au_metrics_reset();
  run_all(&run);
  bool failed = atomic_load(&fault.calls) >= n;
  fault.first = 0;
  if (!is_memory)
    ck_assert_int_eq(run_open(&run), AU_OK);
  if (run.spool != NULL)
    run_check(&run, n);
  au_spool_close(run.spool);
  ck_assert_int_eq(open_files(), files_before);
  (void)files("", true);
  return failed;
}

CASE("failures", run_setup, teardown);

TEST_EACH(nothing_is_lost_when_one_call_fails, KINDS) {
  int n = 1;
  while (run_with_fault((kind_t)_i, n, 1, _i == KIND_MEMORY_FILE))
    n++;
  ck_assert_int_gt(n, 1);
}

TEST_EACH(nothing_is_lost_when_all_calls_fail_from_one_on, KINDS) {
  if (_i == KIND_PREAD)
    return; /* what cannot be read for long is passed: see check_recovery */
  int n = 1;
  while (run_with_fault((kind_t)_i, n, 1000000, _i == KIND_MEMORY_FILE))
    n++;
  ck_assert_int_gt(n, 1);
}

TEST_EACH(nothing_is_lost_in_memory_when_calls_fail, 10) {
  static const kind_t kinds[] = {KIND_MEMORY_FILE, KIND_PREAD, KIND_PWRITEV,
                                 KIND_PWRITEV_SHORT, KIND_MEMORY};
  for (int n = 1; run_with_fault(kinds[_i % 5], n, _i < 5 ? 1 : 3, true);)
    n++;
}

int main(void) { return run_tests("failing_calls"); }
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
