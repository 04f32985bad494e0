/* SPDX-License-Identifier: MIT
 * Part of http/; calls config/, metrics/, base/.
 *
 * tls - see tls.h.
 *
 * Session tickets spare a client that comes again, and us, the signature (half
 * to four fifths of what a handshake costs). All loops share their key, so a
 * client may come back to any. It is replaced whenever certificate, key or
 * authorities are, and once a day: tickets from before are of no use then, and
 * the client makes a whole handshake. GnuTLS derives a new key from it every
 * few hours by itself.
 *
 * What a ticket brings back is a client certificate that was verified when the
 * ticket was made: it is verified again, since it may have ended meanwhile.
 */
#include "http/tls.h"

#include "base/clock.h"
#include "base/log.h"
#include "http/file.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* TLS 1.2 and 1.3 with forward secrecy and authenticated encryption only. Our
 * order counts, not the client's: what the processor does fastest is first, and
 * hashes of 256 bits cost a handshake of TLS 1.3 a third of what those of 384
 * do. */
#define PRIORITY                                                               \
  "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:"                                \
  "-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:"                                           \
  "-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM:-MAC-ALL:+AEAD:"   \
  "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:"                \
  "%SERVER_PRECEDENCE:%PROFILE_MEDIUM"
#define TICKET_KEY_NS (INT64_C(24) * 3600 * AU_NS_PER_S)

enum { CERTIFICATE, KEY, CLIENT_CA, FILES };

static const char *const option_of[FILES] = {"TLSCertificate", "TLSKey",
                                             "TLSClientCA"};

struct au_credentials {
  _Atomic unsigned references;
  gnutls_certificate_credentials_t certificate;
  gnutls_priority_t priority;
  bool demands_certificate;
  int64_t expiry_us;
};

struct au_tls {
  const char *path[FILES]; /* of the options */
  /* Of the thread that checks. */
  au_file_watch_t watch;
  au_credentials_t *read; /* not in force yet */
  int64_t ticket_due_ns;

  pthread_mutex_t lock; /* protects: the next two */
  au_credentials_t *current;
  gnutls_datum_t ticket_key;
};

/* --- credentials ------------------------------------------------------- */

static void release(au_credentials_t *credentials) {
  if (credentials == NULL || atomic_fetch_sub(&credentials->references, 1) > 1)
    return;
  if (credentials->certificate != NULL)
    gnutls_certificate_free_credentials(credentials->certificate);
  if (credentials->priority != NULL)
    gnutls_priority_deinit(credentials->priority);
  free(credentials);
}

static gnutls_datum_t datum_of(char *text) {
  union {
    char *text;
    unsigned char *data;
  } pem = {.text = text};
  return (gnutls_datum_t){pem.data, (unsigned)strlen(text)};
}

static int import_certificates(au_credentials_t *credentials, char *pem,
                               gnutls_x509_crt_t **out_list,
                               unsigned *out_count) {
  gnutls_datum_t datum = datum_of(pem);
  int result = gnutls_x509_crt_list_import2(out_list, out_count, &datum,
                                            GNUTLS_X509_FMT_PEM,
                                            GNUTLS_X509_CRT_LIST_SORT);
  if (result < 0)
    return result;
  time_t end = gnutls_x509_crt_get_expiration_time((*out_list)[0]);
  credentials->expiry_us = end * AU_US_PER_S;
  return 0;
}

static int import_key(char *pem, gnutls_x509_privkey_t *out_key) {
  gnutls_datum_t datum = datum_of(pem);
  int result = gnutls_x509_privkey_init(out_key);
  return result < 0 ? result
                    : gnutls_x509_privkey_import2(*out_key, &datum,
                                                  GNUTLS_X509_FMT_PEM, NULL, 0);
}

static au_status_t refuse(const au_tls_t *tls, unsigned file, const char *what,
                          int result, char *error, size_t size) {
  snprintf(error, size, "could not use %s \"%s\": %s%s%s", option_of[file],
           tls->path[file], what, result < 0 ? ": " : "",
           result < 0 ? gnutls_strerror(result) : "");
  return AU_INVALID;
}

/* Puts the chain and its key into the credentials. */
static au_status_t set_pair(const au_tls_t *tls, char *const pem[FILES],
                            au_credentials_t *credentials, unsigned *out_file,
                            char *error, size_t size) {
  gnutls_x509_crt_t *chain = NULL;
  unsigned count = 0;
  gnutls_x509_privkey_t key = NULL;
  au_status_t status = AU_OK;
  *out_file = CERTIFICATE;
  int result =
      import_certificates(credentials, pem[CERTIFICATE], &chain, &count);
  if (result < 0)
    status = refuse(tls, CERTIFICATE, "it holds no chain of certificates",
                    result, error, size);
  if (status == AU_OK && (result = import_key(pem[KEY], &key)) < 0) {
    *out_file = KEY;
    status = refuse(tls, KEY, "it holds no private key", result, error, size);
  }
  if (status == AU_OK &&
      (result = gnutls_certificate_set_x509_key(credentials->certificate, chain,
                                                (int)count, key)) < 0) {
    *out_file = KEY;
    status = refuse(tls, KEY, "it is not the key of TLSCertificate", result,
                    error, size);
  }
  for (unsigned i = 0; i < count; i++)
    gnutls_x509_crt_deinit(chain[i]);
  gnutls_free(chain);
  gnutls_x509_privkey_deinit(key);
  return status;
}

static au_status_t set_client_ca(const au_tls_t *tls, char *pem,
                                 au_credentials_t *credentials, char *error,
                                 size_t size) {
  gnutls_datum_t datum = datum_of(pem);
  int result = gnutls_certificate_set_x509_trust_mem(
      credentials->certificate, &datum, GNUTLS_X509_FMT_PEM);
  credentials->demands_certificate = true;
  return result > 0 ? AU_OK
                    : refuse(tls, CLIENT_CA, "it holds no certificate", result,
                             error, size);
}

static au_status_t make_credentials(const au_tls_t *tls, char *const pem[FILES],
                                    au_credentials_t *credentials,
                                    unsigned *out_file, char *error,
                                    size_t size) {
  const char *at = NULL;
  int result = gnutls_priority_init(&credentials->priority, PRIORITY, &at);
  if (result == 0)
    result = gnutls_certificate_allocate_credentials(&credentials->certificate);
  if (result < 0) {
    snprintf(error, size, "could not set up TLS%s%s: %s",
             at != NULL ? " at " : "", at != NULL ? at : "",
             gnutls_strerror(result));
    return AU_NOMEM;
  }
  au_status_t status = set_pair(tls, pem, credentials, out_file, error, size);
  if (status != AU_OK || pem[CLIENT_CA] == NULL)
    return status;
  *out_file = CLIENT_CA;
  return set_client_ca(tls, pem[CLIENT_CA], credentials, error, size);
}

/* --- the files --------------------------------------------------------- */

static void warn(const au_tls_t *tls, const au_credentials_t *credentials) {
  for (unsigned i = 0; i < FILES; i++)
    au_file_warn_of_mode(option_of[i], tls->path[i],
                         i == KEY ? S_IROTH | S_IWOTH : S_IWOTH);
  if (credentials->expiry_us < au_clock_wall_us())
    au_log(AU_LOG_WARNING, "%s \"%s\" has expired", option_of[CERTIFICATE],
           tls->path[CERTIFICATE]);
}

/* Reads the files into "read". */
static au_status_t load(void *context, unsigned *out_file, char *error,
                        size_t size) {
  au_tls_t *tls = context;
  char *pem[FILES] = {NULL};
  au_status_t status = AU_OK;
  for (unsigned i = 0; i < FILES && status == AU_OK; i++) {
    if (tls->path[i][0] == '\0')
      continue;
    *out_file = i;
    status = au_file_read(option_of[i], tls->path[i], &pem[i], error, size);
  }
  if (status == AU_OK) {
    tls->read = calloc(1, sizeof(*tls->read));
    status = tls->read != NULL ? AU_OK : AU_NOMEM;
    if (status != AU_OK)
      snprintf(error, size, "out of memory");
  }
  if (status == AU_OK) {
    atomic_init(&tls->read->references, 1);
    status = make_credentials(tls, pem, tls->read, out_file, error, size);
  }
  for (unsigned i = 0; i < FILES; i++) {
    if (pem[i] != NULL)
      explicit_bzero(pem[i], strlen(pem[i]));
    free(pem[i]);
  }
  return status;
}

/* Tickets made with the key of before are worth nothing from now on. When there
 * is no new key (out of memory) there are none at all. */
static void renew_ticket_key(au_tls_t *tls) {
  gnutls_datum_t key = {NULL, 0};
  if (gnutls_session_ticket_key_generate(&key) < 0)
    key = (gnutls_datum_t){NULL, 0};
  pthread_mutex_lock(&tls->lock);
  gnutls_datum_t before = tls->ticket_key;
  tls->ticket_key = key;
  pthread_mutex_unlock(&tls->lock);
  if (before.data != NULL)
    explicit_bzero(before.data, before.size);
  gnutls_free(before.data);
  tls->ticket_due_ns = au_clock_monotonic_ns() + TICKET_KEY_NS;
}

static void finish(void *context, bool use) {
  au_tls_t *tls = context;
  au_credentials_t *old = tls->read;
  if (use) {
    warn(tls, tls->read);
    pthread_mutex_lock(&tls->lock);
    old = tls->current;
    tls->current = tls->read;
    pthread_mutex_unlock(&tls->lock);
    renew_ticket_key(tls);
  }
  tls->read = NULL;
  release(old);
}

au_status_t au_tls_create(const au_options_t *options, au_tls_t **out_tls,
                          char *error, size_t error_size) {
  au_tls_t *tls = calloc(1, sizeof(*tls));
  if (tls == NULL) {
    snprintf(error, error_size, "out of memory");
    return AU_NOMEM;
  }
  pthread_mutex_init(&tls->lock, NULL);
  tls->path[CERTIFICATE] = options->tls_certificate;
  tls->path[KEY] = options->tls_key;
  tls->path[CLIENT_CA] = options->tls_client_ca;
  tls->watch = (au_file_watch_t){
      .file = {AU_FILE_CERTIFICATE, AU_FILE_KEY, AU_FILE_CLIENT_CA},
      .what = "the TLS certificate, key or client CA",
      .context = tls,
      .load = load,
      .finish = finish};
  memcpy(tls->watch.path, tls->path, sizeof(tls->path));
  au_file_watch_begin(&tls->watch);
  unsigned file = 0;
  au_status_t status = load(tls, &file, error, error_size);
  finish(tls, status == AU_OK);
  if (status != AU_OK) {
    au_tls_destroy(tls);
    return status;
  }
  *out_tls = tls;
  return AU_OK;
}

void au_tls_destroy(au_tls_t *tls) {
  if (tls == NULL)
    return;
  release(tls->current);
  if (tls->ticket_key.data != NULL)
    explicit_bzero(tls->ticket_key.data, tls->ticket_key.size);
  gnutls_free(tls->ticket_key.data);
  pthread_mutex_destroy(&tls->lock);
  free(tls);
}

void au_tls_check(au_tls_t *tls) {
  au_file_watch_check(&tls->watch);
  if (au_clock_monotonic_ns() >= tls->ticket_due_ns)
    renew_ticket_key(tls);
}

int64_t au_tls_expiry_us(au_tls_t *tls) {
  pthread_mutex_lock(&tls->lock);
  int64_t expiry_us = tls->current->expiry_us;
  pthread_mutex_unlock(&tls->lock);
  return expiry_us;
}

/* --- libmicrohttpd ----------------------------------------------------- */

/* libmicrohttpd wants to know of a certificate, but would use the same one for
 * ever. Each session is given its own credentials when it begins
 * (au_tls_begin), so that this is only called for one that could not be: it
 * fails. */
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *names,
                          int names_count, const gnutls_pk_algorithm_t *kinds,
                          int kinds_count, gnutls_pcert_st **out_chain,
                          unsigned *out_count, gnutls_privkey_t *out_key) {
  (void)session;
  (void)names;
  (void)names_count;
  (void)kinds;
  (void)kinds_count;
  (void)out_chain;
  (void)out_key;
  *out_count = 0;
  return -1;
}

unsigned au_tls_daemon_options(const au_tls_t *tls,
                               struct MHD_OptionItem items[2]) {
  items[0] = items[1] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
  if (tls == NULL)
    return MHD_NO_FLAG;
  const union {
    gnutls_certificate_retrieve_function2 *function;
    void *pointer;
  } callback = {.function = no_certificate};
  items[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0,
                                     callback.pointer};
  return MHD_USE_TLS;
}

/* --- sessions ---------------------------------------------------------- */

/* A certificate for servers is not one for clients. */
static unsigned char client_purpose_oid[] = GNUTLS_KP_TLS_WWW_CLIENT;
static gnutls_typed_vdata_st client_purpose[] = {
    {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = client_purpose_oid}};

/* What a session carries for us: its socket. */
typedef union slot {
  intptr_t fd;
  void *pointer;
} slot_t;

/* After the client's last message of the handshake. A client with Nagle's
 * algorithm keeps its first request back until that message is acknowledged,
 * and the kernel would wait 40 ms to do so along with data of ours. */
static int finished(gnutls_session_t session, unsigned type, unsigned when,
                    unsigned incoming, const gnutls_datum_t *message) {
  (void)type;
  (void)when;
  (void)message;
  if (incoming == 0)
    return 0;
  const int on = 1;
  const slot_t slot = {.pointer = gnutls_db_get_ptr(session)};
  (void)setsockopt((int)slot.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
  return 0;
}

/* The same where a client must have a certificate; of a whole handshake it has
 * been verified by now. */
static int finished_with_certificate(gnutls_session_t session, unsigned type,
                                     unsigned when, unsigned incoming,
                                     const gnutls_datum_t *message) {
  unsigned fault = 0;
  if (incoming != 0 && gnutls_session_is_resumed(session) != 0 &&
      (gnutls_certificate_verify_peers(session, client_purpose, 1, &fault) <
           0 ||
       fault != 0))
    return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
  return finished(session, type, when, incoming, message);
}

static bool prepare(const au_credentials_t *credentials,
                    gnutls_session_t session, int fd) {
  if (gnutls_priority_set(session, credentials->priority) < 0 ||
      gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE,
                             credentials->certificate) < 0)
    return false;
  /* The pointer is for a cache of sessions, which tickets make superfluous. */
  const slot_t slot = {.fd = fd};
  gnutls_db_set_ptr(session, slot.pointer);
  gnutls_handshake_set_hook_function(
      session, GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST,
      credentials->demands_certificate ? finished_with_certificate : finished);
  gnutls_certificate_server_set_request(
      session, credentials->demands_certificate ? GNUTLS_CERT_REQUIRE
                                                : GNUTLS_CERT_IGNORE);
  if (credentials->demands_certificate)
    gnutls_session_set_verify_cert2(session, client_purpose, 1, 0);
  return true;
}

void au_tls_begin(au_tls_t *tls, struct MHD_Connection *connection, int fd,
                  au_tls_session_t *out_session) {
  *out_session = (au_tls_session_t){NULL, NULL};
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
  if (tls == NULL || info == NULL)
    return;
  gnutls_session_t session = info->tls_session;
  pthread_mutex_lock(&tls->lock);
  au_credentials_t *credentials = tls->current;
  atomic_fetch_add(&credentials->references, 1);
  /* Without tickets there are only more whole handshakes. The key is copied. */
  if (tls->ticket_key.data != NULL)
    (void)gnutls_session_ticket_enable_server(session, &tls->ticket_key);
  pthread_mutex_unlock(&tls->lock);
  *out_session = (au_tls_session_t){session, credentials};
  if (!prepare(credentials, session, fd))
    au_tls_end(out_session);
}

void au_tls_end(au_tls_session_t *session) {
  if (session->credentials == NULL)
    return;
  gnutls_credentials_clear(session->session);
  release(session->credentials);
  session->credentials = NULL;
}

size_t au_tls_unread(const au_tls_session_t *session) {
  return session->session != NULL
             ? gnutls_record_check_pending(session->session)
             : 0;
}

bool au_tls_send(const au_tls_session_t *session, const void *data,
                 size_t size) {
  if (session->session == NULL)
    return false;
  (void)gnutls_record_send(session->session, data, size);
  return true;
}
