/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * media_type - the value of a header Content-Type (RFC 9110, 8.3): its type,
 * which is compared without case and without parameters, and its charset.
 *
 * Threads: pure.
 */
#ifndef AURORE_HTTP_MEDIA_TYPE_H
#define AURORE_HTTP_MEDIA_TYPE_H

#include <stdbool.h>

/* "type" in lower case: "application/json". */
bool au_media_type_is(const char *value, const char *type);

/* Whether the type ends with the suffix, in lower case: "+json". */
bool au_media_type_has_suffix(const char *value, const char *suffix);

/* Whether the text is UTF-8: no charset is named, or utf-8 (also utf8, and
 * us-ascii, which is a part of it) each time that one is. */
bool au_media_type_is_utf8(const char *value);

#endif
