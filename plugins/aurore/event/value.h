/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * value - one JSON value, written again as compact JSON that PostgreSQL can
 * store whatever came in: of the formats whose events are never refused for
 * what is in them (trim.h puts such values together).
 *
 *   NUL, bytes that are not UTF-8          become U+FFFD
 *   a number that jsonb does not hold      becomes a string
 *
 * The caller passes valid JSON on, token by token; the text of a key or string
 * is decoded. Whether the value fits is found out by whoever uses it: it is
 * counted here.
 *
 * Threads: one at a time. Ownership: the memory is the value's until fini.
 */
#ifndef AURORE_EVENT_VALUE_H
#define AURORE_EVENT_VALUE_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct au_value {
  au_bytes_t json; /* a prefix of it when "is_long" */
  size_t max;      /* bytes; see begin */
  size_t keys;     /* in all levels */
  size_t depth;    /* levels of objects and arrays; 0: of a scalar */
  size_t level;    /* that are open */
  bool needs_comma;
  bool is_long; /* more than "max" bytes */
} au_value_t;

/* An empty one is all zero. Charges its memory to the account (borrowed until
 * fini), before the first value. */
void au_value_charge(au_value_t *value, au_account_t *account);
void au_value_fini(au_value_t *value);

/* A value begins, and the last one is forgotten. After "max" bytes nothing more
 * is kept: what is longer is of no use to the caller, but for its beginning. */
void au_value_begin(au_value_t *value, size_t max);

void au_value_key(au_value_t *value, const char *text, size_t size);
void au_value_string(au_value_t *value, const char *text, size_t size);
/* As JSON writes it. */
void au_value_number(au_value_t *value, const char *text, size_t size);
/* null, true or false. */
void au_value_literal(au_value_t *value, const char *text);
/* "bracket" is { or [, and then } or ]. */
void au_value_open(au_value_t *value, char bracket);
void au_value_close(au_value_t *value, char bracket);

#endif
