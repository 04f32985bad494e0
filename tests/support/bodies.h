/* SPDX-License-Identifier: MIT
 *
 * bodies - for tests of request bodies: parse one, look at its events and at
 * its errors. One parser and one body a test, made by set_up_reader.
 */
#ifndef SUPPORT_BODIES_H
#define SUPPORT_BODIES_H

#include "event/reader.h"

#define NOW INT64_C(1700000000123456)

extern au_limits_t limits;
extern au_reader_t reader;
extern au_intake_t *const intake;
extern au_bytes_t body; /* for bodies that are put together */

void set_up_reader(void);
void tear_down_reader(void);

/* From a copy that ends with its memory: checkers see a step too far. */
au_intake_result_t parse_bytes(au_format_t format, const void *data,
                               size_t size);

au_intake_result_t parse(const char *json);
au_intake_result_t parse_lines(const char *lines);
au_intake_result_t parse_body(void);

/* The errors of the n-th refused event. */
const char *errors_of(size_t n);

au_event_t event_of(size_t n);

void assert_slice(au_slice_t slice, const char *text);

/* An event whose fields but those in "fields" (which ends with a comma, or is
 * empty) are good. */
const char *with(const char *fields);

void assert_accepted(const char *json);
void assert_refused(const char *json, const char *errors);

#define FIELD(field, constraints)                                              \
  "{\"field\":\"" field "\",\"constraints\":{" constraints "}}"

#define IS_STRING(field) "\"isString\":\"" field " must be a string\""
#define NOT_EMPTY(field) "\"isNotEmpty\":\"" field " must not be empty\""
#define UNPARSEABLE                                                            \
  "\"isParseableTimestamp\":\"timestamp must be an ISO 8601 date or "          \
  "date-time, or a Unix epoch, of the years 1970 to 2100\""
#define CHARACTER(field)                                                       \
  "\"isStorable\":\"" field                                                    \
  " must not contain U+0000 or half a surrogate pair\""
#define ENCODING(field) "\"isStorable\":\"" field " must be valid UTF-8\""
#define NUMBER                                                                 \
  "\"isStorable\":\"metadata must not contain a number of more than 400 "      \
  "digits when written out\""
#define SIZE_VALID(text) "\"isMetadataSizeValid\":\"" text "\""
#define SERVICE_LENGTH                                                         \
  "\"maxLength\":\"service name must be at most 100 characters\""
#define MESSAGE_LENGTH                                                         \
  "\"maxLength\":\"message must be at most 2000 characters\""
#define UNKNOWN(name)                                                          \
  FIELD(name, "\"whitelistValidation\":\"property " name " should not "        \
              "exist\"")
#define NOT_OBJECT                                                             \
  "[" FIELD("event", "\"isObject\":\"event must be an object\"") "]"
#define ALL_MISSING                                                            \
  "[" FIELD("timestamp", NOT_EMPTY("timestamp") "," UNPARSEABLE) "," FIELD(    \
      "service", IS_STRING("service") "," NOT_EMPTY(                           \
                     "service")) "," FIELD("message",                          \
                                           IS_STRING("message") "," NOT_EMPTY( \
                                               "message")) "]"

#endif
