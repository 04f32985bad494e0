/* SPDX-License-Identifier: MIT
 * Part of event/; calls base/.
 *
 * otlp_record - a log record of OpenTelemetry, with its resource and its scope,
 * as the fields of an event. Nothing that can be read is refused: text is cut
 * and repaired, metadata over its limits loses attributes from the end, and
 * what was cut or left out is marked (event/trim.h).
 *
 *   au_otlp_maker_resource      for each ResourceLogs
 *     au_otlp_maker_scope       for each ScopeLogs
 *       au_otlp_maker_read      for each LogRecord, and then
 *       au_otlp_maker_make      once or more, with more or less in it
 *
 * The messages are borrowed until the next one of their kind.
 *
 * Threads: one at a time. Ownership: the memory is the maker's until fini.
 */
#ifndef AURORE_EVENT_OTLP_RECORD_H
#define AURORE_EVENT_OTLP_RECORD_H

#include "event/otlp_value.h"
#include "event/trim.h"

/* How much of resource and scope is in the metadata of a record. */
typedef enum au_otlp_context {
  AU_OTLP_CONTEXT_ALL,
  AU_OTLP_CONTEXT_HALF, /* at most half of what metadata may hold */
  AU_OTLP_CONTEXT_NONE,
  AU_OTLP_CONTEXTS = AU_OTLP_CONTEXT_NONE
} au_otlp_context_t;

/* The object "resource", or "scope". */
typedef struct au_otlp_part {
  au_limits_t limits;
  au_trim_t trim;
  bool is_made;
  bool is_cut;
} au_otlp_part_t;

/* A LogRecord. */
typedef struct au_otlp_record {
  au_slice_t message; /* all of it */
  uint64_t time_ns;   /* 0: not set; so are the others */
  uint64_t observed_ns;
  int32_t severity;
  uint32_t flags;
  uint32_t dropped;
  au_slice_t severity_text;
  au_slice_t event_name;
  au_slice_t trace_id;
  au_slice_t span_id;
  au_otlp_any_t body;
  au_otlp_any_t uid; /* attribute log.record.uid */
  bool is_marked;    /* something of it could not be read, or was cut */
} au_otlp_record_t;

typedef struct au_otlp_maker {
  const au_limits_t *limits; /* borrowed */
  bool is_own;               /* the messages are of event/otlp_json.c */
  au_slice_t otherwise;      /* service of those without; borrowed, may be empty
                              */
  au_otlp_writer_t writer;

  /* The resource and the scope. */
  au_slice_t resource_logs;
  au_slice_t scope_logs;
  au_slice_t resource_url;
  au_slice_t scope_url;
  au_otlp_part_t resource[AU_OTLP_CONTEXTS];
  au_otlp_part_t scope[AU_OTLP_CONTEXTS];
  bool is_service_cut;

  /* The record. */
  au_otlp_record_t record;
  au_limits_t record_limits;
  au_trim_t trim;
  bool is_cut; /* a value in it */

  /* Results: of resource, read, and make. */
  au_bytes_t service;
  int64_t occurred_at_us; /* INT64_MIN: it bears no time */
  au_bytes_t message;
  au_slice_t metadata;    /* data == NULL: none */
  bool is_marked;         /* the metadata */
  size_t context_bytes;   /* of the metadata: resource and scope */
  size_t attribute_bytes; /* and attributes */
} au_otlp_maker_t;

/* "limits" is borrowed until fini, the account (NULL: none) too. */
void au_otlp_maker_init(au_otlp_maker_t *maker, const au_limits_t *limits,
                        au_account_t *account);
void au_otlp_maker_fini(au_otlp_maker_t *maker);

/* Forgets the messages. */
void au_otlp_maker_clear(au_otlp_maker_t *maker);

/* Each: false when it, or something in it that is read there, is malformed. */
AU_MUST_CHECK bool au_otlp_maker_resource(au_otlp_maker_t *maker,
                                          au_slice_t resource_logs);
AU_MUST_CHECK bool au_otlp_maker_scope(au_otlp_maker_t *maker,
                                       au_slice_t scope_logs);
AU_MUST_CHECK bool au_otlp_maker_read(au_otlp_maker_t *maker,
                                      au_slice_t log_record);

/* Makes the metadata, of at most "max_bytes". false: something is malformed. */
AU_MUST_CHECK bool au_otlp_maker_make(au_otlp_maker_t *maker,
                                      au_otlp_context_t context,
                                      bool has_attributes, size_t max_bytes);

/* Whether memory ran out since the last clear. */
bool au_otlp_maker_has_failed(const au_otlp_maker_t *maker);

#endif
