/* SPDX-License-Identifier: MIT
 *
 * ports - whether the API answers where it should, whether it is ours that
 * does, what it says of itself, and whether write_prometheus has our values.
 *
 * An address of Listen is this machine's own; over HTTPS its certificate bears
 * other names than that. So the server is believed by the key that is in
 * TLSCertificate: nobody else is handed the token.
 */
#include "tools/doctor/doctor.h"

#include "aurore_config.h"
#include "base/base64.h"
#include "base/sha256.h"
#include "http/file.h"
#include "tools/samples.h"
#include "tools/tree.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API "api"
#define PROMETHEUS "write_prometheus"
#define URL_SIZE 256
#define PINNED_SIZE 96

/* --- whom to ask -----------------------------------------------------------
 */

/* "sha256//..." of the key in TLSCertificate. false: there is none. */
static bool make_pinned(const au_options_t *options, char pinned[PINNED_SIZE]) {
  char *text = NULL;
  char error[256];
  gnutls_x509_crt_t certificate = NULL;
  gnutls_pubkey_t key = NULL;
  gnutls_datum_t der = {NULL, 0};
  au_digest_t digest;
  if (au_file_read("TLSCertificate", options->tls_certificate, &text, error,
                   sizeof(error)) != AU_OK)
    return false;
  gnutls_datum_t pem = {(void *)text, (unsigned)strlen(text)};
  bool is_made =
      gnutls_x509_crt_init(&certificate) == 0 &&
      gnutls_x509_crt_import(certificate, &pem, GNUTLS_X509_FMT_PEM) == 0 &&
      gnutls_pubkey_init(&key) == 0 &&
      gnutls_pubkey_import_x509(key, certificate, 0) == 0 &&
      gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der) == 0 &&
      au_sha256(der.data, der.size, &digest);
  if (is_made) {
    au_bytes_t bytes = AU_BYTES_INIT;
    au_bytes_put_string(&bytes, "sha256//");
    au_base64_put(&bytes, digest.byte, sizeof(digest.byte));
    const char *made = au_bytes_text(&bytes);
    snprintf(pinned, PINNED_SIZE, "%s", made != NULL ? made : "");
    au_bytes_fini(&bytes);
  }
  gnutls_free(der.data);
  gnutls_pubkey_deinit(key);
  gnutls_x509_crt_deinit(certificate);
  free(text);
  return is_made;
}

/* Where to reach an address on which somebody listens: all addresses are
 * reached by the loopback. */
static void make_url(const char *scheme, const char *listen,
                     char url[URL_SIZE]) {
  static const char *const all[][2] = {
      {"*:", "127.0.0.1:"}, {"0.0.0.0:", "127.0.0.1:"}, {"[::]:", "[::1]:"}};
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
    if (strncmp(listen, all[i][0], strlen(all[i][0])) == 0) {
      snprintf(url, URL_SIZE, "%s://%s%s", scheme, all[i][1],
               listen + strlen(all[i][0]));
      return;
    }
  snprintf(url, URL_SIZE, "%s://%s", scheme, listen);
}

/* --- the answers -----------------------------------------------------------
 */

static void ask(ctl_client_t *client, const char *path, ctl_answer_t *answer) {
  ctl_client_ask(client, "GET", path, NULL, NULL, 0, answer);
}

/* Whether /live was answered by an API of ours. */
static bool is_ours(ctl_answer_t *answer) {
  ctl_tree_t *tree = ctl_tree_parse(&answer->body);
  const char *message = ctl_tree_text(tree, "message");
  bool is = message != NULL && strstr(message, "SHUTTING_DOWN") != NULL;
  ctl_tree_free(tree);
  return is;
}

static void advise_port(ctl_doctor_t *doctor, const char *where) {
  const char *port = strrchr(where, ':');
  if (port != NULL && strncmp(where, "unix:", 5) != 0)
    ctl_advise(&doctor->findings,
               "ss -ltnp 'sport = %s' says who it is: end it, or choose "
               "another port",
               port);
  else
    ctl_advise(&doctor->findings, "ss -lxp says who it is");
}

/* false: there is nobody there to be asked further. */
static bool check_live(ctl_doctor_t *doctor, ctl_client_t *client,
                       const char *where, ctl_answer_t *answer) {
  ask(client, "/live", answer);
  if (answer->is_refused) {
    ctl_find(&doctor->findings, CTL_PROBLEM, API, "nobody listens on %s: %s",
             where, answer->error);
    ctl_advise(&doctor->findings,
               doctor->pid == 0
                   ? "start collectd"
                   : "collectd runs without it: journalctl -u collectd says "
                     "why event_buffer has not started, or cannot listen");
    return false;
  }
  if (answer->status != 0 && is_ours(answer))
    return true;
  if (answer->status == 0 && doctor->options.tls_client_ca[0] != '\0' &&
      doctor->server.certificate == NULL) {
    ctl_find(&doctor->findings, CTL_WARNING, API,
             "%s wants a certificate of its clients: not looked at", where);
    ctl_advise(&doctor->findings, "give one by --cert and --key");
    return false;
  }
  ctl_find(&doctor->findings, CTL_PROBLEM, API,
           "somebody else answers on %s: %s", where, ctl_answer_text(answer));
  advise_port(doctor, where);
  return false;
}

static void check_ready(ctl_doctor_t *doctor, ctl_client_t *client,
                        const char *where, ctl_answer_t *answer) {
  ask(client, "/ready", answer);
  ctl_tree_t *tree = ctl_tree_parse(&answer->body);
  const char *reason = ctl_tree_text(tree, "reason");
  if (answer->status == 200) {
    ctl_find(&doctor->findings, CTL_OK, API, "%s takes events", where);
  } else {
    ctl_find(&doctor->findings, CTL_PROBLEM, API, "%s takes no events: %s",
             where, reason != NULL ? reason : "it does not say why");
    ctl_advise(&doctor->findings,
               "the line of the spool or of the database says why; "
               "docs/runbook.md, AuroreUnhealthy");
  }
  ctl_tree_free(tree);
}

/* --- what it says of itself ------------------------------------------------
 */

static void check_version(ctl_doctor_t *doctor, ctl_tree_t *health) {
  ctl_tree_t *environment = ctl_tree_member(health, "environment");
  const char *version = ctl_tree_text(environment, "pluginVersion");
  const char *collectd = ctl_tree_text(environment, "collectdVersion");
  if (version == NULL)
    return;
  if (strcmp(version, AURORE_VERSION) == 0) {
    ctl_find(&doctor->findings, CTL_OK, API, "version %s, in collectd %s",
             version, collectd != NULL ? collectd : "?");
    return;
  }
  ctl_find(&doctor->findings, CTL_WARNING, API,
           "version %s runs, and this is aurorectl %s", version,
           AURORE_VERSION);
  ctl_advise(&doctor->findings, "restart collectd after an upgrade: "
                                "systemctl restart collectd");
}

static void check_health(ctl_doctor_t *doctor, ctl_tree_t *health) {
  const char *status = ctl_tree_text(health, "status");
  ctl_tree_t *database = ctl_tree_member(health, "database");
  ctl_tree_t *last = ctl_tree_member(database, "lastError");
  ctl_tree_t *breaker = ctl_tree_member(health, "circuitBreaker");
  const char *message = ctl_tree_text(last, "message");
  const char *breaker_state = ctl_tree_text(breaker, "state");
  if (status == NULL || breaker_state == NULL)
    return;
  if (strcmp(breaker_state, "CLOSED") != 0) {
    ctl_find(&doctor->findings, CTL_PROBLEM, API,
             "the circuit breaker is %s: the writers do not reach the "
             "database%s%s",
             breaker_state, message != NULL ? ", last for: " : "",
             message != NULL ? message : "");
    ctl_advise(&doctor->findings, "see to the database; events wait in the "
                                  "spool, and are stored when it is back");
  }
  if (strcmp(status, "healthy") == 0)
    ctl_find(&doctor->findings, CTL_OK, API, "says that it is healthy");
  else
    ctl_find(&doctor->findings,
             strcmp(status, "critical") == 0 ? CTL_PROBLEM : CTL_WARNING, API,
             "says that it is in state %s%s%s", status,
             message != NULL ? "; the database's last error: " : "",
             message != NULL ? message : "");
  if (strcmp(status, "healthy") != 0)
    ctl_advise(&doctor->findings, "aurorectl top shows why; docs/runbook.md");
}

typedef struct gauge {
  const char *name;
  ctl_state_t state;
  const char *what;
  const char *advice;
} gauge_t;

static const gauge_t gauges[] = {
    {"lanes_fenced", CTL_PROBLEM,
     "lanes are fenced, since another copy of the spool has stored",
     "end the other copy, then \"aurorectl spool renew\"; docs/reliability.md, "
     "\"A fenced lane\""},
    {"lanes_blocked", CTL_PROBLEM,
     "lanes are blocked: the database refuses every event",
     "mend the schema: the last error says what it refuses"},
    {"dead_letters_pending", CTL_WARNING, "dead letters wait",
     "aurorectl dlq list shows them; reprocess or delete them"},
    {"retention_overdue_days", CTL_WARNING,
     "days should have been dropped and are still there",
     "the log names what holds them: a view, a lock, or the role's rights"},
    {"events_lost_total", CTL_PROBLEM,
     "events are lost, since the database fell back behind what is kept",
     "docs/runbook.md, AuroreEventsLost; raise KeepStored"}};

static void check_gauges(ctl_doctor_t *doctor, const char *text) {
  for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
    const gauge_t *gauge = &gauges[i];
    double value = ctl_samples_sum(text, gauge->name);
    if (!(value > 0))
      continue;
    ctl_find(&doctor->findings, gauge->state, API, "%.0f %s", value,
             gauge->what);
    ctl_advise(&doctor->findings, "%s", gauge->advice);
  }
}

static void check_state(ctl_doctor_t *doctor, ctl_client_t *client,
                        ctl_answer_t *answer) {
  ask(client, "/health/detailed", answer);
  if (answer->status == 401 || answer->status == 403) {
    ctl_find(&doctor->findings, CTL_WARNING, API,
             "what it says of itself needs a token with the scope read");
    ctl_advise(&doctor->findings, "give one by --token-file FILE");
    return;
  }
  ctl_tree_t *health = ctl_tree_parse(&answer->body);
  check_version(doctor, health);
  check_health(doctor, health);
  ctl_tree_free(health);
  ask(client, "/metrics/prometheus", answer);
  const char *text =
      answer->status == 200 ? au_bytes_text(&answer->body) : NULL;
  if (text != NULL)
    check_gauges(doctor, text);
}

/* --- all of them -----------------------------------------------------------
 */

/* "is_first": what is the same at each address is asked once. Returns whether
 * it was. */
static bool check_server(ctl_doctor_t *doctor, const ctl_server_t *server,
                         const char *where, bool is_first) {
  ctl_answer_t answer = {.status = 0};
  ctl_client_t *client = ctl_client_create(server);
  if (client == NULL) {
    ctl_find(&doctor->findings, CTL_PROBLEM, API, "could not ask %s", where);
    ctl_advise(&doctor->findings, "the line on standard error says why");
    return false;
  }
  bool is_there = check_live(doctor, client, where, &answer);
  if (is_there)
    check_ready(doctor, client, where, &answer);
  if (is_there && is_first)
    check_state(doctor, client, &answer);
  ctl_client_destroy(client);
  ctl_answer_fini(&answer);
  return is_there && is_first;
}

static void check_listen(ctl_doctor_t *doctor) {
  const au_options_t *options = &doctor->options;
  char pinned[PINNED_SIZE];
  bool is_https = options->tls_certificate[0] != '\0';
  bool is_pinned = is_https && make_pinned(options, pinned);
  bool is_first = true;
  for (size_t i = 0; i < options->listen_count; i++) {
    char url[URL_SIZE];
    const char *listen = options->listen[i];
    ctl_server_t server = doctor->server;
    server.pinned_key = is_pinned ? pinned : NULL;
    bool is_unix = strncmp(listen, "unix:", 5) == 0;
    if (is_unix)
      server.unix_socket = listen + 5;
    make_url(is_https ? "https" : "http", is_unix ? "localhost" : listen, url);
    server.url = url;
    if (check_server(doctor, &server, is_unix ? listen : url, is_first))
      is_first = false;
  }
}

/* --- write_prometheus ------------------------------------------------------
 */

/* What the block says, or the plugin's own defaults. */
static void find_exporter(const ctl_doctor_t *doctor, char url[URL_SIZE]) {
  char where[URL_SIZE / 2];
  char port_text[16];
  const char *host = "127.0.0.1";
  const char *port = "9103";
  for (const ctl_conf_item_t *block = doctor->conf.items; block != NULL;
       block = block->next) {
    if (!ctl_conf_is(block, "Plugin", PROMETHEUS))
      continue;
    const ctl_conf_item_t *one = ctl_conf_find(block->children, "Host");
    if (one != NULL && ctl_conf_text(one) != NULL)
      host = ctl_conf_text(one);
    one = ctl_conf_find(block->children, "Port");
    if (one != NULL && ctl_conf_text(one) != NULL) {
      port = ctl_conf_text(one);
    } else if (one != NULL && one->values_count > 0) {
      snprintf(port_text, sizeof(port_text), "%.0f", one->values[0].number);
      port = port_text;
    }
  }
  bool is_v6 = strchr(host, ':') != NULL;
  snprintf(where, sizeof(where), "%s%.80s%s:%.10s", is_v6 ? "[" : "", host,
           is_v6 ? "]" : "", port);
  make_url("http", where, url);
}

static bool is_exporter_loaded(const ctl_doctor_t *doctor) {
  for (const ctl_conf_item_t *item = doctor->conf.items; item != NULL;
       item = item->next)
    if (ctl_conf_is(item, "LoadPlugin", PROMETHEUS))
      return true;
  return false;
}

static void tell_exporter(ctl_doctor_t *doctor, const char *url,
                          ctl_answer_t *answer) {
  const char *text =
      answer->status == 200 ? au_bytes_text(&answer->body) : NULL;
  if (text == NULL) {
    ctl_find(&doctor->findings, CTL_PROBLEM, PROMETHEUS,
             "does not answer at %s: %s", url, ctl_answer_text(answer));
    ctl_advise(&doctor->findings, "journalctl -u collectd says why; is the "
                                  "port another program's?");
  } else if (strstr(text, "collectd_aurore_") == NULL) {
    ctl_find(&doctor->findings, CTL_PROBLEM, PROMETHEUS,
             "answers at %s, without any of our values", url);
    ctl_advise(&doctor->findings,
               "wait for an Interval after the start; then look whether it is "
               "this collectd (ss -ltnp), and whether a filter chain drops "
               "them");
  } else {
    ctl_find(&doctor->findings, CTL_OK, PROMETHEUS, "%s has our values", url);
  }
}

static void check_exporter(ctl_doctor_t *doctor) {
  char url[URL_SIZE];
  ctl_server_t server = {
      .url = url, .timeout_s = doctor->server.timeout_s, .is_anonymous = true};
  ctl_answer_t answer = {.status = 0};
  if (!is_exporter_loaded(doctor)) {
    ctl_find(&doctor->findings, CTL_OK, PROMETHEUS,
             "is not loaded; Prometheus may scrape the API's "
             "/metrics/prometheus");
    return;
  }
  find_exporter(doctor, url);
  ctl_client_t *client = ctl_client_create(&server);
  if (client == NULL)
    return;
  ask(client, "/metrics", &answer);
  tell_exporter(doctor, url, &answer);
  ctl_client_destroy(client);
  ctl_answer_fini(&answer);
}

void ctl_doctor_ports(ctl_doctor_t *doctor) {
  if (doctor->is_server_given)
    (void)check_server(doctor, &doctor->server,
                       doctor->server.unix_socket != NULL
                           ? doctor->server.unix_socket
                           : doctor->server.url,
                       true);
  else if (doctor->is_loaded[AU_SIDE_BUFFER])
    check_listen(doctor);
  if (doctor->conf.files_count > 0)
    check_exporter(doctor);
}
