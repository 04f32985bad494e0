/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/. */
#include "http/reply.h"

#include "http/answer.h"
#include "http/private.h"

#include <stdlib.h>
#include <string.h>

#define CORRELATION_ID "X-Correlation-Id"
#define KEEP_ALIVE "Keep-Alive"

struct au_reply {
  au_reply_t *next;
  struct MHD_Response *response; /* its body is "body" */
  size_t size;
  bool is_used_up;
  char retry_after[AU_REPLY_RETRY_AFTER_SIZE];
  char
      correlation_id[AU_CORRELATION_ID_MAX + 1]; /* "": it has no such header */
  char body[AU_REPLY_BODY_MAX];
};

/* As in answer.c: an answer without it is better than none. */
static void add(au_reply_t *reply, const char *name, const char *value) {
  if (*value != '\0')
    (void)MHD_add_response_header(reply->response, name, value);
}

static void destroy(au_reply_t *reply) {
  MHD_destroy_response(reply->response);
  free(reply);
}

static au_reply_t *make(const au_reply_text_t *text) {
  au_reply_t *reply = calloc(1, sizeof(*reply));
  if (reply == NULL)
    return NULL;
  reply->response = MHD_create_response_from_buffer(text->size, reply->body,
                                                    MHD_RESPMEM_PERSISTENT);
  if (reply->response == NULL) {
    free(reply);
    return NULL;
  }
  reply->size = text->size;
  memcpy(reply->retry_after, text->retry_after, strlen(text->retry_after) + 1);
  add(reply, MHD_HTTP_HEADER_CONTENT_TYPE, AU_JSON_TYPE);
  add(reply, "X-Content-Type-Options", "nosniff");
  add(reply, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  add(reply, MHD_HTTP_HEADER_RETRY_AFTER, text->retry_after);
  add(reply, KEEP_ALIVE, text->keep_alive);
  return reply;
}

static au_reply_t *find(au_replies_t *replies, const au_reply_text_t *text) {
  for (au_reply_t **at = &replies->first; *at != NULL; at = &(*at)->next) {
    au_reply_t *reply = *at;
    if (reply->size != text->size ||
        strcmp(reply->retry_after, text->retry_after) != 0)
      continue;
    *at = reply->next;
    replies->count--;
    return reply;
  }
  return NULL;
}

static void correlate(au_reply_t *reply, const char *id) {
  if (*reply->correlation_id != '\0')
    (void)MHD_del_response_header(reply->response, CORRELATION_ID,
                                  reply->correlation_id);
  bool is_added =
      MHD_add_response_header(reply->response, CORRELATION_ID, id) == MHD_YES;
  memcpy(reply->correlation_id, is_added ? id : "",
         is_added ? strlen(id) + 1 : 1);
}

au_reply_t *au_reply_take(au_replies_t *replies, const au_reply_text_t *text) {
  au_reply_t *reply = find(replies, text);
  if (reply == NULL)
    reply = make(text);
  if (reply == NULL)
    return NULL;
  memcpy(reply->body, text->body, text->size);
  correlate(reply, text->correlation_id);
  return reply;
}

struct MHD_Response *au_reply_response(const au_reply_t *reply) {
  return reply->response;
}

void au_reply_end_keep_alive(au_reply_t *reply, const char *keep_alive) {
  reply->is_used_up = true;
  (void)MHD_del_response_header(reply->response, KEEP_ALIVE, keep_alive);
}

/* The one that was not used for longest. */
static void drop_last(au_replies_t *replies) {
  au_reply_t **at = &replies->first;
  while ((*at)->next != NULL)
    at = &(*at)->next;
  destroy(*at);
  *at = NULL;
  replies->count--;
}

void au_reply_give_back(au_replies_t *replies, au_reply_t *reply) {
  if (reply->is_used_up) {
    destroy(reply);
    return;
  }
  if (replies->count == AU_REPLIES_MAX)
    drop_last(replies);
  reply->next = replies->first;
  replies->first = reply;
  replies->count++;
}

void au_replies_fini(au_replies_t *replies) {
  while (replies->first != NULL) {
    au_reply_t *reply = replies->first;
    replies->first = reply->next;
    destroy(reply);
  }
  replies->count = 0;
}
