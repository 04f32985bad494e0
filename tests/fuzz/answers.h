/* SPDX-License-Identifier: MIT
 *
 * answers - a database whose answers are the target's: linked in the place of
 * the functions that ask the real one.
 */
#ifndef FUZZ_ANSWERS_H
#define FUZZ_ANSWERS_H

#include "database/database.h"

#define FUZZ_COLUMNS_MAX 16

/* The next answer. Of AU_OK it is "rows" equal rows of these texts (borrowed;
 * NULL: SQL's NULL); of others the error has the fault, the state and the
 * place. */
typedef struct fuzz_answer {
  au_status_t status;
  au_fault_t fault;
  const char *sqlstate;
  uint64_t line;      /* of a COPY */
  const char *column; /* that is named, or NULL */
  size_t rows;
  const char *text[FUZZ_COLUMNS_MAX];
} fuzz_answer_t;

extern fuzz_answer_t fuzz_answer;

/* Called with each statement and what is copied with it, before the answer is
 * given; NULL: nobody. */
extern void (*fuzz_on_statement)(const char *sql, const au_piece_t *pieces,
                                 size_t count);

#endif
