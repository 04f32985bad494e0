/* SPDX-License-Identifier: MIT
 *
 * fuzz_protobuf - any bytes as a message. Whatever comes, a field lies within
 * the message and after the one before; and a message that was read and written
 * anew reads the same.
 */
#include "base/protobuf.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void write_field(au_bytes_t *to, const au_protobuf_field_t *field) {
  switch (field->type) {
  case AU_PROTOBUF_VARINT:
    au_protobuf_put_varint(to, field->number, field->value);
    break;
  case AU_PROTOBUF_FIXED64:
    au_protobuf_put_fixed64(to, field->number, field->value);
    break;
  case AU_PROTOBUF_FIXED32:
    au_protobuf_put_fixed32(to, field->number, (uint32_t)field->value);
    break;
  case AU_PROTOBUF_BYTES: {
    size_t place = au_protobuf_begin(to, field->number);
    au_bytes_put(to, field->data, field->size);
    au_protobuf_end(to, place);
    break;
  }
  }
}

static void check_same(const au_protobuf_field_t *a,
                       const au_protobuf_field_t *b) {
  fuzz_require(a->number == b->number && a->type == b->type &&
                   a->value == b->value && a->size == b->size &&
                   (a->size == 0 || memcmp(a->data, b->data, a->size) == 0),
               "a field changes when it is written");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *copy = fuzz_copy(data, size);
  au_bytes_t again = AU_BYTES_INIT;
  au_protobuf_t message = au_protobuf_open(copy, size);
  au_protobuf_field_t field;
  const uint8_t *before = message.at;
  while (au_protobuf_next(&message, &field)) {
    fuzz_require(message.at > before && message.at <= message.end,
                 "a reader does not go on");
    fuzz_require(field.number > 0, "a field has no number");
    if (field.type == AU_PROTOBUF_BYTES)
      fuzz_require(field.data > before && field.data + field.size == message.at,
                   "bytes are not those of their field");
    before = message.at;
    write_field(&again, &field);
  }
  fuzz_require(message.is_malformed || message.at == message.end,
               "a reader stops before the end");
  fuzz_require(!again.failed, "out of memory");
  au_protobuf_t twin = au_protobuf_open(again.data, again.size);
  message = au_protobuf_open(copy, size);
  au_protobuf_field_t other;
  while (au_protobuf_next(&message, &field)) {
    fuzz_require(au_protobuf_next(&twin, &other), "a field is lost");
    check_same(&field, &other);
  }
  fuzz_require(!au_protobuf_next(&twin, &other) && !twin.is_malformed,
               "what was written is no message");
  au_bytes_fini(&again);
  free(copy);
  return 0;
}
