/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * uuid - the ids of events, requests and spools (RFC 9562).
 *
 * Threads: every function from any thread.
 */
#ifndef AURORE_BASE_UUID_H
#define AURORE_BASE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AU_UUID_TEXT_SIZE 37 /* 36 characters and a NUL */

typedef struct au_uuid {
  uint8_t byte[16];
} au_uuid_t;

/* A new version 7 UUID (RFC 9562): 48 bits of milliseconds, 12 bits of the
 * fraction of the millisecond (method 3 of its section 6.2), 62 random bits.
 * The first 60 of these bits grow strictly within the process, over all
 * threads, also when the clock steps back. */
au_uuid_t au_uuid_v7(void);

/* A new version 4 UUID, for correlation ids and the name of a spool. */
au_uuid_t au_uuid_v4(void);

/* The version 8 UUID that the first 16 bytes of a digest make. */
au_uuid_t au_uuid_v8(const uint8_t byte[16]);

/* Writes 36 lower-case characters and a NUL. */
void au_uuid_format(const au_uuid_t *uuid, char text[AU_UUID_TEXT_SIZE]);

/* Reads the 36-character form, either case; false for anything else. */
bool au_uuid_parse(const char *text, size_t size, au_uuid_t *out_uuid);

/* Reads that form, or the 32 digits without hyphens; of any version, but not
 * the nil UUID. */
bool au_uuid_parse_id(const char *text, size_t size, au_uuid_t *out_uuid);

/* Whether all of its bits are 0, as of one that was never set. */
bool au_uuid_is_nil(const au_uuid_t *uuid);

#endif
