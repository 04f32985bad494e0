/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * cloudevents_header - an attribute of a CloudEvent that is a header (binary
 * mode).
 *
 * Threads: pure.
 */
#ifndef AURORE_EVENT_CLOUDEVENTS_HEADER_H
#define AURORE_EVENT_CLOUDEVENTS_HEADER_H

#include "base/bytes.h"

/* Appends it as a member of a JSON object, with a comma after it: the name in
 * lower case, the value without the quotes around it, if any, and then
 * percent-decoded once. A '%' that is no escape stays, and so does "%00"; bytes
 * that are not UTF-8 become U+FFFD. */
void au_cloudevents_put_header(au_bytes_t *json, const char *name,
                               const char *value);

#endif
