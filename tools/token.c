/* SPDX-License-Identifier: MIT
 *
 * token - makes a token, and the line for TokenFile that lets it in.
 */
#include "tools/ctl.h"

#include "base/hex.h"
#include "base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define TOKEN_BYTES 32
#define TOKEN_SIZE (2 * TOKEN_BYTES + 1)
#define LINE_SIZE 512

static const char usage_text[] =
    "Usage: aurorectl token [OPTION]... ingest|read|admin\n"
    "\n"
    "Makes a token, and its line for TokenFile. The token itself is kept "
    "nowhere.\n"
    "  --comment TEXT   what is written behind it: whose it is\n"
    "  --file FILE      the TokenFile: the line is added to it, and the token "
    "alone\n"
    "                   is printed\n";

static bool is_scope(const char *text) {
  return strcmp(text, "ingest") == 0 || strcmp(text, "read") == 0 ||
         strcmp(text, "admin") == 0;
}

/* Control characters would begin another line. */
static bool is_comment(const char *text) {
  for (; *text != '\0'; text++)
    if ((unsigned char)*text < ' ' || *text == 0x7F)
      return false;
  return true;
}

static bool make(const char *scope, const char *comment, char token[TOKEN_SIZE],
                 char line[LINE_SIZE]) {
  uint8_t random[TOKEN_BYTES];
  au_digest_t digest;
  if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
    return false;
  *au_hex_write(token, random, sizeof(random)) = '\0';
  if (!au_sha256(token, TOKEN_SIZE - 1, &digest))
    return false;
  char hash[2 * AU_SHA256_SIZE + 1];
  *au_hex_write(hash, digest.byte, sizeof(digest.byte)) = '\0';
  return snprintf(line, LINE_SIZE, "%s %s%s%s\n", scope, hash,
                  comment != NULL ? "  # " : "",
                  comment != NULL ? comment : "") < LINE_SIZE;
}

/* Whether the file ends within a line, to which ours must not be added. */
static bool lacks_newline(int fd) {
  off_t size = lseek(fd, 0, SEEK_END);
  char last = '\n';
  return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

/* In one write, and on the disk before anybody is told. */
static bool add_line(const char *path, const char *line) {
  char text[LINE_SIZE + 1];
  int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0)
    return false;
  int size =
      snprintf(text, sizeof(text), "%s%s", lacks_newline(fd) ? "\n" : "", line);
  bool is_written = write(fd, text, (size_t)size) == size && fsync(fd) == 0;
  int error = errno;
  bool is_closed = close(fd) == 0;
  if (!is_written)
    errno = error;
  return is_written && is_closed;
}

static int run(const char *scope, const char *comment, const char *file) {
  char token[TOKEN_SIZE];
  char line[LINE_SIZE];
  if (!make(scope, comment, token, line)) {
    ctl_say("could not make a token (is the comment too long?)");
    return CTL_USAGE;
  }
  if (file != NULL && !add_line(file, line)) {
    ctl_say("could not add a line to \"%s\": %s", file, strerror(errno));
    return CTL_USAGE;
  }
  if (file != NULL)
    printf("%s\n", token);
  else
    printf("token: %s\nline:  %s", token, line);
  return fflush(stdout) == 0 ? CTL_GOOD : CTL_USAGE;
}

typedef struct wish {
  const char *comment; /* NULL: none */
  const char *file;
} wish_t;

static bool take_option(void *context, int option, const char *value) {
  wish_t *wish = context;
  *(option == 'c' ? &wish->comment : &wish->file) = value;
  return option != 'c' || is_comment(value);
}

int ctl_token(int argc, char **argv) {
  static const struct option options[] = {
      {"comment", required_argument, NULL, 'c'},
      {"file", required_argument, NULL, 'f'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0}};
  wish_t wish = {NULL, NULL};
  int status =
      ctl_read_options(argc, argv, usage_text, options, take_option, &wish);
  if (status != CTL_GO_ON)
    return status;
  if (argc - optind != 1 || !is_scope(argv[optind]))
    return ctl_bad_usage(usage_text);
  return run(argv[optind], wish.comment, wish.file);
}
