/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * document - /openapi.yaml and /openapi.json: docs/openapi.yaml as it was when
 * this was built (api/document/embed.pl).
 */
#include "api/routes.h"

#include "api/document_text.h"

static enum MHD_Result answer_text(au_request_t *request, const char *type,
                                   const unsigned char *text, size_t size) {
  au_bytes_t body = {.account = au_request_account(request)};
  au_bytes_reserve(&body, size);
  au_bytes_put(&body, text, size);
  return au_answer(request, MHD_HTTP_OK, type, &body, NULL);
}

static enum MHD_Result answer_yaml(au_request_t *request) {
  return answer_text(request, "application/yaml; charset=utf-8", document_yaml,
                     sizeof(document_yaml));
}

static enum MHD_Result answer_json(au_request_t *request) {
  return answer_text(request, AU_JSON_TYPE, document_json,
                     sizeof(document_json));
}

const au_handler_t au_route_document_json = {.run = answer_json};
const au_handler_t au_route_document_yaml = {.run = answer_yaml};
