/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * framing - where a message begins and ends, judged strictly (RFC 9112): a
 * request that two programs may read as two different ones is refused, and its
 * connection closed, so that what follows is never run as a request.
 *
 * libmicrohttpd up to 0.9.76 lets pass what newer ones refuse by themselves. It
 * parses a header where it has come, and puts NUL bytes in the place of what
 * separates its parts. So where the parts lie shows what was between them, and
 * that is looked at here. What cannot be seen there is in docs/http.md.
 *
 * Threads: the request thread that has the connection.
 */
#ifndef AURORE_HTTP_FRAMING_H
#define AURORE_HTTP_FRAMING_H

#include "http/error_code.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What libmicrohttpd has for a connection: the header with an entry for each of
 * its fields, a piece of the body and then the head of the answer. It clears
 * all of it at each request. */
#define AU_CONNECTION_MEMORY ((size_t)16 << 10)
/* What is left of it for the head of the answer, which has 400 to 700 bytes,
 * and for as much of what follows the header as libmicrohttpd may have read. So
 * nothing is taken whose answer cannot be sent. */
#define AU_HEADER_MEMORY_MAX (AU_CONNECTION_MEMORY - 1792)
/* Fields, cookies and query parameters together. */
#define AU_HEADER_ENTRIES_MAX 100
#define AU_TARGET_BYTES_MAX ((size_t)8 << 10)

/* Why a request is refused; static. */
typedef struct au_framing_fault {
  au_error_code_t code;
  const char *message;
  bool fills_memory; /* there may be none left for the answer's head */
} au_framing_fault_t;

/* The target of a request line, before libmicrohttpd decodes it. */
typedef struct au_framing_target {
  const char *end;                 /* of its text */
  size_t path_at;                  /* after "http://host" */
  const au_framing_fault_t *fault; /* NULL: none */
} au_framing_target_t;

/* A request header as libmicrohttpd hands it over; borrowed. */
typedef struct au_framing_head {
  struct MHD_Connection *connection;
  const char *method;
  const char *url;
  const char *version;
  bool is_library_lenient;
} au_framing_head_t;

/* What the header says of the message. */
typedef struct au_framing {
  const char *path; /* borrowed, as the next; "/" when the line is at fault */
  const char *correlation_id; /* NULL: none */
  uint64_t content_length;    /* UINT64_MAX: none */
  bool is_chunked;
  bool has_expectation;
} au_framing_t;

/* Looks at a request line's target. Too many parameters are cut off, since
 * libmicrohttpd would have no memory for them and wait for ever. */
void au_framing_read_target(const char *target,
                            au_framing_target_t *out_target);

/* In one pass. NULL: all is well; else "out_framing" has what was found until
 * then. */
const au_framing_fault_t *au_framing_read(const au_framing_head_t *head,
                                          const au_framing_target_t *target,
                                          au_framing_t *out_framing);

/* The same for the trailer of a chunked body, when it has come. Its fields are
 * not used. */
const au_framing_fault_t *
au_framing_read_trailer(struct MHD_Connection *connection);

/* Whether libmicrohttpd is one that leaves the checks to us. One that does not
 * is told to be strict; an old one would then refuse a missing Host and a space
 * in a target, no more, and not as well as it is done here. */
bool au_framing_is_library_lenient(void);

#endif
