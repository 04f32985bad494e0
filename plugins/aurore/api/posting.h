/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * posting - how the query string of POST /events says that its events are read
 * and answered. One is made for each query string, and kept: senders use one
 * for all that they send.
 *
 * Threads: take and give_back from any.
 */
#ifndef AURORE_API_POSTING_H
#define AURORE_API_POSTING_H

#include "config/options.h"
#include "event/reader.h"
#include "event/shape.h"
#include "http/request.h"

#include <pthread.h>

/* That are kept. */
#define AU_POSTINGS_MAX 32
/* A longer query string is read each time. */
#define AU_POSTING_KEY_MAX ((size_t)1 << 10)

typedef enum au_once {
  AU_ONCE_UNSAID, /* the parameter is not given: the option holds */
  AU_ONCE_NONE,
  AU_ONCE_REQUEST
} au_once_t;

typedef struct au_posting {
  au_shape_t shape;
  au_once_t once;
  unsigned accepted_status; /* 0: 202 or 207 */
  /* Private. */
  au_bytes_t key;   /* the parameters; empty: it is not kept */
  unsigned users;   /* that have taken it, and the list */
  uint64_t used_at; /* the number of the last take */
} au_posting_t;

typedef struct au_postings {
  const au_options_t *options; /* borrowed */
  au_posting_t usual;          /* of requests without parameters */
  pthread_mutex_t lock;        /* protects: the rest, and users of each */
  uint64_t takes;
  au_posting_t *kept[AU_POSTINGS_MAX];
  unsigned count;
} au_postings_t;

/* "options" is borrowed until fini. */
void au_postings_init(au_postings_t *postings, const au_options_t *options);
/* Every one must have been given back. */
void au_postings_fini(au_postings_t *postings);

/* That of the request, to be read until it is given back; what is wrong with
 * its parameters is added to "refusals". NULL: something is, or (nothing was
 * added) out of memory. */
au_posting_t *au_postings_take(au_postings_t *postings, au_request_t *request,
                               au_refusals_t *refusals);
/* NULL: nothing. */
void au_postings_give_back(au_postings_t *postings, au_posting_t *posting);

/* The format of the body of a request, by its header. false: it has a type that
 * is not taken. */
bool au_posting_find_format(const au_posting_t *posting,
                            const au_request_t *request,
                            au_format_t *out_format);

#endif
