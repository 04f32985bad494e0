/* SPDX-License-Identifier: MIT
 * Part of base/; calls nothing of the project.
 *
 * YAJL trusts its allocator never to return NULL, and has no other way to hear
 * of a failure. So the allocator here leaves YAJL by longjmp; all blocks that
 * YAJL holds are on a list, and are freed from there. YAJL is plain C and holds
 * nothing but memory, and no callback may hold anything across a return to it.
 *
 * A parser that has taken whole values is as good as new, so it is kept: making
 * one costs as much as parsing a small event.
 */
#include "base/json_parser.h"

#include "base/block.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What YAJL may keep from text to text. */
#define KEEP_BYTES ((size_t)32 << 10)

typedef struct block {
  alignas(max_align_t) struct block *next;
  struct block *previous;
  size_t capacity;
} block_t;

struct au_json_parser {
  yajl_handle handle; /* NULL until the first feed after a reset */
  yajl_alloc_funcs functions;
  const yajl_callbacks *callbacks;
  void *context;
  block_t blocks;        /* head of the ring of all blocks YAJL holds */
  size_t held;           /* bytes in them */
  au_account_t *account; /* "held" is charged to it; NULL: none */
  jmp_buf no_memory;
};

/* --- memory ---------------------------------------------------------------*/

static void link_block(au_json_parser_t *parser, block_t *block) {
  block->next = parser->blocks.next;
  block->previous = &parser->blocks;
  block->next->previous = block;
  parser->blocks.next = block;
  parser->held += block->capacity;
}

static void unlink_block(au_json_parser_t *parser, block_t *block) {
  block->next->previous = block->previous;
  block->previous->next = block->next;
  parser->held -= block->capacity;
}

static bool charge(au_json_parser_t *parser, size_t size) {
  return parser->account == NULL || au_account_charge(parser->account, size);
}

static void release(au_json_parser_t *parser, size_t size) {
  if (parser->account != NULL && size > 0)
    au_account_release(parser->account, size);
}

static void *yajl_malloc(void *context, size_t size) {
  au_json_parser_t *parser = context;
  if (!charge(parser, size))
    longjmp(parser->no_memory, 1);
  block_t *block = au_block_resize(NULL, 0, sizeof(*block) + size);
  if (block == NULL) {
    release(parser, size);
    longjmp(parser->no_memory, 1);
  }
  block->capacity = size;
  link_block(parser, block);
  return block + 1;
}

/* YAJL's stack of open brackets grows by 128 bytes at a time; doubling keeps a
 * million of them from being copied thousands of times. */
static void *yajl_realloc(void *context, void *data, size_t size) {
  au_json_parser_t *parser = context;
  if (data == NULL)
    return yajl_malloc(context, size);
  block_t *block = (block_t *)data - 1;
  if (size <= block->capacity)
    return data;
  size_t capacity = size < block->capacity * 2 ? block->capacity * 2 : size;
  if (!charge(parser, capacity - block->capacity))
    longjmp(parser->no_memory, 1);
  unlink_block(parser, block);
  block_t *moved = au_block_resize(block, sizeof(*block) + block->capacity,
                                   sizeof(*block) + capacity);
  if (moved == NULL) {
    release(parser, capacity - block->capacity);
    link_block(parser, block); /* to be freed with the others */
    longjmp(parser->no_memory, 1);
  }
  moved->capacity = capacity;
  link_block(parser, moved);
  return moved + 1;
}

static void yajl_release(void *context, void *data) {
  if (data == NULL)
    return;
  block_t *block = (block_t *)data - 1;
  unlink_block(context, block);
  release(context, block->capacity);
  au_block_free(block, sizeof(*block) + block->capacity);
}

void au_json_parser_reset(au_json_parser_t *parser) {
  block_t *block = parser->blocks.next;
  while (block != &parser->blocks) {
    block_t *next = block->next;
    au_block_free(block, sizeof(*block) + block->capacity);
    block = next;
  }
  parser->blocks.next = &parser->blocks;
  parser->blocks.previous = &parser->blocks;
  release(parser, parser->held);
  parser->held = 0;
  parser->handle = NULL;
}

/* --- the parser -----------------------------------------------------------*/

au_json_parser_t *au_json_parser_create(const yajl_callbacks *callbacks,
                                        void *context) {
  au_json_parser_t *parser = calloc(1, sizeof(*parser));
  if (parser == NULL)
    return NULL;
  parser->callbacks = callbacks;
  parser->context = context;
  parser->functions = (yajl_alloc_funcs){.malloc = yajl_malloc,
                                         .realloc = yajl_realloc,
                                         .free = yajl_release,
                                         .ctx = parser};
  parser->blocks.next = &parser->blocks;
  parser->blocks.previous = &parser->blocks;
  return parser;
}

void au_json_parser_charge(au_json_parser_t *parser, au_account_t *account) {
  parser->account = account;
}

void au_json_parser_destroy(au_json_parser_t *parser) {
  if (parser == NULL)
    return;
  au_json_parser_reset(parser);
  free(parser);
}

void au_json_parser_finish(au_json_parser_t *parser) {
  if (parser->held > KEEP_BYTES)
    au_json_parser_reset(parser);
}

static void make_handle(au_json_parser_t *parser) {
  parser->handle =
      yajl_alloc(parser->callbacks, &parser->functions, parser->context);
  (void)yajl_config(parser->handle, yajl_allow_multiple_values, 1);
  (void)yajl_config(parser->handle, yajl_dont_validate_strings, 1);
}

au_json_result_t au_json_parser_feed(au_json_parser_t *parser, const char *text,
                                     size_t size) {
  if (setjmp(parser->no_memory) != 0) {
    au_json_parser_reset(parser);
    return AU_JSON_NOMEM;
  }
  if (parser->handle == NULL)
    make_handle(parser);
  yajl_status status =
      yajl_parse(parser->handle, (const unsigned char *)text, size);
  if (status == yajl_status_client_canceled)
    return AU_JSON_CANCELED;
  return status == yajl_status_ok ? AU_JSON_OK : AU_JSON_INVALID;
}

/* --- errors ---------------------------------------------------------------*/

/* YAJL's texts by a part of each, ours, and where YAJL is then. */
typedef enum position {
  AT_BYTE,
  AFTER_BYTE,
  AFTER_TOKEN,
  AT_TOKEN /* but two bytes into a string */
} position_t;

static const struct {
  const char *part;
  const char *text;
  position_t position;
} errors[] = {
    {"before a character which it may not", "invalid escape in a string",
     AT_BYTE},
    {"non-hex", "invalid escape in a string", AT_BYTE},
    {"invalid character inside string", "control character in a string",
     AT_BYTE},
    {"malformed number", "malformed number", AT_BYTE},
    {"invalid string in json", "unexpected character", AT_BYTE},
    {"comment", "unexpected character", AT_BYTE},
    {"invalid char in json", "unexpected character", AFTER_BYTE},
    {"separated by a colon", "expected ':'", AFTER_TOKEN},
    {"inside map", "expected ',' or '}'", AT_TOKEN},
    {"after array element", "expected ',' or ']'", AFTER_TOKEN},
    {"invalid object key", "expected a key in double quotes", AFTER_TOKEN},
};

#define ERRORS (sizeof(errors) / sizeof(errors[0]))

/* The index of YAJL's error in "errors", or ERRORS for any other. */
static size_t find_error(au_json_parser_t *parser) {
  if (setjmp(parser->no_memory) != 0)
    return ERRORS; /* the place is reported all the same */
  unsigned char *text = yajl_get_error(parser->handle, 0, NULL, 0);
  size_t found = ERRORS;
  for (size_t i = 0; i < ERRORS && text != NULL; i++) {
    if (strstr((const char *)text, errors[i].part) != NULL) {
      found = i;
      break;
    }
  }
  yajl_free_error(parser->handle, text);
  return found;
}

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z') || c == '+' || c == '-' || c == '.';
}

/* Where the token ends that starts at "at", before "end" at the latest. */
static size_t token_end(const char *text, size_t at, size_t end) {
  char first = text[at++];
  if (first == '"') {
    while (at < end && text[at] != '"')
      at += text[at] == '\\' ? 2 : 1;
    return at < end ? at + 1 : end;
  }
  if (is_word(first))
    while (at < end && is_word(text[at]))
      at++;
  return at;
}

/* The start of the last token that starts before "end". */
static size_t last_token(const char *text, size_t end) {
  size_t start = 0;
  for (size_t at = 0; at < end;) {
    if (is_space(text[at])) {
      at++;
      continue;
    }
    start = at;
    at = token_end(text, at, end);
  }
  return start;
}

/* Whether the token at "start" follows a colon, and so is right. */
static bool is_value(const char *text, size_t start) {
  while (start > 0 && is_space(text[start - 1]))
    start--;
  return start > 0 && text[start - 1] == ':';
}

static size_t find_place(const char *text, size_t consumed,
                         position_t position) {
  if (consumed == 0 || position == AT_BYTE)
    return consumed;
  if (position == AFTER_BYTE)
    return consumed - 1;
  size_t token = last_token(text, consumed);
  if (position == AFTER_TOKEN)
    return token;
  bool is_string = token + 2 == consumed && text[token] == '"';
  return is_string && !is_value(text, token) ? token : consumed;
}

const char *au_json_parser_explain(au_json_parser_t *parser, const char *text,
                                   size_t size, size_t *out_offset) {
  size_t consumed = yajl_get_bytes_consumed(parser->handle);
  if (consumed > size)
    consumed = size;
  size_t error = find_error(parser);
  position_t position = error < ERRORS ? errors[error].position : AFTER_TOKEN;
  *out_offset = find_place(text, consumed, position);
  return error < ERRORS ? errors[error].text : "unexpected character";
}
