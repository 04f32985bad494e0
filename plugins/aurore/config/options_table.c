/* SPDX-License-Identifier: MIT
 * Part of config/; calls metrics/, event/, base/.
 *
 * A new option needs a row here and a member in options.h; then "make tables",
 * which makes conf.d/aurore.conf and collectd-aurore(5) from the rows, in
 * order. What may follow a row's help is in options.h: ".group" begins a new
 * group,
 * ".details" is for the manual page alone, and ".installed" is the value that
 * the installed file sets. The help names the unit of a number, and is made of
 * whole sentences, the first of which may lack its verb.
 */
#include "config/options_private.h"

#define MEMBER(field)                                                          \
  .offset = offsetof(au_options_t, field),                                     \
  .width = sizeof(((au_options_t *)NULL)->field)

/* The last argument and what follows it are the help and its designators. */
#define OPTION(option, plugin, kind_, field, default_, range, ...)             \
  .info = {.name = (option),                                                   \
           .side = AU_SIDE_##plugin,                                           \
           .type_text = TYPE_##kind_,                                          \
           .default_text = (default_),                                         \
           .range_text = (range),                                              \
           .help = __VA_ARGS__},                                               \
  .kind = AU_OPTION_##kind_, MEMBER(field)

#define NUMBER(option, plugin, kind, field, default_, min_, max_, ...)         \
  {                                                                            \
    OPTION(option, plugin, kind, field, default_, min_ " to " max_,            \
           __VA_ARGS__),                                                       \
        .min = (min_), .max = (max_)                                           \
  }

#define OTHER(option, plugin, kind, field, default_, ...)                      \
  { OPTION(option, plugin, kind, field, default_, RANGE_##kind, __VA_ARGS__) }

#define TYPE_WHOLE "a whole number"
#define TYPE_BYTES "a size in bytes, or with KiB, MiB, GiB or TiB"
#define TYPE_SECONDS "a number of seconds"
#define TYPE_RATE "a number"
#define TYPE_STATUS "a status of HTTP"
#define TYPE_BOOLEAN "a boolean"
#define TYPE_TEXT "a string"
#define TYPE_FILE "a file name"
#define TYPE_TIME_OF_DAY "a time of day"
#define TYPE_DURABILITY "a word"
#define TYPE_ONCE "a word"
#define TYPE_LISTEN "an address"
#define TYPE_ORIGIN "an origin"

#define RANGE_STATUS "0, 200, 201, 202 or 204"
#define RANGE_BOOLEAN "true or false"
#define RANGE_TEXT "at most 4096 bytes"
#define RANGE_FILE "at most 4096 bytes"
#define RANGE_TIME_OF_DAY "\"00:00\" to \"23:59\""
#define RANGE_DURABILITY "\"commit\", \"interval\" or \"memory\""
#define RANGE_ONCE "\"none\" or \"request\""
#define RANGE_LISTEN                                                           \
  "\"ADDRESS:PORT\", \"[ADDRESS]:PORT\" or \"unix:/PATH\", where ADDRESS is "  \
  "numeric, \"localhost\" or \"*\", and PORT 1 to 65535"
#define RANGE_ORIGIN                                                           \
  "\"*\", or \"SCHEME://HOST\" or \"SCHEME://HOST:PORT\" without a path; "     \
  "\"\" "                                                                      \
  "for none"

const au_option_t au_option_table[] = {
    OTHER("Listen", BUFFER, LISTEN, listen, AU_LISTEN_DEFAULT,
          "Address and port, or Unix socket, on which the HTTP API listens. "
          "May be given up to 16 times.",
          .group = "HTTP server", .installed = AU_LISTEN_DEFAULT,
          .details =
              "An address that cannot be used is logged and tried again until "
              "it can be; the other addresses are served meanwhile."),
    NUMBER("Threads", BUFFER, WHOLE, threads, "2", "1", "64",
           "Number of threads that read and answer requests."),
    NUMBER("MaxConnections", BUFFER, WHOLE, max_connections, "1024", "1",
           "65536",
           "Maximum number of open connections, of all listeners together. One "
           "more waits until another is closed. A tenth of them is only for "
           "addresses that have no connection yet, so that a health check gets "
           "through.",
           .details =
               "At the start the limit of open files is raised as far as the "
               "system allows. If it is too low for MaxConnections beside what "
               "the spool, the database and collectd need, MaxConnections is "
               "lowered, which is logged. With 10 or fewer connections none is "
               "set aside."),
    NUMBER("MaxConnectionsPerAddress", BUFFER, WHOLE,
           max_connections_per_address, "256", "0", "65536",
           "Maximum number of open connections from one client address; 0: no "
           "limit, as behind a load balancer. More are closed at once, and "
           "counted in http_connections_refused_total.",
           .details = "IPv6 addresses of one /64 network count as one address. "
                      "Clients of a Unix socket are not limited."),
    NUMBER("RequestTimeout", BUFFER, SECONDS, request_timeout_s, "10", "1",
           "3600",
           "Seconds that a client may stand still while a request or its "
           "answer is under way; then the connection is closed.",
           .details =
               "Progress counts, not age: at least 8 bytes in RequestTimeout, "
               "and after six times RequestTimeout an average of 100 bytes a "
               "second. A header may take four times RequestTimeout. A reader "
               "of an answer may pause for up to 30 seconds after it has taken "
               "2 KiB for each of them. A request that waits for the disk or "
               "the database is not ended by it."),
    NUMBER("KeepAliveTimeout", BUFFER, SECONDS, keep_alive_timeout_s, "65", "1",
           "3600",
           "Seconds that a connection without a request is kept open after an "
           "answer. Clients are told one second less, in the header "
           "Keep-Alive."),

    NUMBER("DrainTime", BUFFER, SECONDS, drain_time_s, "0", "0", "300",
           "Seconds between the moment when /ready says that the server is "
           "shutting down and the end of accepting: as long as a load balancer "
           "needs to send nobody here any more. Until then requests are "
           "answered as ever, and their connections are closed."),

    OTHER("SpoolDirectory", BUFFER, TEXT, spool_directory, "",
          "Directory of the spool, which holds accepted events until they are "
          "stored; created if it is missing. If it is absent or \"\", events "
          "wait in memory and are lost when the process is killed.",
          .group = "Buffer", .installed = "/var/lib/collectd/aurore",
          .details = "Without a spool, a shutdown stores what waits, for at "
                     "most ShutdownTimeout seconds; what cannot be stored by "
                     "then is lost, which is logged, and collectd exits with "
                     "status 1. aurorectl(1) inspects a spool."),
    OTHER("Durability", BUFFER, DURABILITY, durability, "commit",
          "When a request is answered with 202: \"commit\", after its events "
          "have been written to disk with fdatasync; \"interval\", at once, "
          "with a sync every SyncInterval seconds; \"memory\", at once, "
          "without any sync. Without a SpoolDirectory, \"memory\" is the "
          "default and the only choice.",
          .details =
              "With \"commit\" no acknowledged event is lost, not even in a "
              "power cut. With \"interval\" a power cut, but not the death of "
              "the process, loses at most what was accepted in the last "
              "SyncInterval. With \"memory\" and a SpoolDirectory, a power cut "
              "loses what the kernel had not written yet."),
    NUMBER(
        "SyncInterval", BUFFER, SECONDS, sync_interval_s, "0.2", "0.01", "60",
        "Seconds between two syncs of the spool with Durability \"interval\"."),
    NUMBER(
        "Capacity", BUFFER, WHOLE, capacity, "1000000", "1", "1000000000",
        "Maximum number of events waiting to be stored, in all lanes together.",
        .details =
            "When the buffer is full, requests are answered with 429 and a "
            "Retry-After that follows from the measured rate of storing. A "
            "Capacity below MaxBatchEvents cannot take a full request."),
    NUMBER("MaxBytes", BUFFER, BYTES, max_bytes, "1GiB", "64KiB", "1TiB",
           "Maximum size of the events waiting to be stored, in all lanes "
           "together, as the spool holds them.",
           .details = "The file system of the SpoolDirectory must be able to "
                      "spare it. Of what the events leave of it each lane "
                      "takes up to two segments (64 MiB each, or a quarter of "
                      "MaxBytes) that it has emptied and will write again. "
                      "Without a spool it bounds the memory in use."),
    NUMBER(
        "Lanes", BUFFER, WHOLE, lanes, "1", "1", "16",
        "Number of independent spools, each with its own writer and database "
        "connection. More lanes store faster if the database has idle cores.",
        .details = "Events of one request are stored in order, within one "
                   "lane; between requests there is no order. Lanes may be "
                   "added and removed: what waits in a lane that is no longer "
                   "configured is still stored."),

    NUMBER("MaxBodyBytes", BUFFER, BYTES, limits.max_body_bytes, "1MiB", "1KiB",
           "64MiB", "Maximum size of a request's body, after decompression.",
           .group = "Limits on requests",
           .details = "A larger body is refused with 413."),
    NUMBER("MaxBatchEvents", BUFFER, WHOLE, limits.max_batch_events, "10000",
           "1", "100000", "Maximum number of events in one request."),
    NUMBER("ServiceMaxLength", BUFFER, WHOLE, limits.service_max_length, "100",
           "1", "1000",
           "Maximum length of an event's service, in characters (Unicode code "
           "points)."),
    NUMBER("MessageMaxLength", BUFFER, WHOLE, limits.message_max_length, "2000",
           "1", "1000000",
           "Maximum length of an event's message, in characters (Unicode code "
           "points)."),
    NUMBER("MetadataMaxBytes", BUFFER, BYTES, limits.metadata_max_bytes,
           "16KiB", "2", "1MiB",
           "Maximum size of an event's metadata, as compact JSON."),
    NUMBER("MetadataMaxKeys", BUFFER, WHOLE, limits.metadata_max_keys, "100",
           "1", "10000",
           "Maximum number of keys in an event's metadata, counted over all "
           "levels."),
    NUMBER("MetadataMaxDepth", BUFFER, WHOLE, limits.metadata_max_depth, "5",
           "0", "100",
           "Maximum number of nested levels of objects and arrays in an "
           "event's metadata, below the topmost."),
    OTHER("TraceContext", BUFFER, BOOLEAN, trace_context, "false",
          "Whether events of POST /events bear the trace of their request: the "
          "ids of the header \"traceparent\" (W3C Trace Context) are kept in "
          "their metadata as traceId and spanId.",
          .details = "A traceId or spanId that an event has in its metadata "
                     "stands. The two come on top of the limits of metadata. "
                     "A header that is malformed is passed over."),
    NUMBER(
        "OtlpMaxBodyBytes", BUFFER, BYTES, limits.otlp_max_body_bytes, "16MiB",
        "1KiB", "64MiB",
        "Maximum size of a body of OpenTelemetry logs (POST /v1/logs), after "
        "decompression.",
        .details = "It is larger than MaxBodyBytes, since exporters throw a "
                   "batch away that is refused with 413. If it is not "
                   "given, it is at most three quarters of BodyMemory. The "
                   "events of one "
                   "such request take at most 32 MiB: what is more loses "
                   "resource and scope, then attributes from the end."),
    NUMBER("OtlpMaxRecords", BUFFER, WHOLE, limits.otlp_max_records, "50000",
           "1", "100000",
           "Maximum number of log records in one request of OpenTelemetry "
           "logs."),
    NUMBER("BodyMemory", BUFFER, BYTES, body_memory, "96MiB", "4MiB", "1TiB",
           "Maximum size of bodies, of the events that are being made from "
           "them, and of answers until they have been sent, of all "
           "connections together.",
           .details =
               "If it is not given, it is at least four times the larger of "
               "MaxBodyBytes and OtlpMaxBodyBytes. "
               "One request may take three quarters of it, and pages of stored "
               "events together a half; 8 MiB (at most a quarter) are only for "
               "requests that need no more than 64 KiB. What does not fit is "
               "refused with 503 and a Retry-After. Each open connection takes "
               "16 KiB more, which MaxConnections bounds."),
    NUMBER("RateLimit", BUFFER, RATE, rate_limit, "0", "0", "1000000000",
           "Maximum number of events per second from all clients together; 0: "
           "no limit.",
           .details = "A burst may bring one second's worth at once. What is "
                      "above the limit is refused with 429 and a Retry-After."),
    NUMBER("RateLimitPerAddress", BUFFER, RATE, rate_limit_per_address, "0",
           "0", "1000000000",
           "Maximum number of events per second from one client address; 0: no "
           "limit.",
           .details = "IPv6 addresses of one /64 network count as one address, "
                      "and so do all clients of a Unix socket."),

    OTHER("TokenFile", BUFFER, FILE, token_file, "",
          "File of access tokens, with one \"SCOPE sha256-of-the-token\" per "
          "line. The scopes are ingest (send events), read (queries and "
          "metrics) and admin (everything). /live, /ready, /health, "
          "/health/buffer and /health/database need no token. If it is absent "
          "or \"\", nothing does.",
          .group = "Access control",
          .details =
              "A client sends its token in the header \"Authorization: Bearer "
              "TOKEN\". The file holds at most 1000 tokens, and of each only "
              "the hash: the 64 hexadecimal digits that \"printf %s TOKEN | "
              "sha256sum\" prints, without what follows them. A line may end "
              "in a comment that begins with \"#\". The file is read again "
              "within a few seconds when it changes, as TLSCertificate is; a "
              "file of comments alone lets nobody in."),
    OTHER("TLSCertificate", BUFFER, FILE, tls_certificate, "",
          "PEM file of the server's certificate, followed by those of "
          "intermediate authorities. Together with TLSKey it turns HTTPS on.",
          .details =
              "TLS 1.2 and 1.3 are offered, with forward secrecy and "
              "authenticated encryption only. A key for ECDSA (P-256) costs a "
              "handshake a third of the processor time of one for RSA; who "
              "comes again resumes its session, which costs less still. "
              "TLSCertificate, TLSKey and TLSClientCA are read again within a "
              "few seconds when one of them changes, also when it is replaced "
              "by another file or a symbolic link on the way to it is; no "
              "connection is closed, and new ones use the new files. Files "
              "that cannot be read or do not belong together leave the old "
              "ones in force, with a line in the log, a notification and "
              "config_reload_failures_total. At the start, event_buffer does "
              "not start with such files, and collectd goes on without it."),
    OTHER("TLSKey", BUFFER, FILE, tls_key, "",
          "PEM file of the private key that belongs to TLSCertificate."),
    OTHER(
        "TLSClientCA", BUFFER, FILE, tls_client_ca, "",
        "PEM file of certificate authorities. If it is set, a client must "
        "present a certificate that one of them has issued.",
        .details =
            "The certificate must be valid now, and for clients: if it has an "
            "extended key usage, that must include clientAuth. A server's "
            "certificate of the same authority is refused. There are no "
            "revocation lists; to shut a client out, replace the authority."),
    OTHER(
        "AllowOrigin", BUFFER, ORIGIN, allow_origin, "",
        "Origin of web pages that may use the API from a browser (CORS), such "
        "as \"https://app.example.com\"; \"*\" allows all. May be given up to "
        "64 times. If it is absent or \"\", no page of another origin can "
        "read an answer.",
        .details =
            "Pages of an origin that is listed by name may send events with "
            "the credentials of their visitor, which navigator.sendBeacon "
            "needs; no other request is allowed to have any, and none is "
            "with \"*\". It is no access control: what is not a browser "
            "does not ask, so use tokens as well."),

    NUMBER("KeepStored", BUFFER, SECONDS, keep_stored_s, "600", "0", "604800",
           "Seconds for which events stay in the spool after they have been "
           "stored, so that they can be stored again if the database falls "
           "back to an earlier time: a standby that was behind is promoted, a "
           "backup is restored. 0: not at all.",
           .group = "If the database falls back",
           .details =
               "Each event is stored once all the same. What the database has "
               "lost and the spool no longer holds is logged, notified, and "
               "counted in events_lost_total. Without a SpoolDirectory nothing "
               "is kept."),
    NUMBER("KeepStoredBytes", BUFFER, BYTES, keep_stored_bytes, "256MiB", "0",
           "1TiB",
           "Maximum size of the stored events that are kept, in all lanes "
           "together; the oldest go first.",
           .details =
               "They are kept in whole segments of the spool, which become "
               "smaller so that each lane has at least four. They never take "
               "room from waiting events, and go first when the disk is full: "
               "they count neither in Capacity nor in MaxBytes."),
    OTHER("Lenient", BUFFER, BOOLEAN, is_lenient, "false",
          "Whether whatever is a JSON object becomes an event: what is unknown "
          "goes into its metadata, what is missing is made up, what is too "
          "long is cut. The parameter \"lenient\" of a request says otherwise.",
          .group = "Shapes of others",
          .details =
              "Fields that have other names are named by parameters of the "
              "request: timestamp_field, service_field, message_field, "
              "id_field and events_field; see the document at /openapi.yaml."),
    OTHER(
        "Once", BUFFER, ONCE, once_by_bytes, "none",
        "Whether a request without an Idempotency-Key is stored once, however "
        "often it is sent: \"request\" lets it go by its bytes, for senders "
        "that repeat a request byte for byte. The parameter \"once\" of a "
        "request says otherwise.",
        .details =
            "A request goes by its bytes only if one of its events bears a "
            "time that can be read. Two that are equal to the last byte, "
            "times included, count as one. See also DedupWindow."),
    {OPTION("AcceptedStatus", BUFFER, STATUS, accepted_status, "0",
            RANGE_STATUS,
            "Status of the answer whenever events were accepted, for senders "
            "that take no other for success, or that repeat what is answered "
            "with 207 for ever; 0: 202, and 207 when some events are refused. "
            "The parameter \"accepted_status\" of a request says otherwise.",
            .details = "The header X-Rejected then tells how many events were "
                       "refused. With 204 the answer has no body."),
     .min = "0", .max = "204"},

    OTHER("HistoryFile", BUFFER, TEXT, history_file, "",
          "File to which the snapshots of the buffer's metrics are appended, "
          "one line of JSON each, so that they survive a restart. If it is "
          "absent or \"\", they are kept in memory only.",
          .group = "Metrics history",
          .details = "GET /metrics/history returns the newest snapshots, at "
                     "most 1000, from memory."),
    NUMBER("HistoryInterval", BUFFER, SECONDS, history_interval_s, "60", "1",
           "86400", "Seconds between two snapshots."),
    NUMBER("HistoryMaxBytes", BUFFER, BYTES, history_max_bytes, "16MiB", "4KiB",
           "1TiB",
           "Maximum size of HistoryFile. Before it would grow beyond that it "
           "is renamed to FILE.1, the one old file that is kept."),

    OTHER("ConnInfo", WRITER, TEXT, conninfo, "dbname=aurore_events",
          "Connection string or URI, as libpq takes it. The PG* environment "
          "variables, the "
          "service file and the password file work as in psql. A password "
          "belongs in one of those files, as everybody can read this one.",
          .group = "Database", .installed = "dbname=aurore_events"),
    NUMBER("ConnectTimeout", WRITER, SECONDS, connect_timeout_s, "5", "0.1",
           "300", "Seconds after which an attempt to connect is given up."),
    NUMBER(
        "StatementTimeout", WRITER, SECONDS, statement_timeout_s, "30", "0.1",
        "3600",
        "Seconds after which the database cancels a statement of the writer."),

    NUMBER("BatchSize", WRITER, WHOLE, batch_size, "5000", "1", "100000",
           "Number of waiting events at which a batch is stored without "
           "waiting for DrainInterval; also the maximum number of events in a "
           "batch, which is one transaction.",
           .group = "Storing events"),
    NUMBER("DrainInterval", WRITER, SECONDS, drain_interval_s, "0.1", "0.001",
           "3600",
           "Seconds after which a waiting event is stored even if fewer than "
           "BatchSize events wait."),
    OTHER("AsyncCommit", WRITER, BOOLEAN, async_commit, "false",
          "Whether the database may confirm a batch before it is on its disk "
          "(synchronous_commit off, for our sessions alone). What a crash of "
          "the server then takes back is stored again from the spool.",
          .details =
              "Needs a SpoolDirectory and a KeepStored that is longer than the "
              "server takes to write what it has confirmed (three times its "
              "wal_writer_delay, 0.6 seconds by default); a disk so full that "
              "what is kept must go leaves nothing to be stored again."),
    NUMBER("ShutdownTimeout", WRITER, SECONDS, shutdown_timeout_s, "30", "0",
           "3600",
           "Seconds that collectd, when it stops, spends on storing the events "
           "that still wait. Keep it below the TimeoutStopSec of collectd's "
           "systemd unit (90 by default).",
           .details = "With a SpoolDirectory, events that are left then are "
                      "stored after the next start."),

    NUMBER("BreakerFailures", WRITER, WHOLE, breaker_failures, "5", "1", "1000",
           "Number of consecutive failures after which the circuit breaker "
           "opens: from then on the database is only probed.",
           .group = "When the database fails"),
    NUMBER("BreakerSuccesses", WRITER, WHOLE, breaker_successes, "2", "1",
           "1000",
           "Number of consecutive successful probes after which the circuit "
           "breaker closes again."),
    NUMBER("BreakerTimeout", WRITER, SECONDS, breaker_timeout_s, "1", "0.1",
           "3600",
           "Seconds between two probes of an open circuit breaker. A probe is "
           "one attempt to connect and to store, by one lane."),
    NUMBER("BackoffMin", WRITER, SECONDS, backoff_min_s, "0.1", "0.001", "3600",
           "Upper limit, in seconds, of the random delay before the first "
           "retry; it doubles with each further one.",
           .details = "Must not be above BackoffMax."),
    NUMBER("BackoffMax", WRITER, SECONDS, backoff_max_s, "2", "0.001", "3600",
           "Upper limit, in seconds, of the delay before any retry."),

    NUMBER("RetentionDays", WRITER, WHOLE, retention_days, "30", "0", "36500",
           "Number of days for which events are kept; 0: forever. Only whole "
           "days (UTC) are dropped.",
           .group = "Retention",
           .details = "An event's age counts from when it was accepted, not "
                      "from its own timestamp."),
    OTHER("RetentionTime", WRITER, TIME_OF_DAY, retention_time, "02:00",
          "Time of day (UTC) at which days that are over RetentionDays old are "
          "dropped."),

    NUMBER("DedupWindow", WRITER, SECONDS, dedup_window_s, "86400", "0",
           "31536000",
           "Seconds for which the id of an event, or of a request, is known "
           "that its client has given: within them it is stored once, however "
           "often it is sent. 0: ids are not compared.",
           .group = "Events that are sent again",
           .details =
               "An id is forgotten after twice that at the latest. Of several "
               "hosts that store into one database, the largest counts for "
               "all; one that is not heard of any more for 30 days has no "
               "say."),

    NUMBER("BusinessInterval", WRITER, SECONDS, business_interval_s, "10",
           "0.1", "86400",
           "Seconds between two readings of the business metrics.",
           .group = "Metrics"),
    NUMBER("BusinessServices", WRITER, WHOLE, business_services, "50", "0",
           "1000",
           "Number of services, those with the most events, that have a series "
           "of their own in the business metrics. The others are added up as "
           "\"other\"."),
    NUMBER("SlowQuery", WRITER, SECONDS, slow_query_s, "1.0", "0", "3600",
           "Seconds after which a database operation counts as slow."),

    NUMBER("QueryMaxDays", WRITER, WHOLE, query_max_days, "30", "1", "36500",
           "Maximum number of days between \"from\" and \"to\" of a query.",
           .group = "Queries (GET /events)"),
    NUMBER("QueryTimeout", WRITER, SECONDS, query_timeout_s, "30", "0.1",
           "3600", "Seconds after which a query is cancelled."),
    NUMBER("QueryConnections", WRITER, WHOLE, query_connections, "2", "1", "64",
           "Number of database connections for queries."),

    OTHER("Notifications", WRITER, BOOLEAN, notifications, "false",
          "Whether collectd's notifications are stored as events, too, with "
          "the service \"collectd/PLUGIN\".",
          .group = "Notifications",
          .details = "They are checked and buffered like all events; those "
                     "that cannot be kept are counted in events_dropped_total "
                     "and events_rejected_total.")};

_Static_assert(sizeof(au_option_table) / sizeof(au_option_table[0]) <=
                   AU_OPTIONS_MAX,
               "au_options_t has no room for this many options");

const size_t au_option_count =
    sizeof(au_option_table) / sizeof(au_option_table[0]);

bool au_option_info(size_t index, au_option_info_t *out_info) {
  if (index >= au_option_count)
    return false;
  *out_info = au_option_table[index].info;
  return true;
}
