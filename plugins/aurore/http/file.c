/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * file - see file.h.
 */
#include "http/file.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void au_file_warn_of_mode(const char *option, const char *path,
                          mode_t forbidden) {
  struct stat info = {.st_mode = 0};
  if (stat(path, &info) != 0 || (info.st_mode & forbidden) == 0)
    return;
  mode_t bad = info.st_mode & forbidden;
  au_log(AU_LOG_WARNING, "%s \"%s\" can be %s by every user of this machine",
         option, path, (bad & S_IWOTH) != 0 ? "written" : "read");
}

FILE *au_file_open(const char *option, const char *path, char *error,
                   size_t error_size) {
  /* Neither a FIFO nor a terminal may hold us up. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat info = {.st_mode = 0};
  FILE *file = NULL;
  const char *reason = NULL;
  if (fd >= 0 && fstat(fd, &info) == 0 && !S_ISREG(info.st_mode))
    reason = "it is not a regular file";
  else if (fd < 0 || (file = fdopen(fd, "r")) == NULL)
    reason = strerror(errno);
  if (reason == NULL)
    /* cppcheck-suppress resourceLeak ; the stream has it */
    return file;
  snprintf(error, error_size, "could not read %s \"%s\": %s", option, path,
           reason);
  if (fd >= 0)
    close(fd);
  return NULL;
}

au_status_t au_file_read(const char *option, const char *path, char **out_text,
                         char *error, size_t error_size) {
  FILE *file = au_file_open(option, path, error, error_size);
  if (file == NULL)
    return AU_IO;
  const char *reason = NULL;
  char *text = malloc(AU_FILE_BYTES_MAX);
  size_t size = text != NULL ? fread(text, 1, AU_FILE_BYTES_MAX, file) : 0;
  if (text == NULL)
    reason = "out of memory";
  else if (ferror(file))
    reason = strerror(errno);
  else if (size == 0)
    reason = "it is empty";
  else if (size == AU_FILE_BYTES_MAX)
    reason = "it is larger than 1 MiB";
  fclose(file);
  if (reason != NULL) {
    snprintf(error, error_size, "could not read %s \"%s\": %s", option, path,
             reason);
    free(text);
    return AU_IO;
  }
  text[size] = '\0';
  *out_text = text;
  return AU_OK;
}

/* --- watching ---------------------------------------------------------- */

static int64_t ns_of(struct timespec time) {
  return time.tv_sec * AU_NS_PER_S + time.tv_nsec;
}

au_file_mark_t au_file_mark(const char *path) {
  struct stat info;
  if (stat(path, &info) != 0)
    return (au_file_mark_t){.error = errno};
  return (au_file_mark_t){.device = info.st_dev,
                          .inode = info.st_ino,
                          .size = info.st_size,
                          .modified_ns = ns_of(info.st_mtim),
                          .changed_ns = ns_of(info.st_ctim)};
}

static bool is_same(const au_file_mark_t *a, const au_file_mark_t *b) {
  return a->error == b->error && a->device == b->device &&
         a->inode == b->inode && a->size == b->size &&
         a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

static bool are_same(const au_file_mark_t a[AU_FILE_WATCH_MAX],
                     const au_file_mark_t b[AU_FILE_WATCH_MAX]) {
  for (unsigned i = 0; i < AU_FILE_WATCH_MAX; i++)
    if (!is_same(&a[i], &b[i]))
      return false;
  return true;
}

static void mark_all(const au_file_watch_t *watch,
                     au_file_mark_t out[AU_FILE_WATCH_MAX]) {
  for (unsigned i = 0; i < AU_FILE_WATCH_MAX; i++) {
    const char *path = watch->path[i];
    out[i] = path != NULL && path[0] != '\0' ? au_file_mark(path)
                                             : (au_file_mark_t){.error = 0};
  }
}

void au_file_watch_begin(au_file_watch_t *watch) {
  mark_all(watch, watch->used);
  memcpy(watch->seen, watch->used, sizeof(watch->seen));
}

static void report_failure(au_file_watch_t *watch, unsigned file,
                           const char *reason) {
  if (watch->is_bad && strcmp(watch->reason, reason) == 0)
    return;
  watch->is_bad = true;
  snprintf(watch->reason, sizeof(watch->reason), "%s", reason);
  au_metrics_count(AU_M_RELOAD_FAILURES, watch->file[file], 1);
  au_log(AU_LOG_ERROR,
         "%s changed and cannot be used: %s; what was read before stays in "
         "force",
         watch->what, reason);
  au_notify(AU_SEVERITY_WARNING, "config_reload_failures_total",
            "%s changed and cannot be used: %s", watch->what, reason);
}

static void report_success(au_file_watch_t *watch) {
  au_log(AU_LOG_NOTICE, "%s changed and is in force now", watch->what);
  if (watch->is_bad)
    au_notify(AU_SEVERITY_OKAY, "config_reload_failures_total",
              "%s can be used again, and is in force", watch->what);
  watch->is_bad = false;
}

void au_file_watch_check(au_file_watch_t *watch) {
  au_file_mark_t now[AU_FILE_WATCH_MAX];
  mark_all(watch, now);
  bool is_settled = are_same(now, watch->seen);
  memcpy(watch->seen, now, sizeof(now));
  if (!is_settled || (!watch->is_bad && are_same(now, watch->used)))
    return;
  char reason[sizeof(watch->reason)] = "";
  unsigned file = 0;
  au_status_t status =
      watch->load(watch->context, &file, reason, sizeof(reason));
  mark_all(watch, watch->seen);
  if (!are_same(now, watch->seen)) { /* while it was read; the next check */
    watch->finish(watch->context, false);
    return;
  }
  memcpy(watch->used, now, sizeof(now));
  watch->finish(watch->context, status == AU_OK);
  if (status == AU_OK)
    report_success(watch);
  else
    report_failure(watch, file, reason);
}
