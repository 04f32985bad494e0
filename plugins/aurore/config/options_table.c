/* SPDX-License-Identifier: MIT
 *
 * options_table - every option: its name, where its value goes, the default and
 * the range as one would write them, and what it is for. The order is that of
 * the reference.
 *
 * A new option needs a row here, a member in options.h, and a line in
 * conf.d/aurore.conf, which a test compares with this table.
 */
#include "config/options_private.h"

#define MEMBER(field)                                                          \
  .offset = offsetof(au_options_t, field),                                     \
  .width = sizeof(((au_options_t *)NULL)->field)

#define OPTION(option, plugin, kind_, field, default_, range, text)            \
  .info = {.name = (option),                                                   \
           .side = AU_SIDE_##plugin,                                           \
           .type_text = TYPE_##kind_,                                          \
           .default_text = (default_),                                         \
           .range_text = (range),                                              \
           .help = (text)},                                                    \
  .kind = AU_OPTION_##kind_, MEMBER(field)

#define NUMBER(option, plugin, kind, field, default_, min_, max_, text)        \
  {                                                                            \
    OPTION(option, plugin, kind, field, default_, min_ " to " max_, text),     \
        .min = (min_), .max = (max_)                                           \
  }

#define OTHER(option, plugin, kind, field, default_, text)                     \
  { OPTION(option, plugin, kind, field, default_, RANGE_##kind, text) }

#define TYPE_WHOLE "a whole number"
#define TYPE_BYTES "a size in bytes, or with KiB, MiB, GiB or TiB"
#define TYPE_SECONDS "a number of seconds"
#define TYPE_RATE "a number"
#define TYPE_BOOLEAN "a boolean"
#define TYPE_TEXT "a text"
#define TYPE_FILE "the name of a file"
#define TYPE_TIME_OF_DAY "a time of day"
#define TYPE_DURABILITY "a word"
#define TYPE_LISTEN "an address"

#define RANGE_BOOLEAN "true or false"
#define RANGE_TEXT "at most 4096 bytes"
#define RANGE_FILE "at most 4096 bytes"
#define RANGE_TIME_OF_DAY "\"00:00\" to \"23:59\""
#define RANGE_DURABILITY "\"commit\", \"interval\" or \"memory\""
#define RANGE_LISTEN                                                           \
  "\"ADDRESS:PORT\", \"[ADDRESS]:PORT\" or \"unix:/PATH\", where ADDRESS is "  \
  "numeric, \"localhost\" or \"*\", and PORT 1 to 65535"

const au_option_t au_option_table[] = {
    OTHER("Listen", BUFFER, LISTEN, listen, AU_LISTEN_DEFAULT,
          "Where events and questions come in; may be given up to 16 times"),
    OTHER("SpoolDirectory", BUFFER, TEXT, spool_directory, "",
          "Directory of the spool, made when it is missing; empty: events wait "
          "in memory only"),
    OTHER("Durability", BUFFER, DURABILITY, durability, "commit",
          "When a request is answered with 202: after fdatasync, at once and "
          "synced every SyncInterval, or at once and never synced (all there "
          "is, and the default, without a SpoolDirectory)"),
    NUMBER("SyncInterval", BUFFER, SECONDS, sync_interval_s, "0.2", "0.01",
           "60", "Between two syncs with Durability \"interval\""),
    NUMBER("Capacity", BUFFER, WHOLE, capacity, "1000000", "1", "1000000000",
           "Events that may wait, all lanes together"),
    NUMBER("MaxBytes", BUFFER, BYTES, max_bytes, "1GiB", "64KiB", "1TiB",
           "Bytes of spool that may wait, all lanes together"),
    NUMBER("Lanes", BUFFER, WHOLE, lanes, "1", "1", "16",
           "Independent spools, each with a writer and a connection"),
    NUMBER("Threads", BUFFER, WHOLE, threads, "2", "1", "64",
           "Threads that read and answer requests"),
    NUMBER("MaxConnections", BUFFER, WHOLE, max_connections, "1024", "1",
           "65536", "Open connections; one more is closed at once"),
    NUMBER("RequestTimeout", BUFFER, SECONDS, request_timeout_s, "10", "1",
           "3600", "After which a connection that sends nothing is closed"),
    NUMBER("MaxBodyBytes", BUFFER, BYTES, limits.max_body_bytes, "1MiB", "1KiB",
           "64MiB", "Body of a request, after it was unpacked"),
    NUMBER("MaxBatchEvents", BUFFER, WHOLE, limits.max_batch_events, "10000",
           "1", "100000", "Events in one request"),
    NUMBER("ServiceMaxLength", BUFFER, WHOLE, limits.service_max_length, "100",
           "1", "1000", "Characters (code points) of a service"),
    NUMBER("MessageMaxLength", BUFFER, WHOLE, limits.message_max_length, "2000",
           "1", "1000000", "Characters (code points) of a message"),
    NUMBER("MetadataMaxBytes", BUFFER, BYTES, limits.metadata_max_bytes,
           "16KiB", "2", "1MiB", "Metadata as compact JSON"),
    NUMBER("MetadataMaxKeys", BUFFER, WHOLE, limits.metadata_max_keys, "100",
           "1", "10000", "Keys of metadata, in all its levels together"),
    NUMBER("MetadataMaxDepth", BUFFER, WHOLE, limits.metadata_max_depth, "5",
           "0", "100", "Levels of objects and arrays below the top"),
    NUMBER("RateLimit", BUFFER, RATE, rate_limit, "0", "0", "1000000000",
           "Events a second, of all clients; 0: no limit"),
    NUMBER("RateLimitPerAddress", BUFFER, RATE, rate_limit_per_address, "0",
           "0", "1000000000", "Events a second and address; 0: no limit"),
    OTHER("TokenFile", BUFFER, FILE, token_file, "",
          "One \"SCOPE sha256-of-the-token\" a line, with the scopes ingest, "
          "read and admin; empty: no token is asked for"),
    OTHER("TLSCertificate", BUFFER, FILE, tls_certificate, "",
          "PEM file; with TLSKey: HTTPS"),
    OTHER("TLSKey", BUFFER, FILE, tls_key, "", "PEM file"),
    OTHER("TLSClientCA", BUFFER, FILE, tls_client_ca, "",
          "PEM file of the authorities whose client certificates are "
          "demanded"),
    OTHER(
        "HistoryFile", BUFFER, TEXT, history_file, "",
        "File for one line of JSON every HistoryInterval; empty: memory alone"),
    NUMBER("HistoryInterval", BUFFER, SECONDS, history_interval_s, "60", "1",
           "86400", "Between two snapshots of the figures"),
    NUMBER("HistoryMaxBytes", BUFFER, BYTES, history_max_bytes, "16MiB", "4KiB",
           "1TiB", "After which HistoryFile is renamed; one old file is kept"),

    OTHER("ConnInfo", WRITER, TEXT, conninfo, "dbname=aurore_events",
          "libpq connection string or URI; PG* variables, service and password "
          "files work as in psql"),
    NUMBER("BatchSize", WRITER, WHOLE, batch_size, "5000", "1", "100000",
           "Store as soon as so many events wait"),
    NUMBER("DrainInterval", WRITER, SECONDS, drain_interval_s, "0.1", "0.001",
           "3600", "Store when the oldest event has waited so long"),
    NUMBER("ShutdownTimeout", WRITER, SECONDS, shutdown_timeout_s, "30", "0",
           "3600", "To store what still waits when collectd stops"),
    NUMBER("StatementTimeout", WRITER, SECONDS, statement_timeout_s, "30",
           "0.1", "3600", "After which the database cancels a statement"),
    NUMBER("ConnectTimeout", WRITER, SECONDS, connect_timeout_s, "5", "0.1",
           "300", "To connect to the database"),
    NUMBER("BreakerFailures", WRITER, WHOLE, breaker_failures, "5", "1", "1000",
           "Failures in a row that open the circuit breaker"),
    NUMBER("BreakerSuccesses", WRITER, WHOLE, breaker_successes, "2", "1",
           "1000", "Successes in a row that close it"),
    NUMBER("BreakerTimeout", WRITER, SECONDS, breaker_timeout_s, "30", "0.1",
           "3600", "Until an open breaker lets one attempt through"),
    NUMBER("BackoffMin", WRITER, SECONDS, backoff_min_s, "0.1", "0.001", "3600",
           "Between the first attempts"),
    NUMBER("BackoffMax", WRITER, SECONDS, backoff_max_s, "30", "0.001", "3600",
           "Between attempts at most"),
    NUMBER("RetentionDays", WRITER, WHOLE, retention_days, "30", "0", "36500",
           "Days that events are kept; 0: for ever"),
    OTHER("RetentionTime", WRITER, TIME_OF_DAY, retention_time, "02:00",
          "When whole days are dropped, UTC"),
    NUMBER("BusinessInterval", WRITER, SECONDS, business_interval_s, "10",
           "0.1", "86400", "Between two readings of the business counters"),
    NUMBER("BusinessServices", WRITER, WHOLE, business_services, "50", "0",
           "1000",
           "The largest services get a value of their own, the rest is "
           "\"other\""),
    NUMBER("SlowQuery", WRITER, SECONDS, slow_query_s, "1.0", "0", "3600",
           "A query that takes longer is counted as slow"),
    NUMBER("QueryMaxDays", WRITER, WHOLE, query_max_days, "30", "1", "36500",
           "Days between \"from\" and \"to\" of a query"),
    NUMBER("QueryTimeout", WRITER, SECONDS, query_timeout_s, "30", "0.1",
           "3600", "After which a query is cancelled"),
    NUMBER("QueryConnections", WRITER, WHOLE, query_connections, "2", "1", "64",
           "Connections for queries"),
    OTHER("Notifications", WRITER, BOOLEAN, notifications, "false",
          "Store collectd's notifications as events too, of the service "
          "\"collectd/<plugin>\""),
};

const size_t au_option_count =
    sizeof(au_option_table) / sizeof(au_option_table[0]);

bool au_option_info(size_t index, au_option_info_t *out_info) {
  if (index >= au_option_count)
    return false;
  *out_info = au_option_table[index].info;
  return true;
}
