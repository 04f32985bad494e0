/* SPDX-License-Identifier: MIT
 *
 * check_protobuf - the wire format: each type at its borders, what is no
 * message, groups that are passed over, and messages that are written.
 */
#include "base/protobuf.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static au_bytes_t message;

static void tear_down(void) { au_bytes_fini(&message); }

/* --- reading --------------------------------------------------------------*/

CASE("reading", NULL, tear_down);

/* The only field of these bytes; of a copy that ends with its memory. */
static au_protobuf_field_t only_field(const void *data, size_t size) {
  static uint8_t *copy;
  free(copy);
  copy = malloc(size + 1);
  ck_assert_ptr_nonnull(copy);
  memcpy(copy + 1, data, size);
  au_protobuf_t reading = au_protobuf_open(copy + 1, size);
  au_protobuf_field_t field;
  au_protobuf_field_t next;
  ck_assert(au_protobuf_next(&reading, &field));
  ck_assert(!au_protobuf_next(&reading, &next));
  ck_assert(!reading.is_malformed);
  return field;
}

static const struct {
  const char *bytes;
  size_t size;
  uint32_t number;
  au_protobuf_type_t type;
  uint64_t value;
} fields[] = {
    {"\x08\x00", 2, 1, AU_PROTOBUF_VARINT, 0},
    {"\x08\x96\x01", 3, 1, AU_PROTOBUF_VARINT, 150},
    /* Longer than it need be. */
    {"\x08\x80\x80\x00", 4, 1, AU_PROTOBUF_VARINT, 0},
    {"\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11, 1, AU_PROTOBUF_VARINT,
     UINT64_MAX},
    {"\x78\x7F", 2, 15, AU_PROTOBUF_VARINT, 127},
    {"\x80\x01\x01", 3, 16, AU_PROTOBUF_VARINT, 1},
    {"\xF8\xFF\xFF\xFF\x0F\x01", 6, (1U << 29) - 1, AU_PROTOBUF_VARINT, 1},
    {"\x09\x01\x02\x03\x04\x05\x06\x07\x88", 9, 1, AU_PROTOBUF_FIXED64,
     UINT64_C(0x8807060504030201)},
    {"\x45\x01\x02\x03\x84", 5, 8, AU_PROTOBUF_FIXED32, 0x84030201},
};

TEST_EACH(a_number_is_read, COUNT_OF(fields)) {
  au_protobuf_field_t field = only_field(fields[_i].bytes, fields[_i].size);
  ck_assert_uint_eq(field.number, fields[_i].number);
  ck_assert_int_eq(field.type, fields[_i].type);
  ck_assert_uint_eq(field.value, fields[_i].value);
}

TEST(bytes_are_read) {
  au_protobuf_field_t field = only_field("\x12\x03\x00\xFFx", 5);
  ck_assert(au_protobuf_is(&field, 2, AU_PROTOBUF_BYTES));
  ck_assert_uint_eq(field.size, 3);
  ck_assert_mem_eq(field.data, "\x00\xFFx", 3);
  field = only_field("\x12\x00", 2);
  ck_assert_uint_eq(field.size, 0);
  ck_assert_ptr_nonnull(field.data);
  ck_assert(!au_protobuf_is(&field, 2, AU_PROTOBUF_VARINT));
  ck_assert(!au_protobuf_is(&field, 1, AU_PROTOBUF_BYTES));
}

TEST(an_empty_message_has_no_field) {
  au_protobuf_t reading = au_protobuf_open(NULL, 0);
  au_protobuf_field_t field;
  ck_assert(!au_protobuf_next(&reading, &field));
  ck_assert(!reading.is_malformed);
}

static const struct {
  const char *bytes;
  size_t size;
} malformed[] = {
    /* No field has the number 0, or one of more than 29 bits. */
    {"\x00\x00", 2},
    {"\x02\x00", 2},
    {"\x80\x80\x80\x80\x10\x00", 6},
    /* There are no types 6 and 7. */
    {"\x0E\x00", 2},
    {"\x0F\x00", 2},
    /* Numbers without an end, or of more than 64 bits. */
    {"\x80", 1},
    {"\x08", 1},
    {"\x08\x80", 2},
    {"\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 11},
    {"\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x81\x00", 12},
    {"\x09\x01\x02\x03\x04\x05\x06\x07", 8},
    {"\x45\x01\x02\x03", 4},
    /* Lengths beyond the end. */
    {"\x12\x01", 2},
    {"\x12\x04xyz", 5},
    {"\x12\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01x", 12},
    {"\x12\x80", 2},
    /* Groups: one that does not end, another's end, an end alone. */
    {"\x0B", 1},
    {"\x0B\x08\x01", 3},
    {"\x0B\x14", 2},
    {"\x0B\x13\x0C", 3},
    {"\x0B\x08\x0C", 3},
    {"\x0C", 1},
};

TEST_EACH(what_is_malformed_is_told, COUNT_OF(malformed)) {
  size_t size = malformed[_i].size;
  uint8_t *copy = malloc(size + 2);
  ck_assert_ptr_nonnull(copy);
  copy[0] = 0x08;
  copy[1] = 0x01;
  memcpy(copy + 2, malformed[_i].bytes, size);
  au_protobuf_t reading = au_protobuf_open(copy, size + 2);
  au_protobuf_field_t field;
  ck_assert(au_protobuf_next(&reading, &field));
  ck_assert(!au_protobuf_next(&reading, &field));
  ck_assert(reading.is_malformed);
  ck_assert_ptr_eq(reading.at, copy + 2);
  ck_assert(!au_protobuf_next(&reading, &field));
  free(copy);
}

TEST(a_group_is_passed_over) {
  /* Group 1 with a group 2, text and a number in it; then field 3. */
  au_protobuf_field_t field =
      only_field("\x0B\x13\x22\x02\x0C\x0B\x14\x08\x05\x0C\x18\x07", 12);
  ck_assert_uint_eq(field.number, 3);
  ck_assert_uint_eq(field.value, 7);
}

TEST(groups_are_passed_over_to_a_depth) {
  for (size_t depth = 64; depth <= 65; depth++) {
    au_bytes_clear(&message, SIZE_MAX);
    for (size_t i = 0; i < depth; i++)
      au_bytes_put_u8(&message, 0x0B);
    for (size_t i = 0; i < depth; i++)
      au_bytes_put_u8(&message, 0x0C);
    au_protobuf_t reading = au_protobuf_open(message.data, message.size);
    au_protobuf_field_t field;
    ck_assert(!au_protobuf_next(&reading, &field));
    ck_assert_int_eq(reading.is_malformed, depth > 64);
  }
}

/* --- writing --------------------------------------------------------------*/

CASE("writing", NULL, tear_down);

static const uint64_t numbers[] = {
    0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};

TEST_EACH(a_number_reads_back, COUNT_OF(numbers)) {
  au_protobuf_put_varint(&message, 16, numbers[_i]);
  au_protobuf_field_t field = only_field(message.data, message.size);
  ck_assert(au_protobuf_is(&field, 16, AU_PROTOBUF_VARINT));
  ck_assert_uint_eq(field.value, numbers[_i]);
  au_bytes_clear(&message, SIZE_MAX);
  au_protobuf_put_fixed64(&message, 1, numbers[_i]);
  field = only_field(message.data, message.size);
  ck_assert(au_protobuf_is(&field, 1, AU_PROTOBUF_FIXED64));
  ck_assert_uint_eq(field.value, numbers[_i]);
  au_bytes_clear(&message, SIZE_MAX);
  au_protobuf_put_fixed32(&message, 8, (uint32_t)numbers[_i]);
  field = only_field(message.data, message.size);
  ck_assert(au_protobuf_is(&field, 8, AU_PROTOBUF_FIXED32));
  ck_assert_uint_eq(field.value, (uint32_t)numbers[_i]);
}

static const size_t sizes[] = {0,     1,     126,   127,     128,
                               16382, 16383, 16384, 2097151, 2097152};

TEST_EACH(a_message_of_any_size_reads_back, COUNT_OF(sizes)) {
  size_t place = au_protobuf_begin(&message, 2);
  for (size_t i = 0; i < sizes[_i]; i++)
    au_bytes_put_u8(&message, (uint8_t)(i * 7));
  au_protobuf_end(&message, place);
  au_protobuf_field_t field = only_field(message.data, message.size);
  ck_assert(au_protobuf_is(&field, 2, AU_PROTOBUF_BYTES));
  ck_assert_uint_eq(field.size, sizes[_i]);
  size_t wrong = 0;
  for (size_t i = 0; i < sizes[_i]; i++)
    wrong += field.data[i] != (uint8_t)(i * 7);
  ck_assert_uint_eq(wrong, 0);
}

TEST(messages_are_nested) {
  size_t outer = au_protobuf_begin(&message, 1);
  size_t inner = au_protobuf_begin(&message, 2);
  uint8_t text[300];
  memset(text, 'x', sizeof(text));
  au_protobuf_put_bytes(&message, 3, text, sizeof(text));
  au_protobuf_end(&message, inner);
  au_protobuf_put_varint(&message, 4, 5);
  au_protobuf_end(&message, outer);
  au_protobuf_field_t field = only_field(message.data, message.size);
  au_protobuf_t reading = au_protobuf_open(field.data, field.size);
  ck_assert(au_protobuf_next(&reading, &field));
  ck_assert_uint_eq(field.number, 2);
  au_protobuf_t within = au_protobuf_open(field.data, field.size);
  ck_assert(au_protobuf_next(&within, &field));
  ck_assert(au_protobuf_is(&field, 3, AU_PROTOBUF_BYTES));
  ck_assert_uint_eq(field.size, sizeof(text));
  ck_assert(au_protobuf_next(&reading, &field));
  ck_assert(au_protobuf_is(&field, 4, AU_PROTOBUF_VARINT));
}

TEST(what_there_is_no_memory_for_fails) {
  au_budget_t budget = {.max = 128};
  au_account_t account = {.budget = &budget};
  message = (au_bytes_t){.account = &account};
  size_t place = au_protobuf_begin(&message, 1);
  uint8_t text[126] = {0};
  au_bytes_put(&message, text, sizeof(text));
  ck_assert(!message.failed);
  au_bytes_put(&message, text, 10);
  au_protobuf_end(&message, place);
  ck_assert(message.failed);
  au_protobuf_end(&message, au_protobuf_begin(&message, 1));
  ck_assert(message.failed);
  au_bytes_fini(&message); /* before its account ends */
  message.account = NULL;
}

int main(void) { return run_tests("protobuf"); }
