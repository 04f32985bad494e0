/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder. */
#include "api/cloudevents.h"

#include "http/media_type.h"

#include <string.h>
#include <strings.h>

#define STRUCTURED "application/cloudevents+json"
#define BATCHED "application/cloudevents-batch+json"
/* Of all types that are CloudEvents in one format or another. */
#define ANY "application/cloudevents"
#define PREFIX "ce-"

static bool begins_with(const char *text, const char *prefix) {
  return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

static const char *type_of(const au_request_t *request) {
  const char *type = au_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
  return type != NULL ? type + strspn(type, " \t") : NULL;
}

static enum MHD_Result find_attribute(void *cls, enum MHD_ValueKind kind,
                                      const char *name, const char *value) {
  static const char *const names[] = {"specversion", "id", "source", "type"};
  (void)kind;
  bool *is_found = cls;
  if (value == NULL || !begins_with(name, PREFIX))
    return MHD_YES;
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    *is_found |= strcasecmp(name + strlen(PREFIX), names[i]) == 0;
  return *is_found ? MHD_NO : MHD_YES;
}

/* Binary mode: it has one of the attributes that every event has. */
static bool has_attributes(const au_request_t *request) {
  bool is_found = false;
  (void)MHD_get_connection_values(au_request_connection(request),
                                  MHD_HEADER_KIND, find_attribute, &is_found);
  return is_found;
}

bool au_cloudevents_is_request(const au_request_t *request,
                               bool *out_is_taken) {
  const char *type = type_of(request);
  bool is_whole = type != NULL && begins_with(type, ANY);
  *out_is_taken = !is_whole || ((au_media_type_is(type, STRUCTURED) ||
                                 au_media_type_is(type, BATCHED)) &&
                                au_media_type_is_utf8(type));
  return is_whole || has_attributes(request);
}

static enum MHD_Result take_header(void *cls, enum MHD_ValueKind kind,
                                   const char *name, const char *value) {
  (void)kind;
  au_cloudevents_request_t *cloudevents = cls;
  au_cloudevents_form_t *form = &cloudevents->form;
  if (value != NULL && begins_with(name, PREFIX) &&
      form->attributes < AU_HEADER_ENTRIES_MAX)
    cloudevents->attribute[form->attributes++] = (au_cloudevents_attribute_t){
        .name = name + strlen(PREFIX), .value = value};
  return MHD_YES;
}

static bool is_json(const char *type) {
  return au_media_type_is(type, "application/json") ||
         au_media_type_is(type, "text/json") ||
         au_media_type_has_suffix(type, "+json");
}

void au_cloudevents_read_header(const au_request_t *request, bool is_lenient,
                                au_cloudevents_request_t *out_cloudevents) {
  const char *type = type_of(request);
  au_cloudevents_form_t *form = &out_cloudevents->form;
  *form = (au_cloudevents_form_t){.mode = AU_CLOUDEVENTS_BINARY,
                                  .is_lenient = is_lenient,
                                  .content_type = type,
                                  .is_json = type != NULL && is_json(type),
                                  .attribute = out_cloudevents->attribute};
  if (type != NULL && au_media_type_is(type, STRUCTURED))
    form->mode = AU_CLOUDEVENTS_STRUCTURED;
  else if (type != NULL && au_media_type_is(type, BATCHED))
    form->mode = AU_CLOUDEVENTS_BATCHED;
  else
    (void)MHD_get_connection_values(au_request_connection(request),
                                    MHD_HEADER_KIND, take_header,
                                    out_cloudevents);
}
