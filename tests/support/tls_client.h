/* SPDX-License-Identifier: MIT
 *
 * tls_client - a server with a certificate of its own, and a client that asks
 * it over TLS.
 */
#ifndef SUPPORT_TLS_CLIENT_H
#define SUPPORT_TLS_CLIENT_H

#include "support/certificate.h"
#include "support/http_client.h"

#define SERVE GNUTLS_KP_TLS_WWW_SERVER
#define CONSUME GNUTLS_KP_TLS_WWW_CLIENT
#define EVERYTHING "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* The one server of a test; its files are in its directory. */
extern server_t tls_server;
extern identity_t tls_authority;

/* The path of a file in the server's directory; of the last four calls. */
const char *file_of(const char *name);

/* "purpose": SERVE, CONSUME, or NULL for any. */
identity_t make_identity(const identity_t *issuer, const char *purpose);

/* Prepares a server whose certificate is server.pem, signed by the authority.
 */
void tls_prepare(bool is_rsa);
/* Before the start: it asks clients for certificates, of the authority. */
void tls_ask_for_certificates(void);
/* Stops it, and removes its files. */
void tls_stop(void);

void pause_for_a_moment(void);

typedef struct visit {
  /* In. */
  const char *priority;       /* NULL: all that NORMAL has */
  const identity_t *identity; /* NULL: none */
  gnutls_datum_t session;     /* to resume, and the new one; owned */
  /* Out. */
  int status; /* of GET /live; 0: no answer */
  bool is_resumed;
  gnutls_cipher_algorithm_t cipher;
  unsigned char serial[3]; /* of the server's certificate */
} visit_t;

/* Connects, asks once, and closes. */
void run_visit(visit_t *visit);
/* The status of one such visit. */
int status_with(const char *priority, const identity_t *identity);
/* Whether the server shows this certificate now. */
bool serves(const identity_t *identity);

/* A connection that stays. */
typedef struct tls_client {
  client_t *plain;
  gnutls_certificate_credentials_t credentials;
  gnutls_session_t session;
} tls_client_t;

/* "out_result": of the handshake. */
tls_client_t tls_connect(const visit_t *visit, int *out_result);
/* The status of GET /live; 0: no answer. */
int ask_live(tls_client_t *client);
void tls_close(tls_client_t *client);

#endif
