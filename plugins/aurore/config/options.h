/* SPDX-License-Identifier: MIT
 * Part of config/; calls metrics/, event/, base/.
 *
 * options - the one table of all configuration options: name, plugin, type,
 * default, range and text. The parser, the defaults, the messages,
 * conf.d/aurore.conf and the manual page come from it.
 *
 * Threads: set during configuration, in the main thread, before any other
 * thread; read-only afterwards.
 */
#ifndef AURORE_CONFIG_OPTIONS_H
#define AURORE_CONFIG_OPTIONS_H

#include "base/side.h"
#include "base/status.h"
#include "config/durability.h"
#include "event/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The plugins call these; all else in libaurore is hidden. */
#pragma GCC visibility push(default)

#define AU_LISTEN_MAX 16
#define AU_ORIGINS_MAX 64
#define AU_OPTIONS_MAX 128

typedef struct au_options {
  /* event_buffer */
  char *listen[AU_LISTEN_MAX]; /* "host:port", "[v6]:port", "unix:/path" */
  size_t listen_count;         /* 0 before any Listen: the default is used */
  char *spool_directory;       /* "" = memory only */
  au_durability_t durability;
  bool durability_set;
  double sync_interval_s;
  uint64_t capacity;
  uint64_t max_bytes;
  unsigned lanes;
  unsigned threads;
  unsigned max_connections;
  unsigned max_connections_per_address; /* 0: no limit */
  double request_timeout_s;
  double keep_alive_timeout_s;
  double drain_time_s;
  au_limits_t limits;
  uint64_t body_memory;
  bool body_memory_set;
  bool otlp_max_body_bytes_set;
  double rate_limit;
  double rate_limit_per_address;
  char *token_file;
  char *tls_certificate;
  char *tls_key;
  char *tls_client_ca;
  char *allow_origin[AU_ORIGINS_MAX]; /* "scheme://host[:port]" as a browser
                                         writes it, or "*" */
  size_t allow_origins;               /* 0: no CORS */
  bool is_lenient;
  bool once_by_bytes;       /* Once "request" */
  unsigned accepted_status; /* 0: by what was accepted */
  char *history_file;
  double history_interval_s;
  bool trace_context;
  double keep_stored_s;       /* 0: nothing is kept */
  uint64_t keep_stored_bytes; /* the same */
  uint64_t history_max_bytes;
  /* event_writer */
  char *conninfo;
  unsigned batch_size;
  double drain_interval_s;
  double shutdown_timeout_s;
  double statement_timeout_s;
  double connect_timeout_s;
  unsigned breaker_failures;
  unsigned breaker_successes;
  double breaker_timeout_s;
  double backoff_min_s;
  double backoff_max_s;
  unsigned retention_days;
  char *retention_time; /* "HH:MM", UTC */
  double dedup_window_s;
  double business_interval_s;
  unsigned business_services;
  double slow_query_s;
  unsigned query_max_days;
  double query_timeout_s;
  unsigned query_connections;
  bool async_commit;
  bool notifications;
  /* Not an option: the version of the program that has loaded the plugins, for
   * /health/detailed; static, or NULL. */
  const char *host_version;
  /* By the row of the table: whether the option was set. */
  bool is_set[AU_OPTIONS_MAX];
} au_options_t;

/* A value as the configuration file writes it. */
typedef enum au_given_type {
  AU_VALUE_STRING,
  AU_VALUE_NUMBER,
  AU_VALUE_BOOLEAN
} au_given_type_t;

typedef struct au_given {
  au_given_type_t type;
  const char *string; /* borrowed */
  double number;
  bool boolean;
} au_given_t;

/* Fills in every default. AU_NOMEM: fini is still needed. */
AU_MUST_CHECK au_status_t au_options_init(au_options_t *options);
void au_options_fini(au_options_t *options);

/* Sets one option of one side; the name is matched without case, as collectd
 * does. AU_INVALID: "error" names the option, the value and what is allowed;
 * for an option that does not exist it names the nearest ones or all. A size
 * ("64KiB", "1MiB", "1GiB") may also be a number of bytes. A number that is set
 * again replaces the earlier one. A text (where to store, what to read) with
 * two different values is an error that names both, without passwords: one of
 * the two would go unnoticed. Listen and AllowOrigin add, and the same one
 * twice counts once. */
AU_MUST_CHECK au_status_t au_options_set(au_options_t *options, au_side_t side,
                                         const char *name,
                                         const au_given_t *value, char *error,
                                         size_t error_size);

/* Checks what only the whole can show (TLSKey without TLSCertificate,
 * Durability commit without SpoolDirectory, BackoffMin above BackoffMax, files
 * that must be readable), and settles what depends on other options: without a
 * directory the durability is memory. Call once after all blocks were read. */
AU_MUST_CHECK au_status_t au_options_finish(au_options_t *options,
                                            au_side_t side, char *error,
                                            size_t error_size);

/* A row of the table, for documentation and tests; all texts are static. */
typedef struct au_option_info {
  const char *name;
  au_side_t side;
  const char *type_text;
  const char *default_text;
  const char *range_text;
  const char *help;      /* whole sentences, in ASCII */
  const char *details;   /* more of them, for the manual page; may be NULL */
  const char *group;     /* heading of a group that begins here, or NULL */
  const char *installed; /* value that the installed aurore.conf sets; NULL:
                            none, it shows the default in a comment */
} au_option_info_t;

/* The row at "index", in the order of the manual page. false: past the end. */
bool au_option_info(size_t index, au_option_info_t *out_info);

#pragma GCC visibility pop

#endif
