/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * json_object - whether a text that somebody else has written is one JSON
 * object, so that it may be put into an answer as it is. Pure; any thread.
 */
#ifndef AURORE_BASE_JSON_OBJECT_H
#define AURORE_BASE_JSON_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

/* Whether it is one whole object, in valid UTF-8, with nothing but white space
 * around it. false when out of memory, too. */
bool au_json_object_is_whole(const char *text, size_t size);

#endif
