/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * name - the ids that follow from what a client has sent, so that the same
 * thing sent again has the same ids.
 *
 * Of a request (one with a key, or one that goes by its bytes):
 *
 *   D     SHA-256 of the body, inflated
 *   H     SHA-256 of: aurore NUL request NUL key NUL query NUL D
 *   name  UUID version 8: 6 bytes of milliseconds since 1970 of the first event
 *         that bears a time, and the first 10 bytes of H; when none does, the
 *         first 16 bytes of H
 *   id    of event i: the name, its last 4 bytes XORed with i (big endian)
 *
 * Names begin with a time because an index of ids that grow grows at its end.
 *
 * Of an event that bears an id which is no UUID:
 *
 *   id    UUID version 8 of the first 16 bytes of SHA-256 of:
 *         aurore NUL word NUL whose NUL text
 *
 * Threads: pure.
 */
#ifndef AURORE_EVENT_NAME_H
#define AURORE_EVENT_NAME_H

#include "base/sha256.h"
#include "base/status.h"
#include "base/uuid.h"
#include "event/event.h"

#include <stdbool.h>
#include <stdint.h>

/* H. "key" is "" without one; "query" is the query string as sent, without its
 * '?'. false: out of memory. */
AU_MUST_CHECK bool au_name_digest(const char *key, const char *query,
                                  const void *body, size_t size,
                                  au_digest_t *out_digest);

/* The name of the request; "us" is the time of its first event that bears one,
 * not negative, when there is such an event. */
au_uuid_t au_name_of_request(const au_digest_t *digest, bool has_time,
                             int64_t us);

/* The id of an event of the request; and the name, from such an id. */
au_uuid_t au_name_number(const au_uuid_t *name, uint32_t number);

/* The id that follows from the text of an id. "word" is "id", and "whose" the
 * service as it is stored; or for a CloudEvent "ce", and "whose" its source.
 * false: out of memory. */
AU_MUST_CHECK bool au_name_of_text(const char *word, au_slice_t whose,
                                   au_slice_t text, au_uuid_t *out_id);

/* The id that an event of this service (as it is stored) bears in a field for
 * ids: a UUID as it is, other text by au_name_of_text. AU_INVALID: it bears
 * none; the text is empty, or the nil UUID. AU_NOMEM. */
AU_MUST_CHECK au_status_t au_name_of_field(au_slice_t service, au_slice_t text,
                                           au_uuid_t *out_id);

#endif
