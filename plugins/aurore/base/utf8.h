/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * utf8 - what is valid UTF-8: no overlong forms, no surrogates, nothing above
 * U+10FFFF. Pure; any thread.
 */
#ifndef AURORE_BASE_UTF8_H
#define AURORE_BASE_UTF8_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

/* The number of bytes (1 to 4) of the valid sequence that "text" starts with,
 * or 0 when it starts with none. "size" is at least 1. */
size_t au_utf8_sequence(const char *text, size_t size);

/* The number of code points of valid UTF-8, or -1 when it is not valid UTF-8.
 * A NUL is a code point like any other. */
ptrdiff_t au_utf8_length(const char *text, size_t size);

/* The length of the text without a last character that was torn by a cut. */
size_t au_utf8_whole(const char *text, size_t length);

/* Whether valid UTF-8 is empty, or nothing but white space (Unicode's too). */
bool au_utf8_is_blank(const char *text, size_t size);

/* Appends the first "max" characters of the text. A byte that is not valid
 * UTF-8 counts as one, and becomes U+FFFD. */
void au_utf8_put_repaired(au_bytes_t *to, const char *text, size_t size,
                          size_t max);

#endif
