/* SPDX-License-Identifier: MIT
 * Part of observe/; calls database/, spool/, config/, metrics/, event/, base/.
 */
#include "observe/history_file.h"

#include "base/json_object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The metrics are no secret, and nobody else's business either. */
#define FILE_MODE 0640

/* --- files -----------------------------------------------------------------*/

static char *old_path(const char *path) {
  size_t size = strlen(path) + sizeof(".1");
  char *text = malloc(size);
  if (text != NULL)
    (void)snprintf(text, size, "%s.1", path);
  return text;
}

/* The file and its size; -1 and errno. Never waits for the other end of a
 * FIFO, and takes nothing but a regular file. */
static int open_file(const au_io_t *io, const char *path, int flags,
                     uint64_t *out_size) {
  int fd = io->openat(AT_FDCWD, path, flags | O_NONBLOCK | O_NOCTTY, FILE_MODE);
  if (fd < 0)
    return -1;
  struct stat info;
  int error = fstat(fd, &info) != 0 ? errno : 0;
  if (error == 0 && !S_ISREG(info.st_mode))
    error = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
  if (error == 0) {
    *out_size = (uint64_t)info.st_size;
    return fd;
  }
  (void)io->close(fd);
  errno = error;
  return -1;
}

static au_status_t failed(char *error, size_t error_size, const char *what,
                          const char *path) {
  (void)snprintf(error, error_size, "could not %s \"%s\": %s", what, path,
                 errno == EINVAL ? "it is not a regular file"
                                 : strerror(errno));
  return AU_IO;
}

/* --- writing ---------------------------------------------------------------*/

/* Writes after the last byte; leaves the file as it was when it cannot. */
static bool write_line(const au_io_t *io, int fd, uint64_t size, char *line,
                       size_t line_size) {
  char last = '\n';
  if (size > 0 && io->pread(fd, &last, 1, (off_t)size - 1) < 0)
    return false;
  char newline = '\n';
  struct iovec iov[2] = {{.iov_base = &newline, .iov_len = last != '\n'},
                         {.iov_base = line, .iov_len = line_size}};
  size_t wanted = iov[0].iov_len + iov[1].iov_len;
  ssize_t written = io->pwritev(fd, iov, 2, (off_t)size);
  if (written == (ssize_t)wanted)
    return true;
  int error = written < 0 ? errno : ENOSPC;
  /* Whether it works or not: half a line does no harm. */
  (void)io->ftruncate(fd, (off_t)size);
  errno = error;
  return false;
}

au_status_t au_history_file_append(const au_history_file_t *file, char *line,
                                   size_t line_size, char *error,
                                   size_t error_size) {
  const au_io_t *io = file->io;
  uint64_t size = 0;
  int fd = open_file(io, file->path, O_RDWR | O_CREAT, &size);
  if (fd < 0)
    return failed(error, error_size, "open", file->path);
  if (size > 0 && size + line_size + 1 > file->max_bytes) {
    (void)io->close(fd);
    char *old = old_path(file->path);
    if (old == NULL)
      return AU_NOMEM;
    int result = io->renameat(AT_FDCWD, file->path, old);
    free(old);
    if (result != 0)
      return failed(error, error_size, "rename", file->path);
    fd = open_file(io, file->path, O_RDWR | O_CREAT, &size);
    if (fd < 0)
      return failed(error, error_size, "open", file->path);
  }
  au_status_t status = AU_OK;
  if (!write_line(io, fd, size, line, line_size))
    status = failed(error, error_size, "write to", file->path);
  if (io->close(fd) != 0 && status == AU_OK)
    status = failed(error, error_size, "write to", file->path);
  return status;
}

/* --- reading ---------------------------------------------------------------*/

static bool is_object(const char *line, size_t size) {
  return size < AU_HISTORY_LINE_MAX && au_json_object_is_whole(line, size);
}

/* The end of a file, in memory. */
typedef struct tail {
  char *text; /* NULL: nothing */
  size_t size;
} tail_t;

/* At most "max" bytes, from the beginning of a line on. */
static au_status_t read_tail(const au_io_t *io, const char *path, size_t max,
                             tail_t *out, char *error, size_t error_size) {
  uint64_t size = 0;
  int fd = open_file(io, path, O_RDONLY, &size);
  if (fd < 0)
    return errno == ENOENT ? AU_OK : failed(error, error_size, "open", path);
  uint64_t from = size > max ? size - max : 0;
  size_t wanted = (size_t)(size - from);
  char *text = malloc(wanted + 1);
  if (text == NULL) {
    (void)io->close(fd);
    return AU_NOMEM;
  }
  ssize_t got = 1;
  size_t have = 0;
  while (have < wanted && got > 0) {
    got = io->pread(fd, text + have, wanted - have, (off_t)(from + have));
    have += got > 0 ? (size_t)got : 0;
  }
  au_status_t status = AU_OK;
  if (got < 0)
    status = failed(error, error_size, "read", path);
  (void)io->close(fd);
  size_t skip = 0;
  if (from > 0) { /* most likely in the middle of a line */
    const char *newline = memchr(text, '\n', have);
    skip = newline != NULL ? (size_t)(newline - text) + 1 : have;
  }
  memmove(text, text + skip, have - skip);
  *out = (tail_t){.text = text, .size = have - skip};
  return status;
}

static size_t count_lines(const tail_t *tail) {
  size_t lines = 0;
  for (size_t i = 0; i < tail->size; i++)
    lines += tail->text[i] == '\n';
  return lines + (tail->size > 0 && tail->text[tail->size - 1] != '\n');
}

/* Takes the last "lines" lines. */
static size_t take_lines(const tail_t *tail, size_t lines, au_line_taker_t take,
                         void *context) {
  size_t count = count_lines(tail);
  if (count == 0)
    return 0;
  size_t skip = count > lines ? count - lines : 0;
  size_t passed = 0;
  const char *end = tail->text + tail->size;
  const char *line = tail->text;
  while (line != NULL && line < end) {
    const char *newline = memchr(line, '\n', (size_t)(end - line));
    size_t size = (size_t)((newline != NULL ? newline : end) - line);
    if (skip > 0)
      skip--;
    else if (is_object(line, size))
      take(line, size, context);
    else
      passed += size > 0;
    line = newline != NULL ? newline + 1 : end;
  }
  return passed;
}

au_status_t au_history_file_read(const au_history_file_t *file, size_t lines,
                                 au_line_taker_t take, void *context,
                                 size_t *out_passed, char *error,
                                 size_t error_size) {
  size_t max = lines * AU_HISTORY_LINE_MAX;
  tail_t now = {.text = NULL};
  tail_t old = {.text = NULL};
  *out_passed = 0;
  au_status_t status =
      read_tail(file->io, file->path, max, &now, error, error_size);
  size_t found = count_lines(&now);
  char *path = status == AU_OK && found < lines ? old_path(file->path) : NULL;
  if (path != NULL)
    status = read_tail(file->io, path, max, &old, error, error_size);
  free(path);
  *out_passed +=
      take_lines(&old, lines - (found < lines ? found : lines), take, context);
  *out_passed += take_lines(&now, lines, take, context);
  free(now.text);
  free(old.text);
  return status;
}
