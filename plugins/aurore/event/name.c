/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/name.h"

#include <string.h>

#define TIME_SIZE 6
#define NUMBER_SIZE 4

bool au_name_digest(const char *key, const char *query, const void *body,
                    size_t size, au_digest_t *out_digest) {
  au_digest_t of_body;
  au_sha256_t sha256;
  if (!au_sha256(body, size, &of_body))
    return false;
  au_sha256_begin(&sha256);
  au_sha256_put_word(&sha256, "aurore");
  au_sha256_put_word(&sha256, "request");
  au_sha256_put_word(&sha256, key);
  au_sha256_put_word(&sha256, query);
  au_sha256_put(&sha256, of_body.byte, sizeof(of_body.byte));
  return au_sha256_end(&sha256, out_digest);
}

au_uuid_t au_name_of_request(const au_digest_t *digest, bool has_time,
                             int64_t us) {
  if (!has_time)
    return au_uuid_v8(digest->byte);
  uint8_t byte[sizeof(au_uuid_t)];
  uint64_t ms = (uint64_t)us / 1000;
  for (unsigned i = 0; i < TIME_SIZE; i++)
    byte[i] = (uint8_t)(ms >> (8 * (TIME_SIZE - 1 - i)));
  memcpy(byte + TIME_SIZE, digest->byte, sizeof(byte) - TIME_SIZE);
  return au_uuid_v8(byte);
}

au_uuid_t au_name_number(const au_uuid_t *name, uint32_t number) {
  au_uuid_t id = *name;
  for (unsigned i = 0; i < NUMBER_SIZE; i++)
    id.byte[sizeof(id.byte) - 1 - i] ^= (uint8_t)(number >> (8 * i));
  return id;
}

bool au_name_of_text(const char *word, au_slice_t whose, au_slice_t text,
                     au_uuid_t *out_id) {
  au_digest_t digest;
  au_sha256_t sha256;
  au_sha256_begin(&sha256);
  au_sha256_put_word(&sha256, "aurore");
  au_sha256_put_word(&sha256, word);
  au_sha256_put(&sha256, whose.data, whose.size);
  au_sha256_put(&sha256, "", 1);
  au_sha256_put(&sha256, text.data, text.size);
  if (!au_sha256_end(&sha256, &digest))
    return false;
  *out_id = au_uuid_v8(digest.byte);
  return true;
}

static bool is_nil(au_slice_t text) {
  static const char *const forms[] = {"00000000-0000-0000-0000-000000000000",
                                      "00000000000000000000000000000000"};
  for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
    if (text.size == strlen(forms[i]) &&
        memcmp(text.data, forms[i], text.size) == 0)
      return true;
  return false;
}

au_status_t au_name_of_field(au_slice_t service, au_slice_t text,
                             au_uuid_t *out_id) {
  if (text.size == 0 || is_nil(text))
    return AU_INVALID;
  if (au_uuid_parse_id(text.data, text.size, out_id))
    return AU_OK;
  return au_name_of_text("id", service, text, out_id) ? AU_OK : AU_NOMEM;
}
