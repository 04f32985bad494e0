/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * json_parser - YAJL, made fit for a daemon: one handle is used for many
 * texts, running out of memory is a result, and an error is one short line.
 *
 * The callbacks get a value's text as YAJL found it: a string without escapes
 * points into the text that was fed, one with escapes into memory of the
 * parser. UTF-8 is not checked. Any number of values may follow each other; the
 * callbacks count them.
 *
 * Threads: one at a time. Ownership: the parser owns all its memory.
 */
#ifndef AURORE_BASE_JSON_PARSER_H
#define AURORE_BASE_JSON_PARSER_H

#include "base/budget.h"
#include "base/status.h"

#include <stddef.h>
#include <yajl/yajl_parse.h>

typedef struct au_json_parser au_json_parser_t;

typedef enum au_json_result {
  AU_JSON_OK,       /* all text was taken; a value may still be open */
  AU_JSON_INVALID,  /* not JSON; au_json_parser_explain */
  AU_JSON_CANCELED, /* a callback has returned 0 */
  AU_JSON_NOMEM
} au_json_result_t;

/* Borrows both until destroy. NULL when out of memory. */
au_json_parser_t *au_json_parser_create(const yajl_callbacks *callbacks,
                                        void *context);
void au_json_parser_destroy(au_json_parser_t *parser);

/* Charges the parser's memory to the account (borrowed until destroy), before
 * the first text; when that may not hold more, it is AU_JSON_NOMEM. */
void au_json_parser_charge(au_json_parser_t *parser, au_account_t *account);

/* Forgets an unfinished or invalid text, so that the next feed starts anew. */
void au_json_parser_reset(au_json_parser_t *parser);

/* The values are complete: keeps what can be used again for the next ones, and
 * gives back memory above a bound. */
void au_json_parser_finish(au_json_parser_t *parser);

/* Takes the next piece of text. After anything but AU_JSON_OK: reset first. */
AU_MUST_CHECK au_json_result_t au_json_parser_feed(au_json_parser_t *parser,
                                                   const char *text,
                                                   size_t size);

/* After AU_JSON_INVALID or AU_JSON_CANCELED of the piece "text": what is wrong
 * (static text), and at which byte of the piece. */
const char *au_json_parser_explain(au_json_parser_t *parser, const char *text,
                                   size_t size, size_t *out_offset);

#endif
