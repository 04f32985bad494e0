/* SPDX-License-Identifier: MIT
 * Part of api/; calls every folder.
 *
 * cloudevents - a request to POST /events that has CloudEvents, as its header
 * says.
 *
 * Threads: from the hooks of a route.
 */
#ifndef AURORE_API_CLOUDEVENTS_H
#define AURORE_API_CLOUDEVENTS_H

#include "event/cloudevents.h"
#include "http/framing.h"
#include "http/request.h"

/* The form of a request, and the headers that it points to. */
typedef struct au_cloudevents_request {
  au_cloudevents_form_t form;
  au_cloudevents_attribute_t attribute[AU_HEADER_ENTRIES_MAX];
} au_cloudevents_request_t;

/* Whether the request has CloudEvents. *out_is_taken: and of a type that is
 * read. */
bool au_cloudevents_is_request(const au_request_t *request, bool *out_is_taken);

/* Reads the form of one that is taken; it borrows until the answer. */
void au_cloudevents_read_header(const au_request_t *request, bool is_lenient,
                                au_cloudevents_request_t *out_cloudevents);

#endif
