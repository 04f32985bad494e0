/* SPDX-License-Identifier: MIT
 *
 * validate - see event/validate.h.
 *
 * What is wrong with a field is a set of bits; the texts are made only when
 * they are asked for.
 */
#include "event/validate.h"

#include "base/json.h"
#include "base/timestamp.h"
#include "base/utf8.h"

#include <string.h>

/* The constraints, in the order in which they are told. */
enum {
  IS_STRING = 1U << 0,
  IS_NOT_EMPTY = 1U << 1,
  MAX_LENGTH = 1U << 2,
  IS_PARSEABLE = 1U << 3,
  IS_OBJECT = 1U << 4,
  IS_SIZE_VALID = 1U << 5,
  IS_STORABLE = 1U << 6
};

static const char *const constraint_name[] = {
    "isString", "isNotEmpty",          "maxLength",  "isParseableTimestamp",
    "isObject", "isMetadataSizeValid", "isStorable",
};

#define CONSTRAINTS (sizeof(constraint_name) / sizeof(constraint_name[0]))

static const char *const field_name[] = {"timestamp", "service", "message",
                                         "metadata"};

/* Texts are kept from event to event up to this. */
#define KEEP_BYTES ((size_t)16 << 10)

/* What a missing field, and null, fails. */
static const unsigned missing[] = {IS_NOT_EMPTY | IS_PARSEABLE,
                                   IS_STRING | IS_NOT_EMPTY,
                                   IS_STRING | IS_NOT_EMPTY, 0};

void au_judge_init(au_judge_t *judge, const au_limits_t *limits) {
  *judge = (au_judge_t){.limits = limits};
  au_metadata_init(&judge->metadata, limits);
}

void au_judge_fini(au_judge_t *judge) {
  au_bytes_fini(&judge->service.copy);
  au_bytes_fini(&judge->message.copy);
  au_bytes_fini(&judge->unknown_names);
  au_metadata_fini(&judge->metadata);
}

void au_judge_begin(au_judge_t *judge) {
  memcpy(judge->failed, missing, sizeof(judge->failed));
  memset(judge->reason, 0, sizeof(judge->reason));
  judge->field = AU_FIELD_UNKNOWN;
  judge->has_metadata = false;
  judge->unknown_count = 0;
  au_bytes_clear(&judge->unknown_names, KEEP_BYTES);
  au_bytes_clear(&judge->service.copy, KEEP_BYTES);
  au_bytes_clear(&judge->message.copy, KEEP_BYTES);
  judge->metadata.json.failed = false;
}

/* --- unknown fields -------------------------------------------------------*/

static au_slice_t unknown_name(const au_judge_t *judge, size_t index) {
  size_t start = index > 0 ? judge->unknown_end[index - 1] : 0;
  const char *names = (const char *)judge->unknown_names.data;
  return (au_slice_t){.data = names + start,
                      .size = judge->unknown_end[index] - start};
}

/* The first characters of a name, valid UTF-8 whatever it was. */
static void put_cut_name(au_bytes_t *names, const char *name, size_t size) {
  static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */
  size_t at = 0;
  for (size_t i = 0; i < AU_UNKNOWN_NAME_MAX && at < size; i++) {
    size_t sequence = au_utf8_sequence(name + at, size - at);
    if (sequence > 0)
      au_bytes_put(names, name + at, sequence);
    else
      au_bytes_put(names, replacement, sizeof(replacement) - 1);
    at += sequence > 0 ? sequence : 1;
  }
}

static void note_unknown(au_judge_t *judge, const char *name, size_t size) {
  au_bytes_t *names = &judge->unknown_names;
  size_t count = judge->unknown_count;
  size_t start = names->size;
  if (count == AU_UNKNOWN_MAX || !au_bytes_reserve(names, 1))
    return;
  put_cut_name(names, name, size);
  if (names->data == NULL)
    return; /* it is not, after the reserve; the analyzer cannot know */
  judge->unknown_end[count] = names->size;
  au_slice_t own = unknown_name(judge, count);
  for (size_t i = 0; i < count; i++) {
    au_slice_t known = unknown_name(judge, i);
    if (known.size == own.size && memcmp(known.data, own.data, own.size) == 0) {
      names->size = start; /* it came before */
      return;
    }
  }
  judge->unknown_count++;
}

/* --- fields ---------------------------------------------------------------*/

static au_field_t find_field(const char *name, size_t size) {
  switch (size) {
  case 7:
    if (memcmp(name, "service", size) == 0)
      return AU_FIELD_SERVICE;
    return memcmp(name, "message", size) == 0 ? AU_FIELD_MESSAGE
                                              : AU_FIELD_UNKNOWN;
  case 8:
    return memcmp(name, "metadata", size) == 0 ? AU_FIELD_METADATA
                                               : AU_FIELD_UNKNOWN;
  case 9:
    return memcmp(name, "timestamp", size) == 0 ? AU_FIELD_TIMESTAMP
                                                : AU_FIELD_UNKNOWN;
  default:
    return AU_FIELD_UNKNOWN;
  }
}

void au_judge_key(au_judge_t *judge, const char *name, size_t size) {
  judge->field = find_field(name, size);
  if (judge->field == AU_FIELD_UNKNOWN)
    note_unknown(judge, name, size);
}

static void judge_text(au_judge_t *judge, au_judged_text_t *to,
                       size_t max_length, const char *text, size_t size,
                       au_text_kind_t kind) {
  ptrdiff_t length = 0;
  unsigned failed = 0;
  au_unstorable_t reason = au_storable_text(text, size, kind, &length);
  if (reason != AU_STORABLE)
    failed |= IS_STORABLE;
  if (length >= 0 && (size_t)length > max_length)
    failed |= MAX_LENGTH;
  if (judge->field == AU_FIELD_SERVICE ? au_utf8_is_blank(text, size)
                                       : size == 0)
    failed |= IS_NOT_EMPTY;
  judge->failed[judge->field] = failed;
  judge->reason[judge->field] = reason;
  if (failed != 0)
    return;
  to->slice = (au_slice_t){.data = text, .size = size};
  if (kind == AU_TEXT_PLAIN)
    return;
  /* The parser overwrites it with its next token. */
  to->copy.size = 0;
  au_bytes_put(&to->copy, text, size);
  to->slice.data = (const char *)to->copy.data;
}

static void judge_time(au_judge_t *judge, bool is_time) {
  judge->failed[AU_FIELD_TIMESTAMP] = is_time ? 0 : IS_PARSEABLE;
}

void au_judge_string(au_judge_t *judge, const char *text, size_t size,
                     au_text_kind_t kind) {
  const au_limits_t *limits = judge->limits;
  switch (judge->field) {
  case AU_FIELD_TIMESTAMP:
    judge_time(judge, au_timestamp_parse(text, size, &judge->occurred_at_us));
    if (size == 0)
      judge->failed[AU_FIELD_TIMESTAMP] |= IS_NOT_EMPTY;
    break;
  case AU_FIELD_SERVICE:
    judge_text(judge, &judge->service, limits->service_max_length, text, size,
               kind);
    break;
  case AU_FIELD_MESSAGE:
    judge_text(judge, &judge->message, limits->message_max_length, text, size,
               kind);
    break;
  case AU_FIELD_METADATA:
  case AU_FIELD_UNKNOWN:
    au_judge_other(judge);
    break;
  }
}

void au_judge_number(au_judge_t *judge, const char *text, size_t size) {
  if (judge->field == AU_FIELD_TIMESTAMP)
    judge_time(judge,
               au_timestamp_parse_number(text, size, &judge->occurred_at_us));
  else
    au_judge_other(judge);
}

void au_judge_null(au_judge_t *judge) {
  if (judge->field == AU_FIELD_UNKNOWN)
    return;
  judge->failed[judge->field] = missing[judge->field];
  judge->reason[judge->field] = AU_STORABLE;
  if (judge->field == AU_FIELD_METADATA)
    judge->has_metadata = false;
}

void au_judge_other(au_judge_t *judge) {
  static const unsigned wrong_type[] = {IS_PARSEABLE, IS_STRING, IS_STRING,
                                        IS_OBJECT};
  if (judge->field == AU_FIELD_UNKNOWN)
    return;
  au_judge_null(judge);
  judge->failed[judge->field] = wrong_type[judge->field];
}

au_metadata_t *au_judge_object(au_judge_t *judge) {
  if (judge->field != AU_FIELD_METADATA) {
    au_judge_other(judge);
    return NULL;
  }
  judge->failed[AU_FIELD_METADATA] = 0;
  judge->has_metadata = true;
  au_metadata_begin(&judge->metadata);
  return &judge->metadata;
}

/* --- the event ------------------------------------------------------------*/

static void judge_metadata(au_judge_t *judge) {
  if (!judge->has_metadata)
    return;
  if (judge->metadata.passed != AU_METADATA_WITHIN)
    judge->failed[AU_FIELD_METADATA] |= IS_SIZE_VALID;
  if (judge->metadata.unstorable != AU_STORABLE)
    judge->failed[AU_FIELD_METADATA] |= IS_STORABLE;
  judge->reason[AU_FIELD_METADATA] = judge->metadata.unstorable;
}

au_status_t au_judge_finish(au_judge_t *judge, au_event_t *out_event) {
  judge_metadata(judge);
  if (judge->service.copy.failed || judge->message.copy.failed ||
      judge->unknown_names.failed || judge->metadata.json.failed)
    return AU_NOMEM;
  unsigned failed = 0;
  for (au_field_t field = 0; field < AU_FIELD_UNKNOWN; field++)
    failed |= judge->failed[field];
  if (failed != 0 || judge->unknown_count > 0)
    return AU_INVALID;

  out_event->occurred_at_us = judge->occurred_at_us;
  out_event->service = judge->service.slice;
  out_event->message = judge->message.slice;
  out_event->metadata = (au_slice_t){.data = NULL, .size = 0};
  if (judge->has_metadata)
    out_event->metadata =
        (au_slice_t){.data = (const char *)judge->metadata.json.data,
                     .size = judge->metadata.json.size};
  return AU_OK;
}

/* --- errors ---------------------------------------------------------------*/

static void put_storable_text(const au_judge_t *judge, au_field_t field,
                              au_bytes_t *json) {
  const char *name = field_name[field];
  switch (judge->reason[field]) {
  case AU_UNSTORABLE_CHARACTER:
    au_bytes_printf(json, "%s must not contain U+0000 or half a surrogate pair",
                    name);
    break;
  case AU_UNSTORABLE_NUMBER:
    au_bytes_printf(json,
                    "%s must not contain a number of more than %d digits when "
                    "written out",
                    name, AU_NUMBER_MAX_DIGITS);
    break;
  case AU_UNSTORABLE_ENCODING:
  case AU_STORABLE:
    au_bytes_printf(json, "%s must be valid UTF-8", name);
    break;
  }
}

static void put_size_text(const au_judge_t *judge, au_bytes_t *json) {
  const au_limits_t *limits = judge->limits;
  switch (judge->metadata.passed) {
  case AU_METADATA_KEYS:
    au_bytes_printf(json, "metadata must have at most %zu keys",
                    limits->metadata_max_keys);
    break;
  case AU_METADATA_DEPTH:
    au_bytes_printf(json, "metadata must be at most %zu levels deep",
                    limits->metadata_max_depth);
    break;
  case AU_METADATA_BYTES:
  case AU_METADATA_WITHIN:
    au_bytes_printf(json, "metadata must be at most %zu bytes as compact JSON",
                    limits->metadata_max_bytes);
    break;
  }
}

/* What the value must be, for a client to read. */
static void put_constraint_text(const au_judge_t *judge, au_field_t field,
                                unsigned constraint, au_bytes_t *json) {
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
                      judge->limits->service_max_length);
    else
      au_bytes_printf(json, "message must be at most %zu characters",
                      judge->limits->message_max_length);
    break;
  case IS_PARSEABLE:
    au_bytes_put_string(json,
                        "timestamp must be an ISO 8601 date or date-time, or a "
                        "Unix epoch in seconds or milliseconds, of the years "
                        "1970 to 2100");
    break;
  case IS_OBJECT:
    au_bytes_printf(json, "%s must be an object", name);
    break;
  case IS_SIZE_VALID:
    put_size_text(judge, json);
    break;
  default:
    put_storable_text(judge, field, json);
    break;
  }
}

static void put_field(const au_judge_t *judge, au_field_t field,
                      au_bytes_t *json) {
  au_bytes_printf(json, "{\"field\":\"%s\",\"constraints\":{",
                  field_name[field]);
  bool is_first = true;
  for (unsigned i = 0; i < CONSTRAINTS; i++) {
    unsigned constraint = 1U << i;
    if ((judge->failed[field] & constraint) == 0)
      continue;
    au_bytes_printf(json, "%s\"%s\":\"", is_first ? "" : ",",
                    constraint_name[i]);
    put_constraint_text(judge, field, constraint, json);
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

void au_judge_put_errors(const au_judge_t *judge, au_bytes_t *json) {
  char separator = '[';
  for (au_field_t field = 0; field < AU_FIELD_UNKNOWN; field++) {
    if (judge->failed[field] == 0)
      continue;
    au_bytes_put_u8(json, (uint8_t)separator);
    put_field(judge, field, json);
    separator = ',';
  }
  for (size_t i = 0; i < judge->unknown_count; i++) {
    au_bytes_put_u8(json, (uint8_t)separator);
    put_unknown(unknown_name(judge, i), json);
    separator = ',';
  }
  au_bytes_put_u8(json, ']');
}

void au_judge_put_not_object(au_bytes_t *json) {
  au_bytes_put_string(json, "[{\"field\":\"event\",\"constraints\":{"
                            "\"isObject\":\"event must be an object\"}}]");
}
