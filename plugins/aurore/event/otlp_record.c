/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/otlp_record.h"

#include "base/hex.h"
#include "base/timestamp.h"
#include "base/utf8.h"
#include "event/storable.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_US 1000
/* Kept from record to record. */
#define KEEP_BYTES ((size_t)16 << 10)
/* Texts that are not attributes may each take such a part of the metadata. */
#define TEXT_PART 8
/* Longer ids are none. */
#define ID_SIZE_MAX 32

static const char unknown_service[] = "unknown_service";
static const char no_body[] = "(no body)";

void au_otlp_maker_init(au_otlp_maker_t *maker, const au_limits_t *limits,
                        au_account_t *account) {
  *maker = (au_otlp_maker_t){.limits = limits};
  maker->service.account = account;
  maker->message.account = account;
  au_otlp_writer_charge(&maker->writer, account);
  au_trim_init(&maker->trim, &maker->record_limits, account);
  for (int i = 0; i < AU_OTLP_CONTEXTS; i++) {
    au_trim_init(&maker->resource[i].trim, &maker->resource[i].limits, account);
    au_trim_init(&maker->scope[i].trim, &maker->scope[i].limits, account);
  }
}

void au_otlp_maker_fini(au_otlp_maker_t *maker) {
  au_bytes_fini(&maker->service);
  au_bytes_fini(&maker->message);
  au_otlp_writer_fini(&maker->writer);
  au_trim_fini(&maker->trim);
  for (int i = 0; i < AU_OTLP_CONTEXTS; i++) {
    au_trim_fini(&maker->resource[i].trim);
    au_trim_fini(&maker->scope[i].trim);
  }
}

void au_otlp_maker_clear(au_otlp_maker_t *maker) {
  au_bytes_clear(&maker->service, KEEP_BYTES);
  au_bytes_clear(&maker->message, KEEP_BYTES);
  au_bytes_clear(&maker->trim.json, KEEP_BYTES);
  maker->resource_logs = maker->scope_logs =
      (au_slice_t){.data = "", .size = 0};
  maker->resource_url = maker->scope_url = maker->resource_logs;
  maker->otherwise = maker->resource_logs;
  maker->metadata = (au_slice_t){.data = NULL, .size = 0};
}

bool au_otlp_maker_has_failed(const au_otlp_maker_t *maker) {
  return maker->service.failed || maker->message.failed ||
         maker->trim.json.failed;
}

/* --- attributes -----------------------------------------------------------*/

/* Whose attributes they are: those in field "attribute" of the messages in
 * field "container" of "message", of which there may be several, or, when that
 * is 0, of "message" itself. */
typedef struct source {
  au_slice_t message;
  uint32_t container;
  uint32_t attribute;
} source_t;

static const char uid_name[] = "log.record.uid";
static const char service_name[] = "service.name";

/* What is done with each field of a source. false: malformed. */
typedef bool (*visit_t)(au_otlp_maker_t *maker,
                        const au_protobuf_field_t *field, void *context);

/* Visits the fields of one message. */
static bool visit_message(au_otlp_maker_t *maker, au_slice_t message,
                          visit_t visit, void *context) {
  au_protobuf_t reading = au_protobuf_open(message.data, message.size);
  au_protobuf_field_t field;
  while (au_protobuf_next(&reading, &field))
    if (!visit(maker, &field, context))
      return false;
  return !reading.is_malformed;
}

/* Visits the fields of all messages of the source. */
static bool visit_source(au_otlp_maker_t *maker, const source_t *source,
                         visit_t visit, void *context) {
  if (source->container == 0)
    return visit_message(maker, source->message, visit, context);
  au_protobuf_t reading =
      au_protobuf_open(source->message.data, source->message.size);
  au_protobuf_field_t field;
  while (au_protobuf_next(&reading, &field))
    if (au_protobuf_is(&field, source->container, AU_PROTOBUF_BYTES) &&
        !visit_message(maker, au_otlp_slice(&field), visit, context))
      return false;
  return !reading.is_malformed;
}

/* Where attributes are put, or how many there are. */
typedef struct target {
  au_trim_t *trim;
  uint32_t number;
  size_t count;
} target_t;

static bool put_attribute(au_otlp_maker_t *maker,
                          const au_protobuf_field_t *field, void *context) {
  const target_t *target = context;
  const au_limits_t *limits = target->trim->limits;
  au_otlp_pair_t pair;
  if (!au_protobuf_is(field, target->number, AU_PROTOBUF_BYTES))
    return true;
  if (!au_otlp_read_pair(au_otlp_slice(field), maker->is_own, &pair) ||
      !au_otlp_write(&maker->writer, &pair.value, maker->is_own,
                     maker->limits->metadata_max_bytes))
    return false;
  const au_value_t *value = &maker->writer.value;
  if (maker->writer.is_cut ||
      target->trim->level + value->depth > limits->metadata_max_depth)
    maker->is_cut = true;
  (void)au_trim_put(target->trim, pair.key.data, pair.key.size, value);
  return true;
}

static bool put_attributes(au_otlp_maker_t *maker, au_trim_t *trim,
                           const source_t *source) {
  target_t target = {.trim = trim, .number = source->attribute};
  return visit_source(maker, source, put_attribute, &target);
}

static bool count_attribute(au_otlp_maker_t *maker,
                            const au_protobuf_field_t *field, void *context) {
  target_t *counted = context;
  (void)maker;
  if (au_protobuf_is(field, counted->number, AU_PROTOBUF_BYTES))
    counted->count++;
  return true;
}

/* Puts the member "attributes" if there are any. */
static bool put_attributes_member(au_otlp_maker_t *maker, au_trim_t *trim,
                                  const source_t *source) {
  target_t counted = {.number = source->attribute};
  if (!visit_source(maker, source, count_attribute, &counted))
    return false;
  if (counted.count == 0 ||
      !au_trim_open(trim, "attributes", strlen("attributes")))
    return true;
  bool is_read = put_attributes(maker, trim, source);
  au_trim_close(trim);
  return is_read;
}

/* An attribute that is looked for. */
typedef struct wanted {
  const char *name;
  uint32_t number;
  au_otlp_any_t *value;
} wanted_t;

static bool find_attribute(au_otlp_maker_t *maker,
                           const au_protobuf_field_t *field, void *context) {
  const wanted_t *wanted = context;
  au_otlp_pair_t pair;
  if (!au_protobuf_is(field, wanted->number, AU_PROTOBUF_BYTES))
    return true;
  if (!au_otlp_read_pair(au_otlp_slice(field), maker->is_own, &pair))
    return false;
  if (pair.key.size == strlen(wanted->name) &&
      memcmp(pair.key.data, wanted->name, pair.key.size) == 0)
    *wanted->value = pair.value; /* the last of equal keys */
  return true;
}

/* --- members of metadata --------------------------------------------------*/

static void put_value(au_otlp_maker_t *maker, au_trim_t *trim,
                      const char *name) {
  (void)au_trim_put(trim, name, strlen(name), &maker->writer.value);
}

/* Empty: it is not set. */
static void put_string(au_otlp_maker_t *maker, au_trim_t *trim,
                       const char *name, au_slice_t text) {
  if (text.size == 0)
    return;
  au_value_begin(&maker->writer.value, maker->limits->metadata_max_bytes);
  au_value_string(&maker->writer.value, text.data, text.size);
  put_value(maker, trim, name);
}

/* The same for text of any length, which leaves room for others. */
static void put_text(au_otlp_maker_t *maker, au_trim_t *trim, const char *name,
                     au_slice_t text) {
  size_t max = maker->limits->metadata_max_bytes / TEXT_PART;
  if (text.size > max) {
    maker->is_cut = true;
    text.size = au_utf8_whole(text.data, max);
  }
  put_string(maker, trim, name, text);
}

/* 0: it is not set. */
static void put_number(au_otlp_maker_t *maker, const char *name,
                       int64_t number) {
  char text[32];
  if (number == 0)
    return;
  int length = snprintf(text, sizeof(text), "%" PRId64, number);
  au_value_begin(&maker->writer.value, sizeof(text));
  au_value_number(&maker->writer.value, text, (size_t)length);
  put_value(maker, &maker->trim, name);
}

/* An id of zeros is not set. */
static void put_id(au_otlp_maker_t *maker, const char *name, au_slice_t id) {
  char text[2 * ID_SIZE_MAX];
  size_t size = 0;
  while (size < id.size && id.data[size] == 0)
    size++;
  if (size == id.size)
    return;
  if (id.size > ID_SIZE_MAX) {
    maker->is_cut = true;
    return;
  }
  char *end = au_hex_write(text, id.data, id.size);
  put_string(maker, &maker->trim, name,
             (au_slice_t){.data = text, .size = (size_t)(end - text)});
}

/* --- resource and scope ---------------------------------------------------*/

static bool put_scope_text(au_otlp_maker_t *maker,
                           const au_protobuf_field_t *field, void *context) {
  au_slice_t *text = context; /* name and version */
  (void)maker;
  if (au_protobuf_is(field, 1, AU_PROTOBUF_BYTES) ||
      au_protobuf_is(field, 2, AU_PROTOBUF_BYTES))
    text[field->number - 1] = au_otlp_slice(field);
  return true;
}

static bool put_scope(au_otlp_maker_t *maker, au_trim_t *trim) {
  const source_t source = {maker->scope_logs, 1, 3};
  au_slice_t text[2] = {{.data = "", .size = 0}, {.data = "", .size = 0}};
  if (!visit_source(maker, &source, put_scope_text, text))
    return false;
  put_text(maker, trim, "name", text[0]);
  put_text(maker, trim, "version", text[1]);
  return put_attributes_member(maker, trim, &source);
}

static bool put_resource(au_otlp_maker_t *maker, au_trim_t *trim) {
  const source_t source = {maker->resource_logs, 1, 1};
  return put_attributes(maker, trim, &source);
}

/* Makes it in a part of the room that there is, once. */
static bool make_part(au_otlp_maker_t *maker, au_otlp_part_t *part,
                      size_t divisor,
                      bool (*put)(au_otlp_maker_t *maker, au_trim_t *trim)) {
  if (part->is_made)
    return true;
  const au_limits_t *limits = maker->limits;
  bool was_cut = maker->is_cut;
  part->limits = *limits;
  part->limits.metadata_max_bytes = limits->metadata_max_bytes / divisor;
  part->limits.metadata_max_keys = limits->metadata_max_keys / divisor;
  if (limits->metadata_max_depth > 0) /* it is itself a level */
    part->limits.metadata_max_depth--;
  maker->is_cut = false;
  au_trim_begin(&part->trim, false);
  if (!put(maker, &part->trim))
    return false;
  /* The mark is its event's; there is always room for the bracket. */
  if (!au_trim_end(&part->trim))
    au_bytes_put_u8(&part->trim.json, '}');
  part->is_cut = maker->is_cut || part->trim.is_short;
  part->is_made = true;
  maker->is_cut = was_cut;
  return true;
}

static void put_part(au_otlp_maker_t *maker, const char *name,
                     const au_otlp_part_t *part) {
  const au_value_t value = {
      .json = part->trim.json, .keys = part->trim.keys, .depth = 1};
  maker->is_cut |= part->is_cut;
  if (!au_trim_is_empty(&part->trim) || part->trim.json.failed)
    (void)au_trim_put(&maker->trim, name, strlen(name), &value);
}

static bool put_context(au_otlp_maker_t *maker, au_otlp_context_t context) {
  size_t start = maker->trim.json.size;
  if (context != AU_OTLP_CONTEXT_NONE) {
    bool is_all = context == AU_OTLP_CONTEXT_ALL;
    au_otlp_part_t *resource = &maker->resource[context];
    au_otlp_part_t *scope = &maker->scope[context];
    if (!make_part(maker, resource, is_all ? 1 : 3, put_resource) ||
        !make_part(maker, scope, is_all ? 1 : 6, put_scope))
      return false;
    put_text(maker, &maker->trim, "resourceSchemaUrl", maker->resource_url);
    put_text(maker, &maker->trim, "scopeSchemaUrl", maker->scope_url);
    put_part(maker, "resource", resource);
    put_part(maker, "scope", scope);
  }
  maker->context_bytes = maker->trim.json.size - start;
  return true;
}

/* The text of a schema URL, which both have as field 3. */
static bool find_url(au_otlp_maker_t *maker, const au_protobuf_field_t *field,
                     void *context) {
  (void)maker;
  if (au_protobuf_is(field, 3, AU_PROTOBUF_BYTES))
    *(au_slice_t *)context = au_otlp_slice(field);
  return true;
}

/* Takes the service from a value, or leaves it empty. */
static void take_service(au_otlp_maker_t *maker, const au_otlp_any_t *any,
                         au_slice_t text) {
  size_t max = maker->limits->service_max_length;
  au_bytes_t *service = &maker->service;
  au_bytes_clear(service, KEEP_BYTES);
  maker->is_service_cut = false;
  if (any->kind == AU_OTLP_NONE || text.size == 0)
    return;
  maker->is_service_cut =
      au_storable_put_text(service, text.data, text.size, max);
  if (!service->failed &&
      au_utf8_is_blank((const char *)service->data, service->size))
    service->size = 0;
}

static bool read_service(au_otlp_maker_t *maker, const au_otlp_any_t *any) {
  size_t max = maker->limits->service_max_length * 4;
  au_slice_t text;
  if (!au_otlp_text(&maker->writer, any, max, &text)) {
    if (!au_otlp_write(&maker->writer, any, maker->is_own, max))
      return false;
    const au_bytes_t *json = &maker->writer.value.json;
    text = (au_slice_t){.data = (const char *)json->data, .size = json->size};
  }
  take_service(maker, any, text);
  maker->service.failed |=
      maker->writer.scratch.failed || maker->writer.value.json.failed;
  if (maker->service.size > 0 || maker->service.failed)
    return true;
  const au_otlp_any_t given = {.kind = AU_OTLP_STRING};
  take_service(maker, &given, maker->otherwise);
  if (maker->service.size > 0 || maker->service.failed)
    return true;
  take_service(maker, &given,
               (au_slice_t){.data = unknown_service,
                            .size = sizeof(unknown_service) - 1});
  maker->is_service_cut = false;
  return true;
}

bool au_otlp_maker_resource(au_otlp_maker_t *maker, au_slice_t resource_logs) {
  const source_t source = {resource_logs, 1, 1};
  au_otlp_any_t service = {.kind = AU_OTLP_NONE};
  wanted_t wanted = {service_name, 1, &service};
  maker->resource_logs = resource_logs;
  maker->resource_url = (au_slice_t){.data = "", .size = 0};
  for (int i = 0; i < AU_OTLP_CONTEXTS; i++)
    maker->resource[i].is_made = false;
  return visit_source(maker, &source, find_attribute, &wanted) &&
         visit_message(maker, resource_logs, find_url, &maker->resource_url) &&
         read_service(maker, &service);
}

bool au_otlp_maker_scope(au_otlp_maker_t *maker, au_slice_t scope_logs) {
  maker->scope_logs = scope_logs;
  maker->scope_url = (au_slice_t){.data = "", .size = 0};
  for (int i = 0; i < AU_OTLP_CONTEXTS; i++)
    maker->scope[i].is_made = false;
  return visit_message(maker, scope_logs, find_url, &maker->scope_url);
}

/* --- the record -----------------------------------------------------------*/

static bool take_field(au_otlp_maker_t *maker, const au_protobuf_field_t *field,
                       void *context) {
  au_otlp_record_t *record = context;
  const struct {
    uint32_t number;
    au_slice_t *text;
  } texts[] = {{3, &record->severity_text},
               {9, &record->trace_id},
               {10, &record->span_id},
               {12, &record->event_name}};
  switch (field->type) {
  case AU_PROTOBUF_FIXED64:
    if (field->number == 1)
      record->time_ns = field->value;
    else if (field->number == 11)
      record->observed_ns = field->value;
    return true;
  case AU_PROTOBUF_FIXED32:
    if (field->number == 8)
      record->flags = (uint32_t)field->value;
    return true;
  case AU_PROTOBUF_VARINT:
    if (field->number == 2)
      record->severity = (int32_t)(uint32_t)field->value;
    else if (field->number == 7)
      record->dropped = (uint32_t)field->value;
    else if (field->number == AU_OTLP_MARK && maker->is_own)
      record->is_marked = true;
    return true;
  case AU_PROTOBUF_BYTES:
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
      if (field->number == texts[i].number)
        *texts[i].text = au_otlp_slice(field);
    return field->number != 5 ||
           au_otlp_read_any(au_otlp_slice(field), maker->is_own, &record->body);
  }
  return true;
}

/* The time in microseconds, or INT64_MIN when it counts as not set. */
static int64_t time_of(uint64_t ns) {
  int64_t us = (int64_t)(ns / NS_PER_US);
  return ns != 0 && au_timestamp_is_valid(us) ? us : INT64_MIN;
}

static bool is_empty(au_slice_t text) { return text.size == 0; }

/* The text of the message; empty: there is none in the body. */
static bool body_text(au_otlp_maker_t *maker, au_slice_t *out_text) {
  const au_otlp_any_t *body = &maker->record.body;
  size_t max = maker->limits->message_max_length * 4;
  *out_text = (au_slice_t){.data = "", .size = 0};
  if (body->kind == AU_OTLP_NONE)
    return true;
  if (au_otlp_text(&maker->writer, body, max, out_text)) {
    maker->message.failed |= maker->writer.scratch.failed;
    return true;
  }
  if (!au_otlp_write(&maker->writer, body, maker->is_own, max))
    return false;
  const au_bytes_t *json = &maker->writer.value.json;
  maker->message.failed |= json->failed;
  maker->record.is_marked |= maker->writer.is_cut;
  if (!json->failed)
    *out_text =
        (au_slice_t){.data = (const char *)json->data, .size = json->size};
  return true;
}

static bool make_message(au_otlp_maker_t *maker) {
  au_otlp_record_t *record = &maker->record;
  au_slice_t text;
  au_bytes_clear(&maker->message, KEEP_BYTES);
  if (!body_text(maker, &text))
    return false;
  if (is_empty(text))
    text = record->event_name;
  if (is_empty(text))
    text = record->severity_text;
  if (is_empty(text))
    text = (au_slice_t){.data = no_body, .size = sizeof(no_body) - 1};
  if (au_storable_put_text(&maker->message, text.data, text.size,
                           maker->limits->message_max_length) &&
      text.data != no_body)
    record->is_marked = true;
  return true;
}

bool au_otlp_maker_read(au_otlp_maker_t *maker, au_slice_t log_record) {
  au_otlp_record_t *record = &maker->record;
  const au_slice_t empty = {.data = "", .size = 0};
  *record = (au_otlp_record_t){.message = log_record,
                               .severity_text = empty,
                               .event_name = empty,
                               .trace_id = empty,
                               .span_id = empty};
  wanted_t wanted = {uid_name, 6, &record->uid};
  if (!visit_message(maker, log_record, take_field, record) ||
      !visit_message(maker, log_record, find_attribute, &wanted))
    return false;
  maker->occurred_at_us = time_of(record->time_ns);
  if (maker->occurred_at_us == INT64_MIN)
    maker->occurred_at_us = time_of(record->observed_ns);
  record->is_marked |= maker->is_service_cut;
  return make_message(maker);
}

/* A time that counts as not set is kept as it was. */
static void put_unset_time(au_otlp_maker_t *maker, const char *name,
                           uint64_t ns) {
  char text[32];
  if (ns == 0 || time_of(ns) != INT64_MIN)
    return;
  int length = snprintf(text, sizeof(text), "%" PRIu64, ns);
  au_value_begin(&maker->writer.value, sizeof(text));
  au_value_number(&maker->writer.value, text, (size_t)length);
  put_value(maker, &maker->trim, name);
}

static void put_observed(au_otlp_maker_t *maker) {
  int64_t us = time_of(maker->record.observed_ns);
  char text[AU_TIMESTAMP_TEXT_SIZE];
  if (us == INT64_MIN || us == maker->occurred_at_us)
    return;
  au_timestamp_format(us, text);
  put_string(maker, &maker->trim, "observedTimestamp",
             (au_slice_t){.data = text, .size = strlen(text)});
}

static void put_fixed(au_otlp_maker_t *maker) {
  const au_otlp_record_t *record = &maker->record;
  au_trim_t *trim = &maker->trim;
  put_number(maker, "severityNumber", record->severity);
  put_id(maker, "traceId", record->trace_id);
  put_id(maker, "spanId", record->span_id);
  put_number(maker, "flags", record->flags);
  put_observed(maker);
  put_unset_time(maker, "timeUnixNano", record->time_ns);
  put_unset_time(maker, "observedTimeUnixNano", record->observed_ns);
  put_number(maker, "droppedAttributesCount", record->dropped);
  put_text(maker, trim, "severityText", record->severity_text);
  put_text(maker, trim, "eventName", record->event_name);
}

static bool put_own_attributes(au_otlp_maker_t *maker, bool is_wanted) {
  const source_t source = {maker->record.message, 0, 6};
  au_trim_t *trim = &maker->trim;
  size_t start = trim->json.size;
  bool is_read = !is_wanted || put_attributes_member(maker, trim, &source);
  maker->attribute_bytes = trim->json.size - start;
  return is_read;
}

/* Whether the context takes more than its half of what there is room for. */
static bool is_context_large(const au_otlp_maker_t *maker) {
  size_t keys = maker->resource[AU_OTLP_CONTEXT_ALL].trim.keys +
                maker->scope[AU_OTLP_CONTEXT_ALL].trim.keys;
  return maker->context_bytes > maker->limits->metadata_max_bytes / 2 ||
         keys > maker->limits->metadata_max_keys / 2;
}

bool au_otlp_maker_make(au_otlp_maker_t *maker, au_otlp_context_t context,
                        bool has_attributes, size_t max_bytes) {
  maker->record_limits = *maker->limits;
  if (max_bytes < maker->record_limits.metadata_max_bytes)
    maker->record_limits.metadata_max_bytes = max_bytes;
  maker->is_marked = maker->record.is_marked ||
                     context == AU_OTLP_CONTEXT_NONE || !has_attributes;
  au_trim_t *trim = &maker->trim;
  for (;;) {
    maker->is_cut = false;
    au_trim_begin(trim, maker->is_marked);
    put_fixed(maker);
    if (!put_context(maker, context) ||
        !put_own_attributes(maker, has_attributes))
      return false;
    bool is_smaller = trim->is_short && context == AU_OTLP_CONTEXT_ALL &&
                      is_context_large(maker);
    bool is_done = maker->is_marked || (!trim->is_short && !maker->is_cut);
    if (trim->json.failed || (is_done && !is_smaller))
      break;
    maker->is_marked = true;
    if (is_smaller)
      context = AU_OTLP_CONTEXT_HALF;
  }
  (void)au_trim_end(trim);
  maker->metadata = (au_slice_t){.data = NULL, .size = 0};
  if (!au_trim_is_empty(trim) && !trim->json.failed)
    maker->metadata = (au_slice_t){.data = (const char *)trim->json.data,
                                   .size = trim->json.size};
  return true;
}
