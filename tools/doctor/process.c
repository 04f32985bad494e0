/* SPDX-License-Identifier: MIT
 *
 * process - finds the collectd that runs with the configuration, and becomes
 * its user, with the variables of libpq that it has.
 */
#include "tools/doctor/doctor.h"

#include "base/bytes.h"

#include <dirent.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WHAT "collectd"
#define PROC_MAX ((size_t)256 << 10)

/* A file of /proc/PID, as it is, with a NUL behind it; "" when it cannot be
 * read. */
static void read_proc(pid_t pid, const char *name, au_bytes_t *bytes) {
  char path[64];
  au_bytes_clear(bytes, SIZE_MAX);
  snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
  FILE *file = fopen(path, "re");
  size_t got = 0;
  do {
    uint8_t *to = file != NULL ? au_bytes_extend(bytes, BUFSIZ) : NULL;
    got = to != NULL ? fread(to, 1, BUFSIZ, file) : 0;
    if (to != NULL)
      bytes->size -= BUFSIZ - got;
  } while (got > 0 && bytes->size < PROC_MAX);
  if (file != NULL)
    (void)fclose(file);
  if (au_bytes_text(bytes) == NULL)
    au_bytes_clear(bytes, SIZE_MAX);
}

/* The value of "-C", among NUL-terminated arguments; NULL: there is none. */
static const char *config_of(const au_bytes_t *arguments) {
  const char *at = (const char *)arguments->data;
  const char *end = at != NULL ? at + arguments->size : NULL;
  for (bool is_next = false; at < end; at += strlen(at) + 1) {
    if (is_next)
      return at;
    if (strncmp(at, "-C", 2) == 0 && at[2] != '\0')
      return at + 2;
    is_next = at[0] == '-' && at[1] != '-' && at[strlen(at) - 1] == 'C';
  }
  return CTL_CONFIG_PATH;
}

static bool is_same_file(const char *a, const char *b) {
  struct stat one;
  struct stat other;
  return stat(a, &one) == 0 && stat(b, &other) == 0 &&
         one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static bool is_ours(pid_t pid, const char *config_path, au_bytes_t *bytes) {
  char path[PATH_MAX];
  read_proc(pid, "comm", bytes);
  if (bytes->size == 0 ||
      strncmp((const char *)bytes->data, "collectd\n", 9) != 0)
    return false;
  read_proc(pid, "cmdline", bytes);
  const char *config = config_of(bytes);
  snprintf(path, sizeof(path), "/proc/%ld/%s%s", (long)pid,
           config[0] == '/' ? "root" : "cwd/", config);
  return is_same_file(config, config_path) || is_same_file(path, config_path);
}

/* 0: there is none. */
static pid_t find(const char *config_path) {
  pid_t found = 0;
  au_bytes_t bytes = AU_BYTES_INIT;
  DIR *directory = opendir("/proc");
  const struct dirent *entry = NULL;
  while (found == 0 && directory != NULL &&
         (entry = readdir(directory)) != NULL) {
    pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
    if (pid > 0 && is_ours(pid, config_path, &bytes))
      found = pid;
  }
  if (directory != NULL)
    closedir(directory);
  au_bytes_fini(&bytes);
  return found;
}

/* --- its user --------------------------------------------------------------
 */

/* Where libpq finds its files, and its variables. */
static bool is_for_libpq(const char *variable) {
  return strncmp(variable, "PG", 2) == 0 || strncmp(variable, "HOME=", 5) == 0;
}

static void forget_own_variables(void) {
  for (char **variable = environ; *variable != NULL;) {
    char name[64];
    size_t length = strcspn(*variable, "=");
    if (strncmp(*variable, "PG", 2) != 0 || length >= sizeof(name)) {
      variable++;
      continue;
    }
    memcpy(name, *variable, length);
    name[length] = '\0';
    (void)unsetenv(name); /* what follows moves up */
  }
}

/* What collectd has in its environment counts, not what we have. */
static void take_environment(pid_t pid) {
  au_bytes_t bytes = AU_BYTES_INIT;
  read_proc(pid, "environ", &bytes);
  if (bytes.size > 0)
    forget_own_variables();
  for (size_t at = 0; at < bytes.size;) {
    char *variable = (char *)bytes.data + at;
    at += strlen(variable) + 1;
    char *equals = strchr(variable, '=');
    if (equals == NULL || !is_for_libpq(variable))
      continue;
    *equals = '\0';
    (void)setenv(variable, equals + 1, 1);
  }
  au_bytes_fini(&bytes);
}

static uint64_t limit_of(pid_t pid) {
  static const char name[] = "Max open files";
  unsigned long long hard = 0;
  au_bytes_t bytes = AU_BYTES_INIT;
  read_proc(pid, "limits", &bytes);
  const char *line =
      bytes.size > 0 ? strstr((const char *)bytes.data, name) : NULL;
  if (line != NULL)
    line += strlen(name) + strspn(line + strlen(name), " ");
  if (line != NULL && (line = strchr(line, ' ')) != NULL)
    hard = strtoull(line, NULL, 10); /* behind the soft one */
  au_bytes_fini(&bytes);
  return hard;
}

static bool become(const struct passwd *user) {
  if (user->pw_uid == geteuid())
    return true;
  if (geteuid() != 0)
    return false;
  return initgroups(user->pw_name, user->pw_gid) == 0 &&
         setegid(user->pw_gid) == 0 && seteuid(user->pw_uid) == 0;
}

/* Who collectd runs as; NULL: not known. The program has one thread, so the
 * functions that are not reentrant do. */
static const struct passwd *user_of(const ctl_doctor_t *doctor) {
  char path[64];
  struct stat info;
  if (doctor->user_given != NULL)
    return getpwnam(doctor->user_given); /* cppcheck-suppress getpwnamCalled */
  snprintf(path, sizeof(path), "/proc/%ld", (long)doctor->pid);
  if (doctor->pid != 0 && stat(path, &info) == 0)
    return getpwuid(info.st_uid); /* cppcheck-suppress getpwuidCalled */
  return getpwuid(geteuid());     /* cppcheck-suppress getpwuidCalled */
}

static void check_user(ctl_doctor_t *doctor) {
  const struct passwd *user = user_of(doctor);
  if (user == NULL) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
             "the user %s that it runs as does not exist",
             doctor->user_given != NULL ? doctor->user_given : "");
    ctl_advise(&doctor->findings, "name the user of its unit: "
                                  "systemctl show -p User collectd");
    return;
  }
  snprintf(doctor->user, sizeof(doctor->user), "%s", user->pw_name);
  doctor->is_itself = become(user);
  if (doctor->is_itself)
    return;
  ctl_find(&doctor->findings, CTL_WARNING, WHAT,
           "it runs as %s, and this is another user: what follows is seen with "
           "other rights than it has",
           doctor->user);
  ctl_advise(&doctor->findings, "run this as root, or as %s", doctor->user);
}

void ctl_doctor_process(ctl_doctor_t *doctor) {
  doctor->pid = find(doctor->config_path);
  if (doctor->pid == 0) {
    ctl_find(&doctor->findings, CTL_PROBLEM, WHAT,
             "does not run with the configuration \"%s\"", doctor->config_path);
    ctl_advise(&doctor->findings,
               "systemctl start collectd; if it ends at once, "
               "journalctl -u collectd -n 50 says why");
  } else {
    doctor->files_limit = limit_of(doctor->pid);
    take_environment(doctor->pid);
  }
  check_user(doctor);
  if (doctor->pid != 0)
    ctl_find(&doctor->findings, CTL_OK, WHAT, "runs as %s, process %ld",
             doctor->user, (long)doctor->pid);
}
