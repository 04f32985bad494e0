/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * file - the small files that an operator gives to the server (certificates,
 * tokens): reading them, and noticing that they have changed.
 *
 * Threads: a watch belongs to one thread; the rest may be called from any.
 */
#ifndef AURORE_HTTP_FILE_H
#define AURORE_HTTP_FILE_H

#include "base/status.h"
#include "metrics/metrics.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define AU_FILE_BYTES_MAX ((size_t)1 << 20)
#define AU_FILE_WATCH_MAX 3

/* Opens a regular file to be read. NULL: "error" has the name of the option,
 * the path, and why. */
FILE *au_file_open(const char *option, const char *path, char *error,
                   size_t error_size);

/* The whole of such a file as a text, owned by the caller; at least one byte
 * and less than AU_FILE_BYTES_MAX, else it is an error, too. */
AU_MUST_CHECK au_status_t au_file_read(const char *option, const char *path,
                                       char **out_text, char *error,
                                       size_t error_size);

/* Logs a warning when all users of the machine may do what "forbidden" says
 * (S_IROTH, S_IWOTH). */
void au_file_warn_of_mode(const char *option, const char *path,
                          mode_t forbidden);

/* What a path names, without reading it: another file that was renamed to it,
 * or that a symbolic link on the way to it names now, is another mark. */
typedef struct au_file_mark {
  int error; /* errno; 0: the rest is valid */
  dev_t device;
  ino_t inode;
  off_t size;
  int64_t modified_ns;
  int64_t changed_ns; /* of its inode */
} au_file_mark_t;

/* What tells the file that is there now from another, or a changed one. */
au_file_mark_t au_file_mark(const char *path);

/* Files that are used together, and read again when one of them changes. */
typedef struct au_file_watch {
  /* Set by the owner before the first check. */
  const char *path[AU_FILE_WATCH_MAX];      /* NULL or "": none; borrowed */
  au_config_file_t file[AU_FILE_WATCH_MAX]; /* for the metric of failures */
  const char *what;                         /* "the certificate"; for the log */
  void *context;
  /* Reads the files and keeps what they hold aside. On error the reason is in
   * "error", and "out_file" the index of the file that is to blame. */
  au_status_t (*load)(void *context, unsigned *out_file, char *error,
                      size_t error_size);
  /* Puts in force what was kept aside, or drops it. */
  void (*finish)(void *context, bool use);

  /* The watch's own. */
  au_file_mark_t used[AU_FILE_WATCH_MAX]; /* of the last attempt to read */
  au_file_mark_t seen[AU_FILE_WATCH_MAX]; /* at the last check */
  bool is_bad; /* what was read last could not be used */
  char reason[512];
} au_file_watch_t;

/* Before the files are read for the first time: what is there by now does not
 * count as a change. */
void au_file_watch_begin(au_file_watch_t *watch);

/* Looks whether a file has changed. What has is read as soon as it is the same
 * for two checks (so that a file is not read while it is being written), and
 * is put in force when it can be used. If it cannot, what was in force stays
 * so: that is logged and notified once for each reason, counted, and tried
 * again at each check. */
void au_file_watch_check(au_file_watch_t *watch);

#endif
