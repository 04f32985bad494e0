/* SPDX-License-Identifier: MIT
 *
 * recorder - see recorder.h.
 */
#include "faults/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FDS_MAX 1024
#define SETTLE_NS 200000000

/* What a descriptor is; else the number of a file. */
#define FD_UNKNOWN (-1)
#define FD_DIRECTORY (-2)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static const recorder_config_t *config;
static disk_t *names; /* for looking up names; its contents do not matter */
static unsigned next_file;
static int fds[FDS_MAX];
static size_t calls;
static size_t syncs;
static int unsettled; /* names made or removed since the directory's sync */

void recorder_start(const recorder_config_t *new_config) {
  pthread_mutex_lock(&lock);
  config = new_config;
  names = disk_clone(config->disk);
  next_file = disk_next_file(names);
  for (int i = 0; i < FDS_MAX; i++)
    fds[i] = FD_UNKNOWN;
  calls = 0;
  syncs = 0;
  unsettled = 0;
  pthread_mutex_unlock(&lock);
}

void recorder_stop(void) {
  disk_free(names);
  names = NULL;
  config = NULL;
}

static bool fails_locked(void) {
  calls++;
  for (size_t i = 0; i < config->faults; i++)
    if (config->fault[i] == calls)
      return true;
  return false;
}

static bool sync_fails_locked(void) {
  syncs++;
  for (size_t i = 0; i < config->sync_faults; i++)
    if (config->sync_fault[i] == syncs)
      return true;
  return fails_locked();
}

static disk_op_t *add_locked(disk_kind_t kind, int file) {
  disk_op_t *op = disk_record_add(config->record, kind);
  op->file = file >= 0 ? (unsigned)file : 0;
  return op;
}

static int fail(int error) {
  errno = error;
  return -1;
}

static int file_of_locked(int fd) {
  return fd >= 0 && fd < FDS_MAX ? fds[fd] : FD_UNKNOWN;
}

void recorder_mark(int mark, uint64_t value) {
  pthread_mutex_lock(&lock);
  disk_op_t *op = add_locked(DISK_MARK, 0);
  op->mark = mark;
  op->value = value;
  pthread_mutex_unlock(&lock);
}

bool recorder_next_mark(size_t *place, disk_op_t *out_mark) {
  bool found = false;
  pthread_mutex_lock(&lock);
  const disk_record_t *record = config->record;
  while (!found && *place < record->count) {
    *out_mark = record->op[(*place)++];
    found = out_mark->kind == DISK_MARK;
  }
  pthread_mutex_unlock(&lock);
  return found;
}

void recorder_settle(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += SETTLE_NS;
  if (until.tv_nsec >= 1000000000) {
    until.tv_nsec -= 1000000000;
    until.tv_sec++;
  }
  pthread_mutex_lock(&lock);
  while (unsettled > 0 &&
         pthread_cond_timedwait(&changed, &lock, &until) == 0) {
  }
  pthread_mutex_unlock(&lock);
}

static int open_file_locked(int directory, const char *name, int flags,
                            mode_t mode) {
  unsigned file = next_file;
  bool exists = disk_lookup(names, name, &file);
  bool makes = (flags & O_CREAT) != 0 && !exists;
  bool empties = (flags & O_TRUNC) != 0 && exists;
  if ((makes || empties) && fails_locked())
    return fail(ENOSPC);
  int fd = au_io_system.openat(directory, name, flags, mode);
  if (fd < 0)
    return fd;
  if (makes) {
    disk_op_t *op = add_locked(DISK_CREATE, (int)next_file++);
    strncpy(op->name, name, sizeof(op->name) - 1);
    disk_follow(names, op);
    unsettled++;
  } else if (empties) {
    add_locked(DISK_RESIZE, (int)file);
  }
  if (fd < FDS_MAX)
    fds[fd] = (int)file;
  return fd;
}

static int recorded_openat(int directory, const char *name, int flags,
                           mode_t mode) {
  pthread_mutex_lock(&lock);
  int fd;
  if ((flags & O_DIRECTORY) != 0) {
    fd = au_io_system.openat(directory, name, flags, mode);
    if (fd >= 0 && fd < FDS_MAX)
      fds[fd] = strcmp(name, "..") == 0 ? FD_UNKNOWN : FD_DIRECTORY;
  } else {
    fd = open_file_locked(directory, name, flags, mode);
  }
  pthread_mutex_unlock(&lock);
  return fd;
}

static int recorded_close(int fd) {
  pthread_mutex_lock(&lock);
  if (fd >= 0 && fd < FDS_MAX)
    fds[fd] = FD_UNKNOWN;
  int result = au_io_system.close(fd);
  pthread_mutex_unlock(&lock);
  return result;
}

static ssize_t recorded_pwritev(int fd, const struct iovec *iov, int count,
                                off_t offset) {
  pthread_mutex_lock(&lock);
  struct iovec part = iov[0]; /* the spool has but one */
  ssize_t done = -1;
  bool failed = fails_locked();
  if (failed)
    part.iov_len /= 2; /* a short write; every other one says ENOSPC at once */
  if (failed && calls % 2 == 0)
    done = fail(ENOSPC);
  else
    done =
        count == 1 ? au_io_system.pwritev(fd, &part, 1, offset) : fail(EINVAL);
  int file = file_of_locked(fd);
  if (done > 0 && file >= 0) {
    disk_op_t *op = add_locked(DISK_WRITE, file);
    op->offset = (uint64_t)offset;
    op->size = (size_t)done;
    op->data = malloc(op->size);
    if (op->data == NULL)
      disk_die("out of memory");
    memcpy(op->data, part.iov_base, op->size);
  }
  pthread_mutex_unlock(&lock);
  return done;
}

static int resized(int fd, uint64_t size, disk_kind_t kind, int error,
                   int (*call)(int fd, off_t offset, off_t size)) {
  pthread_mutex_lock(&lock);
  int result = fails_locked() ? fail(error) : call(fd, 0, (off_t)size);
  int file = file_of_locked(fd);
  if (result == 0 && file >= 0)
    add_locked(kind, file)->offset = size;
  pthread_mutex_unlock(&lock);
  return result;
}

static int recorded_fallocate(int fd, off_t offset, off_t size) {
  return resized(fd, (uint64_t)(offset + size), DISK_EXTEND, ENOSPC,
                 au_io_system.fallocate);
}

static int truncate_call(int fd, off_t offset, off_t size) {
  (void)offset;
  return au_io_system.ftruncate(fd, size);
}

static int recorded_ftruncate(int fd, off_t size) {
  return resized(fd, (uint64_t)size, DISK_RESIZE, EIO, truncate_call);
}

static int recorded_sync(int fd) {
  pthread_mutex_lock(&lock);
  int result = sync_fails_locked() ? fail(EIO) : 0;
  int file = file_of_locked(fd);
  if (file >= 0)
    add_locked(result == 0 ? DISK_SYNC : DISK_SYNC_FAILED, file);
  if (file == FD_DIRECTORY)
    add_locked(result == 0 ? DISK_SYNC_NAMES : DISK_SYNC_NAMES_FAILED, 0);
  if (file == FD_DIRECTORY && result == 0) {
    unsettled = 0;
    pthread_cond_broadcast(&changed);
  }
  pthread_mutex_unlock(&lock);
  return result;
}

static int recorded_renameat(int directory, const char *from, const char *to) {
  pthread_mutex_lock(&lock);
  int result =
      fails_locked() ? fail(EIO) : au_io_system.renameat(directory, from, to);
  unsigned file = 0;
  if (result == 0 && disk_lookup(names, from, &file)) {
    disk_op_t *op = add_locked(DISK_RENAME, (int)file);
    strncpy(op->name, from, sizeof(op->name) - 1);
    strncpy(op->to, to, sizeof(op->to) - 1);
    disk_follow(names, op);
    unsettled++;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

static int recorded_unlinkat(int directory, const char *name) {
  pthread_mutex_lock(&lock);
  int result =
      fails_locked() ? fail(EIO) : au_io_system.unlinkat(directory, name);
  unsigned file = 0;
  if (result == 0 && disk_lookup(names, name, &file)) {
    disk_op_t *op = add_locked(DISK_UNLINK, (int)file);
    strncpy(op->name, name, sizeof(op->name) - 1);
    disk_follow(names, op);
    unsettled++;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

static int recorded_mkdirat(int directory, const char *name, mode_t mode) {
  return au_io_system.mkdirat(directory, name, mode);
}

static ssize_t recorded_pread(int fd, void *data, size_t size, off_t offset) {
  return au_io_system.pread(fd, data, size, offset);
}

static int recorded_memory_file(const char *name) {
  return au_io_system.memory_file(name);
}

static int recorded_flock(int fd, int operation) {
  return au_io_system.flock(fd, operation);
}

const au_io_t recorder_io = {
    .openat = recorded_openat,
    .memory_file = recorded_memory_file,
    .close = recorded_close,
    .pread = recorded_pread,
    .pwritev = recorded_pwritev,
    .fallocate = recorded_fallocate,
    .ftruncate = recorded_ftruncate,
    .fdatasync = recorded_sync,
    .fsync = recorded_sync,
    .renameat = recorded_renameat,
    .unlinkat = recorded_unlinkat,
    .mkdirat = recorded_mkdirat,
    .flock = recorded_flock,
};
