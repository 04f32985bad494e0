/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * letter_claim - the dead letters that requests of this process are putting
 * back or deleting. Two requests for the same one would both find it waiting,
 * and make two rows of its event; only one would be stored, but both would be
 * told that theirs was. And one that is deleted while its event is on its way
 * to the buffer would come back. Between processes the database decides
 * (store/dead_letter.h).
 *
 * Threads: any; a claim by one at a time.
 */
#ifndef AURORE_API_LETTER_CLAIM_H
#define AURORE_API_LETTER_CLAIM_H

#include "base/uuid.h"

#include <stdbool.h>
#include <stddef.h>

/* What a request has. It may not move while it has any. */
typedef struct au_letter_claim {
  struct au_letter_claim *next; /* of those that have any */
  au_uuid_t *id;                /* room for "capacity" of them; borrowed */
  size_t capacity;
  size_t count; /* 0 at first */
} au_letter_claim_t;

/* false: another claim has it, or this one, or this one is full. */
bool au_letter_claim_add(au_letter_claim_t *claim, const au_uuid_t *id);

/* Gives all of it back; nothing when there is none. */
void au_letter_claim_clear(au_letter_claim_t *claim);

#endif
