/* SPDX-License-Identifier: MIT */
#include "support/files.h"

#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void make_directory(char path[64]) {
  strcpy(path, "/tmp/aurore-check.XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(path));
}

void remove_directory(const char *path) {
  pid_t pid = fork();
  if (pid == 0) {
    execlp("rm", "rm", "-rf", path, (char *)NULL);
    _exit(127);
  }
  waitpid(pid, NULL, 0);
}

int count_open_files(void) {
  int count = 0;
  DIR *dir = opendir("/proc/self/fd");
  ck_assert_ptr_nonnull(dir);
  while (readdir(dir) != NULL)
    count++;
  closedir(dir);
  return count;
}

FILE *open_source_file(const char *path) {
  const char *source = getenv("top_srcdir");
  char name[1024];
  snprintf(name, sizeof(name), "%s/%s", source != NULL ? source : ".", path);
  FILE *file = fopen(name, "r");
  ck_assert_msg(file != NULL, "could not open %s", name);
  return file;
}

static char *read_all(FILE *file) {
  size_t room = 1 << 20;
  char *text = malloc(room);
  ck_assert_ptr_nonnull(text);
  size_t size = fread(text, 1, room - 1, file);
  text[size] = '\0';
  return text;
}

void check_made_file(const char *what, const char *path) {
  const char *build = getenv("top_builddir");
  char command[1024];
  snprintf(command, sizeof(command), "%s/tests/tools/tables %s",
           build != NULL ? build : ".", what);
  FILE *program = popen(command, "r");
  ck_assert_ptr_nonnull(program);
  char *made = read_all(program);
  ck_assert_int_eq(pclose(program), 0);
  FILE *file = open_source_file(path);
  char *held = read_all(file);
  fclose(file);
  ck_assert_msg(strcmp(made, held) == 0,
                "%s is not what \"tests/tools/tables %s\" writes", path, what);
  free(made);
  free(held);
}
