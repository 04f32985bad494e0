/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * otlp_json - OpenTelemetry's logs in JSON (the JSON mapping of Protocol
 * Buffers, but with trace and span ids in hexadecimal): turned into the message
 * in Protocol Buffers that means the same, which is what event/otlp.h reads. So
 * there is one grammar, and resource and scope may come in any order.
 *
 * What a message cannot hold goes through fields of its own
 * (event/otlp_value.h): numbers as they are written, and a mark where something
 * could not be read, such as a time that is none. Names are taken as the
 * mapping writes them (timeUnixNano) and as the schema does (time_unix_nano);
 * unknown ones are passed over.
 *
 * Threads: one at a time. Ownership: it owns its memory; a body is borrowed for
 * the call.
 */
#ifndef AURORE_EVENT_OTLP_JSON_H
#define AURORE_EVENT_OTLP_JSON_H

#include "event/intake.h"

typedef struct au_otlp_json au_otlp_json_t;

/* The intake is borrowed until destroy; only its "message" is set. NULL when
 * out of memory. */
au_otlp_json_t *au_otlp_json_create(au_intake_t *intake);
void au_otlp_json_destroy(au_otlp_json_t *json);
/* Charges its memory to the account (borrowed until destroy), before the first
 * body. */
void au_otlp_json_charge(au_otlp_json_t *json, au_account_t *account);

/* Turns the body into a message, "out_message", until clear. AU_INTAKE_DONE,
 * AU_INTAKE_MALFORMED or AU_INTAKE_NOMEM. */
AU_MUST_CHECK au_intake_result_t au_otlp_json_turn(au_otlp_json_t *json,
                                                   au_slice_t body,
                                                   au_slice_t *out_message);
void au_otlp_json_clear(au_otlp_json_t *json);

#endif
