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
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct au_io {
  int (*openat)(int directory, const char *name, int flags, mode_t mode);
  int (*memory_file)(const char *name); /* memfd_create */
  int (*close)(int fd);
  ssize_t (*pread)(int fd, void *data, size_t size, off_t offset);
  ssize_t (*pwritev)(int fd, const struct iovec *iov, int count, off_t offset);
  int (*fallocate)(int fd, off_t offset, off_t size); /* posix_, and errno */
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

/* Closes the file, unless it is -1; errno stays. */
void au_io_close(const au_io_t *io, int fd);

/* Writes all of it, in as many calls as it takes. -1: see errno. */
int au_io_write_all(const au_io_t *io, int fd, const void *data, size_t size,
                    uint64_t offset);

/* Makes the directory if it is missing, opens it, and makes its own name
 * durable. A parent that may not be opened, or that cannot be synced, is not
 * ours: no error. -1: see errno; "out_action" is what failed ("make", "open",
 * "sync the parent of"). */
int au_io_make_directory(const au_io_t *io, const char *path,
                         const char **out_action);

#endif
