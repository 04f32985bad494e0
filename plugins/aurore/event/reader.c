/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/. */
#include "event/reader.h"

#include "event/json.h"
#include "event/ndjson.h"
#include "event/otlp.h"
#include "event/otlp_json.h"

au_status_t au_reader_init(au_reader_t *reader, const au_limits_t *limits) {
  reader->account = (au_account_t){.budget = NULL};
  reader->naming.by = AU_NAMED_BY_NOTHING;
  reader->trace = NULL;
  reader->service = (au_slice_t){.data = "", .size = 0};
  reader->form = NULL;
  au_intake_init(&reader->intake, limits);
  au_intake_charge(&reader->intake, &reader->account);
  au_shaped_init(&reader->shaped, &reader->intake);
  au_shaped_charge(&reader->shaped, &reader->account);
  reader->shape = NULL;
  reader->json = au_json_reader_create(&reader->intake);
  reader->otlp = au_otlp_reader_create(&reader->intake);
  reader->otlp_json = au_otlp_json_create(&reader->intake);
  reader->cloudevents = au_cloudevents_create(&reader->intake);
  if (reader->json == NULL || reader->otlp == NULL ||
      reader->otlp_json == NULL || reader->cloudevents == NULL) {
    au_reader_fini(reader);
    return AU_NOMEM;
  }
  au_json_reader_charge(reader->json, &reader->account);
  au_otlp_reader_charge(reader->otlp, &reader->account);
  au_otlp_json_charge(reader->otlp_json, &reader->account);
  au_cloudevents_charge(reader->cloudevents, &reader->account);
  return AU_OK;
}

void au_reader_fini(au_reader_t *reader) {
  au_json_reader_destroy(reader->json);
  au_otlp_reader_destroy(reader->otlp);
  au_otlp_json_destroy(reader->otlp_json);
  au_cloudevents_destroy(reader->cloudevents);
  reader->json = NULL;
  reader->otlp = NULL;
  reader->otlp_json = NULL;
  au_shaped_fini(&reader->shaped);
  reader->cloudevents = NULL;
  au_intake_fini(&reader->intake);
}

void au_reader_clear(au_reader_t *reader) {
  au_intake_discard(&reader->intake);
  au_validator_begin(&reader->intake.event);
  reader->naming.by = AU_NAMED_BY_NOTHING;
  reader->shape = NULL;
  reader->trace = NULL;
}

void au_reader_shape(au_reader_t *reader, const au_shape_t *shape) {
  reader->shape = au_shape_is_own(shape) ? NULL : shape;
}

void au_reader_name(au_reader_t *reader, const au_naming_t *naming) {
  reader->naming = *naming;
}

void au_reader_trace(au_reader_t *reader, const au_trace_t *trace) {
  reader->trace = trace;
}

void au_reader_service(au_reader_t *reader, au_slice_t service) {
  reader->service = service;
}

void au_reader_cloudevents(au_reader_t *reader,
                           const au_cloudevents_form_t *form) {
  reader->form = form;
}

static au_intake_result_t read_cloudevents(au_reader_t *reader,
                                           const char *body, size_t size) {
  static const au_cloudevents_form_t structured = {
      .mode = AU_CLOUDEVENTS_STRUCTURED};
  const au_cloudevents_form_t *form =
      reader->form != NULL ? reader->form : &structured;
  return au_cloudevents_read(reader->cloudevents, form, body, size);
}

static au_intake_result_t read_otlp_json(au_reader_t *reader, au_slice_t body) {
  au_slice_t message;
  au_intake_result_t result =
      au_otlp_json_turn(reader->otlp_json, body, &message);
  if (result == AU_INTAKE_DONE)
    result = au_otlp_read(reader->otlp, message, reader->service, true);
  au_otlp_json_clear(reader->otlp_json);
  return result;
}

static au_intake_result_t read_body(au_reader_t *reader, au_format_t format,
                                    const char *body, size_t size) {
  static const au_shaped_form_t forms[] = {[AU_FORMAT_JSON] = AU_SHAPED_JSON,
                                           [AU_FORMAT_NDJSON] = AU_SHAPED_LINES,
                                           [AU_FORMAT_GUESS] = AU_SHAPED_GUESS};
  const au_shape_t *shape = reader->shape;
  reader->shape = NULL;
  if (shape != NULL && format <= AU_FORMAT_GUESS)
    return au_shaped_read(&reader->shaped, shape, forms[format], body, size);
  switch (format) {
  case AU_FORMAT_NDJSON:
    return au_ndjson_read(reader->json, body, size);
  case AU_FORMAT_OTLP:
    return au_otlp_read(reader->otlp, (au_slice_t){.data = body, .size = size},
                        reader->service, false);
  case AU_FORMAT_CLOUDEVENTS:
    return read_cloudevents(reader, body, size);
  case AU_FORMAT_OTLP_JSON:
    return read_otlp_json(reader, (au_slice_t){.data = body, .size = size});
  case AU_FORMAT_GUESS:
  case AU_FORMAT_JSON:
  default:
    return au_json_read(reader->json, body, size);
  }
}

au_intake_result_t au_reader_read(au_reader_t *reader, au_format_t format,
                                  const char *body, size_t size,
                                  int64_t now_us) {
  au_intake_begin(&reader->intake, now_us);
  au_intake_name(&reader->intake, &reader->naming);
  au_intake_trace(&reader->intake, reader->trace);
  reader->naming.by = AU_NAMED_BY_NOTHING;
  reader->trace = NULL;
  au_intake_result_t result =
      read_body(reader, format, size > 0 ? body : "", size);
  reader->service = (au_slice_t){.data = "", .size = 0};
  au_intake_trace(&reader->intake, NULL);
  reader->form = NULL;
  if (result == AU_INTAKE_DONE)
    au_intake_end(&reader->intake);
  else
    au_intake_discard(&reader->intake);
  return result;
}
