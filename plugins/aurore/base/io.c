/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

static int system_openat(int directory, const char *name, int flags,
                         mode_t mode) {
  return openat(directory, name, flags | O_CLOEXEC, mode);
}

static int system_memory_file(const char *name) {
  return memfd_create(name, MFD_CLOEXEC);
}

static int system_fallocate(int fd, off_t offset, off_t size) {
  int error = posix_fallocate(fd, offset, size);
  if (error == 0)
    return 0;
  errno = error;
  return -1;
}

static int system_renameat(int directory, const char *from, const char *to) {
  return renameat(directory, from, directory, to);
}

static int system_unlinkat(int directory, const char *name) {
  return unlinkat(directory, name, 0);
}

const au_io_t au_io_system = {
    .openat = system_openat,
    .memory_file = system_memory_file,
    .close = close,
    .pread = pread,
    .pwritev = pwritev,
    .fallocate = system_fallocate,
    .ftruncate = ftruncate,
    .fdatasync = fdatasync,
    .fsync = fsync,
    .renameat = system_renameat,
    .unlinkat = system_unlinkat,
    .mkdirat = mkdirat,
    .flock = flock,
};

void au_io_close(const au_io_t *io, int fd) {
  int error = errno;
  if (fd >= 0)
    io->close(fd);
  errno = error;
}

static int sync_parent(const au_io_t *io, int directory) {
  int parent = io->openat(directory, "..", O_RDONLY | O_DIRECTORY, 0);
  if (parent < 0)
    return errno == EACCES ? 0 : -1;
  int status = io->fsync(parent);
  if (status != 0 && (errno == EINVAL || errno == EROFS))
    status = 0;
  au_io_close(io, parent);
  return status;
}

int au_io_make_directory(const au_io_t *io, const char *path,
                         const char **out_action) {
  *out_action = "make";
  if (io->mkdirat(AT_FDCWD, path, 0700) != 0 && errno != EEXIST)
    return -1;
  *out_action = "open";
  int directory = io->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
  if (directory < 0)
    return -1;
  *out_action = "sync the parent of";
  if (sync_parent(io, directory) == 0)
    return directory;
  au_io_close(io, directory);
  return -1;
}

int au_io_write_all(const au_io_t *io, int fd, const void *data, size_t size,
                    uint64_t offset) {
  const uint8_t *byte = data;
  while (size > 0) {
    union {
      const void *in;
      void *out;
    } base = {.in = byte}; /* iovec has no const; pwritev only reads */
    struct iovec iov = {.iov_base = base.out, .iov_len = size};
    ssize_t done = io->pwritev(fd, &iov, 1, (off_t)offset);
    if (done < 0 && errno == EINTR)
      continue;
    if (done == 0)
      errno = EIO;
    if (done <= 0)
      return -1;
    byte += done;
    size -= (size_t)done;
    offset += (uint64_t)done;
  }
  return 0;
}
