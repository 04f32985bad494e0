/* SPDX-License-Identifier: MIT
 *
 * certificate - see certificate.h.
 */
#include "support/certificate.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#define DAY_S (24 * 3600)

static void works(int result) {
  ck_assert_msg(result >= 0, "%s", gnutls_strerror(result));
}

static void set_usage(gnutls_x509_crt_t certificate,
                      const identity_plan_t *plan) {
  works(gnutls_x509_crt_set_basic_constraints(certificate, plan->is_authority,
                                              -1));
  if (plan->is_authority)
    works(gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_KEY_CERT_SIGN));
  for (unsigned i = 0; i < 2; i++)
    if (plan->purpose[i] != NULL)
      works(gnutls_x509_crt_set_key_purpose_oid(certificate, plan->purpose[i],
                                                0));
}

identity_t identity_make(const identity_plan_t *plan) {
  static _Atomic unsigned made;
  unsigned number = atomic_fetch_add(&made, 1) + 1;
  identity_t identity = {NULL, NULL};
  works(gnutls_x509_privkey_init(&identity.key));
  works(plan->is_rsa
            ? gnutls_x509_privkey_generate(identity.key, GNUTLS_PK_RSA, 2048, 0)
            : gnutls_x509_privkey_generate(
                  identity.key, GNUTLS_PK_ECDSA,
                  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
  works(gnutls_x509_crt_init(&identity.certificate));
  gnutls_x509_crt_t certificate = identity.certificate;
  char name[64];
  snprintf(name, sizeof(name), "CN=test %u", number);
  const unsigned char serial[] = {1, (unsigned char)(number >> 8),
                                  (unsigned char)number};
  time_t now = time(NULL);
  works(gnutls_x509_crt_set_version(certificate, 3));
  works(gnutls_x509_crt_set_serial(certificate, serial, sizeof(serial)));
  works(gnutls_x509_crt_set_dn(certificate, name, NULL));
  works(gnutls_x509_crt_set_key(certificate, identity.key));
  works(gnutls_x509_crt_set_activation_time(
      certificate, plan->from != 0 ? plan->from : now - DAY_S));
  works(gnutls_x509_crt_set_expiration_time(
      certificate, plan->until != 0 ? plan->until : now + DAY_S));
  set_usage(certificate, plan);
  const identity_t *issuer = plan->issuer != NULL ? plan->issuer : &identity;
  works(gnutls_x509_crt_sign2(certificate, issuer->certificate, issuer->key,
                              GNUTLS_DIG_SHA256, 0));
  return identity;
}

void identity_free(identity_t *identity) {
  gnutls_x509_crt_deinit(identity->certificate);
  gnutls_x509_privkey_deinit(identity->key);
  *identity = (identity_t){NULL, NULL};
}

void file_replace(const char *path, const char *text) {
  char aside[192];
  snprintf(aside, sizeof(aside), "%s.new", path);
  FILE *file = fopen(aside, "w");
  ck_assert_ptr_nonnull(file);
  ck_assert_int_eq(fchmod(fileno(file), 0600), 0);
  ck_assert_int_ge(fputs(text, file), 0);
  ck_assert_int_eq(fclose(file), 0);
  ck_assert_int_eq(rename(aside, path), 0);
}

void certificate_write(const identity_t *identity, const char *path) {
  char pem[8192];
  size_t size = sizeof(pem);
  works(gnutls_x509_crt_export(identity->certificate, GNUTLS_X509_FMT_PEM, pem,
                               &size));
  file_replace(path, pem);
}

void key_write(const identity_t *identity, const char *path) {
  char pem[8192];
  size_t size = sizeof(pem);
  works(gnutls_x509_privkey_export(identity->key, GNUTLS_X509_FMT_PEM, pem,
                                   &size));
  file_replace(path, pem);
}

void identity_write(const identity_t *identity, const char *directory,
                    const char *name) {
  char path[160];
  snprintf(path, sizeof(path), "%s/%s.pem", directory, name);
  certificate_write(identity, path);
  snprintf(path, sizeof(path), "%s/%s.key", directory, name);
  key_write(identity, path);
}
