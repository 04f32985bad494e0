/* SPDX-License-Identifier: MIT
 *
 * spool - the directory of the spool: whether collectd can write there, what it
 * is on, how much room that has, and how long a sync really takes there.
 */
#include "tools/doctor/doctor.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define WHAT "spool"
#define MIB (1024.0 * 1024.0)
#define SEGMENT_MAX ((uint64_t)64 << 20)

#define SYNCS 20
#define SYNC_BYTES 8192
/* When the alert AuroreSpoolSyncSlow fires. */
#define SLOW_MS 100

typedef enum kind { KIND_DISK, KIND_MEMORY, KIND_LAYER, KIND_NETWORK } kind_t;

static const struct {
  unsigned long magic;
  const char *name;
  kind_t kind;
} file_systems[] = {
    {0xEF53, "ext4", KIND_DISK},        {0x58465342, "xfs", KIND_DISK},
    {0x9123683E, "btrfs", KIND_DISK},   {0x2FC12FC1, "zfs", KIND_DISK},
    {0xF2F52010, "f2fs", KIND_DISK},    {0x01021994, "tmpfs", KIND_MEMORY},
    {0x858458F6, "ramfs", KIND_MEMORY}, {0x794C7630, "overlay", KIND_LAYER},
    {0x6969, "nfs", KIND_NETWORK},      {0x517B, "smb", KIND_NETWORK},
    {0xFF534D42, "cifs", KIND_NETWORK}, {0xFE534D42, "smb3", KIND_NETWORK},
    {0x00C36400, "ceph", KIND_NETWORK}, {0x01021997, "9p", KIND_NETWORK},
    {0x65735546, "fuse", KIND_NETWORK}};

/* --- where it is -----------------------------------------------------------
 */

static void find_unusable(ctl_doctor_t *doctor, const char *path, int error) {
  ctl_find(&doctor->findings, ctl_doctor_state(doctor), WHAT,
           "%s cannot write to \"%s\": %s", doctor->user, path,
           strerror(error));
  if (error == EROFS)
    ctl_advise(&doctor->findings,
               "mount it read-write (mount -o remount,rw), or allow it in the "
               "unit: ReadWritePaths=%s",
               path);
  else if (error == ENOTDIR)
    ctl_advise(&doctor->findings, "name a directory as SpoolDirectory");
  else
    ctl_advise(&doctor->findings, "chown %s %s; chmod u+rwx %s", doctor->user,
               path, path);
}

/* Leaves the directory that it is in. */
static void cut_last(char *path) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/')
    length--;
  while (length > 0 && path[length - 1] != '/')
    length--;
  while (length > 1 && path[length - 1] == '/')
    length--;
  if (length == 0)
    path[length++] = '.'; /* it had a name, of a byte at least */
  path[length] = '\0';
}

/* The directory, or the one in which collectd will make it. false: neither can
 * be used, which has been said. */
static bool find_directory(ctl_doctor_t *doctor, char path[PATH_MAX]) {
  struct stat info;
  snprintf(path, PATH_MAX, "%s", doctor->options.spool_directory);
  if (stat(path, &info) != 0 && errno == ENOENT) {
    cut_last(path);
    if (stat(path, &info) != 0) {
      ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
               "neither \"%s\" nor the directory that it is to be in is there",
               doctor->options.spool_directory);
      ctl_advise(&doctor->findings, "install -d -o %s -m 0750 %s", doctor->user,
                 doctor->options.spool_directory);
      return false;
    }
  }
  if (!S_ISDIR(info.st_mode))
    find_unusable(doctor, path, ENOTDIR);
  else if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) == 0)
    return true;
  else
    find_unusable(doctor, path, errno);
  return false;
}

/* --- what it is on ---------------------------------------------------------
 */

static void check_kind(ctl_doctor_t *doctor, const char *path,
                       const struct statfs *info) {
  const char *name = "a file system of a kind not known here";
  kind_t kind = KIND_DISK;
  for (size_t i = 0; i < sizeof(file_systems) / sizeof(file_systems[0]); i++)
    if (file_systems[i].magic == ((unsigned long)info->f_type & 0xFFFFFFFFUL)) {
      name = file_systems[i].name;
      kind = file_systems[i].kind;
    }
  bool is_promised = doctor->options.durability != AU_DURABILITY_MEMORY;
  switch (kind) {
  case KIND_DISK:
    ctl_find(&doctor->findings, CTL_OK, WHAT, "\"%s\" is on %s", path, name);
    break;
  case KIND_MEMORY:
    ctl_find(&doctor->findings, is_promised ? CTL_PROBLEM : CTL_WARNING, WHAT,
             "\"%s\" is on %s: what is accepted is lost when the machine stops",
             path, name);
    ctl_advise(&doctor->findings, "name a SpoolDirectory that is on a disk");
    break;
  case KIND_LAYER:
    ctl_find(&doctor->findings, CTL_WARNING, WHAT,
             "\"%s\" is on %s: it goes with the container", path, name);
    ctl_advise(&doctor->findings, "mount a volume there");
    break;
  case KIND_NETWORK:
    ctl_find(&doctor->findings, CTL_WARNING, WHAT,
             "\"%s\" is on %s: each answer waits for the network, and whether "
             "a sync is one depends on the server",
             path, name);
    ctl_advise(&doctor->findings, "name a SpoolDirectory on a local disk");
    break;
  }
}

/* Bytes that the spool has by now. */
static uint64_t spool_bytes(const char *directory) {
  char pattern[PATH_MAX + 16];
  glob_t found = {.gl_pathc = 0};
  uint64_t bytes = 0;
  snprintf(pattern, sizeof(pattern), "%s/lane-*/*", directory);
  if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc; i++) {
      struct stat info;
      if (lstat(found.gl_pathv[i], &info) == 0)
        bytes += (uint64_t)info.st_blocks * 512;
    }
  globfree(&found);
  return bytes;
}

/* false: there is no room for what comes next. */
static bool check_room(ctl_doctor_t *doctor, const char *path,
                       const struct statfs *info) {
  const au_options_t *options = &doctor->options;
  uint64_t left = (uint64_t)info->f_bavail * (uint64_t)info->f_bsize;
  uint64_t has = left + spool_bytes(options->spool_directory);
  uint64_t kept = options->keep_stored_s > 0 ? options->keep_stored_bytes : 0;
  uint64_t next = options->max_bytes / 4;
  next = next < SEGMENT_MAX ? next : SEGMENT_MAX;
  bool has_inodes = info->f_files == 0 || info->f_ffree > 0;
  if (left < next || !has_inodes) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
             "the file system of \"%s\" is full: %.1f MiB%s left", path,
             (double)left / MIB, has_inodes ? "" : " and no inodes");
    ctl_advise(&doctor->findings,
               "free room there (du -x), or events are refused with 503");
    return false;
  }
  if (has < options->max_bytes + kept) {
    ctl_find(&doctor->findings, CTL_WARNING, WHAT,
             "the file system of \"%s\" has %.0f MiB for the spool, and "
             "MaxBytes and KeepStoredBytes may want %.0f",
             path, (double)has / MIB,
             (double)(options->max_bytes + kept) / MIB);
    ctl_advise(&doctor->findings,
               "free room, or set MaxBytes to what an outage may take there");
    return true;
  }
  ctl_find(&doctor->findings, CTL_OK, WHAT,
           "%.0f MiB of room, of which it may take %.0f", (double)has / MIB,
           (double)(options->max_bytes + kept) / MIB);
  return true;
}

/* --- a sync ----------------------------------------------------------------
 */

/* A file without a name where the file system has such; it goes by itself. */
static int open_temporary(const char *directory) {
  char path[PATH_MAX + 32];
  int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
    return fd;
  snprintf(path, sizeof(path), "%s/.aurorectl-XXXXXX", directory);
  fd = mkostemp(path, O_CLOEXEC);
  if (fd >= 0)
    (void)unlink(path);
  return fd;
}

static int compare(const void *a, const void *b) {
  double one;
  double other;
  memcpy(&one, a, sizeof(one));
  memcpy(&other, b, sizeof(other));
  return (one > other) - (one < other);
}

/* As the spool does it: into blocks that were reserved before. false: errno. */
static bool measure(int fd, double out_ms[SYNCS]) {
  static const char bytes[SYNC_BYTES] = {1};
  int error = posix_fallocate(fd, 0, (off_t)SYNC_BYTES * (SYNCS + 1));
  if (error != 0) {
    errno = error;
    return false;
  }
  if (fsync(fd) != 0)
    return false;
  for (int i = 0; i < SYNCS; i++) {
    int64_t start_ns = au_clock_monotonic_ns();
    if (pwrite(fd, bytes, sizeof(bytes), (off_t)i * SYNC_BYTES) !=
            (ssize_t)sizeof(bytes) ||
        fdatasync(fd) != 0)
      return false;
    out_ms[i] = au_clock_elapsed_ms(start_ns);
  }
  qsort(out_ms, SYNCS, sizeof(out_ms[0]), compare);
  return true;
}

static void check_sync(ctl_doctor_t *doctor, const char *path) {
  double ms[SYNCS];
  int fd = open_temporary(path);
  bool is_measured = fd >= 0 && measure(fd, ms);
  int error = errno;
  if (fd >= 0)
    close(fd);
  if (!is_measured) {
    find_unusable(doctor, path, error);
    return;
  }
  bool is_slow = ms[SYNCS / 2] > SLOW_MS;
  ctl_find(&doctor->findings, is_slow ? CTL_WARNING : CTL_OK, WHAT,
           "a sync takes %.2f ms, of %d the longest %.2f ms", ms[SYNCS / 2],
           SYNCS, ms[SYNCS - 1]);
  if (is_slow)
    ctl_advise(&doctor->findings,
               "each answer waits for one: look for what else writes to the "
               "disk (iostat -x 1), or take another one");
}

void ctl_doctor_spool(ctl_doctor_t *doctor) {
  char path[PATH_MAX];
  struct statfs info;
  if (!doctor->is_loaded[AU_SIDE_BUFFER])
    return;
  if (doctor->options.spool_directory[0] == '\0') {
    ctl_find(&doctor->findings, CTL_WARNING, WHAT,
             "there is no SpoolDirectory: events wait in memory, and are lost "
             "when the process is killed");
    ctl_advise(&doctor->findings,
               "set SpoolDirectory \"/var/lib/collectd/aurore\", if they "
               "matter");
    return;
  }
  if (!find_directory(doctor, path))
    return;
  if (statfs(path, &info) != 0) {
    find_unusable(doctor, path, errno);
    return;
  }
  check_kind(doctor, path, &info);
  if (check_room(doctor, path, &info))
    check_sync(doctor, path);
}
