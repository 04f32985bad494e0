/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder. */
#include "api/posting.h"

#include "base/utf8.h"
#include "http/cors.h"
#include "http/media_type.h"

#include <stdlib.h>
#include <string.h>

/* In the order of "names", below. */
typedef enum parameter {
  LENIENT,
  ONCE,
  ACCEPTED_STATUS,
  SERVICE,
  FIELD, /* the first of AU_SHAPE_FIELDS */
  PARAMETERS = FIELD + AU_SHAPE_FIELDS
} parameter_t;

/* --- reading --------------------------------------------------------------*/

/* A parameter that is given twice is one of no value that there is. */
static bool is_given(const au_parameter_t *parameter, au_refusals_t *refusals) {
  return au_parameter_is_given(parameter, "isEnum", refusals);
}

static void read_choices(au_posting_t *posting, const au_parameter_t *known,
                         au_refusals_t *refusals) {
  static const char *const booleans[] = {"false", "true", NULL};
  static const char *const onces[] = {"none", "request", NULL};
  static const char *const statuses[] = {"0", "200", "201", "202", "204", NULL};
  static const unsigned status[] = {0, 200, 201, 202, 204};
  if (is_given(&known[LENIENT], refusals))
    posting->shape.is_lenient =
        au_parameter_choice(&known[LENIENT], booleans, AU_CASE_EXACT, "isEnum",
                            refusals) > 0;
  if (is_given(&known[ONCE], refusals))
    posting->once = au_parameter_choice(&known[ONCE], onces, AU_CASE_EXACT,
                                        "isEnum", refusals) > 0
                        ? AU_ONCE_REQUEST
                        : AU_ONCE_NONE;
  if (is_given(&known[ACCEPTED_STATUS], refusals))
    posting->accepted_status = status[au_parameter_choice(
        &known[ACCEPTED_STATUS], statuses, AU_CASE_EXACT, "isEnum", refusals)];
}

static void read_service(const au_postings_t *postings, au_posting_t *posting,
                         const au_parameter_t *parameter,
                         au_refusals_t *refusals) {
  size_t max = postings->options->limits.service_max_length;
  if (!is_given(parameter, refusals))
    return;
  const char *text = au_parameter_text(parameter, AU_OPTIONAL, refusals);
  if (text == NULL)
    return;
  if ((size_t)au_utf8_length(text, strlen(text)) > max)
    au_refuse(refusals, parameter->name, "maxLength",
              "%s must be at most %zu characters", parameter->name, max);
  else
    au_bytes_put_string(&posting->shape.service, text);
}

/* false: out of memory. */
static bool read_field(au_posting_t *posting, au_shape_field_t field,
                       const au_parameter_t *parameter,
                       au_refusals_t *refusals) {
  const char *name = parameter->name;
  if (!is_given(parameter, refusals))
    return true;
  if (*parameter->value == '\0') {
    au_refuse(refusals, name, "isNotEmpty", "%s must not be empty", name);
    return true;
  }
  if (au_utf8_length(parameter->value, strlen(parameter->value)) < 0) {
    au_refuse(refusals, name, "isStorable",
              "%s must be valid UTF-8 without U+0000", name);
    return true;
  }
  au_status_t status =
      au_shape_set_field(&posting->shape, field, parameter->value);
  if (status == AU_FULL)
    au_refuse(refusals, name, "arrayMaxSize",
              "%s must be at most %d names or JSON pointers of at most %d "
              "steps",
              name, AU_SHAPE_PATHS_MAX, AU_SHAPE_STEPS_MAX);
  else if (status == AU_INVALID)
    au_refuse(refusals, name, "isJsonPointer",
              "%s must be names or JSON pointers, with commas between", name);
  return status != AU_NOMEM;
}

static void set_defaults(const au_postings_t *postings, au_posting_t *posting) {
  *posting =
      (au_posting_t){.accepted_status = postings->options->accepted_status};
  posting->shape.is_lenient = postings->options->is_lenient;
}

static void destroy(au_posting_t *posting) {
  au_shape_fini(&posting->shape);
  au_bytes_fini(&posting->key);
  free(posting);
}

/* One made of the parameters, with one user; NULL as by au_postings_take. */
static au_posting_t *make(const au_postings_t *postings,
                          const au_parameter_t *known,
                          au_refusals_t *refusals) {
  au_posting_t *posting = calloc(1, sizeof(*posting));
  if (posting == NULL)
    return NULL;
  set_defaults(postings, posting);
  posting->users = 1;
  read_choices(posting, known, refusals);
  read_service(postings, posting, &known[SERVICE], refusals);
  bool is_made = true;
  for (au_shape_field_t field = 0; field < AU_SHAPE_FIELDS; field++)
    is_made &=
        read_field(posting, field, &known[FIELD + (size_t)field], refusals);
  if (is_made && !posting->shape.service.failed && refusals->count == 0)
    return posting;
  destroy(posting);
  return NULL;
}

/* --- keeping --------------------------------------------------------------*/

void au_postings_init(au_postings_t *postings, const au_options_t *options) {
  *postings = (au_postings_t){.options = options};
  (void)pthread_mutex_init(&postings->lock, NULL);
  set_defaults(postings, &postings->usual);
}

void au_postings_fini(au_postings_t *postings) {
  for (unsigned i = 0; i < postings->count; i++)
    destroy(postings->kept[i]);
  (void)pthread_mutex_destroy(&postings->lock);
}

/* What the parameters say, the same for all query strings that say it. */
static void put_key(const au_parameter_t *known, au_bytes_t *key) {
  for (unsigned i = 0; i < PARAMETERS; i++) {
    const char *value = known[i].value;
    if (value == NULL)
      continue;
    au_bytes_put_u8(key, (uint8_t)i);
    au_bytes_put(key, value, strlen(value) + 1);
  }
}

static au_posting_t *find_locked(au_postings_t *postings,
                                 const au_bytes_t *key) {
  for (unsigned i = 0; i < postings->count; i++) {
    au_posting_t *posting = postings->kept[i];
    if (posting->key.size != key->size ||
        memcmp(posting->key.data, key->data, key->size) != 0)
      continue;
    posting->users++;
    posting->used_at = ++postings->takes;
    return posting;
  }
  return NULL;
}

/* The place of one more: a free one, or that of the one that was used longest
 * ago, which goes when its last user gives it back. */
static au_posting_t **place_locked(au_postings_t *postings,
                                   au_posting_t **out_dropped) {
  if (postings->count < AU_POSTINGS_MAX)
    return &postings->kept[postings->count++];
  au_posting_t **oldest = &postings->kept[0];
  for (unsigned i = 1; i < postings->count; i++)
    if (postings->kept[i]->used_at < (*oldest)->used_at)
      oldest = &postings->kept[i];
  if (--(*oldest)->users == 0)
    *out_dropped = *oldest;
  return oldest;
}

/* Another thread may have kept the same meanwhile; then there are two. */
static void keep(au_postings_t *postings, au_posting_t *posting) {
  au_posting_t *dropped = NULL;
  pthread_mutex_lock(&postings->lock);
  posting->users++;
  posting->used_at = ++postings->takes;
  *place_locked(postings, &dropped) = posting;
  pthread_mutex_unlock(&postings->lock);
  if (dropped != NULL)
    destroy(dropped);
}

static au_posting_t *find_or_make(au_postings_t *postings,
                                  const au_parameter_t *known,
                                  au_refusals_t *refusals) {
  au_bytes_t key = AU_BYTES_INIT;
  put_key(known, &key);
  au_posting_t *posting = NULL;
  if (!key.failed) {
    pthread_mutex_lock(&postings->lock);
    posting = find_locked(postings, &key);
    pthread_mutex_unlock(&postings->lock);
  }
  bool is_known = posting != NULL;
  if (!is_known)
    posting = make(postings, known, refusals);
  if (is_known || posting == NULL || key.failed ||
      key.size > AU_POSTING_KEY_MAX) {
    au_bytes_fini(&key);
    return posting;
  }
  posting->key = key;
  keep(postings, posting);
  return posting;
}

au_posting_t *au_postings_take(au_postings_t *postings, au_request_t *request,
                               au_refusals_t *refusals) {
  static const char *const names[] = {
      "lenient",         "once",          "accepted_status", "service",
      "timestamp_field", "service_field", "message_field",   "id_field",
      "events_field"};
  au_parameter_t known[PARAMETERS];
  for (unsigned i = 0; i < PARAMETERS; i++)
    known[i] = (au_parameter_t){.name = names[i]};
  au_request_parameters(request, known, PARAMETERS, refusals);
  bool is_usual = refusals->count == 0;
  bool is_repeated = false;
  for (unsigned i = 0; i < PARAMETERS; i++) {
    is_usual &= known[i].value == NULL;
    is_repeated |= known[i].repeated;
  }
  if (is_usual)
    return &postings->usual;
  if (refusals->count == 0 && !is_repeated)
    return find_or_make(postings, known, refusals);
  /* It is refused: with all that is wrong with it. */
  au_posting_t *refused = make(postings, known, refusals);
  if (refused != NULL)
    destroy(refused);
  return NULL;
}

void au_postings_give_back(au_postings_t *postings, au_posting_t *posting) {
  if (posting == NULL || posting == &postings->usual)
    return;
  pthread_mutex_lock(&postings->lock);
  bool is_last = --posting->users == 0;
  pthread_mutex_unlock(&postings->lock);
  if (is_last)
    destroy(posting);
}

/* --- types ----------------------------------------------------------------*/

static bool is_one_of(const char *type, const char *const *names,
                      size_t count) {
  for (size_t i = 0; i < count; i++)
    if (au_media_type_is(type, names[i]))
      return true;
  return false;
}

static bool is_ndjson(const char *type) {
  static const char *const names[] = {
      "application/x-ndjson",    "application/ndjson",
      "application/jsonl",       "application/jsonlines",
      "application/x-jsonlines", "application/stream+json"};
  return is_one_of(type, names, sizeof(names) / sizeof(names[0]));
}

/* Types that say nothing of what is in the body, and those of JSON that is
 * something else. */
static bool is_loose(const char *type) {
  static const char *const names[] = {"text/plain",
                                      "application/x-www-form-urlencoded",
                                      "application/csp-report"};
  return is_one_of(type, names, sizeof(names) / sizeof(names[0])) ||
         au_media_type_has_suffix(type, "+json");
}

bool au_posting_find_format(const au_posting_t *posting,
                            const au_request_t *request,
                            au_format_t *out_format) {
  const char *type = au_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
  *out_format = AU_FORMAT_GUESS;
  if (type != NULL && !au_media_type_is_utf8(type))
    return false;
  if (type != NULL && au_media_type_is(type, "application/json")) {
    *out_format = AU_FORMAT_JSON;
    return true;
  }
  if (type != NULL && is_ndjson(type)) {
    *out_format = AU_FORMAT_NDJSON;
    return true;
  }
  /* A page of any origin can send these without being asked. */
  bool is_of_page =
      au_request_header(request, MHD_HTTP_HEADER_ORIGIN) != NULL &&
      !au_cors_is_listed(request);
  return posting->shape.is_lenient && !is_of_page &&
         (type == NULL || is_loose(type));
}
