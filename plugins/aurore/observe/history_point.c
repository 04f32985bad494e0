/* SPDX-License-Identifier: MIT
 * Part of observe/; calls database/, spool/, config/, metrics/, event/, base/.
 */
#include "observe/history_point.h"

#include "base/json_scan.h"
#include "base/timestamp.h"

#include <stdlib.h>
#include <string.h>

#define NUMBER_SIZE 32
/* Nothing that is counted comes near it. */
#define VALUE_MAX 1e15

static const char *const names[AU_HISTORY_FIGURES] = {
    [AU_HISTORY_RATE] = "throughput_events_per_second",
    [AU_HISTORY_FILL] = "utilization_percent",
    [AU_HISTORY_DROP] = "drop_rate_percent"};

static bool is_named(au_token_t key, const char *name) {
  return key.size == strlen(name) && memcmp(key.text, name, key.size) == 0;
}

/* Numbers are written as strings there. */
static bool read_value(au_token_t token, double *out_value) {
  char text[NUMBER_SIZE];
  if ((token.kind != AU_TOKEN_STRING && token.kind != AU_TOKEN_NUMBER) ||
      token.size == 0 || token.size >= sizeof(text))
    return false;
  memcpy(text, token.text, token.size);
  text[token.size] = '\0';
  char *end = NULL;
  *out_value = strtod(text, &end);
  return *end == '\0' && *out_value >= 0 && *out_value <= VALUE_MAX;
}

/* Takes a member that is wanted; false: it is not as it must be. */
static bool take_member(au_token_t key, au_token_t value, unsigned *found,
                        au_history_point_t *point) {
  if (is_named(key, "timestamp")) {
    *found |= 1U << AU_HISTORY_FIGURES;
    return value.kind == AU_TOKEN_STRING &&
           au_timestamp_parse(value.text, value.size, &point->at_us);
  }
  for (unsigned i = 0; i < AU_HISTORY_FIGURES; i++)
    if (is_named(key, names[i])) {
      *found |= 1U << i;
      return read_value(value, &point->value[i]);
    }
  return true;
}

bool au_history_point_read(const char *line, size_t size,
                           au_history_point_t *out_point) {
  au_json_scan_t scan = {.text = NULL};
  au_json_scan_begin(&scan, AU_DIALECT_STRICT, line, size);
  unsigned found = 0;
  bool is_good = true;
  au_token_t key = {.kind = AU_TOKEN_NULL};
  while (is_good) {
    au_token_t token = au_json_scan_next(&scan);
    if (token.kind == AU_TOKEN_END)
      break;
    is_good = token.kind != AU_TOKEN_INVALID && token.kind != AU_TOKEN_NOMEM &&
              (key.kind != AU_TOKEN_KEY ||
               take_member(key, token, &found, out_point));
    key = token;
  }
  au_json_scan_fini(&scan);
  return is_good && found == (1U << (AU_HISTORY_FIGURES + 1)) - 1;
}
