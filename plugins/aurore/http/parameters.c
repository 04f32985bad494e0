/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/. */
#include "http/parameters.h"

#include "base/json.h"
#include "base/timestamp.h"
#include "base/utf8.h"
#include "http/error_code.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MESSAGE_MAX 256

void au_refusals_fini(au_refusals_t *refusals) {
  au_bytes_fini(&refusals->json);
}

void au_refuse(au_refusals_t *refusals, const char *field,
               const char *constraint, const char *format, ...) {
  char message[MESSAGE_MAX];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof(message), format, arguments);
  va_end(arguments);

  au_bytes_t *json = &refusals->json;
  if (refusals->count > 0 && strcmp(refusals->field, field) == 0) {
    au_bytes_put_u8(json, ',');
  } else {
    au_bytes_put_string(json, refusals->count > 0 ? "}},{\"field\":"
                                                  : "[{\"field\":");
    au_json_put_text(json, field);
    au_bytes_put_string(json, ",\"constraints\":{");
    snprintf(refusals->field, sizeof(refusals->field), "%s", field);
  }
  au_json_put_text(json, constraint);
  au_bytes_put_u8(json, ':');
  au_json_put_text(json, message);
  refusals->count++;
}

void au_refusals_put(au_refusals_t *refusals, au_bytes_t *json) {
  au_error_put(json, AU_ERROR_INVALID_QUERY, "Invalid query");
  au_bytes_put_string(json, ",\"errors\":");
  au_bytes_put(json, refusals->json.data, refusals->json.size);
  au_bytes_put_string(json, refusals->count > 0 ? "}}]" : "[]");
  if (refusals->unknown > AU_PARAMETERS_UNKNOWN_MAX)
    au_bytes_printf(json, ",\"fieldsOmitted\":%u",
                    refusals->unknown - AU_PARAMETERS_UNKNOWN_MAX);
  au_bytes_put_u8(json, '}');
  if (refusals->json.failed)
    json->failed = true;
}

static bool is_listed(const au_refusals_t *refusals, const char *shown) {
  for (unsigned i = 0; i < refusals->unknown && i < AU_PARAMETERS_UNKNOWN_MAX;
       i++)
    if (strcmp(refusals->listed[i], shown) == 0)
      return true;
  return false;
}

static void refuse_unknown(const char *name, au_refusals_t *refusals) {
  char shown[AU_PARAMETERS_NAME_MAX + 1];
  snprintf(shown, sizeof(shown), "%s", name);
  if (is_listed(refusals, shown) ||
      ++refusals->unknown > AU_PARAMETERS_UNKNOWN_MAX)
    return;
  memcpy(refusals->listed[refusals->unknown - 1], shown, sizeof(shown));
  au_refuse(refusals, shown, "whitelistValidation",
            "property %s should not exist", shown);
}

void au_parameter_sort(au_parameter_t *known, size_t count, const char *name,
                       const char *value, au_refusals_t *refusals) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(known[i].name, name) != 0)
      continue;
    if (known[i].value != NULL)
      known[i].repeated = true;
    else
      known[i].value = value != NULL ? value : "";
    return;
  }
  refuse_unknown(name, refusals);
}

bool au_parameter_is_given(const au_parameter_t *parameter,
                           const char *constraint, au_refusals_t *refusals) {
  if (parameter->repeated)
    au_refuse(refusals, parameter->name, constraint,
              "%s must be given only once", parameter->name);
  return parameter->value != NULL && !parameter->repeated;
}

/* false: it is not a whole number. What is too large for 64 bits is as large
 * as they allow. */
static bool parse_integer(const char *text, int64_t *out_value) {
  bool negative = *text == '-';
  const char *digits = text + (negative ? 1 : 0);
  size_t size = strlen(digits);
  if (size == 0 || strspn(digits, "0123456789") != size)
    return false;
  int64_t value = 0;
  for (size_t i = 0; i < size; i++)
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, digits[i] - '0', &value)) {
      value = INT64_MAX;
      break;
    }
  *out_value = negative ? -value : value;
  return true;
}

int64_t au_parameter_integer(const au_parameter_t *parameter, int64_t min,
                             int64_t max, int64_t otherwise,
                             au_refusals_t *refusals) {
  const char *name = parameter->name;
  int64_t value = 0;
  if (!au_parameter_is_given(parameter, "isInt", refusals))
    return otherwise;
  if (!parse_integer(parameter->value, &value))
    au_refuse(refusals, name, "isInt", "%s must be an integer number", name);
  else if (value < min)
    au_refuse(refusals, name, "min", "%s must not be less than %lld", name,
              (long long)min);
  else if (value > max)
    au_refuse(refusals, name, "max", "%s must not be greater than %lld", name,
              (long long)max);
  else
    return value;
  return otherwise;
}

const char *au_parameter_text(const au_parameter_t *parameter, au_need_t need,
                              au_refusals_t *refusals) {
  const char *name = parameter->name;
  if (!au_parameter_is_given(parameter, "isString", refusals)) {
    if (need == AU_REQUIRED && !parameter->repeated) {
      au_refuse(refusals, name, "isString", "%s must be a string", name);
      au_refuse(refusals, name, "isNotEmpty", "%s is required", name);
    }
    return NULL;
  }
  size_t size = strlen(parameter->value);
  if (au_utf8_length(parameter->value, size) < 0)
    au_refuse(refusals, name, "isStorable",
              "%s must be valid UTF-8 without U+0000", name);
  else if (au_utf8_is_blank(parameter->value, size))
    au_refuse(refusals, name, "isNotEmpty", "%s must not be empty", name);
  else
    return parameter->value;
  return NULL;
}

bool au_parameter_time(const au_parameter_t *parameter, int64_t *out_us,
                       au_refusals_t *refusals) {
  const char *name = parameter->name;
  bool given =
      au_parameter_is_given(parameter, "isParseableTimestamp", refusals);
  if (parameter->repeated)
    return false;
  if (!given || *parameter->value == '\0')
    au_refuse(refusals, name, "isNotEmpty", "%s is required", name);
  else if (au_timestamp_parse(parameter->value, strlen(parameter->value),
                              out_us))
    return true;
  au_refuse(refusals, name, "isParseableTimestamp",
            "%s must be an ISO 8601 date-time or a Unix epoch, of the years "
            "1970 to 2100",
            name);
  return false;
}

size_t au_parameter_choice(const au_parameter_t *parameter,
                           const char *const *names, au_case_t how,
                           const char *constraint, au_refusals_t *refusals) {
  if (!au_parameter_is_given(parameter, constraint, refusals))
    return 0;
  char list[MESSAGE_MAX] = "";
  size_t length = 0;
  for (size_t i = 0; names[i] != NULL; i++) {
    int order = how == AU_CASE_ANY ? strcasecmp(names[i], parameter->value)
                                   : strcmp(names[i], parameter->value);
    if (order == 0)
      return i;
    if (length < sizeof(list))
      length += (size_t)snprintf(list + length, sizeof(list) - length, "%s%s",
                                 i > 0 ? ", " : "", names[i]);
  }
  au_refuse(refusals, parameter->name, constraint, "%s must be one of: %s",
            parameter->name, list);
  return 0;
}
