/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * json_scan - JSON, token by token, as it is asked for: for whoever wants to
 * look at a part of a text again, or to pass over one. json_parser.h is for
 * texts that are read once from the beginning to the end.
 *
 * It holds nothing but the brackets that are open. Any number of values may
 * follow each other. UTF-8 is not checked.
 *
 * Threads: one at a time. Ownership: tokens point into the text, which is
 * borrowed until the next begin.
 */
#ifndef AURORE_BASE_JSON_SCAN_H
#define AURORE_BASE_JSON_SCAN_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum au_token_kind {
  AU_TOKEN_OBJECT, /* an object or array begins */
  AU_TOKEN_ARRAY,
  AU_TOKEN_CLOSE, /* the innermost one ends */
  AU_TOKEN_KEY,   /* its value follows */
  AU_TOKEN_STRING,
  AU_TOKEN_NUMBER,
  AU_TOKEN_TRUE,
  AU_TOKEN_FALSE,
  AU_TOKEN_NULL,
  AU_TOKEN_END,     /* of the text, between two values */
  AU_TOKEN_INVALID, /* it is not JSON: "fault" */
  AU_TOKEN_NOMEM
} au_token_kind_t;

typedef struct au_token {
  au_token_kind_t kind;
  bool has_escape;  /* of a key or string */
  bool is_ascii;    /* of a key or string: as it is written */
  const char *text; /* as it is written; of a key or string what is between the
                       quotes */
  size_t size;
} au_token_t;

/* What may stand where JSON has null. */
typedef enum au_dialect {
  AU_DIALECT_STRICT,
  AU_DIALECT_NAN /* NaN, Infinity and -Infinity are null */
} au_dialect_t;

typedef struct au_json_scan {
  const char *text;
  size_t size;
  size_t at; /* after the last token */
  au_dialect_t dialect;
  int place; /* private: what may come next, and after a value */
  int after;
  au_bytes_t open;   /* a byte for each bracket that is */
  const char *fault; /* after AU_TOKEN_INVALID: static text; it is at "at" */
} au_json_scan_t;

/* An empty one is all zero. */
void au_json_scan_fini(au_json_scan_t *scan);
/* Charges its memory to the account (borrowed until fini), before the first
 * text. */
void au_json_scan_charge(au_json_scan_t *scan, au_account_t *account);

/* A text begins, and the one before is forgotten; its memory is used again. */
void au_json_scan_begin(au_json_scan_t *scan, au_dialect_t dialect,
                        const char *text, size_t size);

/* The next token. After AU_TOKEN_INVALID and AU_TOKEN_NOMEM: begin again. The
 * second form is for those who read millions. */
void au_json_scan_read(au_json_scan_t *scan, au_token_t *out_token);
AU_MUST_CHECK static inline au_token_t au_json_scan_next(au_json_scan_t *scan) {
  au_token_t token;
  au_json_scan_read(scan, &token);
  return token;
}

/* Passes over the rest of the value that begins with "first", the last token:
 * to its end if it is an object or array. Returns its last token. */
AU_MUST_CHECK au_token_t au_json_scan_skip(au_json_scan_t *scan,
                                           au_token_t first);

/* Objects and arrays that are open. */
size_t au_json_scan_level(const au_json_scan_t *scan);

/* Whether the token begins, or is, a value. */
bool au_token_is_value(au_token_t token);

/* Whether the text cannot be read on: it is no JSON, or memory is short. */
static inline bool au_token_is_broken(au_token_t token) {
  return token.kind == AU_TOKEN_INVALID || token.kind == AU_TOKEN_NOMEM;
}

/* Appends the text of a key or string without its escapes. Half a surrogate
 * pair becomes U+0000, which like it is nothing that can be stored. */
void au_token_put_text(au_token_t token, au_bytes_t *to);

#endif
