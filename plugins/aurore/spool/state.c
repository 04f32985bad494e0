/* SPDX-License-Identifier: MIT
 * Part of spool/; calls config/, metrics/, event/, base/. */
#include "spool/state.h"

#include "base/crc32c.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#define FILE_NAME "state"
#define MAGIC "AURSTATE"
#define VERSION 1
/* Two slots in pages of their own: no torn write touches both. */
#define SLOT_SIZE 4096
#define READ_TRIES 3

/* A slot as it is in the file; little endian. */
typedef struct slot {
  char magic[8];
  uint32_t version;
  uint32_t owners;
  uint64_t generation;
  uint64_t begin_seq;
  uint64_t begin_segment;
  uint64_t begin_offset;
  uint8_t id[16];
  uint8_t name[16];
  uint8_t owner[AU_OWNERS_MAX][16];
  uint64_t owner_seq[AU_OWNERS_MAX];
  uint32_t tail_lost;
  uint32_t crc; /* of all before */
} slot_t;

/* What was added since; it belongs to the slot of the same generation. It lies
 * in the sector of the slot's checksum: a torn write leaves both or neither. */
typedef struct addition {
  uint64_t generation;
  uint64_t kept_seq;
  uint64_t kept_segment;
  uint32_t confirmed;
  uint32_t crc; /* of the slot's, and of all before */
} addition_t;

typedef struct page {
  slot_t slot;
  addition_t addition;
} page_t;

_Static_assert(sizeof(page_t) <= SLOT_SIZE, "a slot fits its page");
_Static_assert(offsetof(slot_t, crc) / 512 == (sizeof(page_t) - 1) / 512,
               "no torn write separates the two");

/* Of what is read from a slot: the database holds no larger numbers, and a
 * segment and a generation have a next one. */
static bool is_possible(const au_spool_state_t *state) {
  for (uint32_t i = 0; i < state->owners; i++)
    if (state->owner_seq[i] > INT64_MAX)
      return false;
  return state->begin.seq <= INT64_MAX && state->begin.segment < UINT64_MAX &&
         state->generation < UINT64_MAX;
}

static uint32_t addition_crc(const page_t *page) {
  return au_crc32c(le32toh(page->slot.crc), &page->addition,
                   offsetof(addition_t, crc));
}

/* After the slot has been read. */
static void addition_read(const page_t *page, au_spool_state_t *state) {
  const addition_t *addition = &page->addition;
  uint64_t kept_seq = le64toh(addition->kept_seq);
  uint64_t kept_segment = le64toh(addition->kept_segment);
  state->kept = state->begin;
  state->confirmed = 0;
  if (le64toh(addition->generation) != state->generation ||
      le32toh(addition->crc) != addition_crc(page) ||
      kept_seq > state->begin.seq || kept_segment > state->begin.segment ||
      le32toh(addition->confirmed) > state->owners)
    return;
  state->kept.seq = kept_seq;
  state->kept.segment = kept_segment;
  state->confirmed = le32toh(addition->confirmed);
}

static bool slot_read(const slot_t *slot, au_spool_state_t *state) {
  if (memcmp(slot->magic, MAGIC, sizeof(slot->magic)) != 0 ||
      le32toh(slot->version) != VERSION ||
      le32toh(slot->owners) > AU_OWNERS_MAX ||
      le32toh(slot->crc) != au_crc32c(0, slot, offsetof(slot_t, crc)))
    return false;
  state->owners = le32toh(slot->owners);
  state->generation = le64toh(slot->generation);
  state->begin.seq = le64toh(slot->begin_seq);
  state->begin.segment = le64toh(slot->begin_segment);
  state->begin.offset = le64toh(slot->begin_offset);
  state->tail_lost = slot->tail_lost != 0;
  memcpy(state->id.byte, slot->id, sizeof(slot->id));
  memcpy(state->name.byte, slot->name, sizeof(slot->name));
  memcpy(state->owner, slot->owner, sizeof(slot->owner));
  for (int i = 0; i < AU_OWNERS_MAX; i++)
    state->owner_seq[i] = le64toh(slot->owner_seq[i]);
  return is_possible(state);
}

/* Retries a failed read: a passing error should not let the older slot win. */
static ssize_t read_page(const au_io_t *io, int fd, int number, page_t *page) {
  ssize_t done = -1;
  memset(page, 0, sizeof(*page));
  int failures = 0;
  while (done < 0 && failures < READ_TRIES) {
    done = io->pread(fd, page, sizeof(*page), (off_t)number * SLOT_SIZE);
    if (done < 0 && errno != EINTR)
      failures++;
  }
  return done;
}

au_status_t au_spool_state_load(const au_io_t *io, int directory,
                                au_spool_state_t *out_state) {
  memset(out_state, 0, sizeof(*out_state));
  int fd = io->openat(directory, FILE_NAME, O_RDONLY, 0);
  if (fd < 0)
    return errno == ENOENT ? AU_OK : AU_IO;
  au_status_t status = AU_OK;
  for (int i = 0; i < 2; i++) {
    page_t page;
    au_spool_state_t state;
    ssize_t done = read_page(io, fd, i, &page);
    if (done < 0)
      status = AU_IO;
    if (done < (ssize_t)sizeof(page.slot) || !slot_read(&page.slot, &state) ||
        state.generation <= out_state->generation)
      continue;
    addition_read(&page, &state);
    *out_state = state;
  }
  au_io_close(io, fd);
  /* One good slot is enough, whatever happened to the other. */
  return out_state->generation > 0 ? AU_OK : status;
}

static int write_page(const au_io_t *io, int fd, page_t *page,
                      uint64_t generation) {
  struct iovec iov = {.iov_base = page, .iov_len = sizeof(*page)};
  ssize_t done = io->pwritev(fd, &iov, 1, (off_t)(generation % 2) * SLOT_SIZE);
  if (done >= 0 && done != (ssize_t)sizeof(*page))
    errno = EIO;
  if (done != (ssize_t)sizeof(*page))
    return -1;
  return io->fdatasync(fd);
}

static int write_file(const au_io_t *io, int directory, page_t *page,
                      uint64_t generation, bool is_new) {
  int fd = io->openat(directory, FILE_NAME, O_WRONLY | O_CREAT, 0600);
  if (fd < 0)
    return -1;
  int status = 0;
  if (is_new) /* room for both slots, so that a full disk stops neither later */
    status = io->fallocate(fd, 0, (off_t)2 * SLOT_SIZE);
  if (status == 0)
    status = write_page(io, fd, page, generation);
  if (status == 0 && generation == 1)
    status = io->fsync(directory); /* the file's name must be durable too */
  au_io_close(io, fd);
  return status;
}

static void put_slot(slot_t *slot, const au_spool_state_t *state,
                     uint64_t generation) {
  memcpy(slot->magic, MAGIC, sizeof(slot->magic));
  slot->version = htole32(VERSION);
  slot->owners = htole32(state->owners);
  slot->generation = htole64(generation);
  slot->begin_seq = htole64(state->begin.seq);
  slot->begin_segment = htole64(state->begin.segment);
  slot->begin_offset = htole64(state->begin.offset);
  slot->tail_lost = htole32(state->tail_lost ? 1 : 0);
  memcpy(slot->id, state->id.byte, sizeof(slot->id));
  memcpy(slot->name, state->name.byte, sizeof(slot->name));
  memcpy(slot->owner, state->owner, sizeof(slot->owner));
  for (int i = 0; i < AU_OWNERS_MAX; i++)
    slot->owner_seq[i] = htole64(state->owner_seq[i]);
  slot->crc = htole32(au_crc32c(0, slot, offsetof(slot_t, crc)));
}

static au_status_t save(const au_io_t *io, int directory,
                        const au_spool_state_t *state, uint64_t generation) {
  page_t page;
  memset(&page, 0, sizeof(page));
  put_slot(&page.slot, state, generation);
  page.addition.generation = htole64(generation);
  page.addition.kept_seq = htole64(state->kept.seq);
  page.addition.kept_segment = htole64(state->kept.segment);
  page.addition.confirmed = htole32(state->confirmed);
  page.addition.crc = htole32(addition_crc(&page));
  return write_file(io, directory, &page, generation, state->generation == 0) ==
                 0
             ? AU_OK
             : AU_IO;
}

au_status_t au_spool_state_save(const au_io_t *io, int directory,
                                au_spool_state_t *state) {
  au_status_t status = save(io, directory, state, state->generation + 1);
  if (status == AU_OK)
    state->generation++;
  return status;
}

au_status_t au_spool_state_settle(const au_io_t *io, int directory,
                                  const au_spool_state_t *state) {
  return save(io, directory, state, state->generation);
}

au_status_t au_spool_state_renew(const au_io_t *io, int directory,
                                 au_spool_state_t *state) {
  if (au_spool_state_settle(io, directory, state) != AU_OK)
    return AU_IO;
  state->name = au_uuid_v4();
  state->owners = 0;
  state->confirmed = 0;
  state->kept = state->begin; /* the database has them under the old name */
  return au_spool_state_save(io, directory, state);
}

void au_spool_state_add_owner(au_spool_state_t *state, uint64_t next_seq) {
  if (state->owners == AU_OWNERS_MAX && state->confirmed > 0) {
    state->owners--;
    state->confirmed--;
    memmove(&state->owner[0], &state->owner[1],
            state->owners * sizeof(state->owner[0]));
    memmove(&state->owner_seq[0], &state->owner_seq[1],
            state->owners * sizeof(state->owner_seq[0]));
  }
  if (state->owners == AU_OWNERS_MAX)
    return;
  state->owner[state->owners] = au_uuid_v4();
  state->owner_seq[state->owners] = next_seq;
  state->owners++;
}

bool au_spool_state_confirm_owner(au_spool_state_t *state) {
  if (state->owners == 0 || state->confirmed == state->owners - 1)
    return false;
  state->confirmed = state->owners - 1;
  return true;
}
