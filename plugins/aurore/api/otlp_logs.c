/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * otlp_logs - POST /v1/logs: the logs of OpenTelemetry (OTLP over HTTP), from
 * the header to the answer. Each log record is an event (event/otlp.h); the way
 * of the events is that of POST /events.
 *
 * The whole body is held while it is read, since resource and scope may come
 * after their records; it is charged as it comes (http/body.c). Both sides of
 * an answer are in the request's type: an ExportLogsServiceResponse, or a
 * google.rpc.Status for every refusal.
 */
#include "api/routes.h"

#include "api/append.h"
#include "api/naming.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/protobuf.h"
#include "base/utf8.h"
#include "http/coding.h"
#include "http/media_type.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROTOBUF_TYPE "application/x-protobuf"
#define TYPE_JSON "application/json"

/* Exporters give up when all their waits together pass ten seconds. */
#define RETRY_AFTER_MAX_S 2

typedef struct post {
  /* From the header. */
  au_content_coding_t coding;
  bool is_json;
  au_slice_t service; /* of records without one; borrowed from the request */
  au_key_t key;
  bool by_bytes; /* without a key it goes by its bytes */

  /* From the body. */
  au_status_t body;    /* AU_OK: "parsed" is valid; else see answer_no_body */
  au_reader_t *reader; /* borrowed from the pool; NULL: none */
  au_intake_result_t parsed;

  /* What the reader found; it is given back before a wait. */
  uint64_t events;     /* that were appended */
  uint64_t refused;    /* that were not */
  au_bytes_t response; /* if they are stored */
  au_append_t append;
} post_t;

static void reject(au_reason_t reason, uint64_t events) {
  au_metrics_count(AU_M_EVENTS_REJECTED, reason, events > 0 ? events : 1);
}

/* --- refusals -------------------------------------------------------------*/

static bool is_type(const au_request_t *request, const char *type) {
  const char *value = au_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
  return value != NULL && au_media_type_is(value, type);
}

/* The code of gRPC that goes with a status of HTTP. */
static int code_of(unsigned status) {
  static const struct {
    unsigned status;
    int code;
  } codes[] = {{MHD_HTTP_UNAUTHORIZED, 16},          /* UNAUTHENTICATED */
               {MHD_HTTP_FORBIDDEN, 7},              /* PERMISSION_DENIED */
               {MHD_HTTP_METHOD_NOT_ALLOWED, 12},    /* UNIMPLEMENTED */
               {MHD_HTTP_CONTENT_TOO_LARGE, 8},      /* RESOURCE_EXHAUSTED */
               {MHD_HTTP_TOO_MANY_REQUESTS, 8},      /* RESOURCE_EXHAUSTED */
               {MHD_HTTP_INTERNAL_SERVER_ERROR, 13}, /* INTERNAL */
               {MHD_HTTP_NOT_IMPLEMENTED, 12},       /* UNIMPLEMENTED */
               {MHD_HTTP_SERVICE_UNAVAILABLE, 14}};  /* UNAVAILABLE */
  for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
    if (codes[i].status == status)
      return codes[i].code;
  return 3; /* INVALID_ARGUMENT */
}

static const char *put_status(const au_request_t *request, au_error_code_t code,
                              const char *message, au_bytes_t *body) {
  int number = code_of(au_error_status(code));
  if (!is_type(request, PROTOBUF_TYPE)) {
    au_bytes_printf(body, "{\"code\":%d,\"message\":", number);
    au_json_put_string(body, message, strlen(message));
    au_bytes_put_u8(body, '}');
    return TYPE_JSON;
  }
  au_protobuf_put_varint(body, 1, (uint64_t)number);
  size_t place = au_protobuf_begin(body, 2);
  au_utf8_put_repaired(body, message, strlen(message), SIZE_MAX);
  au_protobuf_end(body, place);
  return PROTOBUF_TYPE;
}

static const au_refusal_t refusal = {.put = put_status,
                                     .retry_after_max_s = RETRY_AFTER_MAX_S};

static enum MHD_Result refuse(au_request_t *request, au_reason_t reason,
                              au_error_code_t code, const char *message) {
  reject(reason, 0);
  return au_answer_refusal(request, code, message, NULL);
}

static enum MHD_Result refuse_for(au_request_t *request, au_error_code_t code,
                                  const char *message, unsigned seconds) {
  char text[16];
  snprintf(text, sizeof(text), "%u", seconds);
  const char *const headers[] = {MHD_HTTP_HEADER_RETRY_AFTER, text, NULL};
  return au_answer_refusal(request, code, message, headers);
}

static enum MHD_Result answer_too_large(au_request_t *request) {
  return refuse(request, AU_REASON_TOO_LARGE, AU_ERROR_BODY_TOO_LARGE,
                "request entity too large");
}

static enum MHD_Result answer_not_appended(au_request_t *request,
                                           au_status_t status,
                                           uint64_t events) {
  if (status != AU_FULL)
    return au_answer_not_appended(request, status, events);
  return refuse_for(request, AU_ERROR_BUFFER_SATURATED,
                    "Buffer is full. Please retry in a few seconds.",
                    au_buffer_retry_after_s(au_api_of(request)->buffer));
}

/* --- the header -----------------------------------------------------------*/

static size_t body_max(const au_request_t *request) {
  return au_api_of(request)->options->limits.otlp_max_body_bytes;
}

static bool check_type(au_request_t *request) {
  post_t *post = au_request_state(request);
  const char *type = au_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
  post->is_json = is_type(request, TYPE_JSON);
  if (is_type(request, PROTOBUF_TYPE) ||
      (post->is_json && au_media_type_is_utf8(type)))
    return true;
  (void)refuse(request, AU_REASON_INVALID, AU_ERROR_UNSUPPORTED_TYPE,
               "Content-Type must be " PROTOBUF_TYPE ", or " TYPE_JSON
               " in UTF-8");
  return false;
}

static bool check_coding(au_request_t *request) {
  post_t *post = au_request_state(request);
  post->coding = au_content_coding_read(
      au_request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING));
  if (post->coding != AU_CONTENT_UNKNOWN)
    return true;
  (void)refuse(request, AU_REASON_INVALID, AU_ERROR_UNSUPPORTED_CODING,
               "Content-Encoding must be " AU_CONTENT_CODINGS);
  return false;
}

static bool check_length(au_request_t *request) {
  uint64_t length = au_request_content_length(request);
  if (length == AU_LENGTH_UNKNOWN || length <= body_max(request))
    return true;
  (void)answer_too_large(request);
  return false;
}

/* Reads "service"; refuses what is none. */
static void read_service(au_request_t *request, const au_parameter_t *parameter,
                         au_refusals_t *refusals) {
  post_t *post = au_request_state(request);
  size_t max = au_api_of(request)->options->limits.service_max_length;
  const char *text = au_parameter_text(parameter, AU_OPTIONAL, refusals);
  if (text == NULL)
    return;
  size_t size = strlen(text);
  post->service = (au_slice_t){.data = text, .size = size};
  if (au_utf8_is_blank(text, size))
    au_refuse(refusals, parameter->name, "isNotEmpty",
              "service must not be empty");
  else if ((size_t)au_utf8_length(text, size) > max)
    au_refuse(refusals, parameter->name, "maxLength",
              "service must be at most %zu characters", max);
}

static bool check_parameters(au_request_t *request) {
  enum { SERVICE, ONCE, KNOWN };
  static const char *const once[] = {"request", "none", NULL};
  au_parameter_t known[KNOWN] = {{.name = "service"}, {.name = "once"}};
  au_refusals_t refusals = {.count = 0};
  au_request_parameters(request, known, KNOWN, &refusals);
  read_service(request, &known[SERVICE], &refusals);
  post_t *post = au_request_state(request);
  post->by_bytes = au_parameter_choice(&known[ONCE], once, AU_CASE_EXACT,
                                       "isEnum", &refusals) == 0;
  bool is_good = refusals.count == 0;
  if (!is_good) {
    char message[32 + AU_PARAMETERS_NAME_MAX];
    snprintf(message, sizeof(message), "Invalid query: %s", refusals.field);
    (void)refuse(request, AU_REASON_INVALID, AU_ERROR_INVALID_QUERY, message);
  }
  au_refusals_fini(&refusals);
  return is_good;
}

static bool check_key(au_request_t *request) {
  post_t *post = au_request_state(request);
  if (au_key_read(request, &post->key))
    return true;
  (void)refuse(request, AU_REASON_INVALID, AU_ERROR_INVALID_HEADER,
               "isIdempotencyKey: " AU_KEY_TEXT);
  return false;
}

/* The body is not read when not even one event may pass. */
static bool check_rate(au_request_t *request) {
  unsigned wait_s = au_request_limit_check(request);
  if (wait_s == 0)
    return true;
  reject(AU_REASON_RATE_LIMITED, 0);
  (void)refuse_for(request, AU_ERROR_RATE_LIMITED, "Too Many Requests", wait_s);
  return false;
}

static bool check_buffer(au_request_t *request) {
  au_status_t status = au_append_check(au_api_of(request));
  if (status != AU_OK)
    (void)answer_not_appended(request, status, 1);
  return status == AU_OK;
}

static bool begin(au_request_t *request) {
  if (au_http_is_quiescing(au_request_server(request))) {
    (void)refuse(request, AU_REASON_UNAVAILABLE, AU_ERROR_SERVICE_UNAVAILABLE,
                 "shutting down");
    return false;
  }
  if (!check_rate(request))
    return false;
  if (check_type(request) && check_coding(request) && check_length(request) &&
      check_parameters(request) && check_key(request) && check_buffer(request))
    return true;
  (void)au_request_limit(request, 1); /* it counts as an event */
  return false;
}

/* --- the body -------------------------------------------------------------*/

static void give_back_reader(au_request_t *request) {
  post_t *post = au_request_state(request);
  if (post->reader == NULL)
    return;
  au_request_lend_end(&post->reader->account);
  au_reader_pool_give_back(&au_api_of(request)->readers, post->reader);
  post->reader = NULL;
}

static au_status_t parse(au_request_t *request, const char *body, size_t size) {
  post_t *post = au_request_state(request);
  au_naming_t naming;
  au_status_t status =
      au_naming_make(request, &post->key, post->by_bytes, body, size, &naming);
  if (status != AU_OK)
    return status;
  post->reader = au_reader_pool_take(&au_api_of(request)->readers);
  if (post->reader == NULL)
    return AU_NOMEM;
  if (!au_request_lend(request, &post->reader->account, size)) {
    give_back_reader(request);
    return AU_NOMEM;
  }
  au_reader_service(post->reader, post->service);
  au_reader_name(post->reader, &naming);
  post->parsed = au_reader_read(
      post->reader, post->is_json ? AU_FORMAT_OTLP_JSON : AU_FORMAT_OTLP, body,
      size, au_clock_wall_us());
  return AU_OK;
}

static void take_body(au_request_t *request, au_status_t status,
                      const char *data, size_t size) {
  post_t *post = au_request_state(request);
  au_bytes_t inflated = {.account = au_request_account(request)};
  if (status == AU_OK && post->coding != AU_CONTENT_IDENTITY) {
    status = au_content_inflate(post->coding, data, size, body_max(request),
                                &inflated);
    data = inflated.size > 0 ? (const char *)inflated.data : "";
    size = inflated.size;
  }
  post->body = status == AU_OK ? parse(request, data, size) : status;
  au_bytes_fini(&inflated);
}

/* --- the answer -----------------------------------------------------------*/

/* There is nothing that was parsed. */
static enum MHD_Result answer_no_body(au_request_t *request,
                                      au_status_t status) {
  if (status == AU_FULL)
    return answer_too_large(request);
  if (status == AU_INVALID)
    return refuse(request, AU_REASON_INVALID, AU_ERROR_MALFORMED_CODING,
                  "the body is not what Content-Encoding says");
  return refuse(request, AU_REASON_UNAVAILABLE, AU_ERROR_SERVICE_UNAVAILABLE,
                AU_NO_MEMORY);
}

static enum MHD_Result answer_malformed(au_request_t *request) {
  const post_t *post = au_request_state(request);
  if (post->parsed == AU_INTAKE_MALFORMED)
    return refuse(request, AU_REASON_INVALID,
                  post->is_json ? AU_ERROR_MALFORMED_JSON
                                : AU_ERROR_MALFORMED_REQUEST,
                  post->reader->intake.message);
  if (post->parsed == AU_INTAKE_TOO_MANY) {
    char message[128];
    snprintf(message, sizeof(message),
             "more than %zu log records in one request",
             au_api_of(request)->options->limits.otlp_max_records);
    return refuse(request, AU_REASON_TOO_LARGE, AU_ERROR_TOO_MANY_EVENTS,
                  message);
  }
  return refuse(request, AU_REASON_UNAVAILABLE, AU_ERROR_SERVICE_UNAVAILABLE,
                AU_NO_MEMORY);
}

/* An ExportLogsServiceResponse: empty, unless records were refused. */
static void put_response(post_t *post) {
  static const char why[] = "the records break the rules of events";
  au_bytes_t *body = &post->response;
  if (post->refused == 0) {
    au_bytes_put_string(body, post->is_json ? "{}" : "");
  } else if (post->is_json) {
    au_bytes_printf(body,
                    "{\"partialSuccess\":{\"rejectedLogRecords\":\"%" PRIu64
                    "\",\"errorMessage\":\"%s\"}}",
                    post->refused, why);
  } else {
    size_t place = au_protobuf_begin(body, 1);
    au_protobuf_put_varint(body, 1, post->refused);
    au_protobuf_put_bytes(body, 2, why, sizeof(why) - 1);
    au_protobuf_end(body, place);
  }
}

static enum MHD_Result answer_taken(au_request_t *request) {
  post_t *post = au_request_state(request);
  if (post->refused > 0)
    reject(AU_REASON_INVALID, post->refused);
  return au_answer(request, MHD_HTTP_OK,
                   post->is_json ? TYPE_JSON : PROTOBUF_TYPE, &post->response,
                   NULL);
}

static enum MHD_Result answer_appended(au_request_t *request,
                                       au_status_t status) {
  const post_t *post = au_request_state(request);
  return status == AU_OK ? answer_taken(request)
                         : answer_not_appended(request, status, post->events);
}

static enum MHD_Result run(au_request_t *request) {
  post_t *post = au_request_state(request);
  uint64_t events = post->body == AU_OK ? post->reader->intake.attempted : 0;
  unsigned wait_s = au_request_limit(request, events > 0 ? events : 1);
  if (wait_s > 0) {
    reject(AU_REASON_RATE_LIMITED, events);
    return refuse_for(request, AU_ERROR_RATE_LIMITED, "Too Many Requests",
                      wait_s);
  }
  if (post->body != AU_OK)
    return answer_no_body(request, post->body);
  if (post->parsed != AU_INTAKE_DONE)
    return answer_malformed(request);
  const au_rows_t *rows = &post->reader->intake.rows;
  post->events = rows->count;
  post->refused = post->reader->intake.errors_count;
  put_response(post);
  /* What was stored and is not answered would be sent again. */
  if (post->response.failed)
    return refuse(request, AU_REASON_UNAVAILABLE, AU_ERROR_SERVICE_UNAVAILABLE,
                  AU_NO_MEMORY);
  enum MHD_Result result =
      rows->count > 0
          ? au_request_append(request, &post->append, rows, answer_appended)
          : answer_taken(request);
  give_back_reader(request); /* many wait at a time */
  return result;
}

static void done(au_request_t *request) {
  post_t *post = au_request_state(request);
  give_back_reader(request);
  au_bytes_fini(&post->response);
}

const au_handler_t au_route_otlp_logs = {.begin = begin,
                                         .body = take_body,
                                         .run = run,
                                         .done = done,
                                         .body_max = body_max,
                                         .refusal = &refusal,
                                         .state_size = sizeof(post_t),
                                         .takes_credentials = true};
