/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * json - writing JSON into a byte buffer. Any thread, one a buffer.
 */
#ifndef AURORE_BASE_JSON_H
#define AURORE_BASE_JSON_H

#include "base/bytes.h"

/* Appends a quoted JSON string with the fewest escapes that RFC 8259 asks for
 * (quote, backslash, control characters). Bytes that are not valid UTF-8 become
 * U+FFFD, so that the result is valid JSON whatever came in. */
void au_json_put_string(au_bytes_t *json, const char *text, size_t size);

/* The same for a NUL-terminated text; NULL becomes null. */
void au_json_put_text(au_bytes_t *json, const char *text);

/* The same without the quotes, for text that is known to be valid UTF-8. */
void au_json_put_escaped(au_bytes_t *json, const char *text, size_t size);

#endif
