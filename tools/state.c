/* SPDX-License-Identifier: MIT
 *
 * The file:
 *
 *   aurorectl-state 1
 *   --                          marks: t (taken), a (answered)
 *   offset N
 *   file DEVICE INODE
 *   chunk SIZE DIGEST
 *   part OFFSET SIZE
 *   carried SIZE
 *   body SIZE
 *   key KEY
 *   path PATH
 *                               an empty line
 *   ... what is carried, the body ...
 *   DIGEST                      of all after the marks
 */
#include "tools/state.h"

#include "base/hex.h"
#include "tools/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TITLE "aurorectl-state 1\n"
#define MARKS_AT (sizeof(TITLE) - 1)
#define TEXT_AT (MARKS_AT + 3)
#define HEX_SIZE ((size_t)2 * AU_SHA256_SIZE)
#define FILE_MAX ((off_t)1 << 30)

static bool fail(const char *what, const char *file) {
  ctl_say("could not %s \"%s\": %s", what, file, strerror(errno));
  return false;
}

/* --- reading ---------------------------------------------------------------
 */

/* Passes a text; false: it is not there. */
static bool pass(const char **text, const char *what) {
  size_t size = strlen(what);
  if (strncmp(*text, what, size) != 0)
    return false;
  *text += size;
  return true;
}

static bool read_number(const char **text, const char *before, uint64_t *out) {
  char *end = NULL;
  if (!pass(text, before) || **text < '0' || **text > '9')
    return false;
  errno = 0;
  *out = strtoull(*text, &end, 10);
  *text = end;
  return errno == 0;
}

static bool read_size(const char **text, const char *before, size_t *out) {
  uint64_t number = 0;
  bool is_read = read_number(text, before, &number) && number <= FILE_MAX;
  *out = (size_t)number;
  return is_read;
}

/* A word without blanks, of which there is at least one character. */
static bool read_word(const char **text, const char *before, char *out,
                      size_t room) {
  if (!pass(text, before))
    return false;
  size_t size = strcspn(*text, " \n");
  if (size == 0 || size >= room)
    return false;
  memcpy(out, *text, size);
  out[size] = '\0';
  *text += size;
  return true;
}

/* Reads the lines of the text. false: it is no state. */
static bool read_text(ctl_state_t *state, ctl_batch_t *batch, const char *text,
                      size_t *out_carried, size_t *out_body) {
  char hex[HEX_SIZE + 1] = "";
  return read_number(&text, "offset ", &state->offset) &&
         read_number(&text, "\nfile ", &state->device) &&
         read_number(&text, " ", &state->inode) &&
         read_number(&text, "\nchunk ", &state->chunk_size) &&
         read_word(&text, " ", hex, sizeof(hex)) && strlen(hex) == HEX_SIZE &&
         au_hex_read(hex, state->chunk.byte, AU_SHA256_SIZE) &&
         read_size(&text, "\npart ", &batch->part_offset) &&
         read_size(&text, " ", &batch->part_size) &&
         read_size(&text, "\ncarried ", out_carried) &&
         read_size(&text, "\nbody ", out_body) &&
         read_word(&text, "\nkey ", batch->key, sizeof(batch->key)) &&
         read_word(&text, "\npath ", state->path, sizeof(state->path)) &&
         strncmp(text, "\n\n", 2) == 0;
}

/* "data" is all of the file. false: it is none of ours, or damaged. */
static bool parse(ctl_state_t *state, ctl_batch_t *batch, const char *data,
                  size_t size) {
  au_digest_t own;
  au_digest_t kept;
  size_t carried;
  size_t body;
  if (size < TEXT_AT + HEX_SIZE + 1 ||
      memcmp(data, TITLE, sizeof(TITLE) - 1) != 0)
    return false;
  const char *end = data + size - HEX_SIZE - 1;
  if (!au_hex_read(end, kept.byte, AU_SHA256_SIZE) ||
      !au_sha256(data + TEXT_AT, (size_t)(end - data) - TEXT_AT, &own) ||
      memcmp(own.byte, kept.byte, sizeof(own.byte)) != 0)
    return false;
  const char *bytes = strstr(data + TEXT_AT, "\n\n");
  if (bytes == NULL ||
      !read_text(state, batch, data + TEXT_AT, &carried, &body))
    return false;
  bytes += 2;
  if (carried + body != (size_t)(end - bytes) ||
      batch->part_offset + batch->part_size > body)
    return false;
  au_bytes_put(&state->carried, bytes, carried);
  au_bytes_put(&batch->body, bytes + carried, body);
  state->is_taken = data[MARKS_AT] == 't';
  state->is_answered = data[MARKS_AT + 1] == 'a';
  return !state->carried.failed && !batch->body.failed;
}

/* NUL-terminated; NULL: errno. */
static char *read_all(int fd, size_t *out_size) {
  struct stat info;
  if (fstat(fd, &info) != 0)
    return NULL;
  errno = EFBIG;
  if (info.st_size > FILE_MAX)
    return NULL;
  char *data = malloc((size_t)info.st_size + 1);
  size_t size = 0;
  while (data != NULL && size < (size_t)info.st_size) {
    ssize_t got = read(fd, data + size, (size_t)info.st_size - size);
    if (got <= 0)
      break;
    size += (size_t)got;
  }
  if (data != NULL)
    data[size] = '\0';
  *out_size = size;
  return data;
}

static bool load(ctl_state_t *state, ctl_batch_t *batch) {
  state->fd = open(state->file, O_RDWR | O_CLOEXEC);
  if (state->fd < 0)
    return errno == ENOENT || fail("open", state->file);
  size_t size = 0;
  char *data = read_all(state->fd, &size);
  if (data == NULL)
    return fail("read", state->file);
  state->is_found = parse(state, batch, data, size);
  free(data);
  if (!state->is_found)
    ctl_say("\"%s\" is not a state file, or damaged; remove it to begin anew",
            state->file);
  return state->is_found;
}

/* A file of its own, since the other one is replaced. */
static bool lock(ctl_state_t *state) {
  char path[4096];
  if (snprintf(path, sizeof(path), "%s.lock", state->file) >=
      (int)sizeof(path)) {
    errno = ENAMETOOLONG;
    return fail("lock", state->file);
  }
  state->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (state->lock_fd >= 0 && flock(state->lock_fd, LOCK_EX | LOCK_NB) == 0)
    return true;
  if (state->lock_fd >= 0 && errno == EWOULDBLOCK) {
    ctl_say("another process uses \"%s\"", state->file);
    return false;
  }
  return fail("lock", path);
}

bool ctl_state_open(ctl_state_t *state, const char *file, ctl_batch_t *batch) {
  *state = (ctl_state_t){.file = file, .fd = -1, .lock_fd = -1};
  return file == NULL || (lock(state) && load(state, batch));
}

void ctl_state_close(ctl_state_t *state) {
  if (state->fd >= 0)
    close(state->fd);
  if (state->lock_fd >= 0)
    close(state->lock_fd);
  au_bytes_fini(&state->carried);
}

/* --- writing ---------------------------------------------------------------
 */

static bool put_all(au_bytes_t *out, const ctl_state_t *state,
                    const ctl_batch_t *batch) {
  char hex[HEX_SIZE + 1];
  au_digest_t digest;
  *au_hex_write(hex, state->chunk.byte, AU_SHA256_SIZE) = '\0';
  au_bytes_printf(out,
                  TITLE "--\noffset %" PRIu64 "\nfile %" PRIu64 " %" PRIu64
                        "\nchunk %" PRIu64 " %s\npart %zu %zu\ncarried %zu\n"
                        "body %zu\nkey %s\npath %s\n\n",
                  state->offset, state->device, state->inode, state->chunk_size,
                  hex, batch->part_offset, batch->part_size,
                  state->carried.size, batch->body.size, batch->key,
                  state->path);
  au_bytes_put(out, state->carried.data, state->carried.size);
  au_bytes_put(out, batch->body.data, batch->body.size);
  if (out->failed ||
      !au_sha256(out->data + TEXT_AT, out->size - TEXT_AT, &digest))
    return false;
  *au_hex_write(hex, digest.byte, AU_SHA256_SIZE) = '\0';
  au_bytes_printf(out, "%s\n", hex);
  return !out->failed;
}

static bool write_all(int fd, const uint8_t *data, size_t size) {
  while (size > 0) {
    ssize_t put = write(fd, data, size);
    if (put < 0 && errno == EINTR)
      continue;
    if (put <= 0)
      return false;
    data += put;
    size -= (size_t)put;
  }
  return true;
}

/* The name of the new file is on the disk, too, before anything is sent. */
static bool sync_directory(const char *file) {
  char path[4096];
  const char *slash = strrchr(file, '/');
  snprintf(path, sizeof(path), "%.*s", slash != NULL ? (int)(slash - file) : 1,
           slash != NULL ? file : ".");
  int fd =
      open(path[0] != '\0' ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool is_synced = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0)
    close(fd);
  return is_synced;
}

static bool replace(ctl_state_t *state, const au_bytes_t *bytes) {
  char path[4096];
  snprintf(path, sizeof(path), "%s.new", state->file);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    return false;
  if (!write_all(fd, bytes->data, bytes->size) || fdatasync(fd) != 0 ||
      rename(path, state->file) != 0 || !sync_directory(state->file)) {
    int error = errno;
    close(fd);
    errno = error;
    return false;
  }
  if (state->fd >= 0)
    close(state->fd);
  state->fd = fd;
  return true;
}

bool ctl_state_save(ctl_state_t *state, const ctl_batch_t *batch) {
  if (state->file == NULL)
    return true;
  au_bytes_t bytes = AU_BYTES_INIT;
  errno = ENOMEM;
  bool is_saved = put_all(&bytes, state, batch) && replace(state, &bytes);
  if (!is_saved)
    (void)fail("write", state->file);
  au_bytes_fini(&bytes);
  return is_saved;
}

static void mark(const ctl_state_t *state, size_t at, char mark) {
  if (state->fd >= 0)
    (void)!pwrite(state->fd, &mark, 1, (off_t)at);
}

void ctl_state_mark_taken(ctl_state_t *state) { mark(state, MARKS_AT, 't'); }

void ctl_state_mark_answered(ctl_state_t *state) {
  mark(state, MARKS_AT + 1, 'a');
}
