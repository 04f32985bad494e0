/* SPDX-License-Identifier: MIT */
#include "tools/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)64 << 10)
/* The largest pipe that a user may have. */
#define PIPE_BYTES (1 << 20)

static void close_peek(ctl_input_t *input) {
  for (int i = 0; i < 2; i++)
    if (input->peek_fd[i] >= 0)
      close(input->peek_fd[i]);
  input->peek_fd[0] = input->peek_fd[1] = -1;
}

/* A pipe of the same size for the copies, so that one takes what the other
 * has; the larger they are, the more is sent together. */
static bool open_peek(ctl_input_t *input) {
  (void)fcntl(input->fd, F_SETPIPE_SZ, PIPE_BYTES); /* may be forbidden */
  if (pipe2(input->peek_fd, O_CLOEXEC | O_NONBLOCK) != 0)
    return false;
  int size = fcntl(input->fd, F_GETPIPE_SZ);
  (void)fcntl(input->peek_fd[1], F_SETPIPE_SZ, size);
  return true;
}

bool ctl_input_open(ctl_input_t *input, int fd, bool is_exact) {
  struct stat info;
  *input =
      (ctl_input_t){.fd = fd, .kind = CTL_INPUT_STREAM, .peek_fd = {-1, -1}};
  if (fstat(fd, &info) != 0)
    return false;
  if (S_ISREG(info.st_mode)) {
    off_t offset = lseek(fd, 0, SEEK_CUR);
    input->kind = CTL_INPUT_FILE;
    input->offset = offset > 0 ? (uint64_t)offset : 0;
    input->device = info.st_dev;
    input->inode = info.st_ino;
    return true;
  }
  if (!is_exact)
    return true;
  errno = ESPIPE;
  if (!S_ISFIFO(info.st_mode))
    return false;
  input->kind = CTL_INPUT_PIPE;
  return open_peek(input);
}

void ctl_input_close(ctl_input_t *input) {
  close_peek(input);
  au_bytes_fini(&input->bytes);
}

bool ctl_input_wait(const ctl_input_t *input) {
  struct pollfd fd = {.fd = input->fd, .events = POLLIN};
  return poll(&fd, 1, -1) > 0;
}

/* Reads one piece more; the end, an error (errno), or its size. */
static ssize_t read_piece(ctl_input_t *input, int fd, size_t max) {
  uint8_t *to = au_bytes_extend(&input->bytes, max);
  if (to == NULL) {
    errno = ENOMEM;
    return -1;
  }
  ssize_t got;
  do {
    got = input->kind == CTL_INPUT_FILE
              ? pread(fd, to, max,
                      (off_t)(input->offset + input->bytes.size - max))
              : read(fd, to, max);
  } while (got < 0 && errno == EINTR);
  input->bytes.size -= max - (got > 0 ? (size_t)got : 0);
  return got;
}

/* Copies what is in the pipe behind what is carried. */
static bool look_into_pipe(ctl_input_t *input) {
  input->bytes.size = input->carried;
  ssize_t copied = tee(input->fd, input->peek_fd[1], INT32_MAX, 0);
  if (copied < 0)
    return errno == EAGAIN || errno == EINTR;
  input->is_at_end = copied == 0;
  for (size_t left = (size_t)copied; left > 0;) {
    ssize_t got =
        read_piece(input, input->peek_fd[0], left < PIECE ? left : PIECE);
    if (got <= 0)
      return false;
    left -= (size_t)got;
  }
  return true;
}

bool ctl_input_look(ctl_input_t *input, size_t max) {
  if (input->kind == CTL_INPUT_PIPE)
    return look_into_pipe(input);
  /* Of a stream only what is there: the rest may never come. */
  do {
    ssize_t got = read_piece(input, input->fd, PIECE);
    if (got < 0)
      return false;
    input->is_at_end = got == 0;
  } while (input->kind == CTL_INPUT_FILE && !input->is_at_end &&
           input->bytes.size < max);
  return true;
}

size_t ctl_input_untaken(const ctl_input_t *input, size_t size) {
  return input->kind == CTL_INPUT_PIPE && size > input->carried
             ? size - input->carried
             : 0;
}

bool ctl_input_drain(ctl_input_t *input, size_t size) {
  char waste[PIECE];
  while (size > 0) {
    ssize_t got =
        read(input->fd, waste, size < sizeof(waste) ? size : sizeof(waste));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return false;
    size -= (size_t)got;
  }
  return true;
}

bool ctl_input_begins_with(ctl_input_t *input, const uint8_t *digest,
                           size_t size, bool *out_does) {
  *out_does = false;
  /* What it had not taken is still there, all of it. */
  int there = 0;
  if (ioctl(input->fd, FIONREAD, &there) != 0)
    return false;
  if (there < 0 || (size_t)there < size)
    return true;
  if (!ctl_input_look(input, size))
    return false;
  au_digest_t own;
  if (input->bytes.size - input->carried < size)
    return true;
  if (!au_sha256(input->bytes.data + input->carried, size, &own)) {
    errno = ENOMEM;
    return false;
  }
  *out_does = memcmp(own.byte, digest, sizeof(own.byte)) == 0;
  return true;
}

bool ctl_input_digest_before(const ctl_input_t *input, uint64_t offset,
                             size_t size, au_digest_t *out_digest) {
  uint8_t bytes[CTL_INPUT_KNOWN];
  if (size > sizeof(bytes) || size > offset)
    return false;
  ssize_t got = pread(input->fd, bytes, size, (off_t)(offset - size));
  return got == (ssize_t)size && au_sha256(bytes, size, out_digest);
}

bool ctl_input_take(ctl_input_t *input, size_t size) {
  if (!ctl_input_drain(input, ctl_input_untaken(input, size)))
    return false;
  if (input->kind == CTL_INPUT_FILE)
    input->offset += size;
  if (size < input->carried)
    input->carried -= size;
  else
    input->carried = 0;
  memmove(input->bytes.data, input->bytes.data + size,
          input->bytes.size - size);
  input->bytes.size -= size;
  return true;
}

bool ctl_input_carry(ctl_input_t *input) {
  if (!ctl_input_drain(input, ctl_input_untaken(input, input->bytes.size)))
    return false;
  input->carried = input->bytes.size;
  return true;
}
