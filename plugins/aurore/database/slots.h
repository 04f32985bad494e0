/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * slots - whether the server has a connection left for every writer. While it
 * has not (SQLSTATE 53300: of the server, the database or the role), those who
 * only read give theirs back and make no new ones: events go before questions.
 *
 * Threads: any.
 */
#ifndef AURORE_DATABASE_SLOTS_H
#define AURORE_DATABASE_SLOTS_H

#include "base/status.h"

#include <stdbool.h>

/* "too many connections". */
#define AU_SQLSTATE_NO_SLOT "53300"

typedef struct au_slots au_slots_t;

/* AU_NOMEM (also without a descriptor) or AU_OK. */
AU_MUST_CHECK au_status_t au_slots_create(au_slots_t **out_slots);
/* Nobody may be using it. NULL: nothing. */
void au_slots_destroy(au_slots_t *slots);

/* A writer begins, or ceases, to go without a connection: "*is_missing" is
 * what it said last, and is set. NULL slots: nothing. */
void au_slots_report(au_slots_t *slots, bool *is_missing, bool now);

/* Whether a writer goes without. NULL: no. */
bool au_slots_are_short(const au_slots_t *slots);
/* Readable for as long as that is so (borrowed); NULL: -1. */
int au_slots_fd(const au_slots_t *slots);

#endif
