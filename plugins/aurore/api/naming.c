/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder. */
#include "api/naming.h"

#include "event/name.h"

#include <string.h>
#include <strings.h>

#define KEY_NAME "Idempotency-Key"

typedef struct reading {
  au_key_t *key;
  bool is_bad;
} reading_t;

/* A key without the quotes around it. false: it is none. */
static bool read_value(const char *value, au_key_t *out_key) {
  size_t size = strlen(value);
  if (size >= 2 && value[0] == '"' && value[size - 1] == '"') {
    value++;
    size -= 2;
  }
  if (size == 0 || size > AU_KEY_MAX)
    return false;
  for (size_t i = 0; i < size; i++)
    if (value[i] <= ' ' || value[i] > '~')
      return false;
  out_key->size = size;
  memcpy(out_key->text, value, size);
  out_key->text[size] = '\0';
  return true;
}

bool au_key_take(au_key_t *key, const char *name, const char *value) {
  if (strcasecmp(name, KEY_NAME) != 0 && strcasecmp(name, "X-" KEY_NAME) != 0)
    return true;
  au_key_t given;
  if (!read_value(value, &given) ||
      (key->size > 0 && strcmp(key->text, given.text) != 0))
    return false;
  *key = given;
  return true;
}

static enum MHD_Result take_header(void *cls, enum MHD_ValueKind kind,
                                   const char *name, size_t name_size,
                                   const char *value, size_t value_size) {
  (void)kind;
  (void)value_size;
  reading_t *reading = cls;
  if (name_size < sizeof(KEY_NAME) - 1) /* as most are */
    return MHD_YES;
  if (!au_key_take(reading->key, name, value != NULL ? value : ""))
    reading->is_bad = true;
  return MHD_YES;
}

bool au_key_read(au_request_t *request, au_key_t *out_key) {
  reading_t reading = {.key = out_key};
  out_key->size = 0;
  (void)MHD_get_connection_values_n(au_request_connection(request),
                                    MHD_HEADER_KIND, take_header, &reading);
  return !reading.is_bad;
}

au_status_t au_naming_make(au_request_t *request, const au_key_t *key,
                           bool by_bytes, const char *body, size_t size,
                           au_naming_t *out_naming) {
  *out_naming = (au_naming_t){.by = AU_NAMED_BY_NOTHING};
  if (key->size == 0 && !by_bytes)
    return AU_OK;
  const char *query = au_request_query(request);
  if (query == NULL || !au_name_digest(key->size > 0 ? key->text : "", query,
                                       body, size, &out_naming->digest))
    return AU_NOMEM;
  out_naming->by = key->size > 0 ? AU_NAMED_BY_KEY : AU_NAMED_BY_BYTES;
  return AU_OK;
}
