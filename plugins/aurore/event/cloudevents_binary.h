/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * cloudevents_binary - turns a CloudEvent of binary mode, of which the
 * attributes are headers and the data is the body, into one of structured mode.
 *
 * Threads: one at a time.
 */
#ifndef AURORE_EVENT_CLOUDEVENTS_BINARY_H
#define AURORE_EVENT_CLOUDEVENTS_BINARY_H

#include "base/bytes.h"
#include "base/json_scan.h"
#include "event/cloudevents.h"

#include <stddef.h>

/* Appends the event as a JSON object. A header becomes a member: its name in
 * lower case, its value without the quotes around it, if any, and then
 * percent-decoded once. A '%' that is no escape stays, and so does "%00"; bytes
 * that are not UTF-8 become U+FFFD. The body becomes data: as it is when it is
 * said to be JSON and is, else as text; or as data_base64 when PostgreSQL could
 * not store that text.
 *
 * All is borrowed for the call; "scan" is used to read the body, and begins
 * again. When out of memory, "json" has failed. */
void au_cloudevents_put_structured(au_bytes_t *json,
                                   const au_cloudevents_form_t *form,
                                   au_json_scan_t *scan, const char *body,
                                   size_t size);

#endif
