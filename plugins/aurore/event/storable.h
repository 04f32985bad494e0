/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * storable - what PostgreSQL cannot store although it is JSON: the character
 * U+0000, lone surrogates, text that is not UTF-8, and numbers that numeric
 * does not hold or that would be absurdly long. Pure; any thread.
 */
#ifndef AURORE_EVENT_STORABLE_H
#define AURORE_EVENT_STORABLE_H

#include "base/bytes.h"
#include "base/json_scan.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum au_unstorable {
  AU_STORABLE = 0,
  AU_UNSTORABLE_CHARACTER, /* U+0000 or a lone surrogate */
  AU_UNSTORABLE_ENCODING,  /* not UTF-8 */
  AU_UNSTORABLE_NUMBER     /* too many digits */
} au_unstorable_t;

/* Where the text of a string comes from. */
typedef enum au_text_kind {
  AU_TEXT_ASCII,  /* as the next, and known to be ASCII */
  AU_TEXT_PLAIN,  /* written without escapes, so it needs none again */
  AU_TEXT_DECODED /* written with escapes, which have been decoded */
} au_text_kind_t;

/* What the text of a key or string is. */
static inline au_text_kind_t au_text_kind_of(au_token_t token) {
  if (token.has_escape)
    return AU_TEXT_DECODED;
  return token.is_ascii ? AU_TEXT_ASCII : AU_TEXT_PLAIN;
}

/* A number may have up to this many digits when it is written out in full. */
#define AU_NUMBER_MAX_DIGITS 400

/* Validates the text of a string. "out_length" is the number of its code
 * points, or -1 when it is not UTF-8. */
au_unstorable_t au_storable_text(const char *text, size_t size,
                                 au_text_kind_t kind, ptrdiff_t *out_length);

/* Whether a text, decoded, can be stored as it is. */
bool au_storable_is_text(const char *text, size_t size);

/* Appends the first "max" characters of a text as PostgreSQL can store it: NUL,
 * and each byte that is not valid UTF-8, becomes U+FFFD. Returns whether there
 * are more, so that the text was cut. */
bool au_storable_put_text(au_bytes_t *to, const char *text, size_t size,
                          size_t max);

/* The same for all of it, as what is between the quotes of a JSON string. */
void au_storable_put_escaped(au_bytes_t *json, const char *text, size_t size);

/* Validates a number as it is written in valid JSON. */
au_unstorable_t au_storable_number(const char *text, size_t size);

/* The first \uXXXX in JSON text from "at" on that is half a surrogate pair, or
 * NULL. Its six bytes may be replaced by \u0000, see below. "at" is not within
 * an escape. */
const char *au_storable_find_surrogate(const char *at, const char *end);

/* JSON text may spell half a surrogate pair (\ud800), which is no character and
 * which decoders replace by one thing or another. When "json" spells one, this
 * fills "out_copy" (cleared first) with the same text, of the same size, with
 * \u0000 in place of each, so that what follows sees a character that
 * cannot be stored; else it leaves "out_copy" empty. Invalid JSON is passed on
 * as it is. false when out of memory. */
bool au_storable_mark_surrogates(const char *json, size_t size,
                                 au_bytes_t *out_copy);

#endif
