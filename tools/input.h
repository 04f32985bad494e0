/* SPDX-License-Identifier: MIT
 *
 * input - standard input, so read that a process which dies at any moment can
 * be followed by one that goes on where it was:
 *
 *   FILE    a regular file: what has been taken is an offset
 *   PIPE    what is in a pipe is looked at (tee) and stays there until it has
 *           been written down; only then is it taken
 *   STREAM  anything else is simply read
 *
 * "bytes" has what lies before the reader: first what is carried (taken from
 * the pipe, but not used yet: the beginning of a long line), then what is only
 * looked at.
 */
#ifndef AURORECTL_INPUT_H
#define AURORECTL_INPUT_H

#include "base/bytes.h"
#include "base/sha256.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum ctl_input_kind {
  CTL_INPUT_FILE,
  CTL_INPUT_PIPE,
  CTL_INPUT_STREAM
} ctl_input_kind_t;

typedef struct ctl_input {
  int fd;
  ctl_input_kind_t kind;
  int peek_fd[2]; /* of PIPE: takes copies; -1: none */
  au_bytes_t bytes;
  size_t carried;  /* of "bytes" */
  uint64_t offset; /* of FILE: where "bytes" begins */
  uint64_t device; /* of FILE: which one it is */
  uint64_t inode;
  bool is_at_end;
} ctl_input_t;

/* Opens "fd", which stays the caller's. "is_exact": nothing may be lost; false
 * when that cannot be had, or for want of a descriptor; errno says why. */
bool ctl_input_open(ctl_input_t *input, int fd, bool is_exact);
void ctl_input_close(ctl_input_t *input);

/* Waits until there is something to read, or the end. false: interrupted by a
 * signal, or errno. */
bool ctl_input_wait(const ctl_input_t *input);
/* Looks at what is there, up to about "max" bytes. false: errno. */
bool ctl_input_look(ctl_input_t *input, size_t max);

/* The bytes, of the first "size", that have yet to be taken from the pipe. */
size_t ctl_input_untaken(const ctl_input_t *input, size_t size);
/* Whether the pipe's next bytes are these; they are looked at, and waited for
 * if fewer are there. Used to find out whether a process that has died had
 * taken them. */
bool ctl_input_begins_with(ctl_input_t *input, const uint8_t *digest,
                           size_t size, bool *out_does);
/* The digest of the bytes of a file before "offset", of which there are "size";
 * by it a file is known again whose number another one has by now. false: they
 * cannot be read. */
#define CTL_INPUT_KNOWN ((size_t)4 << 10)
bool ctl_input_digest_before(const ctl_input_t *input, uint64_t offset,
                             size_t size, au_digest_t *out_digest);
/* Drops the first "size" bytes: they are used. false: errno. */
bool ctl_input_take(ctl_input_t *input, size_t size);
/* Takes all from the pipe, but does not use it yet. false: errno. */
bool ctl_input_carry(ctl_input_t *input);
/* Drops "size" bytes from the pipe, which are none of "bytes". false: errno. */
bool ctl_input_drain(ctl_input_t *input, size_t size);

#endif
