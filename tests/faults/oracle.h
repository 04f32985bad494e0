/* SPDX-License-Identifier: MIT
 *
 * oracle - what a spool must hold, told by whoever appends to it and takes from
 * it, and whether a spool that was opened again does.
 *
 * Rows are made from a number of their own (the value), so that each can be
 * checked by itself. The database's part is played here: how many rows it has
 * stored, and which owner it was told of.
 *
 * Threads: one at a time.
 */
#ifndef FAULTS_ORACLE_H
#define FAULTS_ORACLE_H

#include "spool/spool.h"

#define ORACLE_TEXT_SIZE 512

/* An append that got no answer, or was refused: it may be there or not, whole,
 * behind all that was acknowledged. */
typedef struct oracle_append {
  uint64_t value; /* of its first row */
  uint64_t rows;
} oracle_append_t;

typedef struct oracle {
  uint64_t *value; /* of row number i + 1 */
  uint64_t count;  /* of rows that must be there, or be stored */
  uint64_t capacity;
  uint64_t stored; /* rows before this number are in the database */
  bool has_id;
  au_uuid_t id;
  bool has_owner;
  au_uuid_t owner;       /* that the database was told */
  oracle_append_t *open; /* in the order of append */
  size_t opens;
  size_t open_capacity;
} oracle_t;

void oracle_init(oracle_t *oracle);
void oracle_copy(oracle_t *to, const oracle_t *from);
void oracle_fini(oracle_t *oracle);

void oracle_appended(oracle_t *oracle, uint64_t value, uint64_t rows);
/* The append whose first row is "value" was acknowledged, or found again after
 * a restart. Those before it can no longer turn up. */
void oracle_acknowledged(oracle_t *oracle, uint64_t value);
/* The process ended: what was open and was not found is gone for ever. */
void oracle_forget_open(oracle_t *oracle);

/* Which of the open appends a spool holds, in order. */
typedef struct oracle_found {
  uint64_t *value; /* of their first rows; owned by the caller */
  size_t count;
} oracle_found_t;

/* Compares with a spool that was just opened, without trimming. false: the
 * reason is in "text", and nothing is found. */
bool oracle_check(const oracle_t *oracle, au_spool_t *spool,
                  const au_usage_t *usage, oracle_found_t *out_found,
                  char text[ORACLE_TEXT_SIZE]);

/* As text and back, for a state that shall be looked at again. */
void oracle_save(const oracle_t *oracle, const char *path);
bool oracle_load(oracle_t *oracle, const char *path);

/* The row of a value. */
uint32_t row_size(uint64_t value);
void row_put(au_rows_t *rows, uint64_t value);
bool row_is(const uint8_t *row, uint32_t size, uint64_t value);
uint64_t row_value(const uint8_t *row);
void rows_drop(au_rows_t *rows);

#endif
