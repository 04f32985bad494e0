/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * io - the one table of functions through which the spool reaches the system,
 * so that a test can fail the n-th call, record every write, or lose what was
 * not synced.
 *
 * Each function behaves as the system call of its name: -1 and errno on error.
 */
#ifndef AURORE_BASE_IO_H
#define AURORE_BASE_IO_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct au_io {
  int (*openat)(int directory, const char *name, int flags, mode_t mode);
  int (*memory_file)(const char *name); /* memfd_create */
  int (*close)(int fd);
  ssize_t (*pread)(int fd, void *data, size_t size, off_t offset);
  ssize_t (*pwritev)(int fd, const struct iovec *iov, int count, off_t offset);
  int (*fallocate)(int fd, off_t offset,
                   off_t size); /* posix_fallocate, errno set */
  int (*ftruncate)(int fd, off_t size);
  int (*fdatasync)(int fd);
  int (*fsync)(int fd);
  int (*renameat)(int directory, const char *from, const char *to);
  int (*unlinkat)(int directory, const char *name);
  int (*mkdirat)(int directory, const char *name, mode_t mode);
  int (*flock)(int fd, int operation);
} au_io_t;

/* The system's own. */
extern const au_io_t au_io_system;

/* Makes the directory's own name durable: somebody made it, maybe us. A parent
 * that may not be opened, or that cannot be synced, is not ours: no error. */
int au_io_sync_parent(const au_io_t *io, int directory);

#endif
