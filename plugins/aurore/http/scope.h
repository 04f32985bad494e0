/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * scope - what a token allows, and a route asks for.
 */
#ifndef AURORE_HTTP_SCOPE_H
#define AURORE_HTTP_SCOPE_H

/* What a token may do; bits. */
typedef enum au_scope {
  AU_SCOPE_NONE = 0, /* open to everybody */
  AU_SCOPE_INGEST = 1,
  AU_SCOPE_READ = 2,
  AU_SCOPE_ADMIN = 4 /* implies the others */
} au_scope_t;

#endif
