/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * json_members - the members of one flat JSON object, as the body of a request
 * that is no event has them. Pure; any thread.
 */
#ifndef AURORE_BASE_JSON_MEMBERS_H
#define AURORE_BASE_JSON_MEMBERS_H

#include "base/status.h"

#include <stddef.h>

typedef enum au_json_kind {
  AU_JSON_NULL,
  AU_JSON_BOOLEAN,
  AU_JSON_NUMBER,
  AU_JSON_STRING,
  AU_JSON_NESTED /* an object or an array, passed over */
} au_json_kind_t;

/* A member; repeated ones come as often as they are there. "value" is the text
 * of a string, a number as it is written, "true" or "false", else ""; U+0000 in
 * it, or in the name, is two bytes that are not valid UTF-8. Borrowed. */
typedef void (*au_json_member_t)(void *context, const char *name,
                                 au_json_kind_t kind, const char *value);

/* AU_INVALID: it is not one JSON object; some members may have come. AU_NOMEM:
 * out of memory. */
AU_MUST_CHECK au_status_t au_json_members_read(const char *text, size_t size,
                                               au_json_member_t take,
                                               void *context);

#endif
