/* SPDX-License-Identifier: MIT
 *
 * tls_client - see tls_client.h.
 */
#include "support/tls_client.h"

#include "support/suite.h"

#include <poll.h>

server_t tls_server;
identity_t tls_authority;

const char *file_of(const char *name) {
  static char path[4][128];
  static unsigned next;
  char *to = path[next++ % 4];
  snprintf(to, 128, "%s/%s", tls_server.directory, name);
  return to;
}

void pause_for_a_moment(void) { poll(NULL, 0, 10); }

identity_t make_identity(const identity_t *issuer, const char *purpose) {
  return identity_make(
      &(identity_plan_t){.issuer = issuer, .purpose = {purpose}});
}

void tls_prepare(bool is_rsa) {
  server_prepare(&tls_server);
  tls_authority = identity_make(&(identity_plan_t){.is_authority = true});
  identity_t own = identity_make(&(identity_plan_t){
      .issuer = &tls_authority, .is_rsa = is_rsa, .purpose = {SERVE}});
  identity_write(&own, tls_server.directory, "server");
  identity_free(&own);
  set_option(&tls_server, "TLSCertificate", file_of("server.pem"));
  set_option(&tls_server, "TLSKey", file_of("server.key"));
}

void tls_ask_for_certificates(void) {
  certificate_write(&tls_authority, file_of("ca.pem"));
  set_option(&tls_server, "TLSClientCA", file_of("ca.pem"));
}

void tls_stop(void) {
  static const char *const name[] = {"server.pem", "server.key", "ca.pem",
                                     "tokens"};
  for (int i = 0; i < COUNT_OF(name); i++)
    unlink(file_of(name[i]));
  server_stop(&tls_server);
  identity_free(&tls_authority);
}

tls_client_t tls_connect(const visit_t *visit, int *out_result) {
  tls_client_t client = {.plain = client_connect(&tls_server)};
  gnutls_certificate_allocate_credentials(&client.credentials);
  if (visit->identity != NULL) {
    gnutls_x509_crt_t chain[1] = {visit->identity->certificate};
    ck_assert_int_eq(gnutls_certificate_set_x509_key(client.credentials, chain,
                                                     1, visit->identity->key),
                     0);
  }
  ck_assert_int_eq(gnutls_init(&client.session, GNUTLS_CLIENT), 0);
  ck_assert_int_eq(gnutls_priority_set_direct(
                       client.session,
                       visit->priority != NULL ? visit->priority : EVERYTHING,
                       NULL),
                   0);
  gnutls_credentials_set(client.session, GNUTLS_CRD_CERTIFICATE,
                         client.credentials);
  if (visit->session.data != NULL)
    gnutls_session_set_data(client.session, visit->session.data,
                            visit->session.size);
  gnutls_transport_set_int(client.session, client.plain->fd);
  do
    *out_result = gnutls_handshake(client.session);
  while (*out_result < 0 && gnutls_error_is_fatal(*out_result) == 0);
  return client;
}

void tls_close(tls_client_t *client) {
  gnutls_deinit(client->session);
  gnutls_certificate_free_credentials(client->credentials);
  client_close(client->plain);
}

int ask_live(tls_client_t *client) {
  static const char request[] = "GET /live HTTP/1.1\r\nHost: t\r\n\r\n";
  char reply[1024] = "";
  ssize_t got = GNUTLS_E_AGAIN; /* also for a session ticket */
  int status = 0;
  if (gnutls_record_send(client->session, request, sizeof(request) - 1) > 0)
    while (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED)
      got = gnutls_record_recv(client->session, reply, sizeof(reply) - 1);
  (void)sscanf(reply, "HTTP/1.1 %d", &status);
  return status;
}

static void read_serial(gnutls_session_t session, unsigned char serial[3]) {
  unsigned count = 0;
  const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
  if (count == 0)
    return;
  gnutls_x509_crt_t certificate;
  size_t size = 3;
  gnutls_x509_crt_init(&certificate);
  ck_assert_int_eq(
      gnutls_x509_crt_import(certificate, chain, GNUTLS_X509_FMT_DER), 0);
  ck_assert_int_eq(gnutls_x509_crt_get_serial(certificate, serial, &size), 0);
  gnutls_x509_crt_deinit(certificate);
}

static void keep_session(visit_t *visit, gnutls_session_t session) {
  gnutls_free(visit->session.data);
  visit->session = (gnutls_datum_t){NULL, 0};
  (void)gnutls_session_get_data2(session, &visit->session);
}

void run_visit(visit_t *visit) {
  int result = 0;
  tls_client_t client = tls_connect(visit, &result);
  visit->status = 0;
  if (result == 0) {
    visit->is_resumed = gnutls_session_is_resumed(client.session) != 0;
    visit->cipher = gnutls_cipher_get(client.session);
    read_serial(client.session, visit->serial);
    visit->status = ask_live(&client);
    if (visit->status != 0)
      keep_session(visit, client.session);
  }
  tls_close(&client);
}

int status_with(const char *priority, const identity_t *identity) {
  visit_t visit = {.priority = priority, .identity = identity};
  run_visit(&visit);
  gnutls_free(visit.session.data);
  return visit.status;
}

bool serves(const identity_t *identity) {
  unsigned char serial[3];
  size_t size = sizeof(serial);
  ck_assert_int_eq(
      gnutls_x509_crt_get_serial(identity->certificate, serial, &size), 0);
  visit_t visit = {.priority = NULL};
  run_visit(&visit);
  ck_assert_int_eq(visit.status, 200);
  gnutls_free(visit.session.data);
  return memcmp(visit.serial, serial, sizeof(serial)) == 0;
}
