/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * preference - the value of a header Prefer (RFC 7240): preferences with or
 * without a value, separated by commas.
 *
 * Threads: pure.
 */
#ifndef AURORE_HTTP_PREFERENCE_H
#define AURORE_HTTP_PREFERENCE_H

#include <stdbool.h>

/* What is longer is no value that anybody here knows. */
#define AU_PREFERENCE_SIZE 32

/* The value of the first preference of that name, which is in lower case;
 * without its quotes, "" when it has none or a longer one. false: there is no
 * such preference. */
bool au_preference_find(const char *header, const char *name,
                        char out_value[AU_PREFERENCE_SIZE]);

#endif
