/* SPDX-License-Identifier: MIT
 *
 * certificate - certificates for tests of TLS: made here and now, for any
 * purpose and time, and written as the PEM files that a server reads.
 */
#ifndef SUPPORT_CERTIFICATE_H
#define SUPPORT_CERTIFICATE_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <time.h>

/* A certificate and its key. */
typedef struct identity {
  gnutls_x509_crt_t certificate;
  gnutls_x509_privkey_t key;
} identity_t;

typedef struct identity_plan {
  const identity_t *issuer; /* NULL: signed by itself */
  bool is_authority;
  bool is_rsa;            /* else ECDSA over P-256 */
  const char *purpose[2]; /* GNUTLS_KP_…; both NULL: any */
  time_t from, until;     /* 0: yesterday, tomorrow */
} identity_plan_t;

identity_t identity_make(const identity_plan_t *plan);
void identity_free(identity_t *identity);

/* Writes DIRECTORY/NAME.pem and NAME.key; each is whole when its name appears.
 */
void identity_write(const identity_t *identity, const char *directory,
                    const char *name);
void certificate_write(const identity_t *identity, const char *path);
void key_write(const identity_t *identity, const char *path);

/* Puts a text into a file, in one step. */
void file_replace(const char *path, const char *text);

#endif
