/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project. */
#include "base/protobuf.h"

#include <endian.h>
#include <string.h>

#define GROUP_BEGIN 3
#define GROUP_END 4
#define NUMBER_MAX ((UINT32_C(1) << 29) - 1)
#define VARINT_SIZE_MAX 10
/* Of groups in groups; more are not read. */
#define GROUPS_MAX 64

au_protobuf_t au_protobuf_open(const void *data, size_t size) {
  const uint8_t *start = size > 0 ? data : (const uint8_t *)"";
  return (au_protobuf_t){.at = start, .end = start + size};
}

/* --- reading --------------------------------------------------------------*/

/* Reads a number of seven bits a byte, the lowest first. NULL: it has no end,
 * or more than 64 bits. */
static const uint8_t *read_varint(const uint8_t *at, const uint8_t *end,
                                  uint64_t *out_value) {
  uint64_t value = 0;
  for (unsigned i = 0; i < VARINT_SIZE_MAX && at < end; i++, at++) {
    if (i == VARINT_SIZE_MAX - 1 && *at > 1)
      return NULL;
    value |= (uint64_t)(*at & 0x7F) << (7 * i);
    if (*at < 0x80) {
      *out_value = value;
      return at + 1;
    }
  }
  return NULL;
}

static const uint8_t *read_fixed(const uint8_t *at, const uint8_t *end,
                                 size_t size, uint64_t *out_value) {
  uint64_t value = 0;
  if ((size_t)(end - at) < size)
    return NULL;
  memcpy(&value, at, size);
#if __BYTE_ORDER == __BIG_ENDIAN
  value >>= 8 * (sizeof(value) - size);
#endif
  *out_value = le64toh(value);
  return at + size;
}

/* What follows the tag; of a group nothing. NULL: malformed. */
static const uint8_t *read_content(const uint8_t *at, const uint8_t *end,
                                   unsigned type, au_protobuf_field_t *field) {
  uint64_t size = 0;
  switch (type) {
  case AU_PROTOBUF_VARINT:
    return read_varint(at, end, &field->value);
  case AU_PROTOBUF_FIXED64:
    return read_fixed(at, end, 8, &field->value);
  case AU_PROTOBUF_FIXED32:
    return read_fixed(at, end, 4, &field->value);
  case AU_PROTOBUF_BYTES:
    at = read_varint(at, end, &size);
    if (at == NULL || size > (size_t)(end - at))
      return NULL;
    field->data = at;
    field->size = size;
    return at + size;
  case GROUP_BEGIN:
  case GROUP_END:
    return at;
  default:
    return NULL;
  }
}

/* Reads a field, or one end of a group. "out_type" is as on the wire. */
static const uint8_t *read_field(const uint8_t *at, const uint8_t *end,
                                 au_protobuf_field_t *field,
                                 unsigned *out_type) {
  uint64_t tag = 0;
  at = read_varint(at, end, &tag);
  if (at == NULL || tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
    return NULL;
  *out_type = tag & 7;
  *field = (au_protobuf_field_t){.number = (uint32_t)(tag >> 3),
                                 .type = (au_protobuf_type_t)*out_type};
  return read_content(at, end, *out_type, field);
}

/* Passes over a group that has begun. NULL: malformed. */
static const uint8_t *pass_group(const uint8_t *at, const uint8_t *end,
                                 uint32_t number) {
  uint32_t open[GROUPS_MAX] = {number};
  for (unsigned level = 1; level > 0;) {
    au_protobuf_field_t field;
    unsigned type = 0;
    at = read_field(at, end, &field, &type);
    if (at == NULL || (type == GROUP_BEGIN && level == GROUPS_MAX) ||
        (type == GROUP_END && field.number != open[level - 1]))
      return NULL;
    if (type == GROUP_BEGIN)
      open[level++] = field.number;
    else if (type == GROUP_END)
      level--;
  }
  return at;
}

bool au_protobuf_next(au_protobuf_t *message, au_protobuf_field_t *out_field) {
  while (message->at < message->end) {
    unsigned type = 0;
    const uint8_t *after =
        read_field(message->at, message->end, out_field, &type);
    if (after != NULL && type == GROUP_BEGIN)
      after = pass_group(after, message->end, out_field->number);
    else if (type == GROUP_END)
      after = NULL;
    if (after == NULL) {
      message->is_malformed = true;
      return false;
    }
    message->at = after;
    if (type != GROUP_BEGIN)
      return true;
  }
  return false;
}

/* --- writing --------------------------------------------------------------*/

static size_t write_varint(uint8_t to[VARINT_SIZE_MAX], uint64_t value) {
  size_t size = 0;
  for (; value >= 0x80; value >>= 7)
    to[size++] = (uint8_t)(value | 0x80);
  to[size++] = (uint8_t)value;
  return size;
}

static void put_number(au_bytes_t *message, uint64_t value) {
  uint8_t text[VARINT_SIZE_MAX];
  au_bytes_put(message, text, write_varint(text, value));
}

static void put_tag(au_bytes_t *message, uint32_t number,
                    au_protobuf_type_t type) {
  put_number(message, (uint64_t)number << 3 | (uint64_t)type);
}

void au_protobuf_put_varint(au_bytes_t *message, uint32_t number,
                            uint64_t value) {
  put_tag(message, number, AU_PROTOBUF_VARINT);
  put_number(message, value);
}

void au_protobuf_put_fixed64(au_bytes_t *message, uint32_t number,
                             uint64_t value) {
  uint64_t ordered = htole64(value);
  put_tag(message, number, AU_PROTOBUF_FIXED64);
  au_bytes_put(message, &ordered, sizeof(ordered));
}

void au_protobuf_put_fixed32(au_bytes_t *message, uint32_t number,
                             uint32_t value) {
  uint32_t ordered = htole32(value);
  put_tag(message, number, AU_PROTOBUF_FIXED32);
  au_bytes_put(message, &ordered, sizeof(ordered));
}

void au_protobuf_put_bytes(au_bytes_t *message, uint32_t number,
                           const void *data, size_t size) {
  put_tag(message, number, AU_PROTOBUF_BYTES);
  put_number(message, size);
  au_bytes_put(message, data, size);
}

/* Most messages are short: there is room for a length of one byte, and what is
 * longer is moved at its end. */
size_t au_protobuf_begin(au_bytes_t *message, uint32_t number) {
  put_tag(message, number, AU_PROTOBUF_BYTES);
  au_bytes_put_u8(message, 0);
  return message->size;
}

void au_protobuf_end(au_bytes_t *message, size_t place) {
  uint8_t text[VARINT_SIZE_MAX];
  if (message->failed)
    return;
  size_t size = message->size - place;
  size_t length = write_varint(text, size);
  if (length > 1) {
    if (au_bytes_extend(message, length - 1) == NULL)
      return;
    memmove(message->data + place + length - 1, message->data + place, size);
  }
  memcpy(message->data + place - 1, text, length);
}
