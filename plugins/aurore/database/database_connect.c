/* SPDX-License-Identifier: MIT
 * Part of database/; calls spool/, config/, metrics/, event/, base/.
 *
 * database_connect - from a connection string to a session that is set up.
 *
 * Several hosts: libpq goes on to the next one when a host refuses, but in its
 * nonblocking form it stays with a host that is silent. So when the time is up,
 * the hosts up to that one are cut off the list and the rest is tried anew.
 *
 * The settings of the session: a direct connection gets them once. Behind a
 * pooler in transaction mode each transaction may run in another session of the
 * server, which other clients use, too; there the settings are SET LOCAL in
 * front of every string. A pooler gives its clients a backend number of its
 * own, so that it differs from the one that the server itself reports.
 */
#include "database/database_private.h"

#include "base/clock.h"
#include "metrics/metrics.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first that can detach a partition concurrently. */
#define SERVER_VERSION_MIN 140000
#define SERVER_VERSION_TEXT "14"

#define OPTIONS_MAX 16

static void hosts_fini(au_database_hosts_t *hosts) {
  free(hosts->host);
  free(hosts->hostaddr);
  free(hosts->port);
  *hosts = (au_database_hosts_t){.host = NULL};
}

typedef struct options {
  const char *keyword[OPTIONS_MAX];
  const char *value[OPTIONS_MAX];
  size_t count;
} options_t;

static void put_option(options_t *options, const char *keyword,
                       const char *value) {
  if (value == NULL || options->count + 1 >= OPTIONS_MAX)
    return;
  options->keyword[options->count] = keyword;
  options->value[options->count] = value;
  options->count++;
}

/* What libpq takes for a connection string; anything else is the name of a
 * database. */
static bool is_connection_string(const char *text) {
  return strncmp(text, "postgresql://", 13) == 0 ||
         strncmp(text, "postgres://", 11) == 0 || strchr(text, '=') != NULL;
}

au_status_t au_database_check_conninfo(const char *conninfo,
                                       au_database_error_t *error) {
  *error = (au_database_error_t){.fault = AU_FAULT_NONE};
  if (!is_connection_string(conninfo))
    return AU_OK;
  char *message = NULL;
  PQconninfoOption *options = PQconninfoParse(conninfo, &message);
  if (options != NULL) {
    PQconninfoFree(options);
    return AU_OK;
  }
  bool is_wrong = message != NULL;
  au_database_error_connect(error, is_wrong ? message : "out of memory", true);
  PQfreemem(message);
  return is_wrong ? AU_INVALID : AU_NOMEM;
}

/* Starts to connect. What comes before "dbname" is overridden by the
 * connection string, what comes after it is not. */
static PGconn *start_connection(const au_database_t *database,
                                const au_database_hosts_t *hosts) {
  options_t options = {.count = 0};
  put_option(&options, "fallback_application_name", database->application_name);
  /* A peer that vanished is noticed within some 25 s when idle, and within 10 s
   * when something was sent. */
  put_option(&options, "keepalives_idle", "10");
  put_option(&options, "keepalives_interval", "5");
  put_option(&options, "keepalives_count", "3");
  put_option(&options, "tcp_user_timeout", "10000");
  if (getenv("PGTARGETSESSIONATTRS") == NULL)
    put_option(&options, "target_session_attrs", "read-write");
  put_option(&options, "dbname", database->conninfo);
  put_option(&options, "client_encoding", "UTF8");
  put_option(&options, "host", hosts->host);
  put_option(&options, "hostaddr", hosts->hostaddr);
  put_option(&options, "port", hosts->port);
  options.keyword[options.count] = NULL;
  options.value[options.count] = NULL;
  return PQconnectStartParams(options.keyword, options.value, 1);
}

/* Connects until done, failed, or the wait has ended. AU_READY: see PQstatus.
 */
static au_ready_t poll_connection(au_database_t *database,
                                  int64_t deadline_ns) {
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
    short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    au_ready_t ready = au_database_wait(database, events, deadline_ns, &events);
    if (ready != AU_READY)
      return ready;
    next = PQconnectPoll(database->conn);
  }
  return AU_READY;
}

/* The n-th element of a comma-separated list, and where the list goes on after
 * it; a list of one element holds for every n. NULL: no such element. */
static const char *list_element(const char *list, size_t n, size_t *out_size) {
  if (strchr(list, ',') == NULL)
    n = 0;
  while (n > 0 && list != NULL) {
    list = strchr(list, ',');
    list = list == NULL ? NULL : list + 1;
    n--;
  }
  *out_size = list == NULL ? 0 : strcspn(list, ",");
  return list;
}

static bool element_is(const char *list, size_t n, const char *text) {
  size_t size = 0;
  const char *element = list_element(list, n, &size);
  return element != NULL && strlen(text) == size &&
         memcmp(element, text, size) == 0;
}

/* The list after its n-th element, as a copy; a list of one stays as it is. */
static char *list_after(const char *list, size_t n) {
  if (list == NULL)
    return NULL;
  size_t size = 0;
  const char *element = list_element(list, n, &size);
  if (strchr(list, ',') == NULL)
    return strdup(list);
  /* libpq would take an empty list for one that was not given. */
  if (element == NULL || element[size] == '\0' || element[size + 1] == '\0')
    return NULL;
  return strdup(element + size + 1);
}

static const char *option_value(const PQconninfoOption *options,
                                const char *keyword) {
  for (; options->keyword != NULL; options++)
    if (strcmp(options->keyword, keyword) == 0)
      return options->val != NULL && options->val[0] != '\0' ? options->val
                                                             : NULL;
  return NULL;
}

/* Cuts the hosts up to the one that libpq waits for. false: none is left. */
static bool next_hosts(PGconn *conn, au_database_hosts_t *hosts) {
  PQconninfoOption *options = PQconninfo(conn);
  if (options == NULL)
    return false;
  const char *host = option_value(options, "host");
  const char *hostaddr = option_value(options, "hostaddr");
  const char *port = option_value(options, "port");
  const char *list = host != NULL ? host : hostaddr;
  au_database_hosts_t rest = {NULL, NULL, NULL};
  size_t size = 0;
  for (size_t n = 0; list != NULL && strchr(list, ',') != NULL &&
                     list_element(list, n, &size) != NULL;
       n++) {
    if (!element_is(list, n, PQhost(conn)) ||
        (port != NULL && !element_is(port, n, PQport(conn))))
      continue;
    rest.host = list_after(host, n);
    rest.hostaddr = list_after(hostaddr, n);
    rest.port = list_after(port, n);
    break;
  }
  PQconninfoFree(options);
  hosts_fini(hosts);
  *hosts = rest;
  return rest.host != NULL || rest.hostaddr != NULL;
}

/* --- one of several hosts --- */

static char *copy_or_null(const char *text) {
  return text == NULL ? NULL : strdup(text);
}

/* What the connection string names, and the environment, as libpq has read
 * them. Out of memory: none. */
static void remember_hosts(au_database_t *database) {
  PQconninfoOption *options = PQconninfo(database->conn);
  hosts_fini(&database->all);
  if (options == NULL)
    return;
  database->all.host = copy_or_null(option_value(options, "host"));
  database->all.hostaddr = copy_or_null(option_value(options, "hostaddr"));
  database->all.port = copy_or_null(option_value(options, "port"));
  PQconninfoFree(options);
}

static const char *host_list(const au_database_t *database) {
  return database->all.host != NULL ? database->all.host
                                    : database->all.hostaddr;
}

unsigned au_database_hosts(const au_database_t *database) {
  unsigned count = 1;
  const char *list = host_list(database);
  for (; list != NULL && *list != '\0'; list++)
    count += *list == ',' ? 1 : 0;
  return count;
}

int au_database_host(const au_database_t *database) {
  const char *list = host_list(database);
  unsigned count = au_database_hosts(database);
  for (unsigned n = 0; n < count && list != NULL && database->conn != NULL; n++)
    if (element_is(list, n, PQhost(database->conn)) &&
        (database->all.port == NULL ||
         element_is(database->all.port, n, PQport(database->conn))))
      return (int)n;
  return -1;
}

void au_database_use_host(au_database_t *database, int host) {
  database->only = host;
}

/* The host that is to be connected to, for who follows the writers. */
static int led_host(const au_database_t *database) {
  if (database->leader == NULL || au_database_hosts(database) < 2)
    return database->only;
  return au_leader_host(database->leader);
}

/* Which hosts there are is known only to a connection that has begun. */
static void learn_hosts(au_database_t *database) {
  if (database->leader == NULL || database->knows_all)
    return;
  const au_database_hosts_t any = {.host = NULL};
  database->conn = start_connection(database, &any);
  if (database->conn == NULL)
    return; /* out of memory, as it will turn out */
  remember_hosts(database);
  database->knows_all = true;
  au_database_disconnect(database);
}

/* Goes where the writers went. */
static au_status_t follow(au_database_t *database, au_database_error_t *error) {
  learn_hosts(database);
  int host = led_host(database);
  if (host == AU_LEADER_NONE) {
    au_database_error_set(error,
                          "no writer has chosen one of the hosts of ConnInfo");
    return AU_UNAVAILABLE;
  }
  database->only = host;
  return AU_OK;
}

/* The n-th element of a list, as a copy. */
static char *list_copy(const char *list, size_t n) {
  if (list == NULL)
    return NULL;
  size_t size = 0;
  const char *element = list_element(list, n, &size);
  return element == NULL ? NULL : strndup(element, size);
}

/* The hosts that are tried. */
static au_database_hosts_t wanted_hosts(const au_database_t *database) {
  if (database->only < 0)
    return (au_database_hosts_t){.host = NULL};
  size_t n = (size_t)database->only;
  return (au_database_hosts_t){.host = list_copy(database->all.host, n),
                               .hostaddr = list_copy(database->all.hostaddr, n),
                               .port = list_copy(database->all.port, n)};
}

/* --- connecting --- */

/* Whether a commit has not waited for the standby that it should wait for.
 * Where the server does not say what warns, it may be that. */
static bool is_unreplicated(const PGresult *result, const char *severity) {
  const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char *source = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
  return severity != NULL && strcmp(severity, "WARNING") == 0 &&
         state != NULL && strcmp(state, "01000") == 0 &&
         (source == NULL || strcmp(source, "SyncRepWaitForLSN") == 0);
}

/* What nobody asked for: a notice, which is left out (libpq would print it on
 * the standard error of the host process), or the server's last word to an idle
 * connection. */
static void take_notice(void *context, const PGresult *result) {
  au_database_t *database = context;
  database->notices++;
  const char *severity =
      PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity != NULL &&
      (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
    database->dying = true;
  if (is_unreplicated(result, severity))
    database->unreplicated = true;
}

/* Connects to one of the hosts. On failure there is no connection. */
static au_status_t reach(au_database_t *database, au_database_error_t *error) {
  au_database_hosts_t hosts = wanted_hosts(database);
  for (bool is_first = true;; is_first = false) {
    au_database_disconnect(database);
    database->dying = false;
    database->unreplicated = false;
    database->conn = start_connection(database, &hosts);
    if (database->conn == NULL) {
      au_database_error_set(error, "out of memory");
      hosts_fini(&hosts);
      return AU_NOMEM;
    }
    if (is_first && database->only < 0)
      remember_hosts(database);
    (void)PQsetNoticeReceiver(database->conn, take_notice, database);
    /* The only way to see the SQLSTATE of a refused connection: in the text. */
    (void)PQsetErrorVerbosity(database->conn, PQERRORS_VERBOSE);
    if (PQstatus(database->conn) == CONNECTION_BAD) {
      /* Before anything was sent: an option, or a name that is not found. */
      au_database_error_connect(error, PQerrorMessage(database->conn), true);
      break;
    }
    int64_t deadline_ns =
        au_clock_monotonic_ns() + database->connect_timeout_ns;
    au_ready_t ready = poll_connection(database, deadline_ns);
    if (ready == AU_READY && PQstatus(database->conn) == CONNECTION_OK) {
      hosts_fini(&hosts);
      return AU_OK;
    }
    if (ready == AU_READY || ready == AU_READY_LOST) {
      au_database_error_connect(error, PQerrorMessage(database->conn), false);
      break;
    }
    au_database_error_wait(error, ready, database->connect_timeout_ns);
    if (ready == AU_READY_STOP || !next_hosts(database->conn, &hosts))
      break;
  }
  error->is_connect = true;
  hosts_fini(&hosts);
  au_database_disconnect(database);
  return AU_UNAVAILABLE;
}

typedef struct setting {
  const char *name;
  const char *value; /* NULL: the statement timeout */
  bool direct;       /* only on a direct connection */
  int version;       /* of the first server that knows it */
} setting_t;

/* What each session, or each transaction, is to have. */
static const setting_t settings[] = {
    {"statement_timeout", NULL, false, 0},
    /* A transaction that we left behind must not keep the lane's row lock. */
    {"idle_in_transaction_session_timeout", NULL, false, 0},
    /* A role or a database may have others: ours bound what we do, and a
     * connection that waits for events is idle. */
    {"lock_timeout", "0", false, 0},
    {"idle_session_timeout", "0", false, 0},
    {"transaction_timeout", "0", false, 170000},
    /* An error is an answer. */
    {"exit_on_error", "off", false, 0},
    {"plpgsql.extra_errors", "none", false, 0},
    {"plpgsql.extra_warnings", "none", false, 0},
    /* A server that waits for the rest of a COPY from a peer that vanished
     * would keep it, too. */
    {"tcp_keepalives_idle", "10", true, 0},
    {"tcp_keepalives_interval", "5", true, 0},
    {"tcp_keepalives_count", "3", true, 0},
    /* A statement whose connection we have dropped ends within a second. */
    {"client_connection_check_interval", "1000", false, 0},
    /* A commit may warn that its standby may not have it. */
    {"client_min_messages", "warning", false, 0},
    /* Compiling takes longer than any statement of ours should. */
    {"jit", "off", false, 0},
    {"datestyle", "'ISO, YMD'", false, 0},
    {"timezone", "'UTC'", false, 0},
    {"bytea_output", "hex", false, 0},
    {"standard_conforming_strings", "on", false, 0},
    {"search_path", "pg_catalog, pg_temp", false, 0},
};

static void put_settings(const au_database_t *database, bool sync,
                         au_bytes_t *sql) {
  const char *set = database->pooled ? "SET LOCAL" : "SET";
  /* Whoever waits for the lane's row lock must see what its holder did. It
   * comes first: it may not follow a query. */
  au_bytes_put_string(sql, database->pooled
                               ? "SET TRANSACTION ISOLATION LEVEL READ "
                                 "COMMITTED; "
                               : "SET default_transaction_isolation = "
                                 "'read committed'; ");
  for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
    const setting_t *setting = &settings[i];
    if ((setting->direct && database->pooled) ||
        PQserverVersion(database->conn) < setting->version)
      continue;
    au_bytes_printf(sql, "%s %s = ", set, setting->name);
    if (setting->value != NULL)
      au_bytes_put_string(sql, setting->value);
    else
      au_bytes_printf(sql, "%d",
                      au_database_timeout_ms(database->statement_timeout_ns));
    au_bytes_put_string(sql, "; ");
  }
  if (database->async_commit)
    au_bytes_printf(sql, "%s synchronous_commit = off; ", set);
  else if (sync)
    au_bytes_printf(sql, "%s synchronous_commit = on; ", set);
}

/* Asks what the session is like. */
static au_status_t probe(au_database_t *database, bool *out_sync,
                         au_database_error_t *error) {
  au_result_t result = {NULL};
  au_status_t status =
      au_database_run(database,
                      "SELECT pg_catalog.pg_backend_pid(), "
                      "pg_catalog.current_setting('server_encoding'), "
                      "pg_catalog.current_setting('synchronous_commit')",
                      database->connect_timeout_ns, &result, error);
  if (status != AU_OK)
    return status;
  const char *pid = au_result_text(&result, 0, 0);
  const char *encoding = au_result_text(&result, 0, 1);
  const char *sync = au_result_text(&result, 0, 2);
  if (pid == NULL || encoding == NULL || sync == NULL) {
    au_database_error_set(error, "the server did not report its settings");
    status = AU_UNAVAILABLE;
  } else if (strcmp(encoding, "UTF8") != 0) {
    au_database_error_set(
        error, "the database has the encoding \"%.32s\", but UTF8 is required",
        encoding);
    status = AU_UNAVAILABLE;
  } else {
    database->pooled = strtol(pid, NULL, 10) != PQbackendPID(database->conn);
    *out_sync = strcmp(sync, "off") == 0;
  }
  au_result_fini(&result);
  return status;
}

static au_status_t set_up(au_database_t *database, au_database_error_t *error) {
  int version = PQserverVersion(database->conn);
  if (version < SERVER_VERSION_MIN) {
    au_database_error_set(
        error,
        "the server is PostgreSQL %d, but " SERVER_VERSION_TEXT
        " or newer is needed",
        version / 10000);
    return AU_UNAVAILABLE;
  }
  bool sync = false;
  au_status_t status = probe(database, &sync, error);
  if (status != AU_OK)
    return status;

  au_bytes_t sql = AU_BYTES_INIT;
  put_settings(database, sync, &sql);
  const char *text = au_bytes_text(&sql);
  char *prelude = text == NULL ? NULL : strdup(database->pooled ? text : "");
  if (prelude == NULL) {
    au_database_error_set(error, "out of memory");
    au_bytes_fini(&sql);
    return AU_NOMEM;
  }
  free(database->prelude);
  database->prelude = prelude;
  if (!database->pooled)
    status = au_database_run(database, text, database->connect_timeout_ns, NULL,
                             error);
  au_bytes_fini(&sql);
  return status;
}

/* The server's last word comes first, the end of the stream after it. */
static bool is_healthy(au_database_t *database) {
  for (int i = 0; i < 4 && au_database_is_connected(database); i++) {
    struct pollfd fd = {.fd = PQsocket(database->conn), .events = POLLIN};
    if (poll(&fd, 1, 0) == 0)
      return true;
    if (PQconsumeInput(database->conn) == 0)
      return false;
    (void)PQisBusy(database->conn); /* reads the messages that came */
    if (database->dying)
      return false;
  }
  return au_database_is_connected(database);
}

bool au_database_check(au_database_t *database) {
  if (is_healthy(database) && led_host(database) == database->only)
    return true;
  au_database_disconnect(database);
  return false;
}

au_status_t au_database_connect(au_database_t *database,
                                au_database_error_t *error) {
  *error = (au_database_error_t){.fault = AU_FAULT_NONE};
  if (au_database_check(database))
    return AU_OK;
  au_status_t status = follow(database, error);
  if (status == AU_OK)
    status = reach(database, error);
  if (status != AU_OK)
    return status;
  if (PQsetnonblocking(database->conn, 1) != 0) {
    au_database_error_connect(error, PQerrorMessage(database->conn), false);
    status = AU_UNAVAILABLE;
  } else {
    status = set_up(database, error);
  }
  if (status == AU_OK) {
    database->is_counted = true;
    au_metrics_add(AU_M_POOL_IDLE, 1);
    return AU_OK;
  }
  au_database_disconnect(database);
  return status == AU_NOMEM ? AU_NOMEM : AU_UNAVAILABLE;
}
