/* SPDX-License-Identifier: MIT
 *
 * events_post - POST /events: from the header to the answer.
 *
 * The body is parsed where libmicrohttpd has it when it came in one piece;
 * accepted events are rows by then. They are appended as one group: all of them
 * or none. With durability "commit" the request is suspended until they are on
 * disk.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strcasestr */
#endif

#include "api/routes.h"

#include "base/clock.h"
#include "base/gzip.h"
#include "base/json.h"
#include "base/timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TOO_LARGE "request entity too large"
/* The answer to one event fits. */
#define ACCEPTED_SIZE 128

static void reject(au_reason_t reason, uint64_t events) {
  au_metrics_count(AU_M_EVENTS_REJECTED, reason, events > 0 ? events : 1);
}

static enum MHD_Result answer_too_large(au_request_t *request,
                                        const char *message) {
  reject(AU_REASON_TOO_LARGE, 0);
  return au_answer_status(request, MHD_HTTP_CONTENT_TOO_LARGE, message, NULL,
                          NULL);
}

static enum MHD_Result answer_unavailable(au_request_t *request,
                                          const char *message,
                                          uint64_t events) {
  reject(AU_REASON_UNAVAILABLE, events);
  return au_answer_unavailable(request, message);
}

/* Compares a header's value up to its parameters. */
static bool is_type(const char *value, const char *type) {
  size_t size = strlen(type);
  if (strncasecmp(value, type, size) != 0)
    return false;
  value += size;
  value += strspn(value, " \t");
  return *value == '\0' || *value == ';';
}

/* A charset that is named must be UTF-8. */
static bool is_charset_good(const char *value) {
  const char *at = strcasestr(value, "charset=");
  if (at == NULL)
    return true;
  at += strlen("charset=");
  at += *at == '"';
  size_t size = strcspn(at, "\"; \t");
  return (size == 5 && strncasecmp(at, "utf-8", size) == 0) ||
         (size == 4 && strncasecmp(at, "utf8", size) == 0);
}

static bool judge_type(au_request_t *request) {
  const char *type = au_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
  request->is_ndjson = type != NULL && is_type(type, "application/x-ndjson");
  if (type != NULL && is_charset_good(type) &&
      (request->is_ndjson || is_type(type, "application/json")))
    return true;
  reject(AU_REASON_INVALID, 0);
  (void)au_answer_status(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                         "Content-Type must be application/json or "
                         "application/x-ndjson, in UTF-8",
                         "Unsupported Media Type", NULL);
  return false;
}

static bool judge_coding(au_request_t *request) {
  const char *coding =
      au_request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING);
  if (coding == NULL || strcasecmp(coding, "identity") == 0)
    return true;
  request->is_gzip =
      strcasecmp(coding, "gzip") == 0 || strcasecmp(coding, "x-gzip") == 0;
  if (request->is_gzip)
    return true;
  reject(AU_REASON_INVALID, 0);
  (void)au_answer_status(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                         "Content-Encoding must be gzip or identity",
                         "Unsupported Media Type", NULL);
  return false;
}

static bool judge_length(au_request_t *request) {
  const char *text = au_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
  if (text == NULL)
    return true;
  errno = 0;
  uint64_t length = strtoull(text, NULL, 10);
  if (errno == 0 &&
      length <= au_http_options(request->http)->limits.max_body_bytes) {
    request->content_length = length;
    return true;
  }
  (void)answer_too_large(request, TOO_LARGE);
  return false;
}

/* One of the preferences of RFC 7240, separated by commas. */
static bool prefers_minimal(const char *value) {
  static const char name[] = "return=";
  for (; *value != '\0'; value += strcspn(value, ",")) {
    value += strspn(value, ", \t");
    if (strncasecmp(value, name, sizeof(name) - 1) != 0)
      continue;
    const char *is = value + sizeof(name) - 1;
    is += *is == '"';
    size_t size = strcspn(is, "\",; \t");
    if (size == strlen("minimal") && strncasecmp(is, "minimal", size) == 0)
      return true;
  }
  return false;
}

/* There may be several of these headers. */
static enum MHD_Result take_preference(void *cls, enum MHD_ValueKind kind,
                                       const char *name, const char *value) {
  (void)kind;
  au_request_t *request = cls;
  if (value != NULL && strcasecmp(name, "Prefer") == 0 &&
      prefers_minimal(value))
    request->is_minimal = true;
  return MHD_YES;
}

static enum MHD_Result answer_limited(au_request_t *request, unsigned seconds,
                                      uint64_t events) {
  char text[16];
  snprintf(text, sizeof(text), "%u", seconds);
  const char *const headers[] = {MHD_HTTP_HEADER_RETRY_AFTER, text, NULL};
  reject(AU_REASON_RATE_LIMITED, events);
  return au_answer_status(request, MHD_HTTP_TOO_MANY_REQUESTS,
                          "Too Many Requests", NULL, headers);
}

/* When not even one event may pass, the body is not looked at. */
static bool judge_rate(au_request_t *request) {
  unsigned wait_s = au_http_limit_look(request);
  if (wait_s > 0)
    (void)answer_limited(request, wait_s, 1);
  return wait_s == 0;
}

bool au_route_events_begin(au_request_t *request) {
  if (au_http_is_quiescing(request->http)) {
    (void)answer_unavailable(request, "shutting down", 0);
    return false;
  }
  (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND,
                                  take_preference, request);
  return judge_type(request) && judge_coding(request) &&
         judge_length(request) && judge_rate(request);
}

void au_route_events_parse(au_request_t *request, const char *body,
                           size_t size) {
  request->is_parsed = true;
  request->parsed = AU_INGEST_NOMEM;
  if (!au_http_take_ingest(request))
    return;
  request->accepted_us = au_clock_wall_us();
  request->parsed = au_ingest_parse(
      request->ingest, request->is_ndjson ? AU_INGEST_NDJSON : AU_INGEST_JSON,
      body, size, request->accepted_us);
}

/* Parses what was gathered; false: the request has been answered. */
static bool parse_gathered(au_request_t *request, enum MHD_Result *result) {
  au_bytes_t *body = &request->body;
  au_bytes_t inflated = AU_BYTES_INIT;
  if (request->is_gzip) {
    au_status_t status = au_gzip_inflate(
        body->data, body->size,
        au_http_options(request->http)->limits.max_body_bytes, &inflated);
    if (status != AU_OK) {
      au_bytes_fini(&inflated);
      if (status == AU_FULL)
        *result = answer_too_large(request, TOO_LARGE);
      else if (status == AU_NOMEM)
        *result = answer_unavailable(request, "out of memory", 0);
      else {
        reject(AU_REASON_INVALID, 0);
        *result =
            au_answer_status(request, MHD_HTTP_BAD_REQUEST,
                             "the body is not valid gzip", "Bad Request", NULL);
      }
      return false;
    }
    body = &inflated;
  }
  au_route_events_parse(request, body->size > 0 ? (const char *)body->data : "",
                        body->size);
  au_bytes_fini(&inflated);
  au_bytes_fini(&request->body);
  return true;
}

static enum MHD_Result answer_malformed(au_request_t *request) {
  const au_ingest_t *ingest = request->ingest;
  switch (request->parsed) {
  case AU_INGEST_TOO_MANY: {
    char message[128];
    snprintf(message, sizeof(message), "more than %zu events in one request",
             au_http_options(request->http)->limits.max_batch_events);
    return answer_too_large(request, message);
  }
  case AU_INGEST_MALFORMED:
    reject(AU_REASON_INVALID, 0);
    return au_answer_status(request, MHD_HTTP_BAD_REQUEST, ingest->message,
                            "Bad Request", NULL);
  case AU_INGEST_NOMEM:
  case AU_INGEST_DONE:
    break;
  }
  return answer_unavailable(request, "out of memory", 0);
}

static void put_errors(au_bytes_t *body, const au_ingest_t *ingest) {
  au_bytes_put_string(body, "\"errors\":");
  const char *json = (const char *)ingest->errors_json.data;
  if (ingest->is_single && ingest->errors_count == 1) {
    au_bytes_put(body, json + ingest->errors[0].offset, ingest->errors[0].size);
    return;
  }
  au_bytes_put_u8(body, '[');
  for (size_t i = 0; i < ingest->errors_count; i++) {
    const au_ingest_error_t *error = &ingest->errors[i];
    au_bytes_printf(body, "%s{\"index\":%zu,\"errors\":", i > 0 ? "," : "",
                    error->index);
    au_bytes_put(body, json + error->offset, error->size);
    au_bytes_put_u8(body, '}');
  }
  au_bytes_put_u8(body, ']');
}

static enum MHD_Result answer_refused(au_request_t *request) {
  const au_ingest_t *ingest = request->ingest;
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_put_string(&body,
                      "{\"status\":\"error\",\"message\":\"Invalid event "
                      "schema\",\"errorCode\":\"INVALID_EVENT\",");
  if (ingest->total == 0)
    au_bytes_put_string(&body,
                        "\"errors\":[{\"field\":\"events\",\"constraints\":{"
                        "\"isNotEmpty\":\"at least one event is required\"}}]");
  else
    put_errors(&body, ingest);
  au_bytes_put_u8(&body, '}');
  return au_answer(request, MHD_HTTP_BAD_REQUEST, AU_JSON_TYPE, &body, NULL);
}

static void put_id(au_bytes_t *body, const au_uuid_t *id) {
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(id, text);
  au_bytes_put_u8(body, '"');
  au_bytes_put(body, text, AU_UUID_TEXT_SIZE - 1);
  au_bytes_put_u8(body, '"');
}

/* null stands at the index of an event that was refused. */
static void put_ids(au_bytes_t *body, const au_ingest_t *ingest) {
  au_bytes_put_string(body, ",\"event_ids\":[");
  size_t id = 0;
  size_t error = 0;
  for (size_t index = 0; index < ingest->total; index++) {
    if (index > 0)
      au_bytes_put_u8(body, ',');
    if (error < ingest->errors_count && ingest->errors[error].index == index) {
      error++;
      au_bytes_put_string(body, "null");
    } else {
      put_id(body, &ingest->ids[id++]);
    }
  }
  au_bytes_put_u8(body, ']');
}

/* Says what was accepted, if it is: "accepted_us" and the ingest are all it
 * needs. */
static void put_accepted(au_request_t *request) {
  const au_ingest_t *ingest = request->ingest;
  bool is_partial = ingest->errors_count > 0;
  bool has_ids = !request->is_minimal;
  au_bytes_t *body = &request->accepted;
  au_bytes_reserve(body, ACCEPTED_SIZE);
  au_bytes_put_string(body, is_partial ? "{\"status\":\"partial\""
                                       : "{\"status\":\"accepted\"");
  if (!ingest->is_single)
    au_bytes_printf(body, ",\"accepted\":%zu,\"rejected\":%zu",
                    ingest->rows.count, ingest->errors_count);
  if (has_ids && ingest->is_single) {
    au_bytes_put_string(body, ",\"event_id\":");
    put_id(body, &ingest->ids[0]);
  } else if (has_ids) {
    put_ids(body, ingest);
  }
  if (is_partial) {
    au_bytes_put_u8(body, ',');
    put_errors(body, ingest);
  }
  char time[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(request->accepted_us, time);
  au_bytes_put_string(body, ",\"queued_at\":\"");
  au_bytes_put_string(body, time);
  au_bytes_put_string(body, "\"}");
}

static enum MHD_Result answer_accepted(au_request_t *request) {
  static const char *const minimal[] = {"Preference-Applied", "return=minimal",
                                        NULL};
  if (request->refused > 0)
    reject(AU_REASON_INVALID, request->refused);
  return au_answer(
      request, request->refused > 0 ? MHD_HTTP_MULTI_STATUS : MHD_HTTP_ACCEPTED,
      AU_JSON_TYPE, &request->accepted, request->is_minimal ? minimal : NULL);
}

static enum MHD_Result answer_full(au_request_t *request) {
  unsigned seconds = au_buffer_retry_after_s(au_http_buffer(request->http));
  char text[16];
  snprintf(text, sizeof(text), "%u", seconds);
  const char *const headers[] = {MHD_HTTP_HEADER_RETRY_AFTER, text, NULL};
  au_bytes_t body = AU_BYTES_INIT;
  au_bytes_printf(&body,
                  "{\"status\":\"rate_limited\",\"message\":\"Buffer is full. "
                  "Please retry in a few seconds.\",\"retry_after\":%u,"
                  "\"errorCode\":\"BUFFER_SATURATED\"}",
                  seconds);
  return au_answer(request, MHD_HTTP_TOO_MANY_REQUESTS, AU_JSON_TYPE, &body,
                   headers);
}

enum MHD_Result au_answer_not_appended(au_request_t *request,
                                       au_status_t status) {
  uint64_t events = request->events;
  switch (status) {
  case AU_FULL:
    return answer_full(request);
  case AU_CLOSED:
    return answer_unavailable(request, "shutting down", events);
  case AU_NOMEM:
    return answer_unavailable(request, "out of memory", events);
  case AU_OK:
  case AU_IO:
  case AU_PENDING:
  case AU_INVALID:
  case AU_UNAVAILABLE:
  case AU_FENCED:
    break;
  }
  return answer_unavailable(request, "the events could not be stored safely",
                            events);
}

static enum MHD_Result answer_told(au_request_t *request) {
  return request->told == AU_OK
             ? answer_accepted(request)
             : au_answer_not_appended(request, request->told);
}

static enum MHD_Result append(au_request_t *request) {
  const au_rows_t *rows = &request->ingest->rows;
  request->events = rows->count;
  request->refused = request->ingest->errors_count;
  unsigned wait_s = au_http_limit_events(request, request->events);
  if (wait_s > 0)
    return answer_limited(request, wait_s, request->events);
  put_accepted(request); /* before a wait: the ingest is not kept over it */
  return au_request_append(request, rows, answer_told);
}

enum MHD_Result au_route_events_run(au_request_t *request) {
  enum MHD_Result result = MHD_NO;
  if (request->is_too_large)
    return answer_too_large(request, TOO_LARGE);
  if (request->is_crowded_out)
    return answer_unavailable(request, "too many large requests at a time", 0);
  if (!request->is_parsed && !parse_gathered(request, &result))
    return result;
  if (request->parsed != AU_INGEST_DONE)
    return answer_malformed(request);
  if (request->ingest->rows.count > 0)
    return append(request);
  reject(AU_REASON_INVALID, request->ingest->errors_count);
  return answer_refused(request);
}
