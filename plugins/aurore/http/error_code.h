/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * error_code - what a request can be refused for, and the shape that all
 * refusals have: {"statusCode" or "status", "message", "error": the reason
 * phrase, "errorCode": a name of error_code.def, and what the case adds}.
 *
 * Threads: pure.
 */
#ifndef AURORE_HTTP_ERROR_CODE_H
#define AURORE_HTTP_ERROR_CODE_H

#include "base/bytes.h"

typedef enum au_error_code {
#define ERROR_CODE(name, status, word) AU_ERROR_##name,
#include "http/error_code.def"
#undef ERROR_CODE
  AU_ERROR_CODE_COUNT
} au_error_code_t;

/* Of the answer, 400 to 599. */
unsigned au_error_status(au_error_code_t code);
/* "NOT_FOUND" */
const char *au_error_name(au_error_code_t code);

/* Appends the members that every refusal has, from the opening brace on; the
 * closing one is the caller's. "message" may be any bytes. */
void au_error_put(au_bytes_t *json, au_error_code_t code, const char *message);

#endif
