/* SPDX-License-Identifier: MIT
 *
 * old_spool - a copy of the spool of an older release, for tests that open it;
 * what is in it: tests/fixtures/spool-1/README.md, and
 * spool-2 for the version of segments after it. Both hold the same events.
 */
#ifndef SUPPORT_OLD_SPOOL_H
#define SUPPORT_OLD_SPOOL_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* Versions of segments before the present one, from 1 on. */
#define OLD_SPOOLS 2

/* The file of that name beside the spool of that version. */
static inline const char *old_spool_path(int version, const char *name) {
  static char path[512];
  const char *source = getenv("top_srcdir");
  snprintf(path, sizeof(path), "%s/tests/fixtures/spool-%d/%s",
           source != NULL ? source : ".", version, name);
  return path;
}

/* As lane-00 of the directory. */
static inline void copy_old_spool(int version, const char *directory) {
  char command[1024];
  snprintf(command, sizeof(command),
           "mkdir %s/lane-00 && cp '%s'/* %s/lane-00 && "
           "chmod u+w %s/lane-00/*",
           directory, old_spool_path(version, "lane-00"), directory, directory);
  ck_assert_int_eq(system(command), 0);
}

static inline void remove_old_spool(const char *directory) {
  char command[128];
  snprintf(command, sizeof(command), "rm -rf %s/lane-0?", directory);
  ck_assert_int_eq(system(command), 0);
}

#endif
