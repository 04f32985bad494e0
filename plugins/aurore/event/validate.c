/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * What is wrong with a field is a set of bits; the texts are made only when
 * they are asked for.
 */
#include "event/validate.h"

#include "base/json.h"
#include "base/timestamp.h"
#include "base/utf8.h"

#include <string.h>

/* The constraints, in the order in which they are reported. */
enum {
  IS_STRING = 1U << 0,
  IS_NOT_EMPTY = 1U << 1,
  MAX_LENGTH = 1U << 2,
  IS_PARSEABLE = 1U << 3,
  IS_OBJECT = 1U << 4,
  IS_SIZE_VALID = 1U << 5,
  IS_STORABLE = 1U << 6,
  IS_UUID = 1U << 7
};

static const char *const constraint_name[] = {
    "isString", "isNotEmpty",          "maxLength",  "isParseableTimestamp",
    "isObject", "isMetadataSizeValid", "isStorable", "isUUID"};

#define CONSTRAINTS (sizeof(constraint_name) / sizeof(constraint_name[0]))

static const char *const field_name[] = {"timestamp", "service", "message",
                                         "metadata", "event_id"};

/* Texts are kept from event to event up to this. */
#define KEEP_BYTES ((size_t)16 << 10)

/* What a missing field, and null, fails. */
static const unsigned missing[] = {IS_NOT_EMPTY | IS_PARSEABLE,
                                   IS_STRING | IS_NOT_EMPTY,
                                   IS_STRING | IS_NOT_EMPTY, 0, 0};

void au_validator_init(au_validator_t *validator, const au_limits_t *limits) {
  *validator = (au_validator_t){.limits = limits};
  au_metadata_init(&validator->metadata, limits);
}

void au_validator_fini(au_validator_t *validator) {
  au_bytes_fini(&validator->service.copy);
  au_bytes_fini(&validator->message.copy);
  au_bytes_fini(&validator->unknown_names);
  au_metadata_fini(&validator->metadata);
}

void au_validator_charge(au_validator_t *validator, au_account_t *account) {
  validator->service.copy.account = account;
  validator->message.copy.account = account;
  validator->unknown_names.account = account;
  validator->metadata.json.account = account;
}

void au_validator_begin(au_validator_t *validator) {
  memcpy(validator->failed, missing, sizeof(validator->failed));
  memset(validator->reason, 0, sizeof(validator->reason));
  validator->field = AU_FIELD_UNKNOWN;
  validator->is_time_assumed = false;
  validator->has_id = false;
  validator->has_metadata = false;
  validator->unknown_count = 0;
  validator->unknown_omitted = 0;
  au_bytes_clear(&validator->unknown_names, KEEP_BYTES);
  au_bytes_clear(&validator->service.copy, KEEP_BYTES);
  au_bytes_clear(&validator->message.copy, KEEP_BYTES);
  au_metadata_forget(&validator->metadata);
}

/* --- unknown fields -------------------------------------------------------*/

static au_slice_t unknown_name(const au_validator_t *validator, size_t index) {
  size_t start = index > 0 ? validator->unknown_end[index - 1] : 0;
  const char *names = (const char *)validator->unknown_names.data;
  return (au_slice_t){.data = names + start,
                      .size = validator->unknown_end[index] - start};
}

/* Whether the name was noted before; it is the one at "index". */
static bool is_noted(const au_validator_t *validator, size_t index) {
  au_slice_t own = unknown_name(validator, index);
  for (size_t i = 0; i < index; i++) {
    au_slice_t known = unknown_name(validator, i);
    if (known.size == own.size && memcmp(known.data, own.data, own.size) == 0)
      return true;
  }
  return false;
}

static void note_unknown(au_validator_t *validator, const char *name,
                         size_t size) {
  au_bytes_t *names = &validator->unknown_names;
  size_t count = validator->unknown_count;
  size_t start = names->size;
  if (!au_bytes_reserve(names, 1))
    return;
  au_utf8_put_repaired(names, name, size, AU_UNKNOWN_NAME_MAX);
  if (names->data == NULL)
    return; /* it is not, after the reserve; the analyzer cannot know */
  validator->unknown_end[count] = names->size;
  bool is_new = !is_noted(validator, count);
  if (is_new && count < AU_FIELDS_LISTED_MAX) {
    validator->unknown_count++;
    return;
  }
  names->size = start;
  if (is_new)
    validator->unknown_omitted++;
}

/* --- fields ---------------------------------------------------------------*/

static au_field_t find_field(const char *name, size_t size) {
  static const size_t field_size[] = {
      sizeof("timestamp") - 1, sizeof("service") - 1, sizeof("message") - 1,
      sizeof("metadata") - 1, sizeof("event_id") - 1};
  au_field_t field = 0;
  while (field < AU_FIELD_UNKNOWN &&
         (field_size[field] != size || field_name[field][0] != name[0] ||
          memcmp(field_name[field], name, size) != 0))
    field++;
  return field;
}

void au_validator_field(au_validator_t *validator, au_field_t field) {
  validator->field = field;
}

void au_validator_key(au_validator_t *validator, const char *name,
                      size_t size) {
  validator->field = find_field(name, size);
  if (validator->field == AU_FIELD_UNKNOWN)
    note_unknown(validator, name, size);
}

void au_validator_unknown(au_validator_t *validator, const char *name,
                          size_t size) {
  validator->field = AU_FIELD_UNKNOWN;
  note_unknown(validator, name, size);
}

static void validate_text(au_validator_t *validator, au_valid_text_t *to,
                          size_t max_length, const char *text, size_t size,
                          au_text_kind_t kind) {
  ptrdiff_t length = 0;
  unsigned failed = 0;
  au_unstorable_t reason = au_storable_text(text, size, kind, &length);
  if (reason != AU_STORABLE)
    failed |= IS_STORABLE;
  if (length >= 0 && (size_t)length > max_length)
    failed |= MAX_LENGTH;
  if (validator->field == AU_FIELD_SERVICE ? au_utf8_is_blank(text, size)
                                           : size == 0)
    failed |= IS_NOT_EMPTY;
  validator->failed[validator->field] = failed;
  validator->reason[validator->field] = reason;
  if (failed != 0)
    return;
  to->slice = (au_slice_t){.data = text, .size = size};
  if (kind != AU_TEXT_DECODED)
    return;
  /* The parser overwrites it with its next token. */
  to->copy.size = 0;
  au_bytes_put(&to->copy, text, size);
  to->slice.data = (const char *)to->copy.data;
}

/* "is_time": occurred_at_us is that of the event. */
static void validate_time(au_validator_t *validator, bool is_time) {
  validator->failed[AU_FIELD_TIMESTAMP] = is_time ? 0 : IS_PARSEABLE;
  validator->is_time_assumed = false;
}

static void validate_id(au_validator_t *validator, const char *text,
                        size_t size) {
  validator->has_id = au_uuid_parse_id(text, size, &validator->id);
  validator->failed[AU_FIELD_EVENT_ID] = validator->has_id ? 0 : IS_UUID;
}

void au_validator_string(au_validator_t *validator, const char *text,
                         size_t size, au_text_kind_t kind) {
  const au_limits_t *limits = validator->limits;
  switch (validator->field) {
  case AU_FIELD_TIMESTAMP:
    validate_time(validator,
                  au_timestamp_parse(text, size, &validator->occurred_at_us));
    if (size == 0)
      validator->failed[AU_FIELD_TIMESTAMP] |= IS_NOT_EMPTY;
    break;
  case AU_FIELD_SERVICE:
    validate_text(validator, &validator->service, limits->service_max_length,
                  text, size, kind);
    break;
  case AU_FIELD_MESSAGE:
    validate_text(validator, &validator->message, limits->message_max_length,
                  text, size, kind);
    break;
  case AU_FIELD_EVENT_ID:
    validate_id(validator, text, size);
    break;
  case AU_FIELD_METADATA:
  case AU_FIELD_UNKNOWN:
    au_validator_other(validator);
    break;
  }
}

void au_validator_number(au_validator_t *validator, const char *text,
                         size_t size) {
  if (validator->field == AU_FIELD_TIMESTAMP)
    validate_time(validator, au_timestamp_parse_number(
                                 text, size, &validator->occurred_at_us));
  else
    au_validator_other(validator);
}

void au_validator_time(au_validator_t *validator, int64_t us) {
  if (validator->field != AU_FIELD_TIMESTAMP) {
    au_validator_other(validator);
    return;
  }
  validator->occurred_at_us = us;
  validate_time(validator, au_timestamp_is_valid(us));
}

void au_validator_assume_time(au_validator_t *validator, int64_t us) {
  validator->occurred_at_us = us;
  validate_time(validator, au_timestamp_is_valid(us));
  validator->is_time_assumed = true;
}

void au_validator_identify(au_validator_t *validator, const au_uuid_t *id) {
  validator->id = *id;
  validator->has_id = true;
  validator->failed[AU_FIELD_EVENT_ID] = 0;
}

void au_validator_null(au_validator_t *validator) {
  if (validator->field == AU_FIELD_UNKNOWN)
    return;
  validator->failed[validator->field] = missing[validator->field];
  validator->reason[validator->field] = AU_STORABLE;
  if (validator->field == AU_FIELD_METADATA)
    validator->has_metadata = false;
  else if (validator->field == AU_FIELD_EVENT_ID)
    validator->has_id = false;
}

void au_validator_other(au_validator_t *validator) {
  static const unsigned wrong_type[] = {IS_PARSEABLE, IS_STRING, IS_STRING,
                                        IS_OBJECT, IS_UUID};
  if (validator->field == AU_FIELD_UNKNOWN)
    return;
  au_validator_null(validator);
  validator->failed[validator->field] = wrong_type[validator->field];
}

au_metadata_t *au_validator_object(au_validator_t *validator) {
  if (validator->field != AU_FIELD_METADATA) {
    au_validator_other(validator);
    return NULL;
  }
  validator->failed[AU_FIELD_METADATA] = 0;
  validator->has_metadata = true;
  au_metadata_begin(&validator->metadata);
  return &validator->metadata;
}

void au_validator_metadata(au_validator_t *validator, const char *json,
                           size_t size) {
  validator->failed[AU_FIELD_METADATA] = 0;
  validator->has_metadata = true;
  au_metadata_take(&validator->metadata, json, size);
}

/* --- the event ------------------------------------------------------------*/

static void validate_metadata(au_validator_t *validator) {
  if (!validator->has_metadata)
    return;
  if (validator->metadata.passed != AU_METADATA_WITHIN)
    validator->failed[AU_FIELD_METADATA] |= IS_SIZE_VALID;
  if (validator->metadata.unstorable != AU_STORABLE)
    validator->failed[AU_FIELD_METADATA] |= IS_STORABLE;
  validator->reason[AU_FIELD_METADATA] = validator->metadata.unstorable;
}

bool au_validator_has_time(const au_validator_t *validator) {
  return validator->failed[AU_FIELD_TIMESTAMP] == 0 &&
         !validator->is_time_assumed;
}

au_status_t au_validator_finish(au_validator_t *validator,
                                au_event_t *out_event) {
  validate_metadata(validator);
  if (validator->service.copy.failed || validator->message.copy.failed ||
      validator->unknown_names.failed || validator->metadata.json.failed)
    return AU_NOMEM;
  unsigned failed = 0;
  for (au_field_t field = 0; field < AU_FIELD_UNKNOWN; field++)
    failed |= validator->failed[field];
  if (failed != 0 || validator->unknown_count > 0)
    return AU_INVALID;

  if (validator->has_id)
    out_event->id = validator->id;
  out_event->occurred_at_us = validator->occurred_at_us;
  out_event->service = validator->service.slice;
  out_event->message = validator->message.slice;
  out_event->metadata = (au_slice_t){.data = NULL, .size = 0};
  if (validator->has_metadata)
    out_event->metadata =
        (au_slice_t){.data = (const char *)validator->metadata.json.data,
                     .size = validator->metadata.json.size};
  return AU_OK;
}

/* --- errors ---------------------------------------------------------------*/

static void put_storable_text(const au_validator_t *validator, au_field_t field,
                              au_bytes_t *json) {
  au_unstorable_t reason = validator->reason[field];
  au_bytes_put_string(json, field_name[field]);
  if (reason == AU_UNSTORABLE_CHARACTER)
    au_bytes_put_string(json,
                        " must not contain U+0000 or half a surrogate pair");
  else if (reason == AU_UNSTORABLE_NUMBER)
    au_bytes_printf(
        json,
        " must not contain a number of more than %d digits when written out",
        AU_NUMBER_MAX_DIGITS);
  else
    au_bytes_put_string(json, " must be valid UTF-8");
}

static void put_size_text(const au_validator_t *validator, au_bytes_t *json) {
  const au_limits_t *limits = validator->limits;
  au_metadata_limit_t passed = validator->metadata.passed;
  if (passed == AU_METADATA_KEYS)
    au_bytes_printf(json, "metadata must have at most %zu keys",
                    limits->metadata_max_keys);
  else if (passed == AU_METADATA_DEPTH)
    au_bytes_printf(json, "metadata must be at most %zu levels deep",
                    limits->metadata_max_depth);
  else
    au_bytes_printf(json, "metadata must be at most %zu bytes as compact JSON",
                    limits->metadata_max_bytes);
}

/* What the value must be, for a client to read. */
static void put_constraint_text(const au_validator_t *validator,
                                au_field_t field, unsigned constraint,
                                au_bytes_t *json) {
  const char *name = field_name[field];
  switch (constraint) {
  case IS_STRING:
    au_bytes_printf(json, "%s must be a string", name);
    break;
  case IS_NOT_EMPTY:
    au_bytes_printf(json, "%s must not be empty", name);
    break;
  case MAX_LENGTH:
    if (field == AU_FIELD_SERVICE)
      au_bytes_printf(json, "service name must be at most %zu characters",
                      validator->limits->service_max_length);
    else
      au_bytes_printf(json, "message must be at most %zu characters",
                      validator->limits->message_max_length);
    break;
  case IS_PARSEABLE:
    au_bytes_put_string(json,
                        "timestamp must be an ISO 8601 date or date-time, or a "
                        "Unix epoch, of the years 1970 to 2100");
    break;
  case IS_OBJECT:
    au_bytes_printf(json, "%s must be an object", name);
    break;
  case IS_SIZE_VALID:
    put_size_text(validator, json);
    break;
  case IS_UUID:
    au_bytes_printf(json, "%s must be a UUID other than the nil one", name);
    break;
  default:
    put_storable_text(validator, field, json);
    break;
  }
}

static void put_field(const au_validator_t *validator, au_field_t field,
                      au_bytes_t *json) {
  au_bytes_printf(json, "{\"field\":\"%s\",\"constraints\":{",
                  field_name[field]);
  bool is_first = true;
  for (unsigned i = 0; i < CONSTRAINTS; i++) {
    unsigned constraint = 1U << i;
    if ((validator->failed[field] & constraint) == 0)
      continue;
    au_bytes_printf(json, "%s\"%s\":\"", is_first ? "" : ",",
                    constraint_name[i]);
    put_constraint_text(validator, field, constraint, json);
    au_bytes_put_u8(json, '"');
    is_first = false;
  }
  au_bytes_put_string(json, "}}");
}

static void put_unknown(au_slice_t name, au_bytes_t *json) {
  au_bytes_put_string(json, "{\"field\":\"");
  au_json_put_escaped(json, name.data, name.size);
  au_bytes_put_string(
      json, "\",\"constraints\":{\"whitelistValidation\":\"property ");
  au_json_put_escaped(json, name.data, name.size);
  au_bytes_put_string(json, " should not exist\"}}");
}

/* An array of fields that is being made. */
typedef struct list {
  au_bytes_t *json;
  size_t end; /* where the array ends at the latest */
  size_t listed;
  size_t omitted;
} list_t;

/* The element that begins at "start" has been put: it stays if there is room
 * for it, and for the end of the array. */
static void end_element(list_t *list, size_t start) {
  au_bytes_t *json = list->json;
  if (list->listed < AU_FIELDS_LISTED_MAX && json->size + 1 <= list->end) {
    list->listed++;
    return;
  }
  json->size = start;
  list->omitted++;
}

size_t au_validator_put_errors(const au_validator_t *validator, size_t most,
                               au_bytes_t *json) {
  list_t list = {.json = json,
                 .end = json->size + most,
                 .omitted = validator->unknown_omitted};
  for (au_field_t field = 0; field < AU_FIELD_UNKNOWN; field++) {
    if (validator->failed[field] == 0)
      continue;
    size_t start = json->size;
    au_bytes_put_u8(json, list.listed > 0 ? ',' : '[');
    put_field(validator, field, json);
    end_element(&list, start);
  }
  for (size_t i = 0; i < validator->unknown_count; i++) {
    size_t start = json->size;
    au_bytes_put_u8(json, list.listed > 0 ? ',' : '[');
    put_unknown(unknown_name(validator, i), json);
    end_element(&list, start);
  }
  au_bytes_put_string(json, list.listed > 0 ? "]" : "[]");
  return list.omitted;
}

void au_validator_put_not_object(au_bytes_t *json) {
  au_bytes_put_string(json, "[{\"field\":\"event\",\"constraints\":{"
                            "\"isObject\":\"event must be an object\"}}]");
}

void au_validator_put_no_events(au_bytes_t *json) {
  au_bytes_put_string(json, "[{\"field\":\"events\",\"constraints\":{"
                            "\"isArray\":\"events must be an array\"}}]");
}

void au_validator_put_not_json(const char *what, size_t byte,
                               au_bytes_t *json) {
  au_bytes_put_string(json, "[{\"field\":\"event\",\"constraints\":{"
                            "\"isJson\":\"event must be JSON: ");
  au_json_put_escaped(json, what, strlen(what));
  au_bytes_printf(json, " at byte %zu\"}}]", byte);
}

void au_validator_put_not_cloudevent(au_bytes_t *json) {
  au_bytes_put_string(json, "[{\"field\":\"event\",\"constraints\":{"
                            "\"isCloudEvent\":\"event must be a CloudEvent of "
                            "specversion 1.x with id, source and type\"}}]");
}
