/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * otlp - the grammar of OpenTelemetry's logs, in Protocol Buffers: an
 * ExportLogsServiceRequest, of which each log record is an event
 * (event/otlp_record.h). Their JSON is turned into it (event/otlp_json.h).
 *
 * Resource and scope belong to all records of their message, also when they
 * come after them. So the whole body must be there; it is read once to find
 * what is in it, and once record by record.
 *
 * The rows of one request take at most AU_OTLP_ROWS_MAX bytes. What would be
 * more is read a second time: then resource and scope, then attributes from the
 * end, and at last the end of messages are left out of the records for which
 * there is no room any more.
 *
 * Threads: one at a time. Ownership: it owns its memory; the intake is borrowed
 * until destroy, a body for the call.
 */
#ifndef AURORE_EVENT_OTLP_H
#define AURORE_EVENT_OTLP_H

#include "event/intake.h"

#define AU_OTLP_ROWS_MAX ((size_t)32 << 20)

typedef struct au_otlp_reader au_otlp_reader_t;

/* NULL when out of memory. */
au_otlp_reader_t *au_otlp_reader_create(au_intake_t *intake);
void au_otlp_reader_destroy(au_otlp_reader_t *reader);
/* Charges its memory to the account (borrowed until destroy), before the first
 * body. */
void au_otlp_reader_charge(au_otlp_reader_t *reader, au_account_t *account);

/* Pushes the records of the body. "service" is that of records without one; it
 * may be empty, and is borrowed for the call. "is_own": the body is of
 * event/otlp_json.c. After anything but AU_INTAKE_DONE the intake holds some of
 * them. */
AU_MUST_CHECK au_intake_result_t au_otlp_read(au_otlp_reader_t *reader,
                                              au_slice_t body,
                                              au_slice_t service, bool is_own);

#endif
