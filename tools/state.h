/* SPDX-License-Identifier: MIT
 *
 * state - the file in which "send" keeps what a later process needs to go on:
 * the batch that is under way, with its key and the path that it is sent to, so
 * that it can be repeated byte for byte; and how far the input has been read.
 *
 * It is written anew for each batch (to a temporary file, synced, renamed),
 * before the batch is taken from the input and sent. What happens then is
 * marked in place: that the input has been taken, that the server has answered.
 * A mark that is lost costs nothing: what was taken is recognised by its
 * digest, and what was answered is repeated under its key.
 */
#ifndef AURORECTL_STATE_H
#define AURORECTL_STATE_H

#include "base/sha256.h"
#include "tools/batch.h"

#include <stdbool.h>
#include <stdint.h>

#define CTL_PATH_SIZE 2048

typedef struct ctl_state {
  const char *file; /* NULL: none is kept; borrowed */
  int fd;           /* of the newest one; -1: none */
  int lock_fd;

  /* Whether the process before has left one; then all below is of it. */
  bool is_found;
  bool is_taken;    /* the chunk was taken from the pipe */
  bool is_answered; /* the part was */
  uint64_t offset;  /* of a file: after the batch */
  uint64_t device;
  uint64_t inode;
  uint64_t chunk_size; /* what the batch takes from a pipe; of a file, what is
                          before the offset, as far as it is looked at */
  au_digest_t chunk;
  char path[CTL_PATH_SIZE];
  au_bytes_t carried; /* from a pipe, not used yet */
} ctl_state_t;

/* Locks the file, and reads it if it is there; the batch, too. "file" may be
 * NULL. false: it has said why. */
bool ctl_state_open(ctl_state_t *state, const char *file, ctl_batch_t *batch);
void ctl_state_close(ctl_state_t *state);

/* Writes the state and the batch, neither taken nor answered. false: it has
 * said why. Without a file: true. */
bool ctl_state_save(ctl_state_t *state, const ctl_batch_t *batch);
/* The chunk has been taken; the server has answered. */
void ctl_state_mark_taken(ctl_state_t *state);
void ctl_state_mark_answered(ctl_state_t *state);

#endif
