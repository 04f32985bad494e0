/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/.
 *
 * state - the small file beside the segments: the spool's name, its
 * owners, hints of how far it has been trimmed, and of what is kept of that.
 *
 * Two slots are written in turn, each with a generation and a checksum, so that
 * a write that was cut leaves the other. The trim is a hint only: the segments
 * and the database hold the truth.
 *
 * Owners: each opening of the spool makes a new random token. The database
 * remembers the token of the last owner it was given. A copy of a spool, or one
 * restored from a backup, does not hold the token that the original has given
 * the database since, and is refused by it. All tokens since the one that the
 * database has confirmed are kept, since any of them may be the one it has; and
 * as many older ones as there is room for: a database that holds one of them is
 * this spool's, as it was at an earlier time (restored, or a standby).
 *
 * Rows at the end that damage has taken are not known to be missing, and their
 * numbers are given again; the database may have stored some of them. That this
 * may be so is noted until the lane has settled it with the database.
 *
 * With each token is kept the first number that its opening may give. If the
 * database holds the token of one opening, no number that a later opening has
 * given can be stored: a later place in the database says that the files
 * are older than the database, however far they have come since.
 *
 * A slot is followed by what later releases have added; a release before them
 * reads and writes the slot alone. What it leaves behind it does not belong to
 * its slot, and counts as absent: then nothing is kept, and any of the tokens
 * may be the one that the database has.
 *
 * Threads: one at a time.
 */
#ifndef AURORE_SPOOL_STATE_H
#define AURORE_SPOOL_STATE_H

#include "base/io.h"
#include "base/status.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

#define AU_OWNERS_MAX 64

/* A place between two rows. */
typedef struct au_position {
  uint64_t seq;     /* of the next row */
  uint64_t segment; /* private: which segment (its number) */
  uint64_t offset;  /* private: byte in the segment */
} au_position_t;

typedef struct au_spool_state {
  au_uuid_t id;        /* in the header of every segment */
  au_uuid_t name;      /* what the database knows the spool by; see renew */
  uint64_t generation; /* of the newest slot; 0: there is no state yet */
  au_position_t begin;
  /* The oldest stored row that is kept; "begin": none. Its offset is not
   * kept. */
  au_position_t kept;
  bool tail_lost;  /* damage may have taken rows that the database has */
  uint32_t owners; /* tokens, the newest last */
  /* Before this one they are of earlier times: the database is known to have
   * had a later one. */
  uint32_t confirmed;
  au_uuid_t owner[AU_OWNERS_MAX];
  uint64_t owner_seq[AU_OWNERS_MAX]; /* the first number given since then */
} au_spool_state_t;

/* Reads the newest good slot. AU_OK with generation 0 when the file is missing
 * or holds no good slot. AU_IO: errno says why. */
AU_MUST_CHECK au_status_t au_spool_state_load(const au_io_t *io, int directory,
                                              au_spool_state_t *out_state);

/* Writes the other slot and syncs it; the generation rises. AU_IO: errno. */
AU_MUST_CHECK au_status_t au_spool_state_save(const au_io_t *io, int directory,
                                              au_spool_state_t *state);

/* Writes the slot that was loaded again, and syncs it: it may be in the page
 * cache alone, and the next save writes over the other one. Due once between
 * load and save. AU_IO: errno. */
AU_MUST_CHECK au_status_t au_spool_state_settle(const au_io_t *io,
                                                int directory,
                                                const au_spool_state_t *state);

/* Gives the spool that was loaded a new name and forgets its tokens, for good:
 * to the database it is another spool from now on, which holds what waits in
 * it. This is how an operator ends a fence (aurore-spool renew). AU_IO: errno;
 * the spool has the old name, or, if the last write was cut, one of the two. */
AU_MUST_CHECK au_status_t au_spool_state_renew(const au_io_t *io, int directory,
                                               au_spool_state_t *state);

/* Adds the token of an opening that will give numbers from "next_seq" on. When
 * all places are taken the oldest token of earlier times goes; if there is
 * none, the newest stays in use. */
void au_spool_state_add_owner(au_spool_state_t *state, uint64_t next_seq);

/* The database has the newest token: those before it are of earlier times.
 * false: that was known. */
bool au_spool_state_confirm_owner(au_spool_state_t *state);

#endif
