/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * reply - short answers that are used again. For each header of an answer
 * libmicrohttpd allocates three times, which is a fifth of what an event costs
 * that comes alone. Answers to different requests hardly differ: a reply is one
 * with its headers, which is given another body of the same size and another
 * correlation id.
 *
 *   take ──► the request holds it, until libmicrohttpd is done ──► give_back
 *
 * A loop keeps a few, the one that was used last first.
 *
 * Threads: that of the loop.
 */
#ifndef AURORE_HTTP_REPLY_H
#define AURORE_HTTP_REPLY_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

/* The largest body, which is not charged to the request. */
#define AU_REPLY_BODY_MAX ((size_t)256)
/* With its NUL. */
#define AU_REPLY_RETRY_AFTER_SIZE 16
/* Kept by a loop. */
#define AU_REPLIES_MAX 32

typedef struct au_reply au_reply_t;

typedef struct au_replies {
  au_reply_t *first;
  unsigned count;
} au_replies_t;

/* What its client is told; all is borrowed for the call. */
typedef struct au_reply_text {
  const void *body; /* JSON */
  size_t size;      /* at most AU_REPLY_BODY_MAX, and not 0 */
  const char *correlation_id;
  const char *retry_after; /* "" for no such header; shorter than
                              AU_REPLY_RETRY_AFTER_SIZE */
  const char *keep_alive; /* "" for no such header; of a loop always the same */
} au_reply_text_t;

/* NULL: out of memory. */
au_reply_t *au_reply_take(au_replies_t *replies, const au_reply_text_t *text);
void au_reply_give_back(au_replies_t *replies, au_reply_t *reply);

/* What is to be sent; the reply's own. */
struct MHD_Response *au_reply_response(const au_reply_t *reply);

/* Takes the header Keep-Alive out: the connection does not stay open after all.
 * The reply is not used again. */
void au_reply_end_keep_alive(au_reply_t *reply, const char *keep_alive);

void au_replies_fini(au_replies_t *replies);

#endif
