/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * protobuf - the wire format of Protocol Buffers: reading a message field by
 * field, and writing one. It knows no schema: which field means what, and that
 * its bytes are text or another message, is the caller's.
 *
 * A message that is part of another is read by another au_protobuf_t, so that
 * whoever reads decides how deep to go; nothing here recurses.
 *
 * Threads: pure. Ownership: a field borrows from the message.
 */
#ifndef AURORE_BASE_PROTOBUF_H
#define AURORE_BASE_PROTOBUF_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As the wire has them; groups (3 and 4), which nobody writes any more, are
 * passed over. */
typedef enum au_protobuf_type {
  AU_PROTOBUF_VARINT = 0,
  AU_PROTOBUF_FIXED64 = 1,
  AU_PROTOBUF_BYTES = 2,
  AU_PROTOBUF_FIXED32 = 5
} au_protobuf_type_t;

typedef struct au_protobuf_field {
  uint32_t number; /* 1 to 2^29 - 1 */
  au_protobuf_type_t type;
  uint64_t value;      /* of all but AU_PROTOBUF_BYTES */
  const uint8_t *data; /* of AU_PROTOBUF_BYTES; never NULL */
  size_t size;
} au_protobuf_field_t;

/* A message that is being read. */
typedef struct au_protobuf {
  const uint8_t *at; /* the next field */
  const uint8_t *end;
  bool is_malformed;
} au_protobuf_t;

/* Begins to read; "data" may be NULL when "size" is 0. */
au_protobuf_t au_protobuf_open(const void *data, size_t size);

/* Reads the next field. false: there is none, or "is_malformed", and "at" is
 * where what cannot be read begins. */
bool au_protobuf_next(au_protobuf_t *message, au_protobuf_field_t *out_field);

/* Whether it is field "number" of that type. One of another type is unknown,
 * and to be passed over like any unknown field. */
static inline bool au_protobuf_is(const au_protobuf_field_t *field,
                                  uint32_t number, au_protobuf_type_t type) {
  return field->number == number && field->type == type;
}

/* Appends a field. */
void au_protobuf_put_varint(au_bytes_t *message, uint32_t number,
                            uint64_t value);
void au_protobuf_put_fixed64(au_bytes_t *message, uint32_t number,
                             uint64_t value);
void au_protobuf_put_fixed32(au_bytes_t *message, uint32_t number,
                             uint32_t value);
void au_protobuf_put_bytes(au_bytes_t *message, uint32_t number,
                           const void *data, size_t size);

/* Appends a field that is a message: what is put between the two is in it.
 * "place" is what begin has returned. */
size_t au_protobuf_begin(au_bytes_t *message, uint32_t number);
void au_protobuf_end(au_bytes_t *message, size_t place);

#endif
