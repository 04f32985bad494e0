/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * events_post - POST /events: from the header to the answer.
 *
 * The body is parsed where the server has it; accepted events are rows by then.
 * They are appended as one group: all of them or none. With durability "commit"
 * the request waits until they are on disk, without the memory that parsing
 * took.
 */
#include "api/routes.h"

#include "api/append.h"
#include "api/cloudevents.h"
#include "api/naming.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/timestamp.h"
#include "http/coding.h"
#include "http/preference.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The answer to one event fits. */
#define ACCEPTED_SIZE 128
/* The longest wait for the database that a client can ask for. */
#define WAIT_MAX_S 30
/* Preference-Applied, X-Rejected, and the end. */
#define HEADERS_MAX 5

/* What the client would like (header Prefer). */
typedef struct preferences {
  bool has_return;
  bool has_wait;
  bool is_minimal; /* return=minimal */
  unsigned wait_s; /* wait=N: until the events are stored; 0: not */
} preferences_t;

typedef struct post {
  /* From the header. */
  au_content_coding_t coding;
  au_posting_t *posting; /* borrowed; NULL: its query is refused */
  au_key_t key;
  au_format_t format;
  preferences_t prefers;
  bool has_trace;
  au_trace_t trace; /* that the events will bear */

  /* From the body. */
  au_status_t body;    /* AU_OK: "parsed" is valid; else see answer_no_body */
  au_reader_t *reader; /* borrowed from the pool; NULL: none */
  au_intake_result_t parsed;
  int64_t accepted_us; /* queued_at */

  /* What the reader found; it is given back before a wait. */
  int64_t received_ns;
  uint64_t events;     /* that were appended */
  uint64_t refused;    /* that were not */
  au_bytes_t accepted; /* the answer, if they are stored */
  au_append_t append;
} post_t;

static void reject(au_reason_t reason, uint64_t events) {
  au_metrics_count(AU_M_EVENTS_REJECTED, reason, events > 0 ? events : 1);
}

static enum MHD_Result answer_too_large(au_request_t *request) {
  reject(AU_REASON_TOO_LARGE, 0);
  return au_answer_refusal(request, AU_ERROR_BODY_TOO_LARGE,
                           "request entity too large", NULL);
}

static enum MHD_Result answer_unavailable(au_request_t *request,
                                          const char *message,
                                          uint64_t events) {
  reject(AU_REASON_UNAVAILABLE, events);
  return au_answer_unavailable(request, message);
}

/* How the request wants to be read, and answered. */
static bool check_query(au_request_t *request) {
  post_t *post = au_request_state(request);
  au_refusals_t refusals = {.count = 0};
  post->posting =
      au_postings_take(&au_api_of(request)->postings, request, &refusals);
  if (post->posting != NULL) {
    au_refusals_fini(&refusals);
    return true;
  }
  if (refusals.count == 0) {
    au_refusals_fini(&refusals);
    (void)answer_unavailable(request, AU_NO_MEMORY, 0);
    return false;
  }
  reject(AU_REASON_INVALID, 0);
  (void)au_answer_refused(request, &refusals);
  return false;
}

static bool check_key(au_request_t *request) {
  post_t *post = au_request_state(request);
  if (post->format == AU_FORMAT_CLOUDEVENTS || /* which has ids */
      au_key_read(request, &post->key))
    return true;
  au_bytes_t body = {.account = au_request_account(request)};
  au_error_put(&body, AU_ERROR_INVALID_HEADER, "Invalid header");
  au_bytes_put_string(
      &body, ",\"errors\":[{\"field\":\"Idempotency-Key\","
             "\"constraints\":{\"isIdempotencyKey\":\"" AU_KEY_TEXT "\"}}]}");
  reject(AU_REASON_INVALID, 0);
  (void)au_answer_refusal_body(request, AU_ERROR_INVALID_HEADER, &body, NULL);
  return false;
}

static bool find_format(au_request_t *request) {
  post_t *post = au_request_state(request);
  bool is_taken = false;
  if (!au_cloudevents_is_request(request, &is_taken))
    return au_posting_find_format(post->posting, request, &post->format);
  post->format = AU_FORMAT_CLOUDEVENTS;
  return is_taken;
}

static bool check_type(au_request_t *request) {
  if (find_format(request))
    return true;
  reject(AU_REASON_INVALID, 0);
  (void)au_answer_refusal(request, AU_ERROR_UNSUPPORTED_TYPE,
                          "Content-Type must be application/json, "
                          "application/x-ndjson or one of CloudEvents in JSON, "
                          "in UTF-8",
                          NULL);
  return false;
}

static bool check_coding(au_request_t *request) {
  post_t *post = au_request_state(request);
  const char *coding =
      au_request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING);
  post->coding = au_content_coding_read(coding);
  if (post->coding != AU_CONTENT_UNKNOWN)
    return true;
  reject(AU_REASON_INVALID, 0);
  (void)au_answer_refusal(request, AU_ERROR_UNSUPPORTED_CODING,
                          "Content-Encoding must be " AU_CONTENT_CODINGS, NULL);
  return false;
}

static bool check_length(au_request_t *request) {
  uint64_t length = au_request_content_length(request);
  if (length == AU_LENGTH_UNKNOWN ||
      length <= au_api_of(request)->options->limits.max_body_bytes)
    return true;
  (void)answer_too_large(request);
  return false;
}

/* Whole seconds within the bounds; 0: it is something else. */
static unsigned seconds_of(const char *text) {
  size_t size = strspn(text, "0123456789");
  unsigned long seconds =
      size > 0 && text[size] == '\0' && size < 10 ? strtoul(text, NULL, 10) : 0;
  return seconds <= WAIT_MAX_S ? (unsigned)seconds : 0;
}

/* There may be several of these headers; of a preference the first one counts.
 */
static enum MHD_Result take_preference(void *cls, enum MHD_ValueKind kind,
                                       const char *name, const char *value) {
  (void)kind;
  preferences_t *preferences = cls;
  char text[AU_PREFERENCE_SIZE];
  if (value == NULL || strcasecmp(name, "Prefer") != 0)
    return MHD_YES;
  if (!preferences->has_return && au_preference_find(value, "return", text)) {
    preferences->has_return = true;
    preferences->is_minimal = strcasecmp(text, "minimal") == 0;
  }
  if (!preferences->has_wait && au_preference_find(value, "wait", text)) {
    preferences->has_wait = true;
    preferences->wait_s = seconds_of(text);
  }
  return MHD_YES;
}

static enum MHD_Result answer_limited(au_request_t *request, unsigned seconds,
                                      uint64_t events) {
  char text[AU_NUMBER_SIZE];
  (void)au_number_format(seconds, text);
  const char *const headers[] = {MHD_HTTP_HEADER_RETRY_AFTER, text, NULL};
  reject(AU_REASON_RATE_LIMITED, events);
  return au_answer_refusal(request, AU_ERROR_RATE_LIMITED, "Too Many Requests",
                           headers);
}

/* When not even one event may pass, the body is not read. */
static bool check_rate(au_request_t *request) {
  unsigned wait_s = au_request_limit_check(request);
  if (wait_s > 0)
    (void)answer_limited(request, wait_s, 1);
  return wait_s == 0;
}

/* The body is not read either when nothing of it could be taken. */
static bool check_buffer(au_request_t *request) {
  au_status_t status = au_append_check(au_api_of(request));
  if (status == AU_OK)
    return true;
  (void)au_answer_not_appended(request, status, 1);
  return false;
}

static bool begin(au_request_t *request) {
  post_t *post = au_request_state(request);
  if (au_http_is_quiescing(au_request_server(request))) {
    (void)answer_unavailable(request, "shutting down", 0);
    return false;
  }
  if (!check_rate(request))
    return false;
  (void)MHD_get_connection_values(au_request_connection(request),
                                  MHD_HEADER_KIND, take_preference,
                                  &post->prefers);
  if (au_api_of(request)->options->trace_context)
    post->has_trace =
        au_trace_read(au_request_header(request, "traceparent"), &post->trace);
  if (check_query(request) && check_type(request) && check_key(request) &&
      check_coding(request) && check_length(request) && check_buffer(request))
    return true;
  (void)au_request_limit(request, 1); /* it counts as an event */
  return false;
}

static void give_back_reader(au_request_t *request) {
  post_t *post = au_request_state(request);
  if (post->reader == NULL)
    return;
  au_request_lend_end(&post->reader->account);
  au_reader_pool_give_back(&au_api_of(request)->readers, post->reader);
  post->reader = NULL;
}

/* By its bytes, if it has no key. */
static bool is_named(const au_request_t *request, const post_t *post) {
  if (post->format == AU_FORMAT_CLOUDEVENTS)
    return false;
  switch (post->posting->once) {
  case AU_ONCE_NONE:
    return false;
  case AU_ONCE_REQUEST:
    return true;
  case AU_ONCE_UNSAID:
  default:
    return au_api_of(request)->options->once_by_bytes;
  }
}

static au_status_t parse(au_request_t *request, const char *body, size_t size) {
  post_t *post = au_request_state(request);
  au_api_t *api = au_api_of(request);
  au_naming_t naming;
  au_status_t status = au_naming_make(
      request, &post->key, is_named(request, post), body, size, &naming);
  if (status != AU_OK)
    return status;
  post->reader = au_reader_pool_take(&api->readers);
  if (post->reader == NULL)
    return AU_NOMEM;
  if (!au_request_lend(request, &post->reader->account, size)) {
    give_back_reader(request);
    return AU_NOMEM;
  }
  const au_shape_t *shape = &post->posting->shape;
  au_cloudevents_request_t cloudevents;
  if (post->has_trace)
    au_reader_trace(post->reader, &post->trace);
  post->accepted_us = au_clock_wall_us();
  if (post->format == AU_FORMAT_CLOUDEVENTS) {
    au_cloudevents_read_header(request, shape->is_lenient, &cloudevents);
    au_reader_cloudevents(post->reader, &cloudevents.form);
  } else {
    au_reader_shape(post->reader, shape);
    au_reader_name(post->reader, &naming);
  }
  post->parsed =
      au_reader_read(post->reader, post->format, body, size, post->accepted_us);
  return AU_OK;
}

static void take_body(au_request_t *request, au_status_t status,
                      const char *data, size_t size) {
  post_t *post = au_request_state(request);
  const au_limits_t *limits = &au_api_of(request)->options->limits;
  au_bytes_t inflated = {.account = au_request_account(request)};
  if (status == AU_OK && post->coding != AU_CONTENT_IDENTITY) {
    status = au_content_inflate(post->coding, data, size,
                                limits->max_body_bytes, &inflated);
    data = inflated.size > 0 ? (const char *)inflated.data : "";
    size = inflated.size;
  }
  post->body = status == AU_OK ? parse(request, data, size) : status;
  au_bytes_fini(&inflated);
}

/* There is nothing that was parsed. */
static enum MHD_Result answer_no_body(au_request_t *request,
                                      au_status_t status) {
  if (status == AU_FULL)
    return answer_too_large(request);
  if (status != AU_INVALID)
    return answer_unavailable(request, AU_NO_MEMORY, 0);
  reject(AU_REASON_INVALID, 0);
  return au_answer_refusal(request, AU_ERROR_MALFORMED_CODING,
                           "the body is not what Content-Encoding says", NULL);
}

static enum MHD_Result answer_malformed(au_request_t *request) {
  const post_t *post = au_request_state(request);
  switch (post->parsed) {
  case AU_INTAKE_TOO_MANY: {
    char message[128];
    snprintf(message, sizeof(message), "more than %zu events in one request",
             au_api_of(request)->options->limits.max_batch_events);
    reject(AU_REASON_TOO_LARGE, 0);
    return au_answer_refusal(request, AU_ERROR_TOO_MANY_EVENTS, message, NULL);
  }
  case AU_INTAKE_MALFORMED:
    reject(AU_REASON_INVALID, 0);
    return au_answer_refusal(request, AU_ERROR_MALFORMED_JSON,
                             post->reader->intake.message, NULL);
  case AU_INTAKE_NOMEM:
  case AU_INTAKE_DONE:
    break;
  }
  return answer_unavailable(request, AU_NO_MEMORY, 0);
}

/* Fields of an event, or events, that are not in the list before. */
static void put_omitted(au_bytes_t *body, const char *name, size_t count) {
  if (count > 0)
    au_bytes_printf(body, ",\"%s\":%zu", name, count);
}

static void put_error(au_bytes_t *body, const au_intake_t *intake,
                      const au_intake_error_t *error) {
  au_bytes_put_string(body, "\"errors\":");
  au_bytes_put(body, intake->errors_json.data + error->offset, error->size);
  put_omitted(body, "fieldsOmitted", error->fields_omitted);
}

/* "errors", and how many are left out of it: the intake bounds both. */
static void put_errors(au_bytes_t *body, const au_intake_t *intake) {
  if (intake->is_single && intake->errors_listed == 1) {
    put_error(body, intake, &intake->errors[0]);
    return;
  }
  au_bytes_put_string(body, "\"errors\":[");
  for (size_t i = 0; i < intake->errors_listed; i++) {
    const au_intake_error_t *error = &intake->errors[i];
    au_bytes_printf(body, "%s{\"index\":%zu,", i > 0 ? "," : "", error->index);
    put_error(body, intake, error);
    au_bytes_put_u8(body, '}');
  }
  au_bytes_put_u8(body, ']');
  put_omitted(body, "errorsOmitted",
              intake->errors_count - intake->errors_listed);
}

static enum MHD_Result answer_refused(au_request_t *request) {
  const post_t *post = au_request_state(request);
  const au_intake_t *intake = &post->reader->intake;
  au_bytes_t body = {.account = au_request_account(request)};
  au_error_put(&body, AU_ERROR_INVALID_EVENT, "Invalid event schema");
  au_bytes_put_u8(&body, ',');
  if (intake->total == 0)
    au_bytes_put_string(&body,
                        "\"errors\":[{\"field\":\"events\",\"constraints\":{"
                        "\"isNotEmpty\":\"at least one event is required\"}}]");
  else
    put_errors(&body, intake);
  au_bytes_put_u8(&body, '}');
  return au_answer_refusal_body(request, AU_ERROR_INVALID_EVENT, &body, NULL);
}

static void put_id(au_bytes_t *body, const au_uuid_t *id) {
  char text[AU_UUID_TEXT_SIZE];
  au_uuid_format(id, text);
  au_bytes_put_u8(body, '"');
  au_bytes_put(body, text, AU_UUID_TEXT_SIZE - 1);
  au_bytes_put_u8(body, '"');
}

/* An event that was refused has null at its index. */
static void put_ids(au_bytes_t *body, const au_intake_t *intake) {
  au_bytes_put_string(body, ",\"event_ids\":[");
  size_t id = 0;
  for (size_t index = 0; index < intake->total; index++) {
    if (index > 0)
      au_bytes_put_u8(body, ',');
    if (au_intake_is_refused(intake, index))
      au_bytes_put_string(body, "null");
    else
      put_id(body, &intake->ids[id++]);
  }
  au_bytes_put_u8(body, ']');
}

/* The answer in case that the events are stored. */
static void put_accepted(au_request_t *request) {
  post_t *post = au_request_state(request);
  const au_intake_t *intake = &post->reader->intake;
  bool is_partial = intake->errors_count > 0;
  bool has_ids = !post->prefers.is_minimal;
  au_bytes_t *body = &post->accepted;
  body->account = au_request_account(request);
  au_bytes_reserve(body, ACCEPTED_SIZE);
  au_bytes_put_string(body, is_partial ? "{\"status\":\"partial\""
                                       : "{\"status\":\"accepted\"");
  if (!intake->is_single)
    au_bytes_printf(body, ",\"accepted\":%zu,\"rejected\":%zu",
                    intake->rows.count, intake->errors_count);
  if (has_ids && intake->is_single) {
    au_bytes_put_string(body, ",\"event_id\":");
    put_id(body, &intake->ids[0]);
  } else if (has_ids) {
    put_ids(body, intake);
  }
  if (is_partial) {
    au_bytes_put_u8(body, ',');
    put_errors(body, intake);
  }
  char time[AU_TIMESTAMP_TEXT_SIZE];
  au_timestamp_format(post->accepted_us, time);
  au_bytes_put_string(body, ",\"queued_at\":\"");
  au_bytes_put_string(body, time);
  au_bytes_put_string(body, "\"}");
}

static const char *const *applied_preferences(const post_t *post,
                                              bool is_stored) {
  static const char name[] = "Preference-Applied";
  static const char *const minimal[] = {name, "return=minimal", NULL};
  static const char *const wait[] = {name, "wait", NULL};
  static const char *const both[] = {name, "return=minimal, wait", NULL};
  if (is_stored)
    return post->prefers.is_minimal ? both : wait;
  return post->prefers.is_minimal ? minimal : NULL;
}

/* Answers with "status", or with the one that the client takes for success;
 * then it learns from a header that some were refused. "applied" are headers.
 */
static enum MHD_Result answer_taken(au_request_t *request, unsigned status,
                                    const char *const *applied) {
  post_t *post = au_request_state(request);
  unsigned wanted = post->posting->accepted_status;
  char rejected[24];
  const char *headers[HEADERS_MAX] = {NULL};
  size_t count = 0;
  for (; applied != NULL && applied[count] != NULL; count++)
    headers[count] = applied[count];
  if (wanted == 0)
    return au_answer(request, status, AU_JSON_TYPE, &post->accepted, headers);
  if (post->refused > 0) {
    snprintf(rejected, sizeof(rejected), "%" PRIu64, post->refused);
    headers[count++] = "X-Rejected";
    headers[count] = rejected;
  }
  if (wanted != MHD_HTTP_NO_CONTENT)
    return au_answer(request, wanted, AU_JSON_TYPE, &post->accepted, headers);
  au_bytes_clear(&post->accepted, 0);
  return au_answer(request, wanted, NULL, &post->accepted, headers);
}

static enum MHD_Result answer_accepted(au_request_t *request) {
  post_t *post = au_request_state(request);
  if (post->refused > 0)
    reject(AU_REASON_INVALID, post->refused);
  return answer_taken(
      request, post->refused > 0 ? MHD_HTTP_MULTI_STATUS : MHD_HTTP_ACCEPTED,
      applied_preferences(post, false));
}

/* The answer says "accepted", which is the longer word. */
static void say_stored(au_bytes_t *body) {
  static const char from[] = "{\"status\":\"accepted\"";
  static const char to[] = "{\"status\":\"stored\"";
  size_t shorter = sizeof(from) - sizeof(to);
  memcpy(body->data, to, sizeof(to) - 1);
  memmove(body->data + sizeof(to) - 1, body->data + sizeof(from) - 1,
          body->size - (sizeof(from) - 1));
  body->size -= shorter;
}

static enum MHD_Result answer_waited(au_request_t *request,
                                     au_status_t status) {
  post_t *post = au_request_state(request);
  if (status != AU_OK)
    return answer_accepted(request);
  say_stored(&post->accepted);
  return answer_taken(request, MHD_HTTP_CREATED,
                      applied_preferences(post, true));
}

static enum MHD_Result answer_appended(au_request_t *request,
                                       au_status_t status) {
  post_t *post = au_request_state(request);
  if (status != AU_OK)
    return au_answer_not_appended(request, status, post->events);
  /* Whose answer is not simply "stored" is not kept waiting for it. */
  if (post->prefers.wait_s == 0 || post->refused > 0)
    return answer_accepted(request);
  return au_request_await_stored(
      request, &post->append,
      post->received_ns + post->prefers.wait_s * AU_NS_PER_S, answer_waited);
}

static enum MHD_Result append(au_request_t *request) {
  post_t *post = au_request_state(request);
  const au_rows_t *rows = &post->reader->intake.rows;
  post->events = rows->count;
  post->refused = post->reader->intake.errors_count;
  put_accepted(request);
  /* An event whose answer cannot be sent would be sent again. */
  if (post->accepted.failed)
    return answer_unavailable(request, AU_NO_MEMORY, post->events);
  enum MHD_Result result =
      au_request_append(request, &post->append, rows, answer_appended);
  give_back_reader(request); /* many wait at a time */
  return result;
}

static enum MHD_Result answer_nothing(au_request_t *request) {
  post_t *post = au_request_state(request);
  put_accepted(request);
  return post->accepted.failed ? answer_unavailable(request, AU_NO_MEMORY, 0)
                               : answer_accepted(request);
}

static enum MHD_Result run(au_request_t *request) {
  post_t *post = au_request_state(request);
  post->received_ns = au_clock_monotonic_ns();
  /* Every event counts that has been read, and a request at least as one:
   * whoever sends nonsense is held to the limits, too. */
  uint64_t events = post->body == AU_OK ? post->reader->intake.attempted : 0;
  unsigned wait_s = au_request_limit(request, events > 0 ? events : 1);
  if (wait_s > 0)
    return answer_limited(request, wait_s, events);
  if (post->body != AU_OK)
    return answer_no_body(request, post->body);
  if (post->parsed != AU_INTAKE_DONE)
    return answer_malformed(request);
  if (post->reader->intake.rows.count > 0)
    return append(request);
  /* A sender of batches may have nothing to send. */
  if (post->format == AU_FORMAT_CLOUDEVENTS && post->reader->intake.total == 0)
    return answer_nothing(request);
  reject(AU_REASON_INVALID, post->reader->intake.errors_count);
  return answer_refused(request);
}

static void done(au_request_t *request) {
  post_t *post = au_request_state(request);
  give_back_reader(request);
  au_postings_give_back(&au_api_of(request)->postings, post->posting);
  au_bytes_fini(&post->accepted);
}

const au_handler_t au_route_events_post = {.begin = begin,
                                           .body = take_body,
                                           .run = run,
                                           .done = done,
                                           .state_size = sizeof(post_t),
                                           .takes_credentials = true,
                                           .takes_web_hooks = true};
