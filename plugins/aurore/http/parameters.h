/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * parameters - the query parameters of a request, sorted into those that a
 * route knows, and all that is wrong with them, in the shape in which POST
 * /events reports what is wrong with an event.
 *
 * Pure; one thread at a time. Values are borrowed from the request.
 */
#ifndef AURORE_HTTP_PARAMETERS_H
#define AURORE_HTTP_PARAMETERS_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At most this many unknown parameters are listed, with this many bytes of
 * their names; those of a route, of which none has more than nine, always are.
 * So a refusal has at most 20 fields, and less than 64 KiB. */
#define AU_PARAMETERS_UNKNOWN_MAX 11
#define AU_PARAMETERS_NAME_MAX 64

/* One that a route knows. Before it is sorted, "name" is set and the rest is
 * zero. */
typedef struct au_parameter {
  const char *name;
  const char *value; /* the first one; NULL: not given */
  bool repeated;     /* so it is none that can be used */
} au_parameter_t;

/* What is wrong; all zero: nothing yet. Free with au_refusals_fini. */
typedef struct au_refusals {
  au_bytes_t json;                        /* an array without its end */
  unsigned count;                         /* of constraints */
  unsigned unknown;                       /* parameters, listed or not */
  char field[AU_PARAMETERS_NAME_MAX + 1]; /* of the last one */
  /* The unknown parameters that are listed: each once. */
  char listed[AU_PARAMETERS_UNKNOWN_MAX][AU_PARAMETERS_NAME_MAX + 1];
} au_refusals_t;

/* Frees them, and leaves none. */
void au_refusals_fini(au_refusals_t *refusals);

/* Adds one. Those of the same field are together when they are added one
 * after the other. */
void au_refuse(au_refusals_t *refusals, const char *field,
               const char *constraint, const char *format, ...) AU_PRINTF(4, 5);

/* Appends the refusal INVALID_QUERY (http/error_code.h) with "errors":[...],
 * and "fieldsOmitted" when some are not listed. */
void au_refusals_put(au_refusals_t *refusals, au_bytes_t *json);

/* Sorts one parameter of the request in, or refuses it as unknown
 * (whitelistValidation), once however often it is given. "value" NULL: it has
 * none, as in "?page"; taken as empty. */
void au_parameter_sort(au_parameter_t *known, size_t count, const char *name,
                       const char *value, au_refusals_t *refusals);

/* Whether it was given once. Refuses a repeated one with "constraint". */
bool au_parameter_is_given(const au_parameter_t *parameter,
                           const char *constraint, au_refusals_t *refusals);

/* A whole number in decimal digits; refuses with isInt, min, max. Not given, or
 * refused: "otherwise". */
int64_t au_parameter_integer(const au_parameter_t *parameter, int64_t min,
                             int64_t max, int64_t otherwise,
                             au_refusals_t *refusals);

/* Text that is needed (isString, isNotEmpty) or not, and that PostgreSQL can
 * hold (isStorable). NULL: it was not given, or refused. */
typedef enum au_need { AU_OPTIONAL, AU_REQUIRED } au_need_t;
const char *au_parameter_text(const au_parameter_t *parameter, au_need_t need,
                              au_refusals_t *refusals);

/* A time that is needed (isNotEmpty, isParseableTimestamp), as the timestamp of
 * an event is written. false: refused. */
bool au_parameter_time(const au_parameter_t *parameter, int64_t *out_us,
                       au_refusals_t *refusals);

/* The index of the value in "names" (ended by NULL), with or without regard to
 * case; refuses with "constraint". Not given, or refused: 0. */
typedef enum au_case { AU_CASE_EXACT, AU_CASE_ANY } au_case_t;
size_t au_parameter_choice(const au_parameter_t *parameter,
                           const char *const *names, au_case_t how,
                           const char *constraint, au_refusals_t *refusals);

#endif
